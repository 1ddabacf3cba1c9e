"""The output layers of a network, with a bias that starts at the share of the foreground."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras
from keras import layers

from helpers.unets.blocks import Style, Tensor, conv, up_conv

__all__ = ["MAIN", "Head"]

MAIN = "main"


class Head(NamedTuple):
    """Makes the output layers of a network, all of one kind.

    Attributes
    ----------
    classes : int
        Output channels. One sigmoid channel computes the same as a softmax over two.
    activation : str
        ``"sigmoid"``, ``"softmax"`` or ``"linear"``.
    prior : float or sequence of float, optional
        Share of the foreground in the training masks, in (0, 1); for a softmax the shares of
        all classes, or that of class 1 of two. An untrained network then predicts this share.
    """

    classes: int = 1
    activation: str = "sigmoid"
    prior: float | Sequence[float] | None = None

    def __call__(self, x: Tensor, *, name: str = MAIN, size=1, l2: float = 0.0) -> Tensor:
        """Return the output: a convolution of width `size`, then the activation."""
        return self.finish(conv(x, self.classes, self.style(l2), size, **self.bias()), name=name)

    def enlarge(self, x: Tensor, size: int, strides: int, *, l2=0.0, initializer=None) -> Tensor:
        """Return the main output by a transposed convolution, `strides` times as large."""
        style = self.style(l2)._replace(**{"initializer": initializer} if initializer else {})
        return self.finish(up_conv(x, self.classes, style, size, strides=strides, **self.bias()))

    def normalized(self, x: Tensor) -> Tensor:
        """Return the main output by a 1x1 convolution and batch normalisation."""
        options = {"momentum": 0.9}
        if self.prior is not None:
            start = keras.initializers.Constant
            options.update(beta_initializer=start(self.logits()), gamma_initializer=start(0.1))
        x = conv(x, self.classes, Style(), 1, use_bias=False)
        return self.finish(layers.BatchNormalization(**options)(x))

    def finish(self, x: Tensor, *, name: str = MAIN) -> Tensor:
        """Return the activation, in 32 bits also where the network computes in 16."""
        return layers.Activation(self.activation, dtype="float32", name=name)(x)

    def style(self, l2: float = 0.0) -> Style:
        """Return the initial kernel: near 0 where a prior is set, so that the bias decides."""
        start = "glorot_uniform"
        if self.prior is not None:
            start = keras.initializers.RandomNormal(stddev=0.01)
        return Style(initializer=start, l2=l2)

    def bias(self) -> dict:
        """Return the initial bias, as an option of a convolution."""
        if self.prior is None:
            return {}
        return {"bias_initializer": keras.initializers.Constant(self.logits())}

    def logits(self) -> float | list[float]:
        """Return log(p / (1 - p)) of the prior; log(p) of each class for a softmax.

        Raises
        ------
        ValueError
            If a share is not between 0 and 1, or their number is not that of the classes.
        """
        shares = [self.prior] if isinstance(self.prior, (int, float)) else list(self.prior)
        if not all(0 < p < 1 for p in shares):
            raise ValueError(
                f"prior is {self.prior}: give the share of foreground pixels, above 0 and below "
                "1. A share of 0 means that the training masks are empty."
            )
        if self.activation == "softmax" and len(shares) == 1 and self.classes == 2:
            shares = [1 - shares[0], shares[0]]
        if len(shares) not in (1, self.classes):
            raise ValueError(f"prior has {len(shares)} shares: give one per class, {self.classes}.")
        if self.activation == "softmax":
            return [math.log(p) for p in shares]
        odds = [math.log(p / (1 - p)) for p in shares]
        return odds[0] if len(odds) == 1 else odds
