import math
import warnings

import keras
import numpy as np
import pytest
from keras import ops

from helpers.losses import (
    LOSSES,
    BinaryCrossentropy,
    BorderWeightedCrossentropy,
    Dice,
    DiceCrossentropy,
    Focal,
    FocalTversky,
    LogCoshDice,
    Tversky,
    border_weights,
    check_collapse,
    make_loss,
)

OF_PIXELS = ["bce", "focal", "border_bce"]
OF_SUMS = ["dice", "dice_bce", "log_cosh_dice", "tversky", "focal_tversky"]

# one image of four pixels: TP = .8 + .4 = 1.2, FN = .2 + .6 = .8, FP = .2 + 0 = .2
TRUE = np.array([1, 1, 0, 0], np.uint8).reshape(1, 2, 2, 1)
PRED = np.array([0.8, 0.4, 0.2, 0.0], np.float32).reshape(1, 2, 2, 1)


def value(loss, true=TRUE, pred=PRED):
    return float(loss(true, pred))


def make_pair(*shape, seed=0, share=0.3):
    """Masks, logits that fit them roughly, and a map of weights."""
    rng = np.random.default_rng(seed)
    true = (rng.random(shape) < share).astype(np.float32)
    return true, (3 * true - 1.5 + rng.normal(0, 1.5, shape)).astype(np.float32)


def pack(name, true):
    """Add the second channel that the border-weighted loss wants."""
    return np.concatenate([true, 1 + true], -1) if name == "border_bce" else true


def slope(loss, true, pred):
    """Gradient of the loss by each predicted value."""
    import tensorflow as tf

    pred = tf.Variable(pred)
    with tf.GradientTape() as tape:
        result = loss(true, pred)
    return tape.gradient(result, pred).numpy()


# values worked out by hand


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (Dice(), 1 - (2 * 1.2 + 1) / (2 + 1.4 + 1)),
        (Dice(smooth=0.1), 1 - (2.4 + 0.1) / (3.4 + 0.1)),
        (LogCoshDice(), math.log(math.cosh(1 / 4.4))),
        (Tversky(), 1 - (1.2 + 1) / (1.2 + 0.7 * 0.8 + 0.3 * 0.2 + 1)),
        (Tversky(smooth=1e-15), 1 - 1.2 / (1.2 + 0.62)),
        (Tversky(alpha=0.2, beta=0.9), 1 - 2.2 / (1.2 + 0.16 + 0.18 + 1)),
        (FocalTversky(), (0.62 / 2.82) ** 0.75),
        (FocalTversky(gamma=2), (0.62 / 2.82) ** 2),
        (BinaryCrossentropy(), -(math.log(0.8) + math.log(0.4) + math.log(0.8)) / 4),
        (
            DiceCrossentropy(),
            0.66 / 4.4 - 0.33 * (2 * math.log(0.8) + math.log(0.4)) / 4,
        ),
        (
            Focal(),
            -(
                0.25 * (0.2**2 * math.log(0.8) + 0.6**2 * math.log(0.4))
                + 0.75 * 0.2**2 * math.log(0.8)
            )
            / 4,
        ),
        (
            Focal(alpha=None, gamma=1),
            -(0.2 * math.log(0.8) + 0.6 * math.log(0.4) + 0.2 * math.log(0.8)) / 4,
        ),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, keras.losses.Loss) else "",
)
def test_losses_of_four_pixels_are_worked_out_by_hand(loss, expected):
    assert value(loss) == pytest.approx(expected, rel=1e-5)


def test_border_weights_multiply_each_pixel():
    weights = np.array([1, 3, 0, 0.5]).reshape(1, 2, 2, 1)
    expected = -(1 * math.log(0.8) + 3 * math.log(0.4) + 0.5 * math.log(1.0)) / 4
    packed = np.concatenate([TRUE, weights], -1)
    assert value(BorderWeightedCrossentropy(), packed) == pytest.approx(expected, rel=1e-5)
    # the same as a map of sample weights
    weighted = BinaryCrossentropy()(TRUE, PRED, sample_weight=weights[..., 0])
    assert float(weighted) == pytest.approx(expected, rel=1e-5)


def test_batch_and_images_are_worked_out_by_hand():
    # a full image (TP 4) predicted half and an empty one (FP 2)
    true = np.stack([np.ones((2, 2, 1)), np.zeros((2, 2, 1))])
    pred = np.full_like(true, 0.5)
    # first image: TP 2, FN 2: 2 / (4 + 2 + 1); second: FP 2: 2 / (2 + 1)
    assert value(Dice(per_image=True), true, pred) == pytest.approx((2 / 7 + 2 / 3) / 2)
    assert value(Dice(), true, pred) == pytest.approx(4 / (4 + 4 + 1))
    separate = Dice(per_image=True, reduction=None)(true, pred)
    np.testing.assert_allclose(separate, [2 / 7, 2 / 3], rtol=1e-6)


# agreement with others, and properties


def test_losses_agree_with_those_of_keras():
    true, logits = make_pair(2, 8, 8, 1)
    pred = ops.convert_to_numpy(ops.sigmoid(logits))
    assert value(BinaryCrossentropy(), true, pred) == pytest.approx(
        float(keras.losses.BinaryCrossentropy()(true, pred)), rel=1e-5
    )
    focal = keras.losses.BinaryFocalCrossentropy(apply_class_balancing=True)
    assert value(Focal(), true, pred) == pytest.approx(float(focal(true, pred)), rel=1e-4)
    assert value(Dice(smooth=1e-7), true, pred) == pytest.approx(
        float(keras.losses.Dice()(true, pred)), rel=1e-5
    )
    tversky = keras.losses.Tversky(alpha=0.7, beta=0.3)
    assert value(Tversky(smooth=1e-7), true, pred) == pytest.approx(
        float(tversky(true, pred)), rel=1e-5
    )


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("shape", [(2, 6, 5, 1), (2, 3, 6, 5, 1)], ids=["2D", "3D"])
def test_logits_and_probabilities_give_the_same(name, per_image, shape):
    true, logits = make_pair(*shape)
    true, pred = pack(name, true), ops.convert_to_numpy(ops.sigmoid(logits))
    from_logits = make_loss(name, per_image=per_image, from_logits=True)
    expected = value(make_loss(name, per_image=per_image), true, pred)
    assert value(from_logits, true, logits) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", OF_SUMS)
def test_per_image_is_the_mean_of_single_images(name):
    true, logits = make_pair(3, 6, 5, 1)
    true[1] = 0
    loss = make_loss(name, from_logits=True)
    single = [value(loss, true[i : i + 1], logits[i : i + 1]) for i in range(3)]
    images = make_loss(name, from_logits=True, per_image=True)
    assert value(images, true, logits) == pytest.approx(np.mean(single), rel=1e-5)
    assert abs(value(loss, true, logits) - np.mean(single)) > 1e-3


@pytest.mark.parametrize("name", OF_SUMS)
def test_images_can_be_weighted(name):
    true, logits = make_pair(2, 6, 5, 1)
    loss = make_loss(name, from_logits=True, per_image=True)
    first = value(loss, true[:1], logits[:1])
    weighted = loss(true, logits, sample_weight=np.array([2.0, 0.0]))
    assert float(weighted) == pytest.approx(first, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_better_predictions_cost_less(name):
    true, _ = make_pair(2, 6, 5, 1)
    loss = make_loss(name, from_logits=True)
    costs = [value(loss, pack(name, true), k * (2 * true - 1)) for k in (-3, -1, 0, 1, 3, 12)]
    assert (np.diff(costs) < 0).all() and costs[-1] < 0.01


@pytest.mark.parametrize("name", OF_SUMS)
def test_an_empty_image_found_empty_costs_nothing(name):
    true = np.zeros((2, 4, 4, 1))
    assert value(make_loss(name), true, np.zeros_like(true)) < 1e-5
    assert value(make_loss(name), true, np.ones_like(true)) > 0.4
    full = np.ones_like(true)
    assert value(make_loss(name), full, full) < 1e-5
    assert value(make_loss(name, from_logits=True), true, true - 60) < 1e-5


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("truth", [0.0, 1.0, None], ids=["empty", "full", "mixed"])
def test_value_and_gradient_are_finite_at_extremes(name, truth):
    mixed, _ = make_pair(1, 4, 5, 1)
    true = pack(name, mixed if truth is None else np.full((1, 4, 5, 1), truth))
    ends = [(True, [-1e4, -90, 0, 90, 1e4]), (False, [0, 1e-38, 1e-7, 0.5, 1])]
    for from_logits, values in ends:
        pred = np.tile(np.float32(values), (1, 4, 1))[..., None]
        loss = make_loss(name, from_logits=from_logits)
        assert math.isfinite(value(loss, true, pred))
        assert np.isfinite(slope(loss, true, pred)).all()
    # powers below 1 have an infinite slope at 0
    if name == "focal":
        steep = Focal(gamma=0.5, from_logits=from_logits)
        assert np.isfinite(slope(steep, true, pred)).all()


@pytest.mark.parametrize("name", OF_SUMS)
def test_gradient_is_finite_at_a_perfect_prediction(name):
    true, _ = make_pair(1, 4, 4, 1)
    assert np.isfinite(slope(make_loss(name), true, true.copy())).all()


def test_gradients_agree_with_differences():
    true, logits = make_pair(2, 3, 3, 1)
    for name in LOSSES:
        loss, packed = make_loss(name, from_logits=True), pack(name, true)
        step = np.zeros_like(logits)
        step[1, 2, 0] = 0.05
        difference = (value(loss, packed, logits + step) - value(loss, packed, logits - step)) / 0.1
        found = slope(loss, packed, logits)[1, 2, 0, 0]
        assert found == pytest.approx(difference, rel=2e-2, abs=1e-5), name


def test_a_pixel_wrongly_called_background_can_come_back():
    true, pred = np.ones((1, 1, 1, 1)), np.full((1, 1, 1, 1), 1e-9, np.float32)
    assert slope(BinaryCrossentropy(), true, pred)[0, 0, 0, 0] == pytest.approx(-1e9, rel=1e-3)
    assert slope(keras.losses.BinaryCrossentropy(), true, pred)[0, 0, 0, 0] == 0  # Keras clips


def test_the_axis_of_one_channel_may_be_missing():
    for name in ("bce", "dice", "focal"):
        loss = make_loss(name)
        assert value(loss, TRUE[..., 0], PRED) == value(loss, TRUE, PRED)


# dtypes, saving, training


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64, bool])
def test_masks_of_any_dtype_and_half_precision_give_float32_without_warning(name, dtype):
    true, logits = make_pair(1, 64, 64, 1)
    if name == "border_bce" and dtype is bool:
        return
    loss = make_loss(name, from_logits=True)
    expected = value(loss, pack(name, true), logits)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        packed = pack(name, true).astype(dtype)
        found = loss(packed, ops.cast(logits, "float16"))
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    assert float(found) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_saved_with_their_settings(name):
    settings = {"from_logits": True, "per_image": True, "name": "mine"}
    for option in ("smooth", "alpha", "gamma", "dice_weight"):
        settings |= {option: 0.4} if option in LOSSES[name].settings else {}
    loss = make_loss(name, **settings)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss) and again.get_config() == loss.get_config()
    assert again.get_config().items() >= settings.items()
    true, logits = make_pair(2, 4, 4, 1)
    assert value(again, pack(name, true), logits) == value(loss, pack(name, true), logits)


@pytest.fixture(scope="module")
def start():
    keras.utils.set_random_seed(3)
    image = keras.Input((16, 16, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    return keras.Model(image, keras.layers.Conv2D(1, 1)(x))


@pytest.mark.parametrize("name", ["dice_bce", "focal_tversky", "border_bce"])
def test_a_network_learns_with_the_loss_and_is_saved_with_it(start, name, tmp_path):
    model = keras.models.clone_model(start)
    model.set_weights(start.get_weights())
    true, _ = make_pair(4, 16, 16, 1)
    images = true + np.random.default_rng(1).normal(0, 0.2, true.shape)
    model.compile(keras.optimizers.Adam(0.03), make_loss(name, from_logits=True))
    history = model.fit(images, pack(name, true), epochs=25, verbose=0).history["loss"]
    assert history[-1] < 0.8 * history[0]
    if name == "dice_bce":
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        assert isinstance(again.loss, DiceCrossentropy) and again.loss.from_logits


# border weights


def test_weights_between_two_objects_are_worked_out_by_hand():
    labels = np.zeros((1, 12), int)
    labels[0, :2], labels[0, 6:] = 1, 2
    weights = border_weights(labels)
    # pixel 3: two pixels from the first, three from the second object
    assert weights[0, 3] == pytest.approx(0.5 + 10 * math.exp(-25 / 50), rel=1e-5)
    assert weights[0, 1] == pytest.approx(1 + 10 * math.exp(-25 / 50), rel=1e-5)  # 0 and 5
    assert weights[0, 11] == pytest.approx(1 + 10 * math.exp(-100 / 50), rel=1e-5)  # 0 and 10
    assert weights.dtype == np.float32


def test_one_object_or_none_gives_plain_weights():
    assert border_weights(np.array([[0, 7, 7]])).tolist() == [[0.5, 1, 1]]
    assert border_weights(np.zeros((2, 2), np.uint16)).tolist() == [[0.5] * 2] * 2


@pytest.mark.parametrize("shape", [(40, 50), (9, 20, 20)])
def test_weights_agree_with_whole_distance_maps(shape):
    from scipy.ndimage import distance_transform_edt

    rng = np.random.default_rng(0)
    labels = np.zeros(shape, int)
    for label in (3, 4, 9, 2_000_000_000):
        labels[tuple(slice(c, c + 4) for c in rng.integers(0, np.array(shape) - 4))] = label
    away = np.sort([distance_transform_edt(labels != k) for k in np.unique(labels)[1:]], axis=0)
    ridge = 4 * np.exp(-((away[0] + away[1]) ** 2) / (2 * 1.5**2))
    found = border_weights(labels, strength=4, sigma=1.5, foreground=2, background=1)
    np.testing.assert_allclose(found, np.where(labels > 0, 2, 1) + ridge, atol=1e-6)


# all background


def make_field(share, seed=0):
    return np.random.default_rng(seed).random((64, 64)) < share


def test_a_collapsed_network_is_told_what_to_do():
    truth = make_field(0.06)
    noise = np.random.default_rng(1).uniform(0, 0.02, truth.shape)
    message = check_collapse(noise, truth)
    share = truth.mean()
    assert message.startswith(f"the network calls all 4096 pixels background, but {truth.sum()} ")
    assert f"({math.log(share / (1 - share)):.2f})" in message
    assert all(word in message for word in ("bias", "DiceCrossentropy", "patches", "rate"))


def test_a_network_that_learns_raises_no_alarm():
    truth = make_field(0.06)
    noise = np.random.default_rng(1).uniform(0, 0.02, truth.shape)
    assert check_collapse(truth * 0.9, truth) is None
    assert check_collapse(noise + 0.02 * truth, truth) is None  # low, but in the right places
    assert check_collapse(np.full(truth.shape, 0.6), truth) is None  # the opposite, not this
    # a few lucky pixels are not enough
    few = noise.copy()
    few[0, :2] = 0.9
    assert check_collapse(few, truth).startswith("the network calls nearly all")


def test_logits_need_their_own_threshold():
    truth = make_field(0.1)
    assert check_collapse(np.full(truth.shape, -4.0), truth, threshold=0) is not None
    assert check_collapse(np.where(truth, 3.0, -4.0), truth, threshold=0) is None


def test_what_cannot_be_judged_is_said():
    empty = np.zeros((4, 4))
    assert "no foreground" in check_collapse(empty, empty)
    assert "no value above 0.00392" in check_collapse(empty, np.eye(4) / 255)
    assert "no numbers" in check_collapse(empty * np.nan, np.eye(4))
    assert "background" in check_collapse(empty, empty + 1)
    with pytest.raises(ValueError, match="predictions hold 16 values and targets 4"):
        check_collapse(empty, np.eye(2))


# errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: make_loss("iou"), "name is 'iou': give one of 'bce'", id="name"),
        pytest.param(lambda: Dice(smooth=0), "smooth is 0: give a number above 0", id="smooth"),
        pytest.param(lambda: Focal(alpha=2), "alpha is 2", id="alpha"),
        pytest.param(lambda: Focal(gamma=-1), "gamma is -1", id="gamma"),
        pytest.param(lambda: Dice()(TRUE[:, :1], PRED), r"y_true has shape \(1, 1, 2, 1\)", id="Y"),
        pytest.param(
            lambda: BorderWeightedCrossentropy()(TRUE, PRED), "give two channels", id="weights"
        ),
        pytest.param(lambda: border_weights(PRED[0]), "labels has dtype float32", id="labels"),
        pytest.param(lambda: border_weights(np.eye(2, dtype=int), sigma=0), "sigma is 0", id="sig"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
