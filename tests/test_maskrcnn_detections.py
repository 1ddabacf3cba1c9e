import numpy as np

from helpers.maskrcnn.detections import Detections, describe_labels, paste_labels, paste_mask
from helpers.maskrcnn.roi_align import read_labels


def make(boxes, masks, scores=None):
    n = len(boxes)
    scores = np.linspace(0.9, 0.5, n) if scores is None else np.array(scores)
    ones = np.ones(n, np.int32)
    return Detections(np.float32(boxes), scores, ones, np.float32(masks), ones > 0, ones * 0)


def test_a_full_mask_fills_its_box():
    place, probability = paste_mask(np.ones((4, 4)), np.float32([2, 3, 6, 9]), (20, 20))
    assert place == (slice(2, 6), slice(3, 9))
    np.testing.assert_allclose(probability, 1)


def test_pixels_whose_centre_is_outside_stay_empty():
    place, probability = paste_mask(np.ones((4, 4)), np.float32([1.6, 0, 3.4, 2]), (9, 9))
    assert place[0] == slice(1, 4)
    np.testing.assert_allclose(probability[:, 0], [0, 1, 0])


def test_boxes_over_the_frame_are_cut():
    place, probability = paste_mask(np.ones((4, 4)), np.float32([-3, 5, 4, 30]), (8, 8))
    assert place == (slice(0, 4), slice(5, 8)) and probability.shape == (4, 3)
    _, probability = paste_mask(np.ones((4, 4)), np.float32([9, 9, 12, 12]), (8, 8))
    assert probability.size == 0


def test_reading_and_pasting_gives_the_mask_back():
    y, x = np.mgrid[:40, :40]
    labels = (((y - 19) / 12) ** 2 + ((x - 20) / 9) ** 2 < 1).astype(np.int32)
    box = np.float32([6.4, 10.2, 32.1, 30.3])
    mask = np.asarray(read_labels(labels[None], np.int32([[1]]), box[None, None], 28))[0, 0]
    drawn = paste_labels(make([box], [mask]), labels.shape)
    wrong = np.count_nonzero(drawn != labels)
    assert wrong / labels.sum() < 0.03


def test_a_pixel_goes_to_the_most_certain_mask():
    left, right = np.zeros((2, 8, 8))
    left[:, :6], right[:, 4:] = 0.9, 0.8
    left[:, 4:6] = 0.6
    drawn = paste_labels(make([[0, 0, 8, 8]] * 2, [left, right]), (8, 8))
    np.testing.assert_array_equal(drawn[0], [1] * 4 + [2] * 4)


def test_small_objects_go_and_numbers_have_no_gaps():
    found = make([[0, 0, 2, 2], [3, 3, 9, 9]], np.ones((2, 4, 4)))
    drawn = paste_labels(found, (10, 10), min_area=5)
    assert drawn.max() == 1 and drawn.sum() == 36
    assert not paste_labels(found.take(np.zeros(2, bool)), (10, 10)).any()


def test_threshold_of_the_mask():
    found = make([[0, 0, 4, 4]], [np.full((4, 4), 0.45)])
    assert not paste_labels(found, (4, 4)).any()
    assert paste_labels(found, (4, 4), mask_threshold=0.4).all()


def test_true_objects_as_a_perfect_network_would_say_them():
    labels = np.zeros((30, 40), np.int32)
    labels[3:15, 4:20], labels[15:28, 4:20] = 2, 5
    found = describe_labels(labels)
    np.testing.assert_array_equal(found.boxes, [[3, 4, 15, 20], [15, 4, 28, 20]])
    np.testing.assert_array_equal(
        paste_labels(found, labels.shape), 1 * (labels > 0) + (labels == 5)
    )
    assert len(describe_labels(labels * 0)) == 0
