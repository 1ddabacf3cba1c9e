"""A report is one file that holds what the run folder knows, of failed runs too."""

import base64
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from helpers.__main__ import main
from helpers.images import write_image, write_labels
from helpers.report import page, report_failures, write_report
from helpers.report.text import CITATIONS, WHAT, describe_method, find_kind
from helpers.runs import Run, open_run
from helpers.short_errors import NotebookEnd


class Tags(HTMLParser):
    """Checks that every tag is closed, and keeps what the page asks the network for."""

    def __init__(self, page):
        super().__init__()
        self.open, self.links, self.tags = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROSEG_RUNS", str(tmp_path / "runs"))
    labels = np.zeros((40, 50), np.int32)
    labels[5:15, 5:15], labels[20:35, 20:40] = 1, 2
    for name in ("a", "b", "c"):
        folder = tmp_path / "cells" / "test"
        write_image(folder / "images" / f"{name}.tif", (labels > 0).astype(np.float32))
        write_labels(folder / "masks" / f"{name}.tif", labels)
    run = open_run(
        tmp_path / "cells", "stardist", params={"steps": 10, "<b>": "<i>"}, seed=7,
        data_folder=tmp_path / "cells", test_names=["a", "b", "c"],
    )  # fmt: skip
    for name, found in (("a", labels), ("b", labels * (labels == 1)), ("c", labels * 0)):
        run.save_labels(name, found)
    return run


def finish(run, **changes):
    run.save_metrics(pd.DataFrame({"name": ["a", "b", "c"], "ap_50": [1, 0.5, 0.0]}))
    run.save_history({"loss": [3, 2], "val_loss": [3.5, 2.5], "val_ap": [0.1, 0.5]})
    settings = {"scores": {"ap_50": 0.5}, "baseline": {"method": "Otsu", "ap_50": 0.25}}
    return run.finish(**settings, n_test=3, seconds_train=61, seconds_predict=1, **changes)


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"base64,[^\"]+", "", page)))


def test_a_finished_run_has_a_report_that_stands_alone(run):
    finish(run)
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    tags = Tags(page)
    assert tags.open == [] and "script" not in tags.tags
    assert all(link.startswith("data:image/png;base64,") for link in tags.links)
    images = [base64.b64decode(link.split(",")[1]) for link in tags.links]
    assert len(images) == 4  # curve, scores, worst, best
    assert all(image.startswith(b"\x89PNG") for image in images)
    assert len(page) < 600_000
    text = text_of(page)
    for words in (
        "stardist on cells",
        "Finished.",
        "segmented with StarDist",
        "[1-2]",
        "arXiv:1806.03535",
        "Training took 61 s",
        "On 3 test images, scored once, the result was ap_50 0.500 (classical baseline, Otsu: "
        "ap_50 0.250)",
        "Worst test image: c, ap_50 0.000",
        "Best test image: a, ap_50 1.000",
        run.params["data"]["fingerprint"],
        run.params["versions"]["numpy"],
        "&lt;i&gt;",  # what users write is shown, not run
    ):
        assert words in text, words


def test_one_image_is_one_image(run):
    run.finish(scores={"iou": 0.5}, baseline={}, n_test=1, seconds_train=1, seconds_predict=1)
    text = text_of((run.folder / "report.html").read_text(encoding="utf-8"))
    assert "1 test image, one seed (7)" in text and "On 1 test image, scored once" in text
    assert "1 test images" not in text


def test_volumes_and_masks_and_large_images(run):
    from helpers.report.figures import MAX_SIDE, _one_plane

    true = np.zeros((3, 700, 900), np.int32)
    true[1, 600:650, 800:860] = 1
    image, shown, _ = _one_plane(true.astype(float), true, true)
    assert image.shape == (MAX_SIDE, MAX_SIDE)  # the part with the object
    assert shown.sum() == 50 * 60


def test_an_unfinished_run_says_where_it_stands(run, capsys):
    run.save_history({"loss": [3, 2, 1]})
    write_report(run.folder, error="in the cell that begins with: x = 1\nValueError: <bad>")
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "<b>Not finished</b>" in page and "after epoch 3" in page
    assert "ValueError: &lt;bad&gt;" in page
    assert main(["report", str(run.folder)]) == 0
    assert capsys.readouterr().out.strip() == str(run.folder / "report.html")
    assert main(["report", str(run.folder.parent)]) == 2
    assert "has no params.json: give a run folder" in capsys.readouterr().err


def test_damaged_tables_leave_a_section_out(run):
    (run.folder / "history.csv").write_text("")
    (run.folder / "metrics.csv").write_text("name,ap_50\n")
    page = write_report(run.folder).read_text(encoding="utf-8")
    assert "Learning curve" not in page and "Test images" not in page


def test_a_report_that_fails_costs_no_run(run, monkeypatch, capsys):
    def fail(folder):
        raise KeyError("x")

    monkeypatch.setattr(page, "write_report", fail)
    finish(run)
    assert "no report was written: KeyError" in capsys.readouterr().out
    assert Run(run.folder).summary["n_test"] == 3


def test_a_cell_that_fails_writes_the_report(run, monkeypatch):
    events = {}
    shell = SimpleNamespace(
        events=SimpleNamespace(register=events.__setitem__, unregister=lambda n, f: events.pop(n))
    )
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    report_failures(run.folder)
    cell = SimpleNamespace(raw_cell="train(model)\nmore()")
    good = SimpleNamespace(error_in_exec=None, error_before_exec=None, info=cell)
    bad = SimpleNamespace(error_in_exec=MemoryError("full"), error_before_exec=None, info=cell)
    events["post_run_cell"](good)
    end = SimpleNamespace(error_in_exec=NotebookEnd("done"), error_before_exec=None, info=cell)
    events["post_run_cell"](end)  # no failure
    assert not (run.folder / "report.html").exists()
    events["post_run_cell"](bad)
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "in the cell that begins with: train(model)\nMemoryError: full" in page
    finish(run)
    events["post_run_cell"](bad)  # a later cell is no concern of a finished run
    assert events == {}
    assert "MemoryError" not in (run.folder / "report.html").read_text(encoding="utf-8")


def test_every_method_has_words_and_papers():
    from helpers.predict.methods import METHODS

    assert set(CITATIONS) == set(WHAT) == set(METHODS)
    names = "n2v unet_baseline_4_seed1 stardist em_unet fpn_watershed afm_unet embedseg".split()
    names.append("mask_rcnn")
    assert [find_kind(name, None) for name in names] == list(CITATIONS)
    assert find_kind("embedseg_stardist", None) == "stardist"
    assert find_kind("mine", {"method": "n2v"}) == "n2v"
    text = describe_method(None, {"method": "mine", "seed": 3}, {})
    assert "with the method 'mine'." in text and "seed was 3" in text
