"""Scores on validation images: for the choice of a checkpoint and of thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from helpers.embedseg.clustering import cluster_embeddings
from helpers.embedseg.predict import predict_raw
from helpers.embedseg.space import EmbeddingSpace
from helpers.training.loop import count_images

__all__ = ["EmbedAP", "smallest_object", "tune_embedseg_thresholds"]

IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)
GRID = {"foreground": (0.5, 0.4, 0.6, 0.3, 0.7, 0.8, 0.9), "seed": (0.9, 0.8, 0.7, 0.6, 0.5, 0.95)}


def smallest_object(labels: Sequence[np.ndarray]) -> int:
    """Return the pixels of the smallest training object, the published `min_size`; 0 if none.

    Objects cut by the frame count too; a fragment of a few pixels makes it useless.
    """
    sizes = [np.unique(y[y > 0], return_counts=True)[1] for y in labels]
    sizes = np.concatenate([*sizes, np.empty(0, int)])
    return int(sizes.min(initial=np.iinfo(int).max)) if sizes.size else 0


def tune_embedseg_thresholds(
    predictions: Sequence[np.ndarray],
    labels_true: Sequence[np.ndarray],
    space: EmbeddingSpace,
    *,
    grid: dict[str, Sequence] | None = None,
    **fixed,
) -> dict:
    """Choose the thresholds of `cluster_embeddings` on validation images.

    Parameters
    ----------
    predictions : sequence of ndarray, YXC or ZYXC
        Raw output for the validation images, never for those of the test set.
    labels_true : sequence of ndarray of int
        Their label images.
    space : EmbeddingSpace
        The one the network was trained with.
    grid : dict, optional
        Values to try for each option; all combinations are tried. By default seven of
        `foreground` (0.3 to 0.9) and six of `seed` (0.5 to 0.95).
    **fixed
        Options that stay, such as ``min_size=smallest_object(train_labels)``.

    Returns
    -------
    dict
        The best combination with the fixed options; use it as
        ``cluster_embeddings(raw, space, **best)``. Of equals, the nearest to the published
        0.5 and 0.9 wins.

    Raises
    ------
    ValueError
        If there are no images, or not as many predictions as labels.

    Notes
    -----
    The score is the AP averaged over images and the IoU thresholds 0.5, 0.6 … 0.9.
    """
    grid = GRID if grid is None else grid
    trials = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    options = [{**fixed, **trial} for trial in trials]
    return max(options, key=lambda one: _mean_ap(predictions, labels_true, space, one))


def _mean_ap(predictions, labels_true, space, options: dict) -> float:
    from helpers.metrics.datasets import score_dataset

    found = [cluster_embeddings(raw, space, **options) for raw in predictions]
    return float(score_dataset(labels_true, found, thresholds=IOUS).curve()["ap_mean"].mean())


class EmbedAP:
    """Score of a network on validation images, for choosing the best checkpoint.

    Parameters
    ----------
    images, labels : sequence of ndarray
        Normalised validation images and their labels, not augmented.
    space : EmbeddingSpace
        The one the network is trained with.
    seeds : sequence of float
        Seed thresholds to try: an early network reaches 0.9 nowhere, and thresholds are
        chosen on the same images at the end.
    max_pixels : int
        Only the first images up to this many pixels are used, at least one.
    **options
        Those of `predict_raw`.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        labels: Sequence[np.ndarray],
        space: EmbeddingSpace,
        *,
        seeds: Sequence[float] = (0.5, 0.7, 0.9),
        max_pixels: int = 3_000_000,
        **options,
    ):
        n_used = count_images(labels, max_pixels)
        self.images, self.labels = images[:n_used], labels[:n_used]
        self.space, self.seeds, self.options = space, seeds, options

    def __call__(self, model: Callable) -> dict[str, float]:
        """Return `val_ap`: AP averaged over images and IoU 0.5 to 0.9, at the best of `seeds`."""
        ndim = self.space.ndim
        raws = [predict_raw(model, x, ndim=ndim, **self.options) for x in self.images]
        scores = [_mean_ap(raws, self.labels, self.space, {"seed": seed}) for seed in self.seeds]
        return {"val_ap": max(scores)}
