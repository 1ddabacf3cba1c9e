"""Thresholds of the seeded watershed, chosen on validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from helpers.fpn.watershed import segment_maps
from helpers.fpn.watershed_rule import WatershedRule

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["tune_seeded_watershed"]


def tune_seeded_watershed(
    maps: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    *,
    grid: dict[str, Sequence] | None = None,
    start: WatershedRule | None = None,
    iou: float = 0.7,
    tolerance: float = 0.01,
) -> tuple[WatershedRule, pd.DataFrame]:
    """Choose the thresholds of `seeded_watershed` on validation images.

    Parameters
    ----------
    maps : sequence of ndarray, YX2 or YX3
        Predicted maps of the validation images, never those of the test set.
    labels : sequence of ndarray of int, YX
        Their label images.
    grid : dict, optional
        Values to try for each field of the rule, such as ``{"seed": [0.5, 0.67]}``; all
        combinations are tried. When not given: five seed thresholds, six of the foreground
        (with a foreground map three, each with and without `border_weight`), and two smallest
        areas (that of `start`, and a tenth of the median labelled nucleus).
    start : WatershedRule, optional
        Values of the other fields; the mended rule when not given.
    iou : float
        The F1 that counts is that at this IoU.
    tolerance : float
        Combinations whose F1 is so little below the best count as equally good; of them the
        one with the highest F1 at IoU 0.9 is taken, for its outlines.

    Returns
    -------
    rule : WatershedRule
        The combination with the highest mean F1 over images in this sense.
    trials : pandas.DataFrame
        One row for each combination: the values of the grid, ``f1``, and ``f1_90``.

    Raises
    ------
    ValueError
        If there are no images, or `grid` names no field of the rule.
    """
    import pandas as pd

    from helpers.metrics.datasets import score_dataset

    start = start or WatershedRule()
    grid = _propose_grid(maps, labels, start) if grid is None else grid
    _check_grid(grid, len(maps))
    trials = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    for trial in trials:
        rule = replace(start, **trial)
        found = [segment_maps(one, rule) for one in maps]
        scores = score_dataset(labels, found, thresholds=[iou, 0.9]).scores
        trial["f1"], trial["f1_90"] = np.mean([score.f1 for score in scores], axis=0).tolist()
    least = max(trial["f1"] for trial in trials) - tolerance
    good = [trial for trial in trials if trial["f1"] >= least]
    best = max(good, key=lambda trial: (trial["f1_90"], trial["f1"]))
    return replace(start, **{name: best[name] for name in grid}), pd.DataFrame(trials)


def _propose_grid(maps: Sequence, labels: Sequence[np.ndarray], start: WatershedRule) -> dict:
    areas = [np.unique(y[y > 0], return_counts=True)[1] for y in labels]
    areas = np.concatenate(areas) if areas else np.empty(0)
    tenth = int(np.median(areas) / 10) if areas.size else start.min_area
    areas = {"min_area": sorted({start.min_area, max(1, tenth)})}
    if len(maps) and maps[0].shape[-1] == 3:
        limits = {"mask": [0.5, 0.4, 0.6], "border_weight": [0, 0.5]}
        return {"seed": [0.67, 0.3, 0.4, 0.5, 0.6]} | limits | areas
    limits = {"foreground": [0.05, 0.07, 0.09, 0.12, 0.16, 0.25]}
    return {"seed": [0.67, 0.4, 0.5, 0.6, 0.75]} | limits | areas


def _check_grid(grid: dict, n_images: int) -> None:
    if unknown := sorted(set(grid) - {field.name for field in fields(WatershedRule)}):
        raise ValueError(f"grid has {', '.join(unknown)}: give fields of WatershedRule")
    if not n_images:
        raise ValueError("maps is empty: give the maps of at least one validation image")
