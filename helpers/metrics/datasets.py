"""Scores of whole data sets: objects and masks, image by image, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import pandas as pd

from helpers.metrics.objects import (
    THRESHOLDS,
    InstanceScores,
    score_instances,
)
from helpers.metrics.pixels import (
    MaskScores,
    count_mask_pixels,
)

__all__ = [
    "DatasetScores",
    "bootstrap_interval",
    "score_dataset",
    "score_mask_dataset",
]

_SUMMARY = "ap_50 ap_70 ap_90 f1_50 f1_70 f1_90 seg iou iou_overall dice mcc".split()


@dataclass(frozen=True)
class DatasetScores:
    """Scores of a set of images: one by one, averaged, and pooled.

    Attributes
    ----------
    names : tuple of str
        Names of the images.
    scores : tuple of InstanceScores or of MaskScores
        Full scores of each image, in the same order.
    """

    names: tuple[str, ...]
    scores: tuple[InstanceScores, ...] | tuple[MaskScores, ...]

    @property
    def per_image(self) -> pd.DataFrame:
        """One row an image: ``name``, then the columns of the score's ``row()``."""
        return pd.DataFrame(
            [{"name": n, **s.row()} for n, s in zip(self.names, self.scores, strict=True)]
        )

    @property
    def mean(self) -> pd.Series:
        """Unweighted mean over images: every image counts the same, empty ones too."""
        return self.per_image.drop(columns="name").mean().rename("mean")

    @property
    def pooled(self) -> pd.Series:
        """Scores from counts summed over images: every object (or pixel) counts the same."""
        return pd.Series(reduce(add, self.scores).row(), dtype=float, name="pooled")

    def summary(self) -> dict[str, float]:
        """Return the scores for ``summary.json``.

        Returns
        -------
        dict
            Means over images under the names ``ap_50 ap_70 ap_90 f1_50 f1_70 f1_90 seg``
            for objects, ``iou iou_overall dice mcc`` for masks.
        """
        mean = self.mean
        return {name: float(mean[name]) for name in _SUMMARY if name in mean}

    def curve(self) -> pd.DataFrame:
        """Return AP and F1 of a set of label images over the IoU threshold.

        Returns
        -------
        DataFrame
            Columns ``threshold``, ``ap_mean``, ``ap_pooled``, ``f1_mean``, ``f1_pooled``.

        Raises
        ------
        ValueError
            If these are scores of masks, which have no threshold.
        """
        if not isinstance(self.scores[0], InstanceScores):
            raise ValueError("masks have no IoU threshold: a curve needs score_dataset's result")
        pooled = reduce(add, self.scores)
        columns = {"threshold": pooled.thresholds}
        for score in ("ap", "f1"):
            columns[f"{score}_mean"] = np.mean([getattr(s, score) for s in self.scores], axis=0)
            columns[f"{score}_pooled"] = getattr(pooled, score)
        return pd.DataFrame(columns)


def score_dataset(
    labels_true: Sequence[np.ndarray],
    labels_pred: Sequence[np.ndarray],
    *,
    names: Sequence[str] | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
) -> DatasetScores:
    """Score the predicted label images of a data set.

    Parameters
    ----------
    labels_true, labels_pred : sequence of ndarray of int, YX or ZYX
        Label images in the same order; shapes may differ between images.
    names : sequence of str, optional
        Names of the images; their position when not given.
    thresholds : sequence of float
        IoU thresholds in (0, 1]; see `score_instances` for the match rule.

    Returns
    -------
    DatasetScores
        With ``per_image``, ``mean``, ``pooled``, ``summary()`` and ``curve()``.

    Raises
    ------
    ValueError
        If there is no image, the numbers of images or names differ, or one pair cannot be
        scored; the message names the image.
    """

    def score(true: np.ndarray, pred: np.ndarray) -> InstanceScores:
        return score_instances(true, pred, thresholds=thresholds)

    return _score_all(score, labels_true, labels_pred, names)


def score_mask_dataset(
    masks_true: Sequence[np.ndarray],
    masks_pred: Sequence[np.ndarray],
    *,
    names: Sequence[str] | None = None,
) -> DatasetScores:
    """Score the predicted foreground masks of a data set.

    Parameters
    ----------
    masks_true, masks_pred : sequence of ndarray of bool or int
        Masks in the same order; every value but 0 is foreground.
    names : sequence of str, optional
        Names of the images; their position when not given.

    Returns
    -------
    DatasetScores
        With ``per_image``, ``mean``, ``pooled`` and ``summary()``.

    Raises
    ------
    ValueError
        As `score_dataset`.
    """
    return _score_all(count_mask_pixels, masks_true, masks_pred, names)


def bootstrap_interval(
    values: Sequence[float], *, level: float = 0.95, n: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Give the range in which the mean over images would lie for other images of this kind.

    Parameters
    ----------
    values : sequence of float
        One score for each image, such as ``scores.per_image["ap_50"]``.
    level : float
        Share of resampled means inside the interval, between 0 and 1.
    n : int
        Number of resamplings.
    seed : int
        Seed of the resampling.

    Returns
    -------
    low, high : float
        Percentile bootstrap interval of the mean, resampling whole images.

    Raises
    ------
    ValueError
        If there is no value, one is not finite, or `level` is out of range.

    Notes
    -----
    It holds the spread over images only, not that of another training run, and is too
    narrow below about 20 images or when images share a source.
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(
            f"values must be a list of at least one finite score, got {values!r}: "
            "give one column of per_image"
        )
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}: 0.95 means 95 %")
    means = np.random.default_rng(seed).choice(values, (n, values.size)).mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _score_all(
    score: Callable, true: Sequence, pred: Sequence, names: Sequence[str] | None
) -> DatasetScores:
    names = [str(k) for k in range(len(true))] if names is None else [str(n) for n in names]
    if not len(true) == len(pred) == len(names) or not names:
        raise ValueError(
            f"got {len(true)} true images, {len(pred)} predictions and {len(names)} names: "
            "give at least one image, and as many of each, in the same order"
        )
    scores = []
    for name, one_true, one_pred in zip(names, true, pred, strict=True):
        try:
            scores.append(score(one_true, one_pred))
        except ValueError as error:
            raise ValueError(f"image {name}: {error}") from error
    return DatasetScores(tuple(names), tuple(scores))
