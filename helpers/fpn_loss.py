"""Losses of FPN2-WS, and the validation loss that chooses the best weights."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

__all__ = ["HalfBceHalfDice", "ValidationLoss", "make_loss"]


@keras.saving.register_keras_serializable("microseg")
class HalfBceHalfDice(keras.losses.Loss):
    """Half binary cross-entropy, half Dice loss, for masks and outlines.

    Notes
    -----
    ``½ BCE + ½ (1 - (2 Σ t p + 1) / (Σ t + Σ p + 1))``, with the sums over the pixels of one
    map of one image. Weights of pixels act on the whole of a pixel's loss, but not on the sums.
    """

    def __init__(self, name="half_bce_half_dice", **options):
        super().__init__(name=name, **options)

    def call(self, y_true, y_pred):
        """Return the loss of each pixel, NYX."""
        y_true = ops.cast(y_true, y_pred.dtype)
        overlap = ops.sum(y_true * y_pred, axis=(1, 2), keepdims=True)
        total = ops.sum(y_true + y_pred, axis=(1, 2), keepdims=True)
        dice = ops.mean(1 - (2 * overlap + 1) / (total + 1), axis=-1)
        return 0.5 * keras.losses.binary_crossentropy(y_true, y_pred) + 0.5 * dice


LOSSES = {
    "mse": keras.losses.MeanSquaredError,
    "mae": keras.losses.MeanAbsoluteError,
    "bce": keras.losses.BinaryCrossentropy,
    "bce_dice": HalfBceHalfDice,
}


def make_loss(loss: str | Callable) -> Callable:
    """Return the Keras loss of a name, or what is given if it is no name.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if not isinstance(loss, str):
        return loss
    if loss not in LOSSES:
        raise ValueError(f"loss is {loss!r}: give one of {', '.join(map(repr, LOSSES))}")
    return LOSSES[loss]()


class ValidationLoss:
    """Loss on fixed images, measured after each epoch: ``validate`` of a training.

    Parameters
    ----------
    images : ndarray, NYXC
        Normalised patches of validation images, whose sides are multiples of 32.
    targets : ndarray, NYX(maps)
        Their targets.
    weights : ndarray, NYX, optional
        0 leaves a pixel out.
    loss : str or callable
        As in :func:`helpers.fpn.train_fpn`.
    batch_size : int
        Images predicted at once.
    """

    def __init__(self, images, targets, weights=None, *, loss="mse", batch_size=8):
        self.images, self.targets, self.weights = images, targets, weights
        self.loss, self.batch_size = make_loss(loss), batch_size

    def __call__(self, model: keras.Model) -> dict[str, float]:
        """Return ``{"val_loss": ...}``."""
        found = model.predict(self.images, batch_size=self.batch_size, verbose=0)
        targets = np.asarray(self.targets, np.float32)
        return {"val_loss": float(self.loss(targets, found, sample_weight=self.weights))}
