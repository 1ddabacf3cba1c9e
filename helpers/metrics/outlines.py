"""Scores for what area scores hardly see: outlines and thin processes.

A process of one pixel adds little to the area of a cell, so Dice may be high with all of them
missed. Boundary F1 asks where the outline lies, skeleton recall whether the processes were found.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from helpers.metrics.datasets import bootstrap_interval
from helpers.metrics.pixels import score_masks

__all__ = ["boundary_f1", "score_outlines", "skeleton_recall", "summarise_intervals"]


def boundary_f1(mask_true: np.ndarray, mask_pred: np.ndarray, *, tolerance: float = 2.0) -> float:
    """Return how well two outlines agree, 0 to 1.

    Parameters
    ----------
    mask_true, mask_pred : ndarray of bool or int, YX or ZYX
        Masks of equal shape; every value but 0 is foreground.
    tolerance : float
        Largest distance in pixels at which outlines still agree. 2 is about what two
        annotators differ by.

    Returns
    -------
    float
        ``2 P R / (P + R)``: P is the share of the predicted outline within the tolerance of the
        true one, R the share of the true outline within the tolerance of the predicted one.
        Two empty outlines give 1, one empty outline 0.

    Raises
    ------
    ValueError
        If shapes differ or the tolerance is negative.

    Notes
    -----
    The outline is the foreground pixels that have a background pixel beside, above or below
    them; the frame of the image is no outline. Source: Martin et al. 2004, Csurka et al.
    2013, with distances instead of a matching, which makes no difference at small tolerances.

    Examples
    --------
    >>> mask = np.pad(np.ones((4, 4), int), 3)
    >>> boundary_f1(mask, np.roll(mask, 2, axis=0)), boundary_f1(mask, 0 * mask)
    (1.0, 0.0)
    """
    true, pred = _check_masks(mask_true, mask_pred)
    if not tolerance >= 0:
        raise ValueError(f"tolerance is {tolerance}: give a distance in pixels, 0 or more")
    edges = [_outline(true), _outline(pred)]
    if not all(edge.any() for edge in edges):
        return float(not any(edge.any() for edge in edges))
    recall, precision = (
        np.mean(ndimage.distance_transform_edt(~other)[edge] <= tolerance)
        for edge, other in (edges, edges[::-1])
    )
    total = precision + recall
    return float(2 * precision * recall / total) if total else 0.0


def _outline(mask):
    return mask & ~ndimage.binary_erosion(mask, border_value=1)


def skeleton_recall(
    mask_true: np.ndarray, mask_pred: np.ndarray, *, max_width: float | None = None
) -> float:
    """Return the share of the true skeleton that the prediction covers, 0 to 1.

    Parameters
    ----------
    mask_true, mask_pred : ndarray of bool or int, YX
        Masks of equal shape; every value but 0 is foreground.
    max_width : float, optional
        Count only where the true mask is at most so many pixels wide, such as 3 for
        filopodia. By default the whole skeleton counts.

    Returns
    -------
    float
        NaN if the true mask has no skeleton of that width: there was nothing to find.

    Raises
    ------
    ValueError
        If shapes differ or masks are not two-dimensional.

    Notes
    -----
    Sensitivity of the topology in clDice (Shit et al. 2021); thinning by Zhang and Suen. The
    width is twice the distance to the background less 1, so that a line of one pixel has
    width 1; wide parts include what lies near them, for a skeleton reaches into their
    corners. Objects continue beyond the frame. A skeleton has no width, so
    one pixel of shift can lose a line of one pixel: read it beside `boundary_f1`.

    Examples
    --------
    >>> line = np.zeros((5, 9), int)
    >>> line[2, 1:8] = 1
    >>> half = line * (np.arange(9) > 3)
    >>> round(skeleton_recall(line, half), 2)
    0.57
    """
    from skimage.morphology import skeletonize

    true, pred = _check_masks(mask_true, mask_pred)
    if true.ndim != 2:
        raise ValueError(f"mask_true has shape {true.shape}: give plane by plane, YX")
    bones = skeletonize(np.pad(true, 1, mode="edge"))[1:-1, 1:-1]
    if max_width is not None:
        bones &= ~_wide_parts(true, max_width)
    return float(pred[bones].mean()) if bones.any() else float("nan")


def _wide_parts(mask, max_width):
    """Return what is wider than `max_width`, corners and the roots of processes included."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
    core = 2 * depth - 1 > max_width
    if not core.any():
        return core
    return ndimage.distance_transform_edt(~core) <= 1.5 * (max_width / 2 + 1)


def score_outlines(
    masks_true: Sequence[np.ndarray],
    masks_pred: Sequence[np.ndarray],
    *,
    names: Sequence[str] | None = None,
    tolerance: float = 2.0,
    thin: float = 3.0,
) -> pd.DataFrame:
    """Return area, outline and process scores, one row an image.

    Parameters
    ----------
    masks_true, masks_pred : sequence of ndarray, YX
        Masks in the same order.
    names : sequence of str, optional
        Names of the images; their position when not given.
    tolerance : float
        Of :func:`boundary_f1`, in pixels.
    thin : float
        Processes are at most so wide, in pixels: `max_width` of :func:`skeleton_recall`.

    Returns
    -------
    pandas.DataFrame
        ``name``, the columns of :func:`helpers.metrics.score_masks`, then ``boundary_f1``,
        ``skeleton_recall`` and ``thin_recall`` (processes only; NaN where there is none).

    Raises
    ------
    ValueError
        If there is no image, or numbers of masks or names differ.
    """
    names = list(map(str, range(len(masks_true)))) if names is None else list(names)
    if not names or not len(masks_true) == len(masks_pred) == len(names):
        raise ValueError(
            f"got {len(masks_true)} true masks, {len(masks_pred)} predictions and {len(names)} "
            "names: give at least one, and as many of each"
        )
    rows = [
        {
            "name": name,
            **score_masks(true, pred),
            "boundary_f1": boundary_f1(true, pred, tolerance=tolerance),
            "skeleton_recall": skeleton_recall(true, pred),
            "thin_recall": skeleton_recall(true, pred, max_width=thin),
        }
        for name, true, pred in zip(names, masks_true, masks_pred, strict=True)
    ]
    return pd.DataFrame(rows)


def summarise_intervals(per_image: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return mean and 95 % bootstrap interval over the images of each score.

    Parameters
    ----------
    per_image : pandas.DataFrame
        One row an image; columns that are no numbers are left out.
    seed : int
        Seed of the resampling.

    Returns
    -------
    pandas.DataFrame
        Index: the scores; columns ``mean low high n``. Images whose score is NaN do not
        count; with fewer than two the interval is NaN.

    Examples
    --------
    >>> summarise_intervals(pd.DataFrame({"name": ["a", "b"], "dice": [0.5, 0.7]}))["mean"].item()
    0.6
    """
    rows = {}
    for score, column in per_image.select_dtypes("number").items():
        values = column.dropna().to_numpy()
        interval = bootstrap_interval(values, seed=seed) if len(values) > 1 else (np.nan, np.nan)
        mean = float(values.mean()) if len(values) else np.nan
        rows[score] = (mean, *interval, len(values))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high", "n"])


def _check_masks(mask_true, mask_pred):
    masks = [np.asarray(mask) for mask in (mask_true, mask_pred)]
    if any(mask.dtype.kind not in "biu" for mask in masks):
        raise ValueError("masks must be boolean or integer: threshold probabilities first, p > 0.5")
    if masks[0].shape != masks[1].shape:
        raise ValueError(
            f"mask_true has shape {masks[0].shape}, mask_pred {masks[1].shape}: both must be of "
            "one image, uncropped"
        )
    return [mask != 0 for mask in masks]
