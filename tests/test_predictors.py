"""Saved models predict what their notebooks would, carry all they need, and run no foreign code."""

import json
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.images import write_image, write_labels
from helpers.normalise import Normalizer
from helpers.predict.predictors import describe_images, load_predictor, save_predictor
from helpers.runs import Run, open_run
from helpers.saving import load_model, save_model


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :52]
    cells = sum(
        np.exp(-((y - a) ** 2 + (x - b) ** 2) / 20) for a, b in ((10, 12), (28, 30), (12, 42))
    )
    return (800 * cells + rng.normal(100, 5, cells.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def small_unet():
    keras = pytest.importorskip("keras")
    from helpers.unets import build_unet

    keras.utils.set_random_seed(1)
    return build_unet("unet", filters=2, depth=1)


def test_em_unet(small_unet, image, tmp_path):
    from helpers.em.mask_volume import median_filter_z, split_touching
    from helpers.em.training import predict_foreground

    volume = np.stack([image, image * 1.1, image * 0.9])
    normalize = Normalizer("percentile")
    p = predict_foreground(small_unet, normalize(volume), tta=True)
    p = median_filter_z(p, axes="z")
    cut = float(np.median(p))
    settings = {"normalizer": normalize, "threshold": cut, "min_size": 5, "min_distance": 0.2}
    save_predictor(tmp_path, "em_unet", small_unet, **settings)
    predictor = load_predictor(tmp_path)
    size = (0.1, 0.05, 0.05)
    expected = split_touching(p >= cut, min_distance=0.2, min_size=5, spacing=size)
    assert expected.max() > 1
    assert np.array_equal(predictor(volume, pixel_size_um=size), expected)
    assert predictor(image).shape == image.shape  # a plane on its own
    assert (predictor.ndim, predictor.n_channels) == (2, 1)


def test_afm_unet(small_unet, image, tmp_path):
    from skimage.measure import label

    from helpers.afm import heightmaps
    from helpers.tiles import predict_tiled

    height = heightmaps.remove_spikes(heightmaps.flatten_map(image).height)
    x = heightmaps.scale_heights(height, 12.0)[..., None]
    p = predict_tiled(small_unet, x, tile_shape=(64, 64), overlap=32, tta=True)[..., 0]
    cut = float(np.percentile(p, 80))
    save_predictor(tmp_path, "afm_unet", small_unet, scale=12.0, threshold=cut, tta=True)
    found = load_predictor(tmp_path)(image)
    assert np.array_equal(found, label(p > cut, connectivity=2))
    assert not np.array_equal(found > 0, load_predictor(tmp_path)(image, tta=False) > 0)


def test_unet3class_with_its_denoiser(image, tmp_path):
    pytest.importorskip("n2v")
    from helpers import denoise, instances, unet3class

    denoiser = denoise.make_denoiser([image], tmp_path / "n2v", depth=2, filters=2)
    denoiser.keras_model.save_weights(str(tmp_path / "n2v" / "model" / "weights_best.h5"))
    network = unet3class.build_unet3class(depth=2, filters=2)
    normalize = Normalizer("mean_std").fit([image])
    x = normalize(denoise.denoise(denoiser, image, tta=True))
    inside = unet3class.predict_classes(network, x, depth=2)[..., 1]
    cuts = {"seed_threshold": float(np.percentile(inside, 90)), "min_area": 3}
    cuts["mask_threshold"] = float(np.percentile(inside, 70))
    folder = tmp_path / "run" / "model"
    save_predictor(
        folder, "unet3class", network, denoiser=denoiser, normalizer=normalize, depth=2, **cuts
    )
    shutil.rmtree(tmp_path / "n2v")  # the folder stands alone
    predictor = load_predictor(tmp_path / "run")
    expected = instances.grow_seeds(inside, **cuts)
    assert expected.max() > 0
    assert np.array_equal(predictor(image), expected)
    assert predictor(image, tta=True).shape == image.shape


def test_noise2void(image, tmp_path):
    pytest.importorskip("n2v")
    from helpers import denoise

    model = denoise.make_denoiser([image], tmp_path, depth=2, filters=2)
    model.keras_model.save_weights(str(tmp_path / "model" / "weights_best.h5"))
    save_predictor(tmp_path / "model", "n2v")
    predictor = load_predictor(tmp_path)
    assert predictor.method.result == "image"
    np.testing.assert_allclose(predictor(image), denoise.denoise(model, image, tta=True), rtol=1e-5)
    shutil.copytree(tmp_path / "model", tmp_path / "renamed")
    with pytest.raises(ValueError, match="rename this folder to 'model'"):
        load_predictor(tmp_path / "renamed")


@pytest.fixture(scope="module")
def star_run(tmp_path_factory):
    """A run of StarDist as notebook 04 leaves it, without a record."""
    pytest.importorskip("stardist")
    from stardist.models import Config2D, StarDist2D

    from helpers.stars import OWN_LOOP

    folder = tmp_path_factory.mktemp("runs") / "stardist"
    config = Config2D(
        n_rays=8, grid=(2, 2), unet_n_depth=1, unet_n_filter_base=2, net_conv_after_unet=4,
        train_patch_size=(32, 32), **OWN_LOOP
    )  # fmt: skip
    model = StarDist2D(config, name="model", basedir=str(folder))
    model.keras_model.save_weights(str(folder / "model" / "best.weights.h5"))
    (folder / "model" / "thresholds.json").write_text('{"prob": 0.45, "nms": 0.3}')
    (folder / "params.json").write_text('{"parameters": {}}')
    return folder, model


def test_stardist(star_run, image):
    from helpers.stars import predict_labels

    folder, model = star_run
    predictor = load_predictor(folder)  # recognised by its files
    assert predictor.name == "stardist"
    x = Normalizer("percentile", low=1, high=99.8)(image)
    model.thresholds = {"prob": 0.45, "nms": 0.3}
    expected = predict_labels(model, x)
    assert np.array_equal(predictor(image), expected)


def test_other_weights_are_noticed_and_the_version_named(star_run, tmp_path):
    folder = shutil.copytree(star_run[0], tmp_path / "stardist")
    save_predictor(folder / "model", "stardist", normalizer=Normalizer())
    load_predictor(folder)
    model = star_run[1].keras_model
    saved = model.get_weights()
    model.set_weights([w + 0.05 for w in saved])
    model.save_weights(str(folder / "model" / "best.weights.h5"), overwrite=True)
    model.set_weights(saved)
    with pytest.raises(ValueError, match=r"another output .*made with microseg-notebooks 0\."):
        load_predictor(folder)


def test_baseline_without_its_normalisation_is_refused(star_run, tmp_path):
    folder = shutil.copytree(star_run[0], tmp_path / "stardist")
    (folder / "params.json").write_text('{"parameters": {"scheme": "Baseline"}}')
    with pytest.raises(ValueError, match="which was not saved"):
        load_predictor(folder)


def test_embedseg(image, tmp_path):
    pytest.importorskip("keras")
    from helpers import embedseg

    model = embedseg.build_embedding_unet(ndim=2, filters=2, depth=1)
    space = embedseg.EmbeddingSpace((1, 1), reach=30, radius=8)
    settings = {"thresholds": {"foreground": 0.5, "seed": 0.5, "min_size": 4}, "tta": False}
    normalize = Normalizer()
    expected = embedseg.predict_embedseg(model, normalize(image), space, **settings)
    save_predictor(tmp_path, "embedseg", model, space=space, normalizer=normalize, **settings)
    assert np.array_equal(load_predictor(tmp_path)(image), expected)
    with pytest.raises(ValueError, match="the settings of EmbedSeg lack thresholds"):
        save_predictor(tmp_path, "embedseg", model, space=space)


def test_fpn(image, tmp_path):
    keras = pytest.importorskip("keras")
    from helpers.fpn import FpnNetworks
    from helpers.fpn.field import segment_field
    from helpers.fpn.watershed_rule import WatershedRule

    x = keras.Input((None, None, 1))
    y = keras.layers.Conv2D(2, 3, padding="same", activation="sigmoid")(x)
    rule = WatershedRule(seed=0.5, foreground=0.3, min_area=2)
    networks = FpnNetworks({"distance_border": keras.Model(x, y)}, Normalizer(), rule)
    networks.save(tmp_path / "model")
    expected = segment_field(
        networks, image, rule=rule, normalize=networks.normalize, tile_shape=(256, 256)
    )
    assert np.array_equal(load_predictor(tmp_path)(image), expected)


def test_networks_of_three_dimensions_lie_in_a_part_of_the_run(image, tmp_path):
    keras = pytest.importorskip("keras")
    from helpers.em.mask_volume import split_touching
    from helpers.em.training import predict_foreground
    from helpers.predict.folder import predict_folder
    from helpers.unets import build_unet

    keras.utils.set_random_seed(1)
    volume = np.stack([image * level for level in np.linspace(0.8, 1.2, 8)])
    normalize, network = Normalizer(), build_unet("unet", ndim=3, filters=2, depth=1)
    p = predict_foreground(network, normalize(volume), tta=True)
    cut = float(np.quantile(p, 0.8))
    run = Run(tmp_path / "runs" / "cells" / "em_unet")
    split = SimpleNamespace(images=[volume] * 9, pixel_size_um=(0.5, 0.2, 0.2))
    settings = {"normalizer": normalize, "threshold": cut, "median_z": 1, "tta": True}
    written = run.save_predictor("em_unet", network, part="3d", split=split, **settings)
    assert written == run.folder / "3d" / "model" / "predictor.json"
    predictor = load_predictor(run.folder / "3d")
    assert predictor.ndim == 3
    assert predictor.trained_on["axes"] == "ZYX"
    assert predictor.trained_on["pixel_size_um"] == [0.5, 0.2, 0.2]
    expected = split_touching(p >= cut, min_distance=np.inf, min_size=0)
    assert expected.max() > 0 and np.array_equal(predictor(volume), expected)

    write_image(tmp_path / "new" / "stack.tif", volume, pixel_size_um=(0.5, 0.2, 0.2))
    write_image(tmp_path / "new" / "plane.tif", image)
    plane, stack = predict_folder(run.folder / "3d", tmp_path / "new", show=lambda line: None)
    assert (stack.status, stack.objects) == ("predicted", expected.max())
    assert plane.status == "failed" and "takes stacks (Z, Y, X)" in plane.note


def test_embedseg_in_three_dimensions(image, tmp_path):
    pytest.importorskip("keras")
    from helpers import embedseg

    volume = np.stack([image] * 4)
    model = embedseg.build_embedding_unet(ndim=3, filters=2, depth=1, grid=(1, 2, 2))
    space = embedseg.EmbeddingSpace((0.5, 0.2, 0.2), reach=6, radius=2)
    settings = {"thresholds": {"foreground": 0.5, "seed": 0.5, "min_size": 4}, "tta": False}
    expected = embedseg.predict_embedseg(model, Normalizer()(volume), space, **settings)
    run = Run(tmp_path)
    options = {"space": space, "normalizer": Normalizer(), **settings}
    run.save_predictor("embedseg", model, part="3d", **options)
    predictor = load_predictor(tmp_path / "3d")
    assert predictor.ndim == 3 and np.array_equal(predictor(volume), expected)


def test_thresholds_can_be_changed_for_one_prediction(star_run, image):
    predictor = load_predictor(star_run[0])
    assert predictor(image, prob_thresh=0.999).max() == 0 < predictor(image).max()


# Runs: what is saved by itself, and what old runs tell


@pytest.fixture
def em_run(small_unet, image, tmp_path, monkeypatch):
    """A run of notebook 05 before it is finished, with what its notebook saves."""
    monkeypatch.setenv("MICROSEG_RUNS", str(tmp_path / "runs"))
    for split in ("train", "test"):
        folder = tmp_path / "cells" / split
        write_image(folder / "images" / "a.tif", image, pixel_size_um=(0.1, 0.1))
        write_labels(folder / "masks" / "a.tif", (image > 300).astype(np.int32))
    run = open_run(
        tmp_path / "cells", "em_unet", params={"architecture": "unet"}, seed=1,
        data_folder=tmp_path / "cells",
    )  # fmt: skip
    run.save_mask("a", np.ones((40, 52)))
    run.save_predictor("em_unet", small_unet, normalizer=Normalizer(), threshold=0.6)
    return run


def finish(run):
    scores = {"scores": {"iou": 0.5}, "baseline": {}, "n_test": 1}
    return run.finish(**scores, seconds_train=1, seconds_predict=1)


def test_a_finished_run_describes_its_model(em_run):
    finish(em_run)
    record = json.loads((em_run.folder / "model" / "predictor.json").read_text())
    assert record["settings"]["threshold"] == 0.6
    assert record["trained_on"]["dtype"] == "float32"
    assert record["trained_on"]["pixel_size_um"] == pytest.approx([0.1, 0.1])
    assert record["versions"]["keras"]
    predictor = load_predictor(em_run.folder)
    assert predictor.name == "em_unet"
    assert predictor.trained_on["axes"] == "YX"


def test_preprocessing_and_thresholds_are_never_guessed(em_run, small_unet):
    shutil.rmtree(em_run.model_folder)
    save_model(small_unet, em_run.model_folder, np.zeros((1, 8, 8, 1), "float32"))
    finish(em_run)
    assert not (em_run.model_folder / "predictor.json").exists()
    with pytest.raises(ValueError, match="not the preprocessing and thresholds"):
        load_predictor(em_run.folder)


def test_a_run_that_cannot_predict_still_finishes(em_run, capsys):
    for image in em_run.data_folder.glob("*/images/*.tif"):
        image.write_bytes(b"no image")
    finish(em_run)
    assert "cannot be used by `python -m helpers predict`" in capsys.readouterr().out
    assert (em_run.folder / "summary.json").is_file()


def test_describe_images():
    facts = describe_images([np.arange(1001, dtype=np.uint16)], "YX", (0.2, 0.2))
    assert facts == {
        "axes": "YX", "dtype": "uint16", "low": 10, "high": 998, "pixel_size_um": [0.2, 0.2],
    }  # fmt: skip


# What is refused


def test_folders_without_a_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist: give a run folder"):
        load_predictor(tmp_path / "no")
    with pytest.raises(FileNotFoundError, match="holds no trained model"):
        load_predictor(tmp_path)
    (tmp_path / "cells" / "stardist" / "model").mkdir(parents=True)
    (tmp_path / "cells" / "stardist" / "model" / "weights.h5").touch()
    with pytest.raises(FileNotFoundError, match="in there are cells/stardist"):
        load_predictor(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "best.weights.h5").touch()
    with pytest.raises(ValueError, match="run the last cells of its notebook"):
        load_predictor(tmp_path)
    (tmp_path / "model" / "predictor.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read as JSON"):
        load_predictor(tmp_path)
    (tmp_path / "model" / "predictor.json").write_text('{"method": "cellpose"}')
    with pytest.raises(ValueError, match="method is 'cellpose', but this version knows"):
        load_predictor(tmp_path)


@pytest.mark.parametrize("name", ["model.pkl", "model.keras", "model.h5", "weights.pt"])
def test_model_files_that_may_hold_code(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04")
    with pytest.raises(ValueError, match="could run code when loaded"):
        load_predictor(tmp_path / name)


def edit_model(folder, change):
    path = folder / "model.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def test_code_in_a_model_file_is_not_run(small_unet, tmp_path):
    save_model(small_unet, tmp_path, np.zeros((1, 8, 8, 1), "float32"))
    load_model(tmp_path)
    good = (tmp_path / "model.json").read_text()
    marker = tmp_path / "was_run"
    layers = json.loads(good)["config"]["layers"]
    for part in (
        {"class_name": "Lambda", "module": "keras.layers", "config": {"function": "x"}},
        {"class_name": "system", "module": "os", "config": f"touch {marker}"},
        {"class_name": "Evil", "module": None, "registered_name": "other>Evil", "config": {}},
    ):
        edit_model(tmp_path, lambda c, p=part: c["config"].update(layers=[*layers, p]))
        with pytest.raises(ValueError, match="is not run: take a model saved by this project"):
            load_model(tmp_path)
        (tmp_path / "model.json").write_text(good)
    assert not marker.exists() and os.path.exists(tmp_path / "model.json")


def test_damaged_model_files_are_named(small_unet, tmp_path):
    save_model(small_unet, tmp_path, np.zeros((1, 8, 8, 1), "float32"))
    weights = tmp_path / "model.weights.h5"
    weights.write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"model\.weights\.h5 cannot be read"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text('{"class_name"')
    with pytest.raises(ValueError, match=r"model\.json cannot be read"):
        load_model(tmp_path)


def test_rounding_of_another_device_is_no_error(small_unet, tmp_path):
    example = np.random.default_rng(0).random((1, 16, 16, 1)).astype("float32")
    save_model(small_unet, tmp_path, example)
    with np.load(tmp_path / "example.npz") as stored:
        arrays = dict(stored)
    top = arrays["output0"].max()
    for factor, is_good in ((0.001, True), (0.05, False)):
        np.savez(
            tmp_path / "example.npz", **{**arrays, "output0": arrays["output0"] + factor * top}
        )
        if is_good:
            load_model(tmp_path)
        else:
            with pytest.raises(ValueError, match="another output than when it was saved"):
                load_model(tmp_path)


def test_run_methods_are_those_of_the_registry(tmp_path):
    with pytest.raises(ValueError, match="method is 'unet', but this version knows n2v"):
        Run(tmp_path).save_predictor("unet")
