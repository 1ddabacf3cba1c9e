"""Write what a study found as CSV: one row for each run, and means over seeds and folds.

python workflow/scores.py RUNS SCORES.csv MEANS.csv
"""

import csv
import json
import re
import sys
from pathlib import Path
from statistics import mean, stdev

__all__ = ["average_rows", "collect_rows", "write_table"]

REPEATED = ("seed", "fold")  # what is averaged over
SCORES = tuple("ap_50 ap_70 ap_90 f1_50 f1_70 f1_90 seg iou iou_overall dice mcc psnr ssim".split())


def collect_rows(runs: str | Path) -> list[dict]:
    """Return one row for each finished run folder below `runs`.

    Parameters
    ----------
    runs : path
        The folder that holds ``DATASET/METHOD/``.

    Returns
    -------
    list of dict
        ``dataset method seed n_test``, those parameters that differ among runs of one kind (runs
        with parameters of the same names), the scores, those of the baseline as
        ``baseline_NAME``, and the times.
    """
    found = []
    for path in sorted(Path(runs).glob("[!.]*/[!.]*/summary.json")):
        summary = json.loads(path.read_text(encoding="utf-8"))
        params = json.loads((path.parent / "params.json").read_text(encoding="utf-8"))
        found.append((summary, params.get("parameters", {})))
    varied = _varied([parameters for _, parameters in found])
    return [_row(summary, {k: parameters.get(k) for k in varied}) for summary, parameters in found]


def _varied(settings: list[dict]) -> list[str]:
    """Return the names of the parameters that differ among runs of one kind."""
    values: dict[tuple, set] = {}
    for parameters in settings:
        for name, value in parameters.items():
            values.setdefault((frozenset(parameters), name), set()).add(json.dumps(value))
    return list(dict.fromkeys(name for (_, name), several in values.items() if len(several) > 1))


def _row(summary: dict, varied: dict) -> dict:
    first = {key: summary.get(key) for key in ("dataset", "method", "seed", "n_test")}
    varied = {k: json.dumps(v) if isinstance(v, (list, dict)) else v for k, v in varied.items()}
    rival = {f"baseline_{k}": v for k, v in summary.get("baseline", {}).items()}
    times = {key: summary.get(key) for key in ("seconds_train", "seconds_predict")}
    return first | varied | summary.get("scores", {}) | rival | times


def average_rows(rows: list[dict]) -> list[dict]:
    """Return means over all runs that differ by seed and fold alone.

    Parameters
    ----------
    rows : list of dict
        Of `collect_rows`.

    Returns
    -------
    list of dict
        ``dataset``, ``method`` without seed and fold, what was varied, ``n_runs``, and for each
        score its mean and ``NAME_sd``, the standard deviation over the runs (none for one).
    """
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(_settings(row).items()), []).append(row)
    return [dict(key) | {"n_runs": len(group)} | _averages(group) for key, group in groups.items()]


def _settings(row: dict) -> dict:
    """Return data set and parameters of a row: what stands before its scores."""
    facts = {*SCORES, *REPEATED, "n_test", "seconds_train", "seconds_predict"}
    known = {k: v for k, v in row.items() if k not in facts and not k.startswith("baseline_")}
    return known | {"method": re.sub(r"_(seed|fold)\d+", "", row["method"])}


def _averages(group: list[dict]) -> dict:
    found = {}
    for name in SCORES:
        values = [row[name] for row in group if row.get(name) is not None]
        if values:
            found[name] = mean(values)
            found[f"{name}_sd"] = stdev(values) if len(values) > 1 else None
    return found


def write_table(rows: list[dict], to: str | Path) -> None:
    """Write rows, whose keys may differ, to a CSV file."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with open(to, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    table = collect_rows(sys.argv[1])
    write_table(table, sys.argv[2])
    write_table(average_rows(table), sys.argv[3])
