"""A 2D network for volumes: predictions of slices along three axes, clustered in 3D."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from helpers.embedseg.predict import predict_raw
from helpers.embedseg.space import EmbeddingSpace

__all__ = ["predict_sliced", "sliced_space"]

VIEWS = ((1, 2), (0, 2), (0, 1))  # the two axes of a slice: YX, ZX, ZY


def sliced_space(space: EmbeddingSpace, anisotropy: float = 1.0) -> EmbeddingSpace:
    """Return the 3D space of the combined output of a 2D network.

    Parameters
    ----------
    space : EmbeddingSpace
        Of the 2D network, equal along its axes.
    anisotropy : float
        Step along Z over a pixel's side.

    Returns
    -------
    EmbeddingSpace
        With the same scales, and `anisotropy` times the pixel as step along Z.

    Raises
    ------
    ValueError
        If the space is not 2D with equal spacing, or `anisotropy` is not positive.

    Examples
    --------
    >>> sliced_space(EmbeddingSpace((1, 1)), 2.5).spacing
    (2.5, 1.0, 1.0)
    """
    if space.ndim != 2 or space.spacing[0] != space.spacing[1]:
        raise ValueError(f"space has spacing {space.spacing}: give that of a 2D network, equal")
    if not anisotropy > 0:
        raise ValueError(f"anisotropy is {anisotropy}: give a positive ratio, Z over X")
    side = space.spacing[0]
    return EmbeddingSpace((anisotropy * side, side, side), space.reach, space.radius)


def predict_sliced(
    model: Callable, volume: np.ndarray, *, anisotropy: float = 1.0, **options
) -> np.ndarray:
    """Return 3D raw output for a volume from a network for images.

    Parameters
    ----------
    model : keras.Model or callable
        2D network, 5 channels out.
    volume : ndarray, ZYX or ZYXC
        Normalised as in training.
    anisotropy : float
        Step along Z over a pixel's side. Slices along Z are stretched by it (linear
        interpolation), so that the network sees square pixels, as it was trained on.
    **options
        Those of `predict_raw`, for single slices.

    Returns
    -------
    ndarray of float32, ZYXC
        7 channels; cluster it with ``cluster_embeddings(raw, sliced_space(space, anisotropy))``.

    Raises
    ------
    ValueError
        If the volume has not three spatial axes.

    Notes
    -----
    Each offset and sigma is the mean over the two views that see its axis, the seed logit the
    mean over all three. A network trained on YX slices alone must bear the other views: train
    it on slices along all axes where the microscope blurs along Z. Source: Lalit et al. 2022
    (EmbedSeg, "3d_sliced").
    """
    volume = np.asarray(volume, np.float32)
    volume = volume if volume.ndim == 4 else volume[..., None]
    if volume.ndim != 4:
        raise ValueError(f"volume has shape {volume.shape[:-1]}: give axes ZYX or ZYXC")
    stretched, rows = _stretch(volume, anisotropy)
    raw = np.zeros((*volume.shape[:3], 7), np.float32)
    for axis, seen in enumerate(VIEWS):
        source = volume if axis == 0 else stretched
        channels = [*seen, *(3 + other for other in seen), 6]
        share = np.array([1 / 2, 1 / 2, 1 / 2, 1 / 2, 1 / 3], np.float32)
        for k in range(volume.shape[axis]):
            found = predict_raw(model, source.take(k, axis), ndim=2, **options)
            place = np.moveaxis(raw, axis, 0)[k]
            place[..., channels] += share * (found if axis == 0 else found[rows])
    return raw


def _stretch(volume: np.ndarray, anisotropy: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the volume with equal steps, and the rows nearest to the original slices."""
    last = len(volume) - 1
    n_rows = round(last * anisotropy) + 1
    position = np.linspace(0, last, n_rows)
    below = np.minimum(position.astype(int), max(0, last - 1))
    above = np.minimum(below + 1, last)
    part = (position - below).astype(np.float32)[:, None, None, None]
    stretched = volume[below] * (1 - part) + volume[above] * part
    return stretched, np.round(np.linspace(0, n_rows - 1, last + 1)).astype(int)
