"""Train a network for masks and predict volumes with it, slice by slice or in 3D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.em.mask_volume import choose_threshold
from helpers.tiles.orientations import turns
from helpers.tiles.predict import predict_tiled

if TYPE_CHECKING:
    import keras
    import pandas as pd

__all__ = [
    "MaskIoU",
    "choose_options",
    "compile_network",
    "count_collapsed",
    "fit_patch",
    "predict_foreground",
]


def choose_options(architecture: str, wanted: dict, *, ndim: int = 2) -> dict:
    """Return those of the wanted options that a network has.

    Parameters
    ----------
    architecture, ndim
        As in `helpers.unets.build_unet`.
    wanted : dict
        Such as ``{"filters": 8, "depth": 2, "normalization": "batch"}``.

    Examples
    --------
    >>> choose_options("fcn8", {"filters": 8, "depth": 2})
    {'filters': 8}
    """
    from helpers.unets import list_options

    known = list_options(architecture, ndim=ndim)
    levels = isinstance(known.get("filters"), tuple)
    return {k: v for k, v in wanted.items() if k in known or (k == "depth" and levels)}


def compile_network(
    model: keras.Model,
    architecture: str,
    *,
    learning_rate=1e-3,
    loss: str | keras.losses.Loss = "dice_bce",
    optimizer: keras.optimizers.Optimizer | None = None,
) -> None:
    """Set loss and optimizer of a network of `helpers.unets.build_unet`.

    Parameters
    ----------
    model : keras.Model
        Not yet trained, with probabilities as output.
    architecture : str
        Its name; with deep supervision each output has the loss, with the published weights.
    learning_rate : float or keras LearningRateSchedule
        The highest one.
    loss : str or keras Loss
        A key of `helpers.losses.LOSSES`, or a loss.
    optimizer : keras Optimizer, optional
        Instead of Adam; then `learning_rate` is not used.

    Notes
    -----
    Batch normalisation follows short trainings, see
    `helpers.training.shorten_batch_norm_memory`. Gradients are cut at a norm of 1, so that one
    patch full of foreground cannot undo what was learned.
    """
    from keras.optimizers import Adam

    from helpers.losses.masks import make_loss
    from helpers.training.loop import shorten_batch_norm_memory
    from helpers.unets import loss_weights

    for part in (model, *(layer for layer in model.layers if hasattr(layer, "layers"))):
        shorten_batch_norm_memory(part)
    loss = make_loss(loss) if isinstance(loss, str) else loss
    weights = loss_weights(architecture, model)
    losses = dict.fromkeys(model.output, loss) if weights else loss
    optimizer = optimizer or Adam(learning_rate, clipnorm=1.0)
    model.compile(optimizer=optimizer, loss=losses, loss_weights=weights)


def predict_foreground(
    model: keras.Model,
    image: np.ndarray,
    *,
    tile_shape: Sequence[int] | None = None,
    overlap: int | Sequence[int] = 32,
    tta: bool = False,
    normalize: Callable | None = None,
    **options,
):
    """Return the probability of foreground of an image or volume of any size.

    Parameters
    ----------
    model : keras.Model
        Of `helpers.unets.build_unet`, 2D or 3D. With a 2D network, a volume is predicted
        slice by slice.
    image : array or lazy array, YX or ZYX
        Normalised as in training, or with `normalize`.
    tile_shape : sequence of int, optional
        Sides of a window, YX for a 2D network, ZYX for a 3D one. By default 256 along Y and X
        and 32 along Z, less for smaller images, as the network's pooling needs it.
    overlap : int or sequence of int
        Of windows, along the same axes; cut to a quarter of a window's side where it is longer.
    tta : bool
        Mean over all 8 flips and turns in the plane, and for a 3D network also of the
        flips along z, 16.
    normalize : callable, optional
        Applied to what is read of an image with raw values, such as a memory-mapped file;
        best ``Normalizer().fit([image])``, whose constants are those of the whole image.
    **options
        ``out``, ``finish``, ``batch_size`` and ``memory_limit`` of
        `helpers.tiles.predict_tiled`.

    Returns
    -------
    ndarray of float32, shape of `image`
        Or what `finish` makes of it, or `out`.
    """
    from helpers.unets import input_divisor, main_output

    network, ndim = main_output(model), len(model.inputs[0].shape) - 2
    divisor = input_divisor(model)
    sides = image.shape[-ndim:]
    if tile_shape is None:
        tile_shape = _fit_window(sides, divisor)
    overlap = (overlap,) * ndim if np.isscalar(overlap) else tuple(overlap)
    overlap = tuple(min(o, t // 4) for o, t in zip(overlap, tile_shape, strict=True))
    chosen = [t for t in turns(ndim, square=tile_shape[-1] == tile_shape[-2]) if tta]
    by_slice = len(image.shape) > ndim
    if by_slice:
        tile_shape, overlap = (1, *tile_shape), (0, *overlap)
        chosen = [t for t in turns(3, square=tile_shape[-1] == tile_shape[-2]) if tta]
        chosen = [t for t in chosen if t.signs[0] == 1]
    options = {"finish": lambda p: p[..., 0], **options}
    predict = _make_predict(network, by_slice, normalize)
    return predict_tiled(
        predict, image, tile_shape=tile_shape, overlap=overlap, tta=chosen or False, **options
    )


def _fit_window(sides: Sequence[int], divisor: Sequence[int]) -> tuple[int, ...]:
    """Return a window that the network takes, square in the plane, no larger than needed."""
    largest = (32, 256, 256)[-len(sides) :]
    fitted = [
        max(d, min(n, -(-side // d) * d) // d * d)
        for side, n, d in zip(sides, largest, divisor, strict=True)
    ]
    fitted[-2:] = [max(fitted[-2:])] * 2
    return tuple(fitted)


def _make_predict(network: keras.Model, by_slice: bool, normalize: Callable | None) -> Callable:
    def predict(batch: np.ndarray) -> np.ndarray:
        batch = normalize(batch) if normalize else batch
        found = np.asarray(network.predict_on_batch(batch[:, 0] if by_slice else batch))
        return found[:, None] if by_slice else found

    return predict


def fit_patch(model: keras.Model, patch_shape: Sequence[int]) -> tuple[int, ...]:
    """Return a patch at least as large as the one wanted that a network can take.

    Parameters
    ----------
    model : keras.Model
        Of `helpers.unets.build_unet`.
    patch_shape : sequence of int
        YX or ZYX.
    """
    from helpers.unets import input_divisor

    divisor = input_divisor(model)
    return tuple(-(-side // d) * d for side, d in zip(patch_shape, divisor, strict=True))


class MaskIoU:
    """Score of a network on validation volumes, for choosing the best checkpoint.

    Parameters
    ----------
    images, masks : sequence of ndarray, YX or ZYX
        Normalised validation images and their masks.
    **options
        Of :func:`predict_foreground`.
    """

    def __init__(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray], **options):
        self.images, self.masks, self.options = images, masks, options

    def __call__(self, model: keras.Model) -> dict[str, float]:
        """Return ``val_iou``, that at the best threshold, and ``val_iou_half``, at 0.5."""
        found = [predict_foreground(model, image, **self.options) for image in self.images]
        from helpers.metrics.datasets import score_mask_dataset

        half = score_mask_dataset(self.masks, [p >= 0.5 for p in found]).pooled["iou"]
        return {"val_iou": choose_threshold(found, self.masks)[1], "val_iou_half": float(half)}


def score_held_out(model: keras.Model, validation: tuple, test: tuple, **options) -> pd.Series:
    """Return the scores on test volumes with the threshold that is best on validation volumes.

    Parameters
    ----------
    model : keras.Model
        Trained.
    validation, test : (sequence of ndarray, sequence of ndarray)
        Normalised volumes and their masks.
    **options
        Of :func:`predict_foreground`.

    Returns
    -------
    pandas.Series
        Pooled over all test volumes, as in `helpers.metrics.score_mask_dataset`, and
        ``threshold`` and ``val_iou``.
    """
    from helpers.metrics.datasets import score_mask_dataset

    found = [predict_foreground(model, image, **options) for image in validation[0]]
    threshold, val_iou = choose_threshold(found, validation[1])
    masks = [predict_foreground(model, image, **options) >= threshold for image in test[0]]
    pooled = score_mask_dataset(test[1], masks).pooled
    pooled["threshold"], pooled["val_iou"] = threshold, val_iou
    return pooled


def count_collapsed(ious: Sequence[float], *, limit: float = 0.05) -> int:
    """Return how many trainings ended with a network that finds next to nothing.

    Parameters
    ----------
    ious : sequence of float
        Foreground IoU of each.
    limit : float
        Below it counts as collapsed.
    """
    return int(np.count_nonzero(np.asarray(ious) < limit))
