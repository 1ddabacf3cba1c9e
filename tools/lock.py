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
EXTRAS = ("test", "build")  # besides "cpu" or "gpu"
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


def read(path: Path) -> str:
    """Return the text of a file; Windows would not take UTF-8 by itself."""
    return path.read_text(encoding="utf-8")


def write(path: Path, text: str) -> None:
    """Write a file with the same bytes on every system."""
    path.write_text(text, encoding="utf-8", newline="\n")


def read_project() -> dict:
    """Return the contents of pyproject.toml."""
    return tomllib.loads(read(ROOT / "pyproject.toml"))


def oldest_python() -> str:
    """Return the oldest Python version that pyproject.toml allows, such as "3.11"."""
    return re.search(r">=\s*([\d.]+)", read_project()["project"]["requires-python"])[1]


def digest(variant: str) -> str:
    """Return a digest of everything in pyproject.toml that decides the lock of `variant`."""
    project = read_project()
    extras = project["project"]["optional-dependencies"]
    asked = [
        project["project"]["requires-python"],
        project["project"]["dependencies"],
        *(extras[name] for name in (variant, *EXTRAS)),
        project["tool"]["uv"],
    ]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def header(variant: str) -> str:
    """Return the first lines of the lock of `variant`."""
    return f"# Written by tools/lock.py ({variant}); do not edit.\n# asked-for: {digest(variant)}\n"


def resolve(variant: str, *, upgrade: bool) -> None:
    """Resolve pyproject.toml into the lock of `variant` with uv."""
    lock = LOCKS[variant]
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"]
    # Without it uv takes the version of the Python at hand as the oldest one.
    command += ["--python-version", oldest_python()]
    command += ["--generate-hashes", "--no-header", "--no-annotate"]
    command += [f"--extra={extra}" for extra in (variant, *EXTRAS)]
    command += ["--upgrade"] if upgrade else []
    subprocess.run([*command, "pyproject.toml", "-o", lock.name], cwd=ROOT, check=True)
    write(lock, header(variant) + read(lock))


def pins(lock: Path) -> list[str]:
    """Return the `name==version ; marker` lines of a lock, without hashes."""
    return re.findall(r"^([a-z0-9][^\s=]*==[^\\\n]+?) *\\?$", read(lock), flags=re.M)


def conda_file() -> str:
    """Return environment.yml: pip cannot mix hashes with the project itself, so pins only."""
    lines = [f"      - {json.dumps(pin)}\n" for pin in [*pins(LOCKS["gpu"]), "-e ."]]
    return CONDA_HEAD + "".join(lines)


def out_of_step() -> list[str]:
    """Return one line for each file that is not what pyproject.toml asks for."""
    wrong = [
        f"{lock.name} is not in step with pyproject.toml: run `make lock`"
        for variant, lock in LOCKS.items()
        if not lock.exists() or not read(lock).startswith(header(variant))
    ]
    if not wrong and (not CONDA.exists() or read(CONDA) != conda_file()):
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
    write(CONDA, conda_file())
    return 0


if __name__ == "__main__":
    sys.exit(main())
