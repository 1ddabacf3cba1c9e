"""Networks with dense connections: FC-DenseNet within its blocks, U-Net++ between levels."""

from __future__ import annotations

from collections.abc import Sequence

from helpers.unets.blocks import (
    Style,
    Tensor,
    concat,
    conv,
    drop,
    norm_act,
    plain_block,
    pool,
    u_shape,
    up_conv,
)
from helpers.unets.heads import Head

__all__ = ["dense_network", "nested_decoder", "nested_network"]


def dense_network(
    x: Tensor,
    head: Head,
    *,
    filters: int = 48,
    growth: int = 16,
    n_layers: Sequence[int] = (4, 5, 7, 10, 12, 15),
    dropout: float = 0.2,
    normalization: str | None = "batch",
) -> Tensor:
    """Return the output of a fully convolutional DenseNet (Jégou et al. 2017).

    Parameters
    ----------
    x, head, normalization
        As in :func:`helpers.unets.plain.unet_network`.
    filters, growth : int
        Channels of the first convolution, and those that each layer adds.
    n_layers : sequence of int
        Layers per block on the way down, the last at the bottom; the default is
        FC-DenseNet103.
    dropout : float
        One rate for all layers.
    """
    style, bottom = Style("relu", normalization, "he_uniform"), len(n_layers) - 1

    def grow(x, level):
        """Return what the layers of a block add, joined."""
        added = []
        for _ in range(n_layers[level]):
            added.append(drop(conv(norm_act(x, style), growth, style), dropout))
            x = concat(x, added[-1])
        return concat(*added) if len(added) > 1 else added[0]

    def shrink(x, level):
        return pool(drop(conv(norm_act(x, style), x.shape[-1], style, 1), dropout))

    def decode(x, skip, level):
        up = up_conv(x, x.shape[-1], style, 3, strides=2)
        joined = concat(skip, up)
        added = grow(joined, level)
        # only new features go up, which keeps the width in bounds; the last block gives all
        return added if level else concat(joined, added)

    def encode(x, level):
        return concat(x, grow(x, level)) if level < bottom else grow(x, level)

    x = conv(x, filters, style)
    return head(u_shape(x, bottom + 1, encode=encode, shrink=shrink, decode=decode))


def nested_network(
    x: Tensor,
    head: Head,
    *,
    filters: Sequence[int],
    dropout: Sequence[float],
    normalization: str | None = "batch",
) -> Tensor:
    """Return the output of U-Net++ (Zhou et al. 2018), whose skip connections are dense.

    Parameters
    ----------
    x, head, filters, dropout, normalization
        As in :func:`helpers.unets.plain.unet_network`. ``"unet++_resnet50"`` has the same
        decoder on a ResNet-50.
    """
    style = Style("relu", normalization)
    features = [plain_block(x, filters[0], style, rate=dropout[0])]
    for width, rate in zip(filters[1:], dropout[1:], strict=True):
        features.append(plain_block(pool(features[-1]), width, style, rate=rate))
    return head(nested_decoder(features, filters, style))


def nested_decoder(features: Sequence[Tensor], filters: Sequence[int], style: Style) -> Tensor:
    """Return the finest node of the nested decoder.

    Node (i, j) takes all earlier nodes of its level, (i, 0) to (i, j - 1), and node
    (i + 1, j - 1), enlarged. Node (i, 0) is the encoder's.

    Parameters
    ----------
    features : sequence of tensor
        Of the encoder, from fine to coarse, each half as large as the one before.
    filters : sequence of int
        Channels of the nodes of each level.
    style : Style
        Of all layers.
    """
    nodes = [[feature] for feature in features]
    for j in range(1, len(nodes)):
        for i in range(len(nodes) - j):
            up = up_conv(nodes[i + 1][j - 1], filters[i], style)
            nodes[i].append(plain_block(concat(*nodes[i], up), filters[i], style))
    return nodes[0][-1]
