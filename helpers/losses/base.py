"""What the losses for masks have in common."""

from __future__ import annotations

import keras
from keras import ops

__all__ = ["MaskLoss", "check_positive", "fit_shape"]

# A sigmoid in float32 can be as small as 1e-38, but 1 minus it is 0 or at least 6e-8.
SMALLEST, ROUNDING = 1e-30, 6e-8


class MaskLoss(keras.losses.Loss):
    """What the losses share: shapes, logits, and what is saved with a model.

    Parameters
    ----------
    from_logits : bool
        Whether the network has no sigmoid at its end. Exact for predictions far from the
        truth too, where a probability in float32 is rounded to 0 or 1 and its gradient lost.
    per_image : bool
        Losses of sums: False takes all pixels of the batch as one image; True takes the mean
        of the images' losses, so that each counts the same however little it shows.
    name, reduction, dtype
        As in :class:`keras.losses.Loss`. All is computed in float32 (Keras' `floatx`), also
        for a network in mixed precision.

    Notes
    -----
    Arguments are ``y_true``, 0 and 1 of any dtype, NYX1 or NZYX1 (the axis of one channel may
    be missing), and ``y_pred``, NYX1 or NZYX1. Several channels are several masks: sums run
    over them too.
    """

    settings = ("from_logits", "per_image")

    def __init__(
        self,
        *,
        from_logits: bool = False,
        per_image: bool = False,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.from_logits, self.per_image = from_logits, per_image

    def get_config(self) -> dict:
        """Return what makes an equal loss."""
        return super().get_config() | {name: getattr(self, name) for name in self.settings}

    def log_chances(self, y_pred) -> tuple:
        """Return ln p and ln(1 - p)."""
        if self.from_logits:
            return -ops.softplus(-y_pred), -ops.softplus(y_pred)
        return ops.log(ops.maximum(y_pred, SMALLEST)), ops.log(ops.maximum(1 - y_pred, ROUNDING))

    def sum_overlaps(self, y_true, y_pred) -> tuple:
        """Return TP, FN and FP: one number each, or one for each image."""
        y_true = fit_shape(y_true, y_pred)
        hit = ops.sigmoid(y_pred) if self.from_logits else y_pred
        miss = ops.sigmoid(-y_pred) if self.from_logits else 1 - y_pred
        axes = tuple(range(1, len(y_pred.shape))) if self.per_image else None
        return tuple(
            ops.sum(part, axis=axes) for part in (y_true * hit, y_true * miss, (1 - y_true) * hit)
        )


def fit_shape(y_true, y_pred):
    """Return `y_true` with the axes of `y_pred`, if it has its shape or lacks the last axis."""
    if len(y_true.shape) == len(y_pred.shape) - 1:
        y_true = ops.expand_dims(y_true, -1)
    sides = zip(y_true.shape, y_pred.shape, strict=False)
    if len(y_true.shape) != len(y_pred.shape) or any(
        a is not None and b is not None and a != b for a, b in sides
    ):
        raise ValueError(
            f"y_true has shape {tuple(y_true.shape)} and y_pred {tuple(y_pred.shape)}: give masks "
            "of the shape of the prediction; only an axis of one channel may be missing"
        )
    return y_true


def check_positive(value: float, name: str) -> float:
    """Return a setting above 0 as float."""
    if not value > 0:
        raise ValueError(f"{name} is {value}: give a number above 0")
    return float(value)
