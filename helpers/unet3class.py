"""The three-class U-Net of VoidSeg: background, inside of objects, border.

csbdeep builds the network, so that it is the one Noise2Void trains but for its last layer, and
weights can pass from one to the other (Prakash et al. 2020, arXiv:1911.12239).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.targets import three_class_target
from helpers.tiles.orientations import turns
from helpers.training.loop import count_images, shorten_batch_norm_memory

if TYPE_CHECKING:
    import keras

__all__ = [
    "CLASS_WEIGHTS",
    "ForegroundAP",
    "build_unet3class",
    "class_batches",
    "compile_unet3class",
    "copy_weights",
    "layer_weights",
    "predict_classes",
    "tune_components",
    "tune_watershed",
]

BLOCK_NAME = re.compile(r"(down|up)_level_|middle_")  # all convolutions but the last
CLASS_WEIGHTS = (1.0, 1.0, 5.0)  # background, inside, border


def build_unet3class(
    *, ndim: int = 2, depth: int = 4, filters: int = 16, kernel_size: int = 3
) -> keras.Model:
    """Build the U-Net with three outputs for each pixel.

    Parameters
    ----------
    ndim : int
        2 for YX, 3 for ZYX.
    depth : int
        How often the image is halved; sides must be multiples of ``2**depth``.
    filters : int
        Filters of the first level; doubled at each level.
    kernel_size : int
        Side of the convolutions in pixels.

    Returns
    -------
    keras.Model
        From ``(N, *spatial, 1)`` to ``(N, *spatial, 3)`` logits. With 32 filters it has 1,370,275
        parameters at depth 3 and 5,505,443 at depth 4.
    """
    from csbdeep.internals.nets import custom_unet

    return custom_unet(
        (None,) * ndim + (1,),
        last_activation="linear",
        n_depth=depth,
        n_filter_base=filters,
        kernel_size=(kernel_size,) * ndim,
        pool_size=(2,) * ndim,
        batch_norm=True,
        n_channel_out=3,
    )


def compile_unet3class(
    model: keras.Model,
    *,
    learning_rate: float = 2e-3,
    class_weights: Sequence[float] = CLASS_WEIGHTS,
    momentum: float = 0.9,
) -> None:
    """Set loss and optimizer: weighted cross-entropy and Adam.

    Parameters
    ----------
    model : keras.Model
        Of `build_unet3class`.
    learning_rate : float
        At the start.
    class_weights : sequence of float
        Weights of background, inside and border in the loss.
    momentum : float
        Memory of batch normalisation, see `helpers.training.shorten_batch_norm_memory`.

    Notes
    -----
    Loss: mean over pixels of ``-w[c] log softmax(logits)[c]``, where c is the true class; as
    published the mean is not divided by the weights. Keras takes the softmax in a form that
    cannot overflow.
    """
    from keras.optimizers import Adam

    shorten_batch_norm_memory(model, momentum)
    model.compile(optimizer=Adam(learning_rate), loss=_weighted_cross_entropy(class_weights))


def _weighted_cross_entropy(class_weights: Sequence[float]) -> Callable:
    from keras import ops

    def weighted_cross_entropy(y_true, y_pred):
        classes = ops.cast(y_true[..., 0], "int32")
        loss = ops.sparse_categorical_crossentropy(classes, y_pred, from_logits=True)
        weights = ops.convert_to_tensor(class_weights, dtype="float32")
        return ops.mean(ops.take(weights, classes) * loss)

    return weighted_cross_entropy


def class_batches(
    images: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    *,
    patch_size: Sequence[int],
    batch_size: int,
    augment: Callable | None = None,
    seed: int = 42,
) -> Callable[[int], Iterator[tuple[np.ndarray, np.ndarray]]]:
    """Return the endless batches of each epoch, for `helpers.training.fit`.

    Parameters
    ----------
    images, labels : sequence of ndarray, YX or ZYX
        Normalised images, and label images of equal shape.
    patch_size : sequence of int
        Sides of the patches in pixels, no larger than any image.
    batch_size : int
        Patches per batch.
    augment : callable, optional
        ``image, classes = augment(image, classes, rng)``, for each patch.
    seed : int
        With the number of the epoch, it decides every draw.

    Returns
    -------
    callable
        ``batches(epoch)`` gives ``(patches, classes)`` of shape ``(batch_size, *patch_size, 1)``.

    Raises
    ------
    ValueError
        If there are no images, or one is smaller than a patch.

    Notes
    -----
    Classes are found on the whole image and then cut, so a nucleus that leaves the patch gets
    no border there.
    """
    if not len(images):
        raise ValueError("images is empty: give at least one labelled image")
    for image in images:
        if any(s < p for s, p in zip(image.shape, patch_size, strict=True)):
            raise ValueError(
                f"an image has shape {image.shape}, smaller than patch_size {tuple(patch_size)}: "
                "lower patch_size"
            )
    classes = [three_class_target(y) for y in labels]
    sizes = np.array([image.size for image in images], float)

    def batches(epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng([seed, epoch])
        while True:
            x = np.empty((batch_size, *patch_size, 1), np.float32)
            y = np.empty((batch_size, *patch_size, 1), np.uint8)
            for k, i in enumerate(rng.choice(len(images), batch_size, p=sizes / sizes.sum())):
                box = _random_box(images[i].shape, patch_size, rng)
                pair = images[i][box], classes[i][box]
                x[k, ..., 0], y[k, ..., 0] = augment(*pair, rng) if augment else pair
            yield x, y

    return batches


def predict_classes(
    model: keras.Model, image: np.ndarray, *, depth: int, tta: bool = False
) -> np.ndarray:
    """Return the probability of each class for every pixel.

    Parameters
    ----------
    model : keras.Model
        Trained.
    image : ndarray, YX or ZYX
        Normalised image of any size; it is mirrored up to a multiple of ``2**depth``.
    depth : int
        Depth of the network.
    tta : bool
        Whether to predict all flips and turns of the image (8 in 2D, 16 in 3D) and to return
        the mean of what they give, turned back. It takes as many times longer.

    Returns
    -------
    ndarray of float32, shape (*image.shape, 3)
        Softmax: background, inside, border.
    """
    step = 2**depth
    padded = np.pad(image, [(0, -side % step) for side in image.shape], mode="symmetric")
    batch = padded[None, ..., None]
    if tta:
        several = turns(image.ndim)
        found = sum(turn.invert(_softmax(model, turn.apply(batch))) for turn in several)
        found = found / len(several)
    else:
        found = _softmax(model, batch)
    return found[0][tuple(slice(side) for side in image.shape)]


def _softmax(model: keras.Model, batch: np.ndarray) -> np.ndarray:
    """Return the probabilities of a batch NYXC or NZYXC."""
    from keras import ops

    logits = ops.convert_to_numpy(model.predict_on_batch(np.ascontiguousarray(batch)))
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))  # the largest is 1
    return powers / powers.sum(axis=-1, keepdims=True)


class ForegroundAP:
    """Score of a three-class U-Net on validation images, for choosing the best checkpoint.

    Parameters
    ----------
    images, labels : sequence of ndarray
        Normalised validation images and their label images.
    depth : int
        Depth of the network.
    max_pixels : int
        Only the first images up to this many pixels are used, at least one.
    """

    def __init__(self, images, labels, *, depth: int, max_pixels: int = 1_000_000):
        n_used = count_images(images, max_pixels)
        self.images, self.labels, self.depth = images[:n_used], labels[:n_used], depth

    def __call__(self, model) -> dict[str, float]:
        """Return `val_ap`: the AP at IoU 0.5 with the best of a few thresholds."""
        inside = [predict_classes(model, x, depth=self.depth)[..., 1] for x in self.images]
        return {"val_ap": max(_score_thresholds(inside, self.labels, (0.3, 0.5, 0.7, 0.85)))}


def tune_components(inside: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> dict[str, float]:
    """Choose the threshold of `helpers.instances.label_foreground` on validation images.

    Parameters
    ----------
    inside : sequence of ndarray of float
        Probability of the class inside.
    labels : sequence of ndarray of int
        Their label images.

    Returns
    -------
    dict
        ``{"threshold": ...}``: of 0.10, 0.15, ... 0.95 the one with the highest mean AP at IoU
        0.5; of equals the highest, as published.
    """
    thresholds = np.round(np.arange(0.1, 0.96, 0.05), 2)[::-1]
    scores = _score_thresholds(inside, labels, thresholds)
    return {"threshold": float(thresholds[int(np.argmax(scores))])}


def tune_watershed(
    inside: Sequence[np.ndarray], labels: Sequence[np.ndarray], *, min_area: int = 20
) -> dict[str, float]:
    """Choose the thresholds of `helpers.instances.grow_seeds` on validation images.

    Parameters
    ----------
    inside, labels
        As in `tune_components`.
    min_area : int
        Smaller objects are dropped.

    Returns
    -------
    dict
        ``seed_threshold``, ``mask_threshold``, ``min_distance``, ``min_area`` with the highest
        mean AP at IoU 0.5. Distances of 0.45 and 0.65 of the typical radius are tried, and none.
    """
    from helpers.instances import grow_seeds, typical_radius

    radius = typical_radius(labels)[0]
    trials = [
        {
            "seed_threshold": seed,
            "mask_threshold": mask,
            "min_distance": part and round(part * radius, 2),
            "min_area": min_area,
        }
        for part in (0.45, 0.65, None)
        for seed in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
        for mask in (0.2, 0.35, 0.5)
        if mask <= seed
    ]
    scores = [_mean_ap(labels, [grow_seeds(p, **trial) for p in inside]) for trial in trials]
    return trials[int(np.argmax(scores))]


def _score_thresholds(inside, labels, thresholds) -> list[float]:
    from helpers.instances import label_foreground

    return [
        _mean_ap(labels, [label_foreground(p, threshold=t) for p in inside]) for t in thresholds
    ]


def _mean_ap(labels, found) -> float:
    from helpers.metrics.datasets import score_dataset

    return float(score_dataset(labels, found, thresholds=[0.5]).mean["ap_50"])


def layer_weights(model: keras.Model) -> dict[str, list[np.ndarray]]:
    """Return the weights of every convolution and its batch normalisation, by position name.

    Parameters
    ----------
    model : keras.Model
        A U-Net of csbdeep or n2v.

    Returns
    -------
    dict of list of ndarray
        Keys such as ``"down_level_0_no_0"`` and ``"down_level_0_no_0/norm"``. The last
        convolution, which the two networks do not share, is left out.

    Notes
    -----
    Batch normalisations get running numbers from Keras, which depend on what was built before;
    they are named after the convolution in front of them. n2v puts ``channel_0`` before names.
    """
    return {name: layer.get_weights() for name, layer in _named_layers(model)}


def copy_weights(source: keras.Model, target: keras.Model) -> int:
    """Copy all weights but the last layer's from a denoising to a segmenting U-Net, by name.

    Parameters
    ----------
    source, target : keras.Model
        Of equal depth, filters and kernel size.

    Returns
    -------
    int
        Number of arrays copied.

    Raises
    ------
    ValueError
        If a layer of the target has no partner of equal shape; then nothing is copied.
    """
    given = layer_weights(source)
    wanted = layer_weights(target)
    unlike = sorted(
        name
        for name in given.keys() | wanted.keys()
        if [w.shape for w in given.get(name, [])] != [w.shape for w in wanted.get(name, [])]
    )
    if unlike:
        raise ValueError(
            f"{len(unlike)} layers differ between the networks, such as {unlike[0]}: give both "
            "the same depth, filters and kernel size"
        )
    for name, layer in _named_layers(target):
        layer.set_weights(given[name])
    return sum(len(arrays) for arrays in given.values())


def _named_layers(model: keras.Model) -> Iterator[tuple[str, keras.layers.Layer]]:
    name = None
    for layer in model.layers:
        if BLOCK_NAME.search(layer.name) and type(layer).__name__.startswith("Conv"):
            name = layer.name.removeprefix("channel_0")
            yield name, layer
        elif type(layer).__name__ == "BatchNormalization":
            yield f"{name}/norm", layer


def _random_box(shape, patch_size, rng) -> tuple[slice, ...]:
    starts = [int(rng.integers(s - p + 1)) for s, p in zip(shape, patch_size, strict=True)]
    return tuple(slice(a, a + p) for a, p in zip(starts, patch_size, strict=True))
