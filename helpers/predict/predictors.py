"""Saved models that predict: what a model folder holds, saved with it and checked when loaded.

The folder of a model, ``runs/DATASET/METHOD/model``, holds its weights and ``predictor.json``::

    method       a key of `helpers.predict.methods.METHODS`
    settings     constants of preprocessing, thresholds, post-processing
    trained_on   axes, type, grey values and pixel size of the training images
    versions     of this project and of the packages when it was saved
    check.npz    (beside it) an input and the output of the network, compared when it is loaded
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path

import numpy as np

from helpers.predict.methods import METHODS, Method, input_axes, keras_network
from helpers.storage import write_json

__all__ = ["RECORD", "Predictor", "describe_images", "load_predictor", "save_predictor"]

RECORD = "predictor.json"
OTHER_FORMATS = (".h5", ".hdf5", ".keras", ".pkl", ".pickle", ".joblib", ".pt", ".pth", ".zip")


@dataclass(frozen=True)
class Predictor:
    """A trained model with all that its prediction needs.

    Parameters
    ----------
    name : str
        Key of `helpers.predict.methods.METHODS`.
    model : object
        As the method's `load` returns it.
    settings : dict
        Preprocessing, thresholds, post-processing.
    trained_on : dict
        Of `describe_images`; empty where not known.
    notes : tuple of str
        What the user should know before trusting the result.
    """

    name: str
    model: object
    settings: dict
    trained_on: dict = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def method(self) -> Method:
        """The entry of the registry."""
        return METHODS[self.name]

    @property
    def ndim(self) -> int:
        """Spatial axes of the network: 2 or 3."""
        return input_axes(self.model)[0]

    @property
    def n_channels(self) -> int:
        """Channels the network takes."""
        return input_axes(self.model)[1]

    def __call__(self, image: np.ndarray, **changes) -> np.ndarray:
        """Return the label image (or the denoised image) of a raw image.

        Parameters
        ----------
        image : ndarray, YX or ZYX
            Grey values as they are in the file.
        **changes
            Settings to be taken instead of the saved ones, such as ``tta=False`` or
            ``threshold=0.4``.
        """
        return self.method.predict(self.model, image, {**self.settings, **changes})


def save_predictor(
    folder: str | Path,
    name: str,
    model=None,
    *,
    denoiser=None,
    trained_on: dict | None = None,
    notes: tuple[str, ...] = (),
    **settings,
) -> Path:
    """Save what the prediction with a model needs, and test that it loads.

    Parameters
    ----------
    folder : path
        The model folder.
    name : str
        Key of `helpers.predict.methods.METHODS`.
    model : keras.Model, optional
        Saved by `helpers.saving.save_model`; not needed where the method's own package has
        saved its model there already (StarDist, Noise2Void, FPN2-WS).
    denoiser : n2v.models.N2V, optional
        For ``unet3class``: what the images go through first; copied into the folder.
    trained_on : dict, optional
        Of `describe_images`.
    notes : tuple of str
        What users are told when they predict.
    **settings
        Such as ``threshold=0.4`` or ``normalizer=Normalizer()``.

    Returns
    -------
    pathlib.Path
        The written ``predictor.json``.

    Raises
    ------
    ValueError
        If the method is unknown, a setting it needs is missing, or the model does not load
        with the same output.
    """
    folder = Path(folder)
    settings = {key: _plain(value) for key, value in settings.items()}
    _check_record(folder, {"method": name, "settings": settings})
    if model is not None:
        from helpers.saving import example_input, save_model

        save_model(model, folder, example_input(model))
    if denoiser is not None:
        source = Path(denoiser.logdir)
        for file in ("config.json", "weights_best.h5"):
            (folder / "denoiser" / "model").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file, folder / "denoiser" / "model" / file)
    record = {
        "method": name,
        "settings": settings,
        "trained_on": trained_on or {},
        "notes": list(notes),
        "versions": _versions(),
    }
    if not (folder / "model.json").exists() and name != "fpn_watershed":
        from helpers.saving import save_check

        save_check(keras_network(METHODS[name].load(folder)), folder)
    write_json(folder / RECORD, record)
    return folder / RECORD


def load_predictor(folder: str | Path) -> Predictor:
    """Load a saved model for prediction, and check that it gives its stored output.

    Parameters
    ----------
    folder : path
        A run folder, ``runs/DATASET/METHOD``, or the model folder in it.

    Returns
    -------
    Predictor

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no trained model in it.
    ValueError
        If it is a file of another kind, of an unknown method, lacks a setting, or gives
        another output than when it was saved.

    Notes
    -----
    Nothing is unpickled and no code is loaded from the folder. Of runs that were saved without
    ``predictor.json``, what can be told from their other files is.
    """
    from helpers.predict.records import find_record
    from helpers.saving import check_saved

    folder = _check_folder(folder)
    where, record = find_record(folder)
    _check_record(where, record)
    method = METHODS[record["method"]]
    model = method.load(where)
    check_saved(keras_network(model), where, record.get("versions"))
    notes = tuple(record.get("notes", ()))
    facts = record.get("trained_on") or {}
    return Predictor(record["method"], model, record["settings"], facts, notes)


def describe_images(images, axes: str, pixel_size_um=None) -> dict:
    """Return what a user's images are compared with: facts on the training images.

    Parameters
    ----------
    images : sequence of ndarray
        Some training images with raw grey values.
    axes : str
        Such as ``"YX"``.
    pixel_size_um : tuple of float, optional
        Along the axes.

    Returns
    -------
    dict
        ``axes``, ``dtype``, ``low`` and ``high`` (percentiles 1 and 99.8), ``pixel_size_um``.
    """
    values = np.concatenate([np.ravel(image)[:: 1 + image.size // 200_000] for image in images])
    low, high = np.percentile(values[np.isfinite(values)], (1, 99.8))
    return {
        "axes": axes,
        "dtype": str(images[0].dtype),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "pixel_size_um": None if pixel_size_um is None else [float(s) for s in pixel_size_um],
    }


def _check_folder(folder: str | Path) -> Path:
    folder = Path(folder).expanduser()
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist: give a run folder, runs/DATASET/METHOD")
    if folder.is_file() and folder.suffix.lower() in OTHER_FORMATS:
        raise ValueError(
            f"{folder.name} is a model file of another kind, which could run code when loaded: "
            "give the run folder that a notebook wrote, runs/DATASET/METHOD"
        )
    if folder.is_file():
        raise ValueError(f"{folder} is a file: give the run folder, runs/DATASET/METHOD")
    return folder.absolute()


def _check_record(folder: Path, record: dict) -> None:
    name, settings = record.get("method"), record.get("settings")
    if name not in METHODS:
        raise ValueError(
            f"{folder / RECORD}: method is {name!r}, but this version knows "
            f"{', '.join(METHODS)}: update the project, or mend the file"
        )
    if missing := [key for key in METHODS[name].needs if key not in (settings or {})]:
        raise ValueError(
            f"{folder}: the settings of {METHODS[name].title} lack {', '.join(missing)}, without "
            "which it cannot predict: run the notebook again, or give them to save_predictor"
        )


def _plain(value):
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return asdict(value) if is_dataclass(value) else value


def _versions() -> dict:
    from helpers.device import package_versions, project_version

    names = ("keras", "tensorflow", "numpy", "stardist", "n2v", "segmentation-models")
    return {"microseg-notebooks": project_version(), **package_versions(names)}
