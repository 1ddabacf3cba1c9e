"""From what the networks say to boxes: proposals, and detections."""

from __future__ import annotations

from keras import ops

from helpers.maskrcnn.boxes import best_rows, box_area, clip_boxes, decode_boxes, suppress_doubles

__all__ = ["detect_objects", "propose_regions"]


def propose_regions(logits, codes, anchors, shape, *, candidates, count, nms):
    """Return the most promising regions of each image.

    Parameters
    ----------
    logits : tensor of float, (N, A)
        How likely each anchor lies on an object.
    codes : tensor of float, (N, A, 4)
        How it has to be moved.
    anchors : tensor of float, (A, 4)
        The anchors.
    shape : tuple
        Rows and columns of the image.
    candidates : int
        So many best anchors are looked at.
    count : int
        So many regions are returned.
    nms : float
        Of two that overlap more than this IoU, the worse one goes.

    Returns
    -------
    tensor of float, (N, count, 4)
        Best first; boxes without extent where there are fewer. No gradient passes.

    Notes
    -----
    Ren et al. 2015, section 3.3.
    """
    logits, codes = ops.stop_gradient(logits), ops.stop_gradient(codes)
    scores, order = best_rows(logits, candidates)
    chosen = ops.take_along_axis(codes, order[..., None], axis=1)
    boxes = clip_boxes(decode_boxes(chosen, ops.take(anchors, order, axis=0)), shape)
    valid = ops.logical_and(scores > -1e9, box_area(boxes) > 1)
    stays = suppress_doubles(boxes, nms, valid=valid)
    scores, order = ops.top_k(ops.where(stays, scores, -1e9), min(count, boxes.shape[1]))
    boxes = ops.take_along_axis(boxes, ops.cast(order, "int32")[..., None], axis=1)
    boxes = ops.where((scores > -1e9)[..., None], boxes, 0.0)
    return ops.stop_gradient(boxes)


def detect_objects(regions, class_logits, codes, shape, *, count, score, nms):
    """Return the objects of each image: classes named, boxes mended, doubles removed.

    Parameters
    ----------
    regions : tensor of float, (N, R, 4)
        Proposals.
    class_logits : tensor of float, (N, R, K + 1)
        Background first.
    codes : tensor of float, (N, R, K, 4)
        A box for each class, seen from the region.
    shape : tuple
        Rows and columns of the image.
    count : int
        So many rows are returned.
    score : float
        Objects with a lower probability of their class go.
    nms : float
        Of two of one class that overlap more than this IoU, the worse one goes.

    Returns
    -------
    boxes : tensor of float, (N, count, 4)
        Best first.
    scores : tensor of float, (N, count)
        Probability of the class; 0 for rows that hold no object.
    classes : tensor of int32, (N, count)
        1 to K, or 0.
    """
    probabilities = ops.softmax(class_logits, -1)[..., 1:]
    scores, best = ops.max(probabilities, -1), ops.cast(ops.argmax(probabilities, -1), "int32")
    codes = ops.take_along_axis(codes, best[..., None, None], axis=2)[:, :, 0]
    real = box_area(regions) > 0
    anchors = ops.where(real[..., None], regions, ops.convert_to_tensor([0.0, 0, 1, 1]))
    boxes = clip_boxes(decode_boxes(codes, anchors), shape)
    valid = ops.logical_and(ops.logical_and(real, scores >= score), box_area(boxes) > 1)
    scores, order = best_rows(ops.where(valid, scores, 0.0), regions.shape[1])
    boxes = ops.take_along_axis(boxes, order[..., None], axis=1)
    classes = ops.take_along_axis(best + 1, order, axis=1)
    # classes far apart in a common plane: boxes of different classes never meet
    apart = ops.cast(classes, "float32") * 2 * ops.cast(ops.maximum(*shape), "float32")
    stays = suppress_doubles(boxes + apart[..., None], nms, valid=scores > 0)
    scores, order = ops.top_k(ops.where(stays, scores, 0.0), min(count, boxes.shape[1]))
    order = ops.cast(order, "int32")
    boxes = ops.take_along_axis(boxes, order[..., None], axis=1)
    found = scores > 0
    classes = ops.where(found, ops.take_along_axis(classes, order, axis=1), 0)
    return ops.where(found[..., None], boxes, 0.0), scores, classes
