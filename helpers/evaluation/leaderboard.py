"""Tables over all scored runs: by run, by image, by size of the objects."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from helpers.evaluation.comparison import fair_groups, score_interval
from helpers.evaluation.rescore import RunScores
from helpers.metrics.objects import match_objects
from helpers.runs import SCORE_NAMES

__all__ = ["found_by_size", "leaderboard", "per_image_table"]


def leaderboard(results: Sequence[RunScores]) -> pd.DataFrame:
    """Put all runs, and baselines that runs merely state, into one table.

    Parameters
    ----------
    results : sequence of RunScores
        Scored runs.

    Returns
    -------
    DataFrame
        One row a run, best first within each group. ``group`` is equal where a comparison
        is fair; ``low`` and ``high`` bound 95 % of the score named in ``ranked_by``;
        ``baseline`` marks the classical method; ``source`` is "rescored", or "stated" for a
        baseline whose predictions are not there; the scores have the names of
        `helpers.runs.SCORE_NAMES`, those that no run has are left out.

    Notes
    -----
    A method is a baseline when some run of its group calls it so in ``summary.json``.
    """
    rows = []
    for name, group in fair_groups(results).items():
        methods = {result.run.method for result in group}
        baselines = {_baseline_name(result): result for result in group}
        scored = [_row(name, result, baselines) for result in group]
        stated = [_stated_row(name, r, b) for b, r in baselines.items() if b and b not in methods]
        rows += sorted(scored + stated, key=lambda row: -row[row["ranked_by"]])
    table = pd.DataFrame(rows, columns=_COLUMNS).astype({"seed": "Int64"})
    unused = [name for name in SCORE_NAMES if table[name].isna().all()]
    return table.drop(columns=unused)


def per_image_table(results: Sequence[RunScores]) -> pd.DataFrame:
    """Return one row for each test image of each run, with all its scores."""
    tables = []
    for name, group in fair_groups(results).items():
        for result in group:
            origin = {"group": name, "dataset": result.run.dataset, "method": result.run.method}
            tables.append(result.scores.per_image.assign(**origin))
    table = pd.concat(tables, ignore_index=True)
    first = ["group", "dataset", "method", "name"]
    return table[[*first, *table.columns.difference(first, sort=False)]]


def found_by_size(
    group: Sequence[RunScores], *, iou: float = 0.5, n_classes: int = 4
) -> pd.DataFrame:
    """Return the share of true objects that each method finds, by the size of the object.

    Parameters
    ----------
    group : sequence of RunScores
        Runs of label images in one fair group.
    iou : float
        An object is found when a predicted one matches it at this IoU.
    n_classes : int
        Number of size classes, with about as many objects in each.

    Returns
    -------
    DataFrame
        One row a class, small to large: ``n`` objects, then one column a method. The index
        has the least and the largest area in pixels (voxels), such as "12 to 80".

    Raises
    ------
    ValueError
        If the runs hold masks, which have no objects.
    """
    if group[0].kind != "labels":
        raise ValueError("masks have no objects: give a group of runs that predict labels")
    columns = {}
    for result in group:
        cases = [result.read_case(name) for name in result.scores.names]
        objects = pd.concat([match_objects(c.true, c.pred, iou=iou).true for c in cases])
        columns[result.run.method] = (objects["partner"] > 0).to_numpy()
    area = objects["area"].to_numpy()
    # ranks, because equal areas would leave some quantile classes empty
    size_class = pd.Series(area).rank(method="first").sub(1) * n_classes // max(area.size, 1)
    classes = pd.DataFrame({"area": area, **columns}).groupby(size_class.to_numpy())
    table = classes[list(columns)].mean()
    table.insert(0, "n", classes.size())
    limits = classes["area"].agg(["min", "max"])
    return table.set_axis([f"{low} to {high}" for low, high in limits.to_numpy()])


_COLUMNS = [
    *("group", "dataset", "method", "baseline", "source", "n_test", "seed", "ranked_by"),
    *("low", "high", *SCORE_NAMES, "seconds_train", "seconds_predict"),
]


def _row(name: str, result: RunScores, baselines: dict) -> dict:
    summary, (low, high) = result.run.summary, score_interval(result.values())
    return {
        **_shared(name, result),
        "method": result.run.method,
        "baseline": result.run.method in baselines,
        "source": "rescored",
        "low": low,
        "high": high,
        **result.scores.summary(),
        **{key: summary[key] for key in ("seed", "seconds_train", "seconds_predict")},
    }


def _stated_row(name: str, result: RunScores, method: str) -> dict:
    scores = result.run.summary["baseline"]
    return {
        **_shared(name, result),
        **scores,
        "method": method,
        "baseline": True,
        "source": "stated",
    }


def _shared(name: str, result: RunScores) -> dict:
    return {
        "group": name,
        "dataset": result.run.dataset,
        "n_test": len(result.scores.names),
        "ranked_by": result.ranked_by,
    }


def _baseline_name(result: RunScores) -> str | None:
    baseline = result.run.summary["baseline"]
    name = baseline.get("method", "baseline").lower()
    is_scored = baseline.get(result.ranked_by) is not None
    return "_".join(re.findall(r"\w+", name)) if is_scored else None
