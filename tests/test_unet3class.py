"""The three-class U-Net: size, loss, batches, weights from a denoiser, thresholds."""

from functools import partial
from itertools import islice

import numpy as np
import pytest

from helpers import denoise, unet3class
from helpers.instances import grow_seeds, label_foreground, typical_radius

FLIPS = slice(None), slice(None, None, -1)


@pytest.fixture(scope="module")
def network():
    model = unet3class.build_unet3class(depth=1, filters=4)
    unet3class.compile_unet3class(model, learning_rate=0.01)
    return model


def squares(n=3, size=32):
    """Return label images with two touching squares and one alone."""
    labels = np.zeros((size, size), np.int32)
    labels[4:14, 4:12], labels[4:14, 12:20], labels[20:28, 8:16] = 1, 2, 3
    return [labels.copy() for _ in range(n)]


@pytest.mark.parametrize(("depth", "parameters"), [(3, 1_370_275), (4, 5_505_443)])
def test_published_sizes(depth, parameters):
    assert unet3class.build_unet3class(depth=depth, filters=32).count_params() == parameters


def test_loss_by_hand(network):
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]])).reshape(1, 1, 2, 3)
    classes = np.array([0, 2]).reshape(1, 1, 2, 1)
    expected = (-np.log(0.7) - 5 * np.log(0.5)) / 2
    assert float(network.loss(classes, logits.astype("float32"))) == pytest.approx(expected)


def test_loss_does_not_overflow(network):
    logits = np.array([1e4, -1e4, 0.0], np.float32).reshape(1, 1, 1, 3)
    assert float(network.loss(np.zeros((1, 1, 1, 1)), logits)) == 0


def test_batches_keep_image_and_classes_together():
    labels = squares()
    images = [y.astype(np.float32) for y in labels]

    def augment(x, c, rng):
        return np.flip(x, 0), np.flip(c, 0)

    batches = unet3class.class_batches(
        images, labels, patch_size=(16, 16), batch_size=3, augment=augment
    )
    for x, y in islice(batches(0), 5):
        assert x.shape == y.shape == (3, 16, 16, 1)
        assert ((y == 1) <= (x > 0)).all()  # the inside lies on objects
        assert ((x == 0) <= (y != 1)).all()
    first, again, later = (next(batches(epoch))[0] for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, later)


def test_batches_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="images is empty"):
        unet3class.class_batches([], [], patch_size=(8, 8), batch_size=1)
    with pytest.raises(ValueError, match="smaller than patch_size \\(64, 64\\)"):
        unet3class.class_batches(squares(), squares(), patch_size=(64, 64), batch_size=1)


def test_probabilities_of_any_size_sum_to_one(network):
    image = np.random.default_rng(0).normal(size=(13, 22)).astype(np.float32)
    found = unet3class.predict_classes(network, image, depth=1)
    assert found.shape == (13, 22, 3)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)


def test_all_turns_of_an_image_give_the_turns_of_one_prediction(network):
    image = np.random.default_rng(0).normal(size=(13, 22)).astype(np.float32)
    image = np.pad(image, [(0, 3), (0, 2)])  # fits depth 1, so nothing is mirrored on one side only
    predict = partial(unet3class.predict_classes, network, depth=1)
    found = predict(image, tta=True)
    np.testing.assert_allclose(predict(image.T, tta=True), found.swapaxes(0, 1), atol=1e-6)
    np.testing.assert_allclose(predict(image[::-1], tta=True), found[::-1], atol=1e-6)
    by_hand = [predict(image[y, x])[y, x] for y in FLIPS for x in FLIPS]
    by_hand += [predict(image[y, x].T).swapaxes(0, 1)[y, x] for y in FLIPS for x in FLIPS]
    np.testing.assert_allclose(found, np.mean(by_hand, axis=0), atol=1e-6)
    assert np.abs(found - predict(image)).max() > 1e-3


def test_training_lowers_the_loss(network):
    labels = squares()
    images = [y.astype(np.float32) for y in labels]
    batches = unet3class.class_batches(images, labels, patch_size=(32, 32), batch_size=2)(0)
    losses = [network.train_on_batch(x, y) for x, y in islice(batches, 30)]
    assert losses[-1] < 0.7 * losses[0]


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory):
    images = [np.random.default_rng(0).normal(size=(16, 16))]
    return denoise.make_denoiser(images, tmp_path_factory.mktemp("n2v"), depth=1, filters=4)


def test_weights_of_the_denoiser_give_its_features(denoiser):
    """Before the last layer both networks compute the same, so both were copied in full."""
    import keras

    source, target = denoiser.keras_model, unet3class.build_unet3class(depth=1, filters=4)
    rng = np.random.default_rng(1)
    source.set_weights([np.abs(rng.normal(size=w.shape)) for w in source.get_weights()])
    n_copied = unet3class.copy_weights(source, target)
    assert n_copied == len(source.get_weights()) - 2 == len(target.get_weights()) - 2
    x = rng.normal(size=(1, 16, 16, 1)).astype(np.float32)
    features = [keras.Model(m.inputs, m.layers[-3].output)(x) for m in (source, target)]
    np.testing.assert_array_equal(*[np.asarray(f) for f in features])


def test_weights_are_not_copied_in_part(denoiser):
    target = unet3class.build_unet3class(depth=1, filters=8)
    before = target.get_weights()
    with pytest.raises(ValueError, match="layers differ between the networks"):
        unet3class.copy_weights(denoiser.keras_model, target)
    for old, new in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_components_share_sides_not_corners():
    foreground = np.array([[0.9, 0.2, 0.8], [0.2, 0.9, 0.8], [0.6, 0.1, 0.1]])
    assert label_foreground(foreground).tolist() == [[1, 0, 2], [0, 2, 2], [3, 0, 0]]
    assert label_foreground(foreground, min_area=2).tolist() == [[0, 0, 1], [0, 1, 1], [0, 0, 0]]
    assert label_foreground(foreground, threshold=0.95).max() == 0


def test_seeds_grow_to_the_watershed():
    foreground = np.array([[0.9, 0.8, 0.6, 0.4, 0.5, 0.8, 0.9, 0.1]])
    found = grow_seeds(foreground, seed_threshold=0.7, mask_threshold=0.3)
    assert found.tolist() == [[1, 1, 1, 1, 2, 2, 2, 0]]
    equal = grow_seeds(foreground, seed_threshold=0.5, mask_threshold=0.5)
    np.testing.assert_array_equal(equal, label_foreground(foreground, threshold=0.5))
    with pytest.raises(ValueError, match="objects can only grow"):
        grow_seeds(foreground, seed_threshold=0.3, mask_threshold=0.5)


def test_seeds_are_cut_at_the_waist():
    y, x = np.mgrid[:24, :44]
    discs = [np.hypot(y - 12, x - centre) < 9 for centre in (12, 28)]
    foreground = 0.9 * np.logical_or(*discs)  # one piece that the threshold cannot divide
    assert grow_seeds(foreground).max() == 1
    found = grow_seeds(foreground, min_distance=5.0)
    assert found.max() == 2
    assert len(np.unique(found[:, :20])) == 2  # background and the left disc
    assert np.array_equal(found > 0, foreground > 0)
    ring = foreground * ~(np.hypot(y - 12, x - 12) < 2)  # a dim nucleolus makes no second middle
    assert np.array_equal(grow_seeds(ring, min_distance=5.0), found)


def test_typical_radius_is_that_of_the_median_object():
    labels = np.zeros((20, 40), int)
    labels[:2, :2], labels[5:9, 5:9], labels[10:20, 20:40] = 1, 2, 3
    radius, area = typical_radius([labels])
    assert area == 16
    assert radius == pytest.approx((16 / np.pi) ** 0.5)
    assert typical_radius([labels], spacing=(0.5, 0.5))[0] == pytest.approx(radius / 2)
    with pytest.raises(ValueError, match="hold no objects"):
        typical_radius([labels * 0])


def test_thresholds_are_those_that_separate():
    labels = squares(1)
    inside = np.where(labels[0] > 0, 0.9, 0.0)
    inside[4:14, 11:13] *= 0.5  # the contact, at 0.45
    assert unet3class.tune_components([inside], labels) == {"threshold": 0.85}
    best = unet3class.tune_watershed([inside], labels)
    found = grow_seeds(inside, **best)
    assert len(np.unique(found)) == 4
    assert best["seed_threshold"] > 0.45
    # a seed that grows over the contact has all pixels of its square
    assert np.count_nonzero(found) == np.count_nonzero(labels[0])


def test_validation_score_takes_the_best_threshold(network):
    labels = squares(2)
    score = unet3class.ForegroundAP([y / 3 for y in labels], labels, depth=1)(network)
    assert list(score) == ["val_ap"]
    assert 0 <= score["val_ap"] <= 1
    few = unet3class.ForegroundAP([y / 3 for y in labels], labels, depth=1, max_pixels=10)
    assert len(few.images) == 1
