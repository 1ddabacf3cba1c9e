"""From an image, or what a network made of it, to a label image."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy import ndimage

__all__ = [
    "grow_seeds",
    "label_foreground",
    "otsu_watershed",
    "tune_otsu_watershed",
    "typical_radius",
]


def otsu_watershed(
    image: np.ndarray,
    *,
    sigma: float = 1.0,
    threshold_factor: float = 1.0,
    min_distance: float = 8.0,
    min_area: int = 30,
    spacing: Sequence[float] | None = None,
) -> np.ndarray:
    """Segment bright objects without any training: the classical baseline.

    Parameters
    ----------
    image : ndarray, YX or ZYX
        Grey image with bright objects on a darker background, any intensity scale.
    sigma : float
        Standard deviation of the Gaussian that removes noise, in the unit of `spacing`.
    threshold_factor : float
        Where to cut between the mean background (0) and Otsu's threshold (1); below 1 dim
        objects come in.
    min_distance : float
        Least distance between the centres of two objects along an axis, in the unit of
        `spacing`; about 0.8 of the radius of a typical object. Larger: fewer splits, more
        merges.
    min_area : int
        Objects with fewer pixels are dropped.
    spacing : sequence of float, optional
        Pixel or voxel size, in the order of the axes. Without it, lengths are in pixels.

    Returns
    -------
    ndarray of int32
        Label image, numbered from 1 without gaps. A constant image has no objects.

    Raises
    ------
    ValueError
        If the image is not grey 2D or 3D, holds NaN or infinite values, or `spacing` does
        not fit its axes.

    Notes
    -----
    Gaussian smoothing, threshold after Otsu (1979), holes filled, distance to the
    background smoothed by a quarter of `min_distance`, its maxima as seeds of a watershed.
    Otsu's threshold always finds two classes, so noise alone becomes objects.
    """
    from skimage.filters import threshold_otsu

    image, spacing = _check_grey(image), _check_spacing(spacing, image.ndim)
    if image.min() == image.max():
        return np.zeros(image.shape, np.int32)
    smooth = ndimage.gaussian_filter(image, sigma / spacing)
    otsu = threshold_otsu(smooth)
    background = smooth[smooth <= otsu].mean()
    mask = ndimage.binary_fill_holes(smooth > background + threshold_factor * (otsu - background))
    return _drop_small(_cut_at_waists(mask, min_distance, spacing), min_area)


def _cut_at_waists(mask: np.ndarray, min_distance: float, spacing: np.ndarray) -> np.ndarray:
    """Return a label image of the parts of a mask that are thick in the middle."""
    from skimage.segmentation import watershed

    depth = ndimage.distance_transform_edt(mask, sampling=spacing)
    depth = ndimage.gaussian_filter(depth, min_distance / 4 / spacing)
    window = 2 * np.maximum(min_distance // spacing, 1).astype(int) + 1
    peaks = (depth == ndimage.maximum_filter(depth, size=window)) & mask
    seeds, _ = ndimage.label(peaks, np.ones((3,) * mask.ndim))
    return watershed(-depth, seeds, mask=mask)


def label_foreground(
    foreground: np.ndarray, *, threshold: float = 0.5, min_area: int = 0
) -> np.ndarray:
    """Give each connected piece of the foreground its own number.

    Parameters
    ----------
    foreground : ndarray of float, YX or ZYX
        Probability of foreground.
    threshold : float
        Foreground is what lies above.
    min_area : int
        Pieces with fewer pixels are dropped.

    Returns
    -------
    ndarray of int32
        Label image. Pixels that share only a corner belong to different objects.

    Examples
    --------
    >>> label_foreground(np.array([[0.9, 0.2, 0.8], [0.9, 0.1, 0.1]])).tolist()
    [[1, 0, 2], [1, 0, 0]]
    """
    labels, _ = ndimage.label(foreground > threshold)
    return _drop_small(labels, min_area)


def grow_seeds(
    foreground: np.ndarray,
    *,
    seed_threshold: float = 0.7,
    mask_threshold: float = 0.3,
    min_distance: float | None = None,
    min_area: int = 0,
) -> np.ndarray:
    """Find objects at a high threshold, and let them grow down to a low one.

    Parameters
    ----------
    foreground : ndarray of float, YX or ZYX
        Probability of foreground; between objects that touch it should be lower.
    seed_threshold : float
        Each connected piece above is one object.
    mask_threshold : float
        Objects grow as far as the probability lies above this; where two meet is a watershed.
    min_distance : float, optional
        Pieces that consist of several round parts, as far apart as this or more in pixels, are
        cut at the waist first, as in `otsu_watershed`; not when left out.
    min_area : int
        Objects with fewer pixels, after growth, are dropped.

    Returns
    -------
    ndarray of int32
        Label image. With equal thresholds and no `min_distance` it is that of
        `label_foreground`.

    Raises
    ------
    ValueError
        If `mask_threshold` is above `seed_threshold`.
    """
    from skimage.segmentation import watershed

    if mask_threshold > seed_threshold:
        raise ValueError(
            f"mask_threshold {mask_threshold} is above seed_threshold {seed_threshold}: objects "
            "can only grow, so give a lower mask_threshold"
        )
    high = foreground > seed_threshold
    if min_distance is None:
        seeds, _ = ndimage.label(high)
    else:
        high = ndimage.binary_fill_holes(high)
        seeds = _cut_at_waists(high, min_distance, np.ones(high.ndim))
    mask = high | (foreground > mask_threshold)
    return _drop_small(watershed(-foreground, seeds, mask=mask), min_area)


def tune_otsu_watershed(
    images: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    *,
    grid: dict[str, Sequence] | None = None,
    spacing: Sequence[float] | None = None,
) -> dict:
    """Choose the parameters of `otsu_watershed` on validation images.

    Parameters
    ----------
    images : sequence of ndarray, YX or ZYX
        Validation images, never those of the test set.
    labels : sequence of ndarray of int
        Their label images.
    grid : dict, optional
        Values to try for each parameter, such as ``{"sigma": [1, 2]}``; all combinations
        are tried, other parameters keep their defaults. When not given, 18 combinations
        are made from the median size of the labelled objects.
    spacing : sequence of float, optional
        Pixel or voxel size, in the order of the axes.

    Returns
    -------
    dict
        The combination with the highest mean AP at IoU 0.5, the first of equals; use it as
        ``otsu_watershed(image, **best)``.

    Raises
    ------
    ValueError
        If there are no images, no labelled objects to derive a grid from, or images and
        labels do not fit together.
    """
    from helpers.metrics.datasets import score_dataset

    grid = _propose_grid(labels, spacing) if grid is None else dict(grid)
    grid["spacing"] = [spacing]
    trials = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]

    def mean_ap50(parameters: dict) -> float:
        found = [otsu_watershed(image, **parameters) for image in images]
        return float(score_dataset(labels, found, thresholds=[0.5]).mean["ap_50"])

    return max(trials, key=mean_ap50)


def _propose_grid(labels: Sequence[np.ndarray], spacing: Sequence[float] | None) -> dict:
    """Scale the search to the objects: lengths in fractions of their median radius."""
    radius, area = typical_radius(labels, spacing)
    return {
        "sigma": [round(radius * f, 3) for f in (0.05, 0.1, 0.2)],
        "threshold_factor": [0.7, 0.85, 1.0],
        "min_distance": [round(radius * f, 3) for f in (0.5, 0.8)],
        "min_area": [int(area / 10)],
    }


def typical_radius(
    labels: Sequence[np.ndarray], spacing: Sequence[float] | None = None
) -> tuple[float, float]:
    """Return the radius of a disk or ball as large as the median object.

    Parameters
    ----------
    labels : sequence of ndarray of int, YX or ZYX
        Label images.
    spacing : sequence of float, optional
        Pixel or voxel size, in the order of the axes; without it the radius is in pixels.

    Returns
    -------
    tuple of float
        The radius, and the median number of pixels of an object.

    Raises
    ------
    ValueError
        If there is no label image, or no object in any.
    """
    if not len(labels):
        raise ValueError("there are no label images: give the validation images and labels")
    areas = np.concatenate([np.unique(y[y > 0], return_counts=True)[1] for y in labels])
    if not areas.size:
        raise ValueError(
            "labels hold no objects to derive the search from: give validation images with "
            "labelled objects, or a grid"
        )
    ndim, area = labels[0].ndim, float(np.median(areas))
    size = area * np.prod(_check_spacing(spacing, ndim))
    radius = (size / np.pi) ** (1 / 2) if ndim == 2 else (size * 3 / (4 * np.pi)) ** (1 / 3)
    return float(radius), area


def _drop_small(labels: np.ndarray, min_area: int) -> np.ndarray:
    keep = np.bincount(labels.ravel()) >= min_area
    keep[0] = False
    return (np.cumsum(keep) * keep).astype(np.int32)[labels]


def _check_grey(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image, np.float32)
    if image.ndim not in (2, 3) or image.shape[-1] in (3, 4):
        raise ValueError(
            f"image has shape {image.shape}: give one grey image with axes YX or ZYX, for "
            "colour one channel of it"
        )
    if not np.isfinite(image).all():
        raise ValueError("image holds NaN or infinite values: crop them away or replace them")
    return image


def _check_spacing(spacing: Sequence[float] | None, ndim: int) -> np.ndarray:
    if spacing is None:
        return np.ones(ndim)
    spacing = np.asarray(spacing, float)
    if spacing.shape != (ndim,) or not (spacing > 0).all():
        raise ValueError(
            f"spacing is {spacing.tolist()} for an image of {ndim} axes: give one positive "
            "size for each axis, in the order of the axes"
        )
    return spacing
