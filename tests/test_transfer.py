import keras
import numpy as np
import pytest

from helpers.training.transfer import freeze_body, unfreeze_body
from helpers.unets import build_unet


def small(depth=2, filters=4):
    return build_unet("afm_unet", depth=depth, filters=filters, dropout=0.0)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 16, 16, 1)).astype("float32")
    return x, (x > 0).astype("float32")


def test_frozen_down_path_stays_and_the_rest_learns(data):
    model = small()
    before = [w.numpy().copy() for w in model.weights]
    n_frozen = freeze_body(model)
    assert 0 < n_frozen < model.count_params()
    model.compile("adam", "binary_crossentropy")
    model.fit(*data, epochs=2, verbose=0)
    changed = [not np.array_equal(a, w.numpy()) for a, w in zip(before, model.weights, strict=True)]
    down = sum(len(layer.weights) for layer in model.layers if not layer.trainable)
    # layers come in the order of the data's way: all that is frozen is in front
    assert not any(changed[:down]) and all(changed[down:])
    unfreeze_body(model)
    model.compile("adam", "binary_crossentropy")
    model.fit(*data, epochs=1, verbose=0)
    assert not np.array_equal(before[0], model.weights[0].numpy())


def test_encoder_networks_use_their_encoder():
    inputs = keras.Input((8, 8, 1))
    encoder = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3, padding="same")],
                               name="encoder")  # fmt: skip
    model = keras.Model(inputs, keras.layers.Conv2D(1, 1)(encoder(inputs)))
    assert freeze_body(model) == 20 and not encoder.trainable
    unfreeze_body(model)
    assert encoder.trainable and not model.non_trainable_weights


def test_no_unet():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="no U-Net"):
        freeze_body(model)
