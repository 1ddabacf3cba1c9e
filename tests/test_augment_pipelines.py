"""Patches: odds and ranges of the pipelines, alignment to the pixel, seeds, cut objects."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from helpers.augment.patches import cut_patch, find_cut_objects, fit_scales, measure_extents
from helpers.augment.pipelines import (
    ALL_GROUPS,
    DEFAULT,
    PUBLISHED,
    Recipe,
    augment_many,
    augment_pair,
    default_pipeline,
    preview_patches,
    published_pipeline,
    separate_pieces,
    to_uint8,
)
from helpers.augment.with_imgaug import GROUPS
from helpers.normalise import Normalizer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from imgaug import augmenters as iaa
    from imgaug.random import RNG

N_DRAWS = 400


def blobs(seed=0, shape=(90, 110), n=14):
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    rows, columns = np.indices(shape)
    for k in range(1, n + 1):
        (row, column), radius = rng.uniform(0, shape), rng.uniform(3, 12)
        labels[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = 5 * k
    return labels


def assert_same(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


def leaves(augmenter):
    children = augmenter.get_children_lists()
    return [leaf for kids in children for kid in kids for leaf in leaves(kid)] or [augmenter]


@pytest.fixture(scope="module")
def usage():
    """How often each step of both pipelines ran in `N_DRAWS` draws, by name."""
    image, labels = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.int32)
    return {
        make: count_runs(make(), image, labels) for make in (published_pipeline, default_pipeline)
    }


def count_runs(pipeline, image, labels):
    counts = []
    steps = leaves(pipeline)
    for step in steps:
        original, count = step._augment_batch_, [type(step).__name__, 0]
        counts.append(count)

        def counted(batch, *args, original=original, count=count, **options):
            count[1] += batch.nb_rows
            return original(batch, *args, **options)

        step._augment_batch_ = counted
    for seed in range(N_DRAWS):
        augment_pair(image, labels, pipeline, seed)
    return counts


def assert_odds(count, probability):
    low, high = binom.interval(1 - 1e-5, N_DRAWS, probability)
    assert low <= count <= high, (count / N_DRAWS, probability)


# the published pipeline


def test_published_order_and_odds(usage):
    expected = [
        ("Fliplr", 1 / 3), ("Flipud", 1 / 3), ("Rot90", 1 / 3),
        ("CLAHE", 1), ("CLAHE", 1 / 2),
        ("ImpulseNoise", 1 / 8), ("AdditivePoissonNoise", 1 / 8),
        ("AdditiveGaussianNoise", 1 / 8), ("Dropout", 1 / 8),
        ("GaussianBlur", 1 / 4), ("MedianBlur", 1 / 4),
    ]  # fmt: skip
    names = {"ReplaceElementwise": "ImpulseNoise", "AddElementwise": "AdditiveNoise"}
    counts = usage[published_pipeline]
    assert [names.get(name, name) for name, _ in counts] == [name for name, _ in expected]
    for (_, count), (_, probability) in zip(counts, expected, strict=True):
        assert_odds(count, probability)


def test_published_choices_exclude_each_other(usage):
    counts = [count for _, count in usage[published_pipeline]]
    assert sum(counts[:3]) == N_DRAWS  # exactly one flip or turn
    assert counts[3] == N_DRAWS  # CLAHE at least once
    assert sum(counts[5:]) == N_DRAWS  # exactly one noise or blur
    assert_odds(sum(counts[5:9]), 1 / 2)


def draw(parameter, n=2000):
    return np.asarray(parameter.draw_samples((n,), random_state=RNG(0)))


def assert_range(values, low, high):
    width = high - low
    assert low <= values.min() < low + 0.02 * width
    assert high - 0.02 * width < values.max() <= high


def test_published_ranges():
    flip_x, flip_y, turn, clahe, again, impulse, poisson, gauss, drop, blur, median = leaves(
        published_pipeline()
    )
    assert set(draw(turn.k)) == {1, 2, 3}
    for one in (clahe, again):
        assert_range(draw(one.all_channel_clahe.clip_limit), 5, 50)
    assert flip_x.p.value == flip_y.p.value == 1
    assert_range(draw(poisson.value.other_param.lam), 0, 20)
    assert_range(draw(gauss.value.scale), 0.255, 25.5)
    assert_range(draw(blur.sigma), 1, 9)
    assert (draw(median.k).min(), draw(median.k).max()) == (1, 5)


@pytest.mark.parametrize(("step", "low", "high"), [(5, 0.001, 0.15), (8, 0.01, 0.1)])
def test_published_shares_of_changed_pixels(step, low, high):
    # measured: impulse noise leaves a pixel of grey 128 unless it is drawn, dropout sets it to 0
    noise = leaves(published_pipeline())[step]
    noise.seed_(1)
    image = np.full((80, 80), 128, np.uint8)
    shares = np.array([(noise(image=image) != 128).mean() for _ in range(150)])
    assert low * 0.5 <= shares.min() < low + 0.1 * (high - low)
    assert high - 0.1 * (high - low) < shares.max() < high * 1.2


def test_turns_are_by_90_180_and_270_degrees_equally_often():
    image = np.arange(9, dtype=np.uint8).reshape(3, 3)
    plain = published_pipeline(without=("contrast", "noise", "blur"))
    wanted = [image[:, ::-1], image[::-1], *(np.rot90(image, k) for k in (1, 2, 3))]
    counts = np.zeros(5, int)
    for seed in range(N_DRAWS):
        changed, labels = augment_pair(image, image.astype(np.int32), plain, seed)
        np.testing.assert_array_equal(changed, labels)
        counts += [np.array_equal(changed, one) for one in wanted]
    assert counts.sum() == N_DRAWS
    for count, probability in zip(counts, [1 / 3, 1 / 3, 1 / 9, 1 / 9, 1 / 9], strict=True):
        assert_odds(count, probability)


@pytest.mark.parametrize("make", [published_pipeline, default_pipeline])
def test_groups_can_be_left_out(make):
    image, labels = to_uint8(blobs() + 3.0), blobs()[:90, :90]
    image = image[:90, :90]
    for seed in range(20):
        changed, moved = augment_pair(image, labels, make(without=GROUPS), seed)
        np.testing.assert_array_equal(changed, image)
        np.testing.assert_array_equal(moved, labels)
        changed, moved = augment_pair(image, labels, make(without=("geometry",)), seed)
        np.testing.assert_array_equal(moved, labels)
    with pytest.raises(ValueError, match="without has colour: give a tuple with some of geometry"):
        make(without=("colour",))
    with pytest.raises(ValueError, match="without has noise: give a tuple"):
        make(without="noise")


def test_leaving_blur_out_keeps_the_odds_of_noise():
    steps = count_runs(published_pipeline(without=("blur",)), np.zeros((4, 4), np.uint8),
                       np.zeros((4, 4), np.int32))  # fmt: skip
    assert [name for name, _ in steps][-1] == "Identity"
    assert_odds(steps[-1][1], 1 / 2)


# the default pipeline


def test_default_odds(usage):
    counts = usage[default_pipeline]
    expected = [1, 1, 1 / 4, 1 / 4, 1 / 2, 1 / 3, 1 / 5]
    assert [name for name, _ in counts][:5] == [
        "Fliplr", "Rot90", "GammaContrast", "LinearContrast", "Multiply",
    ]  # fmt: skip
    for (_, count), probability in zip(counts, expected, strict=True):
        assert_odds(count, probability)


def test_default_draws_the_eight_flips_and_turns_equally_often():
    image = np.arange(9, dtype=np.uint8).reshape(3, 3)
    plain = default_pipeline(without=("contrast", "noise", "blur"))
    wanted = [np.rot90(side, k) for side in (image, image[:, ::-1]) for k in range(4)]
    counts = np.zeros(8, int)
    for seed in range(N_DRAWS):
        changed, _ = augment_pair(image, image, plain, seed)
        counts += [np.array_equal(changed, one) for one in wanted]
    for count in counts:
        assert_odds(count, 1 / 8)


# image and labels together


@pytest.mark.parametrize("make", [published_pipeline, default_pipeline])
def test_image_and_labels_move_together_to_the_pixel(make):
    labels = blobs(shape=(64, 64))
    image = labels.astype(np.uint8)
    plain = make(without=("contrast", "noise", "blur"))
    for seed in range(40):
        changed, moved = augment_pair(image, labels, plain, seed)
        np.testing.assert_array_equal(changed, moved)


@pytest.mark.parametrize("make", [published_pipeline, default_pipeline])
def test_the_whole_pipeline_keeps_labels_under_their_objects(make):
    labels = blobs(shape=(64, 64), n=5)
    noise = np.random.default_rng(0).integers(0, 20, labels.shape)
    image = np.where(labels > 0, 200, 30).astype(np.uint8) + noise.astype(np.uint8)
    for seed in range(30):
        changed, moved = augment_pair(image, labels, make(), seed)
        assert np.bincount(moved.ravel()).tolist() == np.bincount(labels.ravel()).tolist()
        shifted = [np.roll(moved > 0, 9, axis) for axis in (0, 1)]
        contrast = [changed[on].mean() - changed[~on].mean() for on in (moved > 0, *shifted)]
        assert contrast[0] == max(contrast)


def nested_pipeline():
    # imgaug itself does not seed the OneOf in here
    return iaa.Sometimes(
        0.5, iaa.OneOf([iaa.Fliplr(1.0), iaa.Multiply((0.5, 1.5)), iaa.Flipud(1.0)])
    )


@pytest.mark.parametrize("make", [published_pipeline, default_pipeline, nested_pipeline])
def test_pair_is_reproducible_whatever_was_drawn_before(make):
    labels = blobs(shape=(32, 32))
    image = to_uint8(labels)
    used, fresh = make(), make()
    for seed in (9, 9, 4):
        augment_pair(image, labels, used, seed)
    for seed in range(30):
        again = augment_pair(image, labels, used, seed)
        assert_same(again, augment_pair(image, labels, fresh, seed))
        augment_pair(image, labels, used, seed + 100)
    different = [augment_pair(image, labels, used, seed)[0] for seed in range(6)]
    assert len({one.tobytes() for one in different}) > 1


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_colour_images_keep_their_channels(channels):
    labels = blobs(shape=(32, 32))
    image = np.stack([to_uint8(labels + k) for k in range(channels)], axis=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        changed, moved = augment_pair(image, labels, default_pipeline(), 3)
    assert changed.shape == image.shape and moved.shape == labels.shape


def test_huge_ids_survive():
    labels = np.array([[0, 2_000_000_000], [70_000, 1]])
    _, moved = augment_pair(np.zeros((2, 2), np.uint8), labels, published_pipeline(), 0)
    assert set(moved.ravel()) == set(labels.ravel())


def test_pair_must_fit():
    with pytest.raises(ValueError, match="image has dtype float64: give uint8, as to_uint8"):
        augment_pair(np.zeros((4, 4)), np.zeros((4, 4), int), iaa.Identity(), 0)
    with pytest.raises(ValueError, match=r"image has shape \(4, 4\), labels \(4, 5\)"):
        augment_pair(np.zeros((4, 4), np.uint8), np.zeros((4, 5), int), iaa.Identity(), 0)


# resizing and cropping


@pytest.mark.parametrize("scale", [1, 2, 0.333, 0.667, 1.333, 0.9])
@pytest.mark.parametrize("axis", [0, 1])
def test_resized_image_and_labels_have_their_edges_at_the_same_pixel(scale, axis):
    # along one axis, linear interpolation passes one half exactly where the nearest label changes
    rng = np.random.default_rng(1)
    stripes = np.repeat(rng.integers(0, 2, 30), 6)
    labels = np.broadcast_to(stripes if axis else stripes[:, None], (180, 180)).astype(np.int32)
    for seed in range(10):
        image, cut, _ = cut_patch(
            labels * 1.0, labels, np.random.default_rng(seed), size=48, scale=scale, shoulder=3
        )
        undecided = np.abs(image - 0.5) < 1e-3
        np.testing.assert_array_equal((image > 0.5)[~undecided], (cut > 0)[~undecided])
        assert undecided.mean() < 0.3


def test_interpolation_agrees_with_opencv():
    import cv2

    image = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    for size in (20, 80):
        ours, _, _ = cut_patch(
            image, np.zeros((40, 40), int), np.random.default_rng(0), size=size, scale=size / 40
        )
        theirs = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_labels_take_the_nearest_pixel():
    labels = np.arange(16).reshape(4, 4)
    rng = np.random.default_rng(0)
    _, larger, _ = cut_patch(labels, labels, rng, size=8, scale=2)
    np.testing.assert_array_equal(larger, labels.repeat(2, 0).repeat(2, 1))
    _, smaller, _ = cut_patch(labels, labels, rng, size=1, scale=1 / 3)
    assert smaller.tolist() == [[5]]  # the middle of a three by three field


def test_crops_keep_off_the_frame_and_reach_every_place():
    labels = np.arange(40 * 50).reshape(40, 50)
    rng = np.random.default_rng(0)
    boxes = [cut_patch(labels, labels, rng, size=20, shoulder=8)[2] for _ in range(400)]
    assert {box[0].start for box in boxes} == set(range(8, 13))
    assert {box[1].start for box in boxes} == set(range(8, 23))
    tight = cut_patch(labels[:26], labels[:26], rng, size=20, shoulder=8)[2]
    assert tight[0] == slice(3, 23)  # no room for more than three
    for box in boxes[:5]:
        assert box[0].stop - box[0].start == box[1].stop - box[1].start == 20


def test_too_small_images_are_refused():
    with pytest.raises(ValueError, match=r"shape \(9, 30\), at scale 1.0 too small for a patch"):
        cut_patch(np.zeros((9, 30)), np.zeros((9, 30), int), np.random.default_rng(0), size=10)
    with pytest.raises(ValueError, match="size is 64, but at none of the scales .* 30 fits"):
        augment_many([np.zeros((30, 99))], [np.zeros((30, 99), int)], 1, recipe=Recipe(size=64))


def test_scales_that_fit():
    assert fit_scales((100, 300), 60, (1, 2, 0.333)) == [(1,), (2,)]
    assert fit_scales((100, 300), 60, (0.5, 1.5), between=True) == [(0.6, 1.5)]
    assert fit_scales((100, 300), 300, (0.5, 1.5), between=True) == []


def test_cut_objects_are_those_with_pixels_outside():
    labels = blobs(3)
    box = (slice(20, 60), slice(30, 80))
    outside = labels.copy()
    outside[box] = 0
    cut = find_cut_objects(measure_extents(labels), box)
    for k in np.unique(labels[box])[1:]:
        assert cut[k] == (outside == k).any()
    assert not cut[0]
    assert not find_cut_objects(measure_extents(labels), (slice(0, 90), slice(0, 110))).any()


def test_pieces_are_numbered_separately():
    labels = np.array([[5, 5, 0, 5], [0, 0, 5, 0], [2, 0, 0, 0], [5, 2, 0, 9]])
    pieces = separate_pieces(labels)
    # the 5 at the top right hangs together over a corner; the one at the bottom left does not
    np.testing.assert_array_equal(pieces, [[1, 1, 0, 1], [0, 0, 1, 0], [2, 0, 0, 0], [3, 2, 0, 4]])
    assert pieces.dtype == np.int32


def test_touching_objects_stay_two():
    assert separate_pieces(np.array([[1, 1, 2, 2]])).tolist() == [[1, 1, 2, 2]]


# many patches


@pytest.fixture(scope="module")
def data():
    labels = [blobs(seed) for seed in (1, 2)]
    rng = np.random.default_rng(0)
    images = [(y > 0) * 9000 + rng.integers(100, 2000, y.shape) for y in labels]
    return [image.astype(np.uint16) for image in images], labels


SMALL = replace(DEFAULT, size=48)
PLAIN = replace(SMALL, without=GROUPS, scales=(1.0,))


def test_patches_have_the_promised_form(data):
    patches = augment_many(*data, 7, recipe=SMALL)
    assert patches.images.shape == patches.labels.shape == patches.weights.shape == (7, 48, 48)
    assert patches.images.dtype == np.uint8 and patches.labels.dtype == np.int32
    assert patches.sources.tolist() == [0, 1, 0, 1, 0, 1, 0]
    for labels in patches.labels:
        assert np.unique(np.append(labels, 0)).tolist() == list(range(labels.max() + 1))


@pytest.mark.parametrize("recipe", [SMALL, replace(PUBLISHED, size=48)], ids=["default", "paper"])
def test_patches_depend_on_the_seed_and_their_number_alone(data, recipe):
    patches = augment_many(*data, 6, seed=3, recipe=recipe)
    assert_same(patches, augment_many(*data, 6, seed=3, recipe=recipe))
    assert_same([a[:4] for a in patches], augment_many(*data, 4, seed=3, recipe=recipe))
    assert (patches.images != augment_many(*data, 6, seed=4, recipe=recipe).images).any()


def test_patches_do_not_depend_on_the_number_of_workers(data):
    assert_same(
        augment_many(*data, 6, seed=3, recipe=SMALL),
        augment_many(*data, 6, seed=3, recipe=SMALL, workers=2),
    )


def test_patches_show_the_image_where_the_labels_are(data):
    images, labels = data
    patches = augment_many(images, labels, 10, recipe=PLAIN)
    for image, found, source in zip(*patches[:2], patches.sources, strict=True):
        whole = to_uint8(images[source])
        windows = np.lib.stride_tricks.sliding_window_view(whole, (48, 48))
        ((row, column),) = np.argwhere((windows == image).all(axis=(2, 3)))
        crop = labels[source][row : row + 48, column : column + 48]
        np.testing.assert_array_equal(found, separate_pieces(crop))


@pytest.mark.parametrize("cut_objects", ["mask", "drop", "keep"])
def test_objects_cut_by_the_patch(data, cut_objects):
    images, labels = data
    kept = augment_many(images, labels, 6, recipe=replace(PLAIN, cut_objects="keep"))
    patches = augment_many(images, labels, 6, recipe=replace(PLAIN, cut_objects=cut_objects))
    np.testing.assert_array_equal(patches.images, kept.images)
    for k in range(6):
        whole = to_uint8(images[patches.sources[k]])
        windows = np.lib.stride_tricks.sliding_window_view(whole, (48, 48))
        ((row, column),) = np.argwhere((windows == kept.images[k]).all(axis=(2, 3)))
        full = labels[patches.sources[k]]
        box = np.s_[row : row + 48, column : column + 48]
        sizes, inside = np.bincount(full.ravel(), minlength=99), full[box]
        is_cut = (np.bincount(inside.ravel(), minlength=99) < sizes)[inside] & (inside > 0)
        assert is_cut.any()
        if cut_objects == "mask":
            np.testing.assert_array_equal(patches.weights[k] == 0, is_cut)
            np.testing.assert_array_equal(patches.labels[k], kept.labels[k])
        else:
            assert (patches.weights[k] == 1).all()
            shown = inside > 0 if cut_objects == "keep" else (inside > 0) & ~is_cut
            np.testing.assert_array_equal(patches.labels[k] > 0, shown)


def test_published_recipe_uses_every_image_and_scale_equally_often():
    # bands of 12 rows: their height in the patch tells the scale
    stripes = np.indices((300, 300)).sum(axis=0)
    labels = (np.indices((300, 300))[0] // 12).astype(np.int32)
    recipe = replace(PUBLISHED, size=64, without=GROUPS)
    patches = augment_many([stripes] * 2, [labels] * 2, 20, recipe=recipe)
    assert np.bincount(patches.sources).tolist() == [10, 10]
    widths = np.array([np.bincount(y[:, 0]).max() for y in patches.labels])
    expected = {1.0: 12, 2.0: 24, 0.333: 4, 0.667: 8, 1.333: 16}
    found = [min(expected, key=lambda s, w=w: abs(expected[s] - w)) for w in widths]
    assert found[:10] == list(PUBLISHED.scales) * 2
    assert np.abs(widths - [expected[s] for s in found]).max() <= 1


def test_default_recipe_draws_scales_in_between():
    labels = (np.indices((300, 300))[0] // 20).astype(np.int32)
    recipe = replace(DEFAULT, size=64, without=GROUPS)
    patches = augment_many([labels], [labels], 60, recipe=recipe)
    widths = np.array([np.bincount(y[:, 0]).max() for y in patches.labels]) / 20
    assert 0.7 <= widths.min() < 0.85 and 1.2 < widths.max() <= 1.4


def test_grey_values_are_scaled_by_the_whole_image():
    image = np.zeros((100, 100))
    image[0, 0], image[50:, :] = 1000, 500
    recipe = replace(PLAIN, shoulder=8, normalizer=Normalizer(low=0, high=100))
    patches = augment_many([image], [np.zeros((100, 100), int)], 12, recipe=recipe)
    assert set(np.unique(patches.images)) == {0, 128}  # not 255, which the corner alone has
    fixed = replace(recipe, normalizer=Normalizer(constants=(0, 2000)))
    patches = augment_many([image], [np.zeros((100, 100), int)], 12, recipe=fixed)
    assert set(np.unique(patches.images)) == {0, 64}


def test_no_patches_and_odd_ids(data):
    empty = augment_many(*data, 0, recipe=SMALL)
    assert empty.images.shape == empty.labels.shape == (0, 48, 48)
    full = np.full((60, 60), 2_000_000_000)
    assert (augment_many([full], [full], 1, recipe=PLAIN).labels == 1).all()


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ([], [], "got 0 images and 0 label images"),
        ([np.zeros((9, 9))], [np.zeros((9, 8), int)], r"image 0 has shape \(9, 9\), its labels"),
        ([np.zeros((9, 9))], [np.zeros((9, 9))], "dtype float64"),
        ([np.zeros((9, 9)), np.zeros((9, 9, 3))], [np.zeros((9, 9), int)] * 2, "image 1"),
    ],
)
def test_images_and_labels_must_fit(images, labels, message):
    with pytest.raises(ValueError, match=message):
        augment_many(images, labels, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pipeline": "other"}, "pipeline has 'other'"),
        ({"cut_objects": "hide"}, "cut_objects has 'hide'"),
        ({"without": ("colour",)}, "without has colour"),
        ({"scales": ()}, r"scales is \(\)"),
        ({"scales": (0, 1)}, r"scales is \(0, 1\)"),
        ({"size": 0}, "size is 0"),
    ],
)
def test_recipe_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**options)


# studies and preview


def test_scaling_can_be_left_out(data):
    images, labels = data
    recipe = replace(SMALL, without=("scaling",), scales=(0.5, 3.0))
    assert recipe.used_scales == (1.0,) and SMALL.used_scales == SMALL.scales
    bare = replace(recipe, without=ALL_GROUPS)
    for patch, source in zip(*augment_many(*data, 4, recipe=bare)[::3], strict=True):
        whole = to_uint8(images[source])
        windows = np.lib.stride_tricks.sliding_window_view(whole, patch.shape)
        assert (windows == patch).all(axis=(2, 3)).any()  # a piece of the image as it is


def test_preview_shows_the_same_piece_before_and_after(data):
    before, after = preview_patches(*data, 4, seed=2, recipe=SMALL)
    assert_same(after, augment_many(*data, 4, seed=2, recipe=SMALL))
    assert before.sources.tolist() == after.sources.tolist()
    still = replace(SMALL, without=("geometry", "contrast"))
    before, after = preview_patches(*data, 4, seed=2, recipe=still)
    np.testing.assert_array_equal(before.labels, after.labels)
    assert np.abs(before.images.astype(int) - after.images).mean() < 20
    unchanged = preview_patches(*data, 2, recipe=replace(SMALL, without=GROUPS))
    assert_same(*unchanged)
