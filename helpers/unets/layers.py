"""Layers that Keras does not have; all are registered, so models reload without their code."""

from __future__ import annotations

import keras
from keras import ops

__all__ = [
    "BilinearKernel",
    "BorderPadding",
    "ChannelPadding",
    "NodeUpsampling",
    "StochasticDownsampling",
]

register = keras.saving.register_keras_serializable(package="microseg")


@register
class StochasticDownsampling(keras.layers.Layer):
    """Halve each axis, in training by keeping randomly chosen rows, columns and planes.

    Each axis is cut into cells of `cell` positions. In every cell, cell / 2 distinct positions
    are drawn, uniformly and separately for each sample of the batch, and kept in their order;
    the output is the crossing of what the axes keep, the same in all channels.

    Parameters
    ----------
    cell : int
        Even; the sizes of the input must be multiples of it.
    inference : {"average", "stride"}
        In prediction nothing is drawn: the mean of each 2 x 2 (x 2) block, which is near the
        mean over the draws, or every second position, starting with the first.
    seed : int, optional
        Of the draws.

    Raises
    ------
    ValueError
        If `cell` is not an even number above 0, or `inference` is unknown.

    Notes
    -----
    Cheng & Varshney 2017. The re-implementation in the comparison of Franco-Barranco et al.
    2022 fills its indices up with zeros, so that it always reads sample 0, channel 0; it also
    draws in prediction, and in 2D a max-pooling runs in its place.
    """

    def __init__(self, cell: int = 4, *, inference: str = "average", seed=None, **options):
        super().__init__(**options)
        if cell < 2 or cell % 2:
            raise ValueError(f"cell is {cell}: give an even number of at least 2.")
        if inference not in ("average", "stride"):
            raise ValueError(f"inference is {inference!r}: choose 'average' or 'stride'.")
        self.cell, self.inference, self.seed = cell, inference, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, shape):
        """Note the number of axes, by which the input shrinks."""
        self.strides = (2,) * (len(shape) - 2)

    def call(self, x, training=False):
        """Return the input at half its size along every spatial axis."""
        if training:
            for axis in range(1, len(x.shape) - 1):
                x = self._thin_out(x, axis)
            return x
        if self.inference == "stride":
            return x[(slice(None), *(slice(None, None, 2) for _ in self.strides))]
        return ops.average_pool(x, self.strides, padding="valid", data_format="channels_last")

    def _thin_out(self, x, axis: int):
        """Keep half of the positions along one axis, drawn for each sample."""
        batch, size = ops.shape(x)[0], ops.shape(x)[axis]
        n_cells = size // self.cell
        draw = keras.random.uniform((batch, n_cells, self.cell), seed=self.seed_generator)
        kept = ops.sort(ops.argsort(draw, axis=-1)[..., : self.cell // 2], axis=-1)
        kept = ops.cast(kept, "int32") + self.cell * ops.arange(n_cells, dtype="int32")[:, None]
        shape = [batch if a == 0 else -1 if a == axis else 1 for a in range(len(x.shape))]
        kept = ops.reshape(kept, shape)
        spread = [size // 2 if a == axis else ops.shape(x)[a] for a in range(len(x.shape))]
        return ops.take_along_axis(x, ops.broadcast_to(kept, spread), axis=axis)

    def compute_output_shape(self, shape):
        """Halve the spatial axes."""
        return (shape[0], *(n and n // 2 for n in shape[1:-1]), shape[-1])

    def get_config(self):
        """Return what makes an equal layer."""
        own = {"cell": self.cell, "inference": self.inference, "seed": self.seed}
        return {**super().get_config(), **own}


@register
class ChannelPadding(keras.layers.Layer):
    """Add channels of zeros up to `channels`: a shortcut without weights."""

    def __init__(self, channels: int, **options):
        super().__init__(**options)
        self.channels = channels

    def call(self, x):
        """Return the input with zeros behind its channels."""
        missing = self.channels - x.shape[-1]
        return ops.pad(x, [(0, 0)] * (len(x.shape) - 1) + [(0, missing)])

    def compute_output_shape(self, shape):
        """Change the number of channels."""
        return (*shape[:-1], self.channels)

    def get_config(self):
        """Return what makes an equal layer."""
        return {**super().get_config(), "channels": self.channels}


@register
class BorderPadding(keras.layers.Layer):
    """Pad the spatial axes by mirroring ("reflect") or with zeros ("constant").

    Parameters
    ----------
    before, after : int
        Pixels at the start and at the end of each spatial axis.
    mode : {"reflect", "constant"}
        ``"reflect"`` needs axes that are longer than the padding.
    """

    def __init__(self, before: int, after: int | None = None, *, mode="reflect", **options):
        super().__init__(**options)
        self.before, self.after = before, before if after is None else after
        self.mode = mode

    def call(self, x):
        """Return the padded input."""
        sides = [(self.before, self.after)] * (len(x.shape) - 2)
        return ops.pad(x, [(0, 0), *sides, (0, 0)], mode=self.mode)

    def compute_output_shape(self, shape):
        """Lengthen the spatial axes."""
        more = self.before + self.after
        return (shape[0], *(n and n + more for n in shape[1:-1]), shape[-1])

    def get_config(self):
        """Return what makes an equal layer."""
        own = {"before": self.before, "after": self.after, "mode": self.mode}
        return {**super().get_config(), **own}


@register
class NodeUpsampling(keras.layers.Layer):
    """Interpolate linearly between values that belong to the corners of `factor`-sized cells.

    Value j along an axis lies at pixel ``factor * j - 1/2``, so n + 1 values give n * factor
    pixels, and a linear ramp stays one, up to the border.

    Parameters
    ----------
    factor : int
        Pixels per cell.
    """

    def __init__(self, factor: int, **options):
        super().__init__(**options)
        self.factor = factor

    def build(self, shape):
        """Note the number of axes, by which the input grows."""
        self.size = (self.factor,) * (len(shape) - 2)

    def call(self, x):
        """Return the values at the centres of all pixels."""
        share = (ops.arange(self.factor, dtype=self.compute_dtype) + 0.5) / self.factor
        for axis in range(1, len(x.shape) - 1):
            x = self._interpolate(x, share, axis)
        return x

    def _interpolate(self, x, share, axis: int):
        left, right = (
            ops.expand_dims(x[(slice(None),) * axis + (part,)], axis + 1)
            for part in (slice(None, -1), slice(1, None))
        )
        share = ops.reshape(share, [-1 if a == axis + 1 else 1 for a in range(len(left.shape))])
        fine = left * (1 - share) + right * share
        shape = list(ops.shape(x))
        shape[axis] = (shape[axis] - 1) * self.factor
        return ops.reshape(fine, shape)

    def compute_output_shape(self, shape):
        """Lengthen the spatial axes."""
        return (shape[0], *(n and (n - 1) * self.factor for n in shape[1:-1]), shape[-1])

    def get_config(self):
        """Return what makes an equal layer."""
        return {**super().get_config(), "factor": self.factor}


@register
class BilinearKernel(keras.initializers.Initializer):
    """Start a transposed convolution as linear interpolation (Long et al. 2015).

    Each class is interpolated by itself: the kernel is 0 between different channels. Kernels
    are twice as wide as the stride.
    """

    def __call__(self, shape, dtype=None):
        """Return the kernel: spatial axes, output channels, input channels."""
        kernel = ops.eye(shape[-2], shape[-1], dtype=dtype)
        for width in reversed(shape[:-2]):
            place = ops.arange(width, dtype="float32") - (width - 1) / 2
            tent = ops.cast(1 - ops.abs(place) * 2 / width, kernel.dtype)
            kernel = ops.reshape(tent, (-1,) + (1,) * len(kernel.shape)) * kernel[None]
        return kernel
