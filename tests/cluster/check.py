"""Run a study through a real SLURM on this machine, disturb it, and compare with a local run.

Usage: ``python tests/cluster/check.py [--study smoke] [--local FOLDER] [--install]``
(``make cluster-check``, as root on a bare machine ``make cluster-check INSTALL=1``)

SLURM gets one node of two CPUs on the loopback, with a configuration in a temporary folder; no
system service is used or changed. While the study's jobs run through sbatch, one that runs is
cancelled and the controller is stopped and started again. The check fails unless every job
finished, the cancelled one in a second attempt, and everything that a run computes equals that
of the local run: weights and label images byte by byte, scores and histories digit by digit.
"""

import argparse
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from private_slurm import PACKAGES, PrivateSlurm, missing_programs

ROOT = Path(__file__).resolve().parents[2]
CPUS = 2
DOWN_S = 5
# There is no accounting here, so squeue tells what became of jobs.
PLUGIN = (
    "--slurm-no-account --slurm-status-command squeue --slurm-init-seconds-before-status-checks 5"
)
# Times differ from run to run; params.json also holds paths and the machine.
IMAGES, WEIGHTS = ("labels/*.tif", "mask/*.tif", "prob/*.tif"), ("model/*.h5", "*/model/*.h5")
COMPARED = (*IMAGES, *WEIGHTS, "metrics.csv", "history.csv", "*/history.csv", "summary.json")


def provide_packages(install: bool) -> None:
    """Install SLURM and munge, or say how."""
    missing = missing_programs()
    if not missing:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
    if not install:
        sys.exit(
            f"{', '.join(missing)} not found. On Debian or Ubuntu: sudo {' '.join(command)}\n"
            "or, as root: make cluster-check INSTALL=1"
        )
    if os.getuid() != 0:
        sys.exit(f"only root can install packages: sudo {' '.join(command)}")
    settings = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(command, check=True, env=settings, stdout=subprocess.DEVNULL)
    if missing := missing_programs():
        sys.exit(f"{', '.join(missing)} still missing after: {' '.join(command)}")


def sweep_command(study: str, folder: Path, *more: str) -> list[str]:
    """Return the command that `make sweep` runs, for a folder of its own."""
    return [sys.executable, str(ROOT / "workflow" / "sweep.py"), study, "--to", str(folder), *more]


def stop_on_failure(code: int, what: str, log: Path) -> None:
    """End the check with the end of a log if a sweep has failed."""
    if code:
        sys.exit(f"{what} failed with exit code {code}:\n{log.read_text(errors='replace')[-4000:]}")


def run_locally(study: str, folder: Path) -> float:
    """Run the study without SLURM; return its seconds."""
    start, log = time.monotonic(), folder / "local.log"
    command = sweep_command(study, folder / "local", "--cores", str(CPUS))
    with open(log, "wb") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT).returncode
    stop_on_failure(code, "the local run", log)
    return time.monotonic() - start


class Disturbance:
    """Cancel one running job once, then restart the controller once, while a study runs."""

    def __init__(self, slurm: PrivateSlurm):
        self.slurm, self.cancelled, self.restarted = slurm, None, False

    def look(self) -> None:
        """Do what is due; called every second or so."""
        jobs = self.slurm.jobs()
        seconds = [job.ended - job.started for job in jobs if job.state == "COMPLETED"]
        done = len(seconds)
        running = [job for job in jobs if job.state == "RUNNING"]
        half = sum(seconds) / max(1, done) / 2
        ripe = [job for job in running if time.time() - job.started > half]
        if self.cancelled is None and done >= 3 and ripe:
            self.cancelled = ripe[0]
            self.slurm.cancel(ripe[0])
            after = time.time() - ripe[0].started
            print(f"cancelled {ripe[0].comment} after {after:.0f} s", flush=True)
        elif self.cancelled and not self.restarted and done >= 5 and running:
            self._restart(jobs)

    def _restart(self, jobs: list) -> None:
        self.slurm.stop_controller()
        time.sleep(DOWN_S)
        self.slurm.start_controller()
        lost = {job.number for job in jobs} - {job.number for job in self.slurm.jobs()}
        if lost:
            sys.exit(f"the controller forgot jobs {', '.join(sorted(lost))} when it restarted")
        self.restarted = True
        running = sum(job.state == "RUNNING" for job in jobs)
        print(f"restarted the controller while {running} of {len(jobs)} jobs ran", flush=True)


def run_on_slurm(study: str, folder: Path) -> tuple[float, list, Disturbance]:
    """Run the study through sbatch and disturb it; return seconds, jobs and disturbances."""
    (folder / "slurm").mkdir()
    log = folder / "cluster.log"
    command = sweep_command(study, folder / "cluster", "--profile", "slurm", f"--args={PLUGIN}")
    with PrivateSlurm(folder / "slurm", cpus=CPUS) as slurm, open(log, "wb") as output:
        start, disturbance = time.monotonic(), Disturbance(slurm)
        sweep = subprocess.Popen(
            command, env=slurm.environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while sweep.poll() is None:
                disturbance.look()
                time.sleep(1)
        finally:
            sweep.terminate()
            sweep.wait()
        seconds, jobs = time.monotonic() - start, slurm.jobs()
    stop_on_failure(sweep.returncode, "the run on SLURM", log)
    return seconds, jobs, disturbance


def check_queue(jobs: list, disturbance: Disturbance) -> list[str]:
    """Return what is wrong with the jobs that went through the queue, one line each."""
    if disturbance.cancelled is None or not disturbance.restarted:
        return ["the study was over before a job was cancelled and the controller restarted"]
    wrong = []
    name = disturbance.cancelled.comment
    states = [job.state for job in jobs if job.comment == name]
    if states != ["CANCELLED", "COMPLETED"]:
        wrong.append(f"{name} was cancelled once, but its attempts ended as {states}")
    for job in jobs:
        if job.comment != name and job.state != "COMPLETED":
            wrong.append(f"job {job.number}, {job.comment}, ended as {job.state}")
    if len({job.comment for job in jobs}) < 12:
        wrong.append(f"only {len(jobs)} jobs went through sbatch, not 12 or more")
    return wrong


def list_files(runs: Path) -> dict[str, Path]:
    """Return the files to be compared of all run folders, by their path below `runs`."""
    found = [path for pattern in COMPARED for path in sorted(runs.glob(f"*/*/{pattern}"))]
    return {str(path.relative_to(runs)): path for path in found}


def read_content(path: Path):
    """Return what a file says but for durations: bytes of images and weights, else values."""
    if path.suffix in (".tif", ".h5"):
        return path.read_bytes()
    if path.suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: value for key, value in content.items() if not key.startswith("seconds")}
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [{k: v for k, v in row.items() if "second" not in (k or "")} for row in rows]


def compare_runs(local: Path, cluster: Path) -> tuple[list[str], dict[str, int]]:
    """Return what differs, one line each, and how many files of each kind were compared."""
    ours, theirs = list_files(local), list_files(cluster)
    wrong = [f"{name} is in one of the runs alone" for name in sorted(ours.keys() ^ theirs.keys())]
    counts: dict[str, int] = {}
    for name in sorted(ours.keys() & theirs.keys()):
        kind = {".tif": "images", ".h5": "weights"}.get(Path(name).suffix, Path(name).name)
        counts[kind] = counts.get(kind, 0) + 1
        if read_content(ours[name]) != read_content(theirs[name]):
            wrong.append(f"{name} differs")
    if not counts.get("summary.json"):
        wrong.append(f"there are no runs to compare in {local}")
    return wrong, counts


def mean_overhead(jobs: list, folder: Path) -> float:
    """Return the mean seconds of a finished job in the queue beside those of its notebook."""
    spent = [job.ended - job.started for job in jobs if job.state == "COMPLETED"]
    times = list(folder.glob("*/times/*.tsv"))
    records = [path for path in times if not path.stem.startswith("10_")]
    inside = []
    for path in records:
        with open(path, encoding="utf-8") as stream:
            inside.append(float(next(csv.DictReader(stream, delimiter="\t"))["s"]))
    return sum(spent) / len(spent) - sum(inside) / max(1, len(inside))


def run_both(study: str, local: Path | None, folder: Path) -> tuple[list[str], dict[str, int]]:
    """Run the study on SLURM and locally; return what is wrong and how much was compared."""
    seconds, jobs, disturbance = run_on_slurm(study, folder)
    print(
        f"{len(jobs)} jobs through sbatch: {seconds / 60:.1f} min, "
        f"{mean_overhead(jobs, folder / 'cluster'):.1f} s a job beside its notebook",
        flush=True,
    )
    if local is None:
        print(f"the same study locally: {run_locally(study, folder) / 60:.1f} min", flush=True)
        local = next((folder / "local").glob("*/"))
    cluster = next((folder / "cluster").glob("*/"))
    wrong, counts = compare_runs(local / "runs", cluster / "runs")
    return wrong + check_queue(jobs, disturbance), counts


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", default="smoke", help="a study of at least 12 short jobs")
    parser.add_argument("--dir", help="parent of the temporary folder")
    parser.add_argument("--local", type=Path, help="folder of an earlier local run of the study")
    parser.add_argument("--keep", action="store_true", help="keep the folder with both runs")
    parser.add_argument("--install", action="store_true", help="install SLURM by apt-get, as root")
    return parser.parse_args()


def main() -> int:
    """Run the study twice, compare, and say how long it took."""
    options, start = parse(), time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # daemons are stopped first
    provide_packages(options.install)
    folder = Path(tempfile.mkdtemp(prefix="slurm-check-", dir=options.dir)).resolve()
    try:
        wrong, counts = run_both(options.study, options.local, folder)
    finally:
        if options.keep:
            print(f"both runs and all logs: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print("compared: " + ", ".join(f"{n} {kind}" for kind, n in counts.items()))
    print("\n".join(wrong) or "every job finished, and both runs are equal")
    print(f"{(time.monotonic() - start) / 60:.1f} min in all")
    return len(wrong) > 0


if __name__ == "__main__":
    sys.exit(main())
