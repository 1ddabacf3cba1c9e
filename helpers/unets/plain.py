"""U-Nets of one kind: baseline, residual, attention, squeeze-excite; Çiçek's; for AFM."""

from __future__ import annotations

from collections.abc import Sequence

from helpers.unets.blocks import (
    Style,
    Tensor,
    activate,
    attention_gate,
    concat,
    conv,
    conv_norm_act,
    drop,
    normalize,
    plain_block,
    pool,
    residual_block,
    spatial_tuple,
    u_shape,
    up_conv,
    upsample,
)
from helpers.unets.heads import Head

__all__ = ["afm_network", "unet_network", "vanilla_network"]

GATES = (None, "skip", "decoder")


def unet_network(
    x: Tensor,
    head: Head,
    *,
    filters: Sequence[int],
    dropout: Sequence[float],
    normalization: str | None = None,
    activation: str = "elu",
    block: str = "plain",
    gate: str | None = None,
    squeeze: int | None = None,
    pool_size=2,
) -> Tensor:
    """Return the output of the baseline U-Net and its variants.

    Parameters
    ----------
    x : tensor, N, spatial axes, C
        Input.
    head : Head
        Makes the output.
    filters, dropout : sequence
        Feature maps and dropout rate of each level, from full resolution down.
    normalization, activation : str
        See :class:`helpers.unets.blocks.Style`.
    block : {"plain", "residual"}
        Two convolutions, or the pre-activation block with a shortcut. The published residual
        U-Net ran with the dropout rates in reverse, .3 at full resolution: set
        ``dropout=(.3, .2, .2, .1, .1)`` for that.
    gate : {None, "skip", "decoder"}
        Attention: ``"skip"`` weights what comes over the skip connection (Oktay et al. 2018).
        ``"decoder"`` weights the enlarged tensor instead and joins it with its unweighted
        self, as the code of Franco-Barranco et al. 2022 does; the encoder's features then
        reach the decoder through the weights alone.
    squeeze : int, optional
        Squeeze-excite with this ratio after each activation, except at the bottom.
    pool_size : int, tuple of int, or list of these
        Pooling: one for all levels, one number per axis, or a list with one entry per level.
        ``(1, 2, 2)`` leaves the planes of anisotropic stacks alone.

    Returns
    -------
    tensor, N, spatial axes, classes

    Raises
    ------
    ValueError
        If `block`, `gate` or `pool_size` is none of these.
    """
    if block not in ("plain", "residual") or gate not in GATES:
        raise ValueError(
            f"block is {block!r} and gate is {gate!r}: choose block 'plain' or 'residual', and "
            "gate None, 'skip' or 'decoder'."
        )
    style, bottom = Style(activation, normalization), len(filters) - 1
    sizes = _level_sizes(pool_size, bottom, x)

    def make_block(x, level, first=False):
        options = {"rate": dropout[level], "squeeze": squeeze if level < bottom else None}
        if block == "residual":
            return residual_block(x, filters[level], style, first=first, **options)
        return plain_block(x, filters[level], style, **options)

    def decode(x, skip, level):
        up = up_conv(x, filters[level], style, sizes[level])
        return make_block(_join(skip, up, style, gate), level)

    x = u_shape(
        x,
        bottom + 1,
        encode=lambda x, level: make_block(x, level, first=level == 0),
        shrink=lambda x, level: pool(x, sizes[level]),
        decode=decode,
    )
    return head(x)


def _join(skip: Tensor, up: Tensor, style: Style, gate: str | None) -> Tensor:
    """Join what comes over the skip connection and from below, with or without attention."""
    from keras.layers import Multiply

    if gate is None:
        return concat(up, skip)
    weights = attention_gate(skip, up, style)
    if gate == "skip":
        return concat(up, Multiply()([skip, weights]))
    return concat(up, Multiply()([up, weights]))


def _level_sizes(pool_size, n_levels: int, x: Tensor) -> list[tuple[int, ...]]:
    if not isinstance(pool_size, list):
        return [spatial_tuple(pool_size, x)] * n_levels
    if len(pool_size) != n_levels:
        raise ValueError(f"pool_size has {len(pool_size)} entries: give one per level, {n_levels}.")
    return [spatial_tuple(size, x) for size in pool_size]


def vanilla_network(
    x: Tensor,
    head: Head,
    *,
    filters: Sequence[int],
    normalization: str | None = "batch",
    dropout: Sequence[float],
) -> Tensor:
    """Return the output of the 3D U-Net of Çiçek et al. 2016.

    Channels double before each pooling, not after; ReLU; transposed convolutions without bias
    keep the number of channels, which gives the paper's 19,069,955 weights for three channels
    and three classes (without the normalisation's).

    Parameters
    ----------
    x, head, normalization, dropout
        As in :func:`unet_network`.
    filters : sequence of int
        Channels of the first convolution of each level; the second makes twice as many.
    """
    style, bottom = Style("relu", normalization), len(filters) - 1

    def encode(x, level):
        x = drop(conv_norm_act(x, filters[level], style), dropout[level])
        return conv_norm_act(x, 2 * filters[level], style)

    def decode(x, skip, level):
        up = up_conv(x, x.shape[-1], style, use_bias=False)
        return plain_block(concat(up, skip), 2 * filters[level], style, rate=dropout[level])

    return head(
        u_shape(x, bottom + 1, encode=encode, shrink=lambda x, level: pool(x), decode=decode)
    )


def afm_network(
    x: Tensor,
    head: Head,
    *,
    filters: Sequence[int],
    dropout: float = 0.5,
    normalization: str | None = "batch",
    activation: str = "relu",
) -> Tensor:
    """Return the output of the U-Net for AFM height maps (Tiryaki et al. 2022).

    Two convolutions with batch normalisation and ReLU per level; dropout after each pooling
    and each joining; enlarged by repeating pixels and a 2x2 convolution, of which the deepest
    has no normalisation.

    Parameters
    ----------
    x, head, filters, normalization, activation
        As in :func:`unet_network`.
    dropout : float
        One rate for all levels. Published: .5 for five levels and .55 for two to four.
    """
    style, bottom = Style(activation, normalization), len(filters) - 1

    def encode(x, level):
        return plain_block(x, filters[level], style)

    def decode(x, skip, level):
        up = conv(upsample(x), filters[level], style, 2)
        if level < bottom - 1:
            up = normalize(up, normalization)
        return plain_block(drop(concat(skip, activate(up, activation)), dropout), filters[level],
                           style)  # fmt: skip

    shrink = lambda x, level: drop(pool(x), dropout)  # noqa: E731
    return head(u_shape(x, bottom + 1, encode=encode, shrink=shrink, decode=decode))
