"""The sample of bent, touching worms."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, distance_transform_edt, label

from data_download.manifest import read_manifest, verify_dataset
from data_download.samples import make_sample, worms_sim
from data_download.samples.worms_sim import simulate_worms
from helpers.stars import star_limit


def simulate(*, seed=0, shape=(160, 160), n_worms=8, **options):
    return simulate_worms(shape, n_worms, rng=np.random.default_rng(seed), **options)


def find_touching(labels):
    touching = set()
    for first, second in [(labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])]:
        meets = (first != second) & (first > 0) & (second > 0)
        touching |= set(first[meets]) | set(second[meets])
    return len(touching) / labels.max()


@pytest.fixture(scope="module")
def images():
    return worms_sim.worms_images(seed=42)


def test_images_have_the_shapes_numbers_and_labels_stated(images):
    assert {split: len(pairs) for split, pairs in images.items()} == worms_sim.N_IMAGES
    several = [pair for pairs in images.values() for pair in pairs]
    assert len({image.tobytes() for image, _ in several}) == 28
    for image, labels in several:
        assert image.shape == labels.shape == (256, 256)
        assert (image.dtype, labels.dtype) == (np.uint16, np.int32)
        assert 8 <= labels.max() <= 30
        np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))
        assert all(label(labels == k)[1] == 1 for k in range(1, labels.max() + 1))
        assert image[labels > 0].mean() > 1.4 * image[labels == 0].mean()


def test_star_convex_polygons_cannot_follow_the_worms(images):
    labels = [y for _, y in images["test"]]
    assert star_limit(labels, 32) < 0.65
    assert star_limit(labels, 96) < 0.7


def test_most_worms_touch_another(images):
    shares = [find_touching(y) for pairs in images.values() for _, y in pairs]
    assert 0.6 < np.mean(shares) < 0.9


def test_equal_seeds_give_equal_images():
    first, again, other = (simulate(seed=seed) for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (first[0] != other[0]).any()


def test_worms_lie_apart_unless_asked_to_touch():
    labels = simulate(touch=0, n_worms=6, shape=(200, 200))[2]
    assert labels.max() >= 3
    for k in range(1, labels.max() + 1):
        assert set(labels[binary_dilation(labels == k, iterations=2)]) <= {0, k}
    assert np.mean([find_touching(simulate(touch=1, seed=seed)[2]) for seed in range(3)]) > 0.6


def test_worms_are_as_wide_and_large_as_asked_for():
    labels = simulate(touch=0, length=60, width=12, shape=(220, 220))[2]
    edge = set(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]).tolist())
    whole = [k for k in range(1, labels.max() + 1) if k not in edge]
    assert whole
    for k in whole:
        half_width = distance_transform_edt(labels == k).max()
        assert half_width == pytest.approx(6, abs=1.3)
        assert (labels == k).sum() == pytest.approx(60 * 12 * 0.85, rel=0.35)


def test_noise_is_the_sum_of_poisson_and_camera_noise():
    image, clean, _ = simulate(shape=(256, 256))
    # variance of 3 * Poisson(n) is 9 n = 3 * (clean - 100); camera 6^2, rounding 1/12
    scaled = (image - clean) / np.sqrt(3 * (clean - 100.0) + 36 + 1 / 12)
    assert scaled.mean() == pytest.approx(0, abs=0.02)
    assert scaled.std() == pytest.approx(1, abs=0.015)


@pytest.mark.parametrize("options", [{"shape": (8, 64, 64)}, {"touch": 1.5}, {"touch": np.nan}])
def test_impossible_arguments_are_refused(options):
    with pytest.raises(ValueError, match="touch is"):
        simulate(**options)


def test_the_sample_becomes_a_valid_data_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(worms_sim, "N_IMAGES", {"train": 1, "test": 1})
    folder = make_sample("worms_sim", tmp_path / "worms", seed=1)
    assert verify_dataset(folder) == []
    facts = read_manifest(folder)
    assert (facts["task"], facts["seed"], facts["licence"]) == ("instance", 1, "CC0-1.0")
