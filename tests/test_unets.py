import numpy as np
import pytest

keras = pytest.importorskip("keras")

from helpers.unets import (  # noqa: E402
    ARCHITECTURES,
    build_unet,
    input_divisor,
    list_architectures,
    list_options,
    loss_weights,
    main_output,
    output_strides,
    supervision_targets,
)

# the smallest networks that still have every part; 16 x 16 pixels or 8 x 16 x 16 voxels
FEW = {"filters": 4, "depth": 2}
SHALLOW = {"filters": 4, "depth": 1}
TINY = {
    "squeeze_excite": {**FEW, "squeeze": 1},
    "fcn8": {"filters": 2, "wide": 8, "dropout": 0.0},
    "fcn32": {"filters": 2, "wide": 8, "dropout": 0.0},
    "densenet": {"filters": 6, "growth": 4, "n_layers": (1, 2, 1), "dropout": 0.0},
    "afm_unet": {**FEW, "dropout": 0.0},
    "casser2018": {**FEW, "dropout": 0.0},
    "cheng2017": {"filters": 4, "growth": 2, "n_blocks": (1, 1, 1), "up_filters": (8, 4),
                  "dropout": 0.0, "seed": 3},
    "oztel2017": {"filters": 8},
    "vgg16_unet": {"filters": (4, 4, 8, 8)},
    "vgg19_unet": {"filters": (4, 4, 8, 8)},
    "xception_unet": {"filters": (4, 4, 4, 4, 4, 8), "dropout": (0.0,) * 6},
    "unet++_resnet50": {"filters": (4, 4, 4, 4, 4)},
}  # fmt: skip
ENCODERS = ["vgg16_unet", "vgg19_unet", "xception_unet", "unet++_resnet50"]
CASES = [(n, d) for n in ARCHITECTURES for d in ARCHITECTURES[n].published if n not in ENCODERS]


def tiny(name, ndim, **options):
    few = SHALLOW if ndim == 3 and name in ("multires", "unet++", "vanilla_3d") else FEW
    chosen = {**TINY.get(name, few), **options}
    if "dropout" in list_options(name, ndim=ndim):
        chosen = {"dropout": 0.0, **chosen}
    keras.utils.set_random_seed(1)
    return build_unet(name, ndim=ndim, **chosen)


def example(ndim, side=32, *, seed=0):
    """A bright block on noise, and its mask: N, Y, X, C or N, Z, Y, X, C."""
    rng = np.random.default_rng(seed)
    shape = (2, side, side, 1) if ndim == 2 else (2, 16, side // 2, side // 2, 1)
    mask = np.zeros(shape, np.float32)
    mask[(slice(None), *(slice(n // 4, n // 2) for n in shape[1:-1]))] = 1
    return (mask + rng.normal(0, 0.1, shape)).astype(np.float32), mask


def compile_model(model, *, weights=None, learning_rate=3e-3):
    outputs = list(model.output) if isinstance(model.output, dict) else None
    loss = dict.fromkeys(outputs, "binary_crossentropy") if outputs else "binary_crossentropy"
    optimizer = keras.optimizers.Adam(learning_rate)
    model.compile(optimizer, loss, loss_weights=weights, run_eagerly=True)


def train(model, images, target):
    return float(np.ravel(model.train_on_batch(images, target))[0])


def kernels(model):
    return [v for v in model.trainable_variables if v.path.endswith("kernel")]


def unsupervised_kernels(model, weights):
    """Those of outputs whose loss has no weight: the coarsest of nnU-Net."""
    names = [name for name, weight in (weights or {}).items() if weight == 0]
    heads = [model.get_layer(name).input._keras_history.operation for name in names]
    return [v.path for layer in heads for v in layer.trainable_variables]


def run(model, images):
    return keras.tree.map_structure(np.asarray, model(images, training=False))


def assert_equal(first, second):
    flat = (keras.tree.flatten(outputs) for outputs in (first, second))
    for one, other in zip(*flat, strict=True):
        np.testing.assert_array_equal(one, other)


# parameter counts of the publications


@pytest.mark.parametrize(
    ("name", "ndim", "count"),
    [
        ("unet", 2, 1_940_817),
        ("unet", 3, 788_817),
        ("residual", 2, 2_028_609),
        ("residual", 3, 1_501_293),
        ("attention", 2, 1_985_061),
        ("attention", 3, 797_924),
    ],
)
def test_parameter_counts_are_the_published_ones(name, ndim, count):
    model = build_unet(name, ndim=ndim)
    assert model.count_params() == count
    assert input_divisor(model) == ARCHITECTURES[name].divisor[ndim]


@pytest.mark.parametrize(
    ("levels", "channels", "total", "trainable"),
    [
        (2, 1, 25_905, 25_649),
        (3, 1, 118_097, 117_425),
        (4, 1, 484_753, 483_249),
        (5, 1, 1_947_153, 1_943_985),
        (2, 3, 26_193, 25_937),
        (3, 3, 118_385, 117_713),
        (4, 3, 485_041, 483_537),
        (5, 3, 1_947_441, 1_944_273),
    ],
)
def test_parameter_counts_of_afm_networks(levels, channels, total, trainable):
    model = build_unet("afm_unet", depth=levels - 1, channels=channels)
    assert model.count_params() == total
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == trainable


def test_gate_of_both_kinds_has_equally_many_weights():
    counts = {build_unet("attention", gate=gate).count_params() for gate in ("skip", "decoder")}
    assert counts == {1_985_061}


def test_vanilla_3d_has_the_weights_of_the_paper():
    # 19,069,955 for three channels and three classes, without the normalisation's
    model = build_unet("vanilla_3d", ndim=3, channels=3, classes=3, normalization=None)
    assert model.count_params() == 19_069_955


def test_tiramisu_has_103_convolutions_and_9_million_weights():
    model = build_unet("densenet")
    kinds = [type(layer).__name__ for layer in model.layers]
    assert sum(kind.startswith("Conv2D") for kind in kinds) == 103
    assert 9.4e6 <= model.count_params() < 9.5e6


def test_multires_block_splits_its_filters():
    # W = 1.67 * 32 = 53.44: floor of .167 W, .333 W, .5 W
    model = build_unet("multires")
    first = [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)][:4]
    assert sorted(first) == [8, 17, 26, 51]


# every architecture


@pytest.mark.parametrize(("name", "ndim"), CASES)
def test_architecture_starts_at_the_prior_learns_and_reloads(name, ndim, tmp_path):
    model = tiny(name, ndim, prior=0.06)
    images, mask = example(ndim)
    assert all(n % d == 0 for n, d in zip(images.shape[1:-1], input_divisor(model), strict=True))
    for probability in keras.tree.flatten(run(model, images)):
        assert probability.mean() == pytest.approx(0.06, abs=0.015)
        assert probability.std() < 0.03
    assert run(main_output(model), images).shape == mask.shape

    weights = loss_weights(name, model)
    compile_model(model, weights=weights)
    before = [np.array(v) for v in kernels(model)]
    losses = [train(model, images, supervision_targets(model, mask)) for _ in range(3)]
    assert losses[-1] < losses[0]
    unsupervised = unsupervised_kernels(model, weights)
    still = [
        v.path
        for v, old in zip(kernels(model), before, strict=True)
        if np.array_equal(v, old) and v.path not in unsupervised
    ]
    assert not still  # every convolution takes part

    path = tmp_path / "model.keras"
    model.save(path)
    again = keras.saving.load_model(path, safe_mode=True)
    assert_equal(run(again, images), run(model, images))
    assert input_divisor(again) == input_divisor(model)
    assert not [layer for layer in model.layers if isinstance(layer, keras.layers.Lambda)]


def test_registry_tells_divisor_and_deep_supervision():
    table = list_architectures()
    assert list(table.index) == list(ARCHITECTURES)
    assert set(table.index[table["deep_supervision"]]) == {"mnet", "nnunet", "xiao2018"}
    assert table.loc["anisotropic", "divisor"] == {3: (1, 8, 8)}
    for name in ("unet", "anisotropic", "vanilla_3d", "xiao2018", "mnet"):
        model = build_unet(name, ndim=3)
        assert input_divisor(model) == ARCHITECTURES[name].divisor[3]
        assert isinstance(model.output, dict) == ARCHITECTURES[name].deep_supervision


def test_divisor_follows_the_options():
    for depth in (1, 3, 5):
        assert input_divisor(build_unet("unet", filters=2, depth=depth)) == (2**depth,) * 2
    model = build_unet("unet", ndim=3, filters=2, depth=2, pool_size=[(1, 2, 2), (2, 3, 2)])
    assert input_divisor(model) == (2, 6, 4)
    assert run(model, np.zeros((1, 2, 12, 8, 1), np.float32)).shape == (1, 2, 12, 8, 1)


def test_input_size_is_free():
    model = tiny("unet", 2)
    for shape in ((1, 4, 8, 1), (2, 20, 12, 1)):
        assert run(model, np.zeros(shape, np.float32)).shape == shape


# parts


def test_levels_of_filters_and_dropout():
    def widths(**options):
        model = build_unet("unet", **options)
        kinds = (keras.layers.Conv2DTranspose,)
        return [layer.filters for layer in model.layers if isinstance(layer, kinds)]

    def rates(**options):
        model = build_unet("unet", **options)
        return [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]

    assert widths(filters=4, depth=3) == [16, 8, 4]
    assert widths(depth=2) == [32, 16]
    assert widths(filters=(3, 5, 9)) == [5, 3]
    assert rates() == [0.1, 0.1, 0.2, 0.2, 0.3, 0.2, 0.2, 0.1, 0.1]
    assert rates(filters=2, depth=1, dropout=0.4) == [0.4] * 3
    assert rates(filters=2, depth=1, dropout=(0.5, 0.1)) == [0.5, 0.1, 0.5]


@pytest.mark.parametrize(
    ("kind", "layer"), [("batch", "BatchNormalization"), ("group", "GroupNormalization")]
)
def test_normalization_stands_behind_each_convolution(kind, layer):
    model = tiny("unet", 2, normalization=kind)
    kinds = [type(one).__name__ for one in model.layers]
    assert kinds.count(layer) == kinds.count("Conv2D") - 1  # not before the output
    assert layer not in [type(one).__name__ for one in tiny("unet", 2).layers]


def test_first_residual_block_takes_the_image_unactivated():
    model = tiny("residual", 2)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.index("Conv2D") < kinds.index("Activation")
    # 5 blocks with 2 activations each, less the first, and the output's
    assert kinds.count("Activation") == 2 * 5 - 1 + 1


@pytest.mark.parametrize("gate", ["skip", "decoder"])
def test_closed_gate_shuts_the_encoder_out(gate):
    # with a gate of 0 no skip features arrive; in the published code they never do, and the
    # gate weights what comes from below
    model = tiny("attention", 2, depth=1, gate=gate)
    gates = [one for one in model.layers if getattr(one, "filters", 0) == 1][0]
    multiply = next(one for one in model.layers if isinstance(one, keras.layers.Multiply))
    joined = next(one for one in model.layers if isinstance(one, keras.layers.Concatenate))
    up = next(one for one in model.layers if isinstance(one, keras.layers.Conv2DTranspose))
    ids = [id(tensor) for tensor in multiply.input]
    assert (id(up.output) in ids) == (gate == "decoder")
    assert [id(t) for t in joined.input] == [id(up.output), id(multiply.output)]
    gates.set_weights([np.zeros_like(gates.get_weights()[0]), np.full(1, -100.0)])
    part = keras.Model(model.input, multiply.output)
    assert np.abs(run(part, example(2)[0])).max() < 1e-30


def test_squeeze_excite_leaves_the_bottom_out_and_scales_channels():
    model = build_unet("squeeze_excite")
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    # two per block, two dense layers each, in 4 + 4 blocks; 16 maps are squeezed to one
    assert len(dense) == 2 * 2 * 8
    assert dense[0].units == 1 and dense[1].units == 16
    assert not any(layer.use_bias for layer in dense)


def test_group_of_a_prime_number_of_channels():
    from helpers.unets.blocks import normalize

    layer_input = keras.Input((8, 8, 11))
    assert normalize(layer_input, "group").shape == (None, 8, 8, 11)


def test_bilinear_kernel_interpolates_a_ramp():
    from helpers.unets.layers import BilinearKernel

    layer = keras.layers.Conv2DTranspose(
        2, 4, strides=2, padding="same", kernel_initializer=BilinearKernel()
    )
    ramp = np.zeros((1, 6, 6, 2), np.float32)
    ramp[..., 0] = np.arange(6)
    output = run(keras.Sequential([keras.Input((6, 6, 2)), layer]), ramp)
    # pixel k of the fine grid lies at k / 2 - 1 / 4 of the coarse one
    np.testing.assert_allclose(output[0, 4, 2:-2, 0], np.arange(2, 10) / 2 - 0.25, atol=1e-6)
    assert not output[..., 1].any()


# outputs


def test_deep_supervision_has_targets_of_every_scale():
    model = tiny("nnunet", 2, depth=3)
    assert output_strides(model) == {"main": (1, 1), "side_1": (2, 2), "side_2": (4, 4)}
    mask = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1)
    targets = supervision_targets(model, mask)
    assert targets["side_1"].shape == (1, 4, 4, 1)
    np.testing.assert_array_equal(targets["side_2"][0, ..., 0], [[18, 22], [50, 54]])
    weights = loss_weights("nnunet", model)
    # 1 : 1/2 : 0
    assert weights == pytest.approx({"main": 2 / 3, "side_1": 1 / 3, "side_2": 0})
    sizes = {name: t.shape[1:3] for name, t in run(model, np.zeros((1, 8, 8, 1))).items()}
    assert sizes == {"main": (8, 8), "side_1": (4, 4), "side_2": (2, 2)}


def test_main_output_of_mnet_is_the_mean_of_its_sides():
    model = tiny("mnet", 2)
    images = example(2)[0]
    outputs = run(model, images)
    sides = [outputs[name] for name in outputs if name != "main"]
    assert len(sides) == 2
    np.testing.assert_allclose(outputs["main"], np.mean(sides, axis=0), atol=1e-6)
    np.testing.assert_array_equal(run(main_output(model), images), outputs["main"])
    # four outputs beside the mean, as published
    names = list(build_unet("mnet", filters=2).output)
    assert loss_weights("mnet", build_unet("mnet", filters=2)) == pytest.approx(
        {n: 0.6 if n == "main" else 0.1 for n in names}
    )


def test_one_output_needs_no_choice():
    model = tiny("unet", 2)
    mask = example(2)[1]
    assert main_output(model) is model
    assert supervision_targets(model, mask) is mask
    assert loss_weights("unet", model) is None


def test_prior_of_classes(tmp_path):
    shares = (0.7, 0.2, 0.1)
    model = tiny("unet", 2, classes=3, activation="softmax", prior=shares)
    images = example(2)[0]
    output = run(model, images)
    np.testing.assert_allclose(output.mean(axis=(0, 1, 2)), shares, atol=0.01)
    model.save(tmp_path / "model.keras")
    assert_equal(run(keras.saving.load_model(tmp_path / "model.keras"), images), output)
    two = run(tiny("unet", 2, classes=2, activation="softmax", prior=0.1), images)
    np.testing.assert_allclose(two.mean(axis=(0, 1, 2)), [0.9, 0.1], atol=0.01)


def test_output_is_float32_under_mixed_precision():
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model = tiny("unet", 2)
        assert model.output.dtype == "float32"
        assert model.layers[1].compute_dtype == "float16"
    finally:
        keras.mixed_precision.set_dtype_policy("float32")


# errors


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("u-net", {}, "architecture is 'u-net': choose one of unet, residual"),
        ("fcn8", {"ndim": 3}, "ndim is 3, but 'fcn8' exists for ndim=2 only"),
        ("unet", {"width": 3}, "'unet' has no option width: it has activation, block, depth"),
        ("unet", {"dropout": (0.1, 0.2)}, "dropout has 2 rates: give one number, or one per .* 5"),
        ("unet", {"filters": (2, 4), "depth": 2}, "filters has 2 levels and depth is 2"),
        ("unet", {"normalization": "layer"}, "normalization is 'layer': choose 'batch', 'group'"),
        ("unet", {"gate": "up"}, "gate is 'up': choose"),
        ("unet", {"pool_size": (1, 2, 2)}, "give one number, or 2, one per spatial axis"),
        ("unet", {"pool_size": [2, 2]}, "pool_size has 2 entries: give one per level, 4"),
        ("unet", {"prior": 0.0}, "above 0 and below 1. A share of 0 means"),
        ("unet", {"prior": (0.1, 0.2)}, "prior has 2 shares: give one per class, 1"),
        ("fcn8", {"finest": 16}, "finest is 16: choose 8 or 32"),
        ("nnunet", {"depth": 2, "strides": (2,)}, "strides has 1 entries: give one per level, 2"),
    ],
)
def test_errors_say_what_to_mend(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_unet(name, **options)
