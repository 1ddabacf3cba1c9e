"""Start a notebook: seeds, presets, timing, and the block of versions and device.

Device and versions come from :mod:`helpers.device`, the run folders from :mod:`helpers.runs`;
both are at hand from here too.
"""

import os
import platform
import random
import time
from types import SimpleNamespace

import numpy as np

from helpers.device import device_report, package_versions, project_version
from helpers.runs import Run, find_runs, open_run, project_root
from helpers.short_errors import shorten_errors

__all__ = [
    "Run",
    "choose_preset",
    "device_report",
    "find_runs",
    "open_run",
    "package_versions",
    "project_root",
    "project_version",
    "set_seed",
    "start_notebook",
    "timer",
]

PRESET_VARIABLE = "MICROSEG_PRESET"
_PACKAGES = ("numpy", "tensorflow", "keras")


def start_notebook(*, seed: int, packages: tuple[str, ...] = _PACKAGES) -> None:
    """Seed everything, let the GPU share its memory, and print one block of facts.

    Parameters
    ----------
    seed
        Start of all random numbers, 0 or larger.
    packages
        Packages whose versions are printed, by the names of the package index. Keras and its
        backend are loaded only if ``"keras"`` is among them.

    Notes
    -----
    The block names the versions of this project and of Python, the device, and the preset if
    the environment variable ``MICROSEG_PRESET`` sets one. From here on, errors that this project
    raises on purpose are shown without traceback (:mod:`helpers.short_errors`).
    """
    shorten_errors()
    uses_keras = "keras" in packages
    set_seed(seed, keras=uses_keras)
    versions = package_versions(packages)
    facts = {
        "microseg-notebooks": project_version(),
        "Python": platform.python_version(),
        **{name: versions.get(name, "not installed") for name in packages},
        "device": device_report(use_gpu=uses_keras)["device"],
        "seed": seed,
    }
    if os.environ.get(PRESET_VARIABLE):
        facts["preset"] = f"{os.environ[PRESET_VARIABLE]} (from {PRESET_VARIABLE})"
    width = max(map(len, facts))
    print("\n".join(f"{name:{width}}  {value}" for name, value in facts.items()))


def set_seed(seed: int, *, keras: bool = True) -> None:
    """Seed Python, NumPy and, if wanted, Keras with its backend.

    Parameters
    ----------
    seed
        0 to 4,294,967,295.
    keras
        Also seed Keras, which loads it (several seconds).

    Raises
    ------
    ValueError
        If the seed is out of range.

    Notes
    -----
    With equal seeds, results on one CPU are equal. On a GPU some sums are done in varying
    order, so the last digits can differ.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}: give a whole number from 0 to {2**32 - 1}.")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - stardist and n2v draw from NumPy's global generator
    if keras:
        from keras.utils import set_random_seed

        set_random_seed(seed)


def choose_preset(
    presets: dict[str, dict], name: str, *, changes: dict | None = None
) -> SimpleNamespace:
    """Pick the settings of one preset.

    Parameters
    ----------
    presets
        All presets by name; each sets the same parameters.
    name
        The preset wanted. If the environment variable ``MICROSEG_PRESET`` is set, it wins, and
        a line is printed that says so.
    changes
        Settings that take other values than the preset gives them; a line is printed for them.

    Returns
    -------
    types.SimpleNamespace
        The settings as attributes.

    Raises
    ------
    ValueError
        If there is no such preset, if the presets differ in what they set, or if there is no such
        setting to change.

    Examples
    --------
    >>> preset = choose_preset({"sample": {"epochs": 20}, "paper": {"epochs": 400}}, "sample")
    >>> preset.epochs
    20
    """
    _check_same_keys(presets)
    forced = os.environ.get(PRESET_VARIABLE)
    if forced and forced != name:
        print(f"preset {forced!r} instead of {name!r}: {PRESET_VARIABLE} is set.")
    chosen = forced or name
    if chosen not in presets:
        origin = f"the environment variable {PRESET_VARIABLE}" if forced else "PRESET"
        raise ValueError(
            f"{origin} is {chosen!r}, which does not exist here: choose one of "
            f"{', '.join(map(repr, presets))}."
        )
    return SimpleNamespace(**_change(presets[chosen], changes or {}))


def _change(preset: dict, changes: dict) -> dict:
    if unknown := sorted(changes.keys() - preset.keys()):
        raise ValueError(
            f"changes name {', '.join(unknown)}, which no preset sets: choose among "
            f"{', '.join(preset)}."
        )
    for name, value in changes.items():
        print(f"setting {name} = {value!r} instead of {preset[name]!r}")
    return preset | changes


def _check_same_keys(presets: dict[str, dict]) -> None:
    every = {key for preset in presets.values() for key in preset}
    for name, preset in presets.items():
        if missing := sorted(every - preset.keys()):
            raise ValueError(
                f"preset {name!r} does not set {', '.join(missing)}, which another preset sets: "
                "give every preset the same parameters."
            )


class timer:  # noqa: N801 - used like a function: with timer() as training:
    """Measure the wall time of a block.

    Examples
    --------
    >>> with timer() as training:
    ...     total = sum(range(10))
    >>> training.seconds < 60
    True
    """

    def __enter__(self) -> "timer":
        """Start the clock."""
        self._start = time.perf_counter()
        self.seconds = 0.0
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the clock."""
        self.seconds = time.perf_counter() - self._start
