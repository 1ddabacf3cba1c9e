"""FPNs of segmentation-models on Keras 3: built, frozen, trained, saved, and used on a field."""

from dataclasses import replace

import numpy as np
import pytest

import helpers.fpn.networks as fpn_module
from helpers.augment.pipelines import Patches, to_uint8
from helpers.fpn import (
    BACKBONES,
    LIGHT_BACKBONES,
    FpnNetworks,
    build_fpn,
    build_networks,
    find_contacts,
    fpn_targets,
    patch_batches,
    patch_validation,
    set_encoder_trainable,
    train_fpn,
)
from helpers.fpn.watershed_rule import WatershedRule
from helpers.normalise import Normalizer
from helpers.targets import border_ridge, normalized_distance

keras = pytest.importorskip("keras")
sm = pytest.importorskip("segmentation_models")

from helpers.fpn.layers import AddAxes, GrowLinear, ScaledSum, SliceChannels, mend_layers  # noqa: E402
from helpers.fpn.loss import LOSSES, MapLoss, ValidationLoss, choose_loss, make_loss  # noqa: E402

FAST = {"filters": 16}


@pytest.fixture(scope="module")
def two_heads():
    keras.utils.set_random_seed(0)
    return build_networks("resnet18", two_networks=False, **FAST)["distance_border"]


@pytest.fixture(scope="module")
def tiny():
    """A network of the same parts as ours, for what does not depend on the encoder."""
    keras.utils.set_random_seed(0)
    return make_tiny()


def make_tiny(maps=1):
    inside = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(inside)
    x = keras.layers.BatchNormalization(name="stem_bn", momentum=0.5)(x)
    x = keras.layers.Conv2D(maps, 3, padding="same", name="head_conv")(x)
    fpn = keras.Model(inside, keras.layers.Activation("sigmoid")(x), name="fpn")
    image = keras.Input((None, None, 1))
    return keras.Model(image, fpn(keras.layers.Conv2D(3, 1, name="to_encoder")(image)))


def run(model, x):
    return keras.ops.convert_to_numpy(model(np.asarray(x, np.float32), training=False))


def random_batch(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


# building


def test_backbones_are_all_the_package_offers():
    assert set(BACKBONES) == set(sm.get_available_backbone_names())
    assert len(set(BACKBONES)) == len(BACKBONES)


@pytest.mark.parametrize("backbone", LIGHT_BACKBONES)
def test_light_backbone_predicts_maps(backbone):
    model = build_fpn(backbone, maps=2, **FAST)
    x = random_batch(1, 32, 64, 1)
    found = run(model, x)
    assert found.shape == (1, 32, 64, 2) and 0 <= found.min() <= found.max() <= 1
    names = {type(layer).__name__ for layer in model._flatten_layers()}
    assert not names & {"Lambda", "FixedDropout"}
    assert {"seresnet18": "AddAxes", "efficientnetb0": "Dropout"}.get(backbone, "Conv2D") in names


def test_network_with_own_layers_reloads():
    model = build_fpn("seresnet18", **FAST)
    config = keras.saving.serialize_keras_object(model)
    copy = keras.saving.deserialize_keras_object(config, safe_mode=True)
    copy.set_weights(model.get_weights())
    x = random_batch(1, 32, 32, 1)
    np.testing.assert_allclose(run(copy, x), run(model, x), atol=1e-6)


def test_mended_network_gives_the_same_output_as_the_package():
    original = sm.FPN(
        "seresnet18",
        encoder_weights=None,
        classes=1,
        activation="sigmoid",
        pyramid_block_filters=16,
    )
    x = random_batch(1, 32, 32, 3)
    np.testing.assert_allclose(run(mend_layers(original), x), run(original, x), atol=1e-5)


def test_own_layers_worked_out_by_hand():
    a, b = np.full((1, 1, 1, 3), 2.0), np.full((1, 1, 1, 3), 10.0)
    assert keras.ops.convert_to_numpy(ScaledSum(0.5)([a, b])).ravel().tolist() == [7, 7, 7]
    channels = np.arange(4.0).reshape(1, 1, 1, 4)
    assert keras.ops.convert_to_numpy(SliceChannels(1, 3)(channels)).ravel().tolist() == [1, 2]
    assert AddAxes()(np.ones((2, 5))).shape == (2, 1, 1, 5)


@pytest.mark.parametrize("factors", [(2, 2), (4, 8), (3, 1)])
def test_enlarging_agrees_with_keras(factors):
    x = random_batch(2, 5, 3, 4)
    expected = keras.layers.UpSampling2D(factors, interpolation="bilinear")(x)
    found = GrowLinear(factors)(x)
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (found, expected)), atol=1e-6)


def test_enlarging_worked_out_by_hand():
    row = np.array([0.0, 4.0]).reshape(1, 1, 2, 1)
    assert keras.ops.convert_to_numpy(GrowLinear((1, 2))(row)).ravel().tolist() == [0, 1, 3, 4]


def test_network_predicts_images_of_several_sizes(two_heads):
    networks = FpnNetworks({"distance_border": two_heads})
    for shape in ((1, 64, 64, 1), (2, 64, 96, 1), (1, 32, 96, 1)):
        x = random_batch(*shape)
        np.testing.assert_allclose(networks(x), run(two_heads, x), atol=1e-5)


def test_lambda_of_unknown_purpose_is_refused():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1, name="plus")(inputs))
    with pytest.raises(ValueError, match="layer plus is a Lambda"):
        mend_layers(model)


def test_two_networks_or_one_with_two_heads(monkeypatch):
    built = []
    monkeypatch.setattr(fpn_module, "build_fpn", lambda *a, **k: built.append((a, k)) or len(built))
    assert build_networks("vgg16", filters=8) == {"distance": 1, "border": 2}
    assert build_networks("vgg16", two_networks=False) == {"distance_border": 3}
    assert [k["maps"] for _, k in built] == [1, 1, 2] and built[0][1]["filters"] == 8
    three = {"two_networks": False, "foreground": True}
    assert build_networks("vgg16", foreground=True) == {"distance": 4, "border_foreground": 5}
    assert build_networks("vgg16", **three) == {"distance_border_foreground": 6}
    assert [k["maps"] for _, k in built[3:]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet19"}, "backbone is 'resnet19': give one of 'mobilenet'"),
        ({"encoder_weights": "coco"}, "encoder_weights is 'coco'"),
        ({"input_range": "bytes"}, "input_range is 'bytes'"),
        ({"maps": 0}, "maps is 0 and channels 1"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build_fpn(**options)


def test_batch_norm_memory_fits_short_trainings(two_heads):
    momenta = [
        layer.momentum
        for layer in two_heads.get_layer("fpn").layers
        if type(layer).__name__ == "BatchNormalization"
    ]
    assert len(momenta) > 10 and set(momenta) == {0.9}


# ImageNet weights


def test_failed_download_says_what_to_do(monkeypatch):
    def get_file(*args, **options):
        raise Exception("URL fetch failure on https://example.org/weights.h5: None -- unreachable")

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    monkeypatch.setattr(sm._KERAS_UTILS, "get_file", get_file)
    with pytest.raises(
        ConnectionError, match="imagenet weights of resnet18 .*encoder_weights=None"
    ):
        build_fpn("resnet18", encoder_weights="imagenet", **FAST)


def test_other_errors_of_the_package_are_passed_on(monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(sm, "FPN", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        build_fpn("resnet18")


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_channels_reach_the_encoder_whole(channels):
    layer = fpn_module._copy_layer(channels, np.ones(3), np.zeros(3))
    x = random_batch(1, 4, 4, channels)
    colours = keras.ops.convert_to_numpy(layer(x))
    # red, green and blue are the means of the channels 0, 3, ..., 1, 4, ... and 2, 5, ...
    groups = [range(k, channels, 3) or range(channels) for k in range(3)]
    expected = np.stack([x[..., list(group)].mean(axis=-1) for group in groups], axis=-1)
    if channels in (1, 3):
        np.testing.assert_array_equal(expected, x if channels == 3 else x[..., [0, 0, 0]])
    np.testing.assert_allclose(colours, expected, atol=1e-6)


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenetv2", "vgg16", "densenet121"])
def test_grey_values_reach_the_encoder_as_its_own_preparation_makes_them(backbone):
    scale, offset = fpn_module._encoder_range(backbone)
    x = random_batch(1, 5, 5, 1)
    ours = keras.ops.convert_to_numpy(fpn_module._copy_layer(1, scale, offset)(x))
    theirs = sm.get_preprocessing(backbone)(np.repeat(255 * x, 3, axis=-1))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


# freezing


def test_frozen_layers_are_those_the_package_freezes(two_heads):
    package = sm.FPN("resnet18", encoder_weights=None, encoder_freeze=True, classes=2,
                     pyramid_block_filters=16)  # fmt: skip
    expected = {layer.name for layer in package.layers if layer.weights and not layer.trainable}
    set_encoder_trainable(two_heads, False)
    layers = two_heads.get_layer("fpn").layers
    frozen = {layer.name for layer in layers if layer.weights and not layer.trainable}
    assert frozen == expected and "stage4_unit1_conv1" in frozen
    set_encoder_trainable(two_heads, True)
    assert all(layer.trainable for layer in layers)


# targets and batches


def test_targets_are_distance_border_and_foreground():
    labels = np.zeros((2, 12, 12), np.int32)
    labels[0, 2:9, 3:10], labels[1, :4, :4] = 3, 1
    targets = fpn_targets(labels)
    assert targets.shape == (2, 12, 12, 3) and targets.dtype == np.float32
    np.testing.assert_array_equal(targets[0, ..., 0], normalized_distance(labels[0]))
    np.testing.assert_array_equal(targets[1, ..., 1], border_ridge(labels[1]))
    np.testing.assert_array_equal(targets[..., 2], labels > 0)
    np.testing.assert_array_equal(fpn_targets(labels[0]), targets[0])


def make_patches(n=5, size=32):
    labels = np.zeros((n, size, size), np.int32)
    for k in range(n):
        labels[k, 4 + k : 16 + k, 6:20] = 1
        labels[k, 24:, 2 : 9 + k] = 2  # cut by the frame
    images = np.where(labels > 0, 200, 30).astype(np.uint8)
    images[:, 0, 0] = np.arange(n)  # tells the patches apart
    weights = np.where(labels == 2, 0, 1).astype(np.float32)
    return Patches(images, labels, weights, np.arange(n))


def known_targets(labels):
    """Targets with -1 for the distance of nucleus 2, and its border within 3 px of the frame."""
    targets = fpn_targets(labels)
    targets[..., 0][labels == 2] = -1
    frame = np.ones(labels.shape[-2:], bool)
    frame[3:-3, 3:-3] = False
    targets[..., 1][(labels == 2) & frame] = -1
    return targets


def test_batches_show_every_patch_before_one_comes_again():
    patches = make_patches()
    batches = patch_batches(patches, batch_size=2, seed=4)
    seen = []
    for (x, y, weight), _ in zip(batches(0), range(5), strict=False):
        assert x.shape == (2, 32, 32, 1) and y.shape == (2, 32, 32, 2)
        numbers = np.round(255 * x[:, 0, 0, 0]).astype(int)
        np.testing.assert_array_equal(y, known_targets(patches.labels[numbers])[..., :2])
        assert weight.shape == (2, 32, 32) and (weight == 1).all()
        seen += numbers.tolist()
    assert sorted(seen[:5]) == sorted(seen[5:]) == list(range(5))
    first = [next(iter(batches(epoch)))[0] for epoch in (0, 0, 1, 2, 3)]
    np.testing.assert_array_equal(first[0], first[1])
    assert any((first[0] != other).any() for other in first[2:])


@pytest.mark.parametrize(
    ("network", "maps"),
    [
        ("distance", [0]),
        ("border", [1]),
        ("border_foreground", [1, 2]),
        ("distance_border_foreground", [0, 1, 2]),
    ],
)
def test_each_network_gets_its_own_targets(network, maps):
    x, y, _ = next(iter(patch_batches(make_patches(), network=network, batch_size=5)(0)))
    numbers = np.round(255 * x[:, 0, 0, 0]).astype(int)
    expected = known_targets(make_patches().labels[numbers])[..., maps]
    np.testing.assert_array_equal(y, expected)


def test_of_cut_nuclei_only_what_the_patch_shows_is_known():
    _, y, _ = next(iter(patch_batches(make_patches(1), network="distance_border_foreground")(0)))
    column = y[0, 20:, 5]  # nucleus 2 from row 24 to the frame
    assert (column[:4, 0] == 0).all() and (column[4:, 0] == -1).all()
    assert (column[:9, 1] >= 0).all() and (column[9:, 1] == -1).all()
    assert column[:, 2].tolist() == [0] * 4 + [1] * 8


def test_contacts_worked_out_by_hand():
    labels = np.zeros((5, 12), np.int32)
    labels[1:4, 1:4], labels[1:4, 4:7], labels[2, 11] = 4, 9, 2
    expected = np.zeros((5, 12), bool)
    expected[:, 3:5] = True  # one pixel away from both 4 and 9; nothing else lies near 2
    np.testing.assert_array_equal(find_contacts(labels, window=3), expected)
    assert not find_contacts(np.zeros((4, 4), int)).any()
    assert not find_contacts(np.full((4, 4), 3)).any()


def test_pixels_at_contacts_weigh_more():
    patches = make_patches()
    batch = next(iter(patch_batches(patches, batch_size=5, contact_weight=6)(0)))
    numbers = np.round(255 * batch[0][:, 0, 0, 0]).astype(int)
    touching = np.stack([find_contacts(labels) for labels in patches.labels[numbers]])
    np.testing.assert_array_equal(batch[2], np.where(touching, 6, 1))
    assert batch[2].dtype == np.float32 and touching.any()


def test_batches_need_patches_and_a_known_network():
    with pytest.raises(ValueError, match="network is 'mask': give one of 'distance'"):
        patch_batches(make_patches(), network="mask")
    with pytest.raises(ValueError, match="got 0 patches"):
        patch_batches(Patches(*(column[:0] for column in make_patches())))


# losses


TRUE = np.array([1, 0, 1, 0], np.float32).reshape(1, 2, 2, 1)
PRED = np.array([0.5, 0.5, 0.8, 0], np.float32).reshape(1, 2, 2, 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", (0.25 + 0.25 + 0.04) / 4),
        ("mae", (0.5 + 0.5 + 0.2) / 4),
        ("bce", -np.log(0.5 * 0.5 * 0.8 * 1) / 4),
        ("mse_foreground", -0.1 * np.log(0.5 * 0.5 * 0.8 * 1) / 4),
    ],
)
def test_losses_worked_out_by_hand(name, expected):
    assert float(make_loss(name)(TRUE, PRED)) == pytest.approx(expected, abs=1e-5)


def test_half_bce_half_dice_worked_out_by_hand():
    dice = 1 - (2 * 1 + 1) / (2 + 2 + 1)
    found = make_loss("bce_dice")(TRUE, np.full_like(TRUE, 0.5))
    assert float(found) == pytest.approx((np.log(2) + dice) / 2, abs=1e-5)


def test_foreground_is_the_last_map():
    true, pred = np.concatenate([TRUE, TRUE], -1), np.concatenate([PRED, PRED], -1)
    squares, entropy = (0.25 + 0.25 + 0.04) / 4, -np.log(0.5 * 0.5 * 0.8 * 1) / 4
    expected = (squares + 0.1 * entropy) / 2
    assert float(make_loss("mse_foreground")(true, pred)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", LOSSES)
def test_unknown_pixels_do_not_count(kind):
    rng = np.random.default_rng(3)
    true = rng.random((2, 4, 4, 2)).astype(np.float32)
    pred = rng.random((2, 4, 4, 2)).astype(np.float32)
    true[0, 0, 0, 1] = true[1, 2, 3, 0] = -1
    other = np.where(true < 0, 0.9, pred)
    loss = make_loss(kind)
    assert float(loss(true, pred)) == pytest.approx(float(loss(true, other)), rel=1e-6)
    known = np.where(true < 0, 0, true)
    assert float(loss(true, pred)) < float(loss(known, pred))


def test_known_targets_give_the_loss_of_keras():
    true, pred = random_batch(2, 4, 4, 3), random_batch(2, 4, 4, 3, seed=1)
    pairs = {
        "mse": keras.losses.MeanSquaredError(),
        "mae": keras.losses.MeanAbsoluteError(),
        "bce": keras.losses.BinaryCrossentropy(),
    }
    for name, theirs in pairs.items():
        assert float(make_loss(name)(true, pred)) == pytest.approx(float(theirs(true, pred)), 1e-5)


def test_unknown_loss_lists_the_choices():
    with pytest.raises(ValueError, match="loss is 'dice': give one of 'mse'"):
        make_loss("dice")
    own = keras.losses.Huber()
    assert make_loss(own) is own
    assert MapLoss.from_config(make_loss("mae").get_config()).kind == "mae"
    assert [choose_loss(n) for n in ("border", "border_foreground")] == ["mse", "mse_foreground"]


def test_validation_is_the_loss_on_patches(tiny):
    patches = make_patches()
    x, y, _ = next(iter(patch_batches(patches, network="border", batch_size=5)(0)))
    expected = (np.where(y < 0, 0, run(tiny, x) - y) ** 2).mean()
    found = patch_validation(patches, network="border")(tiny)
    assert found == {"val_loss": pytest.approx(float(expected), rel=1e-4)}
    other = patch_validation(patches, network="border", loss="mae")(tiny)
    assert other == {"val_loss": pytest.approx(ValidationLoss(x, y, loss="mae")(tiny)["val_loss"])}
    with pytest.raises(ValueError, match="network is 'edge'"):
        patch_validation(patches, network="edge")


# training


def test_cold_start_then_all_layers(tmp_path, capsys):
    keras.utils.set_random_seed(1)
    model = make_tiny()
    stem = model.get_layer("fpn").get_layer("stem")
    start, kernels = stem.kernel.numpy(), []
    batches = patch_batches(make_patches(), network="distance", batch_size=2)
    x, y, _ = next(iter(patch_batches(make_patches(), network="distance", batch_size=5)(9)))

    class Watch(ValidationLoss):
        def __call__(self, model):
            kernels.append(stem.kernel.numpy())
            return super().__call__(model)

    settings = {"folder": tmp_path, "epochs": 4, "cold_epochs": 2, "steps_per_epoch": 4}
    history = train_fpn(model, batches, learning_rate=0.02, validate=Watch(x, y), **settings)
    assert [np.array_equal(k, start) for k in kernels[:3]] == [True, True, False]
    assert len(history) == 4 and history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert (tmp_path / "cold_start/history.csv").exists()
    assert ValidationLoss(x, y)(model)["val_loss"] == pytest.approx(
        history["val_loss"].min(), rel=1e-3
    )
    # a finished training is not repeated
    trained = run(model, x)
    again = make_tiny()
    train_fpn(again, batches, learning_rate=0.02, validate=Watch(x, y), **settings)
    np.testing.assert_allclose(run(again, x), trained, atol=1e-5)
    assert "already trained" in capsys.readouterr().out


def test_an_encoder_of_the_package_learns(two_heads):
    set_encoder_trainable(two_heads, False)
    two_heads.compile(keras.optimizers.Adam(3e-3), make_loss("mse"), run_eagerly=True)
    batch = next(iter(patch_batches(make_patches(), batch_size=2)(0)))
    encoder = two_heads.get_layer("fpn").get_layer("stage1_unit1_conv1")
    before = encoder.kernel.numpy()
    losses = [float(two_heads.train_on_batch(*batch)) for _ in range(4)]
    np.testing.assert_array_equal(encoder.kernel.numpy(), before)
    set_encoder_trainable(two_heads, True)
    two_heads.compile(keras.optimizers.Adam(3e-3), make_loss("mse"), run_eagerly=True)
    losses += [float(two_heads.train_on_batch(*batch)) for _ in range(4)]
    assert (encoder.kernel.numpy() != before).any()
    assert losses[-1] < 0.8 * losses[0]


# networks with their normalisation


def test_image_is_normalised_in_prediction_as_in_training():
    image = np.random.default_rng(0).integers(0, 60_000, (50, 60)).astype(np.uint16)
    networks = FpnNetworks({}, Normalizer(low=2, high=99))
    ours = networks.normalize(image)
    assert ours.dtype == np.float32 and (ours.min(), ours.max()) == (0, 1)
    np.testing.assert_allclose(ours, to_uint8(image, networks.normalizer) / 255, atol=0.51 / 255)


def test_networks_save_and_load_with_their_constants(tmp_path, tiny):
    rule = WatershedRule(seed=0.5, foreground=None)
    models = {"distance": tiny, "border": make_tiny()}
    networks = FpnNetworks(models, Normalizer(low=3, high=97), rule, tta=True)
    networks.save(tmp_path)
    loaded = FpnNetworks.load(tmp_path)
    assert loaded.normalizer == networks.normalizer and loaded.rule == rule and loaded.tta
    assert list(loaded.models) == ["distance", "border"]
    x = random_batch(2, 32, 32, 1)
    np.testing.assert_allclose(loaded(x), networks(x), atol=1e-6)


@pytest.mark.parametrize("shape", [(32, 32), (33, 40), (5, 64), (1, 1)])
def test_any_size_is_continued_to_a_multiple_of_32(shape, tiny):
    networks = FpnNetworks({"distance": tiny, "border": tiny})
    x = random_batch(2, *shape, 1)
    maps = networks(x)
    assert maps.shape == (2, *shape, 2)
    margins = [(0, 0), *((0, -side % 32) for side in shape), (0, 0)]
    expected = run(tiny, np.pad(x, margins, mode="symmetric"))[:, : shape[0], : shape[1]]
    np.testing.assert_allclose(maps, np.concatenate([expected] * 2, axis=-1), atol=1e-5)


def test_networks_need_a_batch(tiny):
    with pytest.raises(ValueError, match=r"batch has shape \(32, 32\): give images with axes NYXC"):
        FpnNetworks({"distance": tiny})(np.zeros((32, 32)))


def test_networks_segment_a_field():
    from helpers.fpn.field import predict_field, segment_field

    networks = FpnNetworks({"distance_border": make_tiny(maps=2)})
    field = np.random.default_rng(0).integers(0, 60_000, (70, 90)).astype(np.uint16)
    options = {"normalize": networks.normalize, "tile_shape": (64, 64), "overlap": (32, 32)}
    assert predict_field(networks, field, **options).shape == (70, 90, 2)
    mean = predict_field(networks, field, tta=True, **options)
    turning = replace(networks, tta=True)
    np.testing.assert_array_equal(predict_field(turning, field, **options), mean)
    once = predict_field(networks, field, **options)
    np.testing.assert_array_equal(predict_field(turning, field, tta=False, **options), once)
    assert np.abs(mean - once).max() > 1e-4
    labels = segment_field(networks, field, **options)
    assert labels.shape == (70, 90) and labels.dtype == np.int32
