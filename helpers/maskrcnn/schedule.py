"""Training in stages: heads first, then all layers; the best weights of all stages win."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from helpers.maskrcnn.model import MaskRCNN

__all__ = ["PUBLISHED_STAGES", "Stage", "set_trainable", "train_stages"]


@dataclass(frozen=True)
class Stage:
    """A part of a training.

    Parameters
    ----------
    epochs : int
        Its length.
    learning_rate : float
        Its highest rate.
    layers : {"all", "heads"}
        ``"heads"`` keeps the backbone as it is; pyramid and heads learn.
    optimizer : {"adam", "sgd"}
        ``"sgd"`` as published: momentum 0.9, weight decay 1e-4. Both cut gradients at a norm of 5.
    schedule : {"cosine", None}
        Of the learning rate within the stage, with a warm-up; None keeps it constant.
    batch_norm : bool
        Whether batch normalisation of the backbone learns in a stage of all layers. Published:
        no, for its ImageNet statistics are better than those of a few images.

    Raises
    ------
    ValueError
        If a choice is unknown.
    """

    epochs: int
    learning_rate: float
    layers: str = "all"
    optimizer: str = "adam"
    schedule: str | None = "cosine"
    batch_norm: bool = True

    def __post_init__(self):
        """Check the choices."""
        for name, allowed in (("layers", ("all", "heads")), ("optimizer", ("adam", "sgd"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}: give one of {allowed}")


def _published(epochs: int, rate: float, layers: str) -> Stage:
    return Stage(epochs, rate, layers, optimizer="sgd", schedule=None, batch_norm=False)


PUBLISHED_STAGES = (
    _published(75, 1e-4, "heads"),
    _published(25, 1e-5, "heads"),
    _published(25, 1e-6, "heads"),
    _published(25, 1e-5, "all"),
    _published(25, 1e-6, "all"),
    _published(25, 1e-7, "all"),
)
"""Zaki et al. 2020: 200 short epochs, together 30 passes over the patches."""


def set_trainable(model: MaskRCNN, stage: Stage) -> None:
    """Freeze or free the backbone as a stage asks; compile the model afterwards."""
    model.backbone.trainable = stage.layers == "all"
    if stage.layers == "all" and not stage.batch_norm:
        for layer in model.backbone._flatten_layers():
            if type(layer).__name__ == "BatchNormalization":
                layer.trainable = False


def _make_optimizer(stage: Stage) -> keras.optimizers.Optimizer:
    from keras.optimizers import SGD, Adam

    if stage.optimizer == "adam":
        return Adam(stage.learning_rate, global_clipnorm=5.0)
    return SGD(stage.learning_rate, momentum=0.9, weight_decay=1e-4, clipnorm=5.0)


def train_stages(
    model: MaskRCNN,
    batches: Callable[[int], Iterable[tuple]],
    *,
    folder: str | Path,
    stages: Sequence[Stage],
    steps_per_epoch: int,
    monitor: str = "val_ap",
    **options,
) -> pd.DataFrame:
    """Train stage by stage; an interrupted training goes on where its last epoch ended.

    Parameters
    ----------
    model : MaskRCNN
        Ends with the best weights of all stages.
    batches : callable
        Of :func:`helpers.maskrcnn.batches.detection_batches`. Epochs count over all stages.
    folder : path
        The run folder; each stage has its own in there, ``stage1`` and so on.
    stages : sequence of Stage
        What to do, in this order. Each starts from the best weights so far.
    steps_per_epoch : int
        Batches per epoch.
    monitor : str
        Score that decides what is best; without ``validate`` give ``"loss"``.
    **options
        ``validate`` (such as :class:`helpers.maskrcnn.validation.DetectionAP`), ``mode``,
        ``patience`` and ``resume`` of :func:`helpers.training.training_callbacks`.

    Returns
    -------
    pandas.DataFrame
        One row per epoch of all stages, with the columns ``stage`` and ``epoch``.

    Raises
    ------
    ValueError
        If there is no stage.
    """
    import pandas as pd

    from helpers.training.loop import fit, load_best_weights

    if not stages:
        raise ValueError("stages is empty: give at least one Stage")
    better = min if (options.get("mode") == "min" or "loss" in monitor) else max
    histories, best, done = [], None, 0
    for k, stage in enumerate(stages, start=1):
        where = Path(folder) / f"stage{k}"
        set_trainable(model, stage)
        # XLA sorts slowly, and proposals are sorted
        model.compile(_make_optimizer(stage), jit_compile=False)
        model.optimizer.build(model.trainable_variables)  # else TensorFlow traces all twice
        history = fit(
            model,
            lambda epoch, done=done: batches(done + epoch),
            folder=where,
            epochs=stage.epochs,
            steps_per_epoch=steps_per_epoch,
            monitor=monitor,
            learning_rate_schedule=stage.schedule,
            **options,
        )
        value = better(history[monitor])
        if best is None or better(value, best[0]) != best[0]:
            best = value, where
        load_best_weights(model, best[1])
        histories.append(history.assign(stage=k, epoch=history["epoch"] + done))
        done += stage.epochs
    model.backbone.trainable = True
    return pd.concat(histories, ignore_index=True)
