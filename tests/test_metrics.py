"""Every score against results worked out by hand and against independent implementations."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import distance

from helpers import metrics
from helpers.metrics import (
    THRESHOLDS,
    bootstrap_interval,
    fit_gain_offset,
    match_objects,
    psnr,
    score_dataset,
    score_instances,
    score_mask_dataset,
    score_masks,
    ssim,
)


def strip(*runs, length=20):
    """Return a one-row label image from (id, start, stop) runs."""
    labels = np.zeros((1, length), np.int32)
    for label, start, stop in runs:
        labels[0, start:stop] = label
    return labels


def random_labels(seed, shape=(60, 70), n=25, size=14):
    """Return overlapping random boxes with ids that skip numbers."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for label in rng.choice(np.arange(1, 500), n, replace=False):
        corner = [int(rng.integers(0, s - 3)) for s in shape]
        window = tuple(slice(c, c + int(rng.integers(2, size))) for c in corner)
        labels[window] = label
    return labels


# ---------------------------------------------------------------- objects, by hand

EMPTY = strip()
TWO = strip((1, 0, 10), (2, 12, 16))


def test_a_perfect_prediction_scores_one_whatever_its_ids():
    s = score_instances(TWO, strip((70, 0, 10), (3, 12, 16)))
    assert s.tp.tolist() == [2] * 10 and s.fp.tolist() == s.fn.tolist() == [0] * 10
    for ratio in (s.ap, s.f1, s.precision, s.recall, s.matched_iou, s.pq, s.seg):
        assert np.all(ratio == 1)
    assert (s.merges, s.splits) == (0, 0)


def test_thresholds_are_the_ten_decimals():
    assert THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def test_a_shifted_object_matches_up_to_its_iou():
    # 10 pixels shifted by 2: 8 shared of 12, IoU 2/3; the second object is found exactly
    s = score_instances(TWO, strip((1, 2, 12), (2, 12, 16)))
    assert s.tp.tolist() == [2, 2, 2, 2, 1, 1, 1, 1, 1, 1]
    assert s.ap[[0, 4]] == pytest.approx([1, 1 / 3])
    assert s.f1[[0, 4]] == pytest.approx([1, 1 / 2])
    assert s.precision[4] == s.recall[4] == pytest.approx(1 / 2)
    assert s.matched_iou[[0, 4]] == pytest.approx([5 / 6, 1])
    assert s.pq[[0, 4]] == pytest.approx([5 / 6, 1 / 2])
    assert s.seg == pytest.approx(5 / 6)


def test_missed_and_false_objects():
    # one of two true objects is found, and two predictions hit nothing
    s = score_instances(TWO, strip((1, 0, 10), (2, 16, 18), (3, 18, 20)))
    assert (s.tp[0], s.fp[0], s.fn[0]) == (1, 2, 1)
    assert s.ap[0] == 1 / 4
    assert s.f1[0] == 2 / 5
    assert (s.precision[0], s.recall[0]) == (1 / 3, 1 / 2)
    assert s.pq[0] == 1 / 2.5
    assert s.seg == 1 / 2


@pytest.mark.parametrize("percent", range(50, 100, 5))
def test_an_iou_equal_to_the_threshold_matches(percent):
    truth = np.ones((1, 100), np.int32)
    pred = strip((1, 0, percent), length=100)
    just_less = strip((1, 0, percent - 1), length=100)
    assert score_instances(truth, pred, thresholds=[percent / 100]).tp == [1]
    assert score_instances(truth, pred).tp[(percent - 50) // 5] == 1
    assert score_instances(truth, just_less, thresholds=[percent / 100]).tp == [0]


def test_two_halves_at_exactly_half_give_one_match():
    # both halves have IoU 0.5 with the true object, which can be matched only once
    s = score_instances(strip((1, 0, 10)), strip((1, 0, 5), (2, 5, 10)))
    assert (s.tp[0], s.fp[0], s.fn[0]) == (1, 1, 0)
    assert s.iou_sum[0] == 0.5
    assert (s.merges, s.splits) == (0, 1)


def test_one_tie_among_many_objects_needs_no_table_of_all_pairs():
    n = 3000  # a table of all would take 72 MB
    truth = np.repeat(np.arange(1, n + 1), 10).reshape(n, 10)
    pred = truth.copy()
    pred[0, 5:] = n + 1  # the first object is cut into halves of IoU 0.5
    tracemalloc.start()
    s = score_instances(truth, pred, thresholds=[0.5])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (s.tp[0], s.fp[0], s.fn[0]) == (n, 1, 0)
    assert s.iou_sum[0] == pytest.approx(n - 0.5)
    assert peak < 20e6


def test_low_thresholds_choose_the_most_matches():
    # pred 1 touches both true objects, pred 2 only the first: the greedy choice of the best
    # pair (true 1, pred 1, IoU 6/13) would leave true 2 without a partner
    truth = strip((1, 0, 10), (2, 10, 14))
    pred = strip((2, 0, 4), (1, 4, 13))
    assert score_instances(truth, pred, thresholds=[0.2]).tp == [2]


@pytest.mark.parametrize(
    ("true", "pred", "expected"), [(EMPTY, EMPTY, 1), (EMPTY, TWO, 0), (TWO, EMPTY, 0)]
)
def test_empty_images_follow_the_rule(true, pred, expected):
    s = score_instances(true, pred)
    for ratio in (s.ap, s.f1, s.precision, s.recall, s.matched_iou, s.pq, s.seg):
        assert np.all(ratio == expected)
    assert (s.merges, s.splits) == (0, 0)


def test_seg_needs_more_than_half_of_the_true_object():
    truth = strip((1, 0, 10))
    assert score_instances(truth, strip((1, 0, 5))).seg == 0
    assert score_instances(truth, strip((1, 0, 6))).seg == 0.6
    # a prediction far too large still counts, with its low IoU
    assert score_instances(truth, strip((1, 0, 20))).seg == 0.5


def test_a_merge():
    # both true objects, 10 + 4 pixels, lie in one prediction of 16: IoU 10/16 and 4/16
    s = score_instances(TWO, strip((9, 0, 16)))
    assert (s.merges, s.splits) == (1, 0)
    assert (s.tp[0], s.fp[0], s.fn[0]) == (1, 0, 1)
    assert s.seg == pytest.approx((10 / 16 + 4 / 16) / 2)


def test_a_split():
    s = score_instances(strip((9, 0, 16)), TWO)
    assert (s.merges, s.splits) == (0, 1)
    assert (s.tp[0], s.fp[0], s.fn[0]) == (1, 1, 0)
    assert s.seg == 10 / 16


def test_specks_and_half_contained_objects_make_no_split():
    truth = strip((1, 0, 19))
    assert score_instances(truth, strip((1, 0, 18), (2, 18, 19))).splits == 0  # 1/19 < 0.1
    assert score_instances(truth, strip((1, 0, 17), (2, 17, 19))).splits == 1  # 2/19 >= 0.1
    # half of prediction 2 lies outside: it belongs to no true object
    assert score_instances(strip((1, 0, 10)), strip((1, 0, 8), (2, 8, 12))).splits == 0


def test_twelve_objects_in_one_prediction_are_one_merge():
    truth = strip(*[(k + 1, 2 * k, 2 * k + 1) for k in range(12)], length=24)
    s = score_instances(truth, strip((1, 0, 24), length=24))
    assert (s.merges, s.splits, s.tp[0], s.n_true) == (1, 0, 0, 12)


def test_ids_of_any_size_and_integer_type():
    big = TWO.astype(np.uint32)
    big[TWO == 2] = 2**32 - 1
    for true, pred in ((big, TWO.astype(np.uint8)), (TWO.astype(np.int64), big)):
        assert score_instances(true, pred).tp.tolist() == [2] * 10


def test_a_volume_scores_as_its_pixels():
    plane, other = random_labels(1), random_labels(2)
    flat = score_instances(plane, other).row()
    assert score_instances(plane.reshape(6, 10, 70), other.reshape(6, 10, 70)).row() == flat


# ---------------------------------------------------------------- objects, independently


def score_by_loop(true, pred, threshold):
    """Count matches (threshold above 0.5), SEG, merges and splits object by object."""
    tp, seg, ious = 0, 0.0, []
    ids_true, ids_pred = set(np.unique(true)) - {0}, set(np.unique(pred)) - {0}
    for a in ids_true:
        for b in ids_pred:
            shared = np.sum((true == a) & (pred == b))
            iou = shared / np.sum((true == a) | (pred == b))
            if iou >= threshold:
                tp += 1
                ious.append(iou)
            if shared > 0.5 * np.sum(true == a):
                seg += iou

    def count_gatherings(outer, inner):
        found = 0
        for a in set(np.unique(outer)) - {0}:
            inside = [np.sum((outer == a) & (inner == b)) for b in set(np.unique(inner)) - {0}]
            sizes = [np.sum(inner == b) for b in set(np.unique(inner)) - {0}]
            held = sorted(n for n, size in zip(inside, sizes, strict=True) if n > size / 2)
            found += len(held) > 1 and sum(held[:-1]) >= 0.1 * np.sum(outer == a)
        return found

    return {
        "tp": tp,
        "seg": seg / len(ids_true),
        "iou": np.mean(ious) if ious else 0,
        "merges": count_gatherings(pred, true),
        "splits": count_gatherings(true, pred),
    }


def perturbed(labels, seed):
    """Return a prediction with shifts, a split, a merge, and false objects."""
    pred = np.roll(labels, 1, axis=1)
    ids = np.unique(pred)[1:]
    pred[pred == ids[3]] = ids[4]
    pred[:, ::9][pred[:, ::9] > 0] += 1000
    return np.where(random_labels(seed, n=3) > 0, 2000, pred)


@pytest.mark.parametrize("seed", range(3))
def test_scores_agree_with_a_plain_loop(seed):
    true = random_labels(seed)
    pred = perturbed(true, seed + 10)
    s = score_instances(true, pred)
    for k in (1, 4, 8):
        expected = score_by_loop(true, pred, THRESHOLDS[k])
        assert s.tp[k] == expected["tp"]
        assert s.matched_iou[k] == pytest.approx(expected["iou"])
    assert s.seg == pytest.approx(expected["seg"])
    assert (s.merges, s.splits) == (expected["merges"], expected["splits"])
    assert s.tp[1] > 0


def test_scores_agree_with_stardist():
    from stardist.matching import matching

    for seed in range(4):
        true = random_labels(seed)
        pred = perturbed(true, seed + 10)
        ours = score_instances(true, pred)
        theirs = pd.DataFrame(matching(true, pred, THRESHOLDS))
        for name in ("tp", "fp", "fn", "f1", "precision", "recall"):
            assert getattr(ours, name) == pytest.approx(theirs[name].to_numpy(float)), name
        assert ours.ap == pytest.approx(theirs["accuracy"])
        assert ours.matched_iou == pytest.approx(theirs["mean_matched_score"], rel=1e-6)
        assert ours.pq == pytest.approx(theirs["panoptic_quality"], rel=1e-6)


def test_low_thresholds_match_as_many_objects_as_stardist():
    from stardist.matching import matching

    true = random_labels(0)
    pred = perturbed(true, 10)
    ours = score_instances(true, pred, thresholds=[0.1, 0.3])
    theirs = pd.DataFrame(matching(true, pred, (0.1, 0.3)))
    assert ours.tp.tolist() == theirs["tp"].tolist()
    # stardist also weighs pairs below the threshold when it breaks ties
    assert np.all(ours.matched_iou >= theirs["mean_matched_score"] - 1e-6)


def test_pooled_scores_agree_with_stardist():
    from stardist.matching import matching_dataset

    true = [random_labels(seed) for seed in range(3)]
    pred = [perturbed(labels, 5) for labels in true]
    ours = score_dataset(true, pred)
    options = {"thresh": 0.5, "show_progress": False}
    pooled = matching_dataset(true, pred, **options)
    mean = matching_dataset(true, pred, by_image=True, **options)
    for row, theirs in ((ours.pooled, pooled), (ours.mean, mean)):
        assert row["ap_50"] == pytest.approx(theirs.accuracy)
        assert row["f1_50"] == pytest.approx(theirs.f1)
        assert row["pq"] == pytest.approx(theirs.panoptic_quality, rel=1e-6)


# ---------------------------------------------------------------- objects, one by one


def test_each_object_gets_its_kind():
    truth = strip((1, 0, 4), (2, 5, 7), (3, 7, 9), (4, 10, 14), (5, 15, 17))
    pred = strip((9, 0, 4), (8, 5, 9), (7, 10, 12), (6, 12, 14), (5, 18, 20))
    true, found = match_objects(truth, pred)
    assert dict(zip(true["label"], true["kind"], strict=True)) == {
        1: "matched",
        2: "merged",
        3: "merged",
        4: "split",
        5: "missed",
    }
    assert dict(zip(found["label"], found["kind"], strict=True)) == {
        5: "false",
        6: "split",
        7: "split",
        8: "merged",
        9: "matched",
    }
    assert true.loc[0, ["partner", "iou", "area"]].tolist() == [9, 1.0, 4]
    assert true.loc[4, ["partner", "iou"]].tolist() == [0, 0.0]


def test_partners_are_the_true_positives_of_the_scores():
    true = random_labels(3)
    pred = perturbed(true, 13)
    for k in (0, 5):
        tables = match_objects(true, pred, iou=THRESHOLDS[k])
        for table in tables:
            assert (table["partner"] > 0).sum() == score_instances(true, pred).tp[k]


# ---------------------------------------------------------------- data sets


def two_images():
    # image a: two of two found; image b: one object of one missed, one false, in 3 pixels
    return [TWO, strip((1, 0, 3))], [TWO, strip((1, 10, 13))]


def test_mean_counts_images_and_pooled_counts_objects():
    scores = score_dataset(*two_images(), names=["a", "b"])
    assert scores.per_image["name"].tolist() == ["a", "b"]
    assert scores.per_image["ap_50"].tolist() == [1, 0]
    assert scores.mean["ap_50"] == 1 / 2
    assert scores.pooled["ap_50"] == 2 / 4
    assert scores.pooled["f1_50"] == 4 / 6
    assert scores.pooled["n_true"] == 3
    assert scores.pooled["seg"] == pytest.approx(2 / 3)
    assert scores.mean.index.equals(scores.pooled.index)


def test_summary_has_the_names_of_the_run_folder():
    summary = score_dataset(*two_images()).summary()
    assert list(summary) == "ap_50 ap_70 ap_90 f1_50 f1_70 f1_90 seg".split()
    assert all(type(value) is float for value in summary.values())
    assert summary["seg"] == 1 / 2


def test_curve_has_mean_and_pooled():
    curve = score_dataset([TWO, TWO], [TWO, strip((1, 2, 12), (2, 12, 16))]).curve()
    assert tuple(curve["threshold"]) == THRESHOLDS
    at = curve.set_index("threshold").loc[0.7]
    assert at["ap_mean"] == pytest.approx((1 + 1 / 3) / 2)
    assert at["ap_pooled"] == pytest.approx(3 / 5)
    assert at["f1_mean"] == pytest.approx((1 + 1 / 2) / 2)
    assert at["f1_pooled"] == pytest.approx(6 / 8)


def test_empty_images_never_make_the_mean_nan():
    scores = score_dataset([EMPTY, EMPTY, TWO], [EMPTY, TWO, EMPTY])
    assert scores.per_image["ap_50"].tolist() == [1, 0, 0]
    assert not scores.per_image.isna().any(axis=None)
    assert scores.pooled["ap_50"] == 0


def test_other_thresholds_give_other_columns():
    columns = score_dataset([TWO], [TWO], thresholds=[0.25, 0.5]).per_image.columns
    assert "ap_50" in columns and "ap_25" not in columns
    assert "ap_62.5" in score_dataset([TWO], [TWO], thresholds=[0.625]).per_image


def test_scores_at_other_thresholds_cannot_be_added():
    with pytest.raises(ValueError, match="same thresholds"):
        score_instances(TWO, TWO) + score_instances(TWO, TWO, thresholds=[0.5])


def test_bootstrap_interval_holds_the_mean_and_repeats():
    values = np.random.default_rng(0).normal(0.7, 0.1, 100)
    low, high = bootstrap_interval(values, seed=3)
    assert (low, high) == bootstrap_interval(values, seed=3)
    # the standard error is 0.01, so 95 % is about 0.04 wide
    assert low < values.mean() < high and high - low == pytest.approx(0.04, rel=0.2)
    assert bootstrap_interval([0.5]) == (0.5, 0.5)


# ---------------------------------------------------------------- masks


def test_mask_scores_by_hand():
    # tp 2, fp 1, fn 1, tn 4
    true, pred = np.array([1, 1, 1, 0, 0, 0, 0, 0]), np.array([0, 255, 255, 255, 0, 0, 0, 0])
    assert score_masks(true, pred) == pytest.approx(
        {
            "iou": 2 / 4,
            "iou_overall": (2 / 4 + 4 / 6) / 2,
            "dice": 4 / 6,
            "accuracy": 6 / 8,
            "mcc": (2 * 4 - 1 * 1) / np.sqrt(3 * 3 * 5 * 5),
            "precision": 2 / 3,
            "recall": 2 / 3,
        }
    )


def test_mask_scores_agree_with_scipy_and_numpy():
    rng = np.random.default_rng(0)
    true = rng.random((30, 40)) < 0.3
    pred = true ^ (rng.random(true.shape) < 0.1)
    scores = score_masks(true, pred)
    assert scores["iou"] == pytest.approx(1 - distance.jaccard(true.ravel(), pred.ravel()))
    assert scores["dice"] == pytest.approx(1 - distance.dice(true.ravel(), pred.ravel()))
    assert scores["accuracy"] == pytest.approx(1 - distance.hamming(true.ravel(), pred.ravel()))
    assert scores["mcc"] == pytest.approx(np.corrcoef(true.ravel(), pred.ravel())[0, 1])
    background = 1 - distance.jaccard(~true.ravel(), ~pred.ravel())
    assert scores["iou_overall"] == pytest.approx((scores["iou"] + background) / 2)


@pytest.mark.parametrize("fill", [0, 1])
def test_uniform_masks_follow_the_rule(fill):
    mask, other = np.full((4, 4), fill), np.full((4, 4), 1 - fill)
    assert set(score_masks(mask, mask).values()) == {1}
    assert set(score_masks(mask, other).values()) == {0}


def test_mcc_of_a_large_image_does_not_overflow():
    count = metrics.MaskScores(tp=2**31, fp=0, fn=0, tn=2**31)
    assert count.row()["mcc"] == 1


def test_pooled_masks_count_pixels():
    # image a: iou 1 of 1 pixel; image b: 1 of 3
    true, pred = [np.array([1, 0, 0, 0])] * 2, [np.array([1, 0, 0, 0]), np.array([1, 1, 1, 0])]
    scores = score_mask_dataset(true, pred, names=["a", "b"])
    assert scores.mean["iou"] == pytest.approx(2 / 3)
    assert scores.pooled["iou"] == pytest.approx(2 / 4)
    assert list(scores.summary()) == ["iou", "iou_overall", "dice", "mcc"]
    with pytest.raises(ValueError, match="no IoU threshold"):
        scores.curve()


# ---------------------------------------------------------------- denoising


def test_psnr_by_hand():
    clean = np.zeros((8, 8))
    assert psnr(clean, clean + 1, data_range=10) == pytest.approx(20)
    assert psnr(clean, clean + 0.1, data_range=10) == pytest.approx(40)
    assert psnr(clean, clean, data_range=10) == np.inf


def test_psnr_of_unsigned_images_does_not_wrap():
    clean, image = np.full((8, 8), 3, np.uint8), np.full((8, 8), 4, np.uint8)
    assert psnr(clean, image, data_range=10) == pytest.approx(20)


def test_ssim_by_hand():
    # constant images: no variance, so only the luminance term is left, with C1 = (0.01 L)²
    a, b, c1 = 2.0, 4.0, (0.01 * 10) ** 2
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    assert ssim(np.full((9, 9), a), np.full((9, 9), b), data_range=10) == pytest.approx(expected)
    image = np.random.default_rng(0).random((9, 9))
    assert ssim(image, image, data_range=1) == 1


def test_gain_and_offset():
    clean = np.random.default_rng(0).random((8, 8))
    image = 4 * clean - 2
    gain, offset = fit_gain_offset(clean, image)
    assert (gain, offset) == pytest.approx((0.25, 0.5))
    noisy = image + np.random.default_rng(1).normal(size=image.shape)
    fit = np.polyfit(noisy.ravel(), clean.ravel(), 1)
    assert fit_gain_offset(clean, noisy) == pytest.approx(tuple(fit))
    assert fit_gain_offset(clean, np.ones((8, 8))) == pytest.approx((0, clean.mean()))


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: score_instances(TWO, TWO[:, 1:]), r"\(1, 20\).*\(1, 19\)"),
        (lambda: score_instances(TWO > 0, TWO), "labels_true.*bool.*skimage.measure.label"),
        (lambda: score_instances(TWO, TWO / 2), "labels_pred.*float64"),
        (lambda: score_instances(TWO - 1, TWO), "labels_true has ids from -1"),
        (lambda: score_instances(TWO, TWO.astype(np.int64) << 32), "outside 0 to"),
        (lambda: score_instances(TWO, TWO, thresholds=[50]), "not percent"),
        (lambda: score_instances(TWO, TWO, thresholds=[]), "thresholds"),
        (lambda: match_objects(TWO, TWO, iou=0), "thresholds"),
        (lambda: score_dataset([TWO], []), "1 true images, 0 predictions"),
        (lambda: score_dataset([], []), "at least one image"),
        (lambda: score_dataset([TWO], [TWO], names=["a", "b"]), "2 names"),
        (lambda: score_dataset([TWO], [TWO.T], names=["cell 7"]), "image cell 7: .*shape"),
        (lambda: score_masks(TWO, TWO / 2), "mask_pred.*float64.*> 0.5"),
        (lambda: score_masks(TWO, TWO.T), "mask_true has shape"),
        (lambda: bootstrap_interval([]), "at least one finite"),
        (lambda: bootstrap_interval([0.1, np.nan]), "finite"),
        (lambda: bootstrap_interval([0.1], level=95), "0.95 means 95 %"),
        (lambda: psnr(TWO, TWO, data_range=0), "data_range must be positive"),
        (lambda: psnr(TWO, TWO.T, data_range=1), "clean has shape"),
        (lambda: fit_gain_offset(TWO, TWO * np.nan), "image holds NaN"),
        (lambda: ssim(TWO, TWO, data_range=1), r"win_size is 7.*\(1, 20\)"),
    ],
)
def test_errors_say_what_to_mend(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_importing_metrics_loads_nothing_heavy():
    code = "import sys, helpers.metrics; print([m for m in %r if m in sys.modules])"
    heavy = ("tensorflow", "keras", "stardist", "numba", "matplotlib", "skimage")
    done = subprocess.run([sys.executable, "-c", code % (heavy,)], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
