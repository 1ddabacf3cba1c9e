"""The table of schemes, gains seed by seed, and the published curves."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from helpers.evaluation.rescore import RunScores
from helpers.evaluation.voidseg import (
    paired_gains,
    plot_gains,
    plot_label_curves,
    published_curves,
    scheme_table,
)
from helpers.metrics import score_dataset

TRUE = np.repeat(np.arange(11), 4).reshape(1, -1)  # ten objects of four pixels


def run(found, *, seed=1, **parameters):
    """A run that finds so many of ten objects: AP at 0.5 and SEG are found / 10."""
    params = {"parameters": parameters, "seed": seed}
    folder = SimpleNamespace(dataset="cells", method="m", params=params)
    scores = score_dataset([TRUE], [np.where(found >= TRUE, TRUE, 0)])
    return RunScores(folder, "labels", scores)


def table(scores):
    """Return runs of (scheme, seed, AP) as a table, all with ten labels."""
    rows = [("cells", "U-Net", scheme, 10, seed, 5, ap, ap) for scheme, seed, ap in scores]
    columns = "dataset network scheme n_labelled seed n_test ap_50 seg".split()
    return pd.DataFrame(rows, columns=columns)


def test_runs_without_scheme_are_left_out():
    found = scheme_table(
        [run(4, scheme="Baseline", n_labelled=10, seed=2), run(9, depth=3),
         run(6, scheme="Sequential", n_labelled=0, network="StarDist")]
    )  # fmt: skip
    assert found["scheme"].tolist() == ["Baseline", "Sequential"]
    assert found["network"].tolist() == ["U-Net", "StarDist"]
    assert found["ap_50"].tolist() == pytest.approx([0.4, 0.6])
    assert found["seed"].tolist() == [2, 1]
    assert scheme_table([]).empty


def test_gains_are_paired_by_seed():
    scores = [("Baseline", 1, 0.4), ("Baseline", 2, 0.6), ("Baseline", 3, 0.5),
              ("Sequential", 1, 0.5), ("Sequential", 2, 0.8), ("Sequential", 3, 0.45),
              ("Sequential", 4, 0.9)]  # fmt: skip
    row = paired_gains(table(scores)).iloc[0]
    assert (row.scheme, row.n, row.better) == ("Sequential", 3, 2)
    assert row["mean"] == pytest.approx((0.1 + 0.2 - 0.05) / 3)
    interval = ttest_rel([0.5, 0.8, 0.45], [0.4, 0.6, 0.5]).confidence_interval(0.95)
    assert (row.low, row.high) == pytest.approx((interval.low, interval.high))


def test_one_seed_has_no_interval_and_no_baseline_no_gain():
    one = paired_gains(table([("Baseline", 1, 0.4), ("Finetune", 1, 0.5)])).iloc[0]
    assert one["mean"] == pytest.approx(0.1)
    assert np.isnan(one.low) and np.isnan(one.high)
    assert paired_gains(table([("Finetune", 1, 0.5)])).empty
    assert paired_gains(table([("Baseline", 1, 0.4), ("Finetune", 2, 0.5)])).empty


@pytest.mark.parametrize(
    ("dataset", "noise", "score", "scheme", "n", "mean"),
    [
        ("DSB", 40, "ap_50", "Baseline", 76, 0.583),
        ("DSB", 40, "ap_50", "Finetune Sequential", 10, 0.599),
        ("DSB", 10, "seg", "Sequential", 10, 0.636),
        ("BBBC", 200, "ap_50", "Finetune", 748, 0.818),
    ],
)
def test_published_values(dataset, noise, score, scheme, n, mean):
    curves = published_curves(dataset=dataset, noise=noise, score=score)
    row = curves[(curves.scheme == scheme) & (curves.n_labelled == n)]
    assert row["mean"].tolist() == [mean]


def test_published_curves_are_complete_and_unknown_ones_refused():
    curves = published_curves()
    assert len(curves) == 40
    assert curves.groupby("scheme").n_labelled.apply(list).map(len).tolist() == [10] * 4
    with pytest.raises(ValueError, match="no published curve for DSB with noise 30"):
        published_curves(noise=30)


def test_plots_show_each_scheme_and_gain():
    scores = table([(s, k, a + 0.01 * k) for s, a in [("Baseline", 0.4), ("Sequential", 0.5)]
                    for k in (1, 2)])  # fmt: skip
    figure, axes = plt.subplots(1, 2)
    plot_label_curves(axes[0], scores, published=published_curves())
    names = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert names == ["published (DSB)", "Baseline", "Sequential"]
    plot_gains(axes[1], paired_gains(scores))
    assert axes[1].get_yticklabels()[0].get_text() == "Sequential, 10 labels (n = 2)"
    plt.close(figure)
