"""Building blocks that all networks share, in two and three dimensions.

Each function takes and returns a symbolic tensor, N, spatial axes, C; the number of spatial
axes is read off the tensor. ``style`` carries what is the same in all layers of a network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import layers

__all__ = [
    "Style",
    "activate",
    "attention_gate",
    "concat",
    "conv",
    "conv_norm_act",
    "drop",
    "norm_act",
    "normalize",
    "plain_block",
    "pool",
    "residual_block",
    "spatial_tuple",
    "squeeze_excite",
    "u_shape",
    "up_conv",
    "upsample",
]

Tensor = Any
MAX_GROUPS = 8


class Style(NamedTuple):
    """What is the same in all layers of a network.

    Attributes
    ----------
    activation : str
        A name of Keras, ``"prelu"`` (one slope per channel) or ``"leaky_relu"`` (slope 0.01).
    normalization : {"batch", "group", None}
        What stands between convolution and activation.
    initializer : str
        Initial kernels.
    l2 : float
        Weight of the squared kernels in the loss.
    """

    activation: str = "elu"
    normalization: str | None = None
    initializer: str = "he_normal"
    l2: float = 0.0

    def regularizer(self):
        """Return the Keras regularizer of a kernel, or None."""
        return keras.regularizers.L2(self.l2) if self.l2 else None


def spatial_tuple(size, x: Tensor) -> tuple[int, ...]:
    """Return one number per spatial axis: `size` as it is, or repeated.

    Raises
    ------
    ValueError
        If `size` is a sequence of another length.
    """
    ndim = len(x.shape) - 2
    sizes = (size,) * ndim if isinstance(size, int) else tuple(size)
    if len(sizes) != ndim:
        raise ValueError(f"size is {sizes}: give one number, or {ndim}, one per spatial axis.")
    return sizes


def _layer(name: str, x: Tensor) -> type:
    """Return the Keras layer of that name for the dimensions of x."""
    return getattr(layers, name.format(f"{len(x.shape) - 2}D"))


def conv(x: Tensor, filters: int, style: Style, size=3, **options) -> Tensor:
    """Convolve, without normalisation or activation; "same" padding unless told otherwise."""
    return _layer("Conv{}", x)(
        filters,
        size,
        **{"padding": "same", **options},
        kernel_initializer=style.initializer,
        kernel_regularizer=style.regularizer(),
    )(x)


def up_conv(x: Tensor, filters: int, style: Style, size=2, **options) -> Tensor:
    """Enlarge by a transposed convolution; its stride equals `size` unless told otherwise."""
    return _layer("Conv{}Transpose", x)(
        filters,
        size,
        **{"strides": size, "padding": "same", **options},
        kernel_initializer=style.initializer,
        kernel_regularizer=style.regularizer(),
    )(x)


def pool(x: Tensor, size=2, *, kind: str = "Max", window=None) -> Tensor:
    """Shrink by `size` with the maximum or average ("Max", "Average") of each window."""
    layer = _layer(kind + "Pooling{}", x)
    return layer(window or size, strides=size, padding="same")(x)


def upsample(x: Tensor, size=2, **options) -> Tensor:
    """Enlarge by repeating pixels; 2D also with ``interpolation="bilinear"``."""
    return _layer("UpSampling{}", x)(size, **options)(x)


def concat(*tensors: Tensor) -> Tensor:
    """Join channels."""
    return layers.Concatenate()(list(tensors))


def drop(x: Tensor, rate: float) -> Tensor:
    """Set a share of the values to 0 in training; no layer if the rate is 0."""
    return layers.Dropout(rate)(x) if rate else x


def normalize(x: Tensor, kind: str | None) -> Tensor:
    """Normalise by batch or by groups of channels.

    Raises
    ------
    ValueError
        If `kind` is neither "batch" nor "group" nor None.
    """
    if kind is None:
        return x
    if kind == "batch":
        # Keras' 0.99 remembers some 500 steps, too many for a short training
        return layers.BatchNormalization(momentum=0.9)(x)
    if kind == "group":
        channels = x.shape[-1]
        groups = max(n for n in range(1, MAX_GROUPS + 1) if channels % n == 0)
        return layers.GroupNormalization(groups)(x)
    raise ValueError(f"normalization is {kind!r}: choose 'batch', 'group' or None.")


def activate(x: Tensor, kind: str) -> Tensor:
    """Apply an activation; its names are told in :class:`Style`."""
    if kind == "prelu":
        return layers.PReLU(shared_axes=list(range(1, len(x.shape) - 1)))(x)
    if kind == "leaky_relu":
        return layers.LeakyReLU(negative_slope=0.01)(x)
    return layers.Activation(kind)(x)


def norm_act(x: Tensor, style: Style) -> Tensor:
    """Normalise, then activate."""
    return activate(normalize(x, style.normalization), style.activation)


def conv_norm_act(x: Tensor, filters: int, style: Style, size=3, **options) -> Tensor:
    """Convolve, normalise, activate."""
    return norm_act(conv(x, filters, style, size, **options), style)


def squeeze_excite(x: Tensor, ratio: int | None) -> Tensor:
    """Weight channels by what the whole image holds (Hu et al. 2018); None changes nothing.

    Mean per channel, two dense layers without bias (ReLU to C / `ratio`, sigmoid to C),
    product with `x`. The weights depend on the window that is predicted at once.
    """
    if ratio is None:
        return x
    channels = x.shape[-1]
    weights = _layer("GlobalAveragePooling{}", x)(keepdims=True)(x)
    weights = layers.Dense(max(1, channels // ratio), "relu", use_bias=False)(weights)
    weights = layers.Dense(channels, "sigmoid", use_bias=False)(weights)
    return layers.Multiply()([x, weights])


def attention_gate(skip: Tensor, up: Tensor, style: Style) -> Tensor:
    """Return an additive gate in (0, 1), one channel (Oktay et al. 2018).

    sigmoid(W(ReLU(U skip + V up))) with 1x1 convolutions U and V to as many channels as
    `up` has, and W to one.
    """
    width = up.shape[-1]
    mixed = layers.Add()([conv(t, width, style, 1) for t in (skip, up)])
    return activate(conv(activate(mixed, "relu"), 1, style, 1), "sigmoid")


def plain_block(
    x: Tensor, filters: int, style: Style, *, rate: float = 0.0, squeeze: int | None = None
) -> Tensor:
    """Two convolutions with activation, dropout between them, squeeze-excite after each."""
    x = drop(squeeze_excite(conv_norm_act(x, filters, style), squeeze), rate)
    return squeeze_excite(conv_norm_act(x, filters, style), squeeze)


def residual_block(
    x: Tensor,
    filters: int,
    style: Style,
    *,
    rate: float = 0.0,
    squeeze: int | None = None,
    first: bool = False,
) -> Tensor:
    """Pre-activation, convolution, dropout, activation, convolution, plus a 1x1 shortcut.

    He et al. 2016. The `first` block of a network skips the leading activation, for its
    input is the image.
    """
    y = conv(x if first else norm_act(x, style), filters, style)
    y = conv(norm_act(drop(y, rate), style), filters, style)
    return layers.Add()([squeeze_excite(y, squeeze), conv(x, filters, style, 1)])


def u_shape(
    x: Tensor, n_levels: int, *, encode: Callable, shrink: Callable, decode: Callable
) -> Tensor:
    """Run a tensor down an encoder and up a decoder; level 0 has the full resolution.

    Parameters
    ----------
    x : tensor
        Input of level 0.
    n_levels : int
        Number of resolutions.
    encode, shrink : callable
        ``encode(x, level)`` and, between levels, ``shrink(x, level)`` to the next one.
    decode : callable
        ``decode(x, skip, level)``, from the level below and the encoder's output of `level`.

    Returns
    -------
    tensor
        Output of the decoder at level 0.
    """
    skips = []
    for level in range(n_levels - 1):
        skips.append(encode(x, level))
        x = shrink(skips[-1], level)
    x = encode(x, n_levels - 1)
    for level in reversed(range(n_levels - 1)):
        x = decode(x, skips[level], level)
    return x
