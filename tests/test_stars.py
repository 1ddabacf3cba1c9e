"""The helpers around stardist: sizes, steps, and a training that beats no training."""

import numpy as np
import pytest
from skimage.draw import disk, rectangle

from helpers import stars
from helpers.metrics import score_dataset
from helpers.runtime import set_seed


def draw_discs(rng, shape=(96, 96), n=7):
    """Bright discs of radius 6 to 9 that do not overlap, on a noisy background."""
    labels, tries = np.zeros(shape, np.int32), 0
    while labels.max() < n and tries < 500:
        tries += 1
        radius = rng.uniform(6, 9)
        center = rng.uniform(radius, np.array(shape) - radius)
        place = disk(center, radius + 1, shape=shape)
        if not labels[place].any():
            labels[disk(center, radius, shape=shape)] = labels.max() + 1
    return (labels > 0) + rng.normal(0, 0.1, shape).astype(np.float32), labels


def test_extents_of_two_rectangles():
    labels = np.zeros((20, 30), np.int32)
    labels[rectangle((2, 3), (4, 12))] = 1  # 3 rows, 10 columns
    labels[rectangle((10, 10), (16, 11))] = 5  # 7 rows, 2 columns
    assert stars.object_extents([labels]).tolist() == [[3, 10], [7, 2]]
    assert stars.object_extents([labels * 0]).shape == (0, 2)


def test_discs_are_stars_and_a_ring_is_not():
    labels = np.zeros((64, 64), np.int32)
    labels[disk((32, 32), 20)] = 1
    assert stars.star_limit([labels], 32) > 0.95
    labels[disk((32, 32), 16)] = 0
    assert stars.star_limit([labels], 32) < 0.6


def test_more_rays_fit_a_square_better():
    labels = np.zeros((64, 64), np.int32)
    labels[rectangle((12, 12), (51, 51))] = 1
    limits = [stars.star_limit([labels], n) for n in (4, 8, 32)]
    assert limits == sorted(limits)
    # Four rays along the axes span the inner diamond: half of the square.
    assert limits[0] == pytest.approx(0.5, abs=0.05)


def test_star_limit_needs_objects():
    with pytest.raises(ValueError, match="no object"):
        stars.star_limit([np.zeros((8, 8), np.int32)], 8)


@pytest.mark.parametrize(
    ("shape", "wanted", "expected"),
    [
        ((100, 200), (64, 64), (64, 64)),
        ((50, 200), (64, 64), (48, 64)),
        ((16, 17), (64, 64), (16,) * 2),
    ],
)
def test_patch_size_fits_and_is_divisible(shape, wanted, expected):
    assert stars.fit_patch_size([np.zeros(shape)], wanted, divisor=(16, 16)) == expected


def test_too_small_images_are_named():
    with pytest.raises(ValueError, match=r"smallest image has shape \(100, 12\).*\(16, 16\)"):
        stars.fit_patch_size([np.zeros((100, 12))], (64, 64), divisor=(16, 16))


def test_steps_grow_with_the_data():
    images = [np.zeros((100, 100))] * 8  # 80,000 pixels, 80 steps of 1,000 pixels a pass
    assert stars.count_steps(images, 1000, start_steps=400, n_passes=10) == 1200
    assert stars.count_steps(images, 1000, start_steps=0, n_passes=0) == 100


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from stardist.models import Config2D, StarDist2D

    set_seed(0)
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    images, labels = zip(*[draw_discs(rng) for _ in range(6)], strict=True)
    images, labels = list(images), list(labels)
    config = Config2D(
        n_rays=16, grid=(2, 2), unet_n_depth=2, unet_n_filter_base=8, net_conv_after_unet=32,
        unet_batch_norm=True, train_patch_size=(64, 64), train_batch_size=2,
        train_learning_rate=4e-3, train_dist_loss="iou", train_loss_weights=(1, 1),
        train_n_val_patches=4, **stars.OWN_LOOP,
    )  # fmt: skip
    model = StarDist2D(config, name="model", basedir=str(folder))
    stars.shorten_batch_norm_memory(model)
    stars.train_stars(
        model, (images[:4], labels[:4]), (images[4:5], labels[4:5]), folder=folder, n_steps=480,
        n_epochs=6, seed=0,
    )  # fmt: skip
    return model, folder, images[4:], labels[4:]


def test_training_finds_discs(trained):
    model, _, images, labels = trained
    found = [stars.predict_labels(model, image) for image in images]
    assert score_dataset(labels, found).summary()["ap_50"] > 0.8
    assert stars.StarAP(model, images, labels)()["val_ap"] > 0.4


def test_model_and_thresholds_are_stored(trained):
    from stardist.models import StarDist2D

    model, folder, images, labels = trained
    chosen = stars.tune_thresholds(model, images, labels)
    reloaded = StarDist2D(None, "model", basedir=str(folder))
    assert reloaded.thresholds._asdict() == chosen
    assert np.allclose(reloaded.predict(images[0])[0], model.predict(images[0])[0], atol=1e-6)


def test_only_some_validation_pixels_are_scored():
    images = [np.zeros((100, 100))] * 5
    assert len(stars.StarAP(None, images, images, max_pixels=25_000).images) == 2
    assert len(stars.StarAP(None, images, images, max_pixels=10).images) == 1
