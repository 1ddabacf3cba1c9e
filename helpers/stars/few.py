"""StarDist from a few labelled patches: the settings that suit minutes on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.stars.training import OWN_LOOP, shorten_batch_norm_memory, train_stars, tune_thresholds

if TYPE_CHECKING:
    from stardist.models import StarDist2D

__all__ = ["train_few"]


def train_few(
    patches: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    val: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
    *,
    folder: str | Path,
    n_steps: int,
    depth: int = 4,
    filters: int = 16,
    batch_size: int = 4,
    augment: Callable | None = None,
    seed: int = 42,
) -> StarDist2D:
    """Make and train a 2D StarDist model, and choose its thresholds.

    Parameters
    ----------
    patches, labels : sequence of ndarray, YX
        Normalised labelled patches of equal shape; those without an object are left out.
    val : (images, labels)
        Normalised validation images: they choose checkpoint and thresholds.
    folder : path
        The run folder; the model lies in its folder ``model``.
    n_steps, batch_size : int
        Steps in all, and patches in a step.
    depth, filters : int
        Depth of the U-Net, and filters of its first level.
    augment : callable, optional
        ``image, labels = augment(image, labels)`` for each patch.
    seed : int
        Of the order of the patches.

    Returns
    -------
    stardist.models.StarDist2D

    Raises
    ------
    ValueError
        If no patch holds an object.
    """
    from stardist.models import Config2D, StarDist2D

    used = [i for i, y in enumerate(labels) if np.any(y)]
    if not used:
        raise ValueError("no labelled patch holds an object: give more patches, or another seed")
    config = Config2D(
        n_rays=32,
        grid=(2, 2),
        unet_n_depth=depth,
        unet_n_filter_base=filters,
        unet_batch_norm=True,
        train_patch_size=patches[0].shape,
        train_batch_size=batch_size,
        train_learning_rate=2e-3,
        train_dist_loss="iou",
        train_loss_weights=(1, 1),
        train_n_val_patches=16,
        **OWN_LOOP,
    )
    model = StarDist2D(config, name="model", basedir=str(folder))
    shorten_batch_norm_memory(model)
    train = [patches[i] for i in used], [labels[i] for i in used]
    train_stars(
        model, train, val, folder=folder, n_steps=n_steps, n_epochs=5, augment=augment, seed=seed
    )
    tune_thresholds(model, *val)
    return model
