"""Run a study: say what it costs, run its jobs by Snakemake, evaluate them, write the report.

python workflow/sweep.py voidseg_small --dry        # count and hours, nothing is run
python workflow/sweep.py voidseg --profile slurm    # the same study on a cluster
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import yaml
from studies import ROOT, Job, Study, load_study

__all__ = [
    "check_memory",
    "count_places",
    "estimate",
    "failed_jobs",
    "local_limits",
    "measured_seconds",
    "snakemake_command",
]

WORKFLOW = Path(__file__).resolve().parent


def measured_seconds(folder: Path) -> dict[str, float]:
    """Return the seconds of each job whose record lies in the folder of a study."""
    found = {}
    for path in sorted(folder.glob("times/*.tsv")):
        if (folder / "notebooks" / f"{path.stem}.ipynb").is_file():
            with open(path, encoding="utf-8") as stream:
                found[path.stem] = float(next(csv.DictReader(stream, delimiter="\t"))["s"])
    return found


def estimate(study: Study, measured: dict[str, float]) -> list[dict]:
    """Return one row for each stage: jobs, how many are left, and what these may take.

    Parameters
    ----------
    study : Study
        The study.
    measured : dict of str to float
        Seconds of the jobs that are done. Their mean is expected of the others of their stage;
        without any, what the study states.

    Returns
    -------
    list of dict
        ``stage notebook jobs left seconds source hours gpu``.
    """
    rows = []
    for stage in dict.fromkeys(job.stage for job in study.jobs):
        jobs = [job for job in study.jobs if job.stage == stage]
        known = [measured[job.name] for job in jobs if job.name in measured]
        left = [job for job in jobs if job.name not in measured]
        seconds = sum(known) / len(known) if known else jobs[0].seconds
        rows.append(
            {
                "stage": stage,
                "notebook": jobs[0].notebook,
                "jobs": len(jobs),
                "left": len(left),
                "seconds": seconds,
                "source": f"mean of {len(known)} done" if known else "stated in the study",
                "hours": len(left) * seconds / 3600,
                "gpu": jobs[0].gpu,
            }
        )
    return rows


def print_estimate(study: Study, rows: list[dict], n_parallel: int) -> None:
    """Print the table of `estimate` with its sums."""
    print(f"{study.name}: {study.title}")
    print(f"{'stage':16s} {'notebook':22s} {'jobs':>5s} {'left':>5s} {'s each':>8s} {'hours':>8s}")
    for row in rows:
        print(
            f"{row['stage']:16s} {row['notebook']:22s} {row['jobs']:5d} {row['left']:5d} "
            f"{row['seconds']:8.0f} {row['hours']:8.2f}  {row['source']}"
        )
    hours, left = sum(row["hours"] for row in rows), sum(row["left"] for row in rows)
    unit = "GPU hours" if any(row["gpu"] for row in rows) else "hours of jobs"
    print(
        f"{left} of {len(study.jobs)} jobs to run, about {hours:.2f} {unit}: "
        f"{hours / n_parallel:.2f} hours with {n_parallel} jobs at a time; then notebook 10"
    )


def local_limits(cores: int | None = None) -> tuple[int, int, int]:
    """Return how many cores, MB of memory and GPU places this machine gives to jobs."""
    cores = cores or os.cpu_count() or 1
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 0.85 / 1e6
    except (AttributeError, ValueError):  # no such call on this system
        memory = 1e9
    has_gpu = shutil.which("nvidia-smi") is not None
    return cores, int(memory), 1 if has_gpu else cores  # without a GPU, cores alone decide


def check_memory(jobs: tuple[Job, ...], memory: int) -> None:
    """Raise a ValueError if a job needs more memory (MB) than there is."""
    largest = max(jobs, key=lambda job: job.mem_mb)
    if largest.mem_mb > memory:
        raise ValueError(
            f"{largest.name} needs {largest.mem_mb} MB of memory, 85 % of this machine's are "
            f"{memory} MB: lower mem_mb of its stage, or use a larger machine"
        )


def count_places(jobs: tuple[Job, ...], cores: int, memory: int, gpus: int) -> int:
    """Return how many of the largest jobs fit into a machine side by side, at least 1."""
    limits = {"threads": cores, "mem_mb": memory, "gpu": gpus}
    needs = {name: max(getattr(job, name) for job in jobs) for name in limits}
    return max(1, min(limits[name] // need for name, need in needs.items() if need))


def snakemake_command(
    study: str, folder: Path, profile: Path, more: list[str], targets: list[str], *flags, **config
) -> list[str]:
    """Return the command line of Snakemake for targets of a study."""
    settings = {"study": study, "python": os.environ.get("MICROSEG_PYTHON"), **config}
    settings["data"] = os.environ.get("MICROSEG_DATA")
    given = [f"{key}={value}" for key, value in settings.items() if value]
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(WORKFLOW / "Snakefile")),
        *("--directory", str(folder), "--profile", str(profile), "--nolock", *more, *flags),
        *("--config", *given, "--", *targets),
    ]


@contextmanager
def only_one(folder: Path) -> Iterator[int]:
    """Hold the lock of a study, which goes with the process; give its file descriptor.

    Snakemake's own lock would stay behind after a crash and ask the user to remove it.
    """
    with open(folder / ".lock", "w") as lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ModuleNotFoundError:  # Windows
            pass
        except BlockingIOError:
            raise ValueError(f"another sweep works on {folder}: wait for it, or stop it") from None
        yield lock.fileno()


def failed_jobs(study: Study, folder: Path) -> list[str]:
    """Return the names of the jobs that have no executed notebook."""
    done = {path.stem for path in (folder / "notebooks").glob("*.ipynb")}
    return [job.name for job in study.jobs if job.name not in done]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", help="a name in workflow/studies, or the path of a YAML file")
    parser.add_argument("--profile", default="local", help="local, slurm, or a profile's folder")
    parser.add_argument("--dry", action="store_true", help="only count and estimate")
    parser.add_argument("--cores", type=int, help="CPU cores of this machine; default: all")
    parser.add_argument("--to", default=str(ROOT / "sweeps"), help="folder that holds the studies")
    parser.add_argument("--args", default="", help="further options of Snakemake, in one string")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    options = parse(arguments)
    try:
        study = load_study(options.study)
        profile = WORKFLOW / "profiles" / options.profile
        profile = profile if profile.is_dir() else Path(options.profile).absolute()
        if not (profile / "config.yaml").is_file():
            raise ValueError(f"there is no profile {options.profile}: {profile} has no config.yaml")
        settings = yaml.safe_load((profile / "config.yaml").read_text(encoding="utf-8"))
        is_local = settings.get("executor", "local") == "local"
        limits = local_limits(options.cores) if is_local else ()
        if is_local and not options.dry:
            check_memory(study.jobs, limits[1])
    except (ValueError, FileNotFoundError) as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 2
    path = Path(options.study)
    name = str(path.absolute()) if path.suffix else options.study
    folder = Path(options.to).absolute() / study.name
    folder.mkdir(parents=True, exist_ok=True)
    n_parallel = count_places(study.jobs, *limits) if is_local else int(settings.get("jobs", 1))
    print_estimate(study, estimate(study, measured_seconds(folder)), n_parallel)
    more = options.args.split()
    if is_local:
        more += [
            "--cores",
            str(limits[0]),
            "--resources",
            f"mem_mb={limits[1]}",
            f"gpu={limits[2]}",
        ]
    command = partial(snakemake_command, name, folder, profile, more)
    if options.dry:
        done = subprocess.run(command(["all"], "--dry-run"), capture_output=True, text=True)
        print(done.stderr if done.returncode else "", end="")
        return done.returncode
    try:
        with only_one(folder) as lock:
            return run_study(study, folder, command, lock)
    except ValueError as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 2


def run_study(study: Study, folder: Path, command, lock: int) -> int:
    """Run all jobs, evaluate what is there, and write the report."""

    def run(*arguments, **config) -> int:
        # the engine holds the lock, too, should this process alone be killed
        return subprocess.run(command(*arguments, **config), pass_fds=(lock,)).returncode

    code = run(["trainings"])
    if code:
        missing = failed_jobs(study, folder)
        print(f"{len(missing)} of {len(study.jobs)} jobs are missing: {', '.join(missing)}")
        print(f"their notebooks are in {folder / 'failed'}; the same command takes up from here")
        run(["evaluation.html"], "--forcerun", "evaluation", partial=1)
    else:
        code = run(["all"]) or run(["all"], "--report", str(folder / "report.html"))
    print(f"executed notebooks, runs, scores.csv, evaluation.html: {folder}")
    return code


if __name__ == "__main__":
    sys.exit(main())
