"""Noise2Void around the n2v package: training, files, prediction, and the checks."""

import numpy as np
import pytest

from helpers import denoise
from helpers.denoise import checks as denoise_checks, filters as denoise_filters
from helpers.denoise.noise import add_gaussian_noise, add_shared_noise


def discs(n, size=48, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    images = []
    for _ in range(n):
        image = np.full((size, size), 20, np.float32)
        for cy, cx in rng.uniform(8, size - 8, (4, 2)):
            image[(y - cy) ** 2 + (x - cx) ** 2 < 49] = 120
        images.append(image)
    return images


def noisy(images, sigma=40, seed=1):
    rng = np.random.default_rng(seed)
    return [add_gaussian_noise(image, sigma=sigma, rng=rng) for image in images]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    images = noisy(discs(6))
    model = denoise.make_denoiser(images, folder, depth=1, filters=8)
    history = denoise.train_denoiser(
        model, images, noisy(discs(1, seed=9)), folder=folder, patch_size=(32, 32), n_steps=150,
        batch_size=8, n_epochs=5, learning_rate=5e-3,
    )  # fmt: skip
    return folder, model, history


def test_denoised_is_closer_to_the_clean_image_it_never_saw(trained):
    clean = discs(2, seed=7)
    for true, image in zip(clean, noisy(clean, seed=8), strict=True):
        found = denoise.denoise(trained[1], image)
        assert found.shape == image.shape
        assert found.dtype == np.float32
        assert np.mean((found - true) ** 2) < 0.4 * np.mean((image - true) ** 2)


def test_history_has_the_losses_and_the_floor_of_the_noise(trained):
    _, model, history = trained
    assert len(history) == 5
    floor = (40 / float(model.config.stds[0])) ** 2
    assert floor < history["val_loss"].iloc[-1] < 2 * floor
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]


def test_loaded_model_gives_equal_output(trained, capsys):
    folder, model, _ = trained
    image = noisy(discs(1, seed=3))[0]
    again = denoise.load_denoiser(folder)
    np.testing.assert_array_equal(denoise.denoise(again, image), denoise.denoise(model, image))
    assert capsys.readouterr().out == ""


def test_grey_levels_of_the_training_images_are_part_of_the_model(tmp_path):
    images = [np.array([[0.0, 2.0], [4.0, 6.0]]), np.full((4, 3), 3.0)]
    model = denoise.make_denoiser(images, tmp_path, depth=1, filters=2)
    assert float(model.config.means[0]) == 3
    assert float(model.config.stds[0]) == pytest.approx(np.sqrt(20 / 16))


def test_odd_sizes_and_tiles_give_what_the_package_gives(trained):
    _, model, _ = trained
    image = noisy(discs(1, size=61, seed=4))[0][:, :57]
    whole = denoise.denoise(model, image)
    assert whole.shape == (61, 57)
    mirrored = model.predict(np.pad(image, 8, mode="reflect"), "YX")
    np.testing.assert_allclose(whole, mirrored[8:-8, 8:-8], atol=2e-3)
    np.testing.assert_allclose(denoise.denoise(model, image, max_pixels=900), whole, atol=2e-3)


def test_average_over_views_is_the_same_for_a_turned_image(trained):
    _, model, _ = trained
    image = noisy(discs(1, seed=5))[0]
    turned = denoise.denoise(model, np.rot90(image).copy(), tta=True)
    np.testing.assert_allclose(
        np.rot90(turned, -1), denoise.denoise(model, image, tta=True), atol=1e-2
    )


def test_three_dimensions(tmp_path):
    stacks = noisy([np.full((8, 16, 16), 50, np.float32) for _ in range(2)], sigma=20)
    model = denoise.make_denoiser(stacks, tmp_path, depth=1, filters=4)
    denoise.train_denoiser(model, stacks, stacks, folder=tmp_path, patch_size=(8, 16, 16),
                           n_steps=10, batch_size=2, n_epochs=1)  # fmt: skip
    assert denoise.denoise(model, stacks[0], tta=True).shape == (8, 16, 16)
    assert denoise.denoise(model, stacks[0][:3]).shape == (3, 16, 16)  # thinner than the mirror
    with pytest.raises(ValueError, match="the model was made for ZYX"):
        denoise.denoise(model, stacks[0][0])


def test_n2v2_has_blurred_pooling_and_no_skip_at_full_resolution(tmp_path):
    images = discs(1)
    plain = denoise.make_denoiser(images, tmp_path / "a", depth=2, filters=4).keras_model
    model = denoise.make_denoiser(images, tmp_path / "b", depth=2, filters=4, n2v2=True)
    kinds = [type(layer).__name__ for layer in model.keras_model.layers]
    assert "MaxBlurPool2D" in kinds
    assert kinds.count("Concatenate") == 1
    assert [type(layer).__name__ for layer in plain.layers].count("Concatenate") == 2
    assert model.config.n2v_manipulator == "median"
    with pytest.raises(ValueError, match="in 2D only"):
        denoise.make_denoiser([np.arange(256.0).reshape(4, 8, 8)], tmp_path, n2v2=True)


def test_images_that_teach_nothing_are_refused(tmp_path):
    with pytest.raises(ValueError, match="constant"):
        denoise.make_denoiser([np.ones((8, 8))], tmp_path)
    with pytest.raises(ValueError, match="all YX or all ZYX"):
        denoise.make_denoiser([np.zeros((8, 8)), np.zeros((8, 8, 8))], tmp_path)
    with pytest.raises(FileNotFoundError, match="run notebook 02"):
        denoise.load_denoiser(tmp_path)


def test_patches_fit_the_typical_image_and_the_network():
    images = [np.zeros((100, 200)), np.zeros((100, 200)), np.zeros((20, 20))]
    assert denoise.fit_patch(images, 96, depth=4) == (96, 96)
    assert denoise.fit_patch(images, 128, depth=4) == (96, 128)
    assert denoise.fit_patch(images, 8, depth=4) == (16, 16)
    with pytest.raises(ValueError, match="lower depth"):
        denoise.fit_patch([np.zeros((10, 10))], 64, depth=4)


def test_residual_of_pixel_noise_has_no_correlation():
    clean, rng = np.full((128, 128), 50.0), np.random.default_rng(0)
    correlation = denoise_checks.residual_autocorrelation(
        add_gaussian_noise(clean, sigma=10, rng=rng), clean, max_shift=3
    )
    assert correlation.shape == (7, 7)
    assert correlation[3, 3] == 1
    correlation[3, 3] = 0
    assert np.abs(correlation).max() < 4 / 128  # four standard errors


def test_residual_of_shared_noise_is_correlated_as_the_blur_says():
    clean, rng = np.full((256, 256), 50.0), np.random.default_rng(0)
    correlation = denoise_checks.residual_autocorrelation(
        add_shared_noise(clean, sigma=10, reach=1.5, rng=rng), clean, max_shift=2
    )
    # blurring twice with s.d. 1.5 is blurring once with s.d. 1.5 sqrt(2)
    assert correlation[2, 3] == pytest.approx(np.exp(-1 / (4 * 1.5**2)), abs=0.05)


def test_autocorrelation_by_hand():
    noisy_image = np.array([[1.0, -1.0, 1.0, -1.0]] * 4)
    correlation = denoise_checks.residual_autocorrelation(
        noisy_image, np.zeros((4, 4)), max_shift=1
    )
    np.testing.assert_allclose(correlation, [[-1, 1, -1]] * 3, atol=1e-12)
    with pytest.raises(ValueError, match="nothing was taken away"):
        denoise_checks.residual_autocorrelation(noisy_image, noisy_image, max_shift=1)
    with pytest.raises(ValueError, match="lower max_shift"):
        denoise_checks.residual_autocorrelation(noisy_image, np.zeros((4, 4)), max_shift=2)


def test_residual_by_signal_by_hand():
    found = np.array([[0.0, 0.0, 10.0, 10.0]])
    image = np.array([[1.0, -1.0, 13.0, 11.0]])
    table = denoise_checks.residual_by_signal(image, found, n_bins=2)
    assert table["signal"].tolist() == [0, 10]
    assert table["mean"].tolist() == [0, 2]
    assert table["std"].tolist() == pytest.approx([np.sqrt(2), np.sqrt(2)])
    assert table["n"].tolist() == [2, 2]
    with pytest.raises(ValueError, match="before and after"):
        denoise_checks.residual_by_signal(image, found[:, :2])


def test_answer_to_pure_noise_measures_what_is_invented():
    keep = denoise_checks.answer_to_pure_noise(lambda x: x, background=100, sigma=5)
    flat = denoise_checks.answer_to_pure_noise(lambda x: 0 * x + 100, background=100, sigma=5)
    assert keep[2] == pytest.approx(1, abs=0.02)
    assert flat[2] == 0
    assert keep[0].mean() == pytest.approx(100, abs=0.2)


def test_filters_are_tuned_without_clean_images():
    clean = discs(3, size=64)
    images = noisy(clean, sigma=40)
    tuned = denoise_filters.tune_filters(images, sigma=40)
    assert [name.split(" (")[0] for name in tuned][:3] == ["Gaussian", "median", "non-local means"]
    for function in tuned.values():
        found = [function(image) for image in images]
        errors = [np.mean((f - c) ** 2) for f, c in zip(found, clean, strict=True)]
        assert np.mean(errors) < 0.5 * 40**2
    with pytest.raises(ValueError, match="positive noise level"):
        denoise_filters.tune_filters(images, sigma=0)
