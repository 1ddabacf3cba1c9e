"""Noise2Void around the n2v package: its model and files, with faster batches.

The package masks pixels one by one in Python and plans for hundreds of epochs on a GPU. Here its
model is fed by `helpers.denoise.blindspot` and trained by `helpers.training`.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.denoise.blindspot import blind_spot_batches, draw_patches, mask_pixels
from helpers.tiles.orientations import turns

if TYPE_CHECKING:
    import keras
    import pandas as pd
    from n2v.models import N2V

__all__ = [
    "denoise",
    "fit_patch",
    "get_denoiser",
    "load_denoiser",
    "make_denoiser",
    "train_denoiser",
]

MODEL = "model"  # the package keeps a model in the folder of this name
VAL_PATCHES = 64
EDGE = 8  # pixels mirrored at every edge: without, the network sees zeros there and errs more


def make_denoiser(
    images: Sequence[np.ndarray],
    folder: str | Path,
    *,
    depth: int = 4,
    filters: int = 16,
    kernel_size: int = 3,
    n2v2: bool = False,
) -> N2V:
    """Make an untrained Noise2Void model of the n2v package.

    Parameters
    ----------
    images : sequence of ndarray, YX or ZYX
        Noisy training images; their mean and standard deviation over all pixels become part of
        the model, which takes and returns grey levels.
    folder : path
        The run folder; the model lies in its folder ``model``.
    depth : int
        How often the U-Net halves its image.
    filters : int
        Filters of the first level; each level below has twice as many.
    kernel_size : int
        Side of the convolutions in pixels.
    n2v2 : bool
        The network of N2V2 (Höck et al. 2022): blurred pooling, and no skip connection at full
        resolution. It avoids chequered patterns. 2D only.

    Returns
    -------
    n2v.models.N2V

    Raises
    ------
    ValueError
        If images are not grey 2D or 3D, constant, or hold NaN, or `n2v2` is asked for in 3D.
    """
    from n2v.models import N2VConfig

    mean, std = _measure(images)
    n_axes = images[0].ndim
    if n2v2 and n_axes == 3:
        raise ValueError("n2v2 is True, but its pooling exists in 2D only: set it to False")
    config = N2VConfig(
        np.zeros((1, *(1,) * n_axes, 1), np.float32),
        means=[str(mean)],
        stds=[str(std)],
        unet_n_depth=depth,
        unet_n_first=filters,
        unet_kern_size=kernel_size,
        blurpool=n2v2,
        skip_skipone=n2v2,
        n2v_manipulator="median" if n2v2 else "uniform_withoutCP",
        train_loss="mse",
        train_tensorboard=False,
        single_net_per_channel=False,  # its network has lambdas, which cannot be saved
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="output path for model already exists")
        return _model_class()(config, MODEL, basedir=str(folder))


def _model_class() -> type[N2V]:
    """Return N2V with the network that VoidSeg published.

    Since version 0.3 the package's decoder has the filters of the first level everywhere. The
    published one, csbdeep's, doubles them at each level; only its weights fit a segmenting
    U-Net of csbdeep. N2V2 exists in the package's form alone.
    """
    from csbdeep.internals.nets import custom_unet
    from n2v.models import N2V

    class Denoiser(N2V):
        def _build(self) -> keras.Model:
            config = self.config
            if config.skip_skipone or config.blurpool:
                return super()._build()
            return custom_unet(
                config.unet_input_shape,
                last_activation=config.unet_last_activation,
                n_depth=config.unet_n_depth,
                n_filter_base=config.unet_n_first,
                kernel_size=(config.unet_kern_size,) * config.n_dim,
                pool_size=(2,) * config.n_dim,
                batch_norm=config.batch_norm,
            )

    return Denoiser


def load_denoiser(folder: str | Path) -> N2V:
    """Load a trained model from a run folder.

    Raises
    ------
    FileNotFoundError
        If `folder` holds no trained denoiser.
    """
    weights = Path(folder) / MODEL / "weights_best.h5"
    if not weights.is_file():
        raise FileNotFoundError(
            f"{folder} holds no trained denoiser ({MODEL}/weights_best.h5 is not there): run "
            "notebook 02 on the same data first"
        )
    with _silence():
        model = _model_class()(None, MODEL, basedir=str(folder))
        model.load_weights(weights.name)
    return model


def get_denoiser(
    train: Sequence[np.ndarray],
    val: Sequence[np.ndarray],
    run_folder: str | Path,
    *,
    depth: int,
    filters: int,
    n_steps: int,
    seed: int = 42,
) -> N2V:
    """Load the denoiser of notebook 02 if it fits, else train one.

    Parameters
    ----------
    train, val : sequence of ndarray
        Noisy images in grey levels.
    run_folder : path
        Run folder of notebook 02 on the same data.
    depth, filters : int
        Of the network that is wanted.
    n_steps, seed : int
        Of a training that is needed, see `train_denoiser`.

    Returns
    -------
    n2v.models.N2V
        Trained. A new one is kept in a hidden folder beside `run_folder`, for the next time.

    Notes
    -----
    A denoiser fits if depth, filters, and the mean and standard deviation of its training images
    are those asked for; the latter tells data that have changed since.
    """
    spare = Path(run_folder).with_name(f".denoiser_{depth}_{filters}_{n_steps}")
    for folder in (Path(run_folder), spare):
        if (folder / MODEL / "weights_best.h5").is_file():
            model = load_denoiser(folder)
            if _fits(model, train, depth, filters):
                print(f"denoiser of {folder.parent.name}/{folder.name}")
                return model
    print(f"no denoiser of depth {depth} with {filters} filters for these images: training one")
    model = make_denoiser(train, spare, depth=depth, filters=filters)
    patch_size = fit_patch(train, 96, depth=depth)
    train_denoiser(
        model, train, val, folder=spare, patch_size=patch_size, n_steps=n_steps, seed=seed
    )
    return model


def _fits(model: N2V, train: Sequence[np.ndarray], depth: int, filters: int) -> bool:
    config = model.config
    same = (config.unet_n_depth, config.unet_n_first, config.blurpool) == (depth, filters, False)
    stored = [float(config.means[0]), float(config.stds[0])]
    return same and np.allclose(stored, _measure(train), rtol=0.02)


def fit_patch(images: Sequence[np.ndarray], wanted: int, *, depth: int) -> tuple[int, ...]:
    """Return the largest patch up to `wanted` pixels each way that the network can take.

    Parameters
    ----------
    images : sequence of ndarray, YX or ZYX
        Training images.
    wanted : int
        Largest side in pixels.
    depth : int
        Depth of the network; sides are multiples of ``2**depth``.

    Returns
    -------
    tuple of int
        It fits into the median image; `draw_patches` passes over smaller ones.

    Raises
    ------
    ValueError
        If the images are smaller than ``2**depth`` pixels.
    """
    step = 2**depth
    typical = np.median([image.shape for image in images], axis=0)
    sides = np.minimum(typical, max(wanted, step)).astype(int) // step * step
    if (sides == 0).any():
        raise ValueError(
            f"images are about {tuple(int(s) for s in typical)} pixels, but a network of depth "
            f"{depth} needs {step} each way: lower depth"
        )
    return tuple(int(side) for side in sides)


def train_denoiser(
    model: N2V,
    train: Sequence[np.ndarray],
    val: Sequence[np.ndarray],
    *,
    folder: str | Path,
    patch_size: Sequence[int],
    n_steps: int,
    batch_size: int = 16,
    n_epochs: int = 20,
    learning_rate: float = 2e-3,
    percent: float = 1.5,
    radius: int = 5,
    seed: int = 42,
) -> pd.DataFrame:
    """Train on noisy images alone; an interrupted training goes on where it stopped.

    Parameters
    ----------
    model : n2v.models.N2V
        Of `make_denoiser`.
    train, val : sequence of ndarray, YX or ZYX
        Noisy images in grey levels; the loss on `val` is measured, not used.
    folder : path
        The run folder.
    patch_size : sequence of int
        Sides in pixels, multiples of ``2**depth``, see `fit_patch`.
    n_steps, batch_size, n_epochs : int
        Steps in all, patches in a step, and how often the validation loss is measured.
    learning_rate : float
        Of Adam at the start; it falls to 0 along a cosine.
    percent, radius
        Share of hidden pixels and reach of their neighbourhood, see
        `helpers.denoise.blindspot.mask_pixels`.
    seed : int
        Of patches and hidden pixels.

    Returns
    -------
    pandas.DataFrame
        One row per epoch. `loss` and `val_loss` are mean squared errors against *noisy* values,
        in units of the normalised images: they end near the noise's variance, not near 0.
    """
    from helpers.training.loop import fit, shorten_batch_norm_memory

    replace_by = "median" if model.config.n2v_manipulator == "median" else "neighbour"
    masking = {"percent": percent, "radius": radius, "replace_by": replace_by}
    normalized = [_normalize(model, image) for image in train]
    batches = blind_spot_batches(
        normalized, patch_size, batch_size=batch_size, seed=seed, **masking
    )
    _compile(model, learning_rate)
    shorten_batch_norm_memory(model.keras_model)
    history = fit(
        model.keras_model,
        batches,
        folder=folder,
        epochs=n_epochs,
        steps_per_epoch=max(1, n_steps // n_epochs),
        validate=_ValidationLoss(model, val, patch_size, masking),
        # Keep the last weights: the loss against noisy pixels differs by chance more than by
        # quality (choosing by it cost 1.1 dB), and the learning rate has come to 0.
        monitor="steps",
        mode="max",
    )
    model.keras_model.save_weights(str(Path(folder) / MODEL / "weights_best.h5"))
    return history


def denoise(
    model: N2V, image: np.ndarray, *, tta: bool = False, max_pixels: int = 2_000_000
) -> np.ndarray:
    """Remove the noise of one image.

    Parameters
    ----------
    model : n2v.models.N2V
        Trained.
    image : ndarray, YX or ZYX
        In the grey levels of the training images.
    tta : bool
        Average over the 8 flips and turns of the plane (16 of a stack): so many times the time,
        some tenths of a decibel better.
    max_pixels : int
        Larger images are predicted in overlapping tiles of about this size.

    Returns
    -------
    ndarray of float32, shape of `image`
        Grey levels. The image is mirrored at its edges by 8 pixels, which are cut off again.

    Raises
    ------
    ValueError
        If the number of axes is not that of the model.
    """
    axes = model.config.axes.removesuffix("C")
    if image.ndim != len(axes):
        raise ValueError(f"image has shape {image.shape}, but the model was made for {axes}")
    margin = [min(EDGE, size - 1) for size in image.shape]
    inner = tuple(slice(m, m + size) for m, size in zip(margin, image.shape, strict=True))
    image = np.pad(np.asarray(image, np.float32), [(m, m) for m in margin], mode="reflect")
    image = image[None, ..., None]
    ways = turns(len(axes)) if tta else turns(len(axes))[:1]
    views = [way.apply(image)[0, ..., 0] for way in ways]
    if image.size > max_pixels:
        n_tiles = _count_tiles(image.shape[1:-1], max_pixels)
        found = [model.predict(view, axes, n_tiles=n_tiles) for view in views]
    else:
        found = _predict(model, views)
    back = [way.invert(x[None, ..., None]) for way, x in zip(ways, found, strict=True)]
    return np.mean(back, axis=0)[0, ..., 0][inner]


def _predict(model: N2V, views: list[np.ndarray]) -> list[np.ndarray]:
    """Denoise views of one image, those of equal shape together; much faster than one by one."""
    from csbdeep.data import PadAndCropResizer

    axes, step = f"S{model.config.axes}", 2**model.config.unet_n_depth
    divisors = (1, *(step,) * model.config.n_dim, 1)
    mean, std = float(model.config.means[0]), float(model.config.stds[0])
    found = {}
    for shape in dict.fromkeys(view.shape for view in views):
        alike = {i: _normalize(model, view) for i, view in enumerate(views) if view.shape == shape}
        resizer = PadAndCropResizer()  # as in the package's own prediction
        batch = resizer.before(np.stack(list(alike.values()))[..., None], axes, divisors)
        answer = resizer.after(np.asarray(model.keras_model.predict_on_batch(batch)), axes)
        found |= zip(alike, answer[..., 0] * std + mean, strict=True)
    return [found[i] for i in range(len(views))]


class _ValidationLoss:
    """The masked loss on the same masked patches after every epoch."""

    def __init__(self, model: N2V, images, patch_size, masking: dict):
        rng = np.random.default_rng(0)
        normalized = [_normalize(model, image) for image in images]
        patches = draw_patches(normalized, patch_size, VAL_PATCHES, rng=rng)
        self.inputs, self.targets = mask_pixels(patches, rng=rng, **masking)

    def __call__(self, network) -> dict[str, float]:
        predicted = network.predict(self.inputs, batch_size=8, verbose=0)
        target, hidden = np.split(self.targets, 2, axis=-1)
        loss = float(np.sum((target - predicted * hidden) ** 2) / hidden.sum())
        return {"val_loss": loss, "steps": int(network.optimizer.iterations)}


def _measure(images: Sequence[np.ndarray]) -> tuple[float, float]:
    shapes = {image.ndim for image in images}
    if shapes not in ({2}, {3}):
        raise ValueError(f"images have {sorted(shapes)} axes: give grey images, all YX or all ZYX")
    pixels = np.concatenate([np.ravel(image) for image in images]).astype(np.float32)
    mean, std = float(pixels.mean(dtype=np.float64)), float(pixels.std(dtype=np.float64))
    if not (np.isfinite(mean) and std > 0):
        raise ValueError("images are constant or hold NaN: leave such images out")
    return mean, std


def _normalize(model: N2V, image: np.ndarray) -> np.ndarray:
    mean, std = float(model.config.means[0]), float(model.config.stds[0])
    return (np.asarray(image, np.float32) - np.float32(mean)) / np.float32(std)


def _compile(model: N2V, learning_rate: float) -> None:
    from keras.optimizers import Adam
    from n2v.internals.n2v_losses import loss_mse

    model.keras_model.compile(optimizer=Adam(learning_rate), loss=loss_mse())


def _count_tiles(shape: Sequence[int], max_pixels: int) -> tuple[int, ...]:
    tiles = np.ones(len(shape), int)
    while np.prod(np.ceil(np.array(shape) / tiles)) > max_pixels:
        tiles[np.argmax(np.array(shape) / tiles)] += 1
    return tuple(int(n) for n in tiles)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
