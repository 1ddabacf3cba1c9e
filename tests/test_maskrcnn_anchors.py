import numpy as np
import pytest
from keras import ops

from helpers.maskrcnn.anchors import (
    anchor_reach,
    count_anchors,
    make_anchors,
    measure_boxes,
    suggest_sizes,
)


def test_anchors_of_two_levels_by_hand():
    found = ops.convert_to_numpy(make_anchors([(1, 2), (1, 1)], [4, 8], [8, 16], [1.0]))
    # centres (2, 2), (2, 6) and (4, 4)
    expected = [[-2, -2, 6, 6], [-2, 2, 6, 10], [-4, -4, 12, 12]]
    np.testing.assert_allclose(found, expected)


def test_ratio_is_height_over_width_at_equal_area():
    found = ops.convert_to_numpy(make_anchors([(1, 1)], [4], [8], [0.25, 1.0, 4.0]))
    sides = found[:, 2:] - found[:, :2]
    np.testing.assert_allclose(sides, [[4, 16], [8, 8], [16, 4]])


def test_several_sizes_at_a_place():
    found = make_anchors([(2, 3)], [4], [(8, 12)], [0.5, 1.0, 2.0])
    assert found.shape == (2 * 3 * 6, 4)
    assert count_anchors([(8, 12)], [0.5, 1.0, 2.0]) == 6


def test_unequal_numbers_of_sizes_are_refused():
    with pytest.raises(ValueError, match="as many sizes for each level"):
        count_anchors([8, (16, 24)], [1.0])


def test_boxes_of_labels_with_gaps():
    labels = np.zeros((8, 9), np.int32)
    labels[1:3, 2:6], labels[5:, 8] = 2, 7
    boxes, ids = measure_boxes(labels)
    np.testing.assert_array_equal(boxes, [[1, 2, 3, 6], [5, 8, 8, 9]])
    np.testing.assert_array_equal(ids, [2, 7])


def test_no_objects_no_boxes():
    boxes, ids = measure_boxes(np.zeros((5, 5), np.int32))
    assert boxes.shape == (0, 4) and ids.shape == (0,)


def test_suggested_sizes_are_those_of_the_objects():
    labels = np.zeros((100, 200), np.int32)
    labels[:12, :12], labels[20:44, :24], labels[50:98, :48] = 1, 2, 3
    assert suggest_sizes([labels]) == (12, 24, 48)
    with pytest.raises(ValueError, match="no objects"):
        suggest_sizes([labels * 0])


def test_reach_is_the_best_overlap():
    anchors = make_anchors([(4, 4)], [8], [8], [1.0])
    boxes = np.float32([[8, 8, 16, 16], [8, 8, 16, 12]])
    np.testing.assert_allclose(anchor_reach(boxes, anchors), [1, 0.5])
    assert anchor_reach(boxes[:0], anchors).shape == (0,)
