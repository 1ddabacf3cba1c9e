"""From the YAML file of a study to its jobs, each of them one notebook with its parameters."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path

import yaml

__all__ = ["Job", "Study", "datasets_of", "load_study", "notebook_parameters"]

ROOT = Path(__file__).resolve().parents[1]
STUDIES = Path(__file__).resolve().parent / "studies"
NOTEBOOKS = ROOT / "notebooks"
NEEDED = {"notebook", "seconds"}
ALLOWED = NEEDED | {"after", "set", "vary", "cases", "threads", "mem_mb", "gpu"}
# These notebooks write such parameters into the names of their run folders themselves.
NAMED_BY_NOTEBOOK = {
    "03_unet_3class": {"ONLY_SCHEMES", "N_LABELLED", "SEED"},
    "06_fpn_watershed": {
        *("N_NETWORKS", "INITIALISATION", "TRAIN_ALSO", "LENGTH", "PATCHES", "WITHOUT", "SEED"),
    },
}


@dataclass(frozen=True)
class Job:
    """One execution of one notebook.

    Attributes
    ----------
    name : str
        Stage and values of the varied parameters; the name of the executed notebook.
    stage, notebook : str
        Stage of the study, and the notebook's file name without ``.ipynb``.
    parameters : dict
        What papermill sets, `RUN_NAME` included.
    after : tuple of str
        Names of the jobs that must be done before.
    seconds : float
        Expected duration, as the study states it.
    threads, mem_mb, gpu : int
        What the job may use: CPU threads, memory in MB, GPUs.
    """

    name: str
    stage: str
    notebook: str
    parameters: dict = field(hash=False)
    after: tuple[str, ...]
    seconds: float
    threads: int = 1
    mem_mb: int = 4000
    gpu: int = 0


@dataclass(frozen=True)
class Study:
    """A study: its name, its title and its jobs in an order in which they could run."""

    name: str
    title: str
    jobs: tuple[Job, ...]

    def __getitem__(self, name: str) -> Job:
        """Return the job of this name."""
        return next(job for job in self.jobs if job.name == name)


def load_study(name_or_path: str | Path, *, notebooks: Path = NOTEBOOKS) -> Study:
    """Read a study and expand it into jobs.

    Parameters
    ----------
    name_or_path : str or path
        A study of ``workflow/studies``, such as ``"voidseg"``, or the path of a YAML file.
    notebooks : path
        Folder of the notebooks.

    Returns
    -------
    Study

    Raises
    ------
    FileNotFoundError
        If there is no such study.
    ValueError
        If the file states something impossible; the message names stage and key.

    Notes
    -----
    A stage runs its notebook once for each combination of the lists under `vary`, times once
    for each entry of `cases` (parameters that change together); `set` holds for all. A job
    waits for those jobs of the stage named by `after` that work on the same `DATASET`.
    """
    path = _find(name_or_path)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("stages"), dict):
        raise ValueError(f"{path.name}: a study has a title and `stages`, one entry for each stage")
    jobs: list[Job] = []
    for stage, facts in content["stages"].items():
        _check_stage(path.name, stage, facts, content["stages"], notebooks)
        jobs += _expand(stage, facts, [job for job in jobs if job.stage == facts.get("after")])
    _check_unique(path.name, jobs)
    return Study(path.stem, str(content.get("title", path.stem)), tuple(jobs))


def notebook_parameters(notebook: str, *, notebooks: Path = NOTEBOOKS) -> list[str]:
    """Return the names that the cell tagged `parameters` of a notebook sets."""
    cells = json.loads(_read(notebooks / f"{notebook}.ipynb"))["cells"]
    cells = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    return re.findall(r"^([A-Za-z_]\w*) = ", "".join(cells[0]["source"]), flags=re.M)


def datasets_of(job: Job, *, notebooks: Path = NOTEBOOKS) -> list[str]:
    """Return the data sets that a job reads: by its parameters, and fixed in the notebook."""
    text = _read(notebooks / f"{job.notebook}.ipynb")
    fixed = re.findall(r'resolve_dataset\(\\"(\w+)\\"\)', text)
    default = re.search(r'"DATASET = \\"([^"\\]+)\\"', text)
    given = job.parameters.get("DATASET") or (default and default[1])
    named = [given, *job.parameters.get("TRAIN_ALSO", ()), *fixed]
    return list(dict.fromkeys(str(name) for name in named if name and name != "all"))


@cache
def _read(path: Path) -> str:
    """Return the text of a notebook, which hundreds of jobs ask for."""
    return path.read_text(encoding="utf-8")


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise FileNotFoundError(f"the study {path} does not exist")
        return path
    shipped = {p.stem: p for p in sorted(STUDIES.glob("*.yaml"))}
    if str(name_or_path) not in shipped:
        raise FileNotFoundError(
            f"there is no study {str(name_or_path)!r}: choose one of {', '.join(shipped)}, or give "
            "the path of a YAML file"
        )
    return shipped[str(name_or_path)]


def _check_stage(file: str, stage: str, facts: dict, stages: Mapping, notebooks: Path) -> None:
    where = f"{file}, stage {stage}"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", stage):
        raise ValueError(f"{where}: name a stage with small letters, digits and _")
    if missing := sorted(NEEDED - facts.keys()):
        raise ValueError(f"{where} does not state {', '.join(missing)}")
    if unknown := sorted(facts.keys() - ALLOWED):
        raise ValueError(f"{where}: {unknown[0]!r} is none of {', '.join(sorted(ALLOWED))}")
    if not (notebooks / f"{facts['notebook']}.ipynb").is_file():
        known = ", ".join(sorted(p.stem for p in notebooks.glob("*.ipynb")))
        raise ValueError(f"{where}: there is no notebook {facts['notebook']!r}, only {known}")
    earlier = list(stages)[: list(stages).index(stage)]
    if "after" in facts and facts["after"] not in earlier:
        raise ValueError(f"{where}: after is {facts['after']!r}, which is no stage above it")
    for name, values in facts.get("vary", {}).items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"{where}: vary.{name} is {values!r}, give a list of values")
    _check_parameters(where, facts, notebook_parameters(facts["notebook"], notebooks=notebooks))


def _check_parameters(where: str, facts: dict, known: list[str]) -> None:
    groups = [facts.get("set", {}), facts.get("vary", {}), *facts.get("cases", [])]
    for name in (name for group in groups for name in group):
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1) or [", ".join(known)]
            raise ValueError(
                f"{where}: {facts['notebook']} has no parameter {name}; did you mean {close[0]}?"
            )


def _expand(stage: str, facts: dict, earlier: list[Job]) -> Iterator[Job]:
    vary = facts.get("vary", {})
    for case, values in product(facts.get("cases") or [{}], product(*vary.values())):
        chosen = {**dict(zip(vary, values, strict=True)), **case}
        parameters = _join(facts.get("set", {}), chosen)
        given_by_notebook = NAMED_BY_NOTEBOOK.get(facts["notebook"], set())
        own = {k: v for k, v in chosen.items() if k != "DATASET" and k not in given_by_notebook}
        parameters.setdefault("RUN_NAME", "_".join([stage, *_slugs(own)]))
        after = [job.name for job in earlier if _agree(job.parameters, parameters)]
        limits = {key: facts[key] for key in ("threads", "mem_mb", "gpu") if key in facts}
        name = "-".join([stage, *_slugs(chosen)])
        yield Job(name, stage, facts["notebook"], parameters, tuple(after), facts["seconds"],
                  **limits)  # fmt: skip


def _join(first: dict, second: dict) -> dict:
    """Return both, the second winning; dicts of settings are joined, too."""
    both = {k: {**first[k], **v} for k, v in second.items() if isinstance(first.get(k), dict)}
    return {**first, **second, **both}


def _agree(first: dict, second: dict) -> bool:
    """Return whether two jobs work on the same data."""
    return first.get("DATASET") == second.get("DATASET")


def _slugs(parameters: dict) -> list[str]:
    """Return words for a file name, the seed last, by which notebook 10 knows repetitions."""
    ordered = sorted(parameters.items(), key=lambda item: item[0] == "SEED")
    return [slug for name, value in ordered if (slug := _slug(name, value))]


def _slug(name: str, value) -> str:
    if isinstance(value, dict):
        return "_".join(_slug(key, inner) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        words = "_".join(map(str, value))
        return _clean(f"{name.lower()}_{words}" if words else "")
    if isinstance(value, str):
        return _clean(Path(value).name)
    return _clean(f"{name.lower()}{value}")


def _clean(text: str) -> str:
    plain = text.lower().replace("+", "p")  # unet++ is not unet
    return re.sub(r"[^\w.]+", "_", plain).strip("._")


def _check_unique(file: str, jobs: list[Job]) -> None:
    if not jobs:
        raise ValueError(f"{file}: the study has no stages")
    names: set[str] = set()
    runs: set[tuple] = set()
    for job in jobs:
        added = sorted(NAMED_BY_NOTEBOOK.get(job.notebook, ()))
        values = [job.parameters.get(name) for name in ("DATASET", "RUN_NAME", *added)]
        run = (job.notebook, *map(str, values))
        if job.name in names or run in runs:
            raise ValueError(
                f"{file}: two jobs would write the same run or record, {job.name} (RUN_NAME "
                f"{job.parameters['RUN_NAME']!r}): vary something else, or leave RUN_NAME out"
            )
        names.add(job.name)
        runs.add(run)
