import threading
import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from helpers.tiles import (
    fit_tile_shape,
    plan_blocks,
    plan_windows,
    predict_block,
    predict_tiled,
    restore_vectors,
    turns,
)


def make_image(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def keep(batch):
    return batch


def add_up_weights(windows):
    """Sum of all windows' weights, by a plain loop."""
    total = np.zeros([s + 2 * t for s, t in zip(windows.shape, windows.tile_shape, strict=True)])
    for numbers in np.ndindex(*map(len, windows.starts)):
        weight = np.ones(windows.tile_shape)
        place = []
        for axis, number in enumerate(numbers):
            sides = [-1 if a == axis else 1 for a in range(len(numbers))]
            weight = weight * windows.weights[axis][number].reshape(sides)
            start = windows.starts[axis][number] + windows.tile_shape[axis]
            place.append(slice(start, start + windows.tile_shape[axis]))
        total[tuple(place)] += weight
    return total


class Lazy:
    """An array on disk as zarr shows it: a shape and slices; counts what is read and written."""

    def __init__(self, array):
        self.array, self.shape = array, array.shape
        self.largest_read, self.writes = 0, np.zeros(array.shape, int)

    def __getitem__(self, box):
        self.largest_read = max(self.largest_read, self.array[box].size)
        return self.array[box]

    def __setitem__(self, box, values):
        self.array[box] = values
        self.writes[box] += 1


# where the windows lie


def test_windows_of_a_line_are_worked_out_by_hand():
    windows = plan_windows((11, 4), (6, 4), 2, margin=0)
    # 11 pixels: windows 0-5, 2-7 or 3-8, 5-10; one pixel more than 6 + 4, so a third window
    assert windows.starts[0].tolist() == [0, 2, 5]
    assert windows.starts[1].tolist() == [0]
    assert len(windows) == 3
    first = windows.weights[0][0]
    assert first[:2].tolist() == [1, 1]  # no other window reaches the first two pixels
    # raw weights rise over 2 pixels: sin^2 of 22.5 degrees is the first
    low = np.sin(np.pi / 8) ** 2
    assert first[2] == pytest.approx(1 / (1 + low))
    assert first[5] == pytest.approx(low / (low + 1 + low))  # pixel 5: all three windows


def test_a_window_counts_nothing_in_its_margin_but_up_to_the_border_of_the_image():
    windows = plan_windows((20, 30), (20, 12), (0, 8), margin=(0, 3))
    columns = windows.weights[1]
    assert (columns[1:, :3] == 0).all() and (columns[:-1, -3:] == 0).all()
    assert columns[0, 0] == columns[-1, -1] == 1
    assert windows.reach((0, 0))[1][0] == 0 and windows.reach((0, len(columns) - 1))[1][1] == 30


@pytest.mark.parametrize(
    ("overlap", "step"), [(0, 1), (1, 1), (4, 1), (7, 1), (15, 1), (0, 4), (7, 4), (12, 4)]
)
def test_weights_sum_to_one_for_every_length(overlap, step):
    for length in range(1, 100):
        windows = plan_windows((length, 16), (16, 16), overlap, step=step)
        np.testing.assert_allclose(
            add_up_weights(windows)[16:-16, 16:-16], 1, atol=3e-7, err_msg=f"length {length}"
        )
        if length >= 16:
            starts = windows.starts[0]
            assert starts[0] == 0 and starts[-1] == length - 16
            assert (np.diff(starts) <= 16 - overlap).all() and (starts[:-1] % step == 0).all()


def test_weights_of_a_volume_sum_to_one_and_are_nothing_outside():
    windows = plan_windows((5, 33, 18), (8, 16, 16), (2, 8, 5))
    total = add_up_weights(windows)
    np.testing.assert_allclose(total[8:-8, 16:-16, 16:-16], 1, atol=3e-7)
    total[8:-8, 16:-16, 16:-16] = 0
    assert not total.any()


def test_as_few_windows_as_the_overlap_allows():
    assert [len(plan_windows((n, 8), (8, 8), 2)) for n in (8, 9, 14, 15, 20)] == [1, 2, 2, 3, 3]


def test_smallest_windows_are_worked_out_by_hand():
    # 1024: (1024 - 32) / (256 - 32) = 4.4, five windows; 992 / 5 + 32 = 230.4, up to 240
    assert fit_tile_shape((1024, 768), (256, 256), 32, divisor=16) == (240, 224)
    assert fit_tile_shape((1024, 768), (256, 256), 32, divisor=16, square=True) == (240, 240)
    assert fit_tile_shape((5, 100, 256), (16, 64, 64), (0, 0, 16), divisor=(1, 8, 8)) == (5, 56, 64)


@pytest.mark.parametrize("overlap", [0, 3, 10])
def test_smallest_windows_are_as_few_and_never_larger(overlap):
    for length in range(1, 80):
        fitted = fit_tile_shape((length, 16), (16, 16), overlap, divisor=4)
        assert fitted[0] <= 16 and fitted[0] % 4 == 0
        before, after = (plan_windows((length, 16), t, overlap) for t in ((16, 16), fitted))
        assert len(after.starts[0]) == len(before.starts[0]) or length <= fitted[0]


# identity: stitching gives back the image


@pytest.mark.parametrize("overlap", [0, 5, 12])
@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize(
    "shape",
    [(16, 16), (17, 16), (37, 53), (64, 48), (3, 40), (1, 1), (7, 5), (100, 2)],
)
def test_identity_gives_back_an_image(shape, overlap, tta):
    image = make_image(*shape)
    stitched = predict_tiled(keep, image, tile_shape=(16, 16), overlap=overlap, tta=tta)
    assert stitched.shape == (*shape, 1) and stitched.dtype == np.float32
    np.testing.assert_allclose(stitched[..., 0], image, atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 16, 16), (11, 29, 17), (3, 20, 40), (1, 1, 1), (20, 5, 33)])
@pytest.mark.parametrize("tta", [False, True])
def test_identity_gives_back_a_volume_with_channels(shape, tta):
    image = make_image(*shape, 2)
    options = {"tile_shape": (8, 16, 16), "overlap": (2, 7, 4), "batch_size": 3, "tta": tta}
    np.testing.assert_allclose(predict_tiled(keep, image, **options), image, atol=1e-6)


def test_whole_numbers_come_to_the_network_as_they_are():
    image = np.full((20, 20), 200, np.uint8)
    seen = predict_tiled(lambda x: x / 255, image, tile_shape=(16, 16), overlap=4)
    np.testing.assert_allclose(seen, 200 / 255, rtol=1e-6)


def test_the_network_sees_full_windows_in_batches_of_one_shape_only():
    shapes = []

    def watch(batch):
        shapes.append(batch.shape)
        return batch[..., :1]

    predict_tiled(watch, make_image(40, 9, 2), tile_shape=(16, 16), overlap=4, batch_size=2)
    assert shapes == [(2, 16, 16, 2)] * 2  # three windows, the last batch filled up


def test_small_images_are_reflected_around_their_middle():
    seen = []
    image = np.array([[1.0, 2, 3]])
    predict_tiled(lambda x: seen.append(x) or x, image, tile_shape=(1, 6), overlap=0)
    assert seen[0][0, 0, :, 0].tolist() == [2, 1, 2, 3, 2, 1]


# seams


def blur(batch, radius=2):
    """A convolution that looks `radius` pixels far and sees zeros outside, as networks do."""
    kernel = np.arange(1.0, (2 * radius + 1) ** 2 + 1).reshape(2 * radius + 1, -1)
    return ndimage.correlate(batch, kernel[None, ..., None] / kernel.sum(), mode="constant")


@pytest.mark.parametrize("shape", [(16, 16), (50, 61), (33, 16), (97, 17)])
def test_windows_show_no_seam_if_the_margin_covers_what_the_network_sees(shape):
    image = make_image(*shape)
    whole = blur(image[None, ..., None])[0]
    tiled = predict_tiled(blur, image, tile_shape=(16, 16), overlap=8, batch_size=4)
    np.testing.assert_allclose(tiled, whole, atol=1e-6)
    narrow = predict_tiled(blur, image, tile_shape=(16, 16), overlap=8, margin=0)
    assert shape == (16, 16) or np.abs(narrow - whole).max() > 1e-3  # the test can fail


def test_a_step_keeps_the_grid_of_a_network_that_pools():
    def pool(batch):
        """Mean of 4 x 4 pixels, spread again: exact only on its own grid."""
        n, y, x, c = batch.shape
        mean = batch.reshape(n, y // 4, 4, x // 4, 4, c).mean((2, 4), keepdims=True)
        return np.broadcast_to(mean, (n, y // 4, 4, x // 4, 4, c)).reshape(batch.shape)

    image = make_image(44, 60)
    whole = pool(image[None, ..., None])[0]
    options = {"tile_shape": (16, 16), "overlap": 5, "margin": 0}
    np.testing.assert_allclose(predict_tiled(pool, image, step=4, **options), whole, atol=1e-6)
    assert np.abs(predict_tiled(pool, image, **options) - whole).max() > 0.01


def test_blending_is_smooth_where_windows_disagree():
    calls = iter(range(100))

    def count(batch):
        return np.full_like(batch, next(calls))

    line = predict_tiled(count, np.zeros((8, 40)), tile_shape=(8, 16), overlap=(0, 12))[3, :, 0]
    assert line[0] == 0 and line[-1] == 6
    assert (np.diff(line) >= -1e-6).all() and np.diff(line).max() < 0.7  # steps, but no jump of 1


# turns


@pytest.mark.parametrize(("ndim", "square", "n"), [(2, 1, 8), (3, 1, 16), (2, 0, 4), (3, 0, 8)])
def test_turns_are_distinct_and_turn_back(ndim, square, n):
    batch = make_image(2, *(4, 5, 5)[-ndim:], 3)
    found = turns(ndim, square=bool(square))
    assert len(found) == len({turn.apply(batch).tobytes() for turn in found}) == n
    np.testing.assert_array_equal(found[0].apply(batch), batch)
    for turn in found:
        np.testing.assert_array_equal(turn.invert(turn.apply(batch)), batch)
        np.testing.assert_array_equal(turn.matrix @ turn.matrix.T, np.eye(ndim))


def test_turns_agree_with_rotations_and_mirrors():
    batch = make_image(1, 4, 5, 5, 1)
    expected = {
        np.rot90(mirrored, k, axes=(2, 3)).tobytes()
        for z in (batch, batch[:, ::-1])
        for mirrored in (z, z[:, :, ::-1])
        for k in range(4)
    }
    assert {turn.apply(batch).tobytes() for turn in turns(3)} == expected


def test_turns_move_whole_planes_of_oblong_images():
    batch = make_image(1, 4, 6, 1)
    turned = {turn.apply(batch).shape for turn in turns(2)}
    assert turned == {(1, 4, 6, 1), (1, 6, 4, 1)}


def test_turns_of_a_line_are_refused():
    with pytest.raises(ValueError, match="ndim is 1: give 2"):
        turns(1)


def smooth_volume(batch):
    """Looks the same from all sides, so that turning makes no difference."""
    return ndimage.gaussian_filter(batch, (0, *[1] * (batch.ndim - 2), 0), radius=2) ** 2


@pytest.mark.parametrize(("shape", "tile"), [((33, 41), (16, 16)), ((11, 20, 17), (8, 12, 12))])
def test_turns_change_nothing_for_an_equivariant_network(shape, tile):
    options = {"tile_shape": tile, "overlap": 4}
    plain = predict_tiled(smooth_volume, make_image(*shape), **options)
    turned = predict_tiled(smooth_volume, make_image(*shape), tta=True, **options)
    np.testing.assert_allclose(turned, plain, atol=1e-6)


def test_turns_average_what_depends_on_direction():
    def step_along_x(batch):
        return np.roll(batch, 1, axis=2)

    image = np.zeros((5, 5))
    image[2, 2] = 1
    mean = predict_tiled(step_along_x, image, tile_shape=(5, 5), overlap=0, tta=True)[..., 0]
    expected = np.zeros((5, 5))
    expected[[1, 3, 2, 2], [2, 2, 1, 3]] = 0.25  # the step in all four directions
    np.testing.assert_allclose(mean, expected)


def test_a_choice_of_turns_is_used():
    calls = []
    predict_tiled(
        lambda x: calls.append(1) or x,
        make_image(8, 12),
        tile_shape=(8, 12),
        overlap=0,
        tta=turns(2, square=False),
    )
    assert len(calls) == 4


@pytest.mark.parametrize("shape", [(12, 12), (4, 12, 12)])
def test_restored_vectors_point_as_in_the_image(shape):
    ndim = len(shape)

    def slope(batch):
        """Gradient of the image: a vector that turns with it; the last channel does not."""
        steps = [np.gradient(batch[..., 0], axis=1 + axis) for axis in range(ndim)]
        return np.stack([*steps, batch[..., 0]], axis=-1)

    image = ndimage.gaussian_filter(make_image(*shape), 1)
    options = {"tile_shape": shape, "overlap": 0}
    plain = predict_tiled(slope, image, **options)
    mended = predict_tiled(slope, image, tta=True, restore=restore_vectors, **options)
    np.testing.assert_allclose(mended, plain, atol=1e-6)
    naive = predict_tiled(slope, image, tta=True, **options)
    assert np.abs(naive[..., :ndim]).max() < 1e-6 < np.abs(plain[..., :ndim]).max()


def test_vectors_may_lie_in_other_channels():
    turn = turns(2)[5]
    assert (turn.axes, turn.signs) == ((1, 0), (1, -1))
    prediction = np.array([[[[9.0, 3.0, 5.0]]]])
    # turned axes are (x, -y): the component along the first is vx = 3, the second -vy = 5
    restored = restore_vectors(prediction, turn, channels=(1, 2))
    assert restored.tolist() == [[[[9, -5, 3]]]]
    with pytest.raises(ValueError, match=r"channels is \[0, 3\] for 2 axes and 3 predicted"):
        restore_vectors(prediction, turn, channels=(0, 3))


def test_oblong_windows_cannot_be_turned():
    with pytest.raises(ValueError, match=r"swap Y and X: .* tta=turns\(2, square=False\)"):
        predict_tiled(keep, make_image(20, 20), tile_shape=(8, 16), overlap=2, tta=True)


# lazy arrays, blocks, memory


@pytest.mark.parametrize("memory_limit", [1e9, 1])
@pytest.mark.parametrize("shape", [(61, 83), (23, 40, 50)])
def test_rows_are_written_once_into_an_array_on_disk(tmp_path, shape, memory_limit):
    tile = (16, 16, 16)[-len(shape) :]
    np.save(tmp_path / "image.npy", (make_image(*shape) * 255).astype(np.uint8))
    image = Lazy(np.load(tmp_path / "image.npy", mmap_mode="r"))
    file = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.float32, (*shape, 1))
    out = Lazy(file)
    options = {"tile_shape": tile, "overlap": 8, "batch_size": 2}
    assert predict_tiled(keep, image, out=out, memory_limit=memory_limit, **options) is out
    assert (out.writes == 1).all()
    assert image.largest_read <= np.prod(tile)
    np.testing.assert_allclose(file[..., 0], image.array, rtol=1e-6)


def test_chunked_files_are_read_and_written_in_place(tmp_path):
    h5py = pytest.importorskip("h5py")
    values = (make_image(11, 40, 33, 2) * 255).astype(np.uint8)
    with h5py.File(tmp_path / "volume.h5", "w") as file:
        image = file.create_dataset("image", data=values, chunks=(4, 16, 16, 1))
        out = file.create_dataset("out", values.shape[:3], np.uint8, chunks=(4, 16, 16))
        predict_tiled(
            keep,
            image,
            tile_shape=(8, 16, 16),
            overlap=4,
            out=out,
            finish=lambda p: np.rint(p[..., 1]),
            memory_limit=1,
        )
        np.testing.assert_array_equal(out[:], values[..., 1])


def test_memory_maps_keep_their_values_when_their_pages_are_given_back(tmp_path):
    image = np.memmap(tmp_path / "image", np.uint8, "w+", shape=(90, 70))
    image[:] = np.arange(70)
    out = np.memmap(tmp_path / "out", np.float32, "w+", shape=(90, 70))
    predict_tiled(keep, image, tile_shape=(16, 16), overlap=4, out=out)
    np.testing.assert_allclose(out, np.tile(np.arange(70), (90, 1)), rtol=1e-6)
    private = np.memmap(tmp_path / "image", np.uint8, "c", shape=(90, 70))
    private[:] = 3  # lives in memory alone
    result = predict_tiled(keep, private, tile_shape=(16, 16), overlap=4)
    np.testing.assert_allclose(result, 3, rtol=1e-6)


def test_finished_rows_may_be_stored_as_a_mask():
    image = make_image(40, 33)
    mask = np.zeros((40, 33), bool)
    options = {"tile_shape": (16, 16), "overlap": 4, "finish": lambda p: p[..., 0] > 0.5}
    predict_tiled(keep, image, out=mask, **options)
    np.testing.assert_array_equal(mask, image > 0.5)
    result = predict_tiled(keep, image, **options)
    assert result.dtype == bool and result.shape == (40, 33)


class Endless:
    """A volume that takes no memory; remembers nothing of what is written to it."""

    def __init__(self, *shape):
        self.shape, self.n_written = shape, 0

    def __getitem__(self, box):
        return np.ones([side.stop - side.start for side in box], np.uint8)

    def __setitem__(self, box, values):
        self.n_written += values.size


@pytest.mark.parametrize("depth", [64, 256])
def test_memory_does_not_grow_with_the_volume(depth):
    image, out = Endless(depth, 96, 96), Endless(depth, 96, 96, 1)
    options = {"tile_shape": (16, 48, 48), "overlap": (4, 16, 16)}
    tracemalloc.start()
    predict_tiled(keep, image, out=out, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert out.n_written == depth * 96 * 96
    # rows in work 16 x 96 x 96 float32 = 0.6 MB, a few windows of 0.15 MB
    assert peak < 1.5e6


def test_memory_does_not_grow_with_the_plane_either():
    image, out = Endless(16, 384, 384), Endless(16, 384, 384, 1)
    tracemalloc.start()
    predict_tiled(
        keep, image, out=out, tile_shape=(16, 48, 48), overlap=8, memory_limit=1e6
    )  # all rows at once would be 9.4 MB
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert out.n_written == 16 * 384 * 384
    assert peak < 2e6


@pytest.mark.parametrize(
    ("shape", "tile", "block"),
    [((61, 83), (16, 16), (20, 33)), ((25, 40, 50), (8, 16, 16), (9, 17, 64))],
)
def test_blocks_in_any_order_equal_the_whole(shape, tile, block):
    image = make_image(*shape, 2)
    options = {"tile_shape": tile, "overlap": 6, "batch_size": 3, "tta": True}
    whole = predict_tiled(blur if len(shape) == 2 else np.square, image, **options)
    parts = np.full_like(whole, np.nan)
    for box in reversed(plan_blocks(shape, block)):
        parts[box] = predict_block(blur if len(shape) == 2 else np.square, image, box, **options)
    np.testing.assert_array_equal(parts, whole)


def test_workers_share_an_image_by_blocks():
    image, parts = make_image(70, 90), np.zeros((70, 90, 1), np.float32)
    options = {"tile_shape": (16, 16), "overlap": 8}
    boxes = plan_blocks((70, 90), (32, 32))

    def work(mine):
        for box in mine:
            parts[box] = predict_block(blur, image, box, **options)

    workers = [threading.Thread(target=work, args=(boxes[i::2],)) for i in range(2)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    np.testing.assert_array_equal(parts, predict_tiled(blur, image, **options))


def test_a_block_reads_and_predicts_only_its_own_windows():
    calls = []
    box = np.s_[16:32, 16:32]
    image = make_image(1000, 1000)
    predict_block(lambda x: calls.append(1) or x, image, box, tile_shape=(16, 16), overlap=0)
    assert len(calls) <= 4


def test_blocks_fill_the_shape():
    seen = np.zeros((7, 5), int)
    for box in plan_blocks((7, 5), (3, 2)):
        seen[box] += 1
    assert (seen == 1).all() and len(plan_blocks((7, 5), (3, 2))) == 9


# Keras


def test_a_keras_model_is_predicted_by_windows_and_seams_stay_invisible():
    import keras

    keras.utils.set_random_seed(1)
    image = keras.Input((None, None, 2))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    model = keras.Model(image, keras.layers.Conv2D(3, 3, padding="same")(x))
    values = make_image(41, 50, 2)
    whole = model.predict(values[None], verbose=0)[0]
    tiled = predict_tiled(model, values, tile_shape=(16, 16), overlap=8, batch_size=4)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    assert np.abs(whole).max() > 0.1


# errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"overlap": 16}, "overlap must be at least twice the margin", id="overlap"),
        pytest.param({"overlap": 4, "margin": 3}, "at least twice the margin", id="margin"),
        pytest.param({"overlap": 10, "step": 8}, "smaller than the window by", id="step"),
        pytest.param({"overlap": 1, "tta": turns(3)}, "transforms of other axes", id="tta"),
        pytest.param({"overlap": (1, 2, 3)}, "overlap is .* for windows of 2 axes", id="axes"),
        pytest.param(
            {"overlap": 1, "out": np.zeros((5, 20))}, r"out has shape \(5, 20\)", id="out"
        ),
        pytest.param({"overlap": 1, "tile_shape": (4, 4, 4)}, "image has shape", id="3D"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        predict_tiled(keep, make_image(20, 20), **{"tile_shape": (16, 16)} | options)


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        pytest.param(lambda x: [x, x], "predict gives list", id="two outputs"),
        pytest.param(lambda x: x[:, ::2], r"predict gives shape \(1, 8, 16, 1\)", id="smaller"),
        pytest.param(lambda x: x[..., 0], r"predict gives shape \(1, 16, 16\)", id="no channel"),
    ],
)
def test_predictions_of_another_shape_are_refused(predict, message):
    with pytest.raises(ValueError, match=message):
        predict_tiled(predict, make_image(20, 20), tile_shape=(16, 16), overlap=2)


def test_a_block_outside_of_the_image_is_refused():
    with pytest.raises(ValueError, match="block is .* give a box of at least one pixel inside"):
        predict_block(keep, make_image(20, 20), np.s_[30:40, 0:5], tile_shape=(16, 16), overlap=2)
