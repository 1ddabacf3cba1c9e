"""A report of one run: a single HTML file with all that a reader or a reviewer asks for."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from helpers.report.text import CITATIONS, count_images, describe_method, find_kind
from helpers.short_errors import NotebookEnd
from helpers.storage import read_json, write_whole

__all__ = ["report_failures", "write_report"]

SCORES = ("ap_50", "f1_50", "iou", "dice", "seg", "psnr")  # the first that is there is shown
MAX_ROWS = 200
PAGE = Template(
    """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title><style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; font-size: 0.85rem; margin: 0.5rem 0 }
th, td { padding: 0.15rem 0.6rem; border-bottom: 1px solid #e5e5e5; text-align: left;
         vertical-align: top } td.n { text-align: right; font-variant-numeric: tabular-nums }
figure { margin: 1rem 0 } img { max-width: 100% } figcaption { font-size: 0.85rem; color: #555 }
.failed { background: #fdecea; border-left: 4px solid #c0392b; padding: 0.5rem 1rem }
pre { white-space: pre-wrap; font-size: 0.8rem } .wide { overflow-x: auto }
@media print { @page { size: A4; margin: 15mm } body { margin: 0; max-width: none; padding: 0 }
  h2 { break-after: avoid } figure, tr { break-inside: avoid } .wide { overflow: visible }
  .wide table { font-size: 0.65rem } .wide th, .wide td { padding: 0.1rem 0.3rem }
  th { overflow-wrap: anywhere } }
</style></head><body><h1>$title</h1>
$body
</body></html>
"""
)


def write_report(run_folder: str | Path, *, error: str | None = None) -> Path:
    """Write ``report.html`` into a run folder.

    Parameters
    ----------
    run_folder : path
        Finished, running or failed; sections whose files are missing are left out.
    error : str, optional
        What stopped the run, where it did.

    Returns
    -------
    pathlib.Path
        The report: one file that needs no other and no network. `helpers.report.pdf.write_pdf`
        makes a PDF of it.

    Raises
    ------
    FileNotFoundError
        If the folder has no ``params.json``, so it is no run.
    """
    folder = Path(run_folder).expanduser().absolute()
    if not (folder / "params.json").is_file():
        raise FileNotFoundError(
            f"{folder} has no params.json: give a run folder, runs/DATASET/METHOD"
        )
    params = read_json(folder / "params.json")
    done = (folder / "summary.json").is_file()
    summary = read_json(folder / "summary.json") if done else {}
    sections = [
        _status(folder, params, summary, error),
        _methods(folder, params, summary),
        _scores(summary),
        _curve(folder),
        _images(folder, params),
        _facts(params),
    ]
    title = escape(f"{params.get('method', folder.name)} on {params.get('dataset', '?')}")
    with write_whole(folder / "report.html") as part:
        page = PAGE.substitute(title=title, body="\n".join(filter(None, sections)))
        part.write_text(page, encoding="utf-8")
    return folder / "report.html"


def _status(folder: Path, params: dict, summary: dict, error: str | None) -> str:
    if summary:
        return f"<p>Finished. Started {escape(str(params.get('started')))}.</p>"
    reached = "before the first epoch"
    if (history := _read_table(folder / "history.csv")) is not None and len(history):
        reached = f"after epoch {len(history)}"
    reason = f"<pre>{escape(error)}</pre>" if error else ""
    return (
        f'<div class="failed"><p><b>Not finished</b>: no scores were saved; training stopped or '
        f"stands {reached}. What follows is what was known. Run the notebook again to go on.</p>"
        f"{reason}</div>"
    )


def _methods(folder: Path, params: dict, summary: dict) -> str:
    record = None
    for place in ("model", "network"):
        if (folder / place / "predictor.json").is_file():
            record = read_json(folder / place / "predictor.json")
    kind = find_kind(folder.name, record)
    items = "".join(f"<li>{escape(text)}</li>" for text in CITATIONS.get(kind, ()))
    text = escape(describe_method(kind, params, summary))
    return f"<h2>Methods, for a paper</h2><p>{text}</p><ol>{items}</ol>"


def _scores(summary: dict) -> str | None:
    if not summary.get("scores"):
        return None
    names = [name for name, value in summary["scores"].items() if value is not None]
    baseline = summary.get("baseline", {})
    rows = [[summary["method"], *(summary["scores"][name] for name in names)]]
    if len(baseline) > 1:
        rows.append([baseline.get("method", "baseline"), *(baseline.get(name) for name in names)])
    note = (
        f"{count_images(summary['n_test'])}, one seed ({summary['seed']}); training "
        f"{summary['seconds_train']:.0f} s, prediction {summary['seconds_predict']:.1f} s"
    )
    return f"<h2>Scores</h2><p>{note}</p>{_table(['', *names], rows)}"


def _curve(folder: Path) -> str | None:
    from helpers.report.figures import curve_figure

    history = _read_table(folder / "history.csv")
    figure = None if history is None else curve_figure(history)
    return f"<h2>Training</h2>{figure}" if figure else None


def _images(folder: Path, params: dict) -> str | None:
    from helpers.report.figures import case_figure, find_case, score_figure

    table = _read_table(folder / "metrics.csv")
    score = next(
        (s for s in SCORES if table is not None and s in table and table[s].notna().any()), ""
    )
    if not score or "name" not in table:
        return None
    parts = [f"<h2>Test images</h2>{score_figure(table, score)}"]
    ranked = table.dropna(subset=[score]).sort_values(score)
    data = _data_folder(params)
    cases = {"Worst": 0, "Best": len(ranked) - 1} if len(ranked) > 1 else {"The only": 0}
    for word, place in cases.items():
        row = ranked.iloc[place]
        found = data and find_case(data, folder, str(row["name"]))
        if found:
            title = f"{word} test image: {row['name']}, {score} {row[score]:.3f}"
            parts.append(case_figure(title, *found))
    shown = table.head(MAX_ROWS)
    parts.append(_table(list(shown.columns), shown.to_numpy().tolist()))
    if len(table) > MAX_ROWS:
        parts.append(f"<p>{len(table) - MAX_ROWS} more rows are in metrics.csv.</p>")
    return "".join(parts)


def _data_folder(params: dict) -> Path | None:
    from helpers.runs import project_root

    stored = (params.get("data") or {}).get("folder")
    folder = project_root() / stored if stored else None
    return folder if folder and folder.is_dir() else None


def _facts(params: dict) -> str:
    data, names = params.get("data") or {}, (params.get("data") or {}).get("test_names") or []
    facts = {
        "data folder": data.get("folder"),
        "fingerprint of the data (SHA-256)": data.get("fingerprint"),
        "test images": f"{len(names)}: {', '.join(map(str, names[:20]))}" if names else None,
        "seed": params.get("seed"),
        "device": (params.get("device") or {}).get("device"),
        "code": (params.get("git") or {}).get("commit"),
    }
    parts = ["<h2>Data and run</h2>", _pairs({k: v for k, v in facts.items() if v is not None})]
    parts += ["<h2>Parameters</h2>", _pairs(params.get("parameters") or {})]
    parts += ["<h2>Versions</h2>", _pairs(params.get("versions") or {})]
    return "".join(parts)


def _pairs(facts: dict) -> str:
    return _table(["", ""], [[key, str(value)] for key, value in facts.items()])


def _table(header: list, rows: list) -> str:
    head = "".join(f"<th>{escape(str(name))}</th>" for name in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _cell(value) -> str:
    if isinstance(value, float):
        return f'<td class="n">{"" if value != value else f"{value:.4g}"}</td>'
    return f"<td>{escape('' if value is None else str(value))}</td>"


def _read_table(path: Path):
    import pandas as pd

    try:
        return pd.read_csv(path) if path.is_file() else None
    except (ValueError, OSError):  # empty, or cut off
        return None


def report_failures(run_folder: Path) -> None:
    """In a notebook, write the report of an unfinished run when a cell fails; else do nothing.

    Parameters
    ----------
    run_folder : path
        The run that was opened. Of several, each unfinished one gets its report.
    """
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is None:
        return

    def after_cell(result) -> None:
        if (run_folder / "summary.json").exists() or not run_folder.is_dir():
            shell.events.unregister("post_run_cell", after_cell)
            return
        error = result.error_in_exec or result.error_before_exec
        if error and not isinstance(error, NotebookEnd):
            first = str(getattr(result.info, "raw_cell", "")).strip().splitlines()[:1]
            where = f"in the cell that begins with: {first[0]}\n" if first else ""
            write_report(run_folder, error=f"{where}{type(error).__name__}: {error}")

    shell.events.register("post_run_cell", after_cell)
