"""Run folders: where a notebook writes its results, and how the evaluation finds them.

One run is one folder ``runs/DATASET/METHOD/``::

    params.json      all parameters, seed, versions, device, git state, the data used
    labels/NAME.tif  one label image per test image (mask/ and prob/ for semantic tasks)
    metrics.csv      one row per test image
    history.csv      one row per epoch
    model/           the trained model and the state of its training
    summary.json     scores and times; marks a finished run
    report.html      all of this for people, in one file; also when a notebook fails

``runs`` lies in the project folder; the environment variable ``MICROSEG_RUNS`` moves it.
"""

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from helpers.device import device_report, git_state, package_versions, project_version
from helpers.report.page import report_failures
from helpers.storage import read_json, to_json, write_json, write_whole

__all__ = [
    "SCORE_NAMES",
    "Run",
    "find_runs",
    "open_run",
    "project_root",
    "run_folder",
    "runs_folder",
]

SCORE_NAMES = tuple(
    "ap_50 ap_70 ap_90 f1_50 f1_70 f1_90 seg iou iou_overall dice mcc psnr ssim".split()
)
_RECORDED_PACKAGES = (
    "numpy scipy scikit-image tensorflow keras stardist csbdeep n2v imgaug segmentation-models"
).split()

_NEEDED = {  # what the evaluation reads of a run
    "params.json": ("seed", "data"),
    "summary.json": "n_test seed seconds_train seconds_predict scores baseline".split(),
}


@dataclass(frozen=True)
class Run:
    """One run folder, being written or read back.

    Parameters
    ----------
    folder
        ``runs/DATASET/METHOD``.
    """

    folder: Path

    @property
    def dataset(self) -> str:
        """Name of the data set: the upper folder."""
        return self.folder.parent.name

    @property
    def method(self) -> str:
        """Name of the method: the folder itself."""
        return self.folder.name

    @property
    def model_folder(self) -> Path:
        """Where the trained model is kept."""
        return self.folder / "model"

    @property
    def params(self) -> dict:
        """What ``params.json`` holds."""
        return read_json(self.folder / "params.json")

    @property
    def summary(self) -> dict:
        """What ``summary.json`` holds."""
        return read_json(self.folder / "summary.json")

    @property
    def data_folder(self) -> Path | None:
        """The folder of the data that were used, with the ground truth of the test images."""
        folder = self.params["data"]["folder"]
        return None if folder is None else project_root() / folder

    def save_labels(self, name: str, labels: np.ndarray, pixel_size_um=None) -> Path:
        """Write the label image (YX or ZYX) of one test image to ``labels/NAME.tif``."""
        from helpers.images import write_labels

        path = self._image_path("labels", name)
        return write_labels(path, labels, pixel_size_um=pixel_size_um, overwrite=True)

    def save_mask(self, name: str, mask: np.ndarray, pixel_size_um=None) -> Path:
        """Write the predicted foreground or classes of one test image to ``mask/NAME.tif``."""
        from helpers.images import write_labels

        path, mask = self._image_path("mask", name), np.asarray(mask).astype(np.int32)
        return write_labels(path, mask, pixel_size_um=pixel_size_um, overwrite=True)

    def save_prob(self, name: str, prob: np.ndarray, pixel_size_um=None) -> Path:
        """Write the predicted probabilities of one test image, as float32, to ``prob/``."""
        from helpers.images import write_image

        path, prob = self._image_path("prob", name), np.asarray(prob, np.float32)
        return write_image(path, prob, pixel_size_um=pixel_size_um, overwrite=True)

    def save_metrics(self, metrics) -> Path:
        """Write a table (:class:`pandas.DataFrame`, one row per image) to ``metrics.csv``."""
        with write_whole(self.folder / "metrics.csv") as part:
            metrics.to_csv(part, index=False)
        return self.folder / "metrics.csv"

    def save_history(self, history) -> Path:
        """Write a table, a dict of columns or a Keras ``History`` to ``history.csv``."""
        from pandas import DataFrame

        table = DataFrame(getattr(history, "history", history))
        with write_whole(self.folder / "history.csv") as part:
            table.to_csv(part, index=False)
        return self.folder / "history.csv"

    def finish(
        self,
        *,
        scores: dict[str, float],
        baseline: dict[str, float],
        n_test: int,
        seconds_train: float,
        seconds_predict: float,
    ) -> dict:
        """Write ``summary.json``, which marks the run as finished.

        Parameters
        ----------
        scores, baseline
            Scores of the method and of the classical baseline on the same test images, by the
            names of :data:`SCORE_NAMES`. A score that is NaN is stored as null. The baseline
            may also have a ``"method"``, the name to show for it.
        n_test
            Number of test images.
        seconds_train, seconds_predict
            Wall time of training, and of predicting all test images.

        Returns
        -------
        dict
            What was written.

        Raises
        ------
        ValueError
            If a score has another name.
        """
        summary = {
            "method": self.method,
            "dataset": self.dataset,
            "n_test": n_test,
            "seed": self.params["seed"],
            "seconds_train": round(float(seconds_train), 2),
            "seconds_predict": round(float(seconds_predict), 2),
            "scores": _check_scores("scores", scores),
            "baseline": _check_scores("baseline", baseline),
        }
        write_json(self.folder / "summary.json", summary)
        self._complete()
        self._report()
        return summary

    def save_predictor(
        self, method: str, model=None, *, part: str = "", split=None, **options
    ) -> Path:
        """Save the model with all that prediction needs, for ``python -m helpers predict``.

        Parameters
        ----------
        method, model, **options
            As in :func:`helpers.predict.predictors.save_predictor`: a name of
            :data:`helpers.predict.methods.METHODS`, the Keras network, and settings such as
            ``threshold=0.4`` or ``normalizer=normalize``.
        part
            Folder inside of the run, such as ``"3d"``, that has this model: to predict with it
            give ``runs/DATASET/METHOD/3d``.
        split : helpers.datasets.Split, optional
            Training images, for a note of what they are like. Those of the run's own data
            folder are noted by :meth:`finish`.

        Returns
        -------
        pathlib.Path
            ``model/predictor.json``.
        """
        from helpers.predict.predictors import describe_images, save_predictor

        if split is not None:
            images = split.images[:4]
            axes = "ZYX"[3 - images[0].ndim :]
            options["trained_on"] = describe_images(images, axes, split.pixel_size_um)
        return save_predictor(self.folder / part / "model", method, model, **options)

    def _report(self) -> None:
        """Write ``report.html``; whatever goes wrong in it must not cost a finished run."""
        from helpers.report.page import write_report

        try:
            write_report(self.folder)
        except Exception as error:  # noqa: BLE001
            print(f"no report was written: {type(error).__name__}: {error}")

    def _complete(self) -> None:
        """Note what prediction needs of a model saved by its own package; a run stays a run."""
        from helpers.predict.records import complete_record

        try:
            complete_record(self.folder, self.data_folder)
        except (ValueError, OSError) as error:
            print(f"the model cannot be used by `python -m helpers predict`: {error}")

    def save_all(
        self,
        labels: dict[str, np.ndarray],
        scores: dict[str, float],
        seconds_train: float,
        seconds_predict: float,
    ) -> None:
        """Write the label images of all test images, by name, and finish without a baseline."""
        for name, image in labels.items():
            self.save_labels(name, image)
        times = {"seconds_train": seconds_train, "seconds_predict": seconds_predict}
        self.finish(scores=scores, baseline={}, n_test=len(labels), **times)

    def _image_path(self, kind: str, name: str) -> Path:
        if Path(name).name != name:
            raise ValueError(f"name is {name!r}: give the file name alone, without a folder.")
        return self.folder / kind / f"{name.removesuffix('.tif')}.tif"


def open_run(
    dataset: str | Path,
    method: str,
    *,
    params: dict,
    seed: int,
    data_folder: str | Path | None = None,
    test_names: Sequence[str] | None = None,
) -> Run:
    """Make the run folder, and note in ``params.json`` everything the run depends on.

    Parameters
    ----------
    dataset
        Name of a data set, or the path of its folder, whose last part is then the name.
    method
        Name of the run among those on the same data, such as ``"stardist"``.
    params
        All parameters of the notebook.
    seed
        The seed they are used with.
    data_folder
        The folder the images came from. Its contents are noted as a fingerprint.
    test_names
        Names of the test images, where the folder alone does not say them (a folder that
        was split by a seed).

    Returns
    -------
    Run

    Notes
    -----
    An OSError names a folder that cannot be written (read-only, full) before anything is trained.

    An unfinished run of the same parameters, seed and data is continued, so its training
    can resume. Any other earlier run is not lost: it is moved to
    ``runs/DATASET/.previous/METHOD-1`` (or -2, ...), and a line says so.
    """
    folder = run_folder(dataset, method)
    record = {
        "dataset": folder.parent.name,
        "method": folder.name,
        "seed": seed,
        "parameters": params,
        "data": _describe_data(data_folder, test_names),
    }
    record = json.loads(to_json(record))
    _check_writable(folder.parent)
    if folder.exists() and not _continues(folder, record):
        _move_aside(folder)
    folder.mkdir(parents=True, exist_ok=True)
    record |= {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "microseg-notebooks": project_version(),
            "python": sys.version.split()[0],
            **package_versions(_RECORDED_PACKAGES),
        },
        "device": device_report(use_gpu="keras" in sys.modules),
        "git": git_state(),
    }
    write_json(folder / "params.json", record)
    report_failures(folder)
    return Run(folder)


def find_runs(root: str | Path | None = None) -> list[Run]:
    """List all finished runs, and print why others are left out.

    Parameters
    ----------
    root
        The folder ``runs``; by default that of this project.

    Returns
    -------
    list of Run
        Sorted by data set and method; empty if there are none.
    """
    folders = sorted((runs_folder() if root is None else Path(root)).glob("[!.]*/[!.]*/"))
    found = []
    for folder in folders:
        if reason := _fault(folder):
            print(f"left out {folder.parent.name}/{folder.name}: {reason}")
        else:
            found.append(Run(folder))
    return found


def _fault(folder: Path) -> str | None:
    for name, needed in _NEEDED.items():
        if not (folder / name).is_file():
            return f"it has no {name}, so its notebook did not finish. Run it again."
        try:
            content = read_json(folder / name)
        except ValueError:
            return f"{name} cannot be read as JSON. Run its notebook again."
        if missing := [key for key in needed if key not in content]:
            return f"{name} has no {', '.join(missing)}. Run its notebook again."
    return None


def runs_folder() -> Path:
    """Return the folder of all runs, from ``MICROSEG_RUNS`` or in the project folder."""
    return Path(os.environ.get("MICROSEG_RUNS") or project_root() / "runs").absolute()


def run_folder(dataset: str | Path, method: str) -> Path:
    """Return where the run of a method on a data set lies, whether it exists or not."""
    return runs_folder() / _folder_name(dataset) / _folder_name(method)


def project_root() -> Path:
    """Return the folder with ``pyproject.toml`` that holds the current folder.

    Notes
    -----
    Where no folder above has one, it is the folder of this package (as in Colab), or the
    current folder if this package is installed elsewhere.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).parents[1]):
        if (folder / "pyproject.toml").is_file():
            return folder
    return here


def _folder_name(name: str | Path) -> str:
    last = Path(name).expanduser().name
    clean = re.sub(r"[^\w.-]+", "_", last).strip("._")
    if not clean:
        raise ValueError(f"{str(name)!r} cannot name a folder: give a name with letters or digits.")
    return clean


def _check_writable(folder: Path) -> None:
    """Raise before a training, not after it, where its results could not be written."""
    trial = folder / f".trial-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(b"x" * 100_000)
        trial.unlink()
    except OSError as error:
        raise OSError(
            error.errno,
            f"{error.strerror}: results cannot be written to {folder}. Free some space, or set "
            "the environment variable MICROSEG_RUNS to a folder where you may write",
        ) from None


def _continues(folder: Path, record: dict) -> bool:
    if (folder / "summary.json").exists() or not (folder / "params.json").exists():
        return False
    earlier = read_json(folder / "params.json")
    return all(earlier.get(key) == value for key, value in record.items())


def _move_aside(folder: Path) -> None:
    previous = folder.parent / ".previous"
    previous.mkdir(exist_ok=True)
    number = 1
    while (target := previous / f"{folder.name}-{number}").exists():
        number += 1
    folder.rename(target)
    print(f"the earlier run was moved to {_shorten(target)}; delete it when you like.")


def _describe_data(folder: str | Path | None, test_names: Sequence[str] | None) -> dict:
    if folder is None:
        return {"folder": None, "fingerprint": None, "test_names": test_names}
    from data_download import fingerprint

    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise FileNotFoundError(f"data_folder {path} does not exist: give the folder of the data.")
    return {"folder": _shorten(path), "fingerprint": fingerprint(path), "test_names": test_names}


def _shorten(path: Path) -> str:
    root = project_root()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _check_scores(argument: str, scores: dict) -> dict:
    allowed = (*SCORE_NAMES, "method") if argument == "baseline" else SCORE_NAMES
    if unknown := [name for name in scores if name not in allowed]:
        raise ValueError(
            f"{argument} has {', '.join(unknown)}: use the names {', '.join(SCORE_NAMES)}, "
            "which the evaluation knows."
        )
    return {name: v if isinstance(v, str) else _finite(v) for name, v in scores.items()}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
