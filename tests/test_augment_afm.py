import numpy as np
import pytest

from helpers.augment.afm import (
    add_scan_lines,
    add_tilt,
    augment_map,
    crop_batches,
    random_crop,
    vary_contrast,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def marked(size=32):
    height = np.zeros((size, size), np.float32)
    height[4:14, 6:26] = 100
    return height, (height > 50).astype(np.uint8)


def test_tilt_is_a_plane_around_the_centre():
    plane = add_tilt(np.zeros((21, 31)), rng(), rise=4)
    assert abs(plane[10, 15]) < 1e-6 and plane.dtype == np.float32
    assert np.allclose(np.diff(plane, 2, axis=0), 0, atol=1e-5)
    assert np.allclose(np.diff(plane, 2, axis=1), 0, atol=1e-5)
    assert 0 < abs(plane[0, 15]) <= 4 and 0 < abs(plane[10, 0]) <= 4
    assert not add_tilt(np.zeros((5, 5)), rng(), rise=0).any()


def test_scan_lines_move_whole_rows():
    changed = add_scan_lines(marked()[0], rng(), noise=2, step=1) - marked()[0]
    assert np.ptp(changed, axis=1).max() < 1e-5 and changed[:, 0].std() > 0
    offsets = [
        np.ptp(add_scan_lines(np.zeros((40, 2)), rng(s), noise=0, step=9)) for s in range(60)
    ]
    assert 15 < np.count_nonzero(offsets) < 45  # every second map has a step


def test_contrast_leaves_the_glass():
    height, _ = marked()
    tops = [vary_contrast(height, rng(s)).max() for s in range(40)]
    assert 75 <= min(tops) < 85 and 118 < max(tops) <= 133.4
    assert (vary_contrast(height, rng())[20:] == 0).all()


def test_mask_follows_the_map():
    height, mask = marked()
    for seed in range(12):
        changed, moved = augment_map(height, mask, rng(seed), noise=0.5, probability=0.5)
        assert changed.shape == moved.shape and changed.dtype == np.float32
        assert set(np.unique(moved)) <= {0, 1}
        found = changed > 40
        assert np.mean(found != (moved > 0)) < 0.03
    same = augment_map(height, mask, rng(3), noise=0.5)
    again = augment_map(height, mask, rng(3), noise=0.5)
    assert np.array_equal(same[0], again[0]) and np.array_equal(same[1], again[1])


def test_nothing_comes_from_the_other_end():
    """A slope that wrapped would have its top beside its bottom."""
    height = np.repeat(np.arange(40.0)[:, None], 40, axis=1).astype(np.float32)
    for seed in range(20):
        changed, _ = augment_map(
            height, (height > 20).astype(int), rng(seed), noise=0.0, probability=1
        )
        assert max(np.abs(np.diff(changed, axis=a)).max() for a in (0, 1)) < 3


def test_crop_of_a_small_map_is_mirrored():
    height = np.arange(6.0).reshape(2, 3)
    crop, mask = random_crop(height, height > 2, rng(), size=4)
    assert crop.tolist() == [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [0, 1, 2, 2]]
    assert np.array_equal(mask, crop > 2)
    places = {random_crop(np.arange(25).reshape(5, 5), np.zeros((5, 5)), rng(s), size=4)[0][0, 0]
              for s in range(50)}  # fmt: skip
    assert places == {0, 1, 5, 6}


def test_batches_repeat_by_seed_and_epoch():
    maps = [np.full((20, 20), k, np.float32) for k in range(4)]
    batches = crop_batches(maps, maps, size=8, batch_size=4, seed=1, vary=lambda h, m, r: (h, m))
    x, y = next(iter(batches(0)))
    assert x.shape == y.shape == (4, 8, 8, 1) and x.dtype == y.dtype == np.float32
    assert sorted(x[:, 0, 0, 0]) == [0, 1, 2, 3]  # each map once before one comes again
    assert np.array_equal(next(iter(batches(0)))[0], x)
    firsts = [next(iter(batches(e)))[0][:, 0, 0, 0].tolist() for e in range(6)]
    assert len({tuple(f) for f in firsts}) > 1
    doubled = crop_batches(maps, maps, size=8, batch_size=2, seed=1, finish=lambda h: 2 * h)
    x, y = next(iter(doubled(0)))
    assert np.array_equal(x, 2 * y)


def test_errors():
    with pytest.raises(ValueError, match="1 maps and 0 masks"):
        crop_batches([np.zeros((3, 3))], [], size=2, batch_size=1, seed=0)
