"""What does denoising gain, and for how many labels? The VoidSeg question over many runs.

Runs that note a `scheme` and `n_labelled` among their parameters, as notebooks 03 and 04 write
them, are put into one table; published curves are at hand for comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from helpers.evaluation.rescore import RunScores

__all__ = [
    "paired_gains",
    "plot_gains",
    "plot_label_curves",
    "published_curves",
    "scheme_table",
]

_CURVES = Path(__file__).with_name("voidseg_curves.csv")
_COLUMNS = "dataset network scheme n_labelled seed n_test ap_50 seg".split()


def scheme_table(results: Sequence[RunScores]) -> pd.DataFrame:
    """Put all runs of a scheme into one table.

    Parameters
    ----------
    results : sequence of RunScores
        Scored runs; those without `scheme` and `n_labelled` in their parameters are left out.

    Returns
    -------
    DataFrame
        One row a run: ``dataset network scheme n_labelled seed n_test ap_50 seg``; scores are
        means over the test images.
    """
    rows = []
    for result in results:
        given = result.run.params.get("parameters", {})
        if result.kind != "labels" or not {"scheme", "n_labelled"} <= given.keys():
            continue
        mean = result.scores.summary()
        rows.append(
            {
                "dataset": result.run.dataset,
                "network": given.get("network", "U-Net"),
                "scheme": given["scheme"],
                "n_labelled": int(given["n_labelled"]),
                "seed": result.run.params["seed"],
                "n_test": len(result.scores.names),
                "ap_50": mean["ap_50"],
                "seg": mean["seg"],
            }
        )
    return pd.DataFrame(rows, columns=_COLUMNS)


def paired_gains(
    table: pd.DataFrame, *, reference: str = "Baseline", score: str = "ap_50"
) -> pd.DataFrame:
    """Compare schemes with the reference seed by seed.

    Parameters
    ----------
    table : DataFrame
        Of `scheme_table`.
    reference : str
        The scheme that the others are compared with.
    score : str
        Column of the table.

    Returns
    -------
    DataFrame
        One row for each data set, network, number of labels and scheme: `n` seeds that both
        have, `mean` of the differences, `low` and `high` of its 95 % interval, and `better`, the
        number of seeds with a higher score than the reference.

    Notes
    -----
    The runs of one seed share their labelled patches, which decide more than the scheme does;
    the difference leaves that out. Interval: Student's t over the seeds; NaN for one seed.
    """
    from scipy.stats import t

    keys = ["dataset", "network", "n_labelled"]
    rows = []
    for key, group in table.groupby(keys, sort=True):
        by_seed = group.pivot_table(index="seed", columns="scheme", values=score, sort=False)
        for scheme in by_seed.columns.drop(reference, errors="ignore"):
            if reference not in by_seed:
                continue
            gain = (by_seed[scheme] - by_seed[reference]).dropna()
            if gain.empty:
                continue
            reach = gain.std() / np.sqrt(len(gain)) * t.ppf(0.975, len(gain) - 1)
            bounds = (gain.mean() - reach, gain.mean() + reach)
            rows.append((*key, scheme, len(gain), gain.mean(), *bounds, int((gain > 0).sum())))
    return pd.DataFrame(rows, columns=[*keys, "scheme", "n", "mean", "low", "high", "better"])


def published_curves(
    *, dataset: str = "DSB", noise: int = 40, score: str = "ap_50"
) -> pd.DataFrame:
    """Return the published scores of the four U-Net schemes.

    Parameters
    ----------
    dataset : {"DSB", "BBBC"}
        DSB 2018 (128 x 128 patches, test set of 50 images) or BBBC004.
    noise : int
        Standard deviation of the added noise: 0, 10, 20, 40 for DSB; 150, 200 for BBBC.
    score : {"ap_50", "seg"}
        AP at IoU 0.5 or SEG.

    Returns
    -------
    DataFrame
        Columns ``scheme n_labelled mean``: means of five runs.

    Raises
    ------
    ValueError
        If there is no such curve.

    Notes
    -----
    Read from the figures of the authors' published notebooks, to about ±0.001 (VoidSeg, Prakash
    et al. 2020). Their split is over patches and their validation set larger than the labelled
    one, so the order of the schemes compares with other splits, the level does not.
    """
    curves = pd.read_csv(_CURVES)
    chosen = (curves.dataset == dataset) & (curves.noise == noise) & (curves.score == score)
    if not chosen.any():
        known = curves[["dataset", "noise"]].drop_duplicates().itertuples(index=False)
        names = ", ".join(f"{d} {n}" for d, n in known)
        raise ValueError(
            f"no published curve for {dataset} with noise {noise} and {score}: there are {names}, "
            "with ap_50 and seg"
        )
    return curves.loc[chosen, ["scheme", "n_labelled", "mean"]].reset_index(drop=True)


def plot_label_curves(ax, table: pd.DataFrame, *, score: str = "ap_50", published=None):
    """Draw the score over the number of labelled patches, a line for each scheme.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    table : DataFrame
        Of `scheme_table`, of one data set and network. Points are means over seeds, bars their
        standard deviation.
    score : str
        Column of the table.
    published : DataFrame, optional
        Of `published_curves`; drawn as thin dashed lines of the same colours.

    Returns
    -------
    matplotlib.axes.Axes
    """
    colors = {}
    for i, (scheme, group) in enumerate(table.groupby("scheme", sort=False)):
        stats = group.groupby("n_labelled")[score].agg(["mean", "std"])
        colors[scheme] = f"C{i}"
        x = stats.index * (1 + 0.02 * i)  # side by side, so that bars can be told apart
        ax.errorbar(
            x, stats["mean"], stats["std"].fillna(0), fmt="o-", ms=4, capsize=2, color=f"C{i}",
            label=scheme,
        )  # fmt: skip
    if published is not None:
        for scheme, group in published.groupby("scheme", sort=False):
            color = colors.get(scheme, "0.6")
            ax.plot(group.n_labelled, group["mean"], "--", color=color, linewidth=0.8)
        ax.plot([], [], "--", color="0.4", linewidth=0.8, label="published (DSB)")
    ax.set(xscale="log", xlabel="labelled patches of 128 x 128 pixels", ylabel=score)
    ax.legend(fontsize="x-small")
    return ax


def plot_gains(ax, gains: pd.DataFrame):
    """Draw the mean gain of each scheme over the reference with its interval.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    gains : DataFrame
        Of `paired_gains`, of one data set and network.

    Returns
    -------
    matplotlib.axes.Axes
    """
    rows = gains.reset_index(drop=True)
    for i, row in rows.iterrows():
        ax.plot([row.low, row.high], [i, i], color="0.5", linewidth=1.5)
        ax.plot(row["mean"], i, "o", color="black", ms=4)
    names = [f"{r.scheme}, {r.n_labelled or 'all'} labels (n = {r.n})" for r in rows.itertuples()]
    ax.axvline(0, color="black", linestyle="--", linewidth=1)
    ax.set(yticks=range(len(rows)), yticklabels=names, xlabel="gain over Baseline (AP at 0.5)")
    ax.invert_yaxis()
    return ax
