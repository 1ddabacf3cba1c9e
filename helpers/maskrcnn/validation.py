"""Scores on validation images: for the choice of a checkpoint and of thresholds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from helpers.maskrcnn.detections import Detections
from helpers.maskrcnn.inference import DetectionRule, detections_to_labels, find_objects
from helpers.training.loop import count_images

__all__ = ["DetectionAP", "tune_rule"]

IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)
GRID = {"score": (0.5, 0.3, 0.7, 0.2, 0.6, 0.8, 0.9), "mask_threshold": (0.5, 0.4, 0.6)}


def _mean_ap(found: Sequence[Detections], labels: Sequence[np.ndarray], rule) -> float:
    from helpers.metrics.datasets import score_dataset

    drawn = [detections_to_labels(f, y.shape, rule) for f, y in zip(found, labels, strict=True)]
    return float(score_dataset(labels, drawn, thresholds=IOUS).curve()["ap_mean"].mean())


def tune_rule(
    found: Sequence[Detections],
    labels: Sequence[np.ndarray],
    *,
    grid: dict[str, Sequence] | None = None,
    **fixed,
) -> DetectionRule:
    """Choose the thresholds on validation images.

    Parameters
    ----------
    found : sequence of Detections
        Of :func:`find_objects` on the validation images, never on those of the test set.
    labels : sequence of ndarray of int
        Their label images.
    grid : dict, optional
        Values to try for each number of :class:`DetectionRule`; all combinations are tried. By
        default seven of `score` and three of `mask_threshold`.
    **fixed
        Numbers that stay, such as ``min_area=20``.

    Returns
    -------
    DetectionRule
        The best, the first of equals. The score is the AP, averaged over images and the IoU
        thresholds 0.5, 0.6 ... 0.9.
    """
    grid = GRID if grid is None else grid
    trials = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    rules = [replace(DetectionRule(**fixed), **trial) for trial in trials]
    return max(rules, key=lambda rule: _mean_ap(found, labels, rule))


class DetectionAP:
    """Score of a network on validation images, for choosing the best checkpoint.

    Parameters
    ----------
    images, labels : sequence of ndarray
        Normalised validation images and their labels, not augmented.
    scores : sequence of float
        Least scores to try: they are chosen on the same images at the end.
    max_pixels : int
        Only the first images up to this many pixels are used, at least one.
    **options
        Those of :func:`find_objects`.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        labels: Sequence[np.ndarray],
        *,
        scores: Sequence[float] = (0.3, 0.5, 0.7),
        max_pixels: int = 3_000_000,
        **options,
    ):
        n_used = count_images(labels, max_pixels)
        self.images, self.labels = images[:n_used], labels[:n_used]
        self.scores, self.options = scores, options

    def __call__(self, model: Callable) -> dict[str, float]:
        """Return `val_ap`: AP averaged over images and IoU 0.5 to 0.9, at the best of `scores`."""
        with warnings.catch_warnings():  # an early network finds objects everywhere
            warnings.filterwarnings("ignore", message=".*windows hold")
            found = [find_objects(model, x, **self.options) for x in self.images]
        rules = [DetectionRule(score=score) for score in self.scores]
        return {"val_ap": max(_mean_ap(found, self.labels, rule) for rule in rules)}
