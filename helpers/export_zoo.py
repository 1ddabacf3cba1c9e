"""A saved network as a package of the BioImage Model Zoo (bioimage.io, format 0.5)."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from helpers.normalise import Normalizer
from helpers.predictor_methods import keras_network
from helpers.predictors import RECORD, Predictor, load_predictor
from helpers.report_text import CITATIONS, WHAT

__all__ = ["write_zoo_package"]

SPACE = "zyx"
NOT_YET = {
    "stardist": "the stardist package writes its own: stardist.bioimageio_utils.export_bioimageio",
    "mask_rcnn": "its steps between the networks have no place in the format",
}
README = """# {title}

{what}. Trained with microseg-notebooks {version}.

The package holds the network and the scaling of grey values. What comes after it, thresholds and
the separation of objects, is in `predictor.json`; `python -m helpers predict` of the project does
both.{extra}

{citations}
"""


def write_zoo_package(
    model_folder: str | Path, path: str | Path, *, author: str, overwrite: bool = False
) -> Path:
    """Write the package of a saved model, and run the format's own test on it.

    Parameters
    ----------
    model_folder : path
        A run folder or model folder, as `helpers.predictors.load_predictor` takes it.
    path : path
        File to write, ending in ``.zip``.
    author : str
        Who made the model, as the zoo shows it.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    pathlib.Path
        The package. Networks with layers of this project load where it is imported.

    Raises
    ------
    ValueError
        If the file exists, the method cannot be described, or the test of the package fails.
    ImportError
        If ``bioimageio.core`` is not installed.
    """
    path = Path(path)
    if path.suffix != ".zip":
        raise ValueError(f"path is {path.name}: end the name in .zip")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists already: choose another name, or give overwrite=True")
    import keras

    # unless told, the package writes "torch" there, and later child processes would obey
    os.environ["KERAS_BACKEND"] = keras.backend.backend()
    try:
        import bioimageio.core
        from bioimageio.spec import save_bioimageio_package
    except ImportError as error:
        raise ImportError("pip install bioimageio.core, which writes and tests packages") from error
    predictor = load_predictor(model_folder)
    if predictor.name in NOT_YET:
        raise ValueError(f"{predictor.method.title} is not written here: {NOT_YET[predictor.name]}")
    with tempfile.TemporaryDirectory() as folder:
        description = _describe(predictor, Path(folder), author)
        part = Path(folder) / "package.zip"
        save_bioimageio_package(description, output_path=part)
        summary = bioimageio.core.test_description(part)
        if summary.status != "passed":
            raise ValueError(f"the package does not pass its test: {summary.display() or summary}")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(part, path)
    return path


def _describe(predictor: Predictor, folder: Path, author: str):
    import bioimageio.spec.model.v0_5 as zoo
    from bioimageio.spec._internal.version_type import Version

    from helpers.device import package_versions, project_version
    from helpers.saving import example_input
    from helpers.storage import write_json

    network = keras_network(predictor.model)
    network.save(folder / "network.keras")
    raw = example_input(network, side=64 if predictor.ndim == 2 else 16)
    x, before, after = _scaling(predictor, raw)
    y = np.asarray(network.predict(x, verbose=0)).astype(np.float32)
    gain, offset = after or (1.0, 0.0)
    np.save(folder / "test_input.npy", raw)
    np.save(folder / "test_output.npy", (y * np.float32(gain) + np.float32(offset)))
    write_json(folder / RECORD, {"method": predictor.name, "settings": predictor.settings})
    title, papers = predictor.method.title, CITATIONS[predictor.name]
    (folder / "README.md").write_text(_readme(predictor, papers), encoding="utf-8")
    versions = package_versions(("keras", "tensorflow"))
    names = SPACE[3 - predictor.ndim :]
    output = zoo.OutputTensorDescr(
        id=zoo.TensorId("output"),
        axes=[zoo.BatchAxis(), *_output_axes(zoo, names), _channels(zoo, y.shape[-1])],
        test_tensor=zoo.FileDescr(source=folder / "test_output.npy"),
        postprocessing=_linear(zoo, gain, offset) if after else [],
    )
    return zoo.ModelDescr(
        name=f"{title} of microseg-notebooks",
        description=WHAT[predictor.name],
        authors=[zoo.Author(name=author)],
        cite=[zoo.CiteEntry(text=text, url=_link(text)) for text in papers if _link(text)],
        license=zoo.LicenseId("BSD-3-Clause"),
        documentation=zoo.FileDescr(source=folder / "README.md"),
        attachments=[zoo.FileDescr(source=folder / RECORD)],
        tags=["segmentation", "keras", predictor.name],
        version=zoo.Version(project_version()) if hasattr(zoo, "Version") else None,
        inputs=[
            zoo.InputTensorDescr(
                id=zoo.TensorId("image"),
                axes=[
                    zoo.BatchAxis(),
                    *_input_axes(zoo, names, network),
                    _channels(zoo, raw.shape[-1]),
                ],
                test_tensor=zoo.FileDescr(source=folder / "test_input.npy"),
                preprocessing=before(zoo, names),
            )
        ],
        outputs=[output],
        weights=zoo.WeightsDescr(
            keras_v3=zoo.KerasV3WeightsDescr(
                source=folder / "network.keras",
                keras_version=Version(versions["keras"]),
                backend=("tensorflow", Version(versions["tensorflow"])),
            )
        ),
    )


def _readme(predictor: Predictor, papers: list[str]) -> str:
    from helpers.device import project_version

    extra = ""
    if predictor.name == "afm_unet":
        extra = " Height maps must be flattened and scaled by asinh before, as described there."
    if predictor.name == "unet3class" and predictor.model.denoiser is not None:
        extra = " Images must be denoised before, with the denoiser of the project."
    return README.format(
        title=predictor.method.title,
        what=WHAT[predictor.name],
        version=project_version(),
        extra=extra,
        citations="\n".join(f"- {text}" for text in papers),
    )


def _scaling(predictor: Predictor, raw: np.ndarray):
    """Return the scaled input, what describes the scaling, and gain and offset of the output."""
    if predictor.name == "afm_unet":
        return raw, lambda zoo, names: [], None
    if predictor.name == "n2v":
        config = predictor.model.config
        mean, std = float(config.means[0]), float(config.stds[0])
        normalizer, after = Normalizer("mean_std", constants=(mean, std)), (std, mean)
    else:
        stored = predictor.settings.get("normalizer") or {}
        if hasattr(predictor.model, "normalizer"):
            stored = predictor.model.normalizer.to_dict()
        normalizer, after = Normalizer.from_dict(stored), None
    x = normalizer(raw)
    clip = predictor.name == "fpn_watershed"
    x = np.clip(x, 0, 1) if clip else x
    return x, lambda zoo, names: _steps(zoo, normalizer, names, clip), after


def _steps(zoo, normalizer: Normalizer, names: str, clip: bool) -> list:
    steps = []
    if normalizer.constants is None and normalizer.kind == "percentile":
        axes = [*map(zoo.AxisId, (*names, "channel"))]
        limits = {"min_percentile": normalizer.low, "max_percentile": normalizer.high}
        steps = [zoo.ScaleRangeDescr(kwargs=zoo.ScaleRangeKwargs(axes=axes, **limits))]
    elif normalizer.kind == "mean_std" and normalizer.constants:
        mean, std = normalizer.constants
        kwargs = zoo.FixedZeroMeanUnitVarianceKwargs(mean=mean, std=std)
        steps = [zoo.FixedZeroMeanUnitVarianceDescr(kwargs=kwargs)]
    elif normalizer.constants:
        low, high = normalizer.constants
        steps = _linear(zoo, 1 / (high - low), -low / (high - low))
    else:
        steps = [zoo.ZeroMeanUnitVarianceDescr()]
    return [*steps, zoo.ClipDescr(kwargs=zoo.ClipKwargs(min=0.0, max=1.0))] if clip else steps


def _linear(zoo, gain: float, offset: float) -> list:
    return [zoo.ScaleLinearDescr(kwargs=zoo.ScaleLinearKwargs(gain=gain, offset=offset))]


def _input_axes(zoo, names: str, network) -> list:
    from helpers.unets import input_divisor

    steps = input_divisor(network)
    return [
        zoo.SpaceInputAxis(
            id=zoo.AxisId(name), size=zoo.ParameterizedSize(min=max(step, 16), step=step)
        )
        for name, step in zip(names, steps, strict=True)
    ]


def _output_axes(zoo, names: str) -> list:
    return [
        zoo.SpaceOutputAxis(
            id=zoo.AxisId(name),
            size=zoo.SizeReference(tensor_id=zoo.TensorId("image"), axis_id=zoo.AxisId(name)),
        )
        for name in names
    ]


def _channels(zoo, n: int):
    return zoo.ChannelAxis(channel_names=[zoo.Identifier(f"channel{i}") for i in range(n)])


def _link(text: str) -> str | None:
    """Return the address of a paper with an arXiv number."""
    _, found, number = text.partition("arXiv:")
    return f"https://arxiv.org/abs/{number.rstrip('.').strip()}" if found else None
