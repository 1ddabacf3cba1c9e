"""The samples of nuclei: real regions, simulated images and stacks, and their folders."""

import numpy as np
import pytest
import stardist.data
from scipy.ndimage import binary_dilation, label

from data_download.manifest import read_manifest, verify_dataset
from data_download.samples import make_sample, nuclei, nuclei_3d, nuclei_noisy, nuclei_sim
from data_download.samples.nuclei import cut_between, nuclei_regions
from data_download.samples.nuclei_sim import simulate_nuclei
from helpers.images import read_image, read_pixel_size
from helpers.instances import otsu_watershed, tune_otsu_watershed
from helpers.metrics import score_dataset

NOISY = ("nuclei_noisy", "nuclei_noisy_half")


def simulate(*, seed=0, shape=(128, 128), n_nuclei=12, **options):
    return simulate_nuclei(shape, n_nuclei, rng=np.random.default_rng(seed), **options)


def count_touching(labels):
    """Count objects that share a pixel side with another one."""
    touching = set()
    for first, second in [(labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])]:
        meets = (first != second) & (first > 0) & (second > 0)
        touching |= set(first[meets]) | set(second[meets])
    return len(touching)


def check_sample(splits, numbers, shape):
    assert {split: len(pairs) for split, pairs in splits.items()} == numbers
    for image, labels in (pair for pairs in splits.values() for pair in pairs):
        assert image.shape == labels.shape == shape
        assert (image.dtype, labels.dtype) == (np.uint16, np.int32)
        assert 15 <= labels.max() <= 60
        check_labels(labels)
        assert image[labels > 0].mean() > 1.4 * image[labels == 0].mean()


def check_labels(labels):
    """Every id from 1 is there, and is one piece."""
    np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert all(label(labels == number)[1] == 1 for number in range(1, labels.max() + 1))


@pytest.fixture(scope="module")
def images():
    return nuclei_sim.nuclei_images(seed=42)


@pytest.fixture(scope="module")
def volumes():
    return nuclei_3d.nuclei_volumes(seed=42)


def test_images_have_the_shapes_numbers_and_labels_stated(images):
    check_sample(images, {"train": 16, "val": 4, "test": 8}, (256, 256))


def test_volumes_have_the_shapes_numbers_and_labels_stated(volumes):
    check_sample(volumes, {"train": 4, "val": 1, "test": 2}, (32, 96, 96))


def test_no_image_occurs_twice(images):
    several = [image.tobytes() for pairs in images.values() for image, _ in pairs]
    assert len(set(several)) == 28


def test_baseline_finds_most_nuclei_and_leaves_room(images):
    best = tune_otsu_watershed(*zip(*images["val"], strict=True))
    found = [otsu_watershed(image, **best) for image, _ in images["test"]]
    score = score_dataset([labels for _, labels in images["test"]], found, thresholds=[0.5])
    assert 0.55 < score.mean["ap_50"] < 0.8


def test_equal_seeds_give_equal_images():
    first, again, other = (simulate(seed=seed) for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (first[0] != other[0]).any()


def test_isolated_nuclei_lie_two_pixels_apart_or_more():
    labels = simulate(overlap=0)[2]
    assert labels.max() == 12
    for number in range(1, 13):
        around = binary_dilation(labels == number, iterations=2)
        assert set(labels[around]) <= {0, number}


def test_more_overlap_makes_more_nuclei_touch():
    touching = [count_touching(simulate(overlap=p, seed=3)[2]) for p in (0, 0.5, 1)]
    assert touching[0] == 0 < touching[1] < touching[2]
    assert touching[2] >= 10


@pytest.fixture
def plain_light(monkeypatch):
    """Nuclei are evenly bright blocks of light 1, without haze, lamp and blur."""
    monkeypatch.setattr(
        nuclei_sim,
        "_draw_nucleus",
        lambda radius, scale, rng: np.pad(np.ones([9, 9, 9][: len(scale)]), 3),
    )
    monkeypatch.setattr(nuclei_sim, "_draw_haze", lambda light, *rest: np.zeros_like(light))
    monkeypatch.setattr(nuclei_sim, "_illuminate", lambda shape, rng: 1)
    return {"overlap": 1, "gain": 3, "photons": 100, "blur": 0}


def test_light_adds_up_where_nuclei_overlap_in_an_image(plain_light):
    _, clean, labels = simulate(n_nuclei=30, **plain_light)
    # offset 100 and 3 grey levels for each of 100 photons: 0.05 in the background, 1 per nucleus
    assert {115, 415, 715} <= set(np.round(clean).ravel().astype(int))
    assert set(np.round(clean[labels == 0]).astype(int)) <= {115, 415}


def test_nuclei_of_a_stack_press_on_each_other_but_share_no_light(plain_light):
    clean = simulate(shape=(30, 40, 40), n_nuclei=20, **plain_light)[1]
    assert set(np.round(clean).ravel().astype(int)) == {115, 415}


def test_noise_is_the_sum_of_poisson_and_camera_noise():
    image, clean, _ = simulate(shape=(256, 256), n_nuclei=20, gain=3, noise_sigma=7)
    # variance of gain * Poisson(n) is gain^2 n = gain * (clean - 100); rounding adds 1/12
    expected = 3 * (clean - 100.0) + 7**2 + 1 / 12
    scaled = (image - clean) / np.sqrt(expected)
    assert scaled.mean() == pytest.approx(0, abs=0.02)
    assert scaled.std() == pytest.approx(1, abs=0.015)


def test_without_light_the_camera_shows_its_offset():
    image, clean, _ = simulate(photons=0, noise_sigma=0)
    assert (image == 100).all() and (clean == 100).all()


def test_nuclei_are_as_large_as_asked_for_and_shorter_along_a_coarse_z():
    labels = simulate(shape=(40, 128, 128), n_nuclei=8, overlap=0, anisotropy=2.5)[2]
    extents = np.array([np.ptp(np.argwhere(labels == k), axis=0) + 1 for k in (1, 2, 3, 4, 5, 6)])
    z, y, x = np.median(extents, axis=0)
    assert 15 < x < 25 and 15 < y < 25  # a diameter of 20 pixels
    assert x / z == pytest.approx(2.5, rel=0.3)


def test_cut_nuclei_at_the_border_are_labelled_unless_tiny():
    labels = simulate(shape=(64, 64), n_nuclei=20, overlap=0, radius=10, seed=5)[2]
    areas = np.bincount(labels.ravel())[1:]
    assert areas.min() >= 30  # a tenth of 3 * 10^2 pixels
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    assert (edge > 0).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (64,)}, r"shape is \(64,\): give \(y, x\)"),
        ({"overlap": 1.2}, "overlap is 1.2: give a probability"),
        ({"overlap": np.nan}, "overlap is nan"),
        ({"noise_sigma": -1}, "noise_sigma is -1: give grey levels"),
    ],
)
def test_impossible_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        simulate(**options)


def test_regions_of_the_real_image_share_no_pixel_and_no_nucleus(monkeypatch):
    labels = stardist.data.test_image_nuclei_2d(return_mask=True)[1]
    # in place of the image the number of each pixel, so that regions tell where they lie
    places = np.arange(labels.size).reshape(labels.shape)
    monkeypatch.setattr(stardist.data, "test_image_nuclei_2d", lambda return_mask: (places, labels))
    regions = nuclei_regions()
    assert {split: len(pairs) for split, pairs in regions.items()} == {
        "train": 2,
        "val": 1,
        "test": 2,
    }
    parts = [part for pairs in regions.values() for part, _ in pairs]
    pixels = np.concatenate([part.ravel() for part in parts])
    assert len(np.unique(pixels)) == len(pixels) > 0.85 * labels.size
    numbers = [set(labels.ravel()[part.ravel()]) - {0} for part in parts]
    assert len(set.union(*numbers)) == sum(map(len, numbers))


def test_cut_moves_to_the_narrowest_strip():
    labels = np.zeros((60, 40), int)
    labels[25:35, 5:15] = 1  # in the way of a cut at row 30
    labels[45:55, 20:30] = 2
    upper, lower = cut_between(labels, (slice(0, 60), slice(0, 40)), axis=0, at=30)
    # rows 25 and 35 cut nothing and are equally far: the first of equals is taken
    assert upper == (slice(0, 25), slice(0, 40))
    assert lower == (slice(25, 60), slice(0, 40))


def test_cut_leaves_out_a_nucleus_that_it_cannot_pass():
    labels = np.zeros((100, 10), int)
    labels[10:90, 2:8] = 1  # longer than the cut may move
    upper, lower = cut_between(labels, (slice(0, 100), slice(0, 10)), axis=0, at=50)
    assert lower[0] == slice(90, 100)
    assert upper[0].stop <= 74


@pytest.mark.parametrize(("name", "module"), [("nuclei", nuclei), ("nuclei_3d", nuclei_3d)])
def test_a_sample_becomes_a_valid_data_folder(tmp_path, monkeypatch, name, module):
    monkeypatch.setattr(nuclei_3d, "N_VOLUMES", {"train": 1, "test": 1})
    folder = make_sample(name, tmp_path / name, seed=1)
    assert verify_dataset(folder) == []
    facts = read_manifest(folder)
    assert facts["task"] == "instance"
    assert facts["licence"] == module.FACTS["licence"] and facts["seed"] == 1
    first = folder / "test" / "images" / f"{name}_test_00.tif"
    size = module.FACTS.get("pixel_size_um")
    assert read_pixel_size(first) == (pytest.approx(size, rel=1e-4) if size else None)
    assert read_image(first).dtype == np.uint16
    with pytest.raises(ValueError, match="exists"):
        make_sample(name, tmp_path / name)


def test_half_the_noise_leaves_all_else_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(nuclei_noisy, "N_IMAGES", {"test": 1})
    full, half = (read_sample(make_sample(name, tmp_path / name), name) for name in NOISY)
    assert np.array_equal(full["clean"], half["clean"])
    assert np.array_equal(full["masks"], half["masks"])
    noise = full["images"] - full["clean"]
    assert np.std(noise) == pytest.approx(100, rel=0.02)
    np.testing.assert_allclose(half["images"] - half["clean"], noise / 2, atol=1e-3)
    sigmas = [read_manifest(tmp_path / name).get("noise_sigma") for name in NOISY]
    assert sigmas == [100, 50]


def read_sample(folder, name):
    """Return the one test image with its masks and clean image."""
    return {
        kind: read_image(folder / "test" / kind / f"{name}_test_00.tif")
        for kind in ("images", "masks", "clean")
    }


def test_unknown_samples_are_refused(tmp_path):
    with pytest.raises(ValueError, match="name is 'nuklei': the built-in samples are nuclei, "):
        make_sample("nuklei", tmp_path / "x")
