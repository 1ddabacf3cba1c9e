import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from data_download.samples.afm_sim import simulate_map
from helpers.afm.heightmaps import (
    flatten_map,
    glass_noise,
    level_lines,
    remove_spikes,
    scale_heights,
)
from helpers.afm.measures import measure_cells, summarise_map
from helpers.afm.threshold import threshold_heights, tune_threshold
from helpers.metrics.pixels import score_masks


def bowl(size=80, rise=40):
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    return rise * ((y - 0.3) ** 2 + 0.4 * x**2) / 2 + 6 * x


def cell_on_bowl(noise=0.5, steps=True, seed=0):
    """Return a map with a cell 20 high over a quarter of it, and its mask."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((80, 80), bool)
    mask[20:60, 12:48] = True
    lines = rng.normal(0, 1.5, 80) if steps else np.zeros(80)
    image = bowl() + 20 * mask + lines[:, None] + rng.normal(0, noise, mask.shape)
    return image, mask


def test_surface_is_exact_without_noise():
    for degree, image in ((1, bowl(rise=0)), (2, bowl()), (3, bowl())):
        flat = flatten_map(image, degree=degree, lines=False)
        assert np.abs(flat.height).max() < 1e-4
        assert np.allclose(flat.surface + flat.height, image, atol=1e-4)


def test_cells_do_not_pull_the_surface():
    image, mask = cell_on_bowl()
    flat = flatten_map(image)
    assert abs(np.median(flat.height[~mask])) < 0.3
    assert abs(np.median(flat.height[mask]) - 20) < 0.5
    assert not flat.glass[mask].any() and flat.glass[~mask].mean() > 0.95


def test_an_ordinary_fit_would_be_pulled():
    image, mask = cell_on_bowl()
    y, x = np.mgrid[-1:1:80j, -1:1:80j]
    terms = np.stack([np.ones_like(x), y, x, y * y, x * y, x * x], -1)
    ordinary = image - terms @ np.linalg.lstsq(terms.reshape(-1, 6), image.ravel(), rcond=None)[0]
    assert abs(np.median(ordinary[~mask])) > 2


def test_lines_are_levelled_beside_a_tall_cell():
    image, mask = cell_on_bowl(noise=0.2)
    rows = [flatten_map(image, lines=lines).height for lines in (False, True)]
    spread = [np.nanstd(np.nanmedian(np.where(mask, np.nan, h), axis=1)) for h in rows]
    assert spread[0] > 1 and spread[1] < 0.1
    # the median of whole rows would sink the cell: here the rows of the cell keep its height
    assert abs(np.median(rows[1][mask]) - 20) < 0.3


def test_rows_without_glass_take_their_neighbours():
    height = np.ones((6, 5)) * np.arange(6)[:, None]
    glass = np.ones((6, 5), bool)
    glass[3] = False
    assert np.allclose(level_lines(height, glass), 0)
    assert np.allclose(level_lines(height, np.zeros_like(glass)), height)


def test_scale_and_noise():
    values = np.random.default_rng(1).normal(0, 3, (200, 200))
    values[:60] += 30
    assert glass_noise(values) == pytest.approx(3, rel=0.1)
    assert glass_noise(np.zeros((4, 4))) == 0
    assert np.allclose(scale_heights(np.array([0.0, 6, -6]), 6), np.arcsinh([0, 1, -1]))
    assert scale_heights(np.zeros(2), 1).dtype == np.float32


def test_spikes_go_and_hairs_stay():
    rng = np.random.default_rng(2)
    height = gaussian_filter(rng.normal(0, 1, (60, 60)), 1)
    height[20:40, 20:40] += 30
    height[10, 5:50] = 8
    spiked = height.copy()
    spiked[50, 50] = spiked[5, 30] = 250
    clean = remove_spikes(spiked)
    assert clean[50, 50] < 3 and clean[5, 30] < 3
    untouched = np.ones_like(height, bool)
    untouched[50, 50] = untouched[5, 30] = False
    assert np.allclose(clean[untouched], height[untouched], atol=1e-5)


def test_flattening_beats_a_plain_threshold_on_simulated_maps():
    image, mask = simulate_map(np.random.default_rng(3), size=192)
    height = flatten_map(image).height
    dice = score_masks(mask, threshold_heights(height, 5))["dice"]
    best_plain = max(score_masks(mask, image > t)["dice"] for t in range(5, 120, 5))
    assert dice > best_plain + 0.05


def test_threshold_with_the_best_dice():
    height = np.repeat([[0.0, 1.0, 2.0, 3.0]], 4, axis=0)
    best, scores = tune_threshold(
        [height], [height > 1.5], [0.5, 1.2, 1.8, 2.5], predict=np.greater
    )
    assert best == 1.8 and scores[1] == scores[2] == 1
    assert scores[0] == pytest.approx(4 / 5) and scores[3] == pytest.approx(2 / 3)


def test_holes_are_filled():
    height = np.pad(np.full((5, 5), 9.0), 4)
    height[6, 6] = 0
    assert threshold_heights(height, 4, sigma=0).sum() == 25


def test_measures_in_units():
    height = np.zeros((20, 20))
    height[2:6, 3:13] = 100
    height[2, 3] = 300
    height[15:, 15:] = 50
    table = measure_cells(height, height > 0, pixel_size_um=(0.2, 0.5), min_area_px=10)
    first, second = table.iloc[0], table.iloc[1]
    assert table["piece"].tolist() == [1, 2]
    assert (first.area_px, second.area_px) == (40, 25)
    assert first.area_um2 == pytest.approx(4.0) and first.height_mean == pytest.approx(105)
    assert first.volume_um3 == pytest.approx(4200 * 0.1 / 1000)
    assert first.height_median == 100 and not first.at_frame and second.at_frame
    unknown = measure_cells(height, height > 0, min_area_px=30)
    assert len(unknown) == 1 and np.isnan(unknown["area_um2"][0])


def test_summary_of_a_map():
    height = np.zeros((10, 10))
    height[:2] = 40
    facts = summarise_map(height, height > 0, pixel_size_um=(1, 2))
    assert facts == {
        "share": 0.2, "area_um2": 40.0, "height_median": 40.0, "height_p99": 40.0, "glass_sd": 0.0
    }  # fmt: skip
    empty = summarise_map(height, height > 99)
    assert np.isnan(empty["height_median"]) and empty["share"] == 0
    assert len(measure_cells(height, height > 99)) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: flatten_map(np.zeros((3, 3, 3))), "YX"),
        (lambda: flatten_map(np.full((3, 3), np.nan)), "NaN"),
        (lambda: flatten_map(np.zeros((3, 3)), degree=5), "degree"),
        (lambda: level_lines(np.zeros((3, 3)), np.zeros((2, 3), bool)), "glass"),
        (lambda: scale_heights(np.zeros(3), 0), "scale"),
        (lambda: tune_threshold([], [], [1]), "0 maps"),
        (lambda: measure_cells(np.zeros((3, 3)), np.zeros((3, 2))), "mask"),
        (
            lambda: measure_cells(np.zeros((3, 3)), np.zeros((3, 3)), pixel_size_um=(1, -1)),
            "above 0",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
