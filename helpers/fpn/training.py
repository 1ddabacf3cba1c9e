"""How the networks of FPN2-WS learn: cold start with a frozen encoder, then all layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras
    import pandas as pd

__all__ = ["set_encoder_trainable", "train_fpn"]

DECODER = tuple(
    "fpn_stage segm_stage upsampling_stage aggregation pyramid_dropout final_ head_conv".split()
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
        ``batches(epoch)`` gives ``(x, y)`` or ``(x, y, weight)``: images NYXC in 0 to 1, targets
        NYX(maps), negative where unknown, and weights of pixels, NYX.
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
        Kind of :class:`helpers.fpn.loss.MapLoss`, ``"mse"`` is the paper's; or a Keras loss,
        which has to see to negative targets itself.
    **options
        ``validate`` (such as :class:`helpers.fpn.loss.ValidationLoss`), ``monitor``,
        ``patience``, ``learning_rate_schedule`` and ``resume`` of
        :func:`helpers.training.training_callbacks`.

    Returns
    -------
    pandas.DataFrame
        History of the epochs with all layers.
    """
    from keras.optimizers import Adam

    from helpers.fpn.loss import make_loss
    from helpers.training.loop import fit

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
