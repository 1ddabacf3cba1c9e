"""What each anchor and each region has to learn: assignment with static shapes.

Images hold different numbers of objects; here each has the same number of rows, and rows of
class 0 are empty. Samples are drawn by sorting random numbers, so no shape depends on the data.
"""

from __future__ import annotations

from typing import NamedTuple

from keras import ops

from helpers.maskrcnn.boxes import best_rows, box_iou, encode_boxes

__all__ = ["AnchorTargets", "RoiTargets", "assign_anchors", "draw_among", "sample_rois"]


class AnchorTargets(NamedTuple):
    """What the anchors of a batch have to learn.

    Attributes
    ----------
    positive, negative : tensor of bool, (N, A)
        Anchors on objects, and anchors on background; both False where it is left open.
    codes : tensor of float32, (N, A, 4)
        Code of the object that fits best, see :func:`helpers.maskrcnn.boxes.encode_boxes`.
    """

    positive: object
    negative: object
    codes: object


class RoiTargets(NamedTuple):
    """Regions drawn for training, those on objects first.

    Attributes
    ----------
    boxes : tensor of float32, (N, R, 4)
        The regions.
    classes : tensor of int32, (N, R)
        Class to learn, 0 for background.
    objects : tensor of int32, (N, R)
        Row of the object that overlaps most; means nothing for background.
    codes : tensor of float32, (N, R, 4)
        Code of that object's box seen from the region.
    weights : tensor of float32, (N, R)
        0 for rows that stay empty because there were too few regions, else 1.
    """

    boxes: object
    classes: object
    objects: object
    codes: object
    weights: object


def assign_anchors(
    anchors, boxes, classes, *, positive: float = 0.7, negative: float = 0.3
) -> AnchorTargets:
    """Decide which anchors lie on objects.

    Parameters
    ----------
    anchors : tensor of float, (A, 4)
        Of :func:`helpers.maskrcnn.anchors.make_anchors`.
    boxes : tensor of float, (N, M, 4)
        Boxes of the objects.
    classes : tensor of int, (N, M)
        Their classes, 0 for empty rows.
    positive, negative : float
        An anchor is on an object if its IoU with it is at least `positive`, or if no other
        anchor has a higher one with that object; it is background below `negative`.

    Returns
    -------
    AnchorTargets

    Notes
    -----
    Ren et al. 2015 (Faster R-CNN), section 3.1.2.
    """
    there = classes > 0
    overlap = box_iou(anchors[None], boxes)
    overlap = ops.where(there[:, None, :], overlap, 0.0)
    best = ops.max(overlap, -1)
    best_of_object = ops.max(overlap, 1, keepdims=True)
    is_best = ops.logical_and(overlap > 0, overlap >= best_of_object - 1e-5)
    on_object = ops.logical_or(best >= positive, ops.any(is_best, -1))
    nearest = ops.take_along_axis(boxes, ops.argmax(overlap, -1)[..., None], axis=1)
    codes = encode_boxes(nearest, anchors[None])
    codes = ops.where(on_object[..., None], codes, 0.0)
    background = ops.logical_and(best < negative, ops.logical_not(on_object))
    return AnchorTargets(on_object, background, codes)


def draw_among(candidates, random, count, limit: int):
    """Draw some of the candidates, all equally likely.

    Parameters
    ----------
    candidates : tensor of bool, (N, K)
        What can be drawn.
    random : tensor of float, (N, K)
        Independent random numbers, from 0 to below 1.
    count : int or tensor of int, (N,)
        How many to draw; all, where there are not so many.
    limit : int
        The largest possible `count`.

    Returns
    -------
    tensor of bool, (N, K)
        True for those drawn: the candidates with the largest random numbers.
    """
    if limit == 0:
        return ops.zeros_like(candidates)
    keys = ops.where(candidates, random, -1.0)
    ordered = ops.top_k(keys, min(limit, keys.shape[-1]))[0]
    count = ops.broadcast_to(ops.convert_to_tensor(count, "int32"), ops.shape(ordered)[:1])
    last = ops.clip(count - 1, 0, ordered.shape[-1] - 1)
    threshold = ops.take_along_axis(ordered, last[:, None], axis=1)
    drawn = ops.logical_and(candidates, keys >= threshold)
    return ops.logical_and(drawn, (count > 0)[:, None])


def sample_rois(
    proposals,
    boxes,
    classes,
    random,
    *,
    n_rois: int = 64,
    positive_share: float = 0.33,
    threshold: float = 0.5,
) -> RoiTargets:
    """Draw regions of both kinds from the proposals, and say what each has to learn.

    Parameters
    ----------
    proposals : tensor of float, (N, P, 4)
        Regions; without extent where there are fewer. To let an early network learn too, give
        the boxes of the objects among them.
    boxes, classes : tensor, (N, M, 4) and (N, M)
        As in :func:`assign_anchors`.
    random : tensor of float, (N, P)
        From 0 to below 1.
    n_rois : int
        Regions drawn for each image.
    positive_share : float
        At most this share of them is on objects (He et al.: 1 to 3).
    threshold : float
        A region is on an object from this IoU on.

    Returns
    -------
    RoiTargets
        Regions on objects are in front, at most ``n_positive(n_rois, positive_share)``.

    Notes
    -----
    He et al. 2017, section 3.1; Girshick 2015 (Fast R-CNN), section 2.3.
    """
    real = ops.all(proposals[..., 2:] > proposals[..., :2], -1)
    overlap = ops.where((classes > 0)[:, None, :], box_iou(proposals, boxes), 0.0)
    best, nearest = ops.max(overlap, -1), ops.cast(ops.argmax(overlap, -1), "int32")
    on_object = ops.logical_and(best >= threshold, real)
    limit = n_positive(n_rois, positive_share)
    drawn = draw_among(on_object, random, limit, limit)
    background = ops.logical_and(best < threshold, real)
    keys = ops.where(drawn, random + 1, ops.where(background, random, -1.0))
    keys, order = best_rows(keys, n_rois)
    chosen, objects = _take_rows(proposals, order), ops.take_along_axis(nearest, order, axis=1)
    found = ops.take_along_axis(ops.cast(classes, "int32"), objects, axis=1)
    learn = keys >= 1
    anchors = ops.where((keys >= 0)[..., None], chosen, ops.convert_to_tensor([0.0, 0, 1, 1]))
    codes = encode_boxes(_take_rows(boxes, objects), anchors)
    return RoiTargets(
        anchors,
        ops.where(learn, found, 0),
        objects,
        ops.where(learn[..., None], codes, 0.0),
        ops.cast(keys >= 0, "float32"),
    )


def n_positive(n_rois: int, positive_share: float) -> int:
    """Return the largest number of regions on objects, at least one."""
    return max(1, round(n_rois * positive_share))


def _take_rows(table, rows):
    """Return rows of (N, K, 4) for (N, R) numbers of rows."""
    return ops.take_along_axis(table, rows[..., None], axis=1)
