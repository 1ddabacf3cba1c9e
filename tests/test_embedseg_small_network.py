import numpy as np
import pytest

from helpers.embedseg import build_embedding_unet, predict_raw
from helpers.saving import load_model, save_model

keras = pytest.importorskip("keras")


@pytest.fixture(scope="module")
def flat():
    keras.utils.set_random_seed(0)
    return build_embedding_unet(2, filters=4, depth=2)


@pytest.fixture(scope="module")
def deep():
    keras.utils.set_random_seed(0)
    return build_embedding_unet(ndim=3, filters=4, depth=1, grid=(1, 2, 2))


def test_output_has_the_size_of_any_input_that_fits(flat, deep):
    for shape in ((8, 24), (40, 16)):
        assert flat.predict_on_batch(np.zeros((1, *shape, 2))).shape == (1, *shape, 5)
    assert deep.predict_on_batch(np.zeros((1, 6, 8, 12, 1))).shape == (1, 6, 8, 12, 7)


def test_an_untrained_network_leaves_pixels_in_place_with_sigma_one(flat, deep):
    rng = np.random.default_rng(0)
    for model, shape in ((flat, (16, 16, 2)), (deep, (4, 8, 16, 1))):
        ndim = len(shape) - 1
        raw = model.predict_on_batch(rng.normal(size=(1, *shape)))
        assert (raw[..., :ndim] == 0).all() and (raw[..., ndim : 2 * ndim] == 1).all()
        assert raw[..., -1].std() > 0


def test_outputs_are_named_as_in_the_published_network(flat):
    assert {"offset", "sigma", "seed", "raw"} <= {layer.name for layer in flat.layers}


def test_filters_double_at_each_level():
    wide = build_embedding_unet(filters=4, depth=2)
    found = {w.shape[-1] for w in wide.trainable_weights if w.path.endswith("kernel")}
    assert {4, 8, 16} <= found and max(found) == 16


def test_images_of_any_size_are_padded_to_what_the_network_takes(flat):
    image = np.random.default_rng(1).normal(size=(19, 30, 2)).astype(np.float32)
    raw = predict_raw(flat, image)
    assert raw.shape == (19, 30, 5)
    with pytest.raises(ValueError, match="give 2 multiples of 8"):  # grid 2, twice halved
        predict_raw(flat, image, tile_shape=(12, 16))


def test_it_can_be_saved_and_loaded(flat, tmp_path):
    image = np.random.default_rng(2).normal(size=(1, 16, 16, 2))
    save_model(flat, tmp_path / "model", image)
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_on_batch(image), flat.predict_on_batch(image))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ndim": 4}, "ndim=4"),
        ({"depth": 0}, "depth=0"),
        ({"filters": 0}, "filters=0"),
        ({"grid": (1, 2, 2)}, "size is .1, 2, 2.: give one number, or 2"),
    ],
)
def test_impossible_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build_embedding_unet(**options)
