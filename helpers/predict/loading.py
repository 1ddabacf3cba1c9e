"""Load the saved model of each method from its folder; none of it runs code from there."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Denoised",
    "load_fpn",
    "load_keras",
    "load_maskrcnn",
    "load_n2v",
    "load_stardist",
    "load_unet3class",
]


def load_keras(folder: Path):
    """Return a network of `helpers.saving`, with the layers of `fpn.layers` and `unets` known."""
    import helpers.fpn.layers
    import helpers.unets  # noqa: F401  both register their layers
    from helpers.saving import load_model

    return load_model(folder)


def load_fpn(folder: Path):
    """Return the networks of FPN2-WS."""
    from helpers.fpn.networks import FpnNetworks

    return FpnNetworks.load(folder)


def load_stardist(folder: Path):
    """Return a StarDist of two or three dimensions."""
    from stardist.models import StarDist2D, StarDist3D

    from helpers.storage import read_json

    kind = StarDist3D if read_json(folder / "config.json")["n_dim"] == 3 else StarDist2D
    with contextlib.redirect_stdout(io.StringIO()):  # it tells which files it reads
        return kind(None, name=folder.name, basedir=str(folder.parent))


def load_n2v(folder: Path):
    """Return a Noise2Void denoiser."""
    from helpers.denoise.noise2void import load_denoiser

    if folder.name != "model":
        raise ValueError(
            f"{folder}: rename this folder to 'model', or copy the run folder as a whole; "
            "a denoiser is found by that name"
        )
    return load_denoiser(folder.parent)


@dataclass(frozen=True)
class Denoised:
    """A network with the denoiser whose output it was trained on, if any."""

    keras_model: object
    denoiser: object | None


def load_unet3class(folder: Path):
    """Return a three-class network with its denoiser."""
    from helpers.denoise.noise2void import load_denoiser

    inner = folder / "denoiser"
    return Denoised(load_keras(folder), load_denoiser(inner) if inner.is_dir() else None)


def load_maskrcnn(folder: Path):
    """Return a Mask R-CNN."""
    import helpers.maskrcnn  # noqa: F401  registers its layers
    from helpers.saving import load_model

    return load_model(folder)
