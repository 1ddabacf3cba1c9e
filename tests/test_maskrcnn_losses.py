import keras
import numpy as np
from keras import ops

from helpers.maskrcnn import losses


def test_smooth_l1_by_hand():
    found = losses.smooth_l1(np.float32([0, 0.5, -1, 3]))
    np.testing.assert_allclose(ops.convert_to_numpy(found), [0, 0.125, 0.5, 2.5])


def test_empty_rows_do_not_count():
    values = np.float32([1, 2, 100])
    assert float(losses.weighted_mean(values, np.float32([1, 1, 0]))) == 1.5
    assert float(losses.weighted_mean(values, np.float32([0, 0, 0]))) == 0


def test_cross_entropies_equal_those_of_keras():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(0, 3, 9).astype("float32"), rng.random(9).astype("float32")
    expected = keras.ops.binary_crossentropy(targets, ops.sigmoid(logits))
    np.testing.assert_allclose(losses.binary_loss(logits, targets), expected, rtol=1e-4)
    logits, classes = rng.normal(0, 3, (2, 5, 4)).astype("float32"), rng.integers(0, 4, (2, 5))
    one_hot = ops.one_hot(classes, 4)
    expected = keras.ops.categorical_crossentropy(one_hot, logits, from_logits=True)
    found = losses.class_loss(classes, logits, np.ones((2, 5), "float32"))
    np.testing.assert_allclose(float(found), float(ops.mean(expected)), rtol=1e-5)


def test_large_logits_stay_finite():
    assert np.isfinite(float(losses.binary_loss(np.float32(-500), 1.0)))
    logits = np.float32([[[0, 900.0]]])
    assert float(losses.class_loss(np.int32([[0]]), logits, np.ones((1, 1), "float32"))) == 900


def test_boxes_and_masks_of_background_do_not_count():
    codes = np.float32([[[0, 0, 0, 0], [9, 9, 9, 9]]])
    assert float(losses.box_loss(codes * 0, codes, np.float32([[1, 0]]))) == 0
    masks = np.float32([[np.full((2, 2), 20), np.full((2, 2), -20)]])
    found = losses.mask_loss(np.ones((1, 2, 2, 2), "float32"), masks, np.float32([[1, 0]]))
    assert float(found) < 1e-6
