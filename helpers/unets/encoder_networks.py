"""U-Nets on encoders of ``keras.applications``: U-VGG16, U-VGG19, U-Xception, U-Net++."""

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
    up_conv,
)
from helpers.unets.dense import nested_decoder
from helpers.unets.encoders import encoder_features
from helpers.unets.heads import Head
from helpers.unets.layers import BorderPadding

__all__ = ["nested_encoder_network", "vgg_network", "xception_network"]


def vgg_network(
    x: Tensor,
    head: Head,
    *,
    backbone: str = "vgg16",
    filters: Sequence[int] = (64, 128, 256, 512),
    normalization: str | None = "batch",
    dropout: float = 0.0,
    **encoder,
) -> Tensor:
    """Return the output of U-VGG16 or U-VGG19 (Tiryaki et al. 2022).

    Parameters
    ----------
    x, head, normalization
        As in :func:`helpers.unets.plain.unet_network`.
    backbone : {"vgg16", "vgg19"}
        The skips are the last convolutions of its blocks.
    filters : sequence of int
        Of the decoder's four levels, from full resolution down.
    dropout : float
        Between the decoder's convolutions.
    **encoder
        ``weights``, ``preprocessing`` and ``white`` of :func:`encoder_features`.
    """
    style = Style("relu", normalization, "glorot_uniform")
    *skips, x = encoder_features(x, backbone, **encoder)
    for skip, width in zip(reversed(skips), reversed(filters), strict=True):
        x = plain_block(concat(up_conv(x, width, style), skip), width, style, rate=dropout)
    return head(x)


def xception_network(
    x: Tensor,
    head: Head,
    *,
    filters: Sequence[int] = (16, 32, 64, 128, 256, 512),
    dropout: Sequence[float] = (0.5, 0.1, 0.1, 0.5, 0.5, 0.5),
    normalization: str | None = "batch",
    **encoder,
) -> Tensor:
    """Return the output of U-Xception (Tiryaki et al. 2022).

    Parameters
    ----------
    x, head, normalization
        As in :func:`helpers.unets.plain.unet_network`.
    filters, dropout : sequence
        Of the decoder's levels, from full resolution down; the last below the encoder.
    **encoder
        ``weights``, ``preprocessing`` and ``white`` of :func:`encoder_features`.
    """
    style = Style("relu", normalization, "glorot_uniform")
    half, quarter, eighth, bottom = encoder_features(x, "xception", **encoder)
    # unpadded convolutions cost the first blocks 3 and 1 rows and columns at the start
    half, quarter = (_pad_start(t, n) for t, n in ((half, 3), (quarter, 1)))
    bottom = activate(bottom, "relu")
    skips = [None, half, quarter, eighth, bottom]
    x = _residual_pair(drop(pool(bottom), dropout[-1]), filters[-1], style)
    for skip, width, rate in zip(skips[::-1], filters[-2::-1], dropout[-2::-1], strict=True):
        x = up_conv(x, width, style, 3, strides=2)
        x = drop(x if skip is None else concat(x, skip), rate)
        x = _residual_pair(x, width, style)
    return head(drop(x, 0.25))


def _pad_start(x: Tensor, n: int) -> Tensor:
    return BorderPadding(n, 0, mode="constant")(x)


def _residual_pair(x: Tensor, width: int, style: Style) -> Tensor:
    """Convolve, add twice a residual to the normalised self, activate."""
    x = conv(x, width, style)
    for _ in range(2):
        y = normalize(activate(x, style.activation), style.normalization)
        y = conv_norm_act(y, width, style)
        y = normalize(conv(y, width, style), style.normalization)
        x = layers.Add()([y, normalize(x, style.normalization)])
    return activate(x, style.activation)


def nested_encoder_network(
    x: Tensor,
    head: Head,
    *,
    backbone: str = "resnet50",
    filters: Sequence[int] = (16, 32, 64, 128, 256),
    normalization: str | None = "batch",
    **encoder,
) -> Tensor:
    """Return the output of a U-Net++ (Zhou et al. 2018) whose encoder is a ResNet-50.

    Parameters
    ----------
    x, head, normalization
        As in :func:`helpers.unets.plain.unet_network`.
    backbone : str
        ``"resnet50"``.
    filters : sequence of int
        Of the decoder, from full resolution down.
    **encoder
        ``weights``, ``preprocessing`` and ``white`` of :func:`encoder_features`.
    """
    style = Style("relu", normalization)
    features = encoder_features(x, backbone, **encoder)
    # the finest features have half the size of the image; the coarsest node keeps its width
    x = nested_decoder(features, (*filters[1:], filters[-1]), style)
    return head(plain_block(up_conv(x, filters[0], style), filters[0], style))
