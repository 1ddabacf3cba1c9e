"""Train a Keras model: checkpoints by a validation score, early stopping, exact resume.

:func:`fit` trains our own models. Packages with a training loop of their own (StarDist,
csbdeep, Noise2Void) get the same by :func:`package_training`. Both are Keras' own ``fit`` plus
the callback of :func:`training_callbacks`, so they run on any Keras backend.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.training.keeper import Keeper
from helpers.training.state import TrainingFiles

if TYPE_CHECKING:
    import keras
    import pandas as pd

__all__ = [
    "count_images",
    "fit",
    "load_best_weights",
    "package_training",
    "read_history",
    "remaining_epochs",
    "shorten_batch_norm_memory",
    "training_callbacks",
]

Validate = Callable[["keras.Model"], dict[str, float]]


def fit(
    model: "keras.Model",
    batches: Callable[[int], Iterable[tuple]],
    *,
    folder: str | Path,
    epochs: int,
    steps_per_epoch: int,
    **options,
) -> "pd.DataFrame":
    """Train a compiled model; an interrupted training goes on where its last epoch ended.

    Parameters
    ----------
    model
        Compiled, with the highest learning rate in its optimizer. Ends with the best weights.
    batches
        ``batches(epoch)``, with epochs counted from 0, gives at least `steps_per_epoch`
        batches ``(x, y)`` or ``(x, y, weight)``. Let all randomness come from the epoch, as in
        ``numpy.random.default_rng([seed, epoch])``: then a resumed training sees the same data
        as an uninterrupted one, and ends with the same weights.
    folder
        The run folder.
    epochs
        Number of epochs in all. A larger number continues a finished training.
    steps_per_epoch
        Batches per epoch.
    **options
        ``validate``, ``monitor``, ``mode``, ``patience``, ``learning_rate_schedule`` and
        ``resume`` of :func:`training_callbacks`.

    Returns
    -------
    pandas.DataFrame
        One row per epoch, as in ``history.csv``.

    Raises
    ------
    ValueError
        If `folder` holds a training of another model or with other settings, if `monitor` is
        not measured, if the loss becomes NaN, or if there are too few batches.
    """
    keeper = Keeper(folder, epochs, **options)
    model.fit(
        _endless(batches, keeper.first_epoch, steps_per_epoch),
        initial_epoch=keeper.first_epoch,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        shuffle=False,
        callbacks=[keeper.callback()],
        verbose=0,
    )
    return read_history(folder)


def _endless(batches: Callable, first_epoch: int, steps: int) -> Iterator[tuple]:
    """Chain the batches of all epochs; endless, for Keras looks ahead by some batches."""
    for epoch in itertools.count(first_epoch):
        count = 0
        for batch in itertools.islice(batches(epoch), steps):
            yield batch
            count += 1
        if count < steps:
            raise ValueError(
                f"batches({epoch}) gave {count} batches, but steps_per_epoch is {steps}: "
                "lower steps_per_epoch, or let batches repeat its images."
            )


@contextmanager
def package_training(
    keras_model: "keras.Model", *, folder: str | Path, **options
) -> Iterator[None]:
    """Lend checkpoints, resume and quiet progress to a package that trains by itself.

    Parameters
    ----------
    keras_model
        The network inside the package's model, such as ``stardist_model.keras_model``.
    folder
        The run folder.
    **options
        Those of :func:`training_callbacks`.

    Raises
    ------
    ValueError
        As :func:`fit`; also if the package lowers the learning rate on plateaus while the
        schedule is ``"cosine"``.

    Notes
    -----
    Within the block, the network's ``fit`` gets the callback, starts at the epoch after the
    last whole one, and prints no progress bars. The data order of these packages does not
    depend on the epoch, so after a kill the training goes on with other patches.

    Examples
    --------
    >>> with package_training(model.keras_model, folder=run.folder):  # doctest: +SKIP
    ...     model.train(images, labels, validation_data=validation, epochs=60)
    """
    package_fit = keras_model.fit

    @functools.wraps(package_fit)
    def fit_with_keeper(*args, epochs: int = 1, callbacks=(), **settings):
        keeper = Keeper(folder, epochs, **options)
        keeper.refuse_plateaus(callbacks)
        ours = {
            "initial_epoch": keeper.first_epoch,
            "callbacks": [*(callbacks or ()), keeper.callback()],
            "shuffle": False,
            "verbose": 0,
        }
        return package_fit(*args, epochs=epochs, **{**settings, **ours})

    keras_model.fit = fit_with_keeper
    try:
        yield
    finally:
        del keras_model.fit


def training_callbacks(
    folder: str | Path,
    *,
    total_epochs: int,
    validate: Validate | None = None,
    monitor: str = "val_loss",
    mode: str | None = None,
    patience: int | None = None,
    learning_rate_schedule: str | None = "cosine",
    resume: bool = True,
) -> list:
    """Make the callback that does all this, for a ``fit`` that someone else calls.

    Parameters
    ----------
    folder
        The run folder: ``history.csv`` goes into it, states and best weights into ``model/``.
    total_epochs
        Number of epochs in all, with those of the interrupted part.
    validate
        ``validate(model)`` gives scores by name after every epoch; they become columns of the
        history.
    monitor
        The column that chooses the best weights: a score of `validate` or a name of Keras.
    mode
        ``"max"`` or ``"min"``; by default ``"min"`` if `monitor` has "loss" in its name.
    patience
        Stop after so many epochs without a better `monitor`; None: never.
    learning_rate_schedule
        ``"cosine"`` (see :func:`cosine_learning_rate`, from the optimizer's learning rate) or
        None to leave the learning rate to the optimizer.
    resume
        Go on from the state in `folder`. False removes that state and starts anew.

    Returns
    -------
    list of keras.callbacks.Callback
        When training ends, the model has the best weights.

    Notes
    -----
    The caller starts ``fit`` with ``epochs=remaining_epochs(folder, total_epochs)``.
    """
    keeper = Keeper(
        folder,
        total_epochs,
        validate=validate,
        monitor=monitor,
        mode=mode,
        patience=patience,
        learning_rate_schedule=learning_rate_schedule,
        resume=resume,
    )
    return [keeper.callback()]


def count_images(images: Sequence[np.ndarray], max_pixels: int) -> int:
    """Return how many of the first images have at most `max_pixels` together, at least 1.

    For a validation score that is measured after every epoch: a large validation set must not
    slow the training down.
    """
    total = np.cumsum([image.size for image in images])
    return max(1, int(np.searchsorted(total, max_pixels, side="right")))


def shorten_batch_norm_memory(network: "keras.Model", momentum: float = 0.9) -> None:
    """Let batch normalisation follow a short training.

    Parameters
    ----------
    network
        Not yet trained.
    momentum
        Share of the old statistics that each step keeps. Keras' 0.99 remembers some 500 steps;
        in a training that is not much longer, prediction would use statistics of the untrained
        network, and the first scores would be 0.
    """
    for layer in network.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.momentum = momentum


def remaining_epochs(folder: str | Path, total_epochs: int) -> int:
    """Return how many epochs the training in `folder` has still to do; 0 if it stopped early."""
    facts, _ = TrainingFiles(folder).load_state()
    if facts is None:
        return total_epochs
    return 0 if facts["stopped"] else max(0, total_epochs - len(facts["rows"]))


def read_history(folder: str | Path) -> "pd.DataFrame":
    """Read ``history.csv`` of a run folder: one row per epoch."""
    import pandas as pd

    return pd.read_csv(TrainingFiles(folder).history)


def load_best_weights(model: "keras.Model", folder: str | Path) -> None:
    """Load the best weights of the run folder into a model of the same architecture."""
    TrainingFiles(folder).load_best(model)
