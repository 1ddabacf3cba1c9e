"""Which labels count, and patches in memory."""

import numpy as np
import pytest

from helpers.label_budget import (
    FRACTIONS,
    choose_labelled,
    choose_within_budget,
    count_labelled,
    cut_patches,
    divide_budget,
    draw_positions,
)


@pytest.mark.parametrize(
    ("n", "counts"),
    [
        (3800, [10, 19, 38, 76, 152, 304, 608, 1216, 2432, 3800]),
        (748, [2, 4, 7, 15, 30, 60, 120, 239, 479, 748]),
    ],
)
def test_counts_are_the_published_ones(n, counts):
    assert [count_labelled(n, fraction) for fraction in FRACTIONS] == counts


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan"), 2])
def test_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match="fraction is .*: give a share above 0"):
        count_labelled(100, fraction)


def test_fraction_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"of n = 40 is less than half a patch.*at least 0\.025"):
        count_labelled(40, 0.0025)


def test_choices_are_nested_within_a_seed():
    counts = [count_labelled(3800, fraction) for fraction in FRACTIONS]
    for seed in range(1, 6):
        chosen = [choose_labelled(3800, k, seed) for k in counts]
        for k, part in zip(counts, chosen, strict=True):
            assert len(set(part.tolist())) == k
            assert part.tolist() == chosen[-1][:k].tolist()
        assert sorted(chosen[-1].tolist()) == list(range(3800))


def test_seeds_give_different_subsets():
    subsets = [frozenset(choose_labelled(3800, 76, seed).tolist()) for seed in range(1, 6)]
    assert len(set(subsets)) == 5
    # two draws of 76 from 3800 share 76 * 76 / 3800 = 1.5 on average
    shared = [len(a & b) for a in subsets for b in subsets if a != b]
    assert max(shared) <= 8


def test_same_seed_gives_the_same_subset():
    assert choose_labelled(748, 15, 3).tolist() == choose_labelled(748, 15, 3).tolist()
    # worked out once with numpy.random.RandomState, whose numbers do not change
    assert choose_labelled(5, 5, seed=1).tolist() == [2, 1, 4, 0, 3]


@pytest.mark.parametrize("k", [-1, 6])
def test_more_labels_than_patches_are_refused(k):
    with pytest.raises(ValueError, match=f"k is {k}, but there are n = 5"):
        choose_labelled(5, k, seed=1)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9])
def test_budget_is_spent_and_neither_part_shrinks(share):
    parts = [divide_budget(k, val_share=share) for k in range(2, 500)]
    assert [sum(part) for part in parts] == list(range(2, 500))
    assert min(map(min, parts)) >= 1
    assert (np.diff(parts, axis=0) >= 0).all()
    assert parts[-1][1] == pytest.approx(share * 499, abs=1)


@pytest.mark.parametrize(
    ("k", "share", "message"),
    [(1, 0.2, "k is 1: .*give 2 or more"), (10, 0, "val_share is 0"), (10, 1, "val_share is 1")],
)
def test_impossible_budgets_are_refused(k, share, message):
    with pytest.raises(ValueError, match=message):
        divide_budget(k, val_share=share)


def test_validation_labels_are_paid_from_the_same_budget():
    chosen = {k: choose_within_budget(3800, 670, k, seed=2) for k in (10, 76, 304)}
    for k, (train, val) in chosen.items():
        assert len(train) + len(val) == k
        assert train.max() < 3800 and val.max() < 670
    for small, large in zip(chosen[10], chosen[76], strict=True):
        assert set(small) < set(large)
    others = choose_within_budget(3800, 670, 76, seed=3)
    for one, other in zip(chosen[76], others, strict=True):
        assert set(one) != set(other)
    train, val = choose_within_budget(100, 100, 20, seed=1, val_share=0.5)
    assert train.tolist() != val.tolist()


def test_budget_beyond_a_split_is_refused():
    with pytest.raises(ValueError, match="n_val is 3, but its part of k = 40 labels is 8"):
        choose_within_budget(100, 3, 40, seed=1)


# printed by scikit-learn 1.9.1: extract_patches_2d of an image of pixel numbers,
# max_patches=n, random_state=0
FROM_SCIKIT_LEARN = [
    ((256, 256), 128, 10, "47,58 117,39 67,87 103,88 9,81 21,25 36,77 87,72 70,9 88,115"),
    ((260, 347), 128, 10, "47,140 117,58 67,193 103,39 9,87 21,174 36,88 87,81 70,165 88,25"),
    ((130, 129), 128, 10, "0,0 1,1 0,0 1,0 1,0 2,0"),
    ((128, 131), 128, 10, "0,0 0,3 0,1 0,0"),
    ((128, 128), 128, 10, "0,0"),
    ((40, 50), 32, 5, "5,9 0,18 3,4 3,6 7,12"),
]


@pytest.mark.parametrize(("shape", "size", "n", "expected"), FROM_SCIKIT_LEARN)
def test_positions_are_those_of_scikit_learn(shape, size, n, expected):
    positions = draw_positions(shape, size=size, n=n, seed=0)
    assert " ".join(f"{y},{x}" for y, x in positions) == expected


@pytest.mark.parametrize(("size", "n"), [(0, 5), (8, 0), (-1, 5)])
def test_patches_without_pixels_are_refused(size, n):
    with pytest.raises(ValueError, match=f"size is {size} and n is {n}"):
        draw_positions((16, 16), size=size, n=n, seed=0)


def numbered(shape, first=0):
    """Return an image whose every pixel has another value."""
    return first + np.arange(np.prod(shape)).reshape(shape)


def test_patches_lie_at_the_positions_in_image_and_mask():
    images = [numbered((20, 30)), numbered((25, 20), 10_000)]
    masks = [image % 2 for image in images]
    patches, labels, source = cut_patches(images, masks, size=16, n_per_image=3, seed=5)
    assert patches.shape == labels.shape == (6, 16, 16)
    assert source.tolist() == [0, 0, 0, 1, 1, 1]
    for i, index in enumerate(source):
        y, x = draw_positions(images[index].shape, size=16, n=3, seed=5)[i % 3]
        assert patches[i, 0, 0] == images[index][y, x]
        assert patches[i, -1, -1] == images[index][y + 15, x + 15]
    assert (labels == patches % 2).all()


def test_seeds_move_the_patches_and_repeat_them():
    image = [numbered((64, 64))]
    cut = [cut_patches(image, image, size=16, seed=seed)[0] for seed in (1, 1, 2)]
    assert (cut[0] == cut[1]).all() and (cut[0] != cut[2]).any()


def test_labels_are_numbered_anew_in_each_patch():
    mask = np.zeros((8, 16), np.int64)
    mask[:, ::4] = np.array([7, 900, 3, 12])
    _, labels, _ = cut_patches([mask], [mask], size=8, n_per_image=9, seed=0)
    assert labels.dtype == np.int32 and labels.shape[0] == 9
    for patch in labels:
        assert np.unique(patch).tolist() == [0, 1, 2]


def test_colour_images_keep_their_channels():
    patches, labels, _ = cut_patches([np.ones((9, 9, 3), np.uint8)], [np.ones((9, 9), int)], size=8)
    assert patches.shape == (4, 8, 8, 3) and patches.dtype == np.uint8
    assert labels.shape == (4, 8, 8)


def test_small_images_are_refused_or_left_out():
    images = [np.zeros((8, 30)), np.ones((16, 16)), np.zeros((16, 15))]
    masks = [image.astype(int) for image in images]
    with pytest.raises(ValueError, match=r"images\[0\]: .*\(8, 30\).* 16 x 16 .*skip_small=True"):
        cut_patches(images, masks, size=16)
    patches, _, source = cut_patches(images, masks, size=16, skip_small=True)
    assert source.tolist() == [1] and patches.all()
    with pytest.raises(ValueError, match="none of 3 images holds a patch of 32 x 32"):
        cut_patches(images, masks, size=32, skip_small=True)


def test_pairs_that_do_not_fit_are_refused():
    image, mask = np.zeros((16, 16)), np.zeros((16, 16), int)
    with pytest.raises(ValueError, match="2 images and 1 masks"):
        cut_patches([image, image], [mask], size=8)
    with pytest.raises(ValueError, match=r"images\[0\] has shape \(16, 16\), its mask \(16, 15\)"):
        cut_patches([image], [mask[:, 1:]], size=8)
    with pytest.raises(ValueError, match="axes YX or YXC"):
        cut_patches([np.zeros((4, 16, 16))], [np.zeros((4, 16, 16), int)], size=8)
