"""Prediction of images and volumes of any size: raw output in tiles, then one clustering."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from helpers.embedseg.clustering import cluster_embeddings
from helpers.embedseg.network import DIVISOR
from helpers.embedseg.space import EmbeddingSpace
from helpers.tiles.orientations import Turn, restore_vectors

__all__ = ["predict_embedseg", "predict_raw", "restore_raw"]

LARGEST_TILE = {2: (768, 768), 3: (64, 256, 256)}


def predict_raw(
    model: Callable,
    image: np.ndarray,
    *,
    ndim: int | None = None,
    tile_shape: Sequence[int] | None = None,
    overlap: int | Sequence[int] | None = None,
    tta: bool = False,
    **options,
) -> np.ndarray:
    """Return the raw output of a network for one image or volume of any size.

    Parameters
    ----------
    model : keras.Model or callable
        From `build_branched_erfnet`, or any function of batches with channels last.
    image : ndarray or lazy array, YX, YXC, ZYX or ZYXC
        Normalised as in training.
    ndim : {2, 3}, optional
        Number of spatial axes; needed when it cannot be seen from a Keras model.
    tile_shape : sequence of int, optional
        Window that the network sees at once, multiples of what the network shrinks by, 8 for
        the branched ERFNet. By default the whole image, up
        to 768 x 768 pixels or 64 x 256 x 256 voxels.
    overlap : int or sequence of int, optional
        Pixels that neighbouring windows share; by default a quarter of the window, at most 96.
    tta : bool
        Average the output over 8 flips and turns (2D) or 16 (3D), turned back with offsets
        and sigmas: slower by as much, and a little better.
    **options
        ``batch_size`` and ``out`` of `helpers.tiles.predict_tiled`.

    Returns
    -------
    ndarray of float32, YXC or ZYXC
        5 or 7 channels, not yet through tanh, exp and sigmoid. Windows are blended.

    Raises
    ------
    ValueError
        If sides of `tile_shape` are not such multiples, or shapes do not fit.

    Notes
    -----
    Offsets are relative to each pixel, so windows need no common grid, and objects across
    windows need no stitching: the whole is clustered at once.
    """
    from helpers.tiles.predict import predict_tiled

    ndim = ndim or len(model.input_shape) - 2
    shape = tuple(int(n) for n in image.shape[:ndim])
    step = _find_divisor(model)
    tile = _choose_tile(shape, step, tta) if tile_shape is None else tuple(map(int, tile_shape))
    if len(tile) != ndim or any(side % step for side in tile):
        raise ValueError(f"tile_shape is {tile}: give {ndim} multiples of {step}")
    if overlap is None:
        overlap = [min(side // 4, 96, side - step) for side in tile]
    options = {"step": step, "tta": tta, "restore": restore_raw, **options}
    return predict_tiled(model, image, tile_shape=tile, overlap=overlap, **options)


def _find_divisor(model: Callable) -> int:
    if not hasattr(model, "inputs"):
        return DIVISOR
    from helpers.unets import input_divisor

    return max(input_divisor(model))


def _choose_tile(shape: tuple[int, ...], step: int, square: bool) -> tuple[int, ...]:
    whole = [-(-side // step) * step for side in shape]
    tile = [min(pair) for pair in zip(whole, LARGEST_TILE[len(shape)], strict=True)]
    if square:
        tile[-2:] = [max(tile[-2:])] * 2
    return tuple(tile)


def restore_raw(prediction: np.ndarray, turn: Turn) -> np.ndarray:
    """Return the raw output for a turned image as it would be for the image itself.

    Parameters
    ----------
    prediction : ndarray, NYXC or NZYXC
        Raw output whose pixels are back in their places (``turn.invert``).
    turn : Turn
        What the image had been turned by.

    Returns
    -------
    ndarray, shape of `prediction`
        Offsets point along the axes of the image, and each sigma belongs to its axis; a sigma
        has no direction, so its sign stays.
    """
    restored, ndim = restore_vectors(prediction, turn), len(turn.axes)
    for source, axis in enumerate(turn.axes):
        restored[..., ndim + axis] = prediction[..., ndim + source]
    return restored


def predict_embedseg(
    model: Callable,
    image: np.ndarray,
    space: EmbeddingSpace,
    *,
    thresholds: dict | None = None,
    **options,
) -> np.ndarray:
    """Return the objects that a network finds in one image or volume.

    Parameters
    ----------
    model, image
        As in `predict_raw`.
    space : EmbeddingSpace
        The one the network was trained with.
    thresholds : dict, optional
        Options of `cluster_embeddings`, such as the result of `tune_embedseg_thresholds`.
    **options
        Those of `predict_raw`.

    Returns
    -------
    ndarray of int32, YX or ZYX
        Label image, numbered from 1 without gaps.
    """
    raw = predict_raw(model, image, ndim=space.ndim, **options)
    return cluster_embeddings(raw, space, **(thresholds or {}))
