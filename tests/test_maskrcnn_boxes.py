import numpy as np
import pytest
from keras import ops

from helpers.maskrcnn.boxes import (
    best_rows,
    box_area,
    box_iou,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    suppress_doubles,
)


def draw_boxes(rng, n, size=30):
    corner = rng.integers(0, size - 10, (n, 2))
    return np.concatenate([corner, corner + rng.integers(1, 12, (n, 2))], 1).astype(np.float32)


def count_pixels(first, second, size=40):
    """IoU by painting both boxes: an independent implementation."""
    masks = np.zeros((2, size, size), bool)
    for mask, box in zip(masks, (first, second), strict=True):
        y1, x1, y2, x2 = box.astype(int)
        mask[y1:y2, x1:x2] = True
    return (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()


def remove_one_by_one(boxes, threshold):
    stays = []
    for k, box in enumerate(boxes):
        if all(count_pixels(boxes[j], box) <= threshold for j in stays):
            stays.append(k)
    return np.isin(np.arange(len(boxes)), stays)


def test_iou_of_two_boxes_by_hand():
    # 4 x 4 and 2 x 4 pixels, of which 2 x 2 are common: 4 / (16 + 8 - 4)
    found = box_iou(np.float32([[0, 0, 4, 4]]), np.float32([[2, 2, 4, 6]]))
    np.testing.assert_allclose(ops.convert_to_numpy(found), [[0.2]])


def test_iou_equals_counted_pixels():
    boxes = draw_boxes(np.random.default_rng(0), 20)
    expected = [[count_pixels(a, b) for b in boxes[:7]] for a in boxes]
    np.testing.assert_allclose(box_iou(boxes, boxes[:7]), expected, atol=1e-6)


def test_share_of_the_first_box():
    found = box_iou(np.float32([[0, 0, 4, 4]]), np.float32([[2, 2, 4, 6]]), over_first=True)
    np.testing.assert_allclose(found, [[0.25]])


def test_boxes_without_extent_overlap_nothing():
    empty = np.zeros((1, 4), np.float32)
    assert float(box_area(empty)[0]) == 0
    assert float(box_iou(empty, empty)[0, 0]) == 0


def test_code_by_hand():
    # twice as high, shifted down by half a side of 10, same width
    code = encode_boxes(np.float32([0, 0, 20, 10]), np.float32([0, 0, 10, 10]))
    np.testing.assert_allclose(code, [0.5 / 0.1, 0, np.log(2) / 0.2, 0], rtol=1e-5)


def test_code_there_and_back():
    rng = np.random.default_rng(1)
    boxes, anchors = draw_boxes(rng, 50), draw_boxes(rng, 50)
    np.testing.assert_allclose(
        decode_boxes(encode_boxes(boxes, anchors), anchors), boxes, atol=1e-3
    )


def test_wild_codes_stay_finite():
    found = decode_boxes(np.full((1, 4), 1e4, np.float32), np.float32([[0, 0, 10, 10]]))
    assert np.isfinite(ops.convert_to_numpy(found)).all()


def test_clip():
    found = clip_boxes(np.float32([[-3, 2, 50, 99]]), (40, 60))
    np.testing.assert_array_equal(found, [[0, 2, 40, 60]])


@pytest.mark.parametrize("seed", range(4))
def test_suppression_equals_going_through_one_by_one(seed):
    boxes = np.stack([draw_boxes(np.random.default_rng([seed, k]), 40, 18) for k in range(2)])
    found = ops.convert_to_numpy(suppress_doubles(boxes, 0.3))
    np.testing.assert_array_equal(found, [remove_one_by_one(b, 0.3) for b in boxes])
    assert 0 < found.sum() < found.size


def test_a_removed_box_removes_no_other():
    # each box overlaps the next one alone, so every second box stays, however long the chain
    boxes = np.float32([[[0, 4 * k, 10, 4 * k + 10] for k in range(12)]])
    found = ops.convert_to_numpy(suppress_doubles(boxes, 0.4))[0]
    np.testing.assert_array_equal(found, np.arange(12) % 2 == 0)


def test_invalid_boxes_neither_stay_nor_remove():
    boxes = np.float32([[[0, 0, 9, 9]] * 3])
    found = suppress_doubles(boxes, 0.5, valid=np.array([[False, True, True]]))
    np.testing.assert_array_equal(ops.convert_to_numpy(found), [[False, True, False]])


def test_best_rows_are_filled_up():
    best, places = best_rows(np.float32([[3, 9, 5]]), 4)
    np.testing.assert_array_equal(best, [[9, 5, 3, np.float32(-1e9)]])
    np.testing.assert_array_equal(places[0, :3], [1, 2, 0])
    assert 0 <= int(places[0, 3]) <= 2
