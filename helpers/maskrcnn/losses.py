"""The five losses of Mask R-CNN: two of the proposals, three of the heads."""

from __future__ import annotations

from keras import ops

__all__ = ["binary_loss", "box_loss", "class_loss", "mask_loss", "smooth_l1", "weighted_mean"]


def weighted_mean(values, weights):
    """Return the sum of ``values * weights`` over the sum of weights; 0 where all are 0."""
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1.0)


def smooth_l1(difference):
    """Return half the square up to 1, beyond it the absolute value less a half.

    Notes
    -----
    Girshick 2015 (Fast R-CNN), equation 3.

    Examples
    --------
    >>> ops.convert_to_numpy(smooth_l1(ops.array([0.5, -3.0]))).tolist()
    [0.125, 2.5]
    """
    size = ops.abs(difference)
    return ops.where(size < 1, 0.5 * size**2, size - 0.5)


def binary_loss(logits, targets):
    """Return the cross-entropy of logits with targets from 0 to 1, element by element."""
    return ops.maximum(logits, 0) - logits * targets + ops.log1p(ops.exp(-ops.abs(logits)))


def box_loss(codes_true, codes_pred, weights):
    """Return the smooth L1 loss of box codes, (..., 4), averaged over boxes with weights (...)."""
    return weighted_mean(ops.sum(smooth_l1(codes_pred - codes_true), -1), weights)


def class_loss(classes, logits, weights):
    """Return the cross-entropy of classes.

    Parameters
    ----------
    classes : tensor of int, (N, R)
        0 for background.
    logits : tensor of float, (N, R, K + 1)
        Background first.
    weights : tensor of float, (N, R)
        0 for empty rows.
    """
    logits = logits - ops.stop_gradient(ops.max(logits, -1, keepdims=True))
    picked = ops.take_along_axis(logits, ops.cast(classes, "int32")[..., None], axis=-1)[..., 0]
    return weighted_mean(ops.log(ops.sum(ops.exp(logits), -1)) - picked, weights)


def mask_loss(masks_true, logits, weights):
    """Return the cross-entropy of masks of the right class.

    Parameters
    ----------
    masks_true : tensor of float, (N, R, S, S)
        0 to 1.
    logits : tensor of float, (N, R, S, S)
        Of the class of each object: classes do not compete (He et al. 2017, section 3).
    weights : tensor of float, (N, R)
        1 for regions on objects, else 0.
    """
    return weighted_mean(ops.mean(binary_loss(logits, masks_true), (-2, -1)), weights)
