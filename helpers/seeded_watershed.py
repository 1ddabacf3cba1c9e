"""From a distance map and a border map to nuclei: seeds, watershed, foreground mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from helpers.watershed_rule import DEMO_RULE, PUBLISHED_RULE, WatershedRule

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DEMO_RULE",
    "PUBLISHED_RULE",
    "WatershedRule",
    "find_seeds",
    "seeded_watershed",
    "tune_seeded_watershed",
]


def find_seeds(distance: np.ndarray, rule: WatershedRule | None = None) -> np.ndarray:
    """Return one seed for each nucleus, from the distance map.

    Parameters
    ----------
    distance : ndarray, YX
        Distance to the outline, 1 at the deepest point of each nucleus
        (:func:`helpers.targets.normalized_distance`).
    rule : WatershedRule, optional
        Thresholds; the mended rule when not given.

    Returns
    -------
    ndarray of int32, YX
        0 where there is no seed, else its number; numbered from 1 without gaps.

    Notes
    -----
    Above the threshold, closed, labelled by 4-connectivity, each label eroded, small ones
    dropped.

    Examples
    --------
    >>> find_seeds(np.array([[0.1, 0.9, 0.1, 0.8, 1.0]]), WatershedRule(min_seed_area=1)).tolist()
    [[0, 1, 0, 2, 2]]
    """
    rule = rule or WatershedRule()
    above = np.asarray(_check_map("distance", distance)) > rule.seed
    cross = ndimage.generate_binary_structure(2, 1)
    seeds, _ = ndimage.label(_close(above, rule.closing_radius), cross)
    for _ in range(rule.erosion):
        same = ndimage.minimum_filter(seeds, 3) == ndimage.maximum_filter(seeds, 3)
        seeds = np.where(same, seeds, 0)
    return _keep_areas(seeds, max(1, rule.min_seed_area), seeds.size)


def seeded_watershed(
    distance: np.ndarray, border: np.ndarray, rule: WatershedRule | None = None
) -> np.ndarray:
    """Return the nuclei that the two maps of FPN2-WS show.

    Parameters
    ----------
    distance : ndarray, YX
        As in :func:`find_seeds`.
    border : ndarray, YX
        Ridge along the outlines (:func:`helpers.targets.border_ridge`).
    rule : WatershedRule, optional
        Thresholds; the mended rule when not given. :func:`tune_seeded_watershed` finds them.

    Returns
    -------
    ndarray of int32, YX
        Label image, numbered from 1 without gaps. A nucleus without a seed is missing.

    Raises
    ------
    ValueError
        If the maps are not two-dimensional, differ in shape, or hold NaN.

    Notes
    -----
    The seeds are flooded over the border map, without lines between nuclei, within the
    foreground; then sizes are filtered once. Source: FPN2-WS (Zaki et al. 2020), whose rule
    is :data:`PUBLISHED_RULE`. It has no foreground mask: even on perfect maps it finds about
    half of the nuclei, because floods leave through outlines, which are lower where they run
    diagonally (0.28) than along an axis (0.40).
    """
    from skimage.segmentation import watershed

    rule = rule or WatershedRule()
    distance, border = _check_map("distance", distance), _check_map("border", border)
    if distance.shape != border.shape:
        raise ValueError(
            f"distance has shape {distance.shape} and border {border.shape}: give both maps of "
            "one image"
        )
    seeds = find_seeds(distance, rule)
    inside = np.ones(seeds.shape, bool) if rule.foreground is None else distance > rule.foreground
    if rule.border_cap is not None:
        inside &= border < rule.border_cap
    inside |= seeds > 0
    return _keep_areas(watershed(border, seeds, mask=inside), rule.min_area, rule.max_area)


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
    maps : sequence of ndarray, YX2
        Predicted distance and border of the validation images, never those of the test set.
    labels : sequence of ndarray of int, YX
        Their label images.
    grid : dict, optional
        Values to try for each field of the rule, such as ``{"seed": [0.5, 0.67]}``; all
        combinations are tried. When not given: five seed thresholds, six of the foreground,
        and two smallest areas (that of `start`, and a tenth of the median labelled nucleus).
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

    from helpers.metrics import score_dataset

    start = start or WatershedRule()
    grid = _propose_grid(labels, start) if grid is None else grid
    _check_grid(grid, len(maps))
    trials = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    for trial in trials:
        rule = replace(start, **trial)
        found = [seeded_watershed(pair[..., 0], pair[..., 1], rule) for pair in maps]
        scores = score_dataset(labels, found, thresholds=[iou, 0.9]).scores
        trial["f1"], trial["f1_90"] = np.mean([score.f1 for score in scores], axis=0).tolist()
    least = max(trial["f1"] for trial in trials) - tolerance
    good = [trial for trial in trials if trial["f1"] >= least]
    best = max(good, key=lambda trial: (trial["f1_90"], trial["f1"]))
    return replace(start, **{name: best[name] for name in grid}), pd.DataFrame(trials)


def _close(mask: np.ndarray, radius: int) -> np.ndarray:
    from skimage.morphology import disk

    padded = np.pad(mask, radius)  # or the frame would take pixels from the seeds there
    closed = ndimage.binary_closing(padded, disk(radius)) if radius else padded
    return closed[radius : radius + mask.shape[0], radius : radius + mask.shape[1]]


def _keep_areas(labels: np.ndarray, smallest: int, largest: int) -> np.ndarray:
    areas = np.bincount(labels.ravel())
    keep = (areas >= max(1, smallest)) & (areas <= largest)
    keep[:1] = False
    return (np.cumsum(keep) * keep).astype(np.int32)[labels]


def _propose_grid(labels: Sequence[np.ndarray], start: WatershedRule) -> dict:
    areas = [np.unique(y[y > 0], return_counts=True)[1] for y in labels]
    areas = np.concatenate(areas) if areas else np.empty(0)
    tenth = int(np.median(areas) / 10) if areas.size else start.min_area
    return {
        "seed": [0.67, 0.4, 0.5, 0.6, 0.75],
        "foreground": [0.05, 0.07, 0.09, 0.12, 0.16, 0.25],
        "min_area": sorted({start.min_area, max(1, tenth)}),
    }


def _check_grid(grid: dict, n_images: int) -> None:
    if unknown := sorted(set(grid) - {field.name for field in fields(WatershedRule)}):
        raise ValueError(f"grid has {', '.join(unknown)}: give fields of WatershedRule")
    if not n_images:
        raise ValueError("maps is empty: give the maps of at least one validation image")


def _check_map(name: str, array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} has shape {array.shape} and dtype {array.dtype}: give one map with axes YX"
        )
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ValueError(f"{name} holds NaN: the network did not train, or saw NaN in the image")
    return array
