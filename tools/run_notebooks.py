"""Run every notebook in order and print the leaderboard.

python tools/run_notebooks.py                 # executed copies go to runs/notebooks/
python tools/run_notebooks.py --in-place      # keep the outputs in notebooks/
python tools/run_notebooks.py 04 10           # only those whose name starts so
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

ROOT = Path(__file__).resolve().parents[1]
EXECUTED = ROOT / "runs" / "notebooks"
CELL_TIMEOUT_S = 24 * 3600


def select(prefixes: list[str]) -> list[Path]:
    """Return the notebooks, in order, whose names start with one of `prefixes` (or all)."""
    notebooks = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    chosen = [p for p in notebooks if not prefixes or p.name.startswith(tuple(prefixes))]
    if not chosen:
        names = ", ".join(p.stem for p in notebooks)
        raise SystemExit(f"no notebook starts with {' or '.join(prefixes)}; there are: {names}")
    return chosen


def execute(path: Path, target: Path) -> float:
    """Execute the notebook at `path`, write it to `target`, and return the seconds it took.

    What a failed or interrupted run made goes to runs/notebooks, so that the error can be read
    in place and a notebook with good outputs is never replaced by a broken one.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],  # else each kernel warns of TCP on this machine
    )
    start = time.perf_counter()
    try:
        client.execute()
    except (CellExecutionError, DeadKernelError, KeyboardInterrupt) as error:
        write(notebook, EXECUTED / path.name)
        raise SystemExit(f"\n{path.name} failed; see {EXECUTED / path.name}\n{error}") from None
    write(notebook, target)
    return time.perf_counter() - start


def write(notebook: nbformat.NotebookNode, target: Path) -> None:
    """Write the notebook to `target`, whose folder need not exist."""
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)


def print_leaderboard() -> None:
    """Print the table that notebook 10 wrote."""
    leaderboard = Path(os.environ.get("MICROSEG_RUNS") or ROOT / "runs") / "leaderboard.csv"
    if leaderboard.exists():
        import pandas as pd

        table = pd.read_csv(leaderboard)
        whole = [name for name in ("seed", "n_seeds") if name in table]
        table = table.astype(dict.fromkeys(whole, "Int64"))
        print("\nLeaderboard (test images; notebook 10 explains which rows compare)\n")
        print(table.to_string(index=False, float_format="%.3f", na_rep="-"))


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prefixes", nargs="*", help="first characters of the notebooks to run")
    parser.add_argument("--in-place", action="store_true", help="write outputs into notebooks/")
    options = parser.parse_args()
    folder = ROOT / "notebooks" if options.in_place else EXECUTED
    if runs := os.environ.get("MICROSEG_RUNS"):  # meant from here, not from notebooks/
        os.environ["MICROSEG_RUNS"] = str(Path(runs).absolute())
    total = 0.0
    for path in select(options.prefixes):
        print(f"{path.stem:24s}", end=" ", flush=True)
        seconds = execute(path, folder / path.name)
        total += seconds
        print(f"{seconds / 60:5.1f} min", flush=True)
    print(f"{'all':24s} {total / 60:5.1f} min")
    print_leaderboard()
    return 0


if __name__ == "__main__":
    sys.exit(main())
