"""Blocks against the prediction in one piece, on threads and on a cluster of two processes."""

import os

import numpy as np
import pytest
from scipy import ndimage

from helpers.normalise import Normalizer
from helpers.tiles import plan_windows, predict_tiled, turns
from helpers.tiles.blocks import count_windows, load_network, open_array, predict_blocks

da = pytest.importorskip("dask.array")
zarr = pytest.importorskip("zarr")

# image, window, overlap, block: the last blocks along every axis are smaller
CASES = {
    "2D": ((75, 103), (16, 16), 6, (33, 40)),
    "3D": ((13, 41, 50), (8, 16, 16), (4, 5, 6), (6, 20, 37)),
    "smaller than a window": ((9, 30), (16, 16), 6, (5, 7)),
}


def make_image(shape, seed=0):
    return (np.random.default_rng(seed).random(shape) * 255).astype(np.uint8)


def two_channels(batch):
    """A network that sees three pixels far, and where the border of its window is."""
    x = batch[..., :1] / np.float32(255)
    blurred = ndimage.uniform_filter(x, (1, *[3] * (x.ndim - 2), 1), mode="constant")
    return np.concatenate([np.sqrt(blurred), x - blurred], axis=-1).astype(np.float32)


def above_half(p):
    return p[..., 0] > 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Model folder of a small network that looks four pixels far, with values of 0 to 1."""
    import keras

    from helpers.saving import example_input, save_model

    keras.utils.set_random_seed(0)
    x = keras.Input((None, None, 1))
    y = keras.layers.Conv2D(4, 5, padding="same", activation="relu")(x)
    y = keras.layers.Conv2D(1, 5, padding="same", activation="sigmoid")(y)
    model = keras.Model(x, y)
    return save_model(model, tmp_path_factory.mktemp("network"), example_input(model))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_blocks_equal_the_image_in_one_piece(case, scheduler):
    shape, tile, overlap, block = CASES[case]
    options = {"tile_shape": tile, "overlap": overlap}
    image = make_image(shape)
    lazy = predict_blocks(two_channels, image, block_shape=block, **options)
    assert lazy.shape == (*shape, 2) and lazy.dtype == np.float32
    assert lazy.chunksize[: len(shape)] == tuple(map(min, block, shape))
    found = lazy.compute(scheduler=scheduler)
    np.testing.assert_array_equal(found, predict_tiled(two_channels, image, **options))
    if case == "2D":  # pixels are the sum of several windows: without all of them this fails
        assert len(plan_windows(shape, tile, overlap)) > 50


def test_two_processes_write_a_zarr_equal_to_one(tmp_path):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(processes=True, **options) as local, local.get_client() as client:
        for case, (shape, tile, overlap, block) in CASES.items():
            image = make_image(shape)
            folder = tmp_path / case
            chunks = tuple(max(1, n // 3) for n in shape)
            zarr.create_array(folder / "image.zarr", data=image, chunks=chunks)
            options = {"tile_shape": tile, "overlap": overlap, "finish": above_half}
            lazy = predict_blocks(
                two_channels, folder / "image.zarr", block_shape=block, batch_size=3, **options
            )
            lazy.to_zarr(str(folder / "mask.zarr"))
            mask = zarr.open_array(folder / "mask.zarr", mode="r")
            assert mask.dtype == bool and mask.chunks == tuple(map(min, block, shape))
            np.testing.assert_array_equal(mask[:], predict_tiled(two_channels, image, **options))
        pids = set(client.run(os.getpid).values())
    assert len(pids - {os.getpid()}) == 2


def test_a_process_loads_the_model_of_a_folder_once(folder, tmp_path):
    image = make_image((70, 90))
    np.save(tmp_path / "image.npy", image)
    options = {"tile_shape": (32, 32), "overlap": 16, "tta": turns(2)[:2]}
    normalize = Normalizer().fit([image])
    load_network.cache_clear()
    lazy = predict_blocks(
        folder, tmp_path / "image.npy", block_shape=(24, 30), normalize=normalize, **options
    )
    found = lazy.compute(scheduler="threads", num_workers=4)
    assert load_network.cache_info().misses == 1  # 9 blocks and the first look: 10 tasks
    network, none = load_network(str(folder))
    whole = predict_tiled(lambda x: network.predict_on_batch(normalize(x)), image, **options)
    assert none is None and np.ptp(whole) > 0.01
    np.testing.assert_allclose(found, whole, atol=1e-6)


def test_flat_networks_predict_volumes_slice_by_slice(folder):
    image = make_image((3, 40, 40))
    options = {"tile_shape": (1, 32, 32), "overlap": (0, 8, 8), "block_shape": (2, 20, 20)}
    found = predict_blocks(folder, image, **options)
    plane = predict_tiled(load_network(str(folder))[0], image[1], tile_shape=(32, 32), overlap=8)
    np.testing.assert_allclose(found[1].compute(scheduler="synchronous"), plane, atol=1e-6)


def test_run_folders_of_masks_bring_their_normaliser(tmp_path):
    import keras

    from helpers.predict.predictors import save_predictor
    from helpers.unets import build_unet

    keras.utils.set_random_seed(0)
    model = build_unet("unet", ndim=2, filters=(4, 8))
    image = make_image((40, 40))
    fixed, loose = Normalizer().fit([image]), Normalizer()
    for name, normalizer in (("fixed", fixed), ("loose", loose)):
        save_predictor(
            tmp_path / name / "model", "em_unet", model, threshold=0.5, normalizer=normalizer
        )
    options = {"tile_shape": (32, 32), "overlap": 8}
    found = predict_blocks(tmp_path / "fixed", image, **options).compute(scheduler="synchronous")
    whole = predict_tiled(lambda x: model.predict_on_batch(fixed(x)), image, **options)
    np.testing.assert_allclose(found, whole, atol=1e-6)
    with pytest.raises(ValueError, match="measures each image anew.*give normalize="):
        predict_blocks(tmp_path / "loose", image, **options)


def test_axes_before_the_spatial_ones_are_chosen(tmp_path):
    values = make_image((2, 3, 20, 24))
    group = zarr.open_group(tmp_path / "cells.zarr", mode="w")
    group.create_array("0", data=values, chunks=(1, 1, 10, 10))
    assert open_array(tmp_path / "cells.zarr/0").shape == values.shape
    options = {"tile_shape": (16, 16), "overlap": 4}
    lazy = predict_blocks(np.negative, tmp_path / "cells.zarr/0", leading=(1, 2), **options)
    np.testing.assert_allclose(lazy.compute()[..., 0], -values[1, 2].astype(float), rtol=1e-6)
    again = predict_blocks(np.negative, tmp_path / "cells.zarr/0", leading=(1, 2), **options)
    assert again.name != lazy.name  # the file may have changed in between


def test_windows_at_borders_of_blocks_are_counted_by_hand():
    # windows of 4 with overlap 2, margin 0: starts 0, 2, 4, 6; pixels 0-4 see the first three,
    # the other five pixels all but the first
    assert count_windows((10, 4), (5, 4), (4, 4), 2, margin=0) == (6, 4)
    assert count_windows((10, 4), (10, 4), (4, 4), 2, margin=0) == (4, 4)


def test_what_cannot_be_predicted_is_refused(tmp_path, folder):
    image, options = np.zeros((9, 9)), {"tile_shape": (4, 4), "overlap": 1}
    with pytest.raises(ValueError, match="image is a dask array.*give the path"):
        predict_blocks(np.negative, da.from_array(image), **options)
    with pytest.raises(ValueError, match=r"block_shape is \(3,\).*one side for each"):
        predict_blocks(np.negative, image, block_shape=(3,), **options)
    with pytest.raises(ValueError, match=r"image has shape \(2, 2, 9, 9\)"):
        predict_blocks(np.negative, np.zeros((2, 2, 9, 9)), **options)
    with pytest.raises(FileNotFoundError, match="nowhere.zarr does not exist"):
        open_array(tmp_path / "nowhere.zarr")
    zarr.open_group(tmp_path / "g.zarr", mode="w").create_array("3", data=image)
    with pytest.raises(ValueError, match=r"zarr group of 3: give .* g.zarr/3"):
        open_array(tmp_path / "g.zarr")
