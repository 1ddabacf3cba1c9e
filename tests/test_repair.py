"""Repair of masks and label images."""

import numpy as np
import pytest
from skimage.segmentation import relabel_sequential

from helpers.doctor.repair import (
    fix_labels,
    labels_from_colours,
    labels_from_mask,
    relabel,
    split_pieces,
)

PIECES = np.array(
    [
        [4, 4, 0, 2],
        [4, 0, 0, 0],
        [0, 0, 4, 0],
        [2, 0, 0, 4],
    ]
)


def test_labels_from_mask_counts_corners_as_contact():
    mask = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 0], [255, 0, 255]], np.uint8)
    expected = [[1, 0, 0], [0, 1, 0], [0, 0, 0], [2, 0, 3]]
    found = labels_from_mask(mask)
    assert (found.dtype, found.tolist()) == (np.int32, expected)
    assert labels_from_mask(mask == 255).tolist() == expected


def test_labels_from_mask_of_a_volume():
    mask = np.zeros((3, 2, 2), bool)
    mask[0, 0, 0] = mask[2, 0, 0] = True
    assert labels_from_mask(mask).max() == 2


def test_split_pieces_gives_new_numbers_to_the_smaller_ones():
    # label 4: pieces of 3 and 2 pixels; label 2: two of 1, the first keeps the number
    assert split_pieces(PIECES).tolist() == [
        [4, 4, 0, 2],
        [4, 0, 0, 0],
        [0, 0, 5, 0],
        [6, 0, 0, 5],
    ]


def test_split_pieces_keeps_the_largest():
    assert split_pieces(PIECES, keep="largest").tolist() == [
        [4, 4, 0, 2],
        [4, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    assert PIECES[3, 3] == 4


def test_split_pieces_of_nothing_and_of_whole_labels():
    empty = np.zeros((3, 3), np.uint16)
    assert not split_pieces(empty).any()
    whole = np.array([[1, 1, 0, 5]])
    assert split_pieces(whole).tolist() == whole.tolist()
    with pytest.raises(ValueError, match="keep is 'first': give 'all' or 'largest'"):
        split_pieces(whole, keep="first")


@pytest.mark.parametrize("labels", [PIECES, np.array([[3, 9]]), np.zeros((2, 2), int)])
def test_relabel_agrees_with_scikit_image(labels):
    found = relabel(labels)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, relabel_sequential(labels)[0])


def test_colours_become_numbers():
    black, red, blue = (0, 0, 0), (200, 0, 0), (0, 0, 200)
    mask = np.array([[black, red], [blue, red]], np.uint8)
    assert labels_from_colours(mask).tolist() == [[0, 2], [1, 2]]
    assert labels_from_colours(mask[1:]).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param([[255, 0, 255]], [[1, 0, 2]], id="binary"),
        pytest.param([[7, 0, 7, 3]], [[2, 0, 3, 1]], id="pieces and gaps"),
        pytest.param([[-1, 0, 5, 2]], [[0, 0, 2, 1]], id="negative"),
        pytest.param([[0.0, 2.0, 9.0]], [[0, 1, 2]], id="whole floats"),
        pytest.param([[[0, 0, 0], [9, 0, 0], [0, 9, 0]]], [[0, 2, 1]], id="colours"),
        pytest.param([[0, 0]], [[0, 0]], id="empty"),
    ],
)
def test_fix_labels(labels, expected):
    found = fix_labels(np.array(labels))
    assert (found.dtype, found.tolist()) == (np.int32, expected)


def test_fix_labels_can_drop_splinters():
    assert fix_labels(PIECES, keep="largest").max() == 2


def test_fix_labels_refuses_probabilities():
    with pytest.raises(ValueError, match="whole numbers.*threshold"):
        fix_labels(np.array([[0.2, 0.7]]))
