"""The classical way to cells in a flat height map, and thresholds chosen on known masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from helpers.afm.heightmaps import check_map
from helpers.metrics.pixels import score_masks

__all__ = ["threshold_heights", "tune_threshold"]


def threshold_heights(height: np.ndarray, threshold: float, *, sigma: float = 1.0) -> np.ndarray:
    """Return the mask of what rises above the glass: the classical baseline.

    Parameters
    ----------
    height : ndarray, YX
        Flattened map.
    threshold : float
        In the unit of the map.
    sigma : float
        Standard deviation in pixels of the Gaussian that smooths first.

    Returns
    -------
    ndarray of bool, YX
        With holes filled.
    """
    smooth = ndimage.gaussian_filter(check_map(height), sigma)
    return ndimage.binary_fill_holes(smooth > threshold)


def tune_threshold(
    maps: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    thresholds: Sequence[float],
    *,
    predict: Callable = threshold_heights,
) -> tuple[float, list[float]]:
    """Choose the threshold with the best mean Dice.

    Parameters
    ----------
    maps, masks : sequence of ndarray, YX
        Flattened maps or probabilities of the validation images, and their true masks.
    thresholds : sequence of float
        To be tried.
    predict : callable
        ``predict(map, threshold)`` gives a mask; for probabilities ``numpy.greater``.

    Returns
    -------
    threshold : float
        The best one; the middle of those that are equally good.
    scores : list of float
        Mean Dice over the images for each threshold.

    Raises
    ------
    ValueError
        If there is no map or no threshold.
    """
    thresholds = list(thresholds)
    if not len(maps) or not thresholds:
        raise ValueError(f"got {len(maps)} maps, {len(thresholds)} thresholds: give some of each")
    scores = [
        float(np.mean([
            score_masks(mask, predict(height, t))["dice"]
            for height, mask in zip(maps, masks, strict=True)
        ]))
        for t in thresholds
    ]  # fmt: skip
    best = np.flatnonzero(np.isclose(scores, max(scores)))
    return float(thresholds[best[len(best) // 2]]), scores
