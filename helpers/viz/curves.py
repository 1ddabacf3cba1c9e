"""Curves: training history and average precision over the IoU threshold.

Import these names from `helpers.viz`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd

__all__ = ["plot_ap_curve", "plot_history"]


def plot_history(
    ax, history: Mapping | pd.DataFrame, *, keys: Sequence[str] = ("loss", "val_loss")
):
    """Plot losses or scores over the epochs.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    history : mapping or DataFrame
        One list or column for each quantity; Keras' ``History.history`` or the table of
        ``history.csv``. The column ``epoch`` is used where there is one.
    keys : sequence of str
        Quantities to draw; those missing from the history are left out.

    Returns
    -------
    matplotlib Axes
        The same axes.

    Raises
    ------
    ValueError
        If the history holds none of the keys.
    """
    shown = [key for key in keys if key in history]
    if not shown:
        raise ValueError(
            f"history holds none of {list(keys)} but {list(history)}: name some of these in keys"
        )
    for key in shown:
        values = np.asarray(history[key], float)
        epochs = history["epoch"] if "epoch" in history else np.arange(1, values.size + 1)
        ax.plot(epochs, values, label=key, linestyle="-" if key.startswith("val_") else "--")
    ax.set(xlabel="epoch", ylabel=shown[0].removeprefix("val_"))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False)
    return ax


def plot_ap_curve(
    ax, curves: Mapping[str, pd.DataFrame], *, score: str = "ap", average: str = "mean"
):
    """Plot AP or F1 over the IoU threshold, one line a method.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    curves : mapping of str to DataFrame
        Name of the method and its ``DatasetScores.curve()``.
    score : {"ap", "f1"}
        What to plot.
    average : {"mean", "pooled"}
        Mean over images, or from counts summed over images.

    Returns
    -------
    matplotlib Axes
        The same axes.

    Raises
    ------
    ValueError
        If a curve has no such column.
    """
    column = f"{score}_{average}"
    for (name, curve), marker in zip(curves.items(), cycle("osD^vPX"), strict=False):
        if column not in curve:
            raise ValueError(
                f"the curve of {name} has columns {list(curve)}, not {column}: score is 'ap' "
                "or 'f1', average is 'mean' or 'pooled'"
            )
        ax.plot(curve["threshold"], curve[column], marker=marker, markersize=4, label=name)
    ax.set(xlabel="IoU threshold", ylabel=f"{score.upper()} ({average})", ylim=(0, 1))
    ax.legend(frameon=False)
    return ax
