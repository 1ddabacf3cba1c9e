from itertools import islice

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from helpers.embedseg.batches import crop_batches
from helpers.embedseg.crops import CropSource, suggest_crop_size, suggest_space
from helpers.embedseg.medoids import find_centers, mark_centers
from helpers.tiles.orientations import turns


def draw_blobs(*, seed=0, shape=(48, 56), n=6):
    """Ellipsoids, some overlapping and some cut by the frame; ids with gaps."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for k in range(1, n + 1):
        away = (np.indices(shape).T - rng.uniform(0, shape)) / rng.uniform(2, 8, len(shape))
        labels[(away**2).sum(-1).T < 1] = 10 * k
    return labels


def brute_medoid(labels, name, spacing):
    points = np.argwhere(labels == name)
    return tuple(points[cdist(points * spacing, points * spacing).sum(axis=1).round(6).argmin()])


def make_source(labels, **options):
    """Images that hold the label of each pixel, so that crops can be checked against labels."""
    options = {"crop_shape": (24, 24), **options}
    return CropSource([y.astype(float) for y in labels], labels, **options)


@pytest.mark.parametrize(
    ("shape", "spacing"), [((48, 56), (1, 1)), ((48, 56), (2.5, 1)), ((9, 20, 22), (3, 1, 1))]
)
def test_medoids_by_fourier_transform_equal_brute_force(shape, spacing):
    for seed in range(4):
        labels = draw_blobs(seed=seed, shape=shape)
        centers = find_centers(labels, spacing=spacing)
        names = np.unique(labels[labels > 0]).tolist()
        assert list(centers) == names and len(names) >= 2
        assert centers == {k: brute_medoid(labels, k, spacing) for k in names}


def test_medoid_and_median_lie_in_a_crescent_and_the_centroid_does_not():
    y, x = np.mgrid[-20:21, -20:21]
    labels = ((np.hypot(y, x) < 19) & (np.hypot(y, x - 8) > 17)).astype(int)
    for kind in ("medoid", "approximate_medoid", "random"):
        center = find_centers(labels, center=kind)
        assert labels[center[1]] == 1
        assert mark_centers(labels, center).sum() == 1
    assert mark_centers(labels, find_centers(labels, center="centroid")).sum() == 0


def test_random_centers_differ_between_draws_and_not_between_equal_seeds():
    labels = draw_blobs()
    first, again, other = (find_centers(labels, center="random", rng=k) for k in (1, 1, 2))
    assert first == again != other
    assert all(labels[point] == name for name, point in first.items())


def test_crop_size_is_mean_and_deviation_of_the_extents_rounded_up():
    labels = np.zeros((60, 60), int)
    labels[0:11, 0:21], labels[20:41, 20:31] = 1, 2  # extents 10, 20 and 20, 10: 15 +- 5
    assert suggest_crop_size([labels], n_std=0) == (16, 16)
    assert suggest_crop_size([labels]) == (40, 40)
    assert suggest_crop_size([labels], limit=36) == (32, 32)
    volume = np.zeros((20, 40, 40), int)
    volume[3:7, 2:12, 5:30] = 1  # extents 3, 9, 24
    assert suggest_crop_size([volume]) == (8, 24, 24)
    with pytest.raises(ValueError, match="no object"):
        suggest_crop_size([labels * 0])


def test_crop_sizes_can_be_multiples_of_more():
    labels = np.zeros((90, 90), int)
    labels[5:46, 5:25] = 1
    assert suggest_crop_size([labels], n_std=0, multiple=16) == (48, 48)
    assert suggest_crop_size([labels], n_std=0, multiple=16, limit=40) == (32, 32)


def test_the_space_fits_the_objects():
    labels = np.zeros((8, 40, 40), int)
    labels[2:4, 5:15, 3:33], labels[6:8, 20:30, 3:13] = 1, 2
    space = suggest_space([labels, labels * 0], (2.0, 0.5, 0.5))  # extents 4, 5, 15 and 4, 5, 5 µm
    assert space.spacing == (2.0, 0.5, 0.5)
    assert (space.reach, space.radius) == pytest.approx((15, 0.3 * 38 / 6))
    with pytest.raises(ValueError, match="labels hold no object"):
        suggest_space([labels * 0], (1, 1, 1))


def test_a_crop_has_its_object_in_the_middle_and_stays_inside():
    labels = np.zeros((60, 60), int)
    labels[30:34, 20:30], labels[0:4, 55:60] = 7, 9
    source = make_source([labels])
    (first, second) = (source.cut(*place) for place in source.objects)
    np.testing.assert_array_equal(np.argwhere(first[1] == 1)[[0, -1]], [[10, 7], [13, 16]])
    np.testing.assert_array_equal(np.argwhere(second[1] == 1)[[0, -1]], [[0, 19], [3, 23]])
    assert (first[0][..., 0] == 7 * first[1]).all()


def test_parts_of_objects_get_their_own_centers():
    labels = draw_blobs(shape=(60, 70), n=12)
    source = make_source([labels])
    assert source.most_objects() > 2
    for place in source.objects:
        image, found, centers = source.cut(*place)
        names = np.unique(image[image > 0]).astype(int)
        expected = np.zeros(found.shape)
        for name in names:
            expected[brute_medoid(image[..., 0], name, (1, 1))] = 1
        np.testing.assert_array_equal(centers, expected)
        sizes = np.bincount(found.ravel())[1:]
        assert (np.diff(sizes) <= 0).all() and len(sizes) == len(names)


@pytest.mark.parametrize(
    ("shape", "crop", "n_turns"), [((48, 56), (16, 16), 8), ((12, 30, 30), (8, 16, 16), 16)]
)
def test_augmentation_draws_all_turns_of_image_labels_and_centers_alike(shape, crop, n_turns):
    labels = draw_blobs(shape=shape, n=1)
    source = make_source([labels], crop_shape=crop)
    image, plain, centers = source.cut(*source.objects[0])
    target = np.stack([plain, centers], axis=-1)[None]
    images = [turn.apply(target)[0] for turn in turns(len(shape))]
    seen = set()
    batches = crop_batches(source, batch_size=8, background=0, seed=3)
    for x, y in islice(batches, 16):
        np.testing.assert_array_equal(x[..., 0] > 0, y[..., 0] > 0)
        for one in y:
            matching = [k for k, turned in enumerate(images) if np.array_equal(turned, one)]
            assert matching
            seen.add(matching[0])
    assert len(seen) == n_turns == len(images)


def test_oblong_crops_keep_their_shape():
    source = make_source([draw_blobs()], crop_shape=(16, 32))
    x, y = next(crop_batches(source, batch_size=9))
    assert x.shape == (9, 16, 32, 1) and y.shape == (9, 16, 32, 2)
    assert (x.dtype, y.dtype) == (np.float32, np.int32)


def test_background_crops_have_background_in_the_middle():
    labels = np.zeros((80, 80), int)
    labels[30:50, 30:50] = 1
    source = make_source([labels], crop_shape=(8, 8))
    for _, y in islice(crop_batches(source, batch_size=20, background=0.9), 3):
        share = (y[..., 0] > 0).any(axis=(1, 2)).mean()
        assert 0 < share < 0.6
    rng = np.random.default_rng(0)
    assert all(labels[source.draw_background(rng)[1]] == 0 for _ in range(50))


def test_a_pass_without_augmentation_visits_every_object_once_in_order():
    labels = np.kron(np.arange(1, 7).reshape(2, 3), np.pad(np.ones((6, 6), int), 9))
    source = make_source([labels], crop_shape=(8, 8))
    batches = crop_batches(source, batch_size=6, background=0, augment=False)
    for x, _ in islice(batches, 2):
        assert x.max(axis=(1, 2, 3)).tolist() == [1, 2, 3, 4, 5, 6]
    x, _ = next(crop_batches(source, batch_size=6, background=0))
    assert sorted(x.max(axis=(1, 2, 3))) == [1, 2, 3, 4, 5, 6]


def test_equal_seeds_give_equal_batches():
    source = make_source([draw_blobs(), draw_blobs(seed=1)], center="random")
    first, again, other = (
        next(crop_batches(source, batch_size=6, vary=True, seed=[1, epoch])) for epoch in (0, 0, 1)
    )
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (first[0] != other[0]).any()


def test_unannotated_and_small_images_are_ignored_where_nothing_is_known():
    labels = np.zeros((10, 40), int)
    labels[2:5, 2:5], labels[:, 30:] = 5, -1
    source = make_source([labels], crop_shape=(16, 40))
    image, found, centers = source.cut(*source.objects[0])
    assert (found[10:] == -1).all() and (found[:10, 30:] == -1).all()
    assert (found == 1).sum() == 9 and centers.sum() == 1
    np.testing.assert_array_equal(image[10:16], image[4:10][::-1])


def test_images_without_objects_give_background_crops():
    source = make_source([np.zeros((30, 30), int)])
    assert source.most_objects() == 1
    x, y = next(crop_batches(source, batch_size=2))
    assert x.shape == (2, 24, 24, 1) and not y.any()


def test_channels_stay_last():
    labels = draw_blobs()
    source = CropSource([np.zeros((48, 56, 3))], [labels], (16, 16))
    assert next(crop_batches(source, batch_size=2))[0].shape == (2, 16, 16, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda y: make_source([y], crop_shape=(20, 24)), "multiples of 8"),
        (lambda y: make_source([y], center="middle"), "center is 'middle'"),
        (lambda y: CropSource([y], [], (8, 8)), "1 images and 0 labels"),
        (lambda y: CropSource([y[1:]], [y], (8, 8)), "image 0 has shape"),
        (lambda y: crop_batches(make_source([y]), batch_size=0), "batch_size=0"),
        (lambda y: find_centers(y, center="middle"), "center is 'middle'"),
    ],
)
def test_impossible_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(draw_blobs())
