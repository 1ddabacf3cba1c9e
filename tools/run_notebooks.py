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
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[1]
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

    The notebook is written also when a cell fails, so that the error can be read in place.
    """
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(ROOT / "notebooks")}}
    client = NotebookClient(
        notebook, timeout=CELL_TIMEOUT_S, resources=resources, record_timing=False
    )
    start = time.perf_counter()
    try:
        client.execute()
    except CellExecutionError as error:
        target = ROOT / "runs" / "notebooks" / path.name
        raise SystemExit(f"\n{path.name} failed; see {target.relative_to(ROOT)}\n{error}") from None
    finally:
        target.parent.mkdir(parents=True, exist_ok=True)
        for cell in notebook.cells:
            if cell.cell_type == "code" and cell.outputs:
                cell.outputs = merge_streams(cell.outputs)
        nbformat.write(notebook, target)
    return time.perf_counter() - start


def merge_streams(outputs: list) -> list:
    """Return the outputs with consecutive pieces of one stream joined, as Jupyter shows them."""
    merged: list = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            last["text"] += output.text
        else:
            merged.append(output)
    return merged


def print_leaderboard() -> None:
    """Print the table that notebook 10 wrote."""
    leaderboard = Path(os.environ.get("MICROSEG_RUNS", ROOT / "runs")) / "leaderboard.csv"
    if leaderboard.exists():
        import pandas as pd

        table = pd.read_csv(leaderboard)
        print("\nLeaderboard (test images; notebook 10 explains which rows compare)\n")
        print(table.to_string(index=False, float_format="%.3f", na_rep="-"))


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prefixes", nargs="*", help="first characters of the notebooks to run")
    parser.add_argument("--in-place", action="store_true", help="write outputs into notebooks/")
    options = parser.parse_args()
    folder = ROOT / "notebooks" if options.in_place else ROOT / "runs" / "notebooks"
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
