"""Sliders and lists in a notebook, for a look by hand: thresholds, and predictions one by one.

Optional: nothing else uses it. ``pip install "microseg-notebooks[widgets]"`` installs ipywidgets.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np

from helpers.panel.parts import change_settings, draw_objects, find_knobs, list_predictions
from helpers.predict.predictors import load_predictor

__all__ = ["browse_predictions", "explore_thresholds"]


def explore_thresholds(run: str | Path, image: np.ndarray | None = None):
    """Show sliders for the thresholds of a saved model, and what it finds with them.

    Parameters
    ----------
    run : path
        Run folder, ``runs/DATASET/METHOD``.
    image : ndarray, optional
        Raw grey values; by default the first validation image of the run. Choose thresholds
        on validation images only, or the score on the test images is no longer fair.

    Returns
    -------
    ipywidgets.Widget
        The panel. Nothing is saved: give values that you like to ``save_predictor``.

    Raises
    ------
    ImportError
        If ipywidgets is not installed.
    ValueError
        If the model has no thresholds.
    """
    widgets = _import_widgets()
    predictor = load_predictor(run)
    knobs = find_knobs(predictor)
    if not knobs:
        raise ValueError(f"{predictor.method.title} has no thresholds to turn")
    image = _first_image(run) if image is None else np.asarray(image)
    if image.ndim == 3 and predictor.ndim == 2:
        image = image[len(image) // 2]
    sliders = {name: _make_slider(widgets, name, *knob) for name, knob in knobs.items()}

    def draw() -> None:
        turned = {name: slider.value for name, slider in sliders.items()}
        turned = {name: value for name, value in turned.items() if value != knobs[name][0]}
        labels = predictor(image, **change_settings(predictor, turned))
        _show(lambda ax: draw_objects(ax, image, labels))
        print("changed:", turned or "nothing, as saved")

    return _panel(widgets, list(sliders.values()), draw)


def browse_predictions(folder: str | Path, images: str | Path | None = None):
    """Show a list of results, and the one that is chosen over its image.

    Parameters
    ----------
    folder, images : path
        As in `list_predictions`.

    Returns
    -------
    ipywidgets.Widget
        The panel.

    Raises
    ------
    ImportError
        If ipywidgets is not installed.
    """
    widgets = _import_widgets()
    found = list_predictions(folder, images)
    names = widgets.Select(options=list(found), rows=min(12, len(found)), description="image")
    plane = widgets.IntSlider(min=0, max=0, description="plane", continuous_update=False)

    def draw() -> None:
        image, labels = (None if path is None else _read(path) for path in found[names.value])
        last = len(labels) - 1 if labels.ndim == 3 else 0
        if plane.max != last:
            plane.max, plane.value = last, (last + 1) // 2
        _show(lambda ax: draw_objects(ax, image, labels, z=plane.value))

    return _panel(widgets, [names, plane], draw)


def _import_widgets():
    try:
        import ipywidgets
    except ImportError as error:
        raise ImportError(
            "the panel needs ipywidgets: pip install ipywidgets, then start the notebook again. "
            "All else works without it"
        ) from error
    return ipywidgets


def _make_slider(widgets, name: str, value: float, most: float):
    is_whole = isinstance(value, int)
    options = {"step": 1 if is_whole else most / 100, "max": int(most) if is_whole else most}
    kind = widgets.IntSlider if is_whole else widgets.FloatSlider
    style = {"description_width": "initial"}
    return kind(
        value=value, min=0, description=name, continuous_update=False, style=style, **options
    )


def _panel(widgets, controls: list, draw):
    """Put controls beside the output of `draw`, which runs again when one of them changes."""
    output = widgets.Output()

    def renew(change=None) -> None:
        output.clear_output(wait=True)
        with output:
            draw()

    for control in controls:
        control.observe(renew, names="value")
    renew()
    return widgets.HBox([widgets.VBox(controls), output])


def _show(draw) -> None:
    from IPython.display import Image, display
    from matplotlib.figure import Figure  # not pyplot, which would show it a second time

    figure, buffer = Figure(figsize=(6, 6), layout="constrained"), BytesIO()
    draw(figure.subplots())
    figure.savefig(buffer, format="png", dpi=90)
    display(Image(buffer.getvalue()))


def _first_image(run: str | Path) -> np.ndarray:
    from helpers.datasets import load_dataset
    from helpers.runs import Run

    found = Run(Path(run).expanduser().absolute())
    if not (found.folder / "params.json").is_file() or found.data_folder is None:
        raise ValueError(f"{run} does not tell its data: give an image")
    return load_dataset(found.data_folder, seed=found.params["seed"])["val"].images[0]


def _read(image: Path | np.ndarray) -> np.ndarray:
    from helpers.images import read_image

    return read_image(image) if isinstance(image, Path) else image  # of an npz it is an array
