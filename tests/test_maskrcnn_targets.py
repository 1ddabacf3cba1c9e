import numpy as np
from keras import ops

from helpers.maskrcnn.boxes import decode_boxes
from helpers.maskrcnn.targets import assign_anchors, draw_among, n_positive, sample_rois

BOXES = np.float32([[[0, 0, 10, 10], [20, 20, 24, 24], [0, 0, 0, 0]]])
CLASSES = np.int32([[2, 1, 0]])


def to_numpy(values):
    return [ops.convert_to_numpy(v) for v in values]


def test_anchors_by_hand():
    anchors = np.float32(
        [
            [0, 0, 10, 10],  # the first object itself
            [0, 0, 10, 20],  # IoU 0.5: neither
            [0, 8, 10, 18],  # IoU 1/9: background
            [20, 20, 30, 30],  # IoU 0.16 alone meets the second object: its best anchor
            [50, 50, 60, 60],  # meets nothing
        ]
    )
    positive, negative, codes = to_numpy(assign_anchors(anchors, BOXES, CLASSES))
    np.testing.assert_array_equal(positive[0], [True, False, False, True, False])
    np.testing.assert_array_equal(negative[0], [False, False, True, False, True])
    drawn = ops.convert_to_numpy(decode_boxes(codes, anchors))[0]
    np.testing.assert_allclose(drawn[3], BOXES[0, 1], atol=1e-4)
    assert not codes[0, [1, 2, 4]].any()


def test_without_objects_all_is_background():
    anchors = np.float32([[0, 0, 10, 10], [0, 0, 0, 0]])
    positive, negative, _ = to_numpy(assign_anchors(anchors, BOXES * 0, CLASSES * 0))
    assert not positive.any() and negative.all()


def test_drawn_are_candidates_and_as_many_as_wanted():
    rng = np.random.default_rng(0)
    candidates = np.stack([np.arange(50) % 2 == 0, np.arange(50) < 3])
    found = ops.convert_to_numpy(draw_among(candidates, rng.random((2, 50)), 10, 10))
    assert not (found & ~candidates).any()
    np.testing.assert_array_equal(found.sum(1), [10, 3])


def test_each_image_can_have_its_own_count():
    rng = np.random.default_rng(0)
    count = np.int32([0, 4])
    found = draw_among(np.ones((2, 9), bool), rng.random((2, 9)), count, 6)
    np.testing.assert_array_equal(ops.convert_to_numpy(found).sum(1), [0, 4])
    assert not ops.convert_to_numpy(
        draw_among(np.ones((1, 3), bool), rng.random((1, 3)), 0, 0)
    ).any()


def test_all_candidates_are_drawn_equally_often():
    rng = np.random.default_rng(0)
    candidates = np.tile(np.arange(8) < 6, (3000, 1))
    found = ops.convert_to_numpy(draw_among(candidates, rng.random((3000, 8)), 2, 2))
    assert abs(found[:, :6].mean(0) - 1 / 3).max() < 0.03


def test_regions_by_hand():
    proposals = np.float32(
        [[[0, 0, 10, 12], [50, 50, 60, 60], [0, 0, 0, 0], [0, 0, 5, 11], [20, 20, 24, 25]]]
    )
    random = np.float32([[0.1, 0.9, 0.99, 0.2, 0.3]])
    found = sample_rois(
        proposals, BOXES, CLASSES, random, n_rois=6, positive_share=0.5, threshold=0.5
    )
    boxes, classes, objects, codes, weights = to_numpy(found)
    # on objects, the larger random number first; then background; the empty proposal not at all
    np.testing.assert_array_equal(boxes[0, :4], proposals[0, [4, 0, 1, 3]])
    np.testing.assert_array_equal(classes[0], [1, 2, 0, 0, 0, 0])
    np.testing.assert_array_equal(objects[0, :2], [1, 0])
    np.testing.assert_array_equal(weights[0], [1, 1, 1, 1, 0, 0])
    drawn = ops.convert_to_numpy(decode_boxes(codes, boxes))[0]
    np.testing.assert_allclose(drawn[:2], BOXES[0, [1, 0]], atol=1e-4)
    assert not codes[0, 2:].any()


def test_not_too_many_regions_lie_on_objects():
    rng = np.random.default_rng(0)
    proposals = np.concatenate([np.tile(BOXES[:, :1], (1, 30, 1)), BOXES[:, :1] + 40], 1)
    found = sample_rois(
        proposals, BOXES, CLASSES, rng.random((1, 31)), n_rois=12, positive_share=0.25
    )
    classes, weights = to_numpy([found.classes, found.weights])
    assert n_positive(12, 0.25) == 3
    np.testing.assert_array_equal(classes[0, :3], 2)
    assert not classes[0, 3:].any()
    assert weights.sum() == 4  # three on the object, one on background
