"""Fully convolutional networks on a VGG16 without skip connections but those of the scores."""

from __future__ import annotations

from keras import layers

from helpers.unets.blocks import Style, Tensor, conv, conv_norm_act, drop, pool, up_conv, upsample
from helpers.unets.heads import Head
from helpers.unets.layers import BilinearKernel

__all__ = ["fcn_network"]


def fcn_network(
    x: Tensor,
    head: Head,
    *,
    filters: int = 64,
    wide: int = 4096,
    dropout: float = 0.5,
    finest: int = 8,
    normalization: str | None = None,
) -> Tensor:
    """Return the output of a fully convolutional VGG16 (Long et al. 2015), 2D.

    Parameters
    ----------
    x, head, normalization
        As in :func:`helpers.unets.plain.unet_network`.
    filters, wide : int
        Channels of the first block (then 2, 4, 8 and 8 times as many), and of the two layers
        behind the last pooling, 3x3 and 1x1.
    dropout : float
        After each of these two.
    finest : {8, 32}
        8: the scores are enlarged and added to those of the fourth and the third pooling,
        by transposed convolutions of widths 4, 4 and 16 that start as linear interpolation.
        32: bilinear enlargement at once.
    """
    style, pooled = Style("relu", normalization), []
    for n_convs, factor in zip((2, 2, 3, 3, 3), (1, 2, 4, 8, 8), strict=True):
        for _ in range(n_convs):
            x = conv_norm_act(x, factor * filters, style)
        pooled.append(x := pool(x))
    for size in (3, 1):
        x = drop(conv_norm_act(x, wide, style, size), dropout)
    if finest == 32:
        scores = conv(x, head.classes, head.style(), 1, **head.bias())
        return head.finish(upsample(scores, 32, interpolation="bilinear"))
    if finest != 8:
        raise ValueError(f"finest is {finest}: choose 8 or 32.")
    linear = style._replace(initializer=BilinearKernel())
    scores = conv(x, head.classes, head.style(), 1)
    for level in (3, 2):
        up = up_conv(scores, head.classes, linear, 4, strides=2)
        scores = layers.Add()([up, conv(pooled[level], head.classes, head.style(), 1)])
    return head.enlarge(scores, 16, 8, initializer=BilinearKernel())
