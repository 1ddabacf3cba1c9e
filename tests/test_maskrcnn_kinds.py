import numpy as np

from helpers.maskrcnn.kinds import find_kinds, found_by_kind


def draw():
    """Return two touching squares, a square alone, and a U (lobed)."""
    labels = np.zeros((40, 60), np.int32)
    labels[2:12, 2:12], labels[2:12, 12:22] = 1, 4
    labels[2:12, 30:40] = 6
    labels[20:36, 5:25], labels[20:31, 10:20] = 7, 0
    return labels


def test_kinds():
    assert find_kinds(draw()) == {1: "touching", 4: "touching", 6: "alone", 7: "lobed"}


def test_corners_touch_and_empty_images_have_no_kinds():
    labels = np.zeros((12, 12), np.int32)
    labels[1:6, 1:6], labels[6:11, 6:11] = 1, 2
    assert find_kinds(labels) == {1: "touching", 2: "touching"}
    assert find_kinds(labels * 0) == {}


def test_shares_found():
    true = draw()
    fused = np.where(true == 4, 1, true)  # touching ones as one object
    table = found_by_kind([true], {"all": [true], "fused": [fused]})
    assert table["nuclei"].to_dict() == {"alone": 1, "touching": 2, "lobed": 1}
    assert (table["all"] == 1).all()
    assert table["fused"].to_dict() == {"alone": 1, "touching": 0, "lobed": 1}


def test_a_kind_that_does_not_occur_has_no_share():
    true = np.where(draw() == 6, 1, 0)
    assert np.isnan(found_by_kind([true], {"a": [true]})["a"]["lobed"])
