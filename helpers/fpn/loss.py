"""Losses of FPN2-WS, and the validation loss that chooses the best weights."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

__all__ = ["LOSSES", "MapLoss", "ValidationLoss", "choose_loss", "make_loss"]

LOSSES = ("mse", "mae", "bce", "bce_dice", "mse_foreground")
"""Names of losses."""

FOREGROUND_SHARE = 0.1  # cross-entropy is some ten times as large as the squared errors


@keras.saving.register_keras_serializable("microseg")
class MapLoss(keras.losses.Loss):
    """Loss on maps between 0 and 1 that leaves out pixels whose target is negative: unknown.

    Parameters
    ----------
    kind : str
        One of :data:`LOSSES`: squared error (the paper's), absolute error, binary
        cross-entropy, half of it and half Dice loss, or squared error on all maps but the
        last, the foreground, on which it is a tenth of the cross-entropy.

    Notes
    -----
    Dice is ``1 - (2 Σ t p + 1) / (Σ t + Σ p + 1)`` with the sums over the pixels of one map of
    one image. Unknown pixels count as pixels without error.
    """

    def __init__(self, kind="mse", name="map_loss", **options):
        super().__init__(name=name, **options)
        if kind not in LOSSES:
            raise ValueError(f"loss is {kind!r}: give one of {', '.join(map(repr, LOSSES))}")
        self.kind = kind

    def call(self, y_true, y_pred):
        """Return the loss of each pixel, NYX: the mean over the maps."""
        y_true = ops.cast(y_true, y_pred.dtype)
        known = ops.cast(y_true >= 0, y_pred.dtype)
        return ops.mean(known * self._errors(known * y_true, y_pred, known), axis=-1)

    def _errors(self, true, pred, known):
        if self.kind == "mse":
            return ops.square(true - pred)
        if self.kind == "mae":
            return ops.absolute(true - pred)
        entropy = ops.binary_crossentropy(true, pred)
        if self.kind == "bce":
            return entropy
        if self.kind == "bce_dice":
            return 0.5 * entropy + 0.5 * _dice_loss(true, known * pred)
        squares = ops.square(true - pred)[..., :-1]
        return ops.concatenate([squares, FOREGROUND_SHARE * entropy[..., -1:]], axis=-1)

    def get_config(self):
        """Return the parameters."""
        return {**super().get_config(), "kind": self.kind}


def _dice_loss(true, pred):
    overlap = ops.sum(true * pred, axis=(1, 2), keepdims=True)
    total = ops.sum(true + pred, axis=(1, 2), keepdims=True)
    return 1 - (2 * overlap + 1) / (total + 1)


def choose_loss(network: str) -> str:
    """Return the loss of a network of :func:`helpers.fpn.build_networks`, by its name.

    Examples
    --------
    >>> choose_loss("distance"), choose_loss("border_foreground")
    ('mse', 'mse_foreground')
    """
    return "mse_foreground" if network.endswith("foreground") else "mse"


def make_loss(loss: str | Callable) -> Callable:
    """Return the loss of a name, or what is given if it is no name.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    return MapLoss(loss) if isinstance(loss, str) else loss


class ValidationLoss:
    """Loss on fixed images, measured after each epoch: ``validate`` of a training.

    Parameters
    ----------
    images : ndarray, NYXC
        Normalised patches of validation images, whose sides are multiples of 32.
    targets : ndarray, NYX(maps)
        Their targets, negative where unknown.
    loss : str or callable
        As in :func:`helpers.fpn.train_fpn`.
    batch_size : int
        Images predicted at once.
    """

    def __init__(self, images, targets, *, loss="mse", batch_size=8):
        self.images, self.targets = images, targets
        self.loss, self.batch_size = make_loss(loss), batch_size

    def __call__(self, model: keras.Model) -> dict[str, float]:
        """Return ``{"val_loss": ...}``."""
        found = model.predict(self.images, batch_size=self.batch_size, verbose=0)
        return {"val_loss": float(self.loss(np.asarray(self.targets, np.float32), found))}
