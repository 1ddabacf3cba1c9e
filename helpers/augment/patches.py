"""Patches of an image and its labels: resized, cropped, in 8 bits, numbered anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import find_objects

from helpers.normalise import Normalizer

__all__ = [
    "cut_patch",
    "find_cut_objects",
    "fit_scales",
    "measure_extents",
    "separate_pieces",
    "to_uint8",
]


def fit_scales(
    shape: Sequence[int], size: int, scales: Sequence[float], *, between: bool = False
) -> list[tuple[float, ...]]:
    """Return the scales at which an image is large enough for a patch.

    Parameters
    ----------
    shape : sequence of int
        Rows and columns of the image.
    size : int
        Side of the patch.
    scales : sequence of float
        Factors.
    between : bool
        True: the range from the smallest to the largest factor; False: each by itself.

    Returns
    -------
    list of tuple of float
        ``[(low, high)]``, or one ``(scale,)`` each; empty if none fits.

    Examples
    --------
    >>> fit_scales((100, 200), 80, (0.5, 1, 2)), fit_scales((100, 200), 80, (0.5, 2), between=True)
    ([(1,), (2,)], [(0.8, 2)])
    """
    least = size / min(shape[:2])
    if not between:
        return [(scale,) for scale in scales if _scale_length(min(shape[:2]), scale) >= size]
    low, high = max(min(scales), least), max(scales)
    return [(low, high)] if low <= high else []


def _scale_length(length: int, scale: float) -> int:
    return int(np.floor(length * scale + 1e-6))


def cut_patch(
    image: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    *,
    size: int,
    scale: float = 1.0,
    shoulder: int = 0,
) -> tuple[np.ndarray, np.ndarray, tuple[slice, slice]]:
    """Return a random square of a resized image, with its labels.

    Parameters
    ----------
    image : ndarray, YX or YXC
        The image.
    labels : ndarray of int, YX
        Its labels.
    rng : numpy.random.Generator
        Draws the position, all equally likely.
    size : int
        Side of the square in pixels of the resized image.
    scale : float
        Factor by which the image is resized.
    shoulder : int
        Pixels kept free along the frame; less where the image is too small for it.

    Returns
    -------
    image : ndarray of float32, (size, size) or (size, size, C)
        Linear interpolation.
    labels : ndarray, (size, size)
        Nearest neighbour, from the same positions.
    box : tuple of slice
        Rows and columns of the labels that the square shows.

    Raises
    ------
    ValueError
        If the resized image is smaller than the square.

    Notes
    -----
    Pixel i of the resized image lies at (i + 1/2) / scale - 1/2 of the image, so that both
    cover the same field. Only the square is computed, not the whole resized image.
    """
    places = []
    for length in labels.shape:
        free = _scale_length(length, scale) - size
        if free < 0:
            raise ValueError(
                f"image has shape {image.shape}, at scale {scale} too small for a patch of {size} "
                "pixels: give a smaller size"
            )
        margin = min(shoulder, free // 2)
        start = int(rng.integers(margin, free - margin + 1))
        places.append((start + np.arange(size) + 0.5) / scale - 0.5)
    nearest = [
        np.clip(np.floor(place + 0.5).astype(int), 0, length - 1)
        for place, length in zip(places, labels.shape, strict=True)
    ]
    box = tuple(slice(int(where[0]), int(where[-1]) + 1) for where in nearest)
    return _interpolate(image, places), labels[np.ix_(*nearest)], box


def _interpolate(image: np.ndarray, places: Sequence[np.ndarray]) -> np.ndarray:
    """Return values between pixels, first along the rows, then along the columns."""
    values = np.asarray(image)
    for axis, place in enumerate(places):
        last = values.shape[axis] - 1
        place = np.clip(place, 0, last)
        below = np.minimum(np.floor(place).astype(int), max(0, last - 1))
        share = (place - below).astype(np.float32)
        share = share.reshape([-1 if a == axis else 1 for a in range(values.ndim)])
        lower = values.take(below, axis).astype(np.float32)
        upper = values.take(np.minimum(below + 1, last), axis).astype(np.float32)
        values = lower + share * (upper - lower)
    return values


def measure_extents(labels: np.ndarray) -> np.ndarray:
    """Return the bounding box of every object.

    Parameters
    ----------
    labels : ndarray of int, YX
        Label image numbered without large gaps.

    Returns
    -------
    ndarray of int, (1 + largest label, 4)
        First row, last row, first column, last column; an empty range where a number is
        missing, and for background.
    """
    empty = (labels.size, -1, labels.size, -1)
    boxes = [
        empty if box is None else (box[0].start, box[0].stop - 1, box[1].start, box[1].stop - 1)
        for box in find_objects(labels)
    ]
    return np.array([empty, *boxes])


def find_cut_objects(extents: np.ndarray, box: tuple[slice, slice]) -> np.ndarray:
    """Return which objects reach beyond a box of the label image.

    Parameters
    ----------
    extents : ndarray of int, (1 + largest label, 4)
        Of :func:`measure_extents`.
    box : tuple of slice
        Rows and columns.

    Returns
    -------
    ndarray of bool, (1 + largest label,)
        True for each object with a pixel outside of the box, for use as ``cut[labels]``;
        False for background. An object that ends at the frame of the image is not cut.
    """
    rows, columns = box
    first_row, last_row, first_column, last_column = extents.T
    beyond = (first_row < rows.start) | (last_row >= rows.stop)
    beyond |= (first_column < columns.start) | (last_column >= columns.stop)
    return beyond & (last_row >= 0)


def separate_pieces(labels: np.ndarray) -> np.ndarray:
    """Return labels in which every connected piece has a number of its own.

    Parameters
    ----------
    labels : ndarray of int, YX or ZYX
        Label image, such as a crop, in which an object may be in several pieces.

    Returns
    -------
    ndarray of int32
        Numbered from 1 without gaps, in the order of their first pixels. Pixels of one object
        that share a corner are one piece.

    Examples
    --------
    >>> separate_pieces(np.array([[7, 0, 7, 3]])).tolist()
    [[1, 0, 2, 3]]
    """
    from skimage.measure import label

    labels = np.asarray(labels)
    return label(labels.astype(np.int64), background=0, connectivity=labels.ndim).astype(np.int32)


def to_uint8(image: np.ndarray, normalizer: Normalizer | None = None) -> np.ndarray:
    """Return an image in 8 bits, scaled by `normalizer`; what lies beyond 0 to 1 is cut off."""
    scaled = (normalizer or Normalizer())(image)
    return np.round(255 * np.clip(np.nan_to_num(scaled), 0, 1)).astype(np.uint8)
