import numpy as np
import pytest
from scipy.spatial.distance import cdist

from helpers.targets import border_ridge, center_offsets, normalized_distance, three_class_target

ALL = [three_class_target, normalized_distance, border_ridge, center_offsets]

SQUARE = np.zeros((5, 5), np.int32)
SQUARE[1:4, 1:4] = 1


def random_blobs(*, seed=0, shape=(60, 70), n=12):
    """Discs of several sizes, some overlapping and some cut by the frame; ids with gaps."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for k in range(1, n + 1):
        center, radius = rng.uniform(0, shape), rng.uniform(3, 9)
        away = np.indices(shape).T - center
        labels[(away**2).sum(-1).T < radius**2] = 3 * k
    return labels


# three classes


def test_lone_object_keeps_all_pixels_and_gets_a_ring_around():
    expected = [
        [0, 2, 2, 2, 0],
        [2, 1, 1, 1, 2],
        [2, 1, 1, 1, 2],
        [2, 1, 1, 1, 2],
        [0, 2, 2, 2, 0],
    ]
    np.testing.assert_array_equal(three_class_target(SQUARE), expected)


def test_touching_objects_lose_one_pixel_on_each_side():
    labels = np.repeat([[1, 1, 1, 2, 2, 2]], 3, axis=0)
    expected = np.repeat([[1, 1, 2, 2, 1, 1]], 3, axis=0)
    target = three_class_target(labels)
    np.testing.assert_array_equal(target, expected)
    assert target.dtype == np.uint8


def test_diagonal_contact_counts_as_touching():
    labels = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 2, 2], [0, 0, 2, 2]])
    target = three_class_target(labels)
    assert target[1, 1] == target[2, 2] == 2
    assert target[0, 0] == target[3, 3] == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_three_classes_do_not_depend_on_the_integer_type(dtype):
    # scikit-image 0.26 makes the outline of a lone object border when the labels are int64
    labels = random_blobs().astype(dtype)
    np.testing.assert_array_equal(three_class_target(labels), three_class_target(random_blobs()))
    assert (three_class_target(SQUARE.astype(dtype))[1:4, 1:4] == 1).all()


def test_three_classes_of_a_volume_have_a_ring_in_z_too():
    labels = np.zeros((5, 5, 5), np.int32)
    labels[2, 2, 2] = 7
    expected = np.zeros((5, 5, 5))
    for axis in range(3):
        expected[tuple(slice(1, 4) if a == axis else 2 for a in range(3))] = 2
    expected[2, 2, 2] = 1
    np.testing.assert_array_equal(three_class_target(labels), expected)


def test_a_binary_mask_counts_as_one_object():
    np.testing.assert_array_equal(three_class_target(SQUARE > 0), three_class_target(SQUARE))


# distance


def test_distance_of_a_square_is_worked_out_by_hand():
    # the outer pixels lie 1 from the outside, the centre 2: divided by 2
    expected = np.zeros((5, 5))
    expected[1:4, 1:4] = 0.5
    expected[2, 2] = 1
    target = normalized_distance(SQUARE)
    np.testing.assert_allclose(target, expected)
    assert target.dtype == np.float32


def test_distance_ends_at_the_neighbour_and_at_the_frame():
    labels = np.repeat([[1, 1, 1, 2, 2, 2]], 3, axis=0)
    expected = np.full((3, 6), 0.5)
    expected[1, [1, 4]] = 1
    np.testing.assert_allclose(normalized_distance(labels), expected)


def test_each_object_reaches_one_whatever_its_size():
    labels = np.zeros((20, 30), int)
    labels[1:4, 1:4], labels[2:19, 8:28] = 4, 9
    target = normalized_distance(labels)
    assert target[labels == 4].max() == target[labels == 9].max() == 1
    assert target[labels == 9].min() == pytest.approx(1 / 9)  # 17 rows: the middle is 9 deep


def test_the_small_piece_of_a_label_in_two_never_reaches_one():
    labels = np.zeros((9, 14), int)
    labels[1:8, 1:8] = labels[1:4, 10:13] = 1
    target = normalized_distance(labels)
    assert target[:, :9].max() == 1
    assert target[:, 9:].max() == pytest.approx(2 / 4)


def test_distance_of_a_flat_voxel_stack_uses_the_spacing():
    labels = np.ones((3, 3, 3), int)
    # z steps of 5 um leave the sides in y and x nearest: 1 at the outside, 2 in the centre
    target = normalized_distance(labels, spacing=(5, 1, 1))
    assert target[0, 1, 1] == target[1, 1, 1] == 1
    assert target[1, 0, 1] == 0.5
    assert normalized_distance(labels)[0, 1, 1] == 0.5


def test_distance_agrees_with_a_loop_over_whole_images():
    from scipy.ndimage import distance_transform_edt

    labels = random_blobs()
    expected = np.zeros(labels.shape)
    for k in np.unique(labels[labels > 0]):
        depth = distance_transform_edt(np.pad(labels == k, 1))[1:-1, 1:-1]
        expected += depth / depth.max()
    np.testing.assert_allclose(normalized_distance(labels), expected, rtol=1e-6)


# border


def test_outline_is_inside_and_includes_the_frame():
    expected = np.zeros((5, 5))
    expected[1:4, 1:4] = 1
    expected[2, 2] = 0
    np.testing.assert_array_equal(border_ridge(SQUARE, sigma=0), expected)
    np.testing.assert_array_equal(border_ridge(np.ones((3, 4), int), sigma=0)[1], [1, 0, 0, 1])


def test_outline_uses_direct_neighbours_only():
    labels = np.ones((5, 5), int)
    labels[0, 0] = 0  # (1, 1) touches the outside only over a corner
    assert border_ridge(labels, sigma=0)[1, 1] == 0


def test_touching_objects_have_two_lines_side_by_side():
    labels = np.repeat([[1, 1, 1, 2, 2, 2]], 5, axis=0)
    np.testing.assert_array_equal(border_ridge(labels, sigma=0)[2], [1, 0, 1, 1, 0, 1])


def test_ridge_of_a_straight_edge_has_the_height_of_the_gaussian():
    labels = np.zeros((41, 41), int)
    labels[:, 20:] = 1
    ridge = border_ridge(labels)
    weights = np.exp(-(np.arange(-4, 5) ** 2) / 2)
    assert ridge[20, 20] == pytest.approx(1 / weights.sum(), rel=1e-5)  # 0.399
    assert ridge[20, 21] == pytest.approx(np.exp(-0.5) / weights.sum(), rel=1e-5)
    assert ridge.dtype == np.float32


def test_outline_agrees_with_erosion_of_each_object():
    from scipy.ndimage import binary_erosion

    labels = random_blobs(seed=1)
    expected = np.zeros(labels.shape, bool)
    for k in np.unique(labels[labels > 0]):
        expected |= (labels == k) & ~binary_erosion(labels == k)
    np.testing.assert_array_equal(border_ridge(labels, sigma=0) > 0, expected)


def test_ridge_is_lower_where_it_runs_diagonally():
    # a Gaussian across a line: 1 / sqrt(2 pi); pixels of a diagonal lie sqrt(2) apart
    rows, columns = np.indices((60, 60))
    straight = border_ridge((rows < 30).astype(np.uint8))
    diagonal = border_ridge((rows > columns).astype(np.uint8))
    assert straight[29, 30] == pytest.approx(0.399, abs=0.001)
    assert diagonal[30, 29] == pytest.approx(0.282, abs=0.005)


def test_ridge_is_a_plain_blur_that_fades_at_the_frame():
    from scipy.ndimage import convolve1d

    labels = random_blobs(seed=4)
    kernel = np.exp(-(np.arange(-4, 5) ** 2) / 2)
    expected = (border_ridge(labels, sigma=0) > 0).astype(float)
    for axis in (0, 1):
        expected = convolve1d(expected, kernel / kernel.sum(), axis, mode="constant")
    np.testing.assert_allclose(border_ridge(labels), expected, atol=1e-6)


def test_distance_agrees_with_a_transform_of_each_object_alone():
    from scipy.ndimage import distance_transform_edt

    labels = random_blobs(seed=5)
    expected = np.zeros(labels.shape)
    for k in np.unique(labels[labels > 0]):
        depth = distance_transform_edt(np.pad(labels == k, 1))[1:-1, 1:-1]
        expected += depth / depth.max()
    np.testing.assert_allclose(normalized_distance(labels), expected, atol=1e-6)


def test_negative_blur_is_refused():
    with pytest.raises(ValueError, match="sigma is -1"):
        border_ridge(SQUARE, sigma=-1)


# offsets


@pytest.mark.parametrize("center", ["medoid", "approximate_medoid", "centroid"])
def test_offsets_lead_every_pixel_to_its_centre(center):
    offsets, centers = center_offsets(SQUARE, center=center)
    np.testing.assert_array_equal(centers, [[2, 2]])
    np.testing.assert_array_equal(offsets[0, 1:4, 1:4], [[1] * 3, [0] * 3, [-1] * 3])
    np.testing.assert_array_equal(offsets[1, 1:4, 1:4], [[1, 0, -1]] * 3)
    assert not offsets[:, SQUARE == 0].any()
    assert offsets.dtype == np.float32


def test_centres_come_in_the_order_of_labels_with_gaps():
    labels = np.zeros((3, 9), int)
    labels[:, 6:], labels[:, :3] = 2, 2_000_000_000
    offsets, centers = center_offsets(labels)
    np.testing.assert_array_equal(centers, [[1, 7], [1, 1]])
    np.testing.assert_array_equal(offsets[1, 1], [1, 0, -1, 0, 0, 0, 1, 0, -1])


def test_huge_numbers_without_background_keep_all_objects():
    labels = np.array([[1_000_000, 1_000_000, 2_000_000]])
    np.testing.assert_array_equal(center_offsets(labels)[1], [[0, 0], [0, 2]])


def test_centroid_of_a_crescent_lies_outside_and_medoids_inside():
    labels = np.zeros((9, 9), int)
    labels[1:8, 1:8] = 1
    labels[3:6, 3:8] = 0  # a C open to the right
    inside = {
        name: bool(labels[tuple(center_offsets(labels, center=name)[1][0])])
        for name in ("medoid", "approximate_medoid", "centroid")
    }
    assert inside == {"medoid": True, "approximate_medoid": True, "centroid": False}


@pytest.mark.parametrize("spacing", [None, (3, 1)])
def test_medoid_agrees_with_all_distances(spacing):
    labels = random_blobs(seed=2)
    _, centers = center_offsets(labels, spacing=spacing)
    for k, found in zip(np.unique(labels[labels > 0]), centers, strict=True):
        points = np.argwhere(labels == k)
        total = cdist(points * (spacing or (1, 1)), points * (spacing or (1, 1))).sum(1)
        np.testing.assert_array_equal(found, points[np.argmin(np.round(total, 6))])


def test_offsets_of_a_volume():
    labels = np.zeros((5, 7, 7), int)
    labels[1:4, 2:5, 3:6] = 5
    offsets, centers = center_offsets(labels)
    np.testing.assert_array_equal(centers, [[2, 3, 4]])
    position = np.argwhere(labels)
    ends = position + offsets[:, *position.T].T
    assert (ends == [2, 3, 4]).all()


def test_unknown_centre_lists_the_choices():
    with pytest.raises(ValueError, match="center is 'middle': give one of 'medoid'"):
        center_offsets(SQUARE, center="middle")


# all of them


@pytest.mark.parametrize("make", ALL)
def test_no_object_gives_an_empty_target(make):
    target = make(np.zeros((4, 6), np.uint16))
    target, centers = target if make is center_offsets else (target, np.zeros((0, 2)))
    assert target.shape[-2:] == (4, 6) and not target.any()
    assert centers.shape == (0, 2)


@pytest.mark.parametrize("make", ALL)
def test_the_label_image_is_left_as_it_is(make):
    labels = np.array([[0, 70_000, 70_000], [9, 0, 0]], np.int32)
    before = labels.copy()
    make(labels)
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        pytest.param(np.ones((3, 3)), "dtype float64 .* whole numbers", id="float"),
        pytest.param(np.ones(3, int), r"shape \(3,\)", id="one axis"),
        pytest.param(np.array([[-1, 2]]), "between -1 and 2", id="negative"),
        pytest.param(np.array([[0, 2**31]]), "between 0 and 2147483648", id="too large"),
    ],
)
def test_what_is_no_label_image_is_refused(make, labels, message):
    with pytest.raises(ValueError, match=message):
        make(labels)


@pytest.mark.parametrize("make", [normalized_distance, center_offsets])
def test_spacing_must_fit_the_axes(make):
    with pytest.raises(ValueError, match="spacing is .* for labels of 2 axes"):
        make(SQUARE, spacing=(1, 1, 1))
