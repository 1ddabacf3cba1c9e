"""Is an image one that a saved model was made for? Errors and notes of one line each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helpers.predict.predictors import Predictor

__all__ = ["check_memory", "fit_image", "free_memory"]

COLOUR_MEND = (
    "save one channel, or the grey image (in Fiji: Image > Type > 8-bit, or Split Channels)"
)


def fit_image(
    predictor: Predictor, image: np.ndarray, axes: str, pixel_size_um=None
) -> tuple[np.ndarray, list[str]]:
    """Return an image as the model takes it, and what is unlike the training images.

    Parameters
    ----------
    predictor : Predictor
        The model.
    image : ndarray
        As `helpers.images.read_image_axes` reads it.
    axes : str
        Of the image.
    pixel_size_um : tuple of float, optional
        Of the image.

    Returns
    -------
    image : ndarray, YX or ZYX
        Grey; three equal colour channels are taken as one.
    notes : list of str
        Of one line each.

    Raises
    ------
    ValueError
        If the model cannot take the image: colour, time, other dimensions, NaN, one value.
    """
    notes = []
    if "T" in axes:
        raise ValueError(f"is a time series {_size(image)}: save one image per time point")
    if axes.endswith("C") and predictor.n_channels == 1:
        if image.shape[-1] != 3 or (image != image[..., :1]).any():
            raise ValueError(f"has {image.shape[-1]} channels, the model takes grey: {COLOUR_MEND}")
        image, axes = image[..., 0], axes[:-1]
        notes.append("three equal colour channels were read as one")
    _check_axes(predictor, image, axes)
    dtype = str(image.dtype)
    image = image.astype(np.uint8) if image.dtype == bool else image
    values = np.asarray(image).reshape(-1)[:: 1 + image.size // 500_000]
    if not np.isfinite(values).all():
        raise ValueError("holds NaN or infinite values: fill them (np.nan_to_num) or crop")
    low, high = np.percentile(values, (1, 99.8))
    if values.min() == values.max() and image.min() == image.max():
        raise ValueError(f"has the value {image.flat[0]} everywhere: was it exported empty?")
    if len(np.unique(values)) == 2:
        notes.append("holds two values only: is it a mask?")
    facts = predictor.trained_on
    notes += _compare_values(predictor, dtype, (float(low), float(high)), facts)
    notes += _compare_sizes(pixel_size_um, facts.get("pixel_size_um"))
    return image, notes


def _check_axes(predictor: Predictor, image: np.ndarray, axes: str) -> None:
    n_axes, title = len(axes.removesuffix("C")), predictor.method.title
    if n_axes == predictor.ndim or (n_axes == 3 and predictor.method.by_plane):
        return
    if n_axes == 3:
        raise ValueError(
            f"is a stack {_size(image)}, this {title} takes single planes: save the planes as "
            "images of their own, or train the 3D form of the method"
        )
    raise ValueError(f"is a plane {_size(image)}, this {title} takes stacks (Z, Y, X)")


def _size(image: np.ndarray) -> str:
    return " x ".join(map(str, image.shape))


def _compare_values(predictor, dtype: str, limits: tuple, facts: dict) -> list[str]:
    if "low" not in facts:
        return []
    low, high = facts["low"], facts["high"]
    span, known_span = limits[1] - limits[0], max(high - low, 1e-9)
    alike = 0.2 < span / known_span < 5
    if _has_fixed_scale(predictor) and not alike:
        return [
            f"grey values span {span:.4g}, in training {known_span:.4g}; this model does not "
            "rescale them, so expect a poor result: bring them to the same unit"
        ]
    return [f"{dtype}, trained on {facts['dtype']}"] if dtype != facts["dtype"] else []


def _has_fixed_scale(predictor: Predictor) -> bool:
    constants = (predictor.settings.get("normalizer") or {}).get("constants")
    return predictor.name in ("n2v", "afm_unet") or constants is not None


def _compare_sizes(found, known) -> list[str]:
    if not found or not known:
        return []
    ratio = found[-1] / known[-1]
    if 1 / 1.5 < ratio < 1.5:
        return []
    return [
        f"pixels of {found[-1]:.3g} um, in training {known[-1]:.3g} um: objects look "
        f"{1 / ratio:.2g} times as large; resize for a fair result"
    ]


def free_memory() -> int | None:
    """Return the bytes of memory that are free, or None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        (line,) = [line for line in lines if line.startswith("MemAvailable")]
        return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return None


def check_memory(path: Path, bytes_per_pixel: int) -> None:
    """Raise MemoryError if an image in a TIFF file is too large to be predicted at once."""
    import tifffile

    free = free_memory()
    if free is None or path.suffix.lower() not in (".tif", ".tiff"):
        return
    try:
        with tifffile.TiffFile(path) as file:
            shape = file.series[0].shape
    except Exception:  # noqa: BLE001  whatever is wrong with it, reading it will tell
        return
    needed = float(np.prod(shape, dtype=float)) * bytes_per_pixel
    if needed > free:
        raise MemoryError(
            f"is {' x '.join(map(str, shape))}, which needs about {needed / 1e9:.0f} GB of memory; "
            f"{free / 1e9:.0f} GB are free: cut it into pieces, or see the notebook's section on "
            "large images"
        )
