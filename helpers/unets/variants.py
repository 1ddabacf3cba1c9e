"""Relatives of the U-Net: MultiResUNet, and with deep supervision MNet and nnU-Net-like."""

from __future__ import annotations

from collections.abc import Sequence

from keras import layers

from helpers.unets.blocks import (
    Style,
    Tensor,
    activate,
    concat,
    conv,
    conv_norm_act,
    drop,
    normalize,
    plain_block,
    pool,
    spatial_tuple,
    u_shape,
    up_conv,
    upsample,
)
from helpers.unets.heads import Head

__all__ = ["mnet_network", "multires_network", "nnunet_network"]


def multires_network(
    x: Tensor,
    head: Head,
    *,
    filters: Sequence[int],
    alpha: float = 1.67,
    normalization: str | None = "batch",
) -> Tensor:
    """Return the output of MultiResUNet (Ibtehaz & Rahman 2020).

    Parameters
    ----------
    x, head, normalization
        As in :func:`helpers.unets.plain.unet_network`. Batch normalisation also stands before
        the output's activation, and a prior is then set there.
    filters : sequence of int
        U of each level. With W = `alpha` U, a block chains three 3x3 convolutions of
        floor(.167 W), floor(.333 W) and floor(.5 W) filters, joins all three and adds a 1x1
        shortcut.
    alpha : float
        See `filters`.
    """
    style, bottom = Style("relu", normalization), len(filters) - 1

    def block(x, level):
        widths = [max(1, int(alpha * filters[level] * share)) for share in (0.167, 0.333, 0.5)]
        chain = [conv_norm_act(x, widths[0], style)]
        for width in widths[1:]:
            chain.append(conv_norm_act(chain[-1], width, style))
        return _add_shortcut(x, normalize(concat(*chain), normalization), style)

    def decode(x, skip, level):
        for _ in range(bottom - level):  # the path is longer where the gap is wider: at the top
            skip = _add_shortcut(skip, conv_norm_act(skip, filters[level], style), style)
        return block(concat(up_conv(x, filters[level], style), skip), level)

    x = u_shape(
        x, bottom + 1, encode=block, shrink=lambda x, level: pool(x), decode=decode
    )  # fmt: skip
    return head.normalized(x) if normalization == "batch" else head(x)


def _add_shortcut(x: Tensor, y: Tensor, style: Style) -> Tensor:
    """Add a normalised 1x1 convolution of x to y; activate and normalise the sum."""
    shortcut = normalize(conv(x, y.shape[-1], style, 1), style.normalization)
    return normalize(activate(layers.Add()([shortcut, y]), style.activation), style.normalization)


def mnet_network(
    x: Tensor,
    head: Head,
    *,
    filters: Sequence[int],
    dropout: Sequence[float],
    normalization: str | None = None,
) -> dict[str, Tensor]:
    """Return the outputs of M-Net (Fu et al. 2018), all at full resolution.

    The image, shrunk by averaging, enters every level but the first and the last by a
    convolution of its own. Each level of the decoder gives an output, ``side_1`` (coarsest)
    and so on; ``main`` is their mean.

    Parameters
    ----------
    x, head, filters, dropout, normalization
        As in :func:`helpers.unets.plain.unet_network`.
    """
    style, bottom = Style("relu", normalization), len(filters) - 1
    image, sides = {0: x}, {}

    def encode(x, level):
        if 0 < level < bottom:
            image[level] = pool(image[level - 1], kind="Average")
            x = concat(conv_norm_act(image[level], filters[level], style), x)
        return plain_block(x, filters[level], style, rate=dropout[level])

    def decode(x, skip, level):
        up = up_conv(x, filters[level], style)
        x = plain_block(concat(up, skip), filters[level], style, rate=dropout[level])
        # enlarging by repetition after the 1x1 convolution gives the same as before it
        name = f"side_{bottom - level}"
        sides[name] = head(x, name=name if level == 0 else f"{name}_coarse")
        if level:
            sides[name] = upsample(sides[name], 2**level, name=name, dtype="float32")
        return x

    u_shape(x, bottom + 1, encode=encode, shrink=lambda x, level: pool(x), decode=decode)
    mean = layers.Average(dtype="float32", name="main")
    return {"main": mean(list(sides.values())) if bottom > 1 else sides["side_1"], **sides}


def nnunet_network(
    x: Tensor,
    head: Head,
    *,
    filters: Sequence[int],
    strides: Sequence | None = None,
    normalization: str | None = "batch",
    dropout: Sequence[float],
) -> dict[str, Tensor]:
    """Return the outputs of a network built like those of nnU-Net (Isensee et al. 2021).

    Strided convolutions instead of pooling, LeakyReLU, transposed convolutions without bias,
    and an output at each scale: ``main`` at full size, ``side_1`` at half size, and so on.
    Planning, pre-processing and ensembling of nnU-Net are not part of it.

    Parameters
    ----------
    x, head, filters, dropout, normalization
        As in :func:`helpers.unets.plain.unet_network`.
    strides : sequence of int or tuple of int, optional
        From each level to the next; 2 without it.
    """
    style, bottom = Style("leaky_relu", normalization), len(filters) - 1
    steps = [spatial_tuple(s, x) for s in (strides or [2] * bottom)]
    if len(steps) != bottom:
        raise ValueError(f"strides has {len(steps)} entries: give one per level, {bottom}.")
    outputs = {}

    def encode(x, level):
        step = steps[level - 1] if level else 1
        x = drop(conv_norm_act(x, filters[level], style, strides=step), dropout[level])
        return conv_norm_act(x, filters[level], style)

    def decode(x, skip, level):
        up = up_conv(x, filters[level], style, steps[level], use_bias=False)
        x = plain_block(concat(up, skip), filters[level], style, rate=dropout[level])
        name = f"side_{level}" if level else "main"
        outputs[name] = head(x, name=name)
        return x

    u_shape(x, bottom + 1, encode=encode, shrink=lambda x, level: x, decode=decode)
    return dict(reversed(outputs.items()))
