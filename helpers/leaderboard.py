"""All scored runs in one table, and all their images in another."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from helpers.comparison import fair_groups, score_interval
from helpers.rescore import RunScores
from helpers.runs import SCORE_NAMES

__all__ = ["leaderboard", "per_image_table"]


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
    return "_".join(re.findall(r"\w+", name)) if result.ranked_by in baseline else None
