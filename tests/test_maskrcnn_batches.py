import numpy as np
import pytest

from helpers.augment.pipelines import Patches
from helpers.maskrcnn.anchors import measure_boxes
from helpers.maskrcnn.batches import detection_batches, object_table

LABELS = np.zeros((10, 12), np.int32)
LABELS[1:4, 1:5], LABELS[6:9, 2:4], LABELS[0, 11] = 3, 5, 9


def make_patches(n=3, size=16, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.zeros((n, size, size), np.int32)
    labels[:, 2:7, 3:9], labels[:, 9:15, 8:15] = 1, 2
    images = rng.integers(0, 255, labels.shape).astype(np.uint8)
    return Patches(images, labels, np.ones(labels.shape, np.float32), np.arange(n))


def test_table_by_hand():
    table = object_table(LABELS, 4, min_area=2)
    np.testing.assert_array_equal(
        table["boxes"], [[1, 1, 4, 5], [6, 2, 9, 4], [0, 0, 0, 0], [0, 0, 0, 0]]
    )
    np.testing.assert_array_equal(table["classes"], [1, 1, 0, 0])
    np.testing.assert_array_equal(table["labels"], (LABELS == 3) + 2 * (LABELS == 5))


def test_classes_are_those_of_the_labels():
    classes = np.zeros(10, int)
    classes[[3, 5, 9]] = 2, 1, 3
    np.testing.assert_array_equal(object_table(LABELS, 3, classes=classes)["classes"], [2, 1, 3])


def test_empty_image():
    table = object_table(LABELS * 0, 2)
    assert not any(values.any() for values in table.values())


def test_a_cap_that_binds_warns_and_leaves_the_smallest_out():
    with pytest.warns(UserWarning, match="holds 3 objects, but max_objects is 2"):
        table = object_table(LABELS, 2)
    np.testing.assert_array_equal(table["boxes"], [[1, 1, 4, 5], [6, 2, 9, 4]])
    assert table["labels"][0, 11] == 0


def test_a_cap_that_just_suffices_is_silent(recwarn):
    object_table(LABELS, 3)
    assert not recwarn.list


@pytest.mark.parametrize("labels", [LABELS[0], LABELS.astype(float)])
def test_what_is_no_label_image_is_refused(labels):
    with pytest.raises(ValueError, match="YX image of whole numbers"):
        object_table(labels, 3)


def test_batches_turn_boxes_with_the_image():
    images, targets = next(detection_batches(make_patches(), batch_size=2, max_objects=4)(0))
    assert images.shape == (2, 16, 16, 1) and images.max() <= 1
    for boxes, labels in zip(targets["boxes"], targets["labels"], strict=True):
        np.testing.assert_array_equal(boxes[:2], measure_boxes(labels)[0])
        assert not boxes[2:].any()


def test_every_patch_comes_once_before_one_comes_again():
    patches = make_patches(6)
    means = {round(float(image.mean() / 255), 4): k for k, image in enumerate(patches.images)}
    batches = detection_batches(patches, batch_size=4)(0)
    shown = [means[round(float(x.mean()), 4)] for _ in range(3) for x in next(batches)[0]]
    assert sorted(shown[:6]) == sorted(shown[6:]) == list(range(6))


def test_epochs_differ_and_repeat():
    batches = detection_batches(make_patches(8), batch_size=2, seed=1)
    first, again, other = (next(batches(epoch))[0] for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_no_patches():
    with pytest.raises(ValueError, match="got 0 patches"):
        detection_batches(make_patches(0))
