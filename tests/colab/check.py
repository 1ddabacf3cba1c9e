"""Run notebooks as Colab would, and see that nothing of Colab's own was changed.

Usage: ``python tests/colab/check.py [NOTEBOOK ...] [--python 3.13] [--keep]``

Builds a virtual environment of Colab's versions (``constraints.txt``) on the Python at hand,
puts a zip of this repository where a user would upload it, runs the setup cell and each notebook
(default: all) at the preset "test", and fails if a cell fails or one of the versions moved.
All notebooks share the environment; each has an upload and results of its own. Linux and macOS.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SETUP_CELL = ROOT / "tools" / "setup_cell.py"

# what else Colab's runtime brings, in any version
COLAB_HAS = (
    "pip ipykernel ipython nbclient opencv-python-headless tqdm pooch tifffile imageio "
    "shapely six packaging tensorboard"
).split()

# the name by which notebooks notice that they are in Colab
FAKE_COLAB = "import sys, types; sys.modules['google.colab'] = types.ModuleType('google.colab')"


def read_constraints() -> dict[str, str]:
    """Return Colab's versions by package name."""
    text = (HERE / "constraints.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.M))


def local_name(name: str) -> str:
    """Name a package as this machine installs it: TensorFlow's smaller CPU build on Linux."""
    is_linux_pc = sys.platform == "linux" and platform.machine() == "x86_64"
    return "tensorflow-cpu" if name == "tensorflow" and is_linux_pc else name


def build_environment(folder: Path, python: str) -> Path:
    """Make the virtual environment in `folder` and return its Python."""
    pins = [f"{local_name(name)}=={pin}" for name, pin in read_constraints().items()]
    inside = folder / "bin" / "python"
    if shutil.which("uv"):
        make = ["uv", "venv", "--quiet", "--clear", "--no-python-downloads", "--python", python]
        subprocess.run([*make, folder], check=True)
        install = ["uv", "pip", "install", "--quiet", "--python", inside]
    else:
        subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
        install = [inside, "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, *pins, *COLAB_HAS], check=True)
    return inside


def zip_repository(path: Path) -> None:
    """Pack the files of the working tree as a repository site would."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names.splitlines():
            if (ROOT / name).is_file():
                archive.write(ROOT / name, f"microseg-notebooks-main/{name}")


def versions(python: Path, names: list[str]) -> dict[str, str]:
    """Ask an environment for the versions of its packages."""
    code = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in "
    command = [python, "-c", code + "sys.argv[1:]}))", *names]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def run_notebook(path: str) -> None:
    """Run a notebook in this very Python, with the setup cell in front if it has none."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    setup = SETUP_CELL.read_text(encoding="utf-8").strip()
    before = [nbformat.v4.new_code_cell(FAKE_COLAB)]
    if not any(cell.source.strip() == setup for cell in notebook.cells):
        before.append(nbformat.v4.new_code_cell(setup))
    notebook.cells[:0] = before
    NotebookClient(notebook, timeout=1800, kernel_name="python3").execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            print(output.get("text", ""), end="")


def run_in_colab(python: Path, notebook: Path) -> bool:
    """Run the notebook beside an uploaded zip; tell whether it failed."""
    environment = {**os.environ, "MICROSEG_PRESET": "test"}
    environment.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as content:  # stands for Colab's /content
        zip_repository(Path(content) / "microseg-notebooks-main.zip")
        command = [python, __file__, "--inside", notebook]
        return subprocess.run(command, cwd=content, env=environment).returncode != 0


def check(python: Path, notebook: Path, names: list[str]) -> bool:
    """Run one notebook, say what happened, and tell whether all was well."""
    before, start = versions(python, names), time.perf_counter()
    failed = run_in_colab(python, notebook)
    after, minutes = versions(python, names), (time.perf_counter() - start) / 60
    moved = [f"{n}: {before[n]} -> {after[n]}" for n in names if before[n] != after[n]]
    print("versions moved: " + ", ".join(moved) if moved else "none of Colab's versions moved")
    print(f"{notebook.name} {'failed' if failed else 'ran'} in {minutes:.1f} min", flush=True)
    return not (failed or moved)


def main() -> int:
    """Build once, then run and compare for each notebook."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all")
    parser.add_argument("--python", default=sys.executable, help="Python to build on")
    parser.add_argument("--keep", action="store_true", help="use the environment built before")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        run_notebook(options.notebooks[0])
        return 0

    notebooks = options.notebooks or sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    notebooks = [path.resolve(strict=True) for path in notebooks]
    folder = ROOT / "build" / "colab"
    python = folder / "bin" / "python"
    if not (options.keep and python.exists()):
        python = build_environment(folder, options.python)
    names = [local_name(name) for name in read_constraints()]
    failed = [path.name for path in notebooks if not check(python, path, names)]
    print(f"{len(notebooks) - len(failed)} of {len(notebooks)} notebooks passed", *failed)
    return len(failed) > 0


if __name__ == "__main__":
    sys.exit(main())
