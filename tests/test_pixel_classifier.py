"""Filters mean what they say, and the discriminant learns what a threshold cannot."""

import numpy as np
import pytest
from scipy import ndimage

from helpers.em.mask_volume import choose_threshold
from helpers.em.pixel_classifier import filter_features, fit_pixel_classifier


def test_features_of_a_ramp_are_known():
    ramp = np.broadcast_to(3.0 * np.arange(40.0), (40, 40))
    features = filter_features(ramp, (1, 2))[20, 20]
    assert features == pytest.approx([60, 3, 0, 60, 6, 0], abs=1e-3)


def test_features_of_a_volume_have_their_places():
    image = np.random.default_rng(0).random((5, 12, 14))
    features = filter_features(image, (1.5,))
    assert features.shape == (5, 12, 14, 3) and features.dtype == np.float32
    assert features[..., 0] == pytest.approx(ndimage.gaussian_filter(image, 1.5), abs=1e-5)


def texture(seed):
    """Foreground differs in roughness only, not in grey value."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 10:40] = 1
    return np.where(mask, 3.0, 0.5) * rng.normal(size=mask.shape), mask


def test_a_single_slice_has_the_features_of_its_image():
    image = np.random.default_rng(0).random((9, 11), dtype=np.float32)
    np.testing.assert_allclose(filter_features(image[None])[0], filter_features(image), atol=1e-5)


def test_texture_is_learned_and_found_in_another_image():
    classify = fit_pixel_classifier(*[[part] for part in texture(0)], n_pixels=500)
    image, mask = texture(1)
    score = classify(image)
    assert score.shape == image.shape and 0 <= score.min() <= score.max() <= 1
    assert choose_threshold([score], [mask])[1] > 0.7
    grey = (image - image.min()) / np.ptp(image)
    assert choose_threshold([grey], [mask])[1] < 0.4


def test_equal_seeds_give_equal_classifiers_and_volumes_work():
    image, mask = (np.stack([a] * 3) for a in texture(2))
    first, second = (fit_pixel_classifier([image], [mask], n_pixels=200, seed=3) for _ in range(2))
    assert (first.weights == second.weights).all()
    assert first(image).shape == image.shape


def test_a_class_without_pixels_is_refused():
    with pytest.raises(ValueError, match="0 foreground and .* background"):
        fit_pixel_classifier([np.ones((8, 8))], [np.zeros((8, 8))])
