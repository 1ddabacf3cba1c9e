from time import perf_counter

import numpy as np
import pytest

from helpers.embedseg.clustering import cluster_embeddings
from helpers.embedseg.space import EmbeddingSpace

FLAT = EmbeddingSpace((1, 1), reach=50, radius=4)
DEEP = EmbeddingSpace((2.0, 0.5, 0.5), reach=30, radius=2)


def scan(raw, space, *, foreground=0.5, seed=0.9, min_size=0, keep_first=False):
    """The published procedure, step by step over the whole image for every object."""
    embeddings, radii, _ = space.decode(raw)
    logit = raw[..., -1].astype(float)
    member = logit > np.log(foreground / (1 - foreground))
    points, radii, logit = embeddings[member], radii[member], logit[member]
    free, found = np.ones(len(points), bool), np.zeros(len(points), int)
    label = 0
    while free.any():
        k = np.where(free, logit, -np.inf).argmax()
        if logit[k] < np.log(seed / (1 - seed)):
            break
        free[k] = False
        proposal = (((points - points[k]) / radii[k]) ** 2).sum(axis=1) < 1
        if proposal.sum() > min_size and 2 * (proposal & free).sum() > proposal.sum():
            label += 1
            found[proposal & ((found == 0) | (not keep_first))] = label
        free[proposal] = False
    labels = np.zeros(raw.shape[:-1], int)
    labels[member] = found
    return np.unique(np.append(labels.ravel(), 0), return_inverse=True)[1][:-1].reshape(
        labels.shape
    )


def draw_raw(shape, space, *, n=12, noise=1.0, seed=0):
    """Pixels that point to the nearest of `n` places, with errors, and random probabilities."""
    rng = np.random.default_rng(seed)
    place = space.positions(shape)
    centers = rng.uniform(0, 1, (n, space.ndim)) * place.reshape(-1, space.ndim).max(axis=0)
    nearest = ((place[..., None, :] - centers) ** 2).sum(-1).argmin(-1)
    offset = centers[nearest] - place + rng.normal(0, noise, place.shape)
    raw = rng.normal(1, 0.1, (*shape, space.n_channels))
    raw[..., : space.ndim] = np.arctanh(np.clip(offset / space.reach, -0.99, 0.99))
    raw[..., -1] = rng.normal(1, 2, shape)
    return raw.astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "space"), [((40, 50), FLAT), ((7, 20, 24), DEEP)], ids=["image", "volume"]
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"foreground": 0.3, "seed": 0.6, "min_size": 20},
        {"keep_first": True, "seed": 0.5},
        {"foreground": 0.9, "seed": 0.2},
    ],
)
@pytest.mark.parametrize("noise", [0.5, 3.0])
def test_labels_equal_those_of_the_naive_scan(shape, space, options, noise):
    for seed in range(3):
        raw = draw_raw(shape, space, noise=noise, seed=seed)
        found = cluster_embeddings(raw, space, **options)
        np.testing.assert_array_equal(found, scan(raw, space, **options))
        assert found.max() > 3 and found.dtype == np.int32


def test_equal_probabilities_and_wild_offsets_do_not_part_it_from_the_scan():
    raw = draw_raw((30, 30), EmbeddingSpace((1, 1), reach=1e5, radius=4), noise=10)
    raw[..., -1] = np.round(raw[..., -1])  # many ties
    raw[::7, ::5, :2] = 5  # 100,000 pixels away
    raw[3, 3, 2:4] = -3, 9  # radii of 2e9 and 1e-17
    space = EmbeddingSpace((1, 1), reach=1e5, radius=4)
    np.testing.assert_array_equal(cluster_embeddings(raw, space), scan(raw, space))


def make_disks(n_side, pitch=14, radius=5):
    """A grid of touching-free disks, all pixels pointing to their middle."""
    y, x = np.mgrid[:pitch, :pitch] - pitch // 2
    inside = np.hypot(y, x) <= radius
    cell = np.zeros((pitch, pitch, 5), np.float32)
    cell[..., 0], cell[..., 1] = np.arctanh(-y / 50), np.arctanh(-x / 50)
    cell[..., 2:4], cell[..., 4] = 1, np.where(inside, 5 - np.hypot(y, x) / 5, -9)
    return np.tile(cell, (n_side, n_side, 1)), np.tile(inside, (n_side, n_side))


def test_an_image_without_objects_has_none():
    raw = np.zeros((20, 30, 5), np.float32)
    raw[..., 4] = -5
    assert not cluster_embeddings(raw, FLAT).any()
    raw[..., 4] = 1  # foreground, but no seed of 0.9
    assert cluster_embeddings(raw, FLAT).shape == (20, 30)
    assert not cluster_embeddings(raw, FLAT).any()
    assert not cluster_embeddings(np.zeros((0, 9, 5)), FLAT).size


def test_one_object_is_found_whole():
    raw, inside = make_disks(1)
    np.testing.assert_array_equal(cluster_embeddings(raw, FLAT), inside)
    assert not cluster_embeddings(raw, FLAT, min_size=int(inside.sum())).any()
    assert cluster_embeddings(raw, FLAT, min_size=int(inside.sum()) - 1).any()


def test_five_thousand_objects_are_found_quickly():
    raw, inside = make_disks(71)
    start = perf_counter()
    labels = cluster_embeddings(raw, FLAT)
    seconds = perf_counter() - start
    assert labels.max() == 71**2 == 5041
    np.testing.assert_array_equal(labels > 0, inside)
    assert (np.bincount(labels[inside])[1:] == inside[:14, :14].sum()).all()
    assert seconds < 10  # a scan per object takes a minute


def test_a_concave_object_is_one_and_touching_ones_stay_apart():
    labels = np.zeros((30, 30), int)
    labels[2:20, 2:6] = labels[16:20, 2:20] = 1  # an L
    labels[2:16, 6:10] = 2  # inside its elbow
    raw = np.zeros((30, 30, 5))
    place = FLAT.positions(labels.shape)
    for k, center in ((1, (17, 4)), (2, (8, 8))):
        raw[..., :2][labels == k] = np.arctanh((center - place) / 50)[labels == k]
    raw[..., 2:4], raw[..., 4] = 1, np.where(labels, 4 + (labels == 1), -4)
    np.testing.assert_array_equal(cluster_embeddings(raw, FLAT), labels)


def test_the_later_object_takes_shared_pixels_unless_the_first_keeps_them():
    raw = np.zeros((1, 9, 5))
    raw[..., 0:2], raw[..., 2:4] = 0, 1
    raw[0, :, 4] = [3, 3, 3, 9, 3, 3, 3, 8, 3]
    raw[0, 7, 3] = 1 - np.log(5.5 / 4) / 5  # a radius of 5.5: reaches pixels 2 to 8
    # radius 4 around pixel 3 takes 0 to 6; of the seven pixels around 7, four are not free
    assert cluster_embeddings(raw, FLAT)[0].tolist() == [1, 1, 1, 1, 1, 1, 1, 0, 0]
    raw[0, 7, 3] = 1 - np.log(3.5 / 4) / 5  # pixels 4 to 8, 3 of 5 were taken
    raw[0, 3, 3] = 1 - np.log(2.5 / 4) / 5  # pixels 1 to 5: now 6 and 8 are free, 7 counts as taken
    assert cluster_embeddings(raw, FLAT)[0, 4:].tolist() == [1, 1, 0, 0, 0]
    raw[0, 3, 3] = 1 - np.log(1.5 / 4) / 5  # pixels 2 to 4: then 5, 6 and 8 are free
    assert cluster_embeddings(raw, FLAT)[0, 2:].tolist() == [1, 1, 2, 2, 2, 2, 2]
    assert cluster_embeddings(raw, FLAT, keep_first=True)[0, 2:].tolist() == [1] * 3 + [2] * 4


def test_distances_in_a_volume_are_in_micrometres():
    raw = np.zeros((9, 9, 9, 7))
    raw[..., 3:6], raw[..., 6] = 1, 3
    raw[4, 4, 4, 6] = 9
    labels = cluster_embeddings(raw, DEEP, seed=0.99)
    z, y, x = np.nonzero(labels)
    away = np.hypot((z - 4) * 2.0, np.hypot((y - 4) * 0.5, (x - 4) * 0.5))
    assert away.max() < 2 and len(away) == ((np.hypot(*np.indices((9, 9)) - 4) * 0.5) < 2).sum()


@pytest.mark.parametrize(
    ("raw", "options", "message"),
    [
        (np.zeros((4, 4, 7)), {}, "YXC with 5 channels"),
        (np.full((4, 4, 5), np.inf), {}, "not finite|infinite"),
        (np.zeros((4, 4, 5)), {"seed": 1.5}, "seed is 1.5: give a probability"),
        (np.zeros((4, 4, 5)), {"foreground": np.nan}, "foreground is nan"),
    ],
)
def test_impossible_arguments_are_refused(raw, options, message):
    with pytest.raises(ValueError, match=message):
        cluster_embeddings(raw, FLAT, **options)
