"""Dark, smooth, large: finding mitochondria without training, for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy import ndimage

from helpers.em.mask_volume import drop_small

__all__ = ["find_dark_bodies", "multi_otsu_mask", "tune_dark_bodies"]

GRID = {
    "sigma": (2.0, 4.0, 6.0),
    "quantile": (0.03, 0.05, 0.07, 0.1, 0.13, 0.17),
    "opening": (0, 5),
    "min_size": (0, 1000, 3000, 10_000),
}


def find_dark_bodies(
    image: np.ndarray,
    *,
    sigma: float = 4.0,
    quantile: float = 0.1,
    opening: int = 2,
    min_size: int = 2000,
) -> np.ndarray:
    """Return what is dark after smoothing, thick and large.

    Parameters
    ----------
    image : ndarray, YX or ZYX
        Grey values, mitochondria dark.
    sigma : float
        Standard deviation of the Gaussian along all axes, in pixels.
    quantile : float
        Share of the smoothed image that counts as dark.
    opening : int
        Parts thinner than twice this many pixels are removed.
    min_size : int
        Pieces with fewer pixels or voxels are removed.

    Returns
    -------
    ndarray of bool
    """
    smooth = ndimage.gaussian_filter(np.asarray(image, np.float32), sigma)
    return _clean(smooth <= np.quantile(smooth, quantile), opening, min_size)


def multi_otsu_mask(
    image: np.ndarray, *, sigma: float = 4.0, opening: int = 2, min_size: int = 2000
) -> np.ndarray:
    """Return the darkest of three classes of grey values after smoothing, opened.

    Parameters
    ----------
    image, sigma, opening, min_size
        As in :func:`find_dark_bodies`; the threshold needs no labels.

    Returns
    -------
    ndarray of bool
    """
    from skimage.filters import threshold_multiotsu

    smooth = ndimage.gaussian_filter(np.asarray(image, np.float32), sigma)
    return _clean(smooth <= threshold_multiotsu(smooth, classes=3)[0], opening, min_size)


def _clean(mask: np.ndarray, opening: int, min_size: int) -> np.ndarray:
    if opening:  # by distances: the cost does not grow with the radius
        core = ndimage.distance_transform_edt(np.pad(mask, opening, mode="edge")) > opening
        grown = ndimage.distance_transform_edt(~core) <= opening
        mask = mask & grown[(slice(opening, -opening),) * mask.ndim]
    return drop_small(mask, min_size) if min_size else mask


def tune_dark_bodies(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    *,
    grid: dict[str, Sequence] | None = None,
) -> dict:
    """Choose the parameters of :func:`find_dark_bodies` on validation images.

    Parameters
    ----------
    images, masks : sequence of ndarray, YX or ZYX
        Validation images and their masks.
    grid : dict, optional
        Values to try for each parameter; all combinations are tried. By default 144, made
        for voxels of about 5 nm.

    Returns
    -------
    dict
        The combination with the highest foreground IoU over all images together, the first of
        equals; use it as ``find_dark_bodies(image, **best)``.

    Raises
    ------
    ValueError
        If there are no images, or they do not fit the masks.
    """
    shapes = [[np.shape(a) for a in arrays] for arrays in (images, masks)]
    if not shapes[0] or shapes[0] != shapes[1]:
        raise ValueError(
            f"images have shapes {shapes[0]} and masks {shapes[1]}: give the mask of each image, "
            "and at least one"
        )
    grid = GRID | (grid or {})
    images = [np.asarray(image, np.float32) for image in images]
    best, best_iou = {}, -1.0
    for sigma in grid["sigma"]:
        smooth = [ndimage.gaussian_filter(image, sigma) for image in images]
        for quantile, opening in product(grid["quantile"], grid["opening"]):
            opened = [_clean(s <= np.quantile(s, quantile), opening, 0) for s in smooth]
            for min_size, iou in _score_sizes(opened, masks, grid["min_size"]).items():
                if iou > best_iou:
                    best_iou = iou
                    best = dict(zip(GRID, (sigma, quantile, opening, min_size), strict=True))
    return best


def _score_sizes(found: Sequence, masks: Sequence, sizes: Sequence[int]) -> dict[int, float]:
    """Return the IoU without the pieces below each size, from counts of every piece."""
    counts = []
    for mask, truth in zip(found, masks, strict=True):
        labels, n = ndimage.label(mask)
        hits = np.bincount(labels[np.asarray(truth) > 0], minlength=n + 1)[1:]
        counts.append((np.bincount(labels.ravel(), minlength=n + 1)[1:], hits))
    area, hits = (np.concatenate(parts) for parts in zip(*counts, strict=True))
    n_true = sum(np.count_nonzero(truth) for truth in masks)
    ious = {}
    for size in sizes:
        tp, n_found = hits[area >= size].sum(), area[area >= size].sum()
        ious[size] = tp / max(1, n_found + n_true - tp)
    return ious
