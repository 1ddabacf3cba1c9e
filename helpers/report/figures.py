"""The pictures of a report, as PNG in text: learning curve, scores, worst and best image."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np

__all__ = ["case_figure", "curve_figure", "find_case", "score_figure"]

DPI = 80
SCORES = ("val_ap", "val_iou", "val_iou_half", "val_dice", "val_psnr")
MAX_SIDE = 512


def curve_figure(history) -> str | None:
    """Return the learning curve of a run as HTML, or None if nothing was recorded.

    Parameters
    ----------
    history : pandas.DataFrame
        One row per epoch.
    """
    numbers = history.select_dtypes("number")
    losses = [c for c in ("loss", "val_loss") if c in numbers]
    scores = [c for c in SCORES if c in numbers]
    panels = [(names, label) for names, label in ((losses, "loss"), (scores, "score")) if names]
    if not panels or not len(numbers):
        return None
    figure, axes = _make_figure(len(panels), (3.6, 2.5))
    epochs = np.arange(1, len(numbers) + 1)
    for ax, (names, label) in zip(axes, panels, strict=True):
        for name in names:
            ax.plot(epochs, numbers[name], ".-", label=name)
        ax.set(xlabel="epoch", ylabel=label)
        ax.legend(fontsize="x-small")
    return _to_html(figure, "Learning curve")


def score_figure(table, score: str) -> str:
    """Return the score of every test image, sorted, as HTML.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per image.
    score : str
        Column to draw.
    """
    figure, (ax,) = _make_figure(1, (6.4, 2.4))
    values = table[score].to_numpy(float)
    order = np.argsort(values)
    ax.bar(np.arange(len(values)), values[order], color="tab:blue")
    ax.axhline(np.nanmean(values), color="black", linestyle="--", linewidth=1)
    ax.set(ylabel=score, xlabel="test images, the worst first; dashed: mean", ylim=(0, None))
    if len(values) <= 12:
        names = [str(name)[-18:] for name in table["name"].to_numpy()[order]]
        ax.set_xticks(np.arange(len(values)), names, rotation=30, ha="right", fontsize=7)
    return _to_html(figure, f"{score} of each test image")


def case_figure(title: str, image: np.ndarray, true: np.ndarray, found: np.ndarray) -> str:
    """Return one image with its true and found objects, and the errors, as HTML.

    Parameters
    ----------
    title : str
        Name of the image and its score.
    image, true, found : ndarray, YX or ZYX
        Of a volume the slice with the most foreground is shown.
    """
    from helpers.viz.em import show_mask_errors
    from helpers.viz.images import show_image
    from helpers.viz.labels import show_contours, show_errors

    image, true, found = _one_plane(image, true, found)
    figure, axes = _make_figure(3, (3, 3))
    show_image(axes[0], image, title="image")
    show_contours(show_image(axes[1], image, title="true"), true)
    if max(true.max(), found.max()) > 1:
        show_errors(axes[2], image, true, found)
    else:
        show_mask_errors(axes[2], image, true, found)
    axes[2].set_title("errors")
    return _to_html(figure, title)


def _one_plane(image, true, found):
    if true.ndim == 3:
        z = int(np.argmax((true > 0).sum(axis=(1, 2))))
        image, true, found = image[z], true[z], found[z]
    most = max(true.shape)
    if most > MAX_SIDE:  # the part with the most objects tells more than a thumbnail
        box = _busiest(true > 0)
        image, true, found = image[box], true[box], found[box]
    return image, true, found


def _busiest(mask: np.ndarray) -> tuple[slice, slice]:
    last = [max(0, n - MAX_SIDE) for n in mask.shape]
    starts = [sorted({*range(0, end, MAX_SIDE // 2), end}) for end in last]
    boxes = [np.s_[y : y + MAX_SIDE, x : x + MAX_SIDE] for y in starts[0] for x in starts[1]]
    return max(boxes, key=lambda box: int(mask[box].sum()))


def _make_figure(n_panels: int, size: tuple[float, float]):
    from matplotlib.figure import Figure  # not pyplot, which would show it in the notebook

    figure = Figure(figsize=(size[0] * n_panels, size[1]), layout="constrained")
    return figure, figure.subplots(1, n_panels, squeeze=False)[0]


def _to_html(figure, alt: str) -> str:
    from html import escape

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    text = escape(alt)
    return (
        f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def find_case(data_folder: Path, run_folder: Path, name: str):
    """Return image, true labels and found labels of a test image, or None if one is not there."""
    from helpers.images import read_labels
    from helpers.layouts import find_pairs, read_pair_image, read_pair_labels

    folder = "labels" if (run_folder / "labels").is_dir() else "mask"
    path = run_folder / folder / f"{name}.tif"
    if not path.is_file():
        return None
    pairs = [pair for pairs in find_pairs(data_folder).pairs.values() for pair in pairs]
    pair = next((p for p in pairs if p.name == name and p.mask is not None), None)
    if pair is None:
        return None
    image, axes = read_pair_image(pair)
    true, found = read_pair_labels(pair), read_labels(path)
    image = image.mean(axis=-1) if axes.endswith("C") else image
    return (image, true, found) if image.shape == true.shape == found.shape else None
