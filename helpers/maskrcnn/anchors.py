"""Anchors: boxes of fixed sizes at every place, from which proposals are predicted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from keras import ops
from scipy import ndimage

from helpers.maskrcnn.boxes import box_iou

__all__ = ["anchor_reach", "count_anchors", "make_anchors", "measure_boxes", "suggest_sizes"]

RATIOS = (0.5, 1.0, 2.0)


def count_anchors(sizes: Sequence[float | Sequence[float]], ratios: Sequence[float]) -> int:
    """Return the number of anchors at a place; all levels must have as many.

    Raises
    ------
    ValueError
        If they differ.
    """
    counts = {len(_as_tuple(size)) for size in sizes}
    if len(counts) != 1:
        raise ValueError(f"sizes is {sizes}: give as many sizes for each level of the pyramid")
    return counts.pop() * len(ratios)


def make_anchors(
    shapes: Sequence[tuple],
    strides: Sequence[int],
    sizes: Sequence[float | Sequence[float]],
    ratios: Sequence[float] = RATIOS,
):
    """Return all anchors of a feature pyramid.

    Parameters
    ----------
    shapes : sequence of tuple
        Rows and columns of each level.
    strides : sequence of int
        Pixels of the image for each step on the level.
    sizes : sequence of float, or of sequences of float
        Side of the square anchors of each level in pixels, one or several for a level.
    ratios : sequence of float
        Height over width; anchors of one size have equal areas.

    Returns
    -------
    tensor of float32, (anchors, 4)
        Level by level, row by row, place by place, then sizes, ratios fastest. The centre of
        place (i, j) is ``((i + 0.5) * stride, (j + 0.5) * stride)``.

    Notes
    -----
    Lin et al. 2017 (feature pyramid networks), section 4.1: each level has its own size.

    Examples
    --------
    >>> make_anchors([(1, 2)], [4], [8], [1.0]).tolist()  # doctest: +SKIP
    [[-2, -2, 6, 6], [-2, 2, 6, 10]]
    """
    levels = zip(shapes, strides, sizes, strict=True)
    return ops.concatenate([_level_anchors(*level, ratios) for level in levels], 0)


def _level_anchors(shape, stride, sizes, ratios):
    sides = [(s * r**0.5, s / r**0.5) for s in _as_tuple(sizes) for r in ratios]
    half = ops.convert_to_tensor(np.array(sides, np.float32) / 2)
    y, x = ((ops.cast(ops.arange(n), "float32") + 0.5) * stride for n in shape)
    centers = ops.stack(ops.meshgrid(y, x, indexing="ij"), -1)
    centers = ops.reshape(centers, (-1, 1, 2))
    return ops.reshape(ops.concatenate([centers - half, centers + half], -1), (-1, 4))


def _as_tuple(size) -> tuple[float, ...]:
    return tuple(size) if isinstance(size, Sequence) else (size,)


def measure_boxes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes around all objects of a label image.

    Parameters
    ----------
    labels : ndarray of int, YX
        Label image; numbers may have gaps.

    Returns
    -------
    boxes : ndarray of float32, (objects, 4)
        In the order of the labels.
    ids : ndarray of int, (objects,)
        The labels.
    """
    found = enumerate(ndimage.find_objects(labels), start=1)
    pairs = [(k, (*(s.start for s in box), *(s.stop for s in box))) for k, box in found if box]
    boxes = np.array([box for _, box in pairs], np.float32).reshape(-1, 4)
    return boxes, np.array([k for k, _ in pairs], int)


def suggest_sizes(labels: Sequence[np.ndarray], n_levels: int = 3) -> tuple[float, ...]:
    """Return anchor sizes that fit the objects, one for each level and doubling.

    Parameters
    ----------
    labels : sequence of ndarray of int, YX
        Training labels, as large as the network will see them.
    n_levels : int
        Levels of the pyramid that have anchors.

    Returns
    -------
    tuple of float
        Powers of two times the smallest size, a whole number. The one of the first levels
        for which the most objects have an anchor of similar size.

    Raises
    ------
    ValueError
        If there are no objects.
    """
    sides = [np.sqrt(np.prod(b[:, 2:] - b[:, :2], axis=1)) for b, _ in map(measure_boxes, labels)]
    sides = np.concatenate([*sides, np.empty(0)])
    if not sides.size:
        raise ValueError("labels hold no objects: give label images with some")

    def mismatch(smallest: int) -> float:
        sizes = smallest * 2.0 ** np.arange(n_levels)
        return np.abs(np.log(sides[:, None] / sizes)).min(axis=1).mean()

    best = min(range(4, 1 + max(4, round(sides.max()))), key=mismatch)
    return tuple(best * 2.0**k for k in range(n_levels))


def anchor_reach(boxes: np.ndarray, anchors) -> np.ndarray:
    """Return for each box the IoU of the anchor that fits best: how easy the first step is."""
    parts = [boxes[k : k + 256] for k in range(0, len(boxes), 256)]  # bounds the memory
    best = [ops.convert_to_numpy(ops.max(box_iou(part, anchors), -1)) for part in parts]
    return np.concatenate([*best, np.zeros(0, np.float32)])
