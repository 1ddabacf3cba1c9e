"""An early alarm for networks that call everything background."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["check_collapse"]


def check_collapse(
    predictions: np.ndarray, targets: np.ndarray, *, threshold: float = 0.5
) -> str | None:
    """Return what is wrong and what to do if a network predicts all background.

    Made for a look after the first tens of steps, on a batch with foreground; it raises
    nothing for bad predictions, so that a training is never ended by it.

    Parameters
    ----------
    predictions : ndarray of float, any shape
        Predicted probability of foreground.
    targets : ndarray, as many values
        True mask, 0 and 1.
    threshold : float
        Probability from which a pixel counts as foreground.

    Returns
    -------
    str or None
        A message for the reader; None if the network calls at least a hundredth as many
        pixels foreground as there are, or if its probabilities rank foreground clearly
        higher, so that it needs no more than time.

    Raises
    ------
    ValueError
        If the numbers of values differ.

    Notes
    -----
    The rank is the chance that a foreground pixel has a higher probability than a background
    pixel (area under the ROC curve); 0.7 or more counts as learning.

    Examples
    --------
    >>> check_collapse(np.full(8, 0.01), np.eye(1, 8))[:48]
    'the network calls all 8 pixels background, but 1'
    """
    predictions, targets = np.ravel(predictions).astype(float), np.ravel(targets)
    if predictions.size != targets.size or not targets.size:
        raise ValueError(
            f"predictions hold {predictions.size} values and targets {targets.size}: give the "
            "prediction of the same pixels, at least one"
        )
    if not np.isfinite(predictions).all():
        return (
            "the network predicts values that are no numbers: lower the learning rate, take a "
            "loss with from_logits=True, and look for NaN in the images"
        )
    truth = targets > 0.5
    if not truth.any():
        return _explain_empty(float(targets.max()))
    enough = np.count_nonzero(predictions > threshold) >= 0.01 * np.count_nonzero(truth)
    if enough or (not truth.all() and _rank(predictions, truth) >= 0.7):
        return None
    return _explain_collapse(predictions, truth, threshold)


def _rank(predictions: np.ndarray, truth: np.ndarray) -> float:
    from scipy.stats import rankdata

    n_true, n_false = np.count_nonzero(truth), np.count_nonzero(~truth)
    return (rankdata(predictions)[truth].sum() / n_true - (n_true + 1) / 2) / n_false


def _explain_empty(largest: float) -> str:
    if largest > 0:
        return (
            f"the masks hold no value above {largest:.3g}: they must be 0 and 1, so do not divide "
            "them by 255 as images"
        )
    return (
        "the masks hold no foreground, so nothing can be said: look at a batch with objects, and "
        "if there is none, check that masks and images belong together"
    )


def _explain_collapse(predictions: np.ndarray, truth: np.ndarray, threshold: float) -> str:
    n_true, share = np.count_nonzero(truth), truth.mean()
    called = "all" if predictions.max() <= threshold else "nearly all"
    bias = f" ({math.log(share / (1 - share)):.2f})" if share < 1 else ""
    return (
        f"the network calls {called} {truth.size} pixels background, but {n_true} "
        f"({share:.1%}) are foreground; its highest probability is {predictions.max():.3g}. "
        "Stop and start again with: "
        f"(1) the output's bias at ln(f / (1 - f)) of the share f of foreground{bias}; "
        "(2) a loss that all background cannot please, DiceCrossentropy, from logits; "
        "(3) half or more of the patches centred on foreground; "
        "(4) a learning rate ten times lower, or rising over the first hundred steps; "
        "(5) another seed. Check first that images and masks lie on each other."
    )
