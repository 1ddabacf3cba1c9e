"""Wrong inputs as a new user makes them: one clear message each, and nothing lost.

The numbers are those of docs/robustness.md; the rest of its table is tested where it says.
"""

import contextlib
import errno
import io
import re
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest

from data_download import resolve_dataset
from helpers import runs, short_errors
from helpers.datasets import load_dataset
from helpers.doctor import check_dataset, require_healthy
from helpers.images import write_image, write_labels
from helpers.runs import open_run
from helpers.stars import fit_patch_size
from helpers.viz import show_image


@pytest.fixture
def labels():
    labels = np.zeros((80, 90), np.int32)
    for k, (y, x) in enumerate(((10, 10), (10, 40), (40, 20), (50, 60)), start=1):
        labels[y : y + 15, x : x + 12] = k
    return labels


@pytest.fixture
def cells(tmp_path, labels):
    """A sound folder of six images; each test spoils one thing."""
    rng = np.random.default_rng(0)
    for i in range(6):
        moved = np.roll(labels, 7 * i, axis=1)
        image = 100 * (moved > 0) + rng.integers(0, 40, labels.shape)
        write_image(tmp_path / "cells" / "images" / f"{i}.tif", image.astype(np.uint16))
        write_labels(tmp_path / "cells" / "masks" / f"{i}.tif", moved)
    return tmp_path / "cells"


def start(folder, patch_size=32, **options):
    """The first cells of a notebook."""
    folder = resolve_dataset(str(folder))
    require_healthy(check_dataset(folder, task="instance", patch_size=patch_size, **options))
    return load_dataset(folder, seed=42)


def refusal(folder, **options):
    with pytest.raises((ValueError, OSError)) as caught:
        start(folder, **options)
    return str(caught.value)


def test_the_sound_folder_passes(cells):
    assert set(start(cells)) == {"train", "val", "test"}


def test_01_wrong_path_names_what_is_near(cells):
    message = refusal(cells.parent / "cels")
    assert message.startswith(f"the folder {cells.parent / 'cels'} does not exist.")
    assert "Did you mean cells?" in message
    assert "holds the folders images, masks" in refusal(cells / "train")


def test_02_misspelt_name_of_a_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "Did you mean nuclei" in refusal("nuclie")


def test_02_folder_beside_the_notebooks(cells, monkeypatch):
    (cells.parent / "notebooks").mkdir()
    monkeypatch.chdir(cells.parent / "notebooks")
    assert refusal("cells").endswith("where paths start: write '../cells'")
    assert set(start("../cells")) == {"train", "val", "test"}


def test_03_empty_folder(tmp_path):
    assert "holds no images in a known layout: expected are" in refusal(tmp_path)
    assert "the data have 1 error that" in refusal(tmp_path)


def test_04_a_file_instead_of_a_folder(cells):
    assert "is one file: put it into a folder" in refusal(cells / "images" / "0.tif")


def test_05_images_without_masks(cells):
    assert "holds images but no masks" in refusal(cells / "images")
    (cells / "masks" / "3.tif").rename(cells / "masks" / "x.tif")
    assert "images/3.tif: has no mask of the same name" in refusal(cells)


def test_06_colour(cells, labels):
    colour = np.stack([labels, labels * 2, labels + 1], -1).astype(np.uint8)
    write_image(cells / "images" / "0.tif", colour, overwrite=True)
    assert "images/0.tif: has 3 colour channels where grey is expected" in refusal(cells)


def make_stacks(cells, labels):
    for path in sorted(cells.glob("*/*.tif")):
        image = np.stack([labels + 1 if path.parent.name == "images" else labels] * 3)
        write_image(path, image.astype(np.uint16), overwrite=True)


def test_07_stacks_for_a_method_of_planes(cells, labels):
    make_stacks(cells, labels)
    message = refusal(cells, n_dimensions=2)
    assert "cells: 6 of 6 images are stacks (3D), and planes (2D) are expected here" in message
    stack = np.zeros((6, 80, 90))
    with pytest.raises(ValueError, match="take the part of a notebook that is for three dim"):
        show_image(None, stack)
    with pytest.raises(ValueError, match="take the 3D form of the method"):
        fit_patch_size([stack], (64, 64), divisor=(8, 8))


def test_08_mask_turned_or_of_another_size(cells, labels):
    write_labels(cells / "masks" / "0.tif", labels.T, overwrite=True)
    assert "images/0.tif: image has shape (80, 90), its mask (90, 80). Mend: turn" in refusal(cells)


def test_09_binary_mask_of_many_objects(cells, labels):
    for i in range(6):
        moved = np.roll(labels > 0, 7 * i, axis=1)
        write_labels(cells / "masks" / f"{i}.tif", moved.astype(np.int32), overwrite=True)
    message = refusal(cells)
    assert ".tif: one value (1) for" in message and "labels_from_mask(mask)" in message


def test_10_a_file_cut_off_and_pixels_that_are_no_numbers(cells):
    path = cells / "images" / "2.tif"
    path.write_bytes(path.read_bytes()[:2000])
    assert "images/2.tif: 2.tif cannot be read" in refusal(cells)
    image = np.random.default_rng(0).random((80, 90)).astype(np.float32)
    image[3, 4] = np.nan
    write_image(path, image, overwrite=True)
    assert "images/2.tif: 1 pixels are NaN" in refusal(cells)


def test_11_too_few_images(cells):
    for i in range(2, 6):
        (cells / "images" / f"{i}.tif").unlink()
        (cells / "masks" / f"{i}.tif").unlink()
    assert "its 2 images are too few sources" in refusal(cells)


def test_12_images_smaller_than_the_patch(cells):
    assert "image of 80 x 90 is smaller than the patch (128 x 128)" in refusal(
        cells, patch_size=128
    )


def test_13_empty_masks(cells, labels):
    for i in range(6):
        write_labels(cells / "masks" / f"{i}.tif", labels * 0, overwrite=True)
    assert "no mask has any object" in refusal(cells)


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_14_results_cannot_be_written(tmp_path, monkeypatch, number):
    monkeypatch.setenv("MICROSEG_RUNS", str(tmp_path / "runs"))
    run = open_run("cells", "stardist", params={"a": 1}, seed=1)
    (run.folder / "history.csv").write_text("loss\n1\n")

    def refuse(path, data):
        raise OSError(number, "no")

    monkeypatch.setattr(runs.Path, "write_bytes", refuse)
    with pytest.raises(OSError, match="set the environment variable MICROSEG_RUNS") as caught:
        open_run("cells", "stardist", params={"a": 2}, seed=1)
    assert caught.value.errno == number
    assert (run.folder / "history.csv").is_file()  # the earlier run lies where it was


def test_14_a_file_named_runs(tmp_path, monkeypatch):
    (tmp_path / "runs").write_text("")
    monkeypatch.setenv("MICROSEG_RUNS", str(tmp_path / "runs"))
    with pytest.raises(OSError, match="results cannot be written to"):
        open_run("cells", "stardist", params={}, seed=1)


def caught(function):
    try:
        function()
    except Exception as error:
        return short_errors.explain(error)


def test_15_which_errors_need_no_traceback(tmp_path):
    assert caught(lambda: resolve_dataset(tmp_path / "no")) == (True, "")
    assert caught(lambda: np.zeros(2) + np.zeros(3)) == (False, "")  # a bug: all is shown
    assert caught(lambda: {}["x"]) == (False, "")

    class ResourceExhaustedError(Exception):
        pass

    def fill_card():
        raise ResourceExhaustedError("OOM when allocating tensor")

    is_enough, hint = caught(fill_card)
    assert not is_enough and "CUDA_VISIBLE_DEVICES=-1" in hint
    cell = compile("data", "<cell>", "exec")
    assert caught(lambda: exec(cell, {})) == (True, short_errors.OUT_OF_ORDER)


def test_15_a_notebook_shows_one_line(tmp_path):
    nbclient = pytest.importorskip("nbclient")
    cells = [
        "from helpers.runtime import start_notebook\nfrom data_download import resolve_dataset\n"
        "start_notebook(seed=1, packages=('numpy',))",
        f"resolve_dataset('{tmp_path.as_posix()}/no')",
        "print(data)",
        "import numpy as np\nnp.zeros(2) + np.zeros(3)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", allow_errors=True
    )
    client.execute()
    errors = [
        [out for out in cell.outputs if out.output_type == "error"] for cell in notebook.cells
    ]
    assert [len(found) for found in errors] == [0, 1, 1, 1]  # still errors: Run All stops there
    shown = [re.sub(r"\x1b\[[\d;]*m", "", "\n".join(found[0].traceback)) for found in errors[1:]]
    assert ["Traceback" in text for text in shown] == [False, False, True]
    assert max(text.count("\n") for text in shown[:2]) <= 3
    assert "does not exist" in errors[1][0].evalue
    assert "a cell above that was not run" in notebook.cells[2].outputs[-1].text


# Each notebook as it stands, from its first cell on, with a wrong folder

NOTEBOOKS = sorted(Path(__file__).parents[1].joinpath("notebooks").glob("[0-9][0-9]_*.ipynb"))
WRONG = {
    "path": "does not exist",
    "empty": "no images in a known layout",
    "no masks": "no mask",
    "colour": "colour channels",
    "stacks": "images are stacks",
}
# What is no fault there: 01 shows all it finds and goes on, 02 needs no labels and has a check of
# its own for stacks, 05 takes stacks; 10 reads results, and looks at data where there are none.
FINE = {
    "01": ["colour", "stacks"],
    "02": ["no masks", "stacks"],
    "05": ["stacks"],
    "10": ["no masks", "colour", "stacks"],
}
CASES = [(k, path) for k in WRONG for path in NOTEBOOKS if k not in FINE.get(path.stem[:2], ())]


@pytest.fixture
def wrong(tmp_path, cells, labels, request):
    """The folder of six images, spoilt in one way."""
    if request.param == "path":
        return tmp_path / "cels"
    if request.param == "empty":
        (tmp_path / "empty").mkdir()
        return tmp_path / "empty"
    if request.param == "no masks":
        (cells / "masks").rename(tmp_path / "away")
    if request.param == "colour":
        for path in cells.glob("images/*.tif"):
            colour = np.stack([labels, labels * 2, labels + 1], -1).astype(np.uint8)
            write_image(path, colour, overwrite=True)
    if request.param == "stacks":
        make_stacks(cells, labels)
    return cells


def point_at(folder, source):
    line = f"DATASET = {str(folder)!r}"  # by a function: re.sub would read backslashes in it
    return re.sub('^DATASET = "[^"]*"', lambda _: line, source, flags=re.M)


def run_until_it_fails(path, folder):
    """Run the cells of a notebook up to its training, and return the error they end with."""
    names = {"display": lambda *shown: None}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.source.startswith("## Train"):
            break
        if cell.cell_type == "code":
            source = point_at(folder, cell.source)
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(source, "<cell>", "exec"), names)
            except Exception as error:
                return error
    return None


@pytest.mark.parametrize(
    ("wrong", "path"), CASES, indirect=["wrong"], ids=[f"{k}-{path.stem[:2]}" for k, path in CASES]
)
def test_each_notebook_refuses(wrong, path, request, tmp_path, monkeypatch):
    monkeypatch.setenv("MICROSEG_PRESET", "test")
    monkeypatch.setenv("MICROSEG_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(path.parent)
    with plt.rc_context():
        error = run_until_it_fails(path, wrong)
    plt.close("all")
    assert short_errors.explain(error) == (True, ""), error  # one message, no traceback
    assert WRONG[request.node.callspec.params["wrong"]] in str(error)
