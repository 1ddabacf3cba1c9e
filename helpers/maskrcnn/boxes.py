"""Boxes: overlap, the code in which networks predict them, and suppression of doubles.

A box is ``(y1, x1, y2, x2)`` in pixels. Pixel i covers the interval from i to i + 1, so a
box around the pixels 3, 4 and 5 of an axis goes from 3 to 6. All functions take tensors of any
Keras backend or NumPy arrays, with any number of axes in front.
"""

from __future__ import annotations

import math

from keras import ops

__all__ = [
    "best_rows",
    "box_area",
    "box_iou",
    "clip_boxes",
    "decode_boxes",
    "encode_boxes",
    "suppress_doubles",
]

CODE_STD = (0.1, 0.1, 0.2, 0.2)
"""Usual spread of the four code numbers, by which they are divided (Girshick 2015)."""

MAX_LOG_SCALE = math.log(1000 / 16)
"""Limit of the logarithm of a size change: an untrained network must not overflow."""


def box_area(boxes):
    """Return the areas of boxes, (..., 4) to (...); 0 for boxes without extent.

    Examples
    --------
    >>> float(box_area(ops.array([2.0, 1.0, 5.0, 3.0])))
    6.0
    """
    sides = ops.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def box_iou(first, second, *, over_first: bool = False):
    """Return the overlap of each box of one set with each box of another.

    Parameters
    ----------
    first : tensor of float, (..., A, 4)
        Boxes.
    second : tensor of float, (..., B, 4)
        Boxes; axes in front as in `first`.
    over_first : bool
        Divide the common area by that of the first box alone: how much of it lies within
        the second. Otherwise by that of both together, the intersection over union.

    Returns
    -------
    tensor of float, (..., A, B)
        0 to 1; 0 for boxes without extent.
    """
    a, b = ops.expand_dims(first, -2), ops.expand_dims(second, -3)
    height = ops.minimum(a[..., 2], b[..., 2]) - ops.maximum(a[..., 0], b[..., 0])
    width = ops.minimum(a[..., 3], b[..., 3]) - ops.maximum(a[..., 1], b[..., 1])
    common = ops.maximum(height, 0) * ops.maximum(width, 0)
    whole = box_area(a) if over_first else box_area(a) + box_area(b) - common
    return common / ops.maximum(whole, 1e-6)


def encode_boxes(boxes, anchors):
    """Return what a network has to predict at anchors to draw boxes.

    Parameters
    ----------
    boxes, anchors : tensor of float, (..., 4)
        Each box with its anchor; anchors have an extent.

    Returns
    -------
    tensor of float, (..., 4)
        Shift of the centre along y and x in anchor sides, and logarithm of the ratio of the
        sides, each divided by :data:`CODE_STD`. All 0 where box and anchor are equal.

    Notes
    -----
    Ren et al. 2015 (Faster R-CNN), equation 2.
    """
    center, size = _to_center(boxes)
    anchor_center, anchor_size = _to_center(anchors)
    shift = (center - anchor_center) / anchor_size
    scale = ops.log(ops.maximum(size, 1e-3) / anchor_size)
    return ops.concatenate([shift, scale], -1) / ops.convert_to_tensor(CODE_STD, "float32")


def decode_boxes(codes, anchors):
    """Return the boxes that predicted codes mean: the inverse of :func:`encode_boxes`."""
    codes = codes * ops.convert_to_tensor(CODE_STD, "float32")
    center, size = _to_center(anchors)
    center = center + codes[..., :2] * size
    half = size * ops.exp(ops.clip(codes[..., 2:], -MAX_LOG_SCALE, MAX_LOG_SCALE)) / 2
    return ops.concatenate([center - half, center + half], -1)


def clip_boxes(boxes, shape):
    """Return boxes cut at the frame of an image of `shape` (rows, columns)."""
    limit = ops.cast(ops.stack([shape[0], shape[1], shape[0], shape[1]]), boxes.dtype)
    return ops.clip(boxes, 0.0, limit)


def suppress_doubles(boxes, threshold: float, *, valid=None):
    """Tell which boxes stay when those are removed that overlap a better one.

    Parameters
    ----------
    boxes : tensor of float, (N, K, 4)
        For each image, best box first.
    threshold : float
        A box goes if its IoU with a better one that stays is above this.
    valid : tensor of bool, (N, K), optional
        False for places that hold no box; they neither stay nor remove others.

    Returns
    -------
    tensor of bool, (N, K)
        True where a box stays. Equal to going through the boxes one by one.

    Notes
    -----
    Greedy non-maximum suppression with static shapes. All boxes start as staying; again and
    again those are found that overlap a better, staying one, until nothing changes. After
    round k the first k boxes are final at the latest, so the end is the greedy result; crowds
    need few rounds.
    """
    n_boxes = boxes.shape[-2]
    order = ops.arange(n_boxes)
    better = order[:, None] < order[None]
    removes = ops.logical_and(box_iou(boxes, boxes) > threshold, better)
    removes = ops.cast(removes, "float32")
    start = ops.ones_like(boxes[..., 0]) if valid is None else ops.cast(valid, "float32")

    def look_again(before, stays):
        removed = ops.matmul(ops.expand_dims(stays, -2), removes)[..., 0, :] > 0.5
        return stays, ops.where(removed, 0.0, start)

    def has_changed(before, stays):
        return ops.any(before != stays)

    _, stays = ops.while_loop(
        has_changed, look_again, look_again(start, start), maximum_iterations=n_boxes
    )
    return stays > 0.5


def best_rows(scores, count: int):
    """Return the highest scores of each image and their places, however few there are.

    Parameters
    ----------
    scores : tensor of float, (N, K)
        Scores above -1e9.
    count : int
        Rows of the result.

    Returns
    -------
    best : tensor of float, (N, count)
        Highest first; -1e9 beyond the K-th.
    places : tensor of int32, (N, count)
        Where they are; K - 1 beyond the K-th.
    """
    fill = ops.full((ops.shape(scores)[0], count), -1e9, dtype=scores.dtype)
    best, places = ops.top_k(ops.concatenate([scores, fill], 1), count)
    last = ops.cast(ops.shape(scores)[1], "int32") - 1
    return best, ops.minimum(ops.cast(places, "int32"), last)


def _to_center(boxes):
    """Return centres and sides, each (..., 2)."""
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + size / 2, size
