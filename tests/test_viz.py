"""What the figures draw, read back from the axes."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb

from helpers import viz


@pytest.fixture
def ax():
    figure, ax = plt.subplots(figsize=(2, 2))
    yield ax
    plt.close(figure)


@pytest.fixture
def axes():
    figure, axes = plt.subplots(1, 3)
    yield axes
    plt.close(figure)


LABELS = np.zeros((6, 8), np.int32)
LABELS[1:3, 1:4] = 1
LABELS[1:3, 4:6] = 2
IMAGE = np.arange(48.0).reshape(6, 8)


def drawn_edges(ax):
    """Return all contours of the axes as a set of unit-long pixel edges."""
    edges = set()
    for (x0, y0), (x1, y1) in np.concatenate([c.get_segments() for c in ax.collections]):
        steps = int(max(abs(x1 - x0), abs(y1 - y0)))
        points = np.linspace((x0, y0), (x1, y1), steps + 1).tolist()
        edges |= {(*start, *stop) for start, stop in zip(points, points[1:], strict=False)}
    return edges


# ---------------------------------------------------------------- colours


def test_the_colour_of_an_id_does_not_depend_on_other_ids():
    alone = viz.color_labels(np.array([0, 17]))
    among = viz.color_labels(np.array([4, 17, 900, 0]))
    np.testing.assert_array_equal(alone[1], among[1])
    assert alone[0, 3] == among[3, 3] == 0
    assert not np.array_equal(among[0], among[1])


def test_large_ids_and_small_integer_types_have_colours():
    for labels in (np.array([2**32 - 1], np.uint32), np.array([255], np.uint8)):
        assert viz.color_labels(labels, alpha=0.5)[0, 3] == 0.5


def see(color, loss):
    """Return the colour as seen without red or green cones (Viénot 1999)."""
    linear = np.array(to_rgb(color)) ** 2.2
    matrices = {
        "none": np.eye(3),
        "red": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        "green": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    }
    return np.clip(matrices[loss] @ linear, 0, 1) ** (1 / 2.2)


@pytest.mark.parametrize("loss", ["none", "red", "green"])
@pytest.mark.parametrize("colors", [viz.PALETTE, tuple(viz.ERROR_COLORS.values())])
def test_colours_stay_apart_for_colour_blind_readers(colors, loss):
    seen = [see(color, loss) for color in colors]
    gaps = [np.abs(a - b).max() for k, a in enumerate(seen) for b in seen[:k]]
    assert min(gaps) > 0.09


# ---------------------------------------------------------------- labels and contours


def test_contours_follow_the_pixel_edges(ax):
    one = np.zeros((5, 5), np.int32)
    one[2, 1:3] = 4
    assert viz.show_contours(ax, one) is ax
    assert drawn_edges(ax) == {
        (0.5, 1.5, 1.5, 1.5),
        (1.5, 1.5, 2.5, 1.5),
        (0.5, 2.5, 1.5, 2.5),
        (1.5, 2.5, 2.5, 2.5),
        (0.5, 1.5, 0.5, 2.5),
        (2.5, 1.5, 2.5, 2.5),
    }
    # straight runs are one line each, so corners and joints stay crisp
    assert len(ax.collections[0].get_segments()) == 4


def test_touching_objects_are_parted_and_the_frame_is_not(ax):
    labels = np.ones((3, 4), np.int32)
    labels[:, 2:] = 2
    viz.show_contours(ax, labels)
    assert drawn_edges(ax) == {(1.5, y - 0.5, 1.5, y + 0.5) for y in range(3)}


def test_contours_have_the_colours_of_their_objects(ax):
    viz.show_contours(ax, LABELS)
    colors = {to_hex(c).upper() for c in ax.collections[0].get_colors()}
    assert colors == {viz.PALETTE[1], viz.PALETTE[2]}
    viz.show_contours(ax, LABELS, color="red")
    assert {to_hex(c) for c in ax.collections[1].get_colors()} == {"#ff0000"}


def test_an_empty_label_image_has_no_contours(ax):
    viz.show_labels(ax, IMAGE, 0 * LABELS)
    assert len(ax.collections[0].get_segments()) == 0


def test_show_labels_lays_objects_over_the_image(ax):
    assert viz.show_labels(ax, IMAGE, LABELS, alpha=0.4) is ax
    below, above = (np.asarray(shown.get_array()) for shown in ax.images)
    np.testing.assert_array_equal(below, IMAGE)
    np.testing.assert_array_equal(above[..., 3], 0.4 * (LABELS > 0))
    assert not ax.axison


# ---------------------------------------------------------------- errors


def test_error_panel_paints_each_kind_in_its_colour(ax):
    true, pred = np.zeros((2, 3, 24), np.int32)
    for label, start, stop in ((1, 0, 3), (2, 4, 6), (3, 6, 8), (4, 10, 14), (5, 16, 18)):
        true[1, start:stop] = label
    for label, start, stop in ((9, 0, 3), (8, 4, 8), (7, 10, 12), (6, 12, 14), (5, 20, 22)):
        pred[1, start:stop] = label
    assert viz.show_errors(ax, np.zeros((3, 24)), true, pred) is ax
    painted = {}
    for layer in ax.images[1:]:
        rgba = np.asarray(layer.get_array())
        for x in np.flatnonzero(rgba[1, :, 3]):
            painted.setdefault(to_hex(rgba[1, x, :3]).upper(), []).append(int(x))
    names = {color: name for name, color in viz.ERROR_COLORS.items()}
    assert {names[color]: xs for color, xs in painted.items()} == {
        "merged": [4, 5, 6, 7],
        "split": [10, 11, 12, 13],
        "missed": [16, 17],
        "false": [20, 21],
    }
    outlines = [{to_hex(c).upper() for c in layer.get_colors()} for layer in ax.collections]
    assert {viz.ERROR_COLORS["true positive"]} in outlines
    assert [t.get_text() for t in ax.get_legend().get_texts()] == list(viz.ERROR_COLORS)


def test_error_panel_of_a_perfect_prediction_paints_nothing(ax):
    viz.show_errors(ax, IMAGE, LABELS, LABELS, legend=False)
    assert all(not np.asarray(layer.get_array())[..., 3].any() for layer in ax.images[1:])
    assert ax.get_legend() is None


# ---------------------------------------------------------------- images, rows, volumes


def test_contrast_leaves_hot_pixels_out():
    image = np.linspace(0, 100, 10_000)
    image[-1] = 1e6
    black, white = viz.contrast_limits(image)
    assert (black, white) == pytest.approx((0.5, 99.5), abs=0.02)
    assert viz.contrast_limits(np.full(9, 7)) == (7, 8)
    assert viz.contrast_limits(np.array([np.nan, 0, 1]), low=0, high=100) == (0, 1)


def test_show_image_uses_the_limits_given(ax):
    viz.show_image(ax, IMAGE, title="raw", limits=(3, 30))
    assert ax.images[0].get_clim() == (3, 30)
    assert ax.get_title() == "raw"


def test_masks_of_truth_values_are_black_and_white(ax):
    viz.show_image(ax, LABELS > 0)
    assert ax.images[0].get_clim() == (0, 1)
    assert viz.contrast_limits(np.ones((2, 2), bool)) == (0, 1)  # all foreground is white
    viz.show_labels(ax, LABELS > 0, LABELS)


def test_colour_of_16_bits_gets_contrast_and_of_8_bits_stays(ax):
    image = np.zeros((2, 2, 3), np.uint16)
    image[0] = 1000, 500, 0
    viz.show_image(ax, image, limits=(0, 1000))
    assert ax.images[0].get_array()[0, 0].tolist() == [1, 0.5, 0]
    viz.show_image(ax, (image // 4).astype(np.uint8))
    assert ax.images[1].get_array()[0, 0].tolist() == [250, 125, 0]


def test_row_draws_each_kind(axes):
    panels = [("image", IMAGE, "image"), ("target", LABELS, "overlay"), ("P", IMAGE / 48, "prob")]
    assert viz.show_row(axes, panels) is axes
    assert [ax.get_title() for ax in axes] == ["image", "target", "P"]
    np.testing.assert_array_equal(axes[1].images[0].get_array(), IMAGE)
    assert axes[2].images[0].get_clim() == (0, 1)


def test_titles_of_a_row_that_the_page_shrinks_are_larger_but_fit():
    def size(n, title="four"):
        axes = viz.image_row([(title, np.ones((8, 8)), "image")] * n)
        axes[0].figure.canvas.draw()
        spans = [ax.title.get_window_extent().intervalx for ax in axes]
        assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))
        plt.close(axes[0].figure)
        return axes[0].title.get_fontsize()

    plain = size(2)
    assert size(8) == pytest.approx(plain * 8 * 2.2 / viz.rows.PAGE_INCHES)
    assert plain < size(8, "Finetune Sequential") < size(8)


def test_image_row_makes_a_figure_with_a_scale_bar():
    panels = [("image", IMAGE, "image"), ("a", LABELS, "contours"), ("b", LABELS, "labels")]
    axes = viz.image_row(panels, pixel_size_um=1.0)
    assert len(axes) == 3
    assert [t.get_text() for t in axes[0].texts] == ["2 µm"]
    assert len(axes[1].texts) == 0
    # labels without image are opaque on black
    assert set(np.unique(np.asarray(axes[2].images[1].get_array())[..., 3])) == {0, 1}
    plt.close(axes[0].figure)


def test_volume_shows_the_middle_slices_in_proportion(axes):
    volume = np.arange(4 * 6 * 8.0).reshape(4, 6, 8)
    assert viz.show_volume(axes, volume, spacing=(3, 1, 2)) is axes
    for ax, plane in zip(axes, (volume[2], volume[:, 3], volume[:, :, 4]), strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), plane)
    assert [ax.get_aspect() for ax in axes] == [1 / 2, 3 / 2, 3 / 1]
    assert [ax.get_title() for ax in axes] == ["YX", "ZX", "ZY"]


def test_volume_can_show_projections_and_labels(axes):
    volume, labels = np.zeros((4, 6, 8)), np.zeros((4, 6, 8), np.int32)
    volume[0, 1, 2], labels[0, 1, 2] = 5, 3
    viz.show_volume(axes[:1], volume, labels, mode="max")
    assert axes[0].images[0].get_array()[1, 2] == 5
    assert np.asarray(axes[0].images[1].get_array())[1, 2, 3] > 0
    assert not axes[1].images


# ---------------------------------------------------------------- scale bar


@pytest.mark.parametrize(
    ("pixel_size_um", "width", "text", "pixels"),
    [
        (1.0, 100, "20 µm", 20),  # a quarter is 25 µm
        (0.32, 256, "20 µm", 62.5),  # 20.48 µm
        (0.5, 16, "2 µm", 4),  # exactly 2 µm
        (0.005, 1024, "1 µm", 200),  # 1.28 µm
        (0.005, 512, "500 nm", 100),  # 0.64 µm
        (10.0, 1000, "2 mm", 200),  # 2.5 mm
        ((2.0, 0.3, 0.1), 100, "2 µm", 20),  # Z, Y, X: X counts
        (np.nextafter(1, 0), 400, "50 µm", 50),  # just below 100 µm, whose logarithm rounds to 2
    ],
)
def test_scale_bar_has_a_round_length(ax, pixel_size_um, width, text, pixels):
    viz.show_image(ax, np.zeros((10, width)))
    assert viz.add_scale_bar(ax, pixel_size_um) is ax
    assert ax.texts[0].get_text() == text
    left, right = ax.lines[0].get_xdata()
    assert (right - left) * width == pytest.approx(pixels)


def test_no_scale_bar_without_a_pixel_size(ax):
    viz.show_image(ax, IMAGE)
    viz.add_scale_bar(ax, None)
    assert not ax.texts and not ax.lines


# ---------------------------------------------------------------- crops and curves


def test_difference_crop_finds_the_difference():
    first, second = np.zeros((2, 100, 120), np.int32)
    first[20:30, 20:30] = second[20:30, 20:30] = 1
    second[60:80, 100:118] = 2
    window = viz.difference_crop(first, second, size=40)
    assert [s.stop - s.start for s in window] == [40, 40]
    assert (second[window] == 2).sum() == 20 * 18


def test_difference_crop_sees_outlines_but_not_ids():
    first, second = np.ones((2, 50, 50), np.int32)
    second[:, 40:] = 2
    rows, columns = viz.difference_crop(first, second, size=8)
    assert columns.start <= 39 < columns.stop
    same = viz.difference_crop(first, first * 7, size=80)
    assert [(s.start, s.stop) for s in same] == [(0, 50), (0, 50)]


def test_history_plots_what_there_is(ax):
    history = pd.DataFrame({"epoch": [0, 1, 2], "loss": [3, 2, 1], "val_loss": [4, 3, 3]})
    assert viz.plot_history(ax, history) is ax
    assert [line.get_label() for line in ax.lines] == ["loss", "val_loss"]
    assert ax.lines[0].get_xdata().tolist() == [0, 1, 2]


def test_history_of_keras_counts_epochs_from_one(ax):
    viz.plot_history(ax, {"val_ap_50": [0.2, 0.6]}, keys=["ap_50", "val_ap_50"])
    assert ax.lines[0].get_xdata().tolist() == [1, 2]
    assert ax.get_ylabel() == "ap_50"


def test_ap_curve_has_one_line_a_method(ax):
    curve = pd.DataFrame({"threshold": [0.5, 0.6], "ap_mean": [0.9, 0.8], "f1_pooled": [1, 0.9]})
    assert viz.plot_ap_curve(ax, {"a": curve, "b": curve}) is ax
    assert [line.get_label() for line in ax.lines] == ["a", "b"]
    assert ax.lines[0].get_ydata().tolist() == [0.9, 0.8]
    assert ax.lines[0].get_marker() != ax.lines[1].get_marker()
    viz.plot_ap_curve(ax, {"c": curve}, score="f1", average="pooled")
    assert ax.get_ylabel() == "F1 (pooled)"


def test_style_is_set():
    with matplotlib.rc_context():
        viz.set_style()
        assert not matplotlib.rcParams["axes.spines.top"]


# ---------------------------------------------------------------- errors of use


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ax: viz.show_labels(ax, IMAGE, np.zeros((2, 6, 8), int)), "one slice"),
        (lambda ax: viz.show_labels(ax, IMAGE.T, LABELS), r"\(8, 6\) and labels \(6, 8\)"),
        (lambda ax: viz.show_errors(ax, IMAGE, LABELS, LABELS.T), "labels_pred"),
        (lambda ax: viz.show_row([ax], [("t", IMAGE, "picture")]), "kind 'picture'"),
        (lambda ax: viz.show_row([ax], [("t", LABELS, "overlay")]), "'image' panel before"),
        (lambda ax: viz.show_row([ax], []), "1 axes for 0 panels"),
        (lambda ax: viz.show_volume([ax], IMAGE), "ZYX"),
        (lambda ax: viz.show_volume([ax], np.zeros((3, 3, 3)), mode="mean"), "'slice' or 'max'"),
        (lambda ax: viz.add_scale_bar(ax, -1), "micrometres per pixel"),
        (lambda ax: viz.difference_crop(LABELS, LABELS.T), "differ"),
        (lambda ax: viz.plot_history(ax, {"accuracy": [1]}), "none of.*accuracy"),
        (lambda ax: viz.plot_ap_curve(ax, {"m": pd.DataFrame({"t": [1]})}), "curve of m"),
    ],
)
def test_errors_say_what_to_mend(ax, call, message):
    with pytest.raises(ValueError, match=message):
        call(ax)
