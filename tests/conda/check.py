"""Run the pip steps of environment.yml in an empty virtual environment, as conda would.

Usage: ``python tests/conda/check.py [--python 3.12] [--dir FOLDER]`` (``make conda-check``)

conda itself is not needed. Like conda, this writes the pip part of the file into a temporary
requirements file beside it and hands that to pip. Then it imports the packages and runs a cell
on the kernel `microseg` of the new environment. Needs some GB of disk and of downloads.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
NEEDED_GB = 15
UV = (sys.executable, "-m", "uv")

INSIDE = """
import helpers, data_download
import tensorflow, csbdeep, stardist.models, n2v.models
import pathlib, sys
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel(kernel_name="microseg")
reply = client.execute_interactive("import sys, helpers; print(sys.prefix)", timeout=120)
print("kernel", manager.kernel_spec.resource_dir)
manager.shutdown_kernel(now=True)
if reply["content"]["status"] != "ok":
    sys.exit("the kernel microseg cannot import helpers")
if not pathlib.Path(manager.kernel_spec.resource_dir).is_relative_to(sys.prefix):
    sys.exit("the kernel microseg comes from another environment")
print("tensorflow", tensorflow.__version__, "csbdeep", csbdeep.__version__)
"""


def read_steps() -> tuple[str, list[str]]:
    """Return the Python version and the pip lines of environment.yml."""
    steps = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    version = next(s.removeprefix("python=") for s in steps if str(s).startswith("python="))
    return version, next(s["pip"] for s in steps if isinstance(s, dict))


def find_python(version: str) -> str:
    """Return a Python of this version, or the one that runs this script if there is none."""
    command = [*UV, "python", "find", "--no-python-downloads", version]
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode == 0:
        return found.stdout.strip()
    print(f"no Python {version} at hand (give one with --python): using {sys.executable}")
    return sys.executable


def clean_environment(venv: Path) -> dict[str, str]:
    """Return the variables of a user who types the one command of environment.yml."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "JUPYTER_PATH")}
    path = os.pathsep.join([str(venv / "bin"), kept["PATH"]])
    return {**kept, "PATH": path, "PIP_NO_DEPS": "1", "PIP_NO_CACHE_DIR": "1"}


def make_venv(folder: Path, python: str) -> Path:
    """Make an environment that holds Python and the newest pip, and return its Python."""
    make = [*UV, "venv", "--quiet", "--no-python-downloads", "--seed", "--python", python]
    subprocess.run([*make, folder], check=True)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def install(python: Path, lines: list[str], environment: dict[str, str]) -> None:
    """Install the pip lines with the very command that conda uses."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="condaenv.", suffix=".requirements.txt", dir=ROOT, delete=False
    ) as file:
        file.write("\n".join(lines))
    command = [python, "-m", "pip", "install", "-U", "-r", file.name, "--exists-action=b"]
    try:
        subprocess.run([*command, "--quiet"], cwd=ROOT, env=environment, check=True)
    finally:
        Path(file.name).unlink()


def size_gb(folder: Path) -> float:
    """Return the size of all files below `folder` in GB."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file()) / 1e9


def main() -> int:
    """Build, import, run a cell, and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", help="version or path of the Python to build on")
    parser.add_argument("--dir", help="parent of the temporary environment")
    options = parser.parse_args()
    version, lines = read_steps()
    with tempfile.TemporaryDirectory(prefix="conda-check-", dir=options.dir) as parent:
        free = shutil.disk_usage(parent).free / 1e9
        if free < NEEDED_GB:
            sys.exit(f"{parent} has {free:.0f} GB free, {NEEDED_GB} are needed: use --dir")
        folder = Path(parent) / "venv"
        environment = clean_environment(folder)
        start = time.perf_counter()
        python = make_venv(folder, options.python or find_python(version))
        install(python, lines, environment)
        minutes = (time.perf_counter() - start) / 60
        print(f"installed {len(lines)} packages: {minutes:.1f} min, {size_gb(folder):.1f} GB")
        subprocess.run([python, "-c", INSIDE], cwd=parent, env=environment, check=True)
    print("the pip part of environment.yml makes a working environment")
    return 0


if __name__ == "__main__":
    sys.exit(main())
