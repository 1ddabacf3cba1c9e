import numpy as np
import pytest

from helpers.embedseg.network import build_branched_erfnet
from helpers.saving import load_model, save_model

keras = pytest.importorskip("keras")


def count_trainable(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


@pytest.fixture(scope="module")
def small():
    """A quarter of the filters and one pass of the dilated blocks."""
    return build_branched_erfnet(width=0.25, n_context=1, seed=1)


@pytest.fixture(scope="module")
def small_3d():
    return build_branched_erfnet(ndim=3, width=0.25, n_context=1, seed=1)


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ({}, 2_251_979),
        ({"ndim": 3}, 3_689_243),
        # three times 3 x 3 x 14 and not x 15 weights, and 14 not 15 biases, but pooled channels
        ({"n_channels": 3}, 2_251_979 + 9 * (3 * 13 - 15) - 2),
    ],
)
def test_the_network_has_the_published_number_of_weights(options, number):
    model = build_branched_erfnet(**options)
    assert count_trainable(model) == number
    names = {layer.name for layer in model.layers}
    assert {"offset", "sigma", "seed", "raw"} <= names


def test_half_the_width_has_a_quarter_of_the_weights():
    assert count_trainable(build_branched_erfnet(width=0.5)) == 566_691


def test_output_has_the_size_of_any_input_that_is_a_multiple_of_eight(small, small_3d):
    for shape in ((8, 24), (40, 16)):
        assert small.predict_on_batch(np.zeros((2, *shape, 1))).shape == (2, *shape, 5)
    assert small_3d.predict_on_batch(np.zeros((1, 8, 16, 24, 1))).shape == (1, 8, 16, 24, 7)


def test_an_untrained_network_leaves_pixels_in_place_with_sigma_one(small, small_3d):
    rng = np.random.default_rng(0)
    for model, shape in ((small, (16, 16)), (small_3d, (8, 8, 16))):
        ndim = len(shape)
        raw = model.predict_on_batch(rng.normal(size=(1, *shape, 1)))
        assert (raw[..., :ndim] == 0).all() and (raw[..., ndim : 2 * ndim] == 1).all()
        assert raw[..., -1].std() > 0


def test_equal_seeds_give_equal_weights_and_layers_differ():
    one, two, other = (
        build_branched_erfnet(width=0.25, n_context=1, seed=seed) for seed in (1, 1, 2)
    )
    first, again, third = (model.get_layer("seed").get_weights()[0] for model in (one, two, other))
    np.testing.assert_array_equal(first, again)
    assert (first != third).any()
    kernels = [w.numpy().ravel()[:5].tolist() for w in one.trainable_weights if "kernel" in w.path]
    drawn = [tuple(values) for values in kernels if any(values)]
    assert len(set(drawn)) == len(drawn) > 40


def test_dropout_acts_in_training_alone(small):
    image = np.random.default_rng(0).normal(size=(1, 16, 16, 1)).astype("float32")
    plain = [np.asarray(small(image, training=False)) for _ in range(2)]
    np.testing.assert_array_equal(*plain)
    # statistics of the batch differ too, so dropout shows in two runs with them
    trained = [np.asarray(small(image, training=True)) for _ in range(2)]
    assert (trained[0] != trained[1]).any()


def test_every_weight_is_penalised_by_the_published_decay():
    model = build_branched_erfnet(width=0.25, n_context=1, l2=5e-5)
    expected = sum(5e-5 * float((w.numpy() ** 2).sum()) for w in model.trainable_weights)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)
    assert len(model.losses) == len(model.trainable_weights)


def test_batch_normalisation_follows_quickly(small):
    layers = [x for x in small.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert layers and {(x.momentum, x.epsilon) for x in layers} == {(0.9, 1e-3)}


def test_the_volume_network_learns(small_3d):
    image = np.zeros((1, 8, 16, 16, 1), "float32")
    image[:, :, 4:12, 4:12] = 1
    target = np.concatenate([image] * 7, axis=-1)
    small_3d.compile(keras.optimizers.Adam(0.02), "mse", run_eagerly=True)  # tracing takes long
    values = [float(small_3d.train_on_batch(image, target)) for _ in range(5)]
    assert values[-1] < 0.8 * values[0]


def test_it_can_be_saved_and_loaded(small, tmp_path):
    example = np.random.default_rng(0).normal(size=(1, 16, 16, 1)).astype("float32")
    again = load_model(save_model(small, tmp_path / "model", example))
    assert again.count_params() == small.count_params()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ndim": 4}, "ndim is 4"),
        ({"n_channels": 16}, "n_channels is 16: with width 1.0 the first level has 16 filters"),
        ({"width": 0}, "width=0"),
        ({"n_context": 0}, "n_context=0"),
    ],
)
def test_impossible_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build_branched_erfnet(**options)
