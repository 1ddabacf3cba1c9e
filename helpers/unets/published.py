"""Networks of Casser et al. 2018, Cheng & Varshney 2017 and Xiao et al. 2018.

Their training settings are in :mod:`helpers.unets.settings`.
"""

from __future__ import annotations

from collections.abc import Sequence

from keras import layers

from helpers.unets.blocks import (
    Style,
    Tensor,
    concat,
    conv,
    conv_norm_act,
    drop,
    norm_act,
    plain_block,
    pool,
    spatial_tuple,
    u_shape,
    up_conv,
    upsample,
)
from helpers.unets.heads import Head
from helpers.unets.layers import ChannelPadding, StochasticDownsampling

__all__ = ["casser_network", "cheng_network", "xiao_network"]


def casser_network(
    x: Tensor,
    head: Head,
    *,
    filters: Sequence[int],
    dropout: float = 0.2,
    normalization: str | None = None,
) -> Tensor:
    """Return the output of the light U-Net of Casser et al. 2018.

    Enlarged by repeating pixels and a 2x2 convolution; that of the second level has twice the
    filters of the rest of its level, as in the authors' own code. Two 3x3 filters stand before
    the output.

    Parameters
    ----------
    x, head, filters, normalization
        As in :func:`helpers.unets.plain.unet_network`.
    dropout : float
        Behind the two deepest levels of the encoder.
    """
    style, bottom = Style("relu", normalization), len(filters) - 1

    def encode(x, level):
        x = plain_block(x, filters[level], style)
        return drop(x, dropout) if level >= bottom - 1 else x

    def decode(x, skip, level):
        width = filters[level] * (2 if level == 1 else 1)
        up = conv_norm_act(upsample(x), width, style, 2)
        return plain_block(concat(skip, up), filters[level], style)

    x = u_shape(x, bottom + 1, encode=encode, shrink=lambda x, level: pool(x), decode=decode)
    return head(conv_norm_act(x, 2, style))


def cheng_network(
    x: Tensor,
    head: Head,
    *,
    filters: int = 16,
    growth: int = 8,
    n_blocks: Sequence[int] = (2, 3, 6),
    up_filters: Sequence[int] = (64, 32),
    dropout: float = 0.1,
    normalization: str | None = "batch",
    l2: float = 0.01,
    downsampling: str = "stochastic",
    inference: str = "average",
    seed: int | None = None,
) -> Tensor:
    """Return the output of the factorised network of Cheng & Varshney 2017.

    Parameters
    ----------
    x, head, normalization
        As in :func:`helpers.unets.plain.unet_network`.
    filters, growth : int
        Filters of the stem, beside the max-pooled image, and channels that each block adds.
    n_blocks : sequence of int
        Plain blocks at 1/2, 1/4 and 1/8 of the size; a halving block stands between.
    up_filters : sequence of int
        Channels of the decoder, 4 and 2 bottlenecks; the output is enlarged from the last.
    dropout, l2 : float
        Dropout in the blocks; weight of the squared kernels in the loss.
    downsampling : {"stochastic", "max"}
        What halves the shortcut: :class:`helpers.unets.layers.StochasticDownsampling`, or the
        maximum, which the re-implementation of Franco-Barranco et al. 2022 falls back to in
        2D.
    inference, seed
        Of the stochastic downsampling.

    Raises
    ------
    ValueError
        If `downsampling` is unknown, or there are not three counts and two widths.
    """
    if downsampling not in ("stochastic", "max"):
        raise ValueError(f"downsampling is {downsampling!r}: choose 'stochastic' or 'max'.")
    if len(n_blocks) != 3 or len(up_filters) != 2:
        raise ValueError(
            f"n_blocks is {n_blocks} and up_filters {up_filters}: give three numbers of blocks "
            "and two of filters."
        )
    style = Style("prelu", normalization, l2=l2)
    # no activation stands between the bottlenecks' convolutions, so their kernels start smaller
    linear = style._replace(initializer="lecun_normal")
    x = concat(conv(x, filters, style, strides=2), pool(x))
    width = filters
    for level, count in enumerate(n_blocks):
        for block in range(count + bool(level)):
            halve = level > 0 and block == 0
            width += growth
            short = ChannelPadding(width)(x) if x.shape[-1] < width else x
            if halve:
                drawn = StochasticDownsampling(inference=inference, seed=seed)
                short = conv(drawn(x) if downsampling == "stochastic" else pool(x), width, style, 1)
            y = _factorized(norm_act(x, style), width, style, 2 if halve else 1)
            y = _factorized(norm_act(drop(y, dropout), style), width, style)
            x = layers.Add()([y, short])
    for size, count in zip(up_filters, (4, 2), strict=True):
        x = up_conv(x, size, style, 3, strides=2)
        for _ in range(count):
            x = _bottleneck(x, linear)
    return head.enlarge(x, 2, 2, l2=l2)


def _factorized(x: Tensor, width: int, style: Style, strides: int = 1) -> Tensor:
    """Convolve along each axis by itself, an equal share of the filters each; join."""
    ndim = len(x.shape) - 2
    shares = [width // ndim + (axis < width % ndim) for axis in range(ndim)]
    sizes = [tuple(3 if a == axis else 1 for a in range(ndim)) for axis in range(ndim)]
    return concat(
        *(conv(x, n, style, s, strides=strides) for n, s in zip(shares, sizes, strict=True))
    )


def _bottleneck(x: Tensor, style: Style) -> Tensor:
    """Convolve 1x1, 3x3 and 1x1 through a quarter of the channels; add a 1x1 shortcut."""
    width = x.shape[-1]
    y = conv(conv(x, width // 4, style, 1), width // 4, style)
    return layers.Add()([conv(y, width, style, 1), conv(x, width, style, 1)])


def xiao_network(
    x: Tensor,
    head: Head,
    *,
    filters: Sequence[int],
    stem: int = 3,
    pool_size=(1, 2, 2),
    normalization: str | None = "batch",
    dropout: Sequence[float],
    l2: float = 0.01,
) -> dict[str, Tensor]:
    """Return the outputs of the residual 3D network of Xiao et al. 2018, all at full size.

    Parameters
    ----------
    x, head, filters, dropout, normalization
        As in :func:`helpers.unets.plain.unet_network`.
    stem : int
        Filters of the first convolution.
    pool_size : int or tuple of int
        The planes of a stack are not pooled.
    l2 : float
        Weight of the squared kernels of the two side outputs and of the last 3x3x3
        convolution.

    Returns
    -------
    dict of tensor
        ``main``; ``aux_1`` from the third level, enlarged; ``aux_2`` from the last enlarging.
    """
    style, bottom = Style("elu", normalization), len(filters) - 1
    factor, aux = spatial_tuple(pool_size, x), {}

    def block(x, level):
        y = drop(conv_norm_act(x, filters[level], style), dropout[level])
        y = conv_norm_act(y, filters[level], style)
        return layers.Add()([y, conv_norm_act(x, filters[level], style, 1)])

    def decode(x, skip, level):
        up = conv(upsample(x, factor), filters[level], style, 1)
        if level == 0:
            aux["aux_2"] = head(up, name="aux_2", l2=l2)
        x = block(layers.Add()([up, skip]), level)
        if level == min(2, bottom - 1):
            enlarged = upsample(x, tuple(f**level for f in factor))
            aux["aux_1"] = head(enlarged, name="aux_1", l2=l2)
        return x

    x = u_shape(
        conv_norm_act(x, stem, style),
        bottom + 1,
        encode=block,
        shrink=lambda x, level: pool(x, factor),
        decode=decode,
    )
    last = conv_norm_act(x, filters[0], style._replace(l2=l2))
    return {"main": head(last), **aux}
