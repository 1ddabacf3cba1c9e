"""Pictures of FPN2-WS show what they say: pixels that differ, maps, bars, patches."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import to_rgb

from helpers.augment.pipelines import Patches
from helpers.metrics.merges import ERROR_KINDS, error_percent
from helpers.viz import ERROR_COLORS, PALETTE
from helpers.viz.fpn import plot_error_bars, show_augmented, show_four, show_xor, xor_pixels


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def draw(*rectangles):
    labels = np.zeros((12, 40), np.int32)
    for number, (left, width) in enumerate(rectangles, start=1):
        labels[1:11, left : left + width] = number
    return labels


# truth XOR prediction


def test_perfect_prediction_differs_nowhere():
    labels = draw((2, 10), (12, 10))
    missed, differ = xor_pixels(labels, np.where(labels > 0, 9 - labels, 0))
    assert not missed.any() and not differ.any()


def test_found_object_shows_only_its_wrong_pixels():
    true, pred = draw((2, 10)), draw((3, 10))  # IoU 9 / 11
    missed, differ = xor_pixels(true, pred)
    assert not missed.any()
    np.testing.assert_array_equal(differ, (true > 0) ^ (pred > 0))


def test_missed_object_is_shown_whole_and_false_one_too():
    true, pred = draw((2, 10), (14, 5)), draw((2, 10))
    false = np.where(draw((30, 6)) > 0, 7, 0)
    missed, differ = xor_pixels(true, pred + false)
    np.testing.assert_array_equal(missed, np.where(true == 2, 2, 0))
    np.testing.assert_array_equal(differ, false > 0)


def test_pixels_given_to_a_touching_neighbour_differ():
    true, pred = draw((2, 10), (12, 10)), draw((2, 11), (13, 9))
    missed, differ = xor_pixels(true, pred)
    assert not missed.any()
    assert np.unique(np.nonzero(differ)[1]).tolist() == [12]  # foreground alone would agree


def test_iou_decides_what_is_missed():
    true, pred = draw((2, 10)), draw((4, 10))  # IoU 8 / 12
    assert xor_pixels(true, pred, iou=0.7)[0].any()
    missed, differ = xor_pixels(true, pred, iou=0.6)
    assert not missed.any() and differ.sum() == 40


def test_missed_and_differing_pixels_are_painted():
    true = draw((2, 10), (20, 10))
    ax = plt.subplots()[1]
    assert show_xor(ax, true, true, draw((3, 10)), pixel_size_um=0.5) is ax
    _, colours, paint = (np.asarray(image.get_array()) for image in ax.images)
    assert np.allclose(colours[5, 25], [*to_rgb(PALETTE[2]), 0.75])
    assert np.allclose(paint[5, 2], [1, 0, 1, 0.9]) and not paint[5, 5:11].any()
    assert not paint[5, 25].any()


# maps, bars, patches


def test_four_images_count_seeds_and_nuclei():
    labels = draw((2, 10), (12, 10))
    axes = plt.subplots(1, 4)[1]
    maps = np.stack([labels / 2, labels / 4], axis=-1)
    shown = show_four(axes, labels, maps, np.where(labels == 2, 1, 0), labels)
    assert [ax.get_title() for ax in shown] == ["distance", "border", "seeds (1)", "nuclei (2)"]
    np.testing.assert_array_equal(axes[1].images[0].get_array(), maps[..., 1])
    with pytest.raises(ValueError, match=r"maps has shape \(12, 40\)"):
        show_four(axes, labels, labels, labels, labels)


def test_bars_have_the_heights_of_the_table():
    from helpers.metrics import score_dataset

    true = draw((2, 10), (12, 10))
    table = error_percent({"joined": score_dataset([true], [draw((2, 20))])})
    ax = plot_error_bars(plt.subplots()[1], table)
    heights = [bars[0].get_height() for bars in ax.containers]
    assert heights == [100, 50, 50, 0]  # missed, false, merged, split
    colors = [bars[0].get_facecolor()[:3] for bars in ax.containers]
    assert np.allclose(colors, [to_rgb(ERROR_COLORS[kind]) for kind in ERROR_KINDS])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["joined"]


@pytest.mark.parametrize("size", [(4, 2.8), (5.2, 2.8), (3, 2)])
def test_legend_touches_no_bar(size):
    values = {"missed": [100, 22.2], "false": [90, 101], "merged": [105, 7.6], "split": [40, 300]}
    table = pd.DataFrame(values, index=["a", "b"])
    figure, ax = plt.subplots(figsize=size)
    plot_error_bars(ax, table).set_title("title")
    figure.canvas.draw()
    legend = ax.get_legend().get_window_extent()
    for thing in [*ax.texts, *(bar for bars in ax.containers for bar in bars)]:
        assert thing.get_window_extent().y1 < legend.y0
    assert legend.y1 <= ax.bbox.y1


def test_left_out_objects_are_grey():
    labels = np.stack([draw((2, 10), (20, 10))] * 2)
    weights = np.where(labels == 2, 0, 1).astype(np.float32)
    patches = Patches((labels * 100).astype(np.uint8), labels, weights, np.zeros(2, int))
    axes = show_augmented(plt.subplots(2, 2)[1], {"cut out": patches, "mild": patches})
    kept, left_out = axes[1, 0].collections
    assert np.allclose(kept.get_colors()[:, :3], to_rgb(PALETTE[1]))
    assert np.allclose(left_out.get_colors()[:, :3], 0.6)
    assert [ax.get_title(loc="left") for ax in axes[:, 0]] == ["cut out", "mild"]
