"""Outlines of known shapes, and files for other programs that read back."""

import json

import numpy as np
import pandas as pd
import pytest
from roifile import roiread

from helpers.annotations import read_geojson, read_imagej_rois
from helpers.export import outline_objects, trace_pieces, write_imagej_rois
from helpers.export.folder import export_folder
from helpers.export.geojson import write_geojson
from helpers.export.table import measure_labels
from helpers.images import read_image, read_labels, read_pixel_size, write_image, write_labels


def area_of(points):
    x, y = points[:, 0], points[:, 1]
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


@pytest.fixture
def two_boxes():
    labels = np.zeros((20, 30), np.int32)
    labels[0:4, 0:10] = 1  # touches the corner of the image
    labels[10:16, 20:25] = 7
    return labels


@pytest.fixture
def hard_shapes():
    """A ring around an island of its own, an object in two pieces, single pixels, neighbours."""
    labels = np.zeros((24, 30), np.int32)
    labels[2:13, 2:13] = 1
    labels[4:11, 4:11] = 0
    labels[6:9, 6:9] = 1
    labels[7, 7] = 2
    labels[16:20, 3:8] = 3
    labels[16:20, 20:23] = 3
    labels[0, 29], labels[23, 0] = 4, 5
    labels[16:20, 8:12], labels[20, 12] = 6, 6  # touches 3, and itself by a corner
    return labels


def test_outline_lies_on_the_pixel_edges(two_boxes):
    outlines = outline_objects(two_boxes)
    assert list(outlines) == [1, 7]
    assert outlines[1].min(axis=0).tolist() == [0, 0]
    assert outlines[1].max(axis=0).tolist() == [10, 4]  # x, y
    assert outlines[7].min(axis=0).tolist() == [20, 10]
    assert outlines[7].max(axis=0).tolist() == [25, 16]
    # Only the four corners are cut, each by an eighth of a pixel.
    assert area_of(outlines[1]) == pytest.approx(40 - 4 / 8)


def test_longest_outline_of_an_object_in_two_pieces(two_boxes):
    two_boxes[18, 0] = 7
    assert area_of(outline_objects(two_boxes)[7]) == pytest.approx(30 - 4 / 8)


def test_pieces_and_holes(hard_shapes):
    pieces = trace_pieces(hard_shapes)
    assert {number: [len(holes) for _, holes in found] for number, found in pieces.items()} == {
        1: [1, 1],
        2: [0],
        3: [0, 0],
        4: [0],
        5: [0],
        6: [0, 0],
    }


def test_rois_read_back(tmp_path, two_boxes):
    path = write_imagej_rois(tmp_path / "rois" / "a.zip", two_boxes)
    rois = roiread(path)
    assert [roi.name for roi in rois] == ["1", "7"]
    assert np.allclose(rois[1].coordinates(), outline_objects(two_boxes)[7], atol=0.01)
    back = read_imagej_rois(path, two_boxes.shape)
    assert back.classes == ("1", "7")
    assert np.array_equal(back.labels > 0, two_boxes > 0)
    assert np.array_equal(back.labels == 2, two_boxes == 7)


def test_rois_of_a_volume_know_their_slice(tmp_path, two_boxes):
    volume = np.stack([two_boxes * 0, two_boxes, two_boxes * (two_boxes == 7)])
    path = write_imagej_rois(tmp_path / "a.zip", volume)
    assert [(roi.name, roi.position) for roi in roiread(path)] == [
        ("1-z2", 2),
        ("7-z2", 2),
        ("7-z3", 3),
    ]
    with pytest.raises(ValueError, match="ROIs in several slices"):
        read_imagej_rois(path, two_boxes.shape)


def test_what_is_refused(tmp_path, two_boxes):
    write_imagej_rois(tmp_path / "a.zip", two_boxes)
    with pytest.raises(ValueError, match="exists already"):
        write_imagej_rois(tmp_path / "a.zip", two_boxes)
    with pytest.raises(ValueError, match=r"\.zip"):
        write_imagej_rois(tmp_path / "a.roi", two_boxes)
    with pytest.raises(ValueError, match="no object"):
        write_imagej_rois(tmp_path / "b.zip", two_boxes * 0)
    with pytest.raises(ValueError, match="axes YX"):
        outline_objects(np.zeros((2, 3, 4), int))


def test_geojson_reads_back_to_the_same_labels(tmp_path, hard_shapes):
    path = write_geojson(tmp_path / "a.geojson", hard_shapes, class_name="nucleus")
    back = read_geojson(path, hard_shapes.shape)
    assert np.array_equal(back.labels, hard_shapes)  # numbers 1 to 6, in their order
    assert back.classes == ("nucleus",) * 6
    assert read_geojson(path, hard_shapes.shape, classes=["tumour"]).labels.max() == 0


def test_geojson_has_what_qupath_reads(tmp_path, two_boxes):
    table = measure_labels(two_boxes, pixel_size_um=(0.5, 0.5))
    path = write_geojson(tmp_path / "a.geojson", two_boxes, measurements=table)
    first = json.loads(path.read_text())["features"][0]
    assert first["properties"]["objectType"] == "detection"
    assert first["properties"]["name"] == "1"
    assert first["properties"]["measurements"]["area_um2"] == 10
    ring = first["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]  # closed
    volume = np.stack([two_boxes * 0, two_boxes])
    path = write_geojson(tmp_path / "b.geojson", volume)
    planes = [f["geometry"]["plane"]["z"] for f in json.loads(path.read_text())["features"]]
    assert planes == [1, 1]
    empty = write_geojson(tmp_path / "c.geojson", two_boxes * 0)
    assert json.loads(empty.read_text())["features"] == []
    with pytest.raises(ValueError, match="exists already"):
        write_geojson(path, two_boxes)


def test_damaged_annotation_files(tmp_path):
    (tmp_path / "a.geojson").write_text('{"type": "Feat')
    with pytest.raises(ValueError, match="cannot be read as JSON"):
        read_geojson(tmp_path / "a.geojson", (5, 5))
    (tmp_path / "a.geojson").write_text('{"shapes": []}')
    with pytest.raises(ValueError, match="holds no GeoJSON features"):
        read_geojson(tmp_path / "a.geojson", (5, 5))
    (tmp_path / "a.zip").write_text("no zip")
    with pytest.raises(ValueError, match="cannot be read"):
        read_imagej_rois(tmp_path / "a.zip", (5, 5))


def test_measurements_of_known_shapes(two_boxes):
    image = np.where(two_boxes == 7, 50, 3).astype(np.uint16)
    image[10, 20] = 80
    table = measure_labels(two_boxes, image, pixel_size_um=(0.5, 0.5)).set_index("label")
    assert table["n_pixels"].to_dict() == {1: 40, 7: 30}
    assert table["area_um2"].to_dict() == {1: 10, 7: 7.5}
    assert (table.loc[7, "y"], table.loc[7, "x"]) == (12.5, 22)
    assert table["at_border"].to_dict() == {1: True, 7: False}
    assert table.loc[7, "diameter_um"] == pytest.approx(2 * np.sqrt(7.5 / np.pi))
    assert table.loc[7, "intensity_mean"] == 51
    assert table.loc[7, "intensity_sum"] == 1530
    assert (table.loc[7, "intensity_min"], table.loc[7, "intensity_max"]) == (50, 80)
    assert table["solidity"].tolist() == [1, 1]
    assert table.loc[1, "major_axis_um"] > 2 * table.loc[1, "minor_axis_um"]


def test_measurements_without_pixel_size_of_volumes_and_of_nothing(two_boxes):
    table = measure_labels(two_boxes)
    assert "area_um2" not in table and "diameter_px" in table
    volume = np.zeros((6, 8, 9), np.int32)
    volume[1:4, 2:5, 3:7] = 1
    volume[5, 0, 0] = 2
    row = measure_labels(volume, volume, pixel_size_um=(1, 0.5, 0.5)).iloc[0]
    assert row["volume_um3"] == 3 * 3 * 4 * 0.25
    assert (row["z"], row["y"], row["x"]) == (2, 3, 4.5)
    assert len(measure_labels(two_boxes * 0)) == 0
    with pytest.raises(ValueError, match=r"image has shape \(3, 3\)"):
        measure_labels(two_boxes, np.zeros((3, 3)))
    with pytest.raises(ValueError, match="one positive size each"):
        measure_labels(two_boxes, pixel_size_um=(1, 1, 1))


@pytest.fixture
def folder(tmp_path, two_boxes):
    for i in range(2):
        labels = two_boxes * (i == 0)
        write_labels(tmp_path / "run" / "labels" / f"{i}.tif", labels)
        image = two_boxes.astype(np.uint16)
        write_image(tmp_path / "raw" / f"{i}.tif", image, pixel_size_um=(0.2, 0.2))
    return tmp_path


def test_export_of_a_folder(folder, two_boxes):
    lines = []
    (path,) = export_folder(folder / "run", "table", images=folder / "raw", show=lines.append)
    table = pd.read_csv(path)
    assert path == folder / "run" / "labels_table" / "objects.csv"
    assert table["image"].tolist() == [0, 0]
    assert table["area_um2"].tolist() == pytest.approx([1.6, 1.2])
    assert table["intensity_max"].tolist() == [1, 7]
    assert lines == ["0.tif: 2 objects", "1.tif: 0 objects"]
    (path,) = export_folder(folder / "run" / "labels", "roi", folder / "out")
    assert path.name == "0.zip"
    first, second = export_folder(folder / "run", "geojson", folder / "out")
    assert (first.name, second.name) == ("0.geojson", "1.geojson")
    first, _ = export_folder(folder / "run", "labels", folder / "out", images=folder / "raw")
    assert read_pixel_size(first) == pytest.approx((0.2, 0.2))
    assert np.array_equal(read_labels(first), two_boxes)
    assert read_image(first).dtype == np.uint16


def test_export_never_overwrites_and_names_what_lacks(folder):
    export_folder(folder / "run", "geojson", folder / "out")
    for kind in ("geojson", "table"):
        export_folder(folder / "run", kind, folder / "out", overwrite=True)
        with pytest.raises(ValueError, match="exists already"):
            export_folder(folder / "run", kind, folder / "out")
    (folder / "raw" / "1.tif").unlink()
    with pytest.raises(FileNotFoundError, match="lacks an image of the name of 1.tif"):
        export_folder(folder / "run", "table", folder / "out2", images=folder / "raw")
    with pytest.raises(ValueError, match="kind is 'xml'"):
        export_folder(folder / "run", "xml")
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        export_folder(folder / "nothing", "roi")
