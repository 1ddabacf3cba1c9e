"""Train a Keras model: checkpoints by a validation score, early stopping, exact resume.

    loop      `fit`, and the same for packages with a loop of their own
    keeper    what happens around each epoch
    state     the files of a training
    progress  its account: at most ten lines
    transfer  a network that has learned something else: first frozen, then let go

What `__all__` lists can be imported from here.
"""

from helpers.saving import load_model, save_model
from helpers.training.keeper import cosine_learning_rate
from helpers.training.loop import (
    count_images,
    fit,
    load_best_weights,
    package_training,
    read_history,
    remaining_epochs,
    shorten_batch_norm_memory,
    training_callbacks,
)

__all__ = [
    "cosine_learning_rate",
    "count_images",
    "fit",
    "load_best_weights",
    "load_model",
    "package_training",
    "read_history",
    "remaining_epochs",
    "save_model",
    "shorten_batch_norm_memory",
    "training_callbacks",
]
