"""Save a trained Keras model so that a later reload provably gives the same output.

What "the same" means: no value of the output differs from the stored one by more than
:data:`TOLERANCE` of the largest stored value. Processors and graphics cards round differently (up
to about 0.001, where a card computes with TF32); other weights or layers change far more.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.device import package_versions, project_version
from helpers.storage import read_json, write_whole

if TYPE_CHECKING:
    import keras

__all__ = ["TOLERANCE", "check_saved", "example_input", "load_model", "save_check", "save_model"]

TOLERANCE = 0.01
CHECK = "check.npz"
CODE_OF_OTHERS = ("Lambda", "__lambda__", "TFOpLambda", "TFSMLayer", "TorchModuleWrapper")


def save_model(model: "keras.Model", folder: str | Path, example: np.ndarray) -> Path:
    """Save a model with a small example of its input and output, and test the reload.

    Parameters
    ----------
    model
        A model of Keras layers, or of own layers registered by
        :func:`keras.saving.register_keras_serializable`.
    folder
        Gets ``model.json`` (architecture), ``model.weights.h5`` and ``example.npz``. An
        earlier model there is replaced.
    example
        A batch as the model takes it, best a small one.

    Returns
    -------
    pathlib.Path
        `folder`.

    Raises
    ------
    ValueError
        If the model has ``Lambda`` layers, whose code would have to be loaded from the file,
        or if the reloaded model gives another output.
    """
    from keras.layers import Lambda

    if lambdas := [layer.name for layer in model._flatten_layers() if isinstance(layer, Lambda)]:
        raise ValueError(
            f"model has Lambda layers ({', '.join(lambdas)}), which cannot be reloaded safely: "
            "write each as a registered keras.layers.Layer."
        )
    folder = Path(folder)
    with write_whole(folder / "model.weights.h5") as part:
        type(model).save_weights(model, part)
    _write_example(model, example, folder / "example.npz")
    with write_whole(folder / "model.json") as part:
        part.write_text(json.dumps(_architecture(model), indent=1), encoding="utf-8")
    load_model(folder)
    return folder


def load_model(folder: str | Path) -> "keras.Model":
    """Load a saved model, and check that it still gives the stored output.

    Parameters
    ----------
    folder
        Where :func:`save_model` put it.

    Returns
    -------
    keras.Model
        Ready to predict; compile it before training it further.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If the output differs from the stored one by more than :data:`TOLERANCE` of its largest
        value, or the file asks for code that is not part of Keras or this project.
    """
    from keras.saving import deserialize_keras_object

    folder = Path(folder)
    for name in ("model.json", "model.weights.h5", "example.npz"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing: save the model again.")
    config = _read(read_json, folder / "model.json")
    versions = config.pop("made_with", None)
    _refuse_code(config, folder)
    model = deserialize_keras_object(config, safe_mode=True)
    _read(model.load_weights, folder / "model.weights.h5")
    _compare_example(model, folder / "example.npz", versions)
    return model


def _read(read, path: Path):
    try:
        return read(path)
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{path} cannot be read ({reason}): it is damaged, cut off or of another network; "
            "copy it again, or save the model again"
        ) from None


def example_input(model: "keras.Model", *, side: int = 32, seed: int = 0) -> np.ndarray:
    """Return a small random batch that a network of one input takes.

    Parameters
    ----------
    model
        With images NYXC or NZYXC as input.
    side
        Pixels along each axis, more where the network needs it.
    seed
        Of the random values, which lie between 0 and 1.

    Returns
    -------
    ndarray of float32
    """
    from helpers.unets import input_divisor

    shape = model.inputs[0].shape[1:]
    steps = input_divisor(model)
    sides = [
        fixed or -(-side // step) * step for fixed, step in zip(shape[:-1], steps, strict=True)
    ]
    return np.random.default_rng(seed).random((1, *sides, shape[-1]), np.float32)


def save_check(model: "keras.Model", folder: str | Path) -> Path:
    """Write ``check.npz``, an input and its output, beside a model of another package.

    Parameters
    ----------
    model
        The Keras network inside of the package's model.
    folder
        The package's model folder.

    Returns
    -------
    pathlib.Path
        The written file; :func:`check_saved` compares with it.
    """
    path = Path(folder) / CHECK
    _write_example(model, example_input(model), path)
    return path


def check_saved(model: "keras.Model", folder: str | Path, versions: dict | None = None) -> None:
    """Compare the output of a loaded network with ``check.npz``, if the folder has it.

    Raises
    ------
    ValueError
        If it differs by more than :data:`TOLERANCE` of the largest value.
    """
    if (path := Path(folder) / CHECK).is_file():
        _compare_example(model, path, versions)


def _refuse_code(config: dict, folder: Path) -> None:
    """Raise if an architecture names code that neither Keras has nor this session registered."""
    from keras.saving import get_registered_object

    for part in _walk(config):
        name, registered = part.get("class_name"), part.get("registered_name")
        module = part.get("module") or ("" if registered else "keras")
        trusted = module.split(".")[0] in ("keras", "builtins")
        known = trusted or (registered and get_registered_object(registered) is not None)
        if name in CODE_OF_OTHERS or not known:
            raise ValueError(
                f"{folder / 'model.json'} asks for {name} of {module or registered}, code that is "
                "neither part of Keras nor of this project, and is not run: take a model saved by "
                "this project"
            )


def _walk(config) -> Iterator[dict]:
    parts = config.values() if isinstance(config, dict) else config
    if isinstance(config, dict) and "class_name" in config:
        yield config
    for part in parts:
        if isinstance(part, dict | list):
            yield from _walk(part)


def _architecture(model: "keras.Model") -> dict:
    from keras.saving import serialize_keras_object

    config = serialize_keras_object(model)
    # loss and optimizer are not needed to predict, and may be functions of a notebook
    config.pop("compile_config", None)
    versions = package_versions(("keras", "tensorflow", "numpy"))
    return config | {"made_with": {"microseg-notebooks": project_version(), **versions}}


def _predict(model: "keras.Model", batch: np.ndarray) -> list[np.ndarray]:
    from keras import tree

    return [np.asarray(array) for array in tree.flatten(model.predict(batch, verbose=0))]


def _write_example(model: "keras.Model", example: np.ndarray, path: Path) -> None:
    with write_whole(path) as part:
        outputs = {f"output{i}": a for i, a in enumerate(_predict(model, example))}
        np.savez(part, input=example, **outputs)


def _compare_example(model: "keras.Model", path: Path, versions: dict | None) -> None:
    with np.load(path, allow_pickle=False) as stored:
        expected = [stored[f"output{i}"] for i in range(len(stored.files) - 1)]
        found = _predict(model, stored["input"])
    made = ", ".join(f"{name} {version}" for name, version in (versions or {}).items())
    for old, new in zip(expected, found, strict=True):
        limit = TOLERANCE * max(float(np.abs(old).max(initial=0)), 1e-6)
        if old.shape != new.shape or not np.all(np.abs(old - new) <= limit):
            raise ValueError(
                f"{path.parent}: the reloaded model gives another output than when it was saved "
                f"(shape {new.shape}, stored {old.shape}). The weights, or the code of its "
                "layers, have changed: take the saved version, or save the model again. It was "
                f"made with {made or 'an unknown version'}."
            )
