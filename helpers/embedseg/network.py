"""The network of EmbedSeg: one encoder, and two decoders for embeddings and seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

__all__ = ["DIVISOR", "build_branched_erfnet"]

DIVISOR = 8  # sides of the input must be multiples of this


def build_branched_erfnet(
    n_channels: int = 1,
    *,
    ndim: int = 2,
    width: float = 1.0,
    n_context: int = 2,
    dropout: tuple[float, float] = (0.03, 0.3),
    l2: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build a branched ERFNet, in two or three dimensions and for any image size.

    Parameters
    ----------
    n_channels : int
        Channels of the image, below the filters of the first level (16 at full width).
    ndim : {2, 3}
        Spatial axes.
    width : float
        Factor on all filters (16, 64, 128), rounded to multiples of 4. 0.5 has a quarter of
        the weights (566,691 in 2D) and takes some 40 % of the time of a training step on a CPU.
    n_context : int
        How often the four dilated blocks (2, 4, 8, 16) are passed. 1 saves about a third of the
        weights and narrows the field of view from 1183 pixels to about half of it.
    dropout : tuple of float
        Share of feature maps dropped in the blocks at a quarter and at an eighth of the size.
    l2 : float
        Penalty on all weights, also biases and batch normalisation: 5e-5 is the published
        weight decay of 1e-4. The reported loss includes it.
    seed : int, optional
        Seed of the first weights and of dropout.

    Returns
    -------
    keras.Model
        From (N, Y, X, C) to (N, Y, X, 5), or (N, Z, Y, X, C) to (N, Z, Y, X, 7): an offset for
        each axis, a sigma for each axis, the seed logit; `EmbeddingSpace` says what they mean.
        Sides must be multiples of 8. The output is float32 also in mixed precision.

    Raises
    ------
    ValueError
        If `ndim`, `n_channels`, `width` or `n_context` is impossible.

    Notes
    -----
    With one channel it has 2,251,979 weights in 2D and 3,689,243 in 3D. All convolutions are
    factored into one per axis. The first embeddings are the pixels' own places with sigma 1:
    kernels of these outputs start at zero. Sources: Romera et al. 2018 (ERFNet), Neven et al.
    2019 (two branches), Lalit et al. 2021 (EmbedSeg, 3D).

    Examples
    --------
    >>> build_branched_erfnet(width=0.5).count_params()  # doctest: +SKIP
    570387
    """
    import keras

    filters = _check_size(n_channels, ndim, width, n_context)
    make = _Blocks(ndim, l2, seed)
    image = keras.Input((*[None] * ndim, n_channels), name="image")
    x = make.down(make.down(image, filters[0]), filters[1])
    for _ in range(5):
        x = make.factored(x, dropout=dropout[0])
    x = make.down(x, filters[2])
    for dilation in (2, 4, 8, 16) * n_context:
        x = make.factored(x, dropout=dropout[1], dilation=dilation)
    embedding, seeds = (make.decode(x, filters[1::-1]) for _ in range(2))
    outputs = [
        make.head(embedding, ndim, "offset", kernel="zeros"),
        make.head(embedding, ndim, "sigma", kernel="zeros", bias="ones"),
        make.head(seeds, 1, "seed"),
    ]
    raw = keras.layers.Concatenate(name="raw", dtype="float32")(outputs)
    return keras.Model(image, raw, name=f"branched_erfnet_{ndim}d")


def _check_size(n_channels: int, ndim: int, width: float, n_context: int) -> list[int]:
    if ndim not in (2, 3):
        raise ValueError(f"ndim is {ndim}: give 2 for images or 3 for volumes")
    if not width > 0 or n_context < 1:
        raise ValueError(f"width={width}, n_context={n_context}: need width > 0, n_context >= 1")
    filters = [max(4, 4 * round(width * n / 4)) for n in (16, 64, 128)]
    if not 1 <= n_channels < filters[0]:
        raise ValueError(
            f"n_channels is {n_channels}: with width {width} the first level has {filters[0]} "
            "filters; give fewer channels, at least one, or a larger width"
        )
    return filters


class _Blocks:
    """The building blocks, for one number of axes, penalty and stream of seeds."""

    def __init__(self, ndim: int, l2: float, seed: int | None):
        from keras import layers, regularizers

        self.axes = range(ndim)
        self.ndim, self.layers, self.l2 = ndim, layers, regularizers.L2(l2) if l2 else None
        self.rng = np.random.default_rng(seed)

    def layer(self, name: str, *args, **options):
        return getattr(self.layers, f"{name}{self.ndim}D")(*args, **options)

    def up(self, *args, **options):
        return getattr(self.layers, f"Conv{self.ndim}DTranspose")(*args, **options)

    def draw_seed(self) -> int:
        return int(self.rng.integers(2**31))

    def learn(self, **options) -> dict:
        """Return options of a layer with weights."""
        from keras.initializers import GlorotUniform

        first = {"kernel_initializer": GlorotUniform(seed=self.draw_seed())}
        return {**first, "kernel_regularizer": self.l2, "bias_regularizer": self.l2, **options}

    def normalise(self, x):
        return self.layers.BatchNormalization(
            momentum=0.9, epsilon=1e-3, gamma_regularizer=self.l2, beta_regularizer=self.l2
        )(x)

    def relu(self, x):
        return self.layers.ReLU()(x)

    def down(self, x, filters: int):
        n_new = filters - x.shape[-1]
        new = self.layer("Conv", n_new, 3, strides=2, padding="same", **self.learn())(x)
        both = self.layers.Concatenate()([new, self.layer("MaxPooling", 2)(x)])
        return self.relu(self.normalise(both))

    def factored(self, x, *, dropout: float = 0.0, dilation: int = 1):
        """Pass a residual block: two rounds of one convolution per axis, the second dilated."""
        y = self.relu(self.normalise(self.pass_axes(x, 1)))
        y = self.normalise(self.pass_axes(y, dilation))
        if dropout:
            y = self.layer("SpatialDropout", dropout, seed=self.draw_seed())(y)
        return self.relu(self.layers.Add()([x, y]))

    def pass_axes(self, x, dilation: int):
        for axis in self.axes:
            size = tuple(3 if other == axis else 1 for other in self.axes)
            step = tuple(dilation if other == axis else 1 for other in self.axes)
            options = self.learn(padding="same", dilation_rate=step)
            x = self.layer("Conv", x.shape[-1], size, **options)(self.relu(x) if axis else x)
        return x

    def decode(self, x, filters: list[int]):
        for n in filters:
            options = self.learn(strides=2, padding="same")
            x = self.relu(self.normalise(self.up(n, 3, **options)(x)))
            x = self.factored(self.factored(x))
        return x

    def head(self, x, n: int, name: str, *, kernel: str | None = None, bias: str = "zeros"):
        options = self.learn(bias_initializer=bias, strides=2, dtype="float32", name=name)
        if kernel:
            options["kernel_initializer"] = kernel
        return self.up(n, 2, **options)(x)
