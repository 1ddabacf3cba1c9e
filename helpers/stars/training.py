"""What a StarDist notebook needs around the stardist package, in 2D and 3D."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

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

# Checkpoints and learning rate are ours (`train_stars`): these switch off stardist's own.
OWN_LOOP = {
    "train_reduce_lr": None,
    "train_checkpoint": None,
    "train_checkpoint_last": None,
    "train_checkpoint_epoch": None,
    "train_tensorboard": False,
}


def object_extents(labels: Sequence[np.ndarray]) -> np.ndarray:
    """Return the size of every object along each axis.

    Parameters
    ----------
    labels : sequence of ndarray of int, YX or ZYX
        Label images.

    Returns
    -------
    ndarray of int, shape (n_objects, n_axes)
        Sides of the bounding boxes in pixels.
    """
    from scipy.ndimage import find_objects

    boxes = [box for y in labels for box in find_objects(y) if box]
    sides = [[side.stop - side.start for side in box] for box in boxes]
    return np.array(sides, int).reshape(-1, labels[0].ndim)


def star_limit(labels: Sequence[np.ndarray], rays) -> float:
    """Return the mean IoU of labelled objects with their own star-convex shapes.

    Parameters
    ----------
    labels : sequence of ndarray of int, YX or ZYX
        Label images.
    rays : int (2D) or stardist rays object (3D)
        Number of directions, or ``stardist.Rays_GoldenSpiral(...)``.

    Returns
    -------
    float
        Mean of the IoU over all objects, in [0, 1]: what a network that predicts every
        distance without error would reach. 1 means that all shapes are star-convex.

    Raises
    ------
    ValueError
        If there are no objects.
    """
    from stardist import relabel_image_stardist, relabel_image_stardist3D

    from helpers.metrics.objects import match_objects

    relabel = relabel_image_stardist if labels[0].ndim == 2 else relabel_image_stardist3D
    tables = [match_objects(y, relabel(y, rays), iou=0.1).true for y in labels if y.any()]
    if not tables:
        raise ValueError("labels hold no object: give label images with objects")
    return float(np.concatenate([table["iou"].fillna(0) for table in tables]).mean())


def fit_patch_size(
    images: Sequence[np.ndarray], wanted: Sequence[int], *, divisor: Sequence[int]
) -> tuple[int, ...]:
    """Return the largest patch up to the wanted size that fits into every image.

    Parameters
    ----------
    images : sequence of ndarray, YX or ZYX
        Training images.
    wanted : sequence of int
        Wanted patch size in pixels, in the order of the axes.
    divisor : sequence of int
        The network needs sides that are multiples of these.

    Returns
    -------
    tuple of int
        Sides in pixels.

    Raises
    ------
    ValueError
        If the smallest image is smaller than the divisor, or images and patch differ in axes.
    """
    if {image.ndim for image in images} != {len(wanted)}:
        raise ValueError(
            f"images have shapes such as {images[0].shape}, the patch {tuple(wanted)}: for stacks "
            "take the 3D form of the method, for planes the 2D form"
        )
    smallest = np.min([image.shape for image in images], axis=0)
    sides = np.minimum(wanted, smallest) // divisor * np.asarray(divisor)
    if (sides == 0).any():
        raise ValueError(
            f"the smallest image has shape {tuple(int(s) for s in smallest)}, but the network "
            f"needs at least {tuple(divisor)}: leave small images out, or lower the depth or "
            "the grid of the network"
        )
    return tuple(int(side) for side in sides)


def count_steps(
    images: Sequence[np.ndarray], pixels_per_step: int, *, start_steps: int, n_passes: float
) -> int:
    """Return how many steps to train: a start that every network needs, and some passes.

    Parameters
    ----------
    images : sequence of ndarray
        Training images.
    pixels_per_step : int
        Batch size times pixels of a patch.
    start_steps : int
        Steps that also the smallest data set gets.
    n_passes : float
        How often each pixel of the training images is seen in addition.

    Returns
    -------
    int
        ``start_steps + n_passes * total pixels / pixels_per_step``, to the nearest 100.
    """
    n_pixels = sum(image.size for image in images)
    return max(1, round((start_steps + n_passes * n_pixels / pixels_per_step) / 100)) * 100


def shorten_batch_norm_memory(model, momentum: float = 0.9) -> None:
    """Let batch normalisation follow a short training.

    Parameters
    ----------
    model : stardist.models.StarDist2D or StarDist3D
        Not yet trained.
    momentum : float
        As in `helpers.training.shorten_batch_norm_memory`.
    """
    from helpers import training

    training.shorten_batch_norm_memory(model.keras_model, momentum)


class StarAP:
    """Score of a StarDist model on validation images, for choosing the best checkpoint.

    Parameters
    ----------
    model : stardist.models.StarDist2D or StarDist3D
        The model in training.
    images, labels : sequence of ndarray
        Normalised validation images and their labels.
    max_pixels : int
        Only the first images up to this many pixels are used, at least one, so that a large
        validation set does not slow the training down.
    """

    def __init__(self, model, images, labels, *, max_pixels: int = 3_000_000):
        from helpers.training.loop import count_images

        n_used = count_images(images, max_pixels)
        self.model, self.images, self.labels = model, images[:n_used], labels[:n_used]

    def __call__(self, keras_model=None) -> dict[str, float]:
        """Return `val_ap`: the mean AP over IoU 0.5 to 0.9, at the default thresholds.

        High thresholds are included because they tell a network with exact outlines from one
        that finds the same objects roughly: AP at 0.5 stops rising long before.
        """
        from helpers.metrics.datasets import score_dataset

        found = [predict_labels(self.model, image) for image in self.images]
        curve = score_dataset(self.labels, found, thresholds=[0.5, 0.6, 0.7, 0.8, 0.9]).curve()
        return {"val_ap": float(curve["ap_mean"].mean())}


def train_stars(
    model,
    train: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
    val: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
    *,
    folder: str | Path,
    n_steps: int,
    n_epochs: int = 20,
    augment: Callable | None = None,
    schedule: str | None = "cosine",
    seed: int = 42,
) -> None:
    """Train a StarDist model; an interrupted training goes on where it stopped.

    Parameters
    ----------
    model : stardist.models.StarDist2D or StarDist3D
        Made with the wanted configuration.
    train, val : (images, labels)
        Normalised images and label images.
    folder : path
        The run folder: history and checkpoints go there.
    n_steps : int
        Number of steps in all.
    n_epochs : int
        The steps are divided into so many epochs; after each, the validation images are
        scored, and the best weights are kept: by `StarAP` in 2D, by the validation loss in
        3D, where thinning out the proposals of a half-trained network takes minutes.
    augment : callable, optional
        ``image, labels = augment(image, labels)`` for each training patch.
    schedule : {"cosine", None}
        The learning rate falls along a cosine, or stays.
    seed : int
        Seed of the patches.
    """
    from helpers.training.loop import package_training

    options = {"monitor": "val_loss"}
    if val[0][0].ndim == 2:
        options = {"monitor": "val_ap", "validate": StarAP(model, *val)}
    with package_training(
        model.keras_model, folder=folder, learning_rate_schedule=schedule, **options
    ):
        model.train(
            *train,
            validation_data=val,
            augmenter=augment,
            epochs=n_epochs,
            steps_per_epoch=max(1, n_steps // n_epochs),
            seed=seed,
        )


def tune_thresholds(model, images: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> dict:
    """Choose the probability and overlap thresholds on validation images, and keep them.

    Parameters
    ----------
    model : stardist.models.StarDist2D or StarDist3D
        Trained model. The thresholds are stored with it.
    images, labels : sequence of ndarray
        Normalised validation images and their labels.

    Returns
    -------
    dict
        `prob` and `nms`, which maximise the mean of the pooled AP at IoU 0.5 and 0.7
        (:meth:`optimize_thresholds` of stardist).
    """
    with _silence():
        return model.optimize_thresholds(
            images,
            labels,
            nms_threshs=[0.3, 0.4, 0.5],
            iou_threshs=[0.5, 0.7],
            predict_kwargs={"n_tiles": None},
        )


def predict_labels(model, image: np.ndarray) -> np.ndarray:
    """Return the objects that a StarDist model finds in one image.

    Parameters
    ----------
    model : stardist.models.StarDist2D or StarDist3D
        Trained model.
    image : ndarray, YX or ZYX
        Normalised image, of a size that fits into memory; for larger ones use
        ``model.predict_instances_big``.

    Returns
    -------
    ndarray of int32
        Label image.
    """
    labels, _ = model.predict_instances(image, show_tile_progress=False)
    return labels.astype(np.int32)


@contextlib.contextmanager
def _silence():
    """Keep the progress bars of packages out of a notebook."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
