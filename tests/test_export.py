"""Outlines of known shapes, and ROI files that read back."""

import numpy as np
import pytest
from roifile import roiread

from helpers.export import outline_objects, write_imagej_rois


def area_of(points):
    x, y = points[:, 0], points[:, 1]
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


@pytest.fixture
def two_boxes():
    labels = np.zeros((20, 30), np.int32)
    labels[0:4, 0:10] = 1  # touches the corner of the image
    labels[10:16, 20:25] = 7
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


def test_rois_read_back(tmp_path, two_boxes):
    path = write_imagej_rois(tmp_path / "rois" / "a.zip", two_boxes)
    rois = roiread(path)
    assert [roi.name for roi in rois] == ["1", "7"]
    assert np.allclose(rois[1].coordinates(), outline_objects(two_boxes)[7], atol=0.01)


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
