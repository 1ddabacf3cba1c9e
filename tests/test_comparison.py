from types import SimpleNamespace

import numpy as np
import pytest

from helpers.evaluation.comparison import (
    Difference,
    compare_with,
    explain_unfair,
    fair_groups,
    fold_seeds,
    image_table,
    list_unfair,
    paired_difference,
    score_interval,
)
from helpers.evaluation.rescore import RunScores
from helpers.metrics import score_dataset, score_mask_dataset

TRUE = np.repeat(np.arange(11), 4).reshape(1, -1)  # ten objects of four pixels


def scored(method, found, *, dataset="cells", data="d1", names=None, kind="labels"):
    """A run that finds so many of the ten objects of each image: AP is found / 10."""
    pred = [np.where(n >= TRUE, TRUE, 0) for n in found]
    score = score_dataset if kind == "labels" else score_mask_dataset
    names = names or [f"i{k}" for k in range(len(found))]
    run = SimpleNamespace(dataset=dataset, method=method, params={"data": {"fingerprint": data}})
    return RunScores(run, kind, score([TRUE] * len(found), pred, names=names))


def test_difference_is_taken_image_by_image():
    first, second = scored("a", [9, 8, 5]), scored("b", [7, 8, 6])
    pair = paired_difference(first, second)
    assert (pair.n, pair.n_better, pair.n_worse) == (3, 1, 1)
    assert pair.mean == pytest.approx((0.2 + 0.0 - 0.1) / 3)
    assert pair.low == pytest.approx(-0.1) and pair.high == pytest.approx(0.2)
    back = paired_difference(second, first)
    assert back.mean == pytest.approx(-pair.mean)
    assert (back.n_better, back.n_worse) == (1, 1)


def test_images_in_another_order_are_paired_by_name():
    first = scored("a", [9, 1], names=["x", "y"])
    second = scored("b", [1, 9], names=["y", "x"])
    assert paired_difference(first, second).mean == pytest.approx(0)
    assert paired_difference(first, second).n_better == 0


def test_equal_step_on_every_image_is_clear_although_scores_spread():
    found = np.arange(20) % 8
    pair = paired_difference(scored("a", found + 2), scored("b", found + 1))
    assert pair.low == pytest.approx(0.1) and pair.high == pytest.approx(0.1)
    assert pair.verdict == "better"


@pytest.mark.parametrize(
    ("n", "low", "high", "verdict"),
    [
        (1, np.nan, np.nan, "one image: no spread known"),
        (5, 0.1, 0.2, "better, but few images"),
        (20, 0.1, 0.2, "better"),
        (20, -0.2, -0.1, "worse"),
        (20, -0.1, 0.1, "not decided"),
        (20, 0.0, 0.1, "not decided"),
    ],
)
def test_verdicts(n, low, high, verdict):
    assert Difference(n, 0.1, low, high, 1, 0).verdict == verdict


def test_other_scores_can_be_compared():
    pair = paired_difference(scored("a", [10]), scored("b", [5]), score="recall_50")
    assert pair.mean == 0.5
    assert np.isnan(pair.low) and np.isnan(pair.high)


def test_one_image_has_no_interval():
    assert np.isnan(score_interval([0.5])).all()
    assert score_interval([0.5, 0.5]) == (0.5, 0.5)


def test_unfair_comparisons_are_refused_with_the_reason():
    run = scored("a", [9, 8])
    assert explain_unfair(run, scored("b", [1, 1])) is None
    with pytest.raises(ValueError, match="cells/a .n = 2. and cells/b .n = 1. cannot be"):
        paired_difference(run, scored("b", [9]))
    reasons = {
        "their test images differ: 2 and 1, 1 in common": scored("b", [9]),
        "their test images differ: 2 and 2, 1 in common": scored("b", [9, 9], names=["i0", "q"]),
        "the files of their data folders differ": scored("b", [9, 8], data="d2"),
        "one is scored on its labels, the other on its mask": scored("b", [9, 8], kind="mask"),
    }
    for reason, other in reasons.items():
        assert reason in explain_unfair(run, other)
        assert explain_unfair(other, run)


def test_groups_hold_what_compares_best_first():
    low, high, easy = scored("low", [2, 3]), scored("high", [9, 8]), scored("easy", [10])
    other = scored("other", [5], dataset="brains")
    groups = fair_groups([low, easy, high, other])
    assert list(groups) == ["brains", "cells", "cells (2)"]
    assert groups["cells"] == [high, low]
    assert groups["cells (2)"] == [easy]


def test_same_files_under_two_names_are_two_groups():
    assert list(fair_groups([scored("a", [1]), scored("a", [1], dataset="x")])) == ["cells", "x"]


def test_unfair_groups_of_one_data_set_are_listed():
    runs = [
        scored("a", [9, 8]),
        scored("b", [9]),
        scored("c", [7, 8]),
        scored("d", [1], dataset="x"),
    ]
    assert list_unfair(fair_groups(runs)).to_numpy().tolist() == [
        ["cells", "cells (2)", "their test images differ: 2 and 1, 1 in common"]
    ]
    assert list_unfair(fair_groups(runs[:1])).empty


def test_every_run_is_compared_with_the_chosen_one():
    groups = fair_groups([scored("a", [9, 9]), scored("b", [8, 8]), scored("c", [7, 7])])
    table = compare_with(groups)
    assert table["method"].tolist() == ["a", "a"]
    assert table["difference"].tolist() == pytest.approx([0.1, 0.2])
    assert compare_with(groups, "b")["difference"].tolist() == pytest.approx([-0.1, 0.1])
    assert compare_with(groups, "none")["method"].tolist() == ["a", "a"]
    assert compare_with({"cells": groups["cells"][:1]}).empty


def test_images_hard_for_all_come_first():
    group = [scored("a", [9, 2, 6]), scored("b", [1, 3, 5])]
    table = image_table(group)
    assert table.index.tolist() == ["i1", "i2", "i0"]
    assert table.columns.tolist() == ["a", "b"]
    assert table.loc["i0"].tolist() == [0.9, 0.1]


def test_the_median_run_stands_for_all_seeds():
    runs = [
        scored(f"unet_{name}_seed{seed}", [found])
        for name, seed, found in [("a", 1, 3), ("a", 2, 9), ("a", 12, 5), ("b", 1, 4), ("b", 2, 6)]
    ]
    other_images = scored("unet_a_seed3", [1, 1])
    chosen, spread = fold_seeds([*runs, other_images, scored("otsu", [2])])
    names = [result.run.method for result in chosen]
    assert names == ["unet_a_seed12", "unet_b_seed2", "unet_a_seed3", "otsu"]
    assert spread["method"].tolist() == ["unet_a_seed12", "unet_b_seed2"]
    assert spread["n_seeds"].tolist() == [3, 2]
    assert spread["seed_mean"].tolist() == pytest.approx([17 / 30, 0.5])
    assert spread["seed_sd"].tolist() == pytest.approx(
        [0.1 * np.std([3, 9, 5], ddof=1), 0.1 * 2**0.5]
    )
