import numpy as np
import pytest

from helpers.denoise.noise import add_gaussian_noise, estimate_noise


def test_noise_has_the_sigma_asked_for_and_no_bias():
    noisy = add_gaussian_noise(np.full((500, 400), 3), sigma=10, rng=np.random.default_rng(0))
    # standard errors of 200,000 pixels: 0.022 of the mean, 0.016 of sigma
    assert noisy.mean() == pytest.approx(3, abs=0.1)
    assert noisy.std() == pytest.approx(10, abs=0.07)
    assert noisy.dtype == np.float32


def test_dark_pixels_become_negative_and_bright_ones_pass_the_limit():
    image = np.array([[0, 255]] * 200, np.uint8)
    noisy = add_gaussian_noise(image, sigma=20, rng=np.random.default_rng(0))
    assert noisy.min() < 0 and noisy.max() > 255
    assert image.max() == 255


def test_equal_seeds_give_equal_noise():
    image = np.zeros((8, 8))
    first, again, other = (
        add_gaussian_noise(image, sigma=1, rng=np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_no_noise_leaves_the_values():
    image = np.arange(12).reshape(3, 4)
    noisy = add_gaussian_noise(image, sigma=0, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(noisy, image)


@pytest.mark.parametrize("sigma", [-1, np.nan, np.inf])
def test_impossible_sigma_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma is .*grey levels, 0 or larger"):
        add_gaussian_noise(np.zeros((2, 2)), sigma=sigma, rng=np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(300, 300), (40, 40, 40)])
def test_estimate_finds_the_noise_of_a_smooth_scene(shape):
    scene = 100 * np.sin(sum(np.indices(shape)) / 15)
    noisy = add_gaussian_noise(scene, sigma=7, rng=np.random.default_rng(0))
    assert estimate_noise(noisy) == pytest.approx(7, rel=0.03)


def test_estimate_ignores_edges_and_slopes():
    ramp = np.add.outer(np.arange(50.0), 3 * np.arange(60.0))
    ramp[20:, 30:] += 1000
    assert estimate_noise(ramp) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("shape", [(5,), (2, 9), (4, 4, 4, 4)])
def test_estimate_refuses_what_is_no_grey_image(shape):
    with pytest.raises(ValueError, match="give one grey image with axes YX or ZYX"):
        estimate_noise(np.zeros(shape))
