"""Write the lock files and environment.yml from pyproject.toml, or check that they are in step.

    python tools/lock.py            # resolve, keeping the versions of the present lock
    python tools/lock.py --upgrade  # resolve to the newest versions that fit
    python tools/lock.py --check    # exit 1 when a file is not what pyproject.toml asks for

`requirements.lock` (CPU) and `requirements-gpu.lock` (CUDA) hold for Linux, macOS and Windows
and for Python 3.11 to 3.13. Each starts with a digest of what pyproject.toml asks for, so that
the check needs no network.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCKS = {"cpu": ROOT / "requirements.lock", "gpu": ROOT / "requirements-gpu.lock"}
CONDA = ROOT / "environment.yml"
CONDA_HEAD = """\
# One command creates the environment and registers the Jupyter kernel `microseg`:
#     PIP_NO_DEPS=1 conda env create -f environment.yml
# (PowerShell: $env:PIP_NO_DEPS=1; conda env create -f environment.yml)
# PIP_NO_DEPS is needed because the list below is complete and n2v's metadata excludes the
# csbdeep that it works with. Written by tools/lock.py: the versions are those of
# requirements-gpu.lock, with the CUDA build of TensorFlow.
name: microseg
channels:
  - conda-forge
dependencies:
  - python=3.12
  - pip
  - pip:
"""


def digest(variant: str) -> str:
    """Return a digest of everything in pyproject.toml that decides the lock of `variant`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    asked = [
        project["project"]["requires-python"],
        project["project"]["dependencies"],
        extras[variant],
        extras["test"],
        extras["build"],
        project["tool"]["uv"],
    ]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def header(variant: str) -> str:
    """Return the first lines of the lock of `variant`."""
    return f"# Written by tools/lock.py ({variant}); do not edit.\n# asked-for: {digest(variant)}\n"


def resolve(variant: str, *, upgrade: bool) -> None:
    """Resolve pyproject.toml into the lock of `variant` with uv."""
    lock = LOCKS[variant]
    command = ["uv", "pip", "compile", "--universal", "--generate-hashes", "--no-header", "-q"]
    command += ["--no-emit-index-url", "--no-annotate", "--extra", variant, "--extra", "test", "--extra", "build"]
    command += ["--upgrade"] if upgrade else []
    subprocess.run([*command, "pyproject.toml", "-o", lock.name], cwd=ROOT, check=True)
    lock.write_text(header(variant) + lock.read_text())


def pins(lock: Path) -> list[str]:
    """Return the `name==version ; marker` lines of a lock, without hashes."""
    return re.findall(r"^([a-z0-9][^\s=]*==[^\\\n]+?) *\\?$", lock.read_text(), flags=re.M)


def conda_file() -> str:
    """Return environment.yml: pip cannot mix hashes with the project itself, so pins only."""
    lines = [f"      - {json.dumps(pin)}\n" for pin in [*pins(LOCKS["gpu"]), "-e ."]]
    return CONDA_HEAD + "".join(lines)


def out_of_step() -> list[str]:
    """Return one line for each file that is not what pyproject.toml asks for."""
    wrong = [
        f"{lock.name} is not in step with pyproject.toml: run `make lock`"
        for variant, lock in LOCKS.items()
        if not lock.exists() or not lock.read_text().startswith(header(variant))
    ]
    if not wrong and (not CONDA.exists() or CONDA.read_text() != conda_file()):
        wrong.append(f"{CONDA.name} is not in step with requirements-gpu.lock: run `make lock`")
    return wrong


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="move to the newest versions")
    parser.add_argument("--check", action="store_true", help="only compare")
    options = parser.parse_args()
    if options.check:
        wrong = out_of_step()
        print("\n".join(wrong) or "locks and environment.yml are in step with pyproject.toml")
        return len(wrong) > 0
    for variant in LOCKS:
        resolve(variant, upgrade=options.upgrade)
    CONDA.write_text(conda_file())
    return 0


if __name__ == "__main__":
    sys.exit(main())
