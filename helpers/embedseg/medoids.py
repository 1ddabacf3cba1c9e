"""The centre pixel of every object: medoid, near-median, centroid or any pixel of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from helpers.targets import center_offsets

__all__ = ["CENTER_KINDS", "find_centers", "mark_centers"]

CENTER_KINDS = ("medoid", "approximate_medoid", "centroid", "random")


def find_centers(
    labels: np.ndarray,
    *,
    center: str = "medoid",
    spacing: Sequence[float] | None = None,
    rng: np.random.Generator | int = 0,
) -> dict[int, tuple[int, ...]]:
    """Return the centre pixel of each object.

    Parameters
    ----------
    labels : ndarray of int, YX or ZYX
        Label image; 0 is background, negative values are not annotated.
    center : {"medoid", "approximate_medoid", "centroid", "random"}
        The first three as in `helpers.targets.center_offsets`, where medoids are exact, by
        Fourier transform; "random" is any pixel of the object, equally likely.
    spacing : sequence of float, optional
        Pixel or voxel size in the order of the axes, for the medoid.
    rng : numpy.random.Generator or int
        Source of the random pixels.

    Returns
    -------
    dict of int to tuple of int
        Pixel by label, smallest label first. A centroid may lie outside its object.

    Raises
    ------
    ValueError
        If `center` is unknown, or `labels` or `spacing` do not fit.

    Examples
    --------
    >>> find_centers(np.array([[0, 7, 7, 7, -1]]))
    {7: (0, 2)}
    """
    if center not in CENTER_KINDS:
        raise ValueError(f"center is {center!r}: give one of {', '.join(map(repr, CENTER_KINDS))}")
    labels = np.maximum(labels, 0)
    names = [int(name) for name in np.unique(labels) if name]
    if center == "random":
        points = _draw_members(labels, names, np.random.default_rng(rng))
    else:
        points = center_offsets(labels, center=center, spacing=spacing)[1]
    return {name: tuple(map(int, point)) for name, point in zip(names, points, strict=True)}


def _draw_members(labels: np.ndarray, names: list[int], rng: np.random.Generator) -> list:
    """Draw a pixel of each object: the one with the largest of random numbers."""
    chance = rng.random(labels.shape)
    return ndimage.maximum_position(chance, labels, names) if names else []


def mark_centers(labels: np.ndarray, centers: dict[int, tuple[int, ...]]) -> np.ndarray:
    """Return an image that is 1 on the centres and 0 elsewhere.

    Parameters
    ----------
    labels : ndarray of int, YX or ZYX
        Label image.
    centers : dict of int to tuple of int
        Pixel by label. One outside its own object is left out.

    Returns
    -------
    ndarray of uint8, shape of `labels`
    """
    marked = np.zeros(labels.shape, np.uint8)
    for name, point in centers.items():
        marked[point] |= labels[point] == name
    return marked
