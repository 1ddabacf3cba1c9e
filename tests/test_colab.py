"""The parts of the Colab set-up that can be tested without building its environment.

The whole is tested by ``tests/colab/check.py`` (``make colab-check``).
"""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from helpers import colab

ROOT = Path(__file__).parents[1]
CELL = (ROOT / "tools" / "setup_cell.py").read_text(encoding="utf-8")
CONSTRAINTS = (ROOT / "tests" / "colab" / "constraints.txt").read_text(encoding="utf-8")
FAKE_COLAB = "import sys, types; sys.modules['google.colab'] = types.ModuleType('google.colab')\n"


def run_cell(folder, before=""):
    return subprocess.run(
        [sys.executable, "-c", before + CELL + "\nprint(sys.path[0])"],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def upload(path, prefix):
    """A zip of a repository whose helpers only say that they were asked."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{prefix}helpers/__init__.py", "")
        archive.writestr(
            f"{prefix}helpers/colab.py", "def prepare(my_drive): print('asked', __file__, my_drive)"
        )


def test_cell_is_short():
    assert len(CELL.splitlines()) <= 18


def test_cell_names_the_address_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cells = [
        cell["source"]
        for path in (ROOT / "notebooks").glob("*.ipynb")
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if "setup" in cell["metadata"].get("tags", [])
    ]
    assert cells
    assert all(f'"{project["urls"]["Repository"]}"' in "".join(cell) for cell in cells)


@pytest.mark.parametrize("prefix", ["", "microseg-notebooks-main/"])
def test_in_colab_an_uploaded_zip_is_used(tmp_path, prefix):
    upload(tmp_path / "microseg-notebooks-main.zip", prefix)
    for _ in range(2):  # running the cell again does no harm
        result = run_cell(tmp_path, FAKE_COLAB)
        assert result.returncode == 0, result.stderr
        root = tmp_path / "microseg-notebooks" / prefix.strip("/")
        asked = f"asked {root / 'helpers' / 'colab.py'} False"
        assert result.stdout.splitlines() == [asked, str(root)]


def test_elsewhere_the_cell_changes_nothing_where_helpers_is_installed(tmp_path):
    result = run_cell(tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == ""  # sys.path[0] of python -c
    assert list(tmp_path.iterdir()) == []


def test_elsewhere_the_cell_finds_helpers_beside_the_notebooks(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    hide = "import importlib.util; importlib.util.find_spec = lambda name: None\n"
    assert run_cell(folder, hide).stdout.strip() == str(tmp_path)


def test_nothing_of_colab_is_ever_installed():
    constrained = set(re.findall(r"^([\w.-]+)==", CONSTRAINTS, re.M))
    assert {"numpy", "tensorflow", "keras"} <= constrained
    assert not constrained & set(colab.PACKAGES.values())


def test_every_package_has_a_version_in_the_lock(monkeypatch):
    monkeypatch.setattr(colab, "_is_installed", lambda module, name: False)
    pins = colab.missing_packages(ROOT / "requirements.lock")
    assert [pin.split("==")[0] for pin in pins] == list(colab.PACKAGES.values())
    assert "n2v==0.3.3" in pins


def test_only_missing_packages_are_named(tmp_path, monkeypatch):
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "# made by hand\n"
        "six==1.17.0 \\\n    --hash=sha256:00\n"
        "none-such==1.0 ; python_version < '3' \\\n    --hash=sha256:00\n"
        "none-such==2.0 ; python_version >= '3' \\\n    --hash=sha256:00\n"
    )
    monkeypatch.setattr(colab, "PACKAGES", {"six": "six", "none_such": "none-such"})
    assert colab.missing_packages(lock) == ["none-such==2.0"]
    monkeypatch.setattr(colab, "PACKAGES", {"no_such_thing": "no-such-thing"})
    with pytest.raises(ValueError, match="has no version of no-such-thing: run make lock"):
        colab.missing_packages(lock)


def test_install_takes_no_dependencies_along(monkeypatch, capsys):
    commands = []
    monkeypatch.setattr(colab, "missing_packages", lambda lock: ["n2v==0.3.3"])
    monkeypatch.setattr(colab.subprocess, "run", lambda command, check: commands.append(command))
    colab.install_missing()
    assert commands == [
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "n2v==0.3.3"]
    ]
    monkeypatch.setattr(colab, "missing_packages", lambda lock: [])
    colab.install_missing()
    assert len(commands) == 1
    assert capsys.readouterr().out == "installing n2v==0.3.3\n"


@pytest.fixture
def drive(tmp_path, monkeypatch):
    """A runtime of Colab whose drive is a folder, which outlives it."""

    def mount(path):
        (Path(path) / "MyDrive").mkdir(parents=True, exist_ok=True)

    google, fake = ModuleType("google"), ModuleType("google.colab")
    google.colab, fake.drive = fake, SimpleNamespace(mount=mount)
    monkeypatch.setitem(sys.modules, "google", google)
    monkeypatch.setitem(sys.modules, "google.colab", fake)
    for name in ("MICROSEG_RUNS", "MICROSEG_DATA"):
        monkeypatch.setenv(name, "gone")  # restored afterwards
    return tmp_path / "drive" / "MyDrive" / "microseg"


def test_drive_keeps_data_and_runs_and_a_lost_runtime_goes_on(drive, tmp_path, capsys):
    from data_download import data_folder
    from helpers.runs import open_run

    def start_runtime():
        os.environ["MICROSEG_RUNS"] = os.environ["MICROSEG_DATA"] = "gone"
        colab.use_drive(tmp_path / "drive")
        return open_run("cells", "stardist", params={"steps": 3}, seed=1)

    run = start_runtime()
    assert data_folder() == drive / "data"
    assert run.folder == drive / "runs" / "cells" / "stardist"
    run.save_history({"loss": [3, 2]})  # and then the runtime is lost
    again = start_runtime()
    assert again.folder == run.folder
    assert (again.folder / "history.csv").is_file()
    assert "moved" not in capsys.readouterr().out


def test_drive_is_used_only_when_asked_for(drive, monkeypatch):
    asked = []
    monkeypatch.setattr(colab, "install_missing", lambda: asked.append("install"))
    monkeypatch.setattr(colab, "use_drive", lambda: asked.append("drive"))
    colab.prepare(my_drive=False)
    assert asked == ["install"]
    colab.prepare(my_drive=True)
    assert asked == ["install", "install", "drive"]


def test_the_box_of_the_form_reaches_the_drive(tmp_path):
    upload(tmp_path / "microseg-notebooks.zip", "")
    cell = CELL.replace("MY_DRIVE = False", "MY_DRIVE = True")
    assert cell != CELL
    command = [sys.executable, "-c", FAKE_COLAB + cell]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-1] == "True"
