"""What the networks of FPN2-WS learn, and how: targets, batches, cold start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.targets import border_ridge, normalized_distance

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from helpers.augment_pipelines import Patches
    from helpers.fpn_loss import ValidationLoss

__all__ = [
    "fpn_targets",
    "patch_batches",
    "patch_validation",
    "set_encoder_trainable",
    "train_fpn",
]

MAPS_OF = {"distance": [0], "border": [1], "distance_border": [0, 1]}
"""Which targets each network of :func:`helpers.fpn.build_networks` learns."""

DECODER = tuple(
    "fpn_stage segm_stage upsampling_stage aggregation pyramid_dropout final_ head_conv".split()
)


def fpn_targets(labels: np.ndarray) -> np.ndarray:
    """Return what the networks learn of label images.

    Parameters
    ----------
    labels : ndarray of int, YX or NYX
        Label images.

    Returns
    -------
    ndarray of float32, YX2 or NYX2
        :func:`~helpers.targets.normalized_distance` and
        :func:`~helpers.targets.border_ridge` with a blur of one pixel.
    """
    if np.ndim(labels) == 3:
        return np.stack([fpn_targets(one) for one in labels])
    return np.stack([normalized_distance(labels), border_ridge(labels)], axis=-1)


def patch_batches(
    patches: Patches, *, batch_size: int = 16, seed: int = 0, network: str = "distance_border"
) -> Callable[[int], Iterator[tuple]]:
    """Return the batches of a training, made of patches.

    Parameters
    ----------
    patches : Patches
        Of :func:`helpers.augment_pipelines.augment_many`.
    batch_size : int
        Patches in a batch (paper: 16).
    seed : int
        Seed of the order.
    network : {"distance", "border", "distance_border"}
        Whose targets: the names of :func:`helpers.fpn.build_networks`.

    Returns
    -------
    callable
        ``batches(epoch)`` for :func:`train_fpn`: endless ``(x, y, weight)``; every patch comes
        once before one comes again, in an order that depends on seed and epoch.

    Raises
    ------
    ValueError
        If there are no patches, or `network` is unknown.
    """
    _check_patches(patches, batch_size, network)

    def batches(epoch: int) -> Iterator[tuple]:
        rng, order = np.random.default_rng([seed, epoch]), np.empty(0, int)
        while True:
            while len(order) < batch_size:
                order = np.concatenate([order, rng.permutation(len(patches.images))])
            chosen, order = order[:batch_size], order[batch_size:]
            yield _examples(patches, chosen, network)

    return batches


def patch_validation(
    patches: Patches, *, network: str = "distance_border", loss: str | Callable = "mse"
) -> ValidationLoss:
    """Return the validation of a training: the loss on patches of validation images.

    Parameters
    ----------
    patches : Patches
        Of validation images, best made by a recipe without the groups of the pipeline.
    network, loss
        As in :func:`patch_batches` and :func:`train_fpn`.

    Returns
    -------
    ValidationLoss
        ``validate`` of :func:`train_fpn`.

    Raises
    ------
    ValueError
        If there are no patches, or `network` is unknown.
    """
    from helpers.fpn_loss import ValidationLoss

    _check_patches(patches, 1, network)
    return ValidationLoss(*_examples(patches, slice(None), network), loss=loss)


def _examples(patches: Patches, chosen: np.ndarray | slice, network: str) -> tuple:
    x = patches.images[chosen].astype(np.float32) / 255
    y = fpn_targets(patches.labels[chosen])[..., MAPS_OF[network]]
    return x[..., None] if x.ndim == 3 else x, y, patches.weights[chosen]


def _check_patches(patches: Patches, batch_size: int, network: str) -> None:
    if network not in MAPS_OF:
        raise ValueError(f"network is {network!r}: give one of {', '.join(map(repr, MAPS_OF))}")
    if not len(patches.images) or batch_size < 1:
        raise ValueError(
            f"got {len(patches.images)} patches and batch_size {batch_size}: give some"
        )


def set_encoder_trainable(model: keras.Model, trainable: bool) -> None:
    """Freeze or unfreeze the encoder of a network of :func:`build_fpn`; compile it afterwards.

    Parameters
    ----------
    model : keras.Model
        The network; its decoder is always trained.
    trainable : bool
        False keeps the encoder's convolutions as they are. Its batch normalisation goes on
        learning, as in segmentation-models: grey values of microscopes differ from those of
        photographs.
    """
    for layer in model.get_layer("fpn").layers:
        fixed = not layer.name.startswith(DECODER) and type(layer).__name__ != "BatchNormalization"
        layer.trainable = trainable or not fixed


def train_fpn(
    model: keras.Model,
    batches: Callable[[int], Iterable[tuple]],
    *,
    folder: str | Path,
    epochs: int,
    steps_per_epoch: int,
    cold_epochs: int = 2,
    learning_rate: float = 1e-3,
    loss: str | Callable = "mse",
    **options,
) -> pd.DataFrame:
    """Train with the encoder frozen, then all layers; an interrupted training goes on.

    Parameters
    ----------
    model : keras.Model
        Of :func:`build_fpn`. Ends with the best weights.
    batches : callable
        ``batches(epoch)`` gives ``(x, y)`` or ``(x, y, weight)``: images NYXC in 0 to 1,
        targets NYX(maps), and weights NYX that leave pixels out where they are 0.
    folder : path
        The run folder; the cold start has its own in there, ``cold_start``.
    epochs, cold_epochs : int
        Epochs with all layers, and those with a frozen encoder before them (paper: 25 and 2).
        Without ImageNet weights there is nothing to preserve: give 0.
    steps_per_epoch : int
        Batches per epoch.
    learning_rate : float
        Of Adam, at its highest (paper: 1e-3).
    loss : str or callable
        ``"mse"`` (the paper's), ``"mae"``, ``"bce"``, ``"bce_dice"`` (half of each), or a Keras
        loss.
    **options
        ``validate`` (such as :class:`helpers.fpn_loss.ValidationLoss`), ``monitor``,
        ``patience``, ``learning_rate_schedule`` and ``resume`` of
        :func:`helpers.training.training_callbacks`.

    Returns
    -------
    pandas.DataFrame
        History of the epochs with all layers.
    """
    from keras.optimizers import Adam

    from helpers.fpn_loss import make_loss
    from helpers.training import fit

    def run(trainable: bool, where: Path, n_epochs: int):
        set_encoder_trainable(model, trainable)
        model.compile(Adam(learning_rate), loss=make_loss(loss))
        return fit(
            model,
            batches,
            folder=where,
            epochs=n_epochs,
            steps_per_epoch=steps_per_epoch,
            **options,
        )

    if cold_epochs:
        run(False, Path(folder) / "cold_start", cold_epochs)
    return run(True, Path(folder), epochs)
