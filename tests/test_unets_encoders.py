import warnings

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from helpers.unets import (  # noqa: E402
    ARCHITECTURES,
    build_unet,
    freeze_encoder,
    input_divisor,
    list_options,
    unfreeze_encoder,
)
from helpers.unets.encoders import BackbonePreprocessing, encoder_features  # noqa: E402

SMALL = {
    "vgg16_unet": {"filters": (4, 4, 8, 8)},
    "xception_unet": {"filters": (4, 4, 4, 4, 4, 8), "dropout": (0.0,) * 6},
    "unet++_resnet50": {"filters": (2, 2, 2, 2, 2)},
}


@pytest.fixture(scope="module")
def vgg():
    keras.utils.set_random_seed(0)
    return build_unet("vgg16_unet", prior=0.2, **SMALL["vgg16_unet"])


@pytest.fixture(scope="module")
def xception():
    return build_unet("xception_unet")


def run(model, images):
    return np.asarray(model(images, training=False))


def count(variables):
    return sum(int(np.prod(v.shape)) for v in variables)


@pytest.mark.parametrize(
    ("name", "total", "trainable"),
    [("vgg16_unet", 25_862_337, 25_858_497), ("vgg19_unet", 31_172_033, 31_168_193)],
)
def test_vgg_networks_have_the_published_weights(name, total, trainable):
    model = build_unet(name)
    assert model.count_params() == total
    assert count(model.trainable_variables) == trainable
    assert input_divisor(model) == ARCHITECTURES[name].divisor[2] == (16, 16)


def test_xception_network_has_the_published_weights(xception):
    assert xception.count_params() == 38_431_449
    assert count(xception.trainable_variables) == 38_370_009
    assert input_divisor(xception) == ARCHITECTURES["xception_unet"].divisor[2] == (32, 32)


def test_skips_of_xception_fit_together(xception):
    # 512 pixels give 253, 127, 64 and 32; the first two are padded to 256 and 128
    encoder = xception.get_layer("encoder")
    shapes = [o.shape for o in encoder.compute_output_spec(keras.KerasTensor((1, 512, 512, 3)))]
    assert shapes == [(1, 253, 253, 128), (1, 127, 127, 256), (1, 64, 64, 728), (1, 32, 32, 1024)]
    assert xception.compute_output_shape((1, 512, 512, 1)) == (1, 512, 512, 1)
    assert xception.compute_output_shape((1, 96, 160, 1)) == (1, 96, 160, 1)


def test_skips_are_taken_by_name():
    whole = keras.applications.VGG19(weights=None, include_top=False)
    names = ["block1_conv2", "block2_conv2", "block3_conv4", "block4_conv4", "block5_conv4"]
    features = encoder_features(keras.Input((None, None, 1)), "vgg19")
    assert [f.shape[-1] for f in features] == [whole.get_layer(n).output.shape[-1] for n in names]
    encoder = build_unet("vgg19_unet", filters=(2, 2, 2, 2)).get_layer("encoder")
    assert [o.shape for o in encoder.outputs] == [whole.get_layer(n).output.shape for n in names]


@pytest.mark.parametrize("name", list(SMALL))
def test_network_learns_reloads_and_starts_at_the_prior(name, tmp_path):
    keras.utils.set_random_seed(0)
    model = build_unet(name, prior=0.2, **SMALL[name])
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(2, 32, 64, 1)).astype(np.float32)
    mask = (images > 0.5).astype(np.float32)
    assert run(model, images).mean() == pytest.approx(0.2, abs=0.1)
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", run_eagerly=True)
    losses = [float(np.ravel(model.train_on_batch(images, mask))[0]) for _ in range(3)]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(run(again, images), run(model, images))
    assert input_divisor(again) == ARCHITECTURES[name].divisor[2]
    freeze_encoder(again)  # also after reloading
    assert not again.get_layer("encoder").trainable_variables


def test_frozen_encoder_stays_and_unfrozen_learns(vgg):
    encoder = vgg.get_layer("encoder")
    images = np.random.default_rng(1).uniform(size=(1, 16, 16, 1)).astype(np.float32)
    mask = np.ones_like(images)

    def changes():
        before = [np.array(v) for v in encoder.variables]
        output = np.array(vgg.layers[-2].variables[0])
        vgg.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", run_eagerly=True)
        vgg.train_on_batch(images, mask)
        assert not np.array_equal(output, vgg.layers[-2].variables[0])
        return [not np.array_equal(a, b) for a, b in zip(before, encoder.variables, strict=True)]

    assert freeze_encoder(vgg) is vgg
    assert not any(changes())
    assert unfreeze_encoder(vgg) is vgg
    assert np.mean(changes()) > 0.9


def test_batch_normalisation_of_the_encoder_stays_frozen_unless_asked(xception):
    encoder = xception.get_layer("encoder")
    norms = [la for la in encoder.layers if isinstance(la, keras.layers.BatchNormalization)]
    unfreeze_encoder(freeze_encoder(xception))
    assert encoder.trainable_variables and not any(layer.trainable for layer in norms)
    unfreeze_encoder(xception, batch_norm=True)
    assert all(layer.trainable for layer in norms)
    assert count(xception.trainable_variables) == 38_370_009


# preprocessing


@pytest.mark.parametrize(
    ("mode", "module"), [("caffe", keras.applications.vgg16), ("tf", keras.applications.xception)]
)
def test_preprocessing_equals_that_of_keras_applications(mode, module):
    colour = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3)).astype(np.float32)
    expected = module.preprocess_input(colour.copy())
    for white in (1.0, 255.0):
        found = np.asarray(BackbonePreprocessing(mode, white=white)(colour * (white / 255)))
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_grey_is_tripled_and_plain_division_is_a_switch():
    grey = np.array([0, 51, 255], np.float32).reshape(1, 1, 3, 1)
    plain = np.asarray(BackbonePreprocessing("unit", white=255.0)(grey))
    np.testing.assert_allclose(plain[0, 0], [[0] * 3, [0.2] * 3, [1] * 3], atol=1e-6)
    modes = {
        build_unet("vgg16_unet", preprocessing=p, **SMALL["vgg16_unet"])
        .get_layer("preprocessing")
        .mode
        for p in ("backbone", "unit")
    }
    assert modes == {"caffe", "unit"}


# weights


def test_failed_download_warns_and_goes_on(monkeypatch):
    original = keras.applications.VGG16

    def offline(weights, **options):
        if weights == "imagenet":
            raise Exception("URL fetch failure on https://example.org: None -- no route")
        return original(weights=weights, **options)

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    with pytest.warns(UserWarning, match="VGG16 could not be downloaded .URL fetch.*random wei"):
        model = build_unet("vgg16_unet", weights="imagenet", filters=(2, 2, 2, 2))
    assert model.get_layer("encoder").count_params() == 14_714_688
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        build_unet("vgg16_unet", filters=(2, 2, 2, 2))


def test_weights_come_from_a_file(tmp_path):
    source = keras.applications.VGG16(weights=None, include_top=False)
    source.save_weights(tmp_path / "vgg.weights.h5")
    model = build_unet("vgg16_unet", weights=str(tmp_path / "vgg.weights.h5"), filters=(2, 2, 2, 2))
    found = model.get_layer("encoder").get_weights()
    for one, other in zip(found, source.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nested_decoder_on_resnet():
    model = build_unet("unet++_resnet50", prior=0.3, **SMALL["unet++_resnet50"])
    assert input_divisor(model) == ARCHITECTURES["unet++_resnet50"].divisor[2] == (32, 32)
    output = run(model, np.random.default_rng(0).uniform(size=(1, 32, 64, 1)))
    assert output.shape == (1, 32, 64, 1)
    assert output.mean() == pytest.approx(0.3, abs=0.1)


def test_options_of_the_encoder_are_listed():
    options = list_options("vgg19_unet")
    assert options["backbone"] == "vgg19"
    assert options["weights"] is None and options["preprocessing"] == "backbone"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_unet("vgg16_unet", channels=2), "channels is 2: encoders .* take one"),
        (lambda: build_unet("vgg16_unet", preprocessing="none"), "preprocessing 'none': choose"),
        (lambda: build_unet("vgg16_unet", ndim=3), "exists for ndim=2 only"),
        (lambda: BackbonePreprocessing("torch"), "mode is 'torch': choose"),
        (lambda: freeze_encoder(build_unet("unet", depth=1)), "has no layer 'encoder': build"),
    ],
)
def test_errors_say_what_to_mend(call, message):
    with pytest.raises(ValueError, match=message):
        call()
