"""The parts of the Colab set-up that can be tested without building its environment.

The whole is tested by ``tests/colab/check.py`` (``make colab-check``).
"""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

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
            f"{prefix}helpers/colab.py", "def install_missing(): print('asked', __file__)"
        )


def test_cell_is_short():
    assert len(CELL.splitlines()) <= 16


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
        assert result.stdout.splitlines() == [f"asked {root / 'helpers' / 'colab.py'}", str(root)]


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
