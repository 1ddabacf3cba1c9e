"""The simulated EM volumes and AFM height maps have the figures of the real images."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_opening, gaussian_filter

from data_download.samples import afm_sim, em_sim, make_sample
from helpers.images import read_image, read_pixel_size


@pytest.fixture(scope="module")
def volumes():
    return em_sim.em_volumes()


@pytest.fixture(scope="module")
def maps():
    return afm_sim.afm_maps()


def pairs(splits):
    return [(image, mask > 0) for several in splits.values() for image, mask in several]


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def best_threshold_dice(images, masks):
    """Return the best Dice that one grey level reaches, chosen with the masks in hand."""
    images, masks = np.concatenate(images, None), np.concatenate(masks, None)
    levels = np.unique(np.percentile(images, np.arange(2, 100, 2)))
    return max(max(dice(images < t, masks), dice(images >= t, masks)) for t in levels)


def contrast(image, mask):
    return image[mask].mean() - image[~mask].mean()


def flatten(image, mask):
    """Subtract the quadratic surface through the glass; return the rest and the surface."""
    y, x = np.mgrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]
    terms = np.stack([np.ones_like(x), y, x, y * y, x * x, x * y], axis=-1)
    glass = ~binary_dilation(mask, iterations=3)
    surface = terms @ np.linalg.lstsq(terms[glass], image[glass].astype(float), rcond=None)[0]
    return image - surface, surface, glass


def test_threshold_search_finds_the_perfect_level():
    image = np.array([[1.0, 2.0], [8.0, 9.0]])
    assert best_threshold_dice([image], [image > 5]) == 1
    assert best_threshold_dice([image], [image < 5]) == 1


@pytest.mark.parametrize("module", [em_sim, afm_sim])
def test_facts_are_complete(module):
    assert {"title", "modality", "axes", "licence", "source", "task"} <= set(module.FACTS)
    assert module.FACTS["licence"] == "CC0-1.0" and module.FACTS["task"] == "semantic"


def test_em_shapes_and_types(volumes):
    shapes = {split: [image.shape for image, _ in several] for split, several in volumes.items()}
    assert shapes == {"train": [(64, 256, 256)], "val": [(24, 256, 256)], "test": [(32, 256, 256)]}
    for image, mask in pairs(volumes):
        assert image.dtype == np.uint8 and mask.shape == image.shape
    assert set(np.unique(volumes["test"][0][1])) == {0, 1}


def test_em_grey_levels(volumes):
    for image, mask in pairs(volumes):
        assert 0.04 <= mask.mean() <= 0.11
        assert -41 <= contrast(image, mask) <= -28
        assert 128 <= image.mean() <= 142 and 26 <= image.std() <= 35
        steps = np.diff(image.astype(float), axis=0).std() / np.sqrt(2)
        assert 9.5 <= steps <= 11.5


def test_em_is_isotropic(volumes):
    image = volumes["train"][0][0].astype(float)
    lags = [np.diff(image, axis=axis).std() for axis in range(3)]
    assert max(lags) < 1.05 * min(lags)


def test_em_resists_a_threshold_even_after_smoothing(volumes):
    images, masks = zip(*pairs(volumes), strict=True)
    assert 0.25 < best_threshold_dice(images, masks) < 0.45
    smooth = [gaussian_filter(image, 2, output=float) for image in images]
    assert best_threshold_dice(smooth, masks) < 0.6


def test_afm_shapes_and_export(maps):
    assert {split: len(several) for split, several in maps.items()} == afm_sim.COUNTS
    for image, mask in pairs(maps):
        assert image.shape == mask.shape == (256, 256) and image.dtype == np.uint8
        assert image.min() == 0 and image.max() == 255
    assert set(np.unique(maps["test"][0][1])) == {0, 1}


def test_afm_grey_levels(maps):
    images, masks = zip(*pairs(maps), strict=True)
    shares = [mask.mean() for mask in masks]
    assert 0.03 < min(shares) and max(shares) < 0.55 and 0.15 < np.mean(shares) < 0.27
    percentiles = np.percentile(images, [1, 50, 90, 99, 99.9], axis=(1, 2)).mean(axis=1)
    low, high = np.array([[2, 14, 32, 85, 160], [5, 24, 50, 135, 230]])
    assert (low < percentiles).all() and (percentiles < high).all()


def test_afm_glass_and_cells(maps):
    figures = []
    for image, mask in pairs(maps):
        rest, surface, glass = flatten(image, mask)
        figures.append((np.ptp(surface), rest[glass].std(), np.median(rest[mask])))
    bow, spread, cell = np.median(figures, axis=0)
    assert 33 <= bow <= 46 and 2 <= spread <= 4 and 17 <= cell <= 26


def test_afm_processes_are_thin(maps):
    masks = [mask for _, mask in pairs(maps)]
    lost = [1 - binary_opening(mask, np.ones((3, 3))).sum() / mask.sum() for mask in masks]
    assert 0.02 < np.median(lost) < 0.09


def test_afm_resists_a_threshold_more_than_when_flat(maps):
    images, masks = zip(*pairs(maps), strict=True)
    flat = [flatten(image, mask)[0] for image, mask in pairs(maps)]
    raw = best_threshold_dice(images, masks)
    assert raw < 0.72 and raw + 0.1 < best_threshold_dice(flat, masks) < 0.95


@pytest.mark.parametrize(
    ("simulate", "size"), [(em_sim.simulate_em, (16, 48, 48)), (afm_sim.simulate_map, 128)]
)
def test_seed_decides(simulate, size):
    first, again, other = (
        simulate(size, seed=seed)
        if simulate is em_sim.simulate_em
        else simulate(np.random.default_rng(seed), size=size)
        for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_no_image_is_in_two_splits(volumes, maps):
    for splits in (volumes, maps):
        images = [image[:16].tobytes() for image, _ in pairs(splits)]
        assert len(set(images)) == len(images)


def test_em_refuses_a_flat_shape():
    with pytest.raises(ValueError, match="at least 16 voxels"):
        em_sim.simulate_em((8, 64, 64))


def test_sample_becomes_a_data_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(em_sim, "SHAPES", dict.fromkeys(em_sim.SHAPES, (16, 64, 64)))
    folder = make_sample("em_sim", tmp_path / "em")
    file = folder / "test" / "images" / "em_sim_test_00.tif"
    assert read_image(file).shape == (16, 64, 64)
    assert read_pixel_size(file) == pytest.approx((0.005, 0.005, 0.005))
