"""What a StarDist notebook needs around the stardist package, in 2D and 3D.

    training  train, tune, predict
    few       settings for few labelled patches and minutes on a CPU

What `__all__` lists can be imported from here.
"""

from helpers.stars.training import (
    OWN_LOOP,
    StarAP,
    count_steps,
    fit_patch_size,
    object_extents,
    predict_labels,
    shorten_batch_norm_memory,
    star_limit,
    train_stars,
    tune_thresholds,
)

__all__ = [
    "OWN_LOOP",
    "StarAP",
    "count_steps",
    "fit_patch_size",
    "object_extents",
    "predict_labels",
    "shorten_batch_norm_memory",
    "star_limit",
    "train_stars",
    "tune_thresholds",
]
