import numpy as np
from keras import ops

from helpers.maskrcnn.proposals import detect_objects, propose_regions

ANCHORS = np.float32([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 40, 30], [60, 60, 80, 80]])


def test_proposals_are_the_best_anchors_without_doubles():
    logits = np.float32([[3, 2, 5, 1]])
    options = dict(candidates=3, count=6, nms=0.5)
    found = propose_regions(logits, np.zeros((1, 4, 4), "float32"), ANCHORS, (64, 64), **options)
    found = ops.convert_to_numpy(found)
    # the second anchor is the first one again; the fourth is not among the three best
    np.testing.assert_allclose(found[0, :2], ANCHORS[[2, 0]], atol=1e-5)
    assert not found[0, 2:].any()


def test_proposals_are_moved_and_cut_at_the_frame():
    codes = np.zeros((1, 4, 4), "float32")
    codes[0, 3, 0] = -10 * 0.5  # up by half of 20 pixels
    found = propose_regions(
        np.float32([[0, 0, 0, 9]]), codes, ANCHORS, (64, 64), candidates=1, count=1, nms=0.5
    )
    np.testing.assert_allclose(found[0], [[50, 60, 64, 64]], atol=1e-4)


def test_more_candidates_than_anchors():
    found = propose_regions(
        np.float32([[1, 2, 3, 4]]),
        np.zeros((1, 4, 4), "float32"),
        ANCHORS,
        (99, 99),
        candidates=50,
        count=10,
        nms=0.99,
    )
    assert (ops.convert_to_numpy(found)[0].any(-1)).sum() == 4


def detect(logits, regions=ANCHORS, **options):
    codes = np.zeros((1, len(regions), 2, 4), "float32")
    options = dict(count=4, score=0.5, nms=0.3) | options
    found = detect_objects(regions[None], np.float32([logits]), codes, (99, 99), **options)
    return [ops.convert_to_numpy(v)[0] for v in found]


def test_detections_by_hand():
    # background; class 1; class 2 twice at almost the same place
    boxes, scores, classes = detect([[0, 0, 8], [0, 0, 9], [0, 7, 0], [9, 0, 0]])
    np.testing.assert_array_equal(classes, [2, 1, 0, 0])
    np.testing.assert_allclose(boxes[:2], ANCHORS[[1, 2]], atol=1e-4)
    np.testing.assert_allclose(
        scores[:2], [np.exp(9) / (np.exp(9) + 2), np.exp(7) / (np.exp(7) + 2)]
    )
    assert not scores[2:].any() and not boxes[2:].any()


def test_different_classes_do_not_remove_each_other():
    _, _, classes = detect([[0, 8, 0], [0, 0, 8], [8, 0, 0], [8, 0, 0]])
    assert sorted(classes) == [0, 0, 1, 2]


def test_weak_detections_and_empty_regions_go():
    regions = ANCHORS.copy()
    regions[2] = 0
    _, scores, _ = detect([[1, 0.5, 0], [0, 9, 0], [0, 9, 0], [0, 9, 0]], regions)
    assert (scores > 0).sum() == 2


def test_no_more_rows_than_asked_for():
    boxes, scores, _ = detect([[0, 9, 0]] * 4, count=2)
    assert boxes.shape == (2, 4) and (scores > 0).all()
