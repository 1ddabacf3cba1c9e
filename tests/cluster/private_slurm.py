"""A SLURM of one node on this machine's loopback, with all its files in one folder.

Its daemons run as the user who starts them, with a key, ports and sockets of their own, so
nothing that the system or another user has set up is read or changed.
"""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("slurm-wlm", "munge")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "sinfo")
START_S = 60
NODE = "here"
# cgroups may be missing in containers; linuxproc finds the processes of a job without them.
# Memory is not shared out and not limited: what is tested is the queue, on any machine.
CONFIG = """
ClusterName=check
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MailProg=/bin/true
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
# a busy machine may need longer than the study states
OverTimeLimit=UNLIMITED
# finished jobs stay in the queue's memory, where squeue finds them: there is no accounting
MinJobAge=86400
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory}
PartitionName=all Nodes={node} Default=YES MaxTime=INFINITE State=UP
"""


class QueuedJob(NamedTuple):
    """One line of squeue: number, state, times in seconds since 1970 or 0, and comment."""

    number: str
    state: str
    submitted: float
    started: float
    ended: float
    comment: str


def find_program(name: str) -> str | None:
    """Return the path of a program; daemons are not on every user's PATH."""
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"]))


def missing_programs() -> list[str]:
    """Return those programs of SLURM and munge that this machine lacks."""
    return [name for name in PROGRAMS if find_program(name) is None]


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PrivateSlurm:
    """munged, slurmctld and slurmd in a folder; a context manager that ends them all.

    Parameters
    ----------
    folder : Path
        Empty, with a path of at most 80 characters (a socket's name must fit).
    cpus : int
        CPUs of the node.

    Attributes
    ----------
    environment : dict of str
        For commands that shall talk to this SLURM.
    """

    def __init__(self, folder: Path, *, cpus: int = 2):
        self.folder, self.cpus = folder, cpus
        self.processes: dict[str, subprocess.Popen] = {}
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))}
        paths = os.pathsep.join([str(folder / "bin"), kept["PATH"]])
        self.environment = {**kept, "PATH": paths, "SLURM_CONF": str(folder / "slurm.conf")}

    def __enter__(self):
        """Start all daemons, and return once the node is idle."""
        try:
            self._write_files()
            self._start_munge()
            self.start_controller()
            self._start("slurmd", "-D", "-N", NODE)
            self._wait(lambda: self._ask("sinfo", "-h", "-o", "%T") == "idle", "the node is idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        """Cancel what runs and stop the daemons, those last that the others need."""
        if self._is_up("slurmctld") and self._is_up("slurmd"):
            self._ask("scancel", f"--user={os.getuid()}")
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and self._ask("squeue", "-h"):
                time.sleep(0.5)
        for name in ("slurmd", "slurmctld", "munged"):
            self._stop(name)

    def start_controller(self) -> None:
        """Start slurmctld; it takes up the jobs it has saved."""
        self._start("slurmctld", "-D")
        self._wait(lambda: "is UP" in self._ask("scontrol", "ping"), "the controller answers")

    def stop_controller(self) -> None:
        """Stop slurmctld; jobs go on without it."""
        self._stop("slurmctld")

    def jobs(self) -> list[QueuedJob]:
        """Return all jobs, also finished ones; none while the controller is down."""
        lines = self._ask("squeue", "--states=all", "-h", "-o", "%i|%T|%V|%S|%e|%k").splitlines()
        parts = [line.split("|", 5) for line in lines]
        return [QueuedJob(p[0], p[1], *map(_seconds, p[2:5]), p[5]) for p in parts if len(p) == 6]

    def cancel(self, job: QueuedJob) -> None:
        """End a job as its owner would."""
        self._ask("scancel", job.number)

    def _write_files(self) -> None:
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        # Snakemake takes SLURM's variables away from srun, and with them the configuration's place
        wrapper = self.folder / "bin" / "srun"
        wrapper.write_text(
            f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {find_program("srun")} "$@"\n',
            encoding="utf-8",
        )
        wrapper.chmod(0o755)
        words = {
            "user": _user_name(),
            "host": socket.gethostname().split(".")[0],
            "node": NODE,
            "cpus": self.cpus,
            "memory": 1_000_000,
            "folder": self.folder,
            "controller_port": free_port(),
            "node_port": free_port(),
        }
        (self.folder / "slurm.conf").write_text(CONFIG.format(**words), encoding="utf-8")
        if _version() >= (24, 5):  # earlier ones do not know the word
            (self.folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n", encoding="utf-8")

    def _start_munge(self) -> None:
        places = {
            "socket": "munge.socket",
            "key-file": "munge.key",
            "pid-file": "munge.pid",
            "seed-file": "munge.seed",
            "log-file": "munge.log",
        }
        options = [f"--{option}={self.folder / file}" for option, file in places.items()]
        # force: munge wants a socket that all users reach, but this one serves one user alone
        self._start("munged", "--foreground", "--force", *options)
        self._wait((self.folder / "munge.socket").exists, "munge listens")

    def _start(self, name: str, *options: str) -> None:
        with open(self.folder / f"{name}.out", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [find_program(name), *options],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def _stop(self, name: str) -> None:
        process = self.processes.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _is_up(self, name: str) -> bool:
        return name in self.processes and self.processes[name].poll() is None

    def _ask(self, name: str, *options: str) -> str:
        done = subprocess.run(
            [find_program(name) or name, *options],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.stdout.strip()

    def _wait(self, is_true, what: str) -> None:
        deadline = time.monotonic() + START_S
        while not is_true():
            ended = [name for name in self.processes if not self._is_up(name)]
            if ended or time.monotonic() > deadline:
                logs = [p.read_text(errors="replace")[-1500:] for p in self.folder.glob("*.out")]
                why = f"{ended[0]} has ended" if ended else f"not after {START_S} s"
                sys.exit(f"waited until {what}, but {why}\n" + "\n".join(logs))
            time.sleep(0.5)


def _version() -> tuple[int, ...]:
    text = subprocess.run([find_program("sinfo"), "-V"], capture_output=True, text=True).stdout
    return tuple(int(n) for n in re.findall(r"\d+", text)[:2])


def _user_name() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _seconds(text: str) -> float:
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
    except ValueError:  # N/A
        return 0.0
