"""Install in Google Colab what its runtime lacks, nothing that it has; keep results in a drive.

Only the setup cell of the notebooks (``tools/setup_cell.py``) uses this module.
"""

import os
import re
import subprocess
import sys
from importlib import invalidate_caches
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

__all__ = ["DRIVE", "PACKAGES", "install_missing", "missing_packages", "prepare", "use_drive"]

DRIVE = Path("/content/drive")  # where Colab's own notebooks mount it

# import name: name in the package index. None of them brings NumPy, TensorFlow or Keras along,
# because they are installed without their dependencies, which Colab has or which stand here.
PACKAGES = {
    "csbdeep": "csbdeep",
    "stardist": "stardist",
    "n2v": "n2v",
    "imgaug": "imgaug",
    "segmentation_models": "segmentation-models",
    "classification_models": "image-classifiers",
    "efficientnet": "efficientnet",
    "keras_applications": "keras-applications",
    "tifffile": "tifffile",
    "imagecodecs": "imagecodecs",
    "imageio": "imageio",
    "shapely": "shapely",
    "cv2": "opencv-python-headless",
    "pooch": "pooch",
    "roifile": "roifile",
    "tqdm": "tqdm",
    "six": "six",
}


def prepare(*, my_drive: bool = False) -> None:
    """Make a Colab runtime ready for the notebooks.

    Parameters
    ----------
    my_drive
        Also keep data and results in Google Drive; see :func:`use_drive`.
    """
    install_missing()
    if my_drive:
        use_drive()


def use_drive(mount: Path = DRIVE) -> Path:
    """Mount Google Drive, which asks for permission, and let data and runs lie there.

    Parameters
    ----------
    mount
        Where to mount it.

    Returns
    -------
    pathlib.Path
        The folder ``microseg`` in the drive, with ``data`` and ``runs``.

    Notes
    -----
    A Colab runtime ends after some hours and forgets its disk. With this, the next one finds the
    downloaded data, finished runs, and the training that was cut off: running all cells of the
    same notebook with the same parameters goes on after its last epoch.
    """
    from google.colab import drive

    drive.mount(str(mount))
    folder = mount / "MyDrive" / "microseg"
    for name in ("data", "runs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        os.environ[f"MICROSEG_{name.upper()}"] = str(folder / name)
    print(f"data and runs are kept in Google Drive: {folder}")
    return folder


def missing_packages(lock: str | Path) -> list[str]:
    """List what has to be installed, as ``name==version`` with the versions of the lock file.

    Parameters
    ----------
    lock
        ``requirements.lock`` of this project.

    Returns
    -------
    list of str
        Empty where everything can be imported already, whatever its version.

    Raises
    ------
    ValueError
        If the lock file has no version of a missing package.
    """
    pins = _read_pins(Path(lock).read_text(encoding="utf-8"))
    missing = [name for module, name in PACKAGES.items() if not _is_installed(module, name)]
    if unknown := [name for name in missing if name not in pins]:
        raise ValueError(f"{lock} has no version of {', '.join(unknown)}: run make lock.")
    return [f"{name}=={pins[name]}" for name in missing]


def install_missing() -> None:
    """Install the missing packages with pip, without their dependencies.

    Notes
    -----
    NumPy, TensorFlow and Keras of the runtime stay as they are, so the kernel need not restart.
    A second call finds nothing to do.
    """
    if names := missing_packages(Path(__file__).parents[1] / "requirements.lock"):
        print("installing", ", ".join(names))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *names]
        subprocess.run(command, check=True)
        invalidate_caches()


def _is_installed(module: str, name: str) -> bool:
    if find_spec(module) is not None:
        return True
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _read_pins(lock: str) -> dict[str, str]:
    """Versions by name; of several for one name, the one for this Python."""
    pins = {}
    for name, pin, marker in re.findall(r"^([\w.-]+)==([\w.+!-]+) *(;[^\\\n]*)?", lock, re.M):
        if not marker or _applies(marker[1:].strip()):
            pins[name] = pin
    return pins


def _applies(marker: str) -> bool:
    from packaging.markers import Marker

    return Marker(marker).evaluate()
