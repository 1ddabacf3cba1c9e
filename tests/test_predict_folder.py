"""A folder is predicted image by image; nothing is lost, overwritten or wrongly skipped."""

import csv
import errno
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image

from helpers.__main__ import main
from helpers.images import read_image, read_labels, read_pixel_size, write_image
from helpers.predict import (
    checks as predict_checks,
    folder as predict_folder,
    methods as predictor_methods,
)
from helpers.predict.folder import FACTS, TABLE
from helpers.predict.predictors import Predictor


def threshold_labels(model, image, settings):
    from scipy.ndimage import label

    return label(image > settings["threshold"])[0].astype(np.int32)


@pytest.fixture
def predictor(monkeypatch):
    """A model without a network: everything above a threshold, in pieces."""
    method = predictor_methods.Method("Threshold", None, threshold_labels, 100)
    monkeypatch.setitem(predictor_methods.METHODS, "fake", method)
    network = SimpleNamespace(
        inputs=[SimpleNamespace(shape=(None, None, None, 1))],
        get_weights=lambda: [np.ones(3)],
    )
    facts = {"axes": "YX", "dtype": "uint8", "low": 0, "high": 200, "pixel_size_um": [0.2, 0.2]}
    return Predictor("fake", network, {"threshold": 100}, facts)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "my_images"
    image = np.random.default_rng(0).integers(0, 50, (20, 30)).astype(np.uint8)
    image[2:6, 3:9] = 200
    image[10:15, 20:25] = 180
    write_image(folder / "a.tif", image, pixel_size_um=(0.2, 0.2))
    Image.fromarray(image).save(folder / "b.png")
    np.save(folder / "c.npy", image)
    return folder


def run(predictor, folder, *args, **options):
    lines = []
    outcomes = predict_folder.predict_folder(predictor, folder, *args, show=lines.append, **options)
    return {o.file: (o.status, o.note) for o in outcomes}, lines


def test_every_format_gives_labels_with_pixel_size(predictor, images):
    found, lines = run(predictor, images)
    out = images.with_name("my_images_fake")
    assert [status for status, _ in found.values()] == ["predicted"] * 3
    labels = read_labels(out / "a.tif")
    assert labels.max() == 2 and (labels > 0).sum() == 24 + 25
    assert read_image(out / "b.tif").dtype == np.uint16
    assert read_pixel_size(out / "a.tif") == pytest.approx((0.2, 0.2))
    assert read_pixel_size(out / "b.tif") is None
    assert len(lines) == 3 and lines[0].startswith("[1/3] a.tif: predicted, 2 objects")
    with (out / TABLE).open() as file:
        assert [row["objects"] for row in csv.DictReader(file)] == ["2", "2", "2"]
    assert sorted(p.name for p in images.iterdir()) == ["a.tif", "b.png", "c.npy"]


def test_resume_skips_what_is_done_and_only_that(predictor, images):
    out = images.with_name("out")
    run(predictor, images, out)
    (out / "b.tif").unlink()
    before = (out / "a.tif").stat().st_mtime_ns
    with pytest.raises(ValueError, match="--resume skips them"):
        run(predictor, images, out)
    found, lines = run(predictor, images, out, resume=True)
    assert [status for status, _ in found.values()] == ["skipped", "predicted", "skipped"]
    assert (out / "a.tif").stat().st_mtime_ns == before
    assert "skipped (has a result already)" in lines[0]


def test_other_models_settings_and_foreign_files_stay(predictor, images):
    out = images.with_name("out")
    run(predictor, images, out)
    other = replace(predictor, settings={"threshold": 120})
    for resume in (True, False):
        with pytest.raises(ValueError, match="another model or other settings"):
            run(other, images, out, resume=resume)
    mine = images.with_name("mine")
    mine.mkdir()
    (mine / "a.tif").write_text("my thesis")
    with pytest.raises(ValueError, match="holds other files, which stay"):
        run(predictor, images, mine, resume=True)
    assert (mine / "a.tif").read_text() == "my thesis"
    for bad in (images, images / "a.tif"):
        with pytest.raises(ValueError, match="give a(nother)? folder for the results"):
            run(predictor, images, bad)


def test_one_bad_image_does_not_stop_the_others(predictor, images):
    image = read_image(images / "a.tif")
    (images / "d.tif").write_bytes((images / "a.tif").read_bytes()[:300])
    tifffile.imwrite(images / "e.tif", np.stack([image, image // 2, image], -1), photometric="rgb")
    tifffile.imwrite(images / "f.tif", np.stack([image] * 3, -1), photometric="rgb")
    write_image(images / "g.tif", np.stack([image] * 5), axes="ZYX")
    write_image(images / "h.tif", np.stack([image] * 5), axes="TYX")
    np.save(images / "i.npy", np.where(image > 100, np.nan, image).astype(np.float32))
    np.save(images / "j.npy", np.full((9, 9), 7, np.uint8))
    np.save(images / "k.npy", image.astype(np.uint16))
    np.save(images / "l.npy", image > 100)
    Image.fromarray(image).save(images / "a.png")
    (images / "m.czi").write_bytes(b"no CZI")
    write_image(images / "n.tif", image, pixel_size_um=(1, 1))
    found, _ = run(predictor, images)
    for file, status, words in (
        ("a.png", "predicted", ""),
        ("a.tif", "failed", "has the same name as a.png: rename one"),
        ("d.tif", "failed", "damaged, cut off"),
        ("e.tif", "failed", "has 3 channels, the model takes grey: save one channel"),
        ("f.tif", "predicted", "three equal colour channels were read as one"),
        ("g.tif", "failed", "is a stack 5 x 20 x 30, this Threshold takes single planes"),
        ("h.tif", "failed", "is a time series 5 x 20 x 30: save one image per time point"),
        ("i.npy", "failed", "holds NaN or infinite values"),
        ("j.npy", "failed", "has the value 7 everywhere"),
        ("k.npy", "predicted", "uint16, trained on uint8"),
        ("l.npy", "predicted", "holds two values only: is it a mask?"),
        ("m.czi", "failed", "needs an optional reader"),
        ("n.tif", "predicted", "pixels of 1 um, in training 0.2 um: objects look 0.2 times"),
    ):
        assert found[file][0] == status, (file, found[file])
        assert words in found[file][1], (file, found[file])
        assert "\n" not in found[file][1]


def test_models_with_a_fixed_scale_say_when_grey_values_differ(predictor, images):
    fixed = replace(predictor, settings={"threshold": 1, "normalizer": {"constants": [0, 9]}})
    np.save(images / "dim.npy", (read_image(images / "a.tif") / 100).astype(np.float32))
    found, _ = run(fixed, images)
    assert "grey values span" in found["dim.npy"][1]
    assert found["a.tif"][1] == ""


def test_an_image_too_large_for_the_memory_is_refused_before_it_is_read(
    predictor, images, monkeypatch
):
    monkeypatch.setattr(predict_checks, "free_memory", lambda: 10_000)
    found, _ = run(predictor, images)
    status, note = found["a.tif"]
    assert status == "failed"
    assert note.startswith("is 20 x 30, which needs about 0 GB of memory")


def test_a_stack_model_refuses_planes(predictor, images):
    volume = SimpleNamespace(
        inputs=[SimpleNamespace(shape=(None, None, None, None, 1))], get_weights=lambda: []
    )
    found, _ = run(replace(predictor, model=volume), images)
    assert found["a.tif"] == ("failed", "is a plane 20 x 30, this Threshold takes stacks (Z, Y, X)")


def failing(predictor, monkeypatch, error):
    def fail(*args):
        raise error

    method = replace(predictor.method, predict=fail)
    monkeypatch.setitem(predictor_methods.METHODS, "fake", method)


def test_a_full_graphics_card_is_named(predictor, images, monkeypatch):
    class ResourceExhaustedError(Exception):
        pass

    failing(predictor, monkeypatch, ResourceExhaustedError("OOM when allocating\n[[node]]"))
    found, _ = run(predictor, images)
    assert found["a.tif"][1].startswith("the graphics card has too little memory")
    failing(predictor, monkeypatch, MemoryError())
    found, _ = run(predictor, images, images.with_name("second"))
    assert found["a.tif"][1] == "the memory does not suffice: cut the image into pieces"
    failing(predictor, monkeypatch, KeyError("x"))  # a bug is named as what it is
    found, _ = run(predictor, images, images.with_name("third"))
    assert found["a.tif"][1] == "KeyError: 'x'"


def test_a_full_disk_stops_at_once_and_leaves_no_half_file(predictor, images, monkeypatch, capsys):
    def full(path, labels, **options):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(predict_folder, "write_labels", full)
    monkeypatch.setattr(predict_folder, "load_predictor", lambda model: predictor)
    out = images.with_name("out")
    assert main(["predict", "model", str(images), "--out", str(out)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not list(out.glob("[!.]*.tif"))


def test_the_command(predictor, images, monkeypatch, capsys):
    monkeypatch.setattr(predict_folder, "load_predictor", lambda model: predictor)
    assert main(["predict", "model", str(images)]) == 0
    assert capsys.readouterr().out.endswith("3 predicted, 0 skipped, 0 failed\n")
    np.save(images / "d.npy", np.zeros((5, 5)))
    assert main(["predict", "model", str(images), "--resume"]) == 1
    assert capsys.readouterr().out.endswith("0 predicted, 3 skipped, 1 failed\n")
    assert main(["predict", "model", str(images)]) == 2
    assert "--resume skips them" in capsys.readouterr().err

    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(predict_folder, "predict_folder", stop)
    assert main(["predict", "model", str(images)]) == 130
    assert "--resume goes on" in capsys.readouterr().err


def test_results_that_can_hardly_be_right_are_named(predictor, images, monkeypatch):
    shape = (20, 30)
    for result, words in (
        (np.zeros(shape, int), "nothing was found"),
        (np.ones(shape, int), "nearly everything became an object"),
        (np.arange(600).reshape(shape), "objects have 1.0 pixels: is this model trained"),
    ):
        method = replace(predictor.method, predict=lambda *args, y=result: y)
        monkeypatch.setitem(predictor_methods.METHODS, "fake", method)
        found, _ = run(predictor, images, images.with_name(words[:9].strip()))
        assert words in found["a.tif"][1]


def test_facts_name_model_and_settings(predictor, images):
    import json

    run(predictor, images)
    facts = json.loads((images.with_name("my_images_fake") / FACTS).read_text())
    assert facts["method"] == "fake" and facts["settings"] == {"threshold": 100}
