"""Drawings of other programs become label images that fit their images."""

import json

import numpy as np
import pytest

from helpers.__main__ import main
from helpers.annotations.masks_folder import make_masks
from helpers.export import write_imagej_rois
from helpers.export.geojson import write_geojson
from helpers.images import read_labels, read_pixel_size, write_image, write_labels


@pytest.fixture
def labels():
    labels = np.zeros((20, 30), np.int32)
    labels[2:8, 3:9], labels[10:15, 20:25] = 1, 2
    return labels


@pytest.fixture
def images(tmp_path, labels):
    for name in ("a", "b", "c.2"):
        write_image(tmp_path / "images" / f"{name}.tif", labels.astype("u2"), pixel_size_um=(1, 1))
    return tmp_path / "images"


def test_fiji_and_qupath(images, labels, tmp_path, capsys):
    drawings, out = tmp_path / "drawings", tmp_path / "masks"
    write_imagej_rois(drawings / "a.zip", labels)
    write_imagej_rois(drawings / "b_RoiSet.zip", labels)
    write_geojson(drawings / "c.2.geojson", labels)
    assert main(["masks", str(drawings), str(images), str(out)]) == 0
    assert "3 label images" in capsys.readouterr().out
    for name in ("a", "b", "c.2"):
        assert np.array_equal(read_labels(out / f"{name}.tif"), labels), name
    assert read_pixel_size(out / "a.tif") == (1, 1)
    assert main(["masks", str(drawings), str(images), str(out)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_labelme(images, labels, tmp_path):
    shape = {"label": "x", "shape_type": "rectangle", "points": [[3, 2], [8, 7]]}
    content = {"imageHeight": 20, "imageWidth": 30, "shapes": [shape], "imagePath": "a.tif"}
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn" / "a.json").write_text(json.dumps(content))
    make_masks(tmp_path / "drawn", images, tmp_path / "masks")
    assert np.array_equal(read_labels(tmp_path / "masks" / "a.tif"), labels == 1)
    content["imageHeight"] = 21
    (tmp_path / "drawn" / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"drawn on \(21, 30\), the image has \(20, 30\)"):
        make_masks(tmp_path / "drawn", images, tmp_path / "masks2")


def test_what_does_not_fit(images, labels, tmp_path):
    with pytest.raises(FileNotFoundError, match="check the path of the drawings"):
        make_masks(tmp_path / "no", images, tmp_path / "masks")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no drawings: expected are"):
        make_masks(tmp_path / "empty", images, tmp_path / "masks")
    write_imagej_rois(tmp_path / "drawn" / "x.zip", labels)
    with pytest.raises(FileNotFoundError, match="has no image named 'x'"):
        make_masks(tmp_path / "drawn", images, tmp_path / "masks")
    write_image(images / "x.tif", np.zeros((5, 20, 30), "u2"), axes="ZYX")
    with pytest.raises(ValueError, match="drawings on stacks"):
        make_masks(tmp_path / "drawn", images, tmp_path / "masks")
    write_image(images / "x.tif", np.zeros((9, 9), "u2"), overwrite=True)
    with pytest.raises(ValueError, match="covers no pixel of the image, which has 9 rows"):
        make_masks(tmp_path / "drawn", images, tmp_path / "masks")


def test_the_export_command(labels, tmp_path, capsys):
    write_labels(tmp_path / "a.tif", labels)
    out = str(tmp_path / "out")
    command = ["export", str(tmp_path / "a.tif"), "--out", out, "--to"]
    assert main([*command, "labels", "--pixel-size", "0.5"]) == 0
    assert read_pixel_size(tmp_path / "out" / "a.tif") == (0.5, 0.5)
    assert main([*command, "table", "--pixel-size", "small"]) == 2
    assert "give 0.2, or 0.5,0.2,0.2" in capsys.readouterr().err
    assert main([*command, "roi"]) == 0
    assert capsys.readouterr().out.endswith(f"1 files in {tmp_path / 'out'}\n")
