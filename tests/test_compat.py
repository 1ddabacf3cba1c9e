"""Each patch of helpers.compat: what it mends, and whether it is still needed."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from helpers import compat
from helpers.compat import PATCHES


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "ignore", *code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def source_of(module):
    """Source text of a module, without importing it."""
    package, _, rest = module.partition(".")
    folder = importlib.util.find_spec(package).submodule_search_locations[0]
    path = os.path.join(folder, *rest.split(".")) if rest else os.path.join(folder, "__init__")
    with open(f"{path}.py", encoding="utf-8") as file:
        return file.read()


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: f"{patch.module}: {patch.old[:30]}")
def test_package_still_has_the_text_to_replace(patch):
    assert patch.old in source_of(patch.module), (
        f"this patch can go, or the package now says it otherwise: {patch.module} no longer has "
        f"{patch.old!r} ({patch.reason})"
    )


def refuses_checkpoint_name():
    from keras.callbacks import ModelCheckpoint

    ModelCheckpoint("weights_now.h5", save_weights_only=True)


def refuses_layer_name():
    import keras

    keras.layers.ReLU(name="conv1/relu")


def has_no_sample_weight_mode():
    import keras

    _ = keras.Sequential().sample_weight_mode


def has_no_generic_utils():
    import keras

    _ = keras.utils.generic_utils


def refuses_nonposy():
    import matplotlib.pyplot as plt

    plt.figure().gca().set_yscale("log", nonposy="clip")


def refuses_double_maps():
    import cv2

    shifts = np.ones((4, 4), np.float32) * np.float64(2)
    cv2.convertMaps(shifts, shifts, cv2.CV_16SC2)


def needs_tensorboard():
    import tensorflow as tf

    with tf.summary.create_noop_writer().as_default():
        tf.summary.image("image", np.zeros((1, 2, 2, 1), np.float32), step=0)


def asks_for_size_of_open_images():
    import keras

    class Half(keras.layers.Layer):
        def call(self, x):
            return x

        def compute_output_shape(self, input_shape):
            return (input_shape[0], int(np.ceil(input_shape[1] / 2)), input_shape[2])

    Half()(keras.Input((None, 1)))


def refuses_what_is_no_index():
    from typing import Annotated

    from pydantic import TypeAdapter, WrapSerializer

    wrong = WrapSerializer(lambda value, handler, info: handler(value, info))
    TypeAdapter(Annotated[int, wrong]).dump_python(1)


# what still fails in the newer package, by a word of the patch's reason
CAUSES = {
    "pydantic 2.14": refuses_what_is_no_index,
    "np.sctypes": lambda: np.sctypes,  # noqa: NPY201
    "np.complex": lambda: np.complex,  # noqa: NPY001
    "np.product": lambda: np.product,  # noqa: NPY003, NPY201
    "weight files": refuses_checkpoint_name,
    "layer names": refuses_layer_name,
    "sample_weight_mode": has_no_sample_weight_mode,
    "generic_utils": has_no_generic_utils,
    "nonposy": refuses_nonposy,
    "not fixed": asks_for_size_of_open_images,
    "float64": refuses_double_maps,
    "TensorBoard": needs_tensorboard,
}


@pytest.mark.parametrize("word", CAUSES)
def test_newer_package_still_refuses_what_is_patched(word):
    assert any(word in patch.reason for patch in PATCHES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            CAUSES[word]()
    except Exception:
        return
    pytest.fail(f"this patch can go: the one whose reason names {word!r}; its cause is gone")


def test_every_patch_has_a_cause():
    for patch in PATCHES:
        assert any(word in patch.reason for word in CAUSES), patch


def test_unpatched_import_of_imgaug_fails():
    result = run_python(["-c", "import imgaug"])
    assert "np.sctypes" in result.stderr, "the patches of imgaug.imgaug can go: it imports alone"


def test_import_of_helpers_is_light():
    heavy = "{'tensorflow', 'keras', 'matplotlib', 'skimage', 'scipy', 'pandas', 'numpy', 'imgaug'}"
    code = f"import helpers, sys; print({heavy} & set(sys.modules))"

    def measure():
        result = run_python(["-X", "importtime", "-c", code])
        assert result.stdout.strip() == "set()"
        line = next(line for line in result.stderr.splitlines() if line.endswith("| helpers"))
        return int(line.split("|")[1]) / 1e6

    assert min(measure() for _ in range(3)) < 0.3  # seconds; the best of three on a busy machine


def test_keras_backend_is_left_alone():
    code = "import helpers, os; print(os.environ.get('KERAS_BACKEND'))"
    assert run_python(["-c", code], KERAS_BACKEND="jax").stdout.strip() == "jax"


def test_tensorflow_starts_silently():
    pytest.importorskip("tensorflow")
    result = run_python(["-c", "import helpers, tensorflow as tf; tf.constant(1)"])
    assert (result.returncode, result.stderr) == (0, "")


def test_only_known_noise_is_held_back(capfd):
    with compat._filtered_stderr():
        os.write(2, b"I000 oneDNN custom operations are on. ...\nE000 driver too old\n")
    assert capfd.readouterr().err == "E000 driver too old\n"


def test_install_twice_changes_nothing():
    before = list(sys.meta_path)
    compat.install()
    assert sys.meta_path == before


def test_late_import_of_helpers_is_said(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.setitem(sys.modules, "imgaug.imgaug", np)
    with pytest.warns(RuntimeWarning, match="imgaug.imgaug.*put 'import helpers' first"):
        compat.install()


def test_numpy_and_keras_stay_untouched():
    pytest.importorskip("imgaug")
    assert not hasattr(np, "sctypes")
    assert not hasattr(np, "product")


@pytest.fixture(scope="module")
def iaa():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("imgaug.augmenters")


AUGMENTERS = {
    "one flip or turn": lambda iaa: iaa.OneOf(
        [iaa.Fliplr(1.0), iaa.Flipud(1.0), iaa.Rot90((1, 3), keep_size=False)]
    ),
    "CLAHE": lambda iaa: iaa.CLAHE(clip_limit=(5, 50)),
    "CLAHE twice, sometimes": lambda iaa: iaa.Sometimes(0.5, iaa.CLAHE(clip_limit=(5, 50))),
    "impulse noise": lambda iaa: iaa.ImpulseNoise((0.001, 0.15)),
    "Poisson noise": lambda iaa: iaa.AdditivePoissonNoise((0, 20)),
    "Gaussian noise": lambda iaa: iaa.AdditiveGaussianNoise(scale=(0.255, 25.5)),
    "dropout": lambda iaa: iaa.Dropout((0.01, 0.1)),
    "Gaussian blur": lambda iaa: iaa.GaussianBlur((1, 9)),
    "median blur": lambda iaa: iaa.MedianBlur((1, 5)),
    "gamma": lambda iaa: iaa.GammaContrast((0.01, 2.5)),
    "multiply": lambda iaa: iaa.Multiply((0.1, 10)),
    "salt and pepper": lambda iaa: iaa.SaltAndPepper((0.001, 0.05)),
    "contrast": lambda iaa: iaa.LinearContrast((0.75, 1.25)),
    "add": lambda iaa: iaa.Add((-30, 30)),
    "turn and scale": lambda iaa: iaa.Affine(rotate=(-90, 90), scale=(0.8, 1.2)),
    "elastic": lambda iaa: iaa.ElasticTransformation(alpha=(200, 250), sigma=25),
    "frequency noise": lambda iaa: iaa.BlendAlphaFrequencyNoise(foreground=iaa.Add(10)),
}


@pytest.mark.parametrize("name", AUGMENTERS)
def test_imgaug_changes_image_and_labels_together(iaa, name):
    from imgaug.augmentables.segmaps import SegmentationMapsOnImage

    # the image shows the labels, so wherever the labels go, brightness must go too
    labels = np.zeros((64, 64), np.int16)
    labels[8:24, 8:40] = 300
    labels[40:56, 20:30] = 7
    image = np.where(labels > 0, 200, 20).astype(np.uint8)
    image += np.random.default_rng(0).integers(0, 20, image.shape, dtype=np.uint8)
    augmenter = AUGMENTERS[name](iaa).to_deterministic()
    maps = SegmentationMapsOnImage(labels, shape=image.shape)
    new_image, new_maps = augmenter(image=image, segmentation_maps=maps)
    new_labels = new_maps.get_arr()
    assert new_image.dtype == np.uint8 and new_image.shape == new_labels.shape
    assert set(np.unique(new_labels)) == {0, 7, 300}
    assert new_image[new_labels > 0].mean() > new_image[new_labels == 0].mean()


def test_flips_are_exact(iaa):
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(iaa.Fliplr(1.0)(image=image), image[:, ::-1])
    np.testing.assert_array_equal(iaa.Rot90(1)(image=image[:, :3]), np.rot90(image[:, :3], -1))


def test_n2v_trains_saves_and_reloads(tmp_path):
    n2v = pytest.importorskip("n2v.models")
    images = np.random.default_rng(0).normal(100, 10, (8, 16, 16, 1)).astype(np.float32)
    config = n2v.N2VConfig(
        images, unet_n_depth=1, unet_n_first=2, unet_kern_size=3, train_epochs=1,
        train_steps_per_epoch=2, train_batch_size=2, n2v_patch_shape=(8, 8), n2v_perc_pix=4,
        train_loss="mse", train_tensorboard=False,
    )  # fmt: skip
    model = n2v.N2V(config, "n2v", basedir=tmp_path)
    history = model.train(images, images[:2])
    assert np.isfinite(history.history["loss"]).all()
    assert {path.name for path in (tmp_path / "n2v").iterdir()} == {
        "config.json", "weights_best.h5", "weights_last.h5",
    }  # fmt: skip
    before = model.predict(images[0, ..., 0], axes="YX")
    after = n2v.N2V(None, "n2v", basedir=tmp_path).predict(images[0, ..., 0], axes="YX")
    np.testing.assert_array_equal(before, after)


@pytest.fixture(scope="module")
def sm():
    return pytest.importorskip("segmentation_models")


def test_segmentation_models_trains_frozen_then_whole(sm):
    model = sm.Unet(
        "resnet18", encoder_weights=None, encoder_freeze=True, input_shape=(32, 32, 3),
        decoder_filters=(8, 8, 4, 4, 4),
    )  # fmt: skip
    model.compile("adam", sm.losses.DiceLoss(), metrics=[sm.metrics.iou_score], run_eagerly=True)
    x = np.random.default_rng(0).random((2, 32, 32, 3)).astype(np.float32)
    y = (x[..., :1] > 0.5).astype(np.float32)
    encoder = model.get_layer("conv0").kernel

    def trained_change():
        before = encoder.numpy()
        history = model.fit(x, y, verbose=0).history
        assert set(history) == {"loss", "iou_score"}
        return np.abs(encoder.numpy() - before).max()

    assert trained_change() == 0
    model.optimizer.learning_rate = 0.01
    sm.utils.set_trainable(model)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    assert trained_change() > 0


def test_recompile_needs_a_compiled_model():
    keras = pytest.importorskip("keras")
    with pytest.raises(ValueError, match="call model.compile"):
        compat.recompile(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))


def test_densenet_backbone_builds(sm):
    model = sm.FPN("densenet121", encoder_weights=None, input_shape=(32, 32, 3))
    assert model.get_layer("conv1_conv").output.shape == (None, 16, 16, 64)


def test_plot_history_draws_on_a_log_axis():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    plot_utils = pytest.importorskip("csbdeep.utils.plot_utils")

    class History:
        epoch = [0, 1]
        history = {"loss": [1.0, 0.1]}

    plot_utils.plot_history(History(), "loss", logy=True)
    assert plt.gca().get_yscale() == "log"
    plt.close("all")


def test_checked_versions_are_installed():
    # a new version may need other patches: look at each before changing these
    checked = {"n2v": "0.3.3", "imgaug": "0.4.0", "segmentation-models": "1.0.1"}
    assert {name: importlib.metadata.version(name) for name in checked} == checked


def test_warnings_of_new_image_sizes_are_left_out(caplog):
    import logging

    logger = logging.getLogger("tensorflow")
    logger.propagate, before = True, logger.propagate
    try:
        logger.warning("5 out of the last 6 calls to %s triggered tf.function retracing", "f")
        logger.warning("the disk is full")
    finally:
        logger.propagate = before
    assert [record.getMessage() for record in caplog.records] == ["the disk is full"]
