"""What the blocks of `helpers.tiles.blocks` are predicted from: arrays in files, saved models."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from helpers.normalise import Normalizer

__all__ = ["load_network", "open_array", "window_function"]

_LOADING = threading.Lock()


def open_array(source, leading: Sequence[int] = ()):
    """Return an array of a file without reading it.

    Parameters
    ----------
    source : path or array
        A zarr array (of a group or OME-Zarr image with the name inside of it, such as
        ``cells.zarr/0``) or a ``.npy`` file. Anything else is returned as it is.
    leading : sequence of int
        Indices along the first axes, which the result does not have.

    Returns
    -------
    array
        With a shape, and values read where it is sliced.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a folder is not a zarr array.
    """
    array = _open_path(Path(source)) if isinstance(source, str | Path) else source
    return _Part(array, tuple(leading)) if leading else array


@lru_cache(maxsize=1)
def load_network(folder: str) -> tuple[Callable, Normalizer | None]:
    """Return the network of a folder and its normaliser; loaded once in each process.

    Parameters
    ----------
    folder : str
        A folder of `helpers.saving.save_model`, whose network takes values as it is given
        them, or a model or run folder of a network for masks (notebook 05).

    Returns
    -------
    network : keras.Model
    normalizer : Normalizer or None

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no model in it.
    ValueError
        If the folder's method needs more than windows: a method that measures the whole image,
        or that makes objects.
    """
    import helpers.unets  # registers its layers
    from helpers.predict.predictors import RECORD, load_predictor
    from helpers.saving import load_model

    place = Path(folder)
    if not any((place / part / RECORD).exists() for part in ("", "model")):
        inner = place / "model"
        model = load_model(inner if (inner / "model.json").exists() else place)
        return helpers.unets.main_output(model), None
    predictor = load_predictor(place)
    if predictor.name != "em_unet":
        raise ValueError(
            f"{folder} holds a model of {predictor.method.title}, which needs more than a window: "
            "give a network for masks (notebook 05), or a function of your own"
        )
    normalizer = Normalizer.from_dict(predictor.settings.get("normalizer") or {})
    return helpers.unets.main_output(predictor.model), normalizer


def window_function(predict: Callable | str, normalize: Callable | None, ndim: int) -> Callable:
    """Return what predicts a batch of windows: normalised, and slice by slice if it is 2D.

    Parameters
    ----------
    predict : callable or str
        A function, or the folder of a model.
    normalize : callable, optional
        Instead of what the model was trained with.
    ndim : int
        Spatial axes of the windows.

    Raises
    ------
    ValueError
        If the normaliser would measure each window anew.
    """
    by_slice = False
    if isinstance(predict, str):
        with _LOADING:  # threads that come first would all load
            network, trained = load_network(predict)
        by_slice = ndim - (len(network.inputs[0].shape) - 2) == 1
        predict, normalize = network.predict_on_batch, normalize or trained
    if isinstance(normalize, Normalizer) and normalize.constants is None:
        raise ValueError(
            "the normaliser measures each image anew, and would each window: give normalize="
            "Normalizer().fit([...]) with a coarse copy of the whole image"
        )

    def on_windows(batch: np.ndarray) -> np.ndarray:
        batch = normalize(batch) if normalize else batch
        found = np.asarray(predict(batch[:, 0] if by_slice else batch))
        return found[:, None] if by_slice else found

    return on_windows if normalize or by_slice else predict


class _Part:
    """An array at fixed indices along its first axes."""

    def __init__(self, array, leading: tuple[int, ...]):
        self.array, self.leading, self.shape = array, leading, tuple(array.shape[len(leading) :])

    def __getitem__(self, box):
        return self.array[(*self.leading, *box)]


def _open_path(path: Path):
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: give a zarr array or a .npy file")
    if path.suffix == ".npy":
        return np.load(path, mmap_mode="r", allow_pickle=False)
    import zarr

    found = zarr.open(path, mode="r")
    if not hasattr(found, "shape"):
        raise ValueError(
            f"{path} is a zarr group of {', '.join(sorted(found)) or 'nothing'}: give one of its "
            f"arrays, such as {path.name}/{min(found, default='0')}"
        )
    return found
