"""A notebook that only predicts: the saved model of a run, on a folder of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from helpers.images import file_stem, read_image_axes, read_labels
from helpers.layouts import list_images
from helpers.predict.folder import Outcome, predict_folder
from helpers.predict.predictors import RECORD, load_predictor
from helpers.runs import project_root, run_folder
from helpers.short_errors import stop_here

__all__ = ["predict_only", "show_predictions"]

MAX_LINES = 30


def predict_only(
    dataset: str | Path, run_name: str, folder: str | Path, *, n_shown: int = 4
) -> None:
    """Predict a folder with the saved model of a notebook, show some results, and end it there.

    Parameters
    ----------
    dataset : str or path
        The data the model was trained on, as in the notebook.
    run_name : str
        The run: ``runs/DATASET/RUN_NAME``.
    folder : path
        Images of any format that `helpers.images.read_image` reads. Results go into a new folder
        beside it, ``FOLDER_RUN_NAME``; images that have a result there are skipped.
    n_shown : int
        Images in the picture.

    Raises
    ------
    helpers.short_errors.NotebookEnd
        Always, when all is done: the cells below, which train, do not run. A notebook shows one
        line, and papermill ends without an error.
    ValueError
        If no folder is given, or it holds no images, or its results are of another model.
    FileNotFoundError
        If there is no such folder, or no such run; the message lists the runs that can predict.
    """
    images, run = _find_images(folder), _find_run(dataset, run_name)
    predictor = load_predictor(run)
    out = images.with_name(f"{images.name}_{run.name}")
    files = list_images(images)
    outcomes = predict_folder(predictor, images, out, resume=True, show=_spare_lines(len(files)))
    counts = {s: sum(o.status == s for o in outcomes) for s in ("predicted", "skipped", "failed")}
    print(", ".join(f"{n} {status}" for status, n in counts.items()))
    if shown := [path for path, o in zip(files, outcomes, strict=True) if _has_result(o)][:n_shown]:
        import matplotlib.pyplot as plt

        show_predictions(shown, out, kind=predictor.method.result)
        plt.show()
    stop_here(f"The results are in {out}. Nothing was trained, because PREDICT_ONLY is True.")


def show_predictions(files: Sequence[Path], out: str | Path, *, kind: str = "labels"):
    """Make a figure with images above their results.

    Parameters
    ----------
    files : sequence of path
        Images, at least one; of stacks the middle plane is shown, of colours their mean.
    out : path
        The folder with the results, ``NAME.tif`` for each image.
    kind : {"labels", "image"}
        What the results are: objects, drawn as outlines, or denoised images.

    Returns
    -------
    ndarray of matplotlib Axes, shape (2, len(files))
    """
    import matplotlib.pyplot as plt

    from helpers.viz.rows import show_row

    size = (2.6 * len(files), 5.6)
    axes = plt.subplots(2, len(files), figsize=size, squeeze=False, layout="constrained")[1]
    for column, path in zip(axes.T, files, strict=True):
        result = Path(out) / f"{file_stem(path)}.tif"
        image, axes_of_image = read_image_axes(path)
        image = image.mean(-1) if axes_of_image.endswith("C") else image
        found = read_labels(result) if kind == "labels" else read_image_axes(result)[0]
        count = len(np.unique(found[found > 0])) if kind == "labels" else 0
        title = f"{count} object{'' if count == 1 else 's'}" if kind == "labels" else "denoised"
        panels = [(path.name, _middle(image), "image")]
        panels.append((title, _middle(found), "contours" if kind == "labels" else "image"))
        show_row(column, panels)
    return axes


def _middle(array: np.ndarray) -> np.ndarray:
    return array[len(array) // 2] if array.ndim == 3 else array


def _has_result(outcome: Outcome) -> bool:
    return outcome.status in ("predicted", "skipped")


def _find_images(folder: str | Path) -> Path:
    if not str(folder):
        raise ValueError(
            "PREDICT_FOLDER is empty: give the path of the folder with the images to predict"
        )
    path = Path(folder).expanduser()
    if not path.is_dir() and (project_root() / path).is_dir():
        path = project_root() / path  # as in the commands, which run in the project's folder
    return path.absolute()


def _find_run(dataset: str | Path, run_name: str) -> Path:
    run = run_folder(dataset, run_name)
    if run.is_dir():
        return run
    records = run.parents[1].glob(f"*/*/model/{RECORD}")
    names = sorted("/".join(path.parts[-4:-2]) for path in records)
    able = f"the runs that can predict are {', '.join(names[:8])}" if names else "no run is saved"
    raise FileNotFoundError(
        f"there is no run {run.parent.name}/{run.name}: set DATASET and RUN_NAME to those of a run "
        f"that was trained, or train it with PREDICT_ONLY = False; {able}"
    )


def _spare_lines(n_images: int) -> Callable[[str], None]:
    """Return what prints a line for each image, of many images only for some and for failures."""
    count, step = 0, 1 if n_images <= MAX_LINES else -(-n_images // 20)

    def show(line: str) -> None:
        nonlocal count
        is_image = line.startswith("[")
        count += is_image
        if not is_image or count % step == 0 or count == n_images or ": failed" in line:
            print(line, flush=True)

    return show
