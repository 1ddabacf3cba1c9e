"""The files around the code agree: locks, conda file, kernel, links, make targets."""

import importlib.metadata
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = runpy.run_path(str(ROOT / "tools" / "lock.py"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("requirements.lock", "requirements-gpu.lock")
TARGETS = (
    "venv notebooks outputs test lint lab bench lock links colab-check conda-check e2e docs "
    "sweep cluster-check clean"
)
HEAVY = ("tensorflow", "keras", "matplotlib", "skimage", "pandas", "scipy", "stardist")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


# Locks and environment.yml


@pytest.mark.parametrize("tool", ["lock.py", "links.py"])
def test_written_files_are_in_step(tool):
    result = run(sys.executable, ROOT / "tools" / tool, "--check")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", LOCKS)
def test_lock_has_hashes_for_every_pin(name):
    entries = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", read(name), flags=re.M).strip())
    assert len(entries) > 100
    for entry in entries:
        pin, *hashes = (line.strip(" \\") for line in entry.splitlines())
        assert re.fullmatch(r"==[\w.!+]+", str(Requirement(pin).specifier)), pin
        assert hashes, pin
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes), pin


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_every_direct_dependency(name):
    locked = {canonicalize_name(Requirement(pin).name) for pin in LOCK["pins"](ROOT / name)}
    asked = [*PYPROJECT["project"]["dependencies"]]
    asked += PYPROJECT["project"]["optional-dependencies"]["test"]
    assert {canonicalize_name(Requirement(line).name) for line in asked} <= locked
    assert "tensorflow" in locked
    assert ("nvidia-cudnn-cu12" in locked) == (name == "requirements-gpu.lock")


def test_conda_file():
    conda = yaml.safe_load(read("environment.yml"))
    python, pip, steps = conda["dependencies"]
    assert (conda["name"], conda["channels"], pip) == ("microseg", ["conda-forge"], "pip")
    version = python.removeprefix("python=") + ".0"
    assert SpecifierSet(PYPROJECT["project"]["requires-python"]).contains(version)
    *pins, project = steps["pip"]
    assert pins == LOCK["pins"](ROOT / "requirements-gpu.lock")
    assert all(len(Requirement(pin).specifier) == 1 for pin in pins)
    assert project == "-e ."
    assert read("environment.yml") == LOCK["conda_file"]()
    assert "PIP_NO_DEPS=1 conda env create -f environment.yml" in read("environment.yml")


def test_project_can_be_built_where_pip_takes_no_dependencies():
    """environment.yml sets PIP_NO_DEPS, which pip applies to the build tools as well."""
    needs = map(Requirement, importlib.metadata.requires("hatchling"))
    needed = {need.name for need in needs if not need.marker or need.marker.evaluate()}
    given = {Requirement(line).name for line in PYPROJECT["build-system"]["requires"]}
    assert needed <= given, "add to [build-system] requires in pyproject.toml"


@pytest.mark.parametrize("name", [*LOCKS, "environment.yml", "pyproject.toml", "Makefile"])
def test_no_package_index_is_named(name):
    text = read(name).replace(PYPROJECT["project"]["urls"]["Repository"], "")
    assert re.findall(r"\w+://\S+|index-(?:url)|find-links|trusted-host|@ file", text) == []


# Kernel


def test_kernel_spec():
    spec = json.loads(read("tools/kernel/kernel.json"))
    assert spec["display_name"] == "microseg"
    assert spec["language"] == "python"
    assert spec["argv"] == ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    shared = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared == {"tools/kernel": "share/jupyter/kernels/microseg"}


def test_installed_kernel_is_that_of_this_environment():
    try:
        importlib.metadata.distribution("microseg-notebooks")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the project is not installed in this environment")
    from jupyter_client.kernelspec import get_kernel_spec

    spec = get_kernel_spec("microseg")
    assert Path(spec.resource_dir).is_relative_to(sys.prefix)
    assert spec.argv[1:] == json.loads(read("tools/kernel/kernel.json"))["argv"][1:]


# Import time


def test_import_of_helpers_is_cheap():
    def seconds():
        result = run(sys.executable, "-X", "importtime", "-c", "import helpers", cwd=ROOT)
        return int(re.search(r"\| +(\d+) \| helpers$", result.stderr, re.M)[1]) / 1e6

    assert min(seconds() for _ in range(3)) < 0.3


@pytest.mark.parametrize("package", ["helpers", "data_download"])
def test_import_loads_nothing_heavy(package):
    code = f"import sys, {package}; print([m for m in {HEAVY} if m in sys.modules])"
    assert run(sys.executable, "-c", code, cwd=ROOT).stdout.strip() == "[]"


# Links


def documents():
    """Yield (name, folder, text) of the Markdown files and the text of the notebooks."""
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]:
        yield path.name, path.parent, path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        yield path.name, path.parent, text


def linked_files(text):
    """Return the relative targets of links and pictures."""
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)|<(?:img|a)\b[^>]*(?:src|href)=\"([^\"]+)\"", text)
    names = [unquote(a or b).split("#")[0] for a, b in targets]
    return [name for name in names if name and not re.match(r"\w+:", name)]


def named_files(text):
    """Return the files of the project that a text names in backticks, such as `tools/lock.py`."""
    folders = "helpers|data_download|notebooks|tools|tests|benchmarks|docs"
    return re.findall(rf"`((?:{folders})/[\w./-]+\.[a-z]+)`", text)


@pytest.mark.parametrize("document", list(documents()), ids=lambda document: document[0])
def test_links_point_to_files(document):
    _, folder, text = document
    assert [name for name in linked_files(text) if not (folder / name).exists()] == []
    assert [name for name in named_files(text) if not (ROOT / name).exists()] == []


def test_links_are_found():
    text = 'See [a](docs/a.md#part "title"), ![b](b%20c.png), [c](https://x.org/d), [d](#top)'
    assert linked_files(text + ' <img width="9" src="e.png">') == ["docs/a.md", "b c.png", "e.png"]
    assert named_files("`tools/lock.py` and `runs/x.csv` and `helpers`") == ["tools/lock.py"]


def test_one_version():
    version = PYPROJECT["project"]["version"]
    assert yaml.safe_load(read("CITATION.cff"))["version"] == version
    assert re.search(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.M)[1] == version


def test_the_site_has_every_page():
    site = yaml.safe_load(read("mkdocs.yml"))
    shown = set(re.findall(r"[\w/]+\.(?:md|ipynb)", json.dumps(site["nav"])))
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("notebooks/*.ipynb")]
    assert shown == {path.relative_to(ROOT).as_posix() for path in pages}


# make: run in a copy, in a folder with a space in its name

needs_make = pytest.mark.skipif(
    os.name == "nt" or shutil.which("make") is None, reason="make is not installed"
)


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "my clone"
    for name in ("Makefile", "pyproject.toml", *LOCKS, "tools/kernel/kernel.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def make(folder, *arguments):
    kept = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "GPU")}
    return run("make", *arguments, cwd=folder, env={**kept, "LC_ALL": "C"})


def finish_environment(folder, lock):
    (folder / ".venv").mkdir()
    (folder / ".venv" / f".installed-{lock}").touch()


@needs_make
@pytest.mark.parametrize("target", TARGETS.split())
def test_make_builds_the_environment_once(copy, target):
    first = make(copy, "-n", target)
    assert first.returncode == 0, first.stderr
    assert ("-m venv" in first.stdout) == (target != "clean")
    finish_environment(copy, "requirements.lock")
    assert "-m venv" not in make(copy, "-n", target).stdout
    if target == "venv":
        assert "Nothing to be done" in make(copy, target).stdout


@needs_make
def test_make_builds_anew_when_the_lock_is_newer(copy):
    finish_environment(copy, "requirements.lock")
    stamp = copy / ".venv" / ".installed-requirements.lock"
    os.utime(stamp, (0, 0))
    assert "--require-hashes -r requirements.lock" in make(copy, "-n").stdout


@needs_make
def test_make_gpu(copy):
    assert "-r requirements-gpu.lock" in make(copy, "-n", "GPU=1").stdout
    assert "-r requirements.lock" in make(copy, "-n", "GPU=0").stdout
    finish_environment(copy, "requirements-gpu.lock")
    assert "Nothing to be done" in make(copy, "GPU=1").stdout
    assert "Nothing to be done" in make(copy).stdout  # an environment made with GPU=1 stays one


@needs_make
def test_make_refuses_an_old_python(copy):
    python = copy / "old-python"
    python.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; sys.version_info = (3, 9, 1); $2"\n'
    )
    python.chmod(0o755)
    result = make(copy, "PYTHON=./old-python")
    assert result.returncode == 2
    assert re.search(r"Python 3.11 to 3.13 is needed, .* is 3.9: make venv PYTHON=", result.stderr)
    assert not (copy / ".venv").exists()


@needs_make
@pytest.mark.parametrize("target", ["venv", "clean"])
def test_make_deletes_no_folder_that_is_not_an_environment(copy, target):
    (copy / "mine").mkdir()
    (copy / "mine" / "thesis.txt").write_text("years")
    result = make(copy, target, "VENV=mine", f"PYTHON={sys.executable}")
    assert result.returncode == 2
    assert "mine holds files but is no Python environment: give VENV another" in result.stderr
    assert (copy / "mine" / "thesis.txt").read_text() == "years"
    (copy / "mine" / "pyvenv.cfg").touch()
    assert make(copy, "clean", "VENV=mine").returncode == 0
    assert not (copy / "mine").exists()


def test_notebooks_and_leaderboard_mean_the_same_runs_folder(tmp_path, monkeypatch, capsys):
    main = runpy.run_path(str(ROOT / "tools" / "run_notebooks.py"))["main"]
    monkeypatch.setitem(main.__globals__, "select", lambda prefixes: [])
    monkeypatch.setattr(sys, "argv", ["run_notebooks.py"])
    monkeypatch.setenv("MICROSEG_RUNS", "out")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "leaderboard.csv").write_text("method,ap_50\nstardist,0.9\n")
    assert main() == 0
    assert "stardist  0.900" in capsys.readouterr().out
    assert os.environ["MICROSEG_RUNS"] == str(tmp_path / "out")  # kernels run in notebooks/


def test_makefile_lists_its_targets():
    assert re.search(r"^\.PHONY: (.*)$", read("Makefile"), re.M)[1].split() == TARGETS.split()


def test_ci_runs_make_test():
    assert re.search(r"^(exec )?make test$", read(".ci/run"), re.M)
    assert os.name == "nt" or os.access(ROOT / ".ci" / "run", os.X_OK)
