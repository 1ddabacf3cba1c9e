import numpy as np
import pytest
from scipy import ndimage

keras = pytest.importorskip("keras")

from helpers.unets import (  # noqa: E402
    ARCHITECTURES,
    build_unet,
    input_divisor,
    label_patches,
    list_options,
    loss_weights,
    output_strides,
    published_settings,
    refine_slices,
)
from helpers.unets.layers import (  # noqa: E402
    BorderPadding,
    ChannelPadding,
    NodeUpsampling,
    StochasticDownsampling,
)

PUBLISHED = ["casser2018", "cheng2017", "oztel2017", "xiao2018"]


def run(model, images, *, training=False):
    return keras.tree.map_structure(np.asarray, model(images, training=training))


def test_casser_has_the_published_weights():
    model = build_unet("casser2018")
    assert model.count_params() == 1_958_533
    ups = [layer for layer in model.layers if getattr(layer, "kernel_size", None) == (2, 2)]
    assert [layer.filters for layer in ups] == [128, 64, 64, 16]


# stochastic downsampling


def coordinates(shape):
    """Images that hold, in three channels, sample, row and column of each pixel."""
    grids = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return np.stack(grids, -1).astype(np.float32)


@pytest.mark.parametrize("cell", [2, 4, 8])
def test_drawn_positions_are_ordered_and_half_of_each_cell(cell):
    images = coordinates((5, 16, 24))
    output = run(StochasticDownsampling(cell, seed=0), images, training=True)
    assert output.shape == (5, 8, 12, 3)
    for sample in range(5):
        assert (output[sample, ..., 0] == sample).all()  # from its own sample, all channels
        rows, columns = output[sample, :, 0, 1], output[sample, 0, :, 2]
        # a grid crossing: the same rows in every column, and the reverse
        np.testing.assert_array_equal(output[sample, ..., 1], np.tile(rows[:, None], 12))
        np.testing.assert_array_equal(output[sample, ..., 2], np.tile(columns, (8, 1)))
        for kept, size in ((rows, 16), (columns, 24)):
            assert (np.diff(kept) > 0).all()
            counts = np.bincount((kept // cell).astype(int), minlength=size // cell)
            assert (counts == cell // 2).all()


def test_each_sample_and_each_pass_draws_anew():
    layer = StochasticDownsampling(seed=1)
    images = np.repeat(coordinates((1, 32, 32)), 3, axis=0)
    first, second = (run(layer, images, training=True) for _ in range(2))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first[0], first[1])


def test_every_position_is_kept_half_of_the_time():
    images = coordinates((1000, 8, 4))
    output = run(StochasticDownsampling(seed=2), images, training=True)
    counts = np.bincount(output[:, :, 0, 1].ravel().astype(int), minlength=8)
    np.testing.assert_allclose(counts / 1000, 0.5, atol=0.07)  # 4 standard deviations: .063


def test_volumes_are_drawn_along_three_axes():
    volume = coordinates((2, 4, 8, 12))
    output = run(StochasticDownsampling(seed=3), volume, training=True)
    assert output.shape == (2, 2, 4, 6, 4)
    for axis, channel in ((1, 1), (2, 2), (3, 3)):
        kept = np.moveaxis(output[0, ..., channel], axis - 1, 0).reshape(output.shape[axis], -1)
        assert (kept == kept[:, :1]).all() and (np.diff(kept[:, 0]) > 0).all()


def test_prediction_draws_nothing():
    images = np.random.default_rng(0).normal(size=(2, 8, 12, 3)).astype(np.float32)
    mean = images.reshape(2, 4, 2, 6, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(run(StochasticDownsampling(), images), mean, atol=1e-6)
    stride = run(StochasticDownsampling(inference="stride"), images)
    np.testing.assert_array_equal(stride, images[:, ::2, ::2])


def test_mean_of_the_draws_is_near_the_prediction():
    # on a ramp the draws scatter around the average-pooled value
    ramp = np.tile(np.arange(8, dtype=np.float32)[:, None, None], (4000, 1, 4, 1))
    drawn = run(StochasticDownsampling(seed=4), ramp, training=True).mean(axis=0)[:, 0, 0]
    # of 0, 1, 2, 3 the smaller of two drawn is 2/3 in the mean, the larger 7/3
    np.testing.assert_allclose(drawn, [2 / 3, 7 / 3, 14 / 3, 19 / 3], atol=0.06)


def test_layers_work_with_unknown_sizes_and_in_a_compiled_graph():
    model = build_unet("cheng2017", filters=4, growth=2, n_blocks=(1, 1, 1), up_filters=(8, 4))
    assert input_divisor(model) == ARCHITECTURES["cheng2017"].divisor[2] == (16, 16)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("StochasticDownsampling") == 2
    model.compile("adam", "binary_crossentropy")
    images = np.zeros((2, 16, 32, 1), np.float32)
    model.train_on_batch(images, images)
    output = model.predict(images, verbose=0)
    assert output.shape == (2, 16, 32, 1)
    np.testing.assert_array_equal(output, model.predict(images, verbose=0))
    small = {"filters": 4, "growth": 2, "n_blocks": (1, 1, 1), "up_filters": (8, 4)}
    other = build_unet("cheng2017", downsampling="max", **small)
    assert "StochasticDownsampling" not in [type(layer).__name__ for layer in other.layers]


def test_cheng_widens_by_eight_channels_per_block():
    model = build_unet("cheng2017", ndim=3)
    sums = [layer.output.shape[-1] for layer in model.layers if type(layer).__name__ == "Add"]
    assert sums == [24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120] + [64] * 4 + [32] * 2
    # three kernels, each along one axis, with a third of the filters each: 24 = 8 + 8 + 8
    sizes = [la.kernel_size for la in model.layers if getattr(la, "filters", None) == 8][:3]
    assert sorted(sizes) == [(1, 1, 3), (1, 3, 1), (3, 1, 1)]


@pytest.mark.parametrize(
    "layer", [StochasticDownsampling(4), NodeUpsampling(3), BorderPadding(2, 1), ChannelPadding(5)]
)
def test_layers_announce_their_output_shape(layer):
    images = np.random.default_rng(0).normal(size=(2, 8, 12, 3)).astype(np.float32)
    assert run(layer, images).shape == layer.compute_output_shape(images.shape)
    loose = layer.compute_output_shape((None, None, 12, 3))
    assert loose[1] is None and loose[2:] == run(layer, images).shape[2:]


def test_channel_padding_keeps_values_and_adds_zeros():
    images = np.random.default_rng(0).normal(size=(1, 4, 4, 2)).astype(np.float32)
    output = run(ChannelPadding(5), images)
    np.testing.assert_array_equal(output[..., :2], images)
    assert output.shape[-1] == 5 and not output[..., 2:].any()


# Xiao


def test_xiao_outputs_have_full_size_and_published_weights():
    keras.utils.set_random_seed(0)
    model = build_unet("xiao2018", ndim=3, filters=(4, 4, 4, 4))
    assert output_strides(model) == dict.fromkeys(["main", "aux_1", "aux_2"], (1, 1, 1))
    assert loss_weights("xiao2018", model) == {"main": 1.0, "aux_1": 0.15, "aux_2": 0.3}
    assert input_divisor(model) == (1, 8, 8)
    # aux_1 comes from the third level, enlarged four times: 4 x 4 pixels are alike
    output = run(model, np.random.default_rng(0).normal(size=(1, 3, 16, 16, 1)))
    coarse = output["aux_1"][:, :, ::4, ::4]
    np.testing.assert_array_equal(output["aux_1"], coarse.repeat(4, axis=2).repeat(4, axis=3))
    assert len(np.unique(output["main"])) > 9 * len(np.unique(coarse))
    assert len(model.losses) == 3  # of the side outputs and the last convolution


# Oztel


@pytest.mark.parametrize("version", [0, 1])
def test_whole_images_and_patches_share_weights(version):
    options = {"version": version, "filters": 4}
    patches = build_unet("oztel2017", whole=False, **options)
    whole = build_unet("oztel2017", **options)
    assert run(patches, np.zeros((3, 32, 32, 1))).shape == (3, 1, 1, 1)
    whole.set_weights(patches.get_weights())
    assert run(whole, np.zeros((1, 40, 56, 1))).shape == (1, 40, 56, 1)


def test_nodes_lie_on_the_corners_of_cells():
    # value j at pixel 8 j - 1/2: a ramp of pixel coordinates comes out as itself
    nodes = 8 * np.arange(4, dtype=np.float32) - 0.5
    grid = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1)[None]
    output = run(NodeUpsampling(8), grid)[0]
    np.testing.assert_allclose(output[..., 0], np.tile(np.arange(24)[:, None], 24), atol=1e-5)
    np.testing.assert_allclose(output[..., 1], np.tile(np.arange(24), (24, 1)), atol=1e-5)


def test_map_is_aligned_with_the_windows():
    """A classifier that says how bright its window is puts a blob where it is."""
    padding, unpadded = BorderPadding(16), np.zeros((1, 96, 96, 1), np.float32)
    unpadded[0, 16:32, 60:76] = 1
    padded = run(padding, unpadded)[0, ..., 0]
    windows = [[padded[i : i + 32, j : j + 32].mean() for j in range(0, 97, 8)]
               for i in range(0, 97, 8)]  # fmt: skip
    found = run(NodeUpsampling(8), np.array(windows, np.float32)[None, ..., None])[0, ..., 0]
    expected = ndimage.center_of_mass(unpadded[0, ..., 0])
    np.testing.assert_allclose(ndimage.center_of_mass(found), expected, atol=0.75)
    # the published way, stretching the unpadded map, moves this blob
    valid = [[unpadded[0, i : i + 32, j : j + 32].mean() for j in range(0, 65, 8)]
             for i in range(0, 65, 8)]  # fmt: skip
    stretched = ndimage.zoom(np.array(valid), 96 / 9, order=1)
    assert np.abs(np.subtract(ndimage.center_of_mass(stretched), expected)).max() > 3


def test_patch_classes_at_the_limits():
    masks = np.zeros((4, 10, 10), np.uint8)
    for mask, n in zip(masks, (80, 79, 21, 20), strict=True):
        mask.ravel()[:n] = 255
    assert label_patches(masks).tolist() == [1, -1, -1, 0]


def blobs():
    """Two discs through all planes, one probable and one doubtful, and a grey image of them."""
    distance = [np.hypot(*(np.indices((80, 120)) - np.array(c)[:, None, None]))
                for c in ((40, 35), (40, 90))]  # fmt: skip
    discs = [d < 16 for d in distance]
    plane = 0.9 * discs[0] + 0.7 * discs[1]
    return discs, np.repeat(plane[None], 11, axis=0)


def test_doubtful_components_are_deleted_the_last_one_too():
    discs, probability = blobs()
    image = probability.max() - probability
    refined = refine_slices(probability, image)
    assert refined.dtype == bool and refined.shape == probability.shape
    overlap = (refined & discs[0]).sum() / (refined | discs[0]).sum()
    assert overlap > 0.85
    assert not refined[:, discs[1]].any()
    assert refine_slices(probability, image, min_mean=0.6)[:, discs[1]].mean() > 0.9


def test_outline_moves_to_the_edge_of_the_image():
    discs, probability = blobs()
    grown = ndimage.binary_dilation(discs[0], iterations=4)
    image = np.repeat(discs[0][None].astype(float), 3, axis=0)
    refined = refine_slices(np.repeat(0.9 * grown[None], 3, axis=0), image)
    before = (grown & discs[0]).sum() / (grown | discs[0]).sum()
    after = (refined[1] & discs[0]).sum() / (refined[1] | discs[0]).sum()
    assert before < 0.7 and after > 0.9


def test_median_over_planes_removes_a_stray_plane():
    discs, probability = blobs()
    probability[5] = 0.9 * discs[0][:, ::-1]
    image = np.repeat(discs[0][None].astype(float), 11, axis=0)
    assert not refine_slices(probability, image)[5][:, 70:].any()
    assert refine_slices(probability, image, n_planes=1)[5][:, 70:].any()


def test_refinement_of_nothing_is_nothing():
    assert not refine_slices(np.zeros((2, 20, 20)), np.zeros((2, 20, 20))).any()


# settings and errors


def test_settings_belong_to_networks():
    for name in PUBLISHED:
        for ndim in ARCHITECTURES[name].published:
            for version in (0, 1):
                settings = published_settings(name, version=version, ndim=ndim)
                assert len(settings["patch"]) == settings["ndim"] == ndim
                assert set(settings["options"]) <= set(list_options(name, ndim=ndim))


def test_settings_are_copies():
    published_settings("cheng2017", version=0)["options"]["dropout"] = 1
    assert published_settings("cheng2017", version=0)["options"] == {"dropout": 0.1}
    assert published_settings("cheng2017", version=1)["options"] == {"dropout": 0.0}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: StochasticDownsampling(3), "cell is 3: give an even number"),
        (lambda: StochasticDownsampling(inference="draw"), "choose 'average' or 'stride'"),
        (lambda: build_unet("cheng2017", downsampling="mean"), "choose 'stochastic' or 'max'"),
        (lambda: build_unet("oztel2017", version=2), "version is 2: choose 0"),
        (lambda: published_settings("unet"), "no settings for 'unet' in 2D"),
        (lambda: published_settings("xiao2018", ndim=3, version=2), "version 2: there are"),
        (lambda: refine_slices(np.zeros((4, 4)), np.zeros((4, 4))), "give two arrays ZYX"),
    ],
)
def test_errors_say_what_to_mend(call, message):
    with pytest.raises(ValueError, match=message):
        call()
