"""How the published baselines were trained: sampling, augmentation, loss and optimizer.

The facts are in `helpers.unets.published_settings`; here they become functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from helpers.augment.basic import flip_and_turn, zoom_and_rotate
from helpers.augment.bend import bend_tissue
from helpers.augment.sampling import drop_cut_objects, patch_batches
from helpers.tiles.orientations import turns
from helpers.unets import label_patches, published_settings

if TYPE_CHECKING:
    import keras

__all__ = ["PublishedTraining", "augment_as_published", "oztel_batches", "train_as_published"]

LOSSES = {
    "binary cross-entropy": ("bce", {}),
    "cross-entropy": ("bce", {}),
    # 1 - (TP + 1) / (TP + FN + FP + 1)
    "soft Jaccard of the foreground": ("tversky", {"alpha": 1, "beta": 1, "smooth": 1}),
}


@dataclass(frozen=True)
class PublishedTraining:
    """What one published baseline needs to be trained as its authors did.

    Attributes
    ----------
    settings : dict
        Of `helpers.unets.published_settings`.
    options : dict
        For `helpers.unets.build_unet`.
    """

    settings: dict
    options: dict

    def batches(
        self,
        images: Sequence[np.ndarray],
        masks: Sequence[np.ndarray],
        *,
        patch_shape: Sequence[int] | None = None,
        batch_size: int | None = None,
        seed: int = 42,
    ) -> Callable[[int], Iterator[tuple]]:
        """Return batches with the published sampling and augmentation.

        Parameters
        ----------
        images, masks : sequence of ndarray, YX or ZYX
            As in `helpers.augment.sampling.patch_batches`.
        patch_shape, batch_size
            Others than the published ones, for smaller images or a smaller machine.
        seed : int
            As there.

        Notes
        -----
        Where the paper draws places by a probability map, 94 % of the centres are foreground,
        without objects cut by the border; elsewhere all places are equally likely.
        """
        patch_shape = tuple(patch_shape or self.settings["patch"])
        batch_size = batch_size or self.settings["batch_size"]
        by_map = self.settings.get("foreground_sampling", False)
        places = [drop_cut_objects(mask) for mask in masks] if by_map else None
        return patch_batches(
            images,
            masks,
            patch_shape=patch_shape,
            batch_size=batch_size,
            foreground=0.94 if by_map else None,
            places=places,
            augment=augment_as_published(self.settings["augment"]),
            seed=seed,
        )

    def compile(self, model: keras.Model, *, steps_per_epoch: int = 100) -> None:
        """Set the published loss, optimizer and steps of the learning rate."""
        from helpers.losses.masks import make_loss

        name, options = LOSSES[self.settings["loss"]]
        loss, weights = make_loss(name, **options), self.settings.get("loss_weights")
        losses = dict.fromkeys(model.output, loss) if weights else loss
        model.compile(self._optimizer(steps_per_epoch), loss=losses, loss_weights=weights)

    def _optimizer(self, steps_per_epoch: int):
        from keras.optimizers import SGD, Adam
        from keras.optimizers.schedules import PiecewiseConstantDecay

        name, rate = self.settings["optimizer"], self.settings["learning_rate"]
        if schedule := self.settings.get("schedule"):
            epochs = [int(word) for word in schedule.split() if word.isdigit()]
            boundaries = [epoch * steps_per_epoch for epoch in epochs]
            rates = [rate * 0.1**k for k in range(len(epochs) + 1)]
            rate = PiecewiseConstantDecay(boundaries, rates)
        if name == "adam":
            return Adam(rate)
        return SGD(rate, momentum=0.9 if "momentum" in name else 0.0)


def train_as_published(architecture: str, *, version: int = 1, ndim: int = 2) -> PublishedTraining:
    """Return how a published baseline is trained.

    Parameters
    ----------
    architecture, version, ndim
        As in `helpers.unets.published_settings`.

    Returns
    -------
    PublishedTraining

    Raises
    ------
    ValueError
        If there are no such settings.

    Examples
    --------
    >>> train_as_published("casser2018", version=0).settings["patch"]
    (512, 512)
    """
    settings = published_settings(architecture, version=version, ndim=ndim)
    return PublishedTraining(settings, settings["options"])


def augment_as_published(description: str) -> Callable:
    """Return the augmentation that a description of the settings names.

    Parameters
    ----------
    description : str
        ``"augment"`` of the settings, such as ``"flips, quarter turns, elastic"``.

    Returns
    -------
    callable
        ``image, mask = augment(image, mask, rng)``.
    """
    parts = description.split(", ")

    def augment(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple:
        if "quarter turns" in description:
            image, mask = _turn(image, mask, rng, flips="flips" in parts)
        elif "flips" in parts:
            image, mask = _flip(image, mask, rng)
        if "rotation" in description:
            image, mask = zoom_and_rotate(image, mask, rng, zoom=(1, 1), probability=1)
        if "elastic" in parts and rng.random() < 0.5:
            image, mask = bend_tissue(image, mask, rng)
        if "shift" in description:
            image, mask = _shift(image, mask, rng, share=0.2)
        return image, mask

    return augment


def _turn(image, mask, rng, *, flips: bool):
    if flips:
        return flip_and_turn(image, mask, rng)
    n_turns = int(rng.integers(4))
    return tuple(np.ascontiguousarray(np.rot90(a, n_turns, (-2, -1))) for a in (image, mask))


def _flip(image, mask, rng):
    several = turns(image.ndim, square=False)
    turn = several[rng.integers(len(several))]
    return tuple(turn.apply(a[None, ..., None])[0, ..., 0] for a in (image, mask))


def _shift(image, mask, rng, *, share: float):
    """Move both alike by up to a share of each side; the mirror image comes in."""
    pads = [math.ceil(share * side) for side in image.shape]
    starts = [int(rng.integers(2 * pad + 1)) for pad in pads]
    box = tuple(slice(a, a + side) for a, side in zip(starts, image.shape, strict=True))
    return tuple(np.pad(a, [(p, p) for p in pads], mode="reflect")[box] for a in (image, mask))


def oztel_batches(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    *,
    batch_size: int = 128,
    seed: int = 42,
) -> Callable[[int], Iterator[tuple[np.ndarray, np.ndarray]]]:
    """Return patches of 32 x 32 pixels with one class each, for the bare classifier.

    Parameters
    ----------
    images, masks : sequence of ndarray, YX
        Slices and their masks.
    batch_size : int
        Patches per batch.
    seed : int
        With the number of the epoch, it decides every draw.

    Returns
    -------
    callable
        ``batches(epoch)`` gives float32 patches NYX1 and their classes, N,1,1,1, for a network
        built with ``whole=False``.

    Notes
    -----
    Patches with neither 80 % nor less than 20 % foreground are not used. Half of the centres
    are foreground, instead of copying mitochondria twenty times, which serves the same end.
    """
    augment = augment_as_published(published_settings("oztel2017")["augment"])
    source = patch_batches(
        images, masks, patch_shape=(32, 32), batch_size=batch_size, augment=augment, seed=seed
    )

    def batches(epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        kept_x, kept_y = [], []
        for x, y in source(epoch):
            classes = label_patches(y[..., 0])
            kept_x.extend(x[classes >= 0])
            kept_y.extend(classes[classes >= 0])
            while len(kept_x) >= batch_size:
                classes = np.array(kept_y[:batch_size], np.uint8)[:, None, None, None]
                yield np.stack(kept_x[:batch_size]), classes
                del kept_x[:batch_size], kept_y[:batch_size]

    return batches
