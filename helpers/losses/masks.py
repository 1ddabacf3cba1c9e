"""Losses for masks: what is foreground, in 2D and 3D; and an alarm for networks that give up.

In the formulas g is the true mask and p the predicted probability of a pixel, sums run over all
pixels of the batch (or of each image, with ``per_image=True``), ``TP = sum g p``,
``FN = sum g (1 - p)`` and ``FP = sum (1 - g) p``. `TP`, `FN` and `FP` are soft: they need no
threshold.
"""

from __future__ import annotations

import keras
from keras import ops

from helpers.losses.base import MaskLoss, check_positive, fit_shape

__all__ = [
    "BinaryCrossentropy",
    "BorderWeightedCrossentropy",
    "Dice",
    "DiceCrossentropy",
    "Focal",
    "FocalTversky",
    "LOSSES",
    "LogCoshDice",
    "Tversky",
    "make_loss",
]

register = keras.saving.register_keras_serializable(package="microseg")


@register
class BinaryCrossentropy(MaskLoss):
    """Cross-entropy of each pixel, ``-g ln p - (1 - g) ln(1 - p)``, and their mean.

    As in Keras, but with a gradient also where p is below 1e-7, where Keras clips it: there a
    pixel that is wrongly called background could never come back. The losses are per pixel,
    so that ``sample_weight`` may be a map; `per_image` makes no difference.
    """

    def call(self, y_true, y_pred):
        """Return the loss of each pixel, NYX or NZYX."""
        y_true = fit_shape(y_true, y_pred)
        log_p, log_q = self.log_chances(y_pred)
        return ops.mean(-y_true * log_p - (1 - y_true) * log_q, axis=-1)


@register
class BorderWeightedCrossentropy(BinaryCrossentropy):
    """Cross-entropy times a map of weights, which come as a second channel of `y_true`.

    ``mean(w * BCE)``, not divided by the sum of the weights. ``y_true`` is NYX2 or NZYX2: the
    mask, and the weights of :func:`border_weights`. Source: U-Net (Ronneberger et al. 2015).
    """

    def call(self, y_true, y_pred):
        """Return the weighted loss of each pixel, NYX or NZYX."""
        if y_true.shape[-1] != 2:
            raise ValueError(
                f"y_true has shape {tuple(y_true.shape)}: give two channels, the mask and the "
                "weights of border_weights"
            )
        return y_true[..., 1] * super().call(y_true[..., :1], y_pred)


@register
class Dice(MaskLoss):
    """``1 - (2 TP + s) / (2 TP + FN + FP + s)``.

    The smoothing s makes an empty image predicted empty a loss of 0, and keeps the gradient
    small near it. Source: V-Net (Milletari et al. 2016), with p instead of its square.

    Parameters
    ----------
    smooth : float
        s, above 0.
    **options
        As in :class:`MaskLoss`.
    """

    settings = (*MaskLoss.settings, "smooth")

    def __init__(self, *, smooth: float = 1.0, **options):
        super().__init__(**options)
        self.smooth = check_positive(smooth, "smooth")

    def call(self, y_true, y_pred):
        """Return the loss of the batch, or of each image."""
        tp, fn, fp = self.sum_overlaps(y_true, y_pred)
        # one minus the index, without the rounding of a difference
        return (fn + fp) / (2 * tp + fn + fp + self.smooth)


@register
class LogCoshDice(Dice):
    """``ln cosh(Dice loss)``, which is flat near 0. Source: Jadon 2020."""

    def call(self, y_true, y_pred):
        """Return the loss of the batch, or of each image."""
        return ops.log(ops.cosh(super().call(y_true, y_pred)))


@register
class DiceCrossentropy(Dice):
    """``a * Dice loss + b * mean cross-entropy``.

    Cross-entropy alone may settle at all background, where Dice has the better gradient; Dice
    alone is noisy on small objects. Source of the weights: EM segmentation (Franco-Barranco
    et al. 2022).

    Parameters
    ----------
    dice_weight, bce_weight : float
        a and b.
    **options
        As in :class:`Dice`.
    """

    settings = (*Dice.settings, "dice_weight", "bce_weight")

    def __init__(self, *, dice_weight: float = 0.66, bce_weight: float = 0.33, **options):
        super().__init__(**options)
        self.dice_weight, self.bce_weight = float(dice_weight), float(bce_weight)

    def call(self, y_true, y_pred):
        """Return the loss of the batch, or of each image."""
        fitted = fit_shape(y_true, y_pred)
        log_p, log_q = self.log_chances(y_pred)
        axes = tuple(range(1, len(y_pred.shape))) if self.per_image else None
        bce = ops.mean(-fitted * log_p - (1 - fitted) * log_q, axis=axes)
        return self.dice_weight * super().call(y_true, y_pred) + self.bce_weight * bce


@register
class Focal(MaskLoss):
    """Cross-entropy that counts well-predicted pixels little.

    ``-a g (1 - p)**c ln p - (1 - a) (1 - g) p**c ln(1 - p)``. Source: Lin et al. 2017.

    Parameters
    ----------
    alpha : float or None
        a, the weight of foreground, between 0 and 1; None weighs both classes with 1.
    gamma : float
        c, 0 or larger; with 0 and ``alpha=None`` this is the cross-entropy.
    **options
        As in :class:`MaskLoss`. The losses are per pixel; `per_image` makes no difference.
    """

    settings = (*MaskLoss.settings, "alpha", "gamma")

    def __init__(self, *, alpha: float | None = 0.25, gamma: float = 2.0, **options):
        super().__init__(**options)
        if alpha is not None and not 0 <= alpha <= 1:
            raise ValueError(f"alpha is {alpha}: give a weight between 0 and 1, or None")
        if not gamma >= 0:
            raise ValueError(f"gamma is {gamma}: give an exponent of 0 or larger")
        self.alpha, self.gamma = alpha, float(gamma)

    def call(self, y_true, y_pred):
        """Return the loss of each pixel, NYX or NZYX."""
        y_true = fit_shape(y_true, y_pred)
        log_p, log_q = self.log_chances(y_pred)
        foreground, background = (1, 1) if self.alpha is None else (self.alpha, 1 - self.alpha)
        # powers as exp(c ln): their gradient is finite at 0 for exponents below 1 too
        loss = foreground * y_true * ops.exp(self.gamma * log_q) * log_p
        loss += background * (1 - y_true) * ops.exp(self.gamma * log_p) * log_q
        return ops.mean(-loss, axis=-1)


@register
class Tversky(MaskLoss):
    """``1 - TI`` with ``TI = (TP + s) / (TP + a FN + b FP + s)``.

    With a above b missed foreground costs more than false foreground; ``a = b = 0.5`` is Dice
    (with twice its smoothing). Source: Salehi et al. 2017.

    Parameters
    ----------
    alpha, beta : float
        a and b, the costs of missed and of false foreground.
    smooth : float
        s, above 0. Published for AFM: 1e-15, with which the gradient of an empty image is
        huge.
    **options
        As in :class:`MaskLoss`.
    """

    settings = (*MaskLoss.settings, "alpha", "beta", "smooth")

    def __init__(self, *, alpha: float = 0.7, beta: float = 0.3, smooth: float = 1.0, **options):
        super().__init__(**options)
        self.alpha = check_positive(alpha, "alpha")
        self.beta = check_positive(beta, "beta")
        self.smooth = check_positive(smooth, "smooth")

    def call(self, y_true, y_pred):
        """Return the loss of the batch, or of each image."""
        tp, fn, fp = self.sum_overlaps(y_true, y_pred)
        wrong = self.alpha * fn + self.beta * fp
        return wrong / (tp + wrong + self.smooth)


@register
class FocalTversky(Tversky):
    """``(1 - TI)**c``, which with c below 1 still learns from nearly perfect images.

    Source: Abraham and Khan 2019, whose exponent is ``1 / gamma`` with gamma 4/3.

    Parameters
    ----------
    gamma : float
        c, above 0.
    **options
        As in :class:`Tversky`.
    """

    settings = (*Tversky.settings, "gamma")

    def __init__(self, *, gamma: float = 0.75, **options):
        super().__init__(**options)
        self.gamma = check_positive(gamma, "gamma")

    def call(self, y_true, y_pred):
        """Return the loss of the batch, or of each image."""
        # the power's slope is infinite at 0
        return ops.maximum(super().call(y_true, y_pred), 1e-7) ** self.gamma


LOSSES = {
    "bce": BinaryCrossentropy,
    "border_bce": BorderWeightedCrossentropy,
    "dice": Dice,
    "dice_bce": DiceCrossentropy,
    "focal": Focal,
    "focal_tversky": FocalTversky,
    "log_cosh_dice": LogCoshDice,
    "tversky": Tversky,
}


def make_loss(name: str, /, **options) -> MaskLoss:
    """Return a loss by its short name, for one parameter of a notebook.

    Parameters
    ----------
    name : str
        A key of `LOSSES`.
    **options
        Passed to the class.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> make_loss("dice", per_image=True).smooth
    1.0
    """
    if name not in LOSSES:
        raise ValueError(f"name is {name!r}: give one of {', '.join(map(repr, LOSSES))}")
    return LOSSES[name](**options)
