"""A saved network as a package of the BioImage Model Zoo (bioimage.io, format 0.5)."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from helpers.export.zoo_networks import pack_network
from helpers.predict.predictors import RECORD, Predictor, load_predictor
from helpers.report.text import CITATIONS, WHAT

__all__ = ["write_zoo_package"]

README = """# {title}

{what}. Trained with microseg-notebooks {version}.

The package holds the network and the scaling of grey values. {after}

{citations}
"""
AFTER = (
    "What comes after it, thresholds and the separation of objects, is in `predictor.json`; "
    "`python -m helpers predict` of the project does both."
)
AFTER_OF = {
    "stardist": (
        "The step from its probabilities and distances to a label image is part of it, and needs "
        "the package stardist; large images, in blocks, by `python -m helpers predict` of the "
        "project."
    ),
    "mask_rcnn": (
        "It takes windows of one size and gives boxes, scores, classes and the mask in each box. "
        "Pasting the masks into a label image and joining windows has no place in the format: "
        "`python -m helpers predict` of the project does both, by the rules in `predictor.json`. "
        "To load the network, Keras needs `helpers.maskrcnn` of the project."
    ),
    "afm_unet": f"{AFTER} Height maps must be flattened and scaled by asinh before, as there.",
}


def write_zoo_package(
    model_folder: str | Path, path: str | Path, *, author: str, overwrite: bool = False
) -> Path:
    """Write the package of a saved model, and run the format's own test on it.

    Parameters
    ----------
    model_folder : path
        A run folder or model folder, as `helpers.predict.predictors.load_predictor` takes it.
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
    with tempfile.TemporaryDirectory() as folder:
        description = _describe(predictor, Path(folder), author)
        part = Path(folder) / "package.zip"
        save_bioimageio_package(description, output_path=part)
        summary = bioimageio.core.test_description(part)
        if summary.status != "passed":
            raise ValueError(f"the package does not pass its own test: {_name_faults(summary)}")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(part, path)
    return path


def _name_faults(summary) -> str:
    faults = [(detail.name, error) for detail in summary.details for error in detail.errors]
    texts = [f"{name}: {error.msg.strip() or error.type}" for name, error in faults]
    empty = any(not error.msg.strip() for _, error in faults)  # an assertion of that library
    hint = "; a StarDist that finds nothing in a test stack fails like this: train it longer"
    return "; ".join(texts) + (hint if empty else "")


def _describe(predictor: Predictor, folder: Path, author: str):
    import bioimageio.spec.model.v0_5 as zoo
    from bioimageio.spec._internal.version_type import Version

    from helpers.device import package_versions, project_version
    from helpers.storage import write_json

    packed = pack_network(predictor, zoo, folder)
    packed.network.save(folder / "network.keras")
    write_json(folder / RECORD, {"method": predictor.name, "settings": predictor.settings})
    title, papers = predictor.method.title, CITATIONS[predictor.name]
    (folder / "README.md").write_text(_readme(predictor, papers), encoding="utf-8")
    versions = package_versions(("keras", "tensorflow"))
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
        inputs=packed.inputs,
        outputs=packed.outputs,
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

    after = AFTER_OF.get(predictor.name, AFTER)
    if predictor.name == "unet3class" and predictor.model.denoiser is not None:
        after += " Images must be denoised before, with the denoiser of the project."
    return README.format(
        title=predictor.method.title,
        what=WHAT[predictor.name],
        version=project_version(),
        after=after,
        citations="\n".join(f"- {text}" for text in papers),
    )


def _link(text: str) -> str | None:
    """Return the address of a paper with an arXiv number."""
    _, found, number = text.partition("arXiv:")
    return f"https://arxiv.org/abs/{number.rstrip('.').strip()}" if found else None
