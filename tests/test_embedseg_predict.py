import numpy as np
import pytest
from scipy.ndimage import correlate

from helpers.embedseg.clustering import cluster_embeddings
from helpers.embedseg.predict import predict_embedseg, predict_raw, restore_raw
from helpers.embedseg.sliced import predict_sliced, sliced_space
from helpers.embedseg.space import EmbeddingSpace
from helpers.embedseg.thresholds import EmbedAP, smallest_object, tune_embedseg_thresholds
from helpers.tiles.orientations import turns

SPACES = {2: EmbeddingSpace((1, 1), reach=60, radius=2), 3: EmbeddingSpace((2, 1, 1), reach=60)}


def draw_objects(shape, *, n=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for k in range(1, n + 1):
        away = (np.indices(shape).T - rng.uniform(0, shape)) / rng.uniform(3, 8, len(shape))
        labels[(away**2).sum(-1).T < 1] = k
    return labels


def know_all(batch):
    """A perfect network: its image is the labels, its output their true offsets and sizes."""
    ndim = batch.ndim - 2
    space = SPACES[ndim]
    raw = np.zeros((*batch.shape[:-1], space.n_channels), np.float32)
    raw[..., ndim:-1], raw[..., -1] = 1, -6
    for image, out in zip(batch[..., 0], raw, strict=True):
        place = space.positions(image.shape)
        for k in np.unique(image[image > 0]):
            member = image == k
            points = place[member]
            out[member, :ndim] = np.arctanh((points.mean(axis=0) - points) / space.reach)
            out[member, ndim:-1] = 1 + np.ptp(points, axis=0) / 100
            out[member, -1] = 3 + k / 10
    return raw


def filter_locally(batch):
    """A network that knows right from left: 5 or 7 random filters, 3 pixels wide."""
    ndim = batch.ndim - 2
    kernels = np.random.default_rng(0).normal(size=(2 * ndim + 1, *[3] * ndim))
    return np.stack(
        [
            np.stack([correlate(image[..., 0], k, mode="mirror") for k in kernels], axis=-1)
            for image in batch
        ]
    )


SHAPES = [(40, 40), (37, 51), (16, 24, 24)]


@pytest.mark.parametrize("shape", SHAPES)
def test_averaging_over_turns_leaves_a_perfect_prediction_as_it_is(shape):
    labels, ndim = draw_objects(shape), len(shape)
    plain = predict_raw(know_all, labels, ndim=ndim)
    averaged = predict_raw(know_all, labels, ndim=ndim, tta=True)
    if all(side % 8 == 0 for side in shape):  # elsewhere mirrored parts of objects are added
        np.testing.assert_allclose(averaged, plain, atol=1e-6)
        assert not np.allclose(plain[..., ndim], plain[..., ndim + 1])
    assert averaged.shape == (*shape, 2 * ndim + 1)


@pytest.mark.parametrize("ndim", [2, 3])
def test_each_turn_restores_offsets_and_sigmas_by_itself(ndim):
    image = draw_objects((16, 24, 24)[-ndim:])[None, ..., None].astype(float)
    plain = know_all(image)
    several = turns(ndim)
    assert len(several) == {2: 8, 3: 16}[ndim]
    for turn in several:
        turned = know_all(turn.apply(image))
        found = restore_raw(turn.invert(turned), turn)
        np.testing.assert_allclose(found, plain, atol=1e-6)
        if turn != several[0]:
            assert not np.allclose(turned, plain)


@pytest.mark.parametrize("shape", [(24, 24), (8, 16, 16)])
def test_the_average_over_turns_turns_with_the_image(shape):
    ndim = len(shape)
    image = np.random.default_rng(1).normal(size=shape)
    expected = predict_raw(filter_locally, image, ndim=ndim, tta=True)
    plain = predict_raw(filter_locally, image, ndim=ndim)
    assert not np.allclose(plain, expected)
    for turn in turns(ndim):
        turned = turn.apply(image[None, ..., None])[0]
        found = predict_raw(filter_locally, turned, ndim=ndim, tta=True)
        found = restore_raw(turn.invert(found[None]), turn)[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "tile"), [((50, 61), (24, 32)), ((20, 33, 40), (16, 16, 24)), ((5, 9), (16, 16))]
)
def test_tiles_give_what_the_whole_image_gives(shape, tile):
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    whole = predict_raw(filter_locally, image, ndim=len(shape))
    tiled = predict_raw(filter_locally, image, ndim=len(shape), tile_shape=tile, overlap=8)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    expected = filter_locally(image[None, ..., None])[0]
    np.testing.assert_allclose(whole, expected, atol=1e-5)


def test_large_images_are_tiled_by_default():
    seen = set()

    def record(batch):
        seen.add(batch.shape[1:3])
        return np.zeros((*batch.shape[:-1], 5), np.float32)

    assert predict_raw(record, np.zeros((300, 1900)), ndim=2).shape == (300, 1900, 5)
    assert seen == {(304, 768)}


@pytest.mark.parametrize("shape", [(40, 48), (16, 24, 32)])
def test_objects_come_back_from_a_perfect_prediction(shape):
    labels = draw_objects(shape)
    found = predict_embedseg(know_all, labels, SPACES[len(shape)], thresholds={"seed": 0.6})
    assert set(zip(found.ravel(), labels.ravel(), strict=True)) == {
        (found[labels == k][0], k) for k in np.unique(labels)
    }


def show_slopes(batch):
    """Offsets are the slopes along the two axes of the slice, sigmas their squares."""
    slopes = [np.gradient(batch[..., 0], axis=axis) for axis in (1, 2)]
    return np.stack([*slopes, *(s**2 for s in slopes), batch[..., 0]], axis=-1)


def test_sliced_channels_belong_to_their_axes():
    volume = np.random.default_rng(0).normal(size=(8, 16, 24)).astype(np.float32)
    raw = predict_sliced(show_slopes, volume)
    slopes = np.gradient(volume)
    expected = np.stack([*slopes, *(s**2 for s in slopes), volume], axis=-1)
    np.testing.assert_allclose(raw, expected, atol=1e-5)


def test_slices_are_stretched_to_square_pixels():
    volume = np.broadcast_to(np.arange(9.0)[:, None, None], (9, 8, 8))
    raw = predict_sliced(show_slopes, volume, anisotropy=2)
    # a step of 1 per slice is 0.5 per stretched row; both ends are mirrored to fill 24 rows
    np.testing.assert_allclose(raw[1:-1, ..., 0], 0.5, atol=1e-6)
    np.testing.assert_allclose(raw[..., 1:3], 0, atol=1e-6)
    np.testing.assert_allclose(raw[..., -1], volume, atol=1e-6)
    assert predict_sliced(show_slopes, volume[:1], anisotropy=3).shape == (1, 8, 8, 7)


def test_a_2d_network_finds_balls_in_a_volume_with_coarse_steps():
    z, y, x = np.indices((12, 40, 40))
    labels = np.zeros(z.shape, np.int32)
    for k, (cz, cy, cx) in enumerate([(5, 11, 12), (6, 28, 27)], start=1):
        labels[((z - cz) * 2) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < 8**2] = k
    space = sliced_space(EmbeddingSpace((1, 1), reach=60, radius=3), 2)

    def know_slices(batch):
        return know_all(np.round(batch))  # stretching mixes labels and background

    raw = predict_sliced(know_slices, labels, anisotropy=2)
    found = cluster_embeddings(raw, space, foreground=0.5)
    assert found.max() == 2
    for k in (1, 2):
        best = np.bincount(found[labels == k]).argmax()
        overlap = ((found == best) & (labels == k)).sum() / ((found == best) | (labels == k)).sum()
        assert best > 0 and overlap > 0.8


def make_tuning_case(*, seed=0.75, ring=0.55):
    """A square of probability `seed` in a wider one of probability `ring`, all to the middle."""
    labels = np.zeros((20, 20), np.int32)
    labels[6:13, 6:13] = 1
    raw = know_all(np.pad(labels[6:13, 6:13], 3, mode="edge")[None, ..., None])[0]
    raw = np.pad(raw, [(3, 4), (3, 4), (0, 0)], constant_values=-6)
    raw[..., 2:4] = 0.5
    raw[3:16, 3:16, -1] = np.log(ring / (1 - ring))
    raw[6:13, 6:13, -1] = np.log(seed / (1 - seed))
    return raw, labels


def test_tuning_finds_the_thresholds_that_fit():
    raw, labels = make_tuning_case()
    best = tune_embedseg_thresholds([raw], [labels], SPACES[2], min_size=3)
    # 0.55 must be out and 0.75 must start an object: of such pairs the first in the grid
    assert best == {"min_size": 3, "foreground": 0.6, "seed": 0.7}
    np.testing.assert_array_equal(cluster_embeddings(raw, SPACES[2], **best), labels)
    sure = make_tuning_case(seed=0.97, ring=0.1)
    best = tune_embedseg_thresholds([sure[0]], [sure[1]], SPACES[2])
    assert best == {"foreground": 0.5, "seed": 0.9}
    grid = {"min_size": [10, 100]}
    assert tune_embedseg_thresholds([sure[0]], [sure[1]], SPACES[2], grid=grid)["min_size"] == 10
    with pytest.raises(ValueError, match="at least one image"):
        tune_embedseg_thresholds([], [], SPACES[2])


def test_checkpoint_score_is_one_for_a_perfect_network_and_zero_for_none():
    labels = [draw_objects((40, 40), seed=seed) for seed in (0, 1)]
    score = EmbedAP(labels, labels, SPACES[2], max_pixels=1000)
    assert len(score.images) == 1
    assert score(know_all) == {"val_ap": 1.0}
    assert score(lambda batch: know_all(batch * 0)) == {"val_ap": 0.0}


def test_smallest_object_counts_pixels():
    assert smallest_object([np.array([[1, 1, 1, 2, 2, 0]]), np.array([[0, 5, 5, 5]])]) == 2
    assert smallest_object([np.zeros((3, 3), int)]) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: predict_raw(know_all, np.zeros((9, 9)), ndim=2, tile_shape=(12, 8)), "multiples"),
        (lambda: predict_raw(know_all, np.zeros((9, 9)), ndim=2, tile_shape=(8,)), "give 2 mult"),
        (lambda: sliced_space(EmbeddingSpace((2, 1))), "give that of a 2D network"),
        (lambda: sliced_space(SPACES[2], 0), "anisotropy is 0"),
        (lambda: predict_sliced(know_all, np.zeros((4, 4))), "give axes ZYX"),
    ],
)
def test_impossible_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
