"""From the name to the folder: fetch, manifest, verify, resolve, command."""

import hashlib
import io
import subprocess
import sys
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import tifffile

import data_download
from data_download import (
    datasets,
    fetch_dataset,
    fingerprint,
    read_manifest,
    resolve_dataset,
    verify_dataset,
    write_manifest,
)
from data_download.__main__ import main
from data_download.fetch import cache_folder
from data_download.manifest import format_toml

FACTS = {
    "title": 'Cells "A"',
    "modality": "fluorescence",
    "axes": "YX",
    "licence": "CC0",
    "source": "made in this test",
}
MASK = np.array([[0, 1, 1], [2, 0, 0]], np.uint16)


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    monkeypatch.setenv("MICROSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MICROSEG_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MICROSEG_BASE_URL", "http://127.0.0.1:1")


def tiff_bytes(array):
    stream = io.BytesIO()
    tifffile.imwrite(stream, array)
    return stream.getvalue()


@pytest.fixture
def archive(monkeypatch):
    """Put an archive in dsb2018's layout into the cache, with 10 training and 2 test images."""
    path = cache_folder() / "dsb2018" / "dsb2018.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as stream:
        for number in range(12):
            split = "train" if number < 10 else "test"
            image = np.full((2, 3), number, np.uint8)
            stem = f"{split}/images/{number:02d}.tif"
            stream.writestr(f"dsb2018/{stem}", tiff_bytes(image))
            stream.writestr(f"dsb2018/{stem.replace('images', 'masks')}", tiff_bytes(MASK))
    entries = datasets.load_registry()
    file = entries["dsb2018"].files[0]
    object.__setattr__(file, "sha256", None)
    monkeypatch.setattr(datasets, "load_registry", lambda: entries)
    return path


def fetch(name="dsb2018", to=None, **options):
    return fetch_dataset(name, to, progress=False, report=lambda line: None, **options)


def make_folder(folder):
    for split, number in (("train", 0), ("train", 1), ("test", 2)):
        for kind, array in (("images", MASK + number), ("masks", MASK)):
            path = folder / split / kind / f"{number}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, array)
    return folder


def test_fetch_brings_the_project_s_layout_and_a_manifest(archive, tmp_path):
    folder = fetch()
    assert folder == tmp_path / "data" / "dsb2018"
    facts = read_manifest(folder)
    # 15 % of 10 images, rounded to even
    assert {split: part["n"] for split, part in facts["splits"].items()} == {
        "train": 8,
        "val": 2,
        "test": 2,
    }
    assert facts["splits"]["val"]["from"] == "drawn with seed 42"
    assert facts["splits"]["test"]["from"] == "source"
    assert facts["seed"] == 42 and facts["axes"] == "YX" and "CC0" in facts["licence"]
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert facts["archives"] == [{"name": "dsb2018.zip", "sha256": sha256}]
    assert verify_dataset(folder) == []
    names = [p.stem for split in ("train", "val") for p in (folder / split / "images").iterdir()]
    assert sorted(names) == [f"{number:02d}" for number in range(10)]
    for image in folder.rglob("images/*.tif"):
        assert (tifffile.imread(image) == int(image.stem)).all()


def test_fetch_does_not_touch_the_archive_nor_leave_anything_else(archive, tmp_path):
    before = archive.read_bytes()
    fetch()
    assert archive.read_bytes() == before
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["dsb2018"]


def test_fetch_twice_gives_the_same_files(archive, tmp_path):
    one, two = fetch(to=tmp_path / "one"), fetch(to=tmp_path / "two")
    assert fingerprint(one) == fingerprint(two)
    assert fingerprint(fetch(to=tmp_path / "three", seed=7)) != fingerprint(one)


def test_existing_folder_is_kept_unless_overwrite(archive, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="mine exists already"):
        fetch(to=folder)
    assert (folder / "notes.txt").exists()
    (folder / "dataset.toml").write_text("pixel_size_um = [0.1, 0.1]")
    with pytest.raises(ValueError, match="mine is no data set made here, so it is not overwritten"):
        fetch(to=folder, overwrite=True)
    assert (folder / "notes.txt").exists()


def test_empty_folders_and_data_sets_made_here_can_be_overwritten(archive, tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    fetch(to=folder, overwrite=True)
    (folder / "notes.txt").write_text("spoils the fingerprint")
    fetch(to=folder, overwrite=True)
    assert verify_dataset(folder) == []


def test_old_folder_comes_back_if_the_new_one_cannot_take_its_name(tmp_path, monkeypatch):
    target = tmp_path / "made"
    target.mkdir()
    rename = Path.rename

    def refuse_new(self, to):
        if self.name == "new":
            raise PermissionError("in use")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuse_new)
    with pytest.raises(PermissionError), datasets.new_folder(target, overwrite=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_interrupted_fetch_leaves_nothing_and_keeps_the_old(archive, tmp_path, monkeypatch):
    folder = fetch()
    before = fingerprint(folder)

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "write_manifest", stop)
    for options in ({"to": tmp_path / "data" / "new"}, {"overwrite": True}):
        with pytest.raises(KeyboardInterrupt):
            fetch(**options)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["dsb2018"]
    assert fingerprint(folder) == before


def test_fetch_from_a_mirror_downloads_once(archive, tmp_path, monkeypatch, capsys):
    mirror = tmp_path / "mirror"
    cache_folder().rename(mirror)
    requested = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=mirror)

        def log_request(self, *arguments):
            requested.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("MICROSEG_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        for name in ("one", "two"):
            assert main(["fetch", "dsb2018", "--to", str(tmp_path / name)]) == 0
        server.shutdown()
    assert requested == ["/dsb2018/dsb2018.zip"]
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "two")
    assert "100%" in capsys.readouterr().err


def test_noisy_variant_shares_the_download(archive):
    facts = read_manifest(fetch("dsb2018_n10"))
    assert facts["archives"][0]["name"] == "dsb2018.zip" and facts["seed"] == 42
    assert sorted(path.name for path in cache_folder().iterdir()) == ["dsb2018", "pins.json"]


def test_unknown_name_gets_close_matches():
    with pytest.raises(ValueError, match=r"'dsb2081' is no data set\. Did you mean dsb2018"):
        fetch("dsb2081")


def test_fingerprint_is_the_sha256_of_sha256sum_lines(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_bytes(b"1")
    (tmp_path / "a").write_bytes(b"2")
    lines = [
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in (("a", b"2"), ("b/x", b"1"))
    ]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert fingerprint(tmp_path) == expected
    (tmp_path / ".hidden").write_bytes(b"3")
    (tmp_path / "dataset.toml").write_bytes(b"4")
    assert fingerprint(tmp_path) == expected
    (tmp_path / "a").rename(tmp_path / "c")
    assert fingerprint(tmp_path) != expected
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        fingerprint(tmp_path / "none")


def test_manifest_round_trip(tmp_path):
    facts = FACTS | {
        "pixel_size_um": [0.2, 0.1],
        "notes": "two\nlines, \\ and µm",
        "seed": None,
        "splits": {"train": {"from": "source"}},
        "archives": [{"name": "a.zip", "n": 1}, {"name": "b.zip", "n": 2}],
        "by_name": {"A b": [1, 2]},
    }
    write_manifest(make_folder(tmp_path), facts)
    read = read_manifest(tmp_path)
    expected = {key: value for key, value in facts.items() if key != "seed"}
    expected["splits"] = {"train": {"n": 2, "from": "source"}, "test": {"n": 1}}
    assert read == expected | {"fingerprint": fingerprint(tmp_path)}


def test_manifest_needs_facts_and_does_not_overwrite(tmp_path):
    with pytest.raises(ValueError, match="facts lacks licence"):
        write_manifest(tmp_path, {**FACTS, "licence": ""})
    write_manifest(tmp_path, FACTS)
    with pytest.raises(ValueError, match=r"dataset\.toml exists already"):
        write_manifest(tmp_path, FACTS)
    write_manifest(tmp_path, FACTS | {"title": "new"}, overwrite=True)
    assert read_manifest(tmp_path)["title"] == "new"


def test_toml_of_nested_tables():
    facts = {"t": {"x": {"n": 2}}, "a": 1, "l": [{"n": 3}]}
    assert format_toml(facts) == "a = 1\n\n[t]\n\n[t.x]\nn = 2\n\n[[l]]\nn = 3\n"


def damage(name):
    def remove(folder):
        (folder / "train/masks/0.tif").unlink()

    def add(folder):
        tifffile.imwrite(folder / "val_extra.tif", MASK)

    def change(folder):
        tifffile.imwrite(folder / "train/images/0.tif", MASK)
        tifffile.imwrite(folder / "train/images/0.tif", MASK + 9)

    def break_file(folder):
        (folder / "test/images/2.tif").write_bytes(b"II*\0")

    def crop(folder):
        tifffile.imwrite(folder / "test/masks/2.tif", MASK[:1])

    def to_float(folder):
        tifffile.imwrite(folder / "test/masks/2.tif", MASK.astype(np.float32))

    def to_3d(folder):
        tifffile.imwrite(folder / "test/images/2.tif", np.stack([MASK] * 5))

    def new_split(folder):
        (folder / "test").rename(folder / "val")

    return locals()[name]


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("remove", "train/images/0.tif has no mask"),
        ("add", "files were changed, added or removed"),
        ("change", "files were changed, added or removed"),
        ("break_file", "test/images/2.tif cannot be read"),
        ("crop", "test/masks/2.tif has shape (1, 3), its image (2, 3)"),
        ("to_float", "test/masks/2.tif holds float32, not integers"),
        ("to_3d", "test/images/2.tif has shape (5, 2, 3), which is not YX"),
        ("new_split", "test: 0 images, dataset.toml says 1"),
        ("new_split", "val: 1 images, dataset.toml says 0"),
    ],
)
def test_verify_finds_damage(tmp_path, name, finding):
    folder = make_folder(tmp_path / "set")
    write_manifest(folder, FACTS)
    assert verify_dataset(folder) == []
    damage(name)(folder)
    assert any(line.startswith(finding) for line in verify_dataset(folder))


def test_verify_needs_a_manifest(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no dataset\.toml"):
        verify_dataset(tmp_path)
    (tmp_path / "dataset.toml").write_text("a = ")
    with pytest.raises(ValueError, match="fetch the data set again"):
        verify_dataset(tmp_path)


@pytest.fixture
def samples(monkeypatch):
    """Stand in for the built-in samples: one that is made in no time."""
    calls = []

    def make_sample(name, to, *, seed=42, overwrite=False):
        calls.append((name, seed))
        write_manifest(make_folder(to), FACTS | {"seed": seed})
        return to

    module = type(sys)("data_download.samples")
    module.SAMPLES, module.make_sample = {"dots": None}, make_sample
    monkeypatch.setitem(sys.modules, "data_download.samples", module)
    return calls


def test_resolve_makes_a_sample_once_per_seed(samples, tmp_path):
    folder = resolve_dataset("dots")
    assert folder == resolve_dataset("dots") == tmp_path / "data" / "samples" / "dots"
    assert resolve_dataset("dots", seed=7) == tmp_path / "data" / "samples" / "dots_seed7"
    assert samples == [("dots", 42), ("dots", 7)]


def test_resolve_fetches_a_data_set_once(samples, archive, capsys):
    folder = resolve_dataset("dsb2018")
    assert verify_dataset(folder) == []
    archive.unlink()
    assert resolve_dataset("dsb2018") == folder


def test_resolve_returns_a_folder_as_it_is(samples, tmp_path):
    assert resolve_dataset(tmp_path) == tmp_path
    assert resolve_dataset(str(tmp_path)) == tmp_path


def test_resolve_knows_the_home_folder_and_names_files(samples, tmp_path, monkeypatch):
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells.npz").touch()
    with pytest.raises(ValueError, match=r"cells\.npz is one file: put it into a folder"):
        resolve_dataset(tmp_path / "cells.npz")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert resolve_dataset("~/cells") == tmp_path / "cells"


def test_resolve_names_the_choices(samples):
    with pytest.raises(ValueError, match=r"Did you mean dots\? Choices: dots, dsb2018, .*lucchi"):
        resolve_dataset("dosts")


def test_data_folder_is_the_project_s(monkeypatch, tmp_path):
    monkeypatch.delenv("MICROSEG_DATA")
    (tmp_path / "project" / "notebooks").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project" / "notebooks")
    assert data_download.data_folder() == tmp_path / "project" / "notebooks" / "data"
    (tmp_path / "project" / "pyproject.toml").touch()
    assert data_download.data_folder() == tmp_path / "project" / "data"


def test_command_list_and_show(samples, capsys):
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert "lucchi " in text and "samples (no network): dots" in text
    assert main(["show", "lucchi"]) == 0
    text = capsys.readouterr().out
    for part in ("licence     see source", "training.tif", "epfl.ch", "pinned on first", "0.005"):
        assert part in text


def test_command_fetch_sample_verify(samples, archive, tmp_path, capsys):
    assert main(["fetch", "dsb2018", "--to", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "pinned" in text and f"ready in {tmp_path / 'out'}" in text
    assert main(["verify", str(tmp_path / "out")]) == 0
    assert "complete and unchanged: train 8, val 2, test 2" in capsys.readouterr().out
    (tmp_path / "out" / "val" / "extra.txt").touch()
    assert main(["verify", str(tmp_path / "out")]) == 1
    assert "changed, added or removed" in capsys.readouterr().out
    assert main(["sample", "dots", "--to", str(tmp_path / "s"), "--seed", "3"]) == 0
    assert read_manifest(tmp_path / "s")["seed"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "luchi"], "'luchi' is no data set. Did you mean lucchi"),
        (["fetch", "dots"], "'dots' is a built-in sample, not a data set to fetch"),
        (["fetch", "nothing"], "'nothing' is no data set. Choices:"),
        (["sample", "dot"], "'dot' is no sample. Did you mean dots?"),
        (["verify", "nowhere"], "nowhere has no dataset.toml"),
    ],
)
def test_command_error_is_one_line(samples, capsys, arguments, message):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}") and error.count("\n") == 1


def test_command_failed_download_names_address_and_way_out(samples, capsys, monkeypatch):
    monkeypatch.setattr(data_download.fetch, "RETRIES", 0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert main(["fetch", "lucchi"]) == 2
    error = capsys.readouterr().err
    assert "http://127.0.0.1:1/lucchi/training.tif" in error and "Traceback" not in error


def test_command_runs_as_a_module():
    run = [sys.executable, "-m", "data_download", "frobnicate"]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 2 and "invalid choice" in done.stderr


def test_every_data_set_is_in_the_documentation():
    text = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    assert [name for name in datasets.load_registry() if f"`{name}`" not in text] == []


def test_every_task_is_one_that_the_data_doctor_knows(tmp_path):
    from importlib import import_module

    from data_download.samples import SAMPLES
    from helpers.doctor import check_dataset

    facts = [
        import_module(f"data_download.samples.{module}").FACTS for module, *_ in SAMPLES.values()
    ]
    tasks = {fact["task"] for fact in facts} | {
        entry.task for entry in datasets.load_registry().values()
    }
    assert tasks == {"instance", "semantic"}
    for task in tasks:
        check_dataset(tmp_path, task=task)
