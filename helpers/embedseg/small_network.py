"""A small U-Net with the outputs of EmbedSeg, which learns in minutes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

__all__ = ["build_embedding_unet"]


def build_embedding_unet(
    n_channels: int = 1,
    *,
    ndim: int = 2,
    filters: int = 16,
    depth: int = 3,
    grid: int | Sequence[int] = 2,
) -> keras.Model:
    """Build a U-Net that predicts offsets, sigmas and seeds, for any image size.

    Parameters
    ----------
    n_channels : int
        Channels of the image.
    ndim : {2, 3}
        Spatial axes.
    filters : int
        Filters of the first level; doubled at each further one.
    depth : int
        How often the image is halved inside the U-Net.
    grid : int or sequence of int
        Step of the first convolution: the U-Net works on images smaller by this factor, and
        the last layer enlarges its output. ``(1, 2, 2)`` spares coarse planes of a volume.

    Returns
    -------
    keras.Model
        As `build_branched_erfnet`: from (N, Y, X, C) to (N, Y, X, 5), or from (N, Z, Y, X, C) to
        (N, Z, Y, X, 7). Sides must be multiples of ``grid * 2**depth``.

    Raises
    ------
    ValueError
        If a number is impossible.

    Notes
    -----
    Not the published network. Its skip connections carry outlines past the coarse levels; the
    branched ERFNet has none, and learns them far more slowly (docs/results.md).
    First weights come from Keras' global seed (`helpers.runtime.set_seed`).
    Sources: Ronneberger et al. 2015 (U-Net), Lalit et al. 2021 (outputs).

    Examples
    --------
    >>> build_embedding_unet(filters=4, depth=1).output_shape  # doctest: +SKIP
    (None, None, None, 5)
    """
    import keras

    from helpers.unets import blocks

    if ndim not in (2, 3) or min(n_channels, filters, depth) < 1:
        raise ValueError(
            f"ndim={ndim}, n_channels={n_channels}, filters={filters}, depth={depth}: need ndim "
            "of 2 or 3, and at least 1 of all others"
        )
    style = blocks.Style("relu", "batch")
    image = keras.Input((*[None] * ndim, n_channels), name="image")
    grid = blocks.spatial_tuple(grid, image)
    x = blocks.conv_norm_act(image, filters, style, 5, strides=grid)

    def encode(x, level):
        return blocks.plain_block(x, filters * 2**level, style)

    def decode(x, skip, level):
        return encode(blocks.concat(blocks.up_conv(x, skip.shape[-1], style), skip), level)

    x = blocks.u_shape(
        x, depth + 1, encode=encode, shrink=lambda x, level: blocks.pool(x), decode=decode
    )
    return keras.Model(image, _add_outputs(x, grid), name=f"embedding_unet_{ndim}d")


def _add_outputs(x, grid: Sequence[int]):
    """Return the raw output at full size, which starts as offset 0 and sigma 1."""
    from keras import layers

    ndim, up = len(grid), getattr(layers, f"Conv{len(grid)}DTranspose")
    starts = {"offset": (ndim, "zeros", "zeros"), "sigma": (ndim, "zeros", "ones")}
    starts["seed"] = (1, "glorot_uniform", "zeros")
    outputs = [
        up(
            n, grid, strides=grid, name=name, dtype="float32",
            kernel_initializer=kernel, bias_initializer=bias,
        )(x)
        for name, (n, kernel, bias) in starts.items()
    ]  # fmt: skip
    return layers.Concatenate(name="raw", dtype="float32")(outputs)
