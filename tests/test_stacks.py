"""Slices become volumes, and splits of one volume never share neighbouring slices."""

import numpy as np
import pytest
import tifffile

from helpers.datasets import Split
from helpers.doctor import require_healthy
from helpers.em.stacks import check_stacks, cut_slices, join_slices, load_stacks


def make_split(names, shape=(8, 9), **options):
    images = [np.full(shape, i, np.uint16) for i, _ in enumerate(names)]
    return Split("train", list(names), images, [np.zeros(shape, np.int32)] * len(names), **options)


def test_neighbouring_slices_become_one_volume():
    split = join_slices(make_split(["b3", "a09", "a10", "a12", "b2", "c"]))
    assert split.names == ["a09-10", "a12", "b2-3", "c"]
    assert [len(volume) for volume in split.images] == [2, 1, 2, 1]
    assert [volume[:, 0, 0].tolist() for volume in split.images] == [[1, 2], [3], [4, 0], [5]]
    assert [mask.shape for mask in split.masks] == [volume.shape for volume in split.images]


def test_volumes_stay_and_slices_of_other_shapes_are_not_joined():
    volumes = make_split(["v1", "v2"], (4, 8, 9), pixel_size_um=(0.03, 0.004, 0.004))
    assert [v.shape for v in join_slices(volumes).images] == [(4, 8, 9)] * 2
    assert join_slices(volumes).pixel_size_um == (0.03, 0.004, 0.004)
    mixed = make_split(["s1", "s2"], pixel_size_um=(0.004, 0.004))
    mixed.images[1] = np.zeros((8, 8))
    assert len(join_slices(mixed)) == 2
    assert join_slices(mixed).pixel_size_um is None  # the thickness is not known


@pytest.mark.parametrize("n", [30, 31, 47, 165])
def test_runs_fill_the_volume_but_for_the_gaps(n):
    runs = cut_slices(n, [0.65, 0.15, 0.2], gap=5)
    assert runs[0].start == 0 and runs[-1].stop == n
    assert [b.start - a.stop for a, b in zip(runs, runs[1:], strict=False)] == [5, 5]
    lengths = np.array([run.stop - run.start for run in runs])
    assert lengths / (n - 10) == pytest.approx([0.65, 0.15, 0.2], abs=1 / (n - 10))


def write_stack(root, folder, n_slices):
    stack = np.arange(n_slices * 20 * 24, dtype=np.uint16).reshape(n_slices, 20, 24)
    for kind, values in (("images", stack), ("masks", (stack % 7 == 0).astype(np.uint8))):
        (root / folder / kind).mkdir(parents=True)
        tifffile.imwrite(root / folder / kind / "stack.tif", values, metadata={"axes": "ZYX"})


def test_a_single_stack_is_cut_into_three_runs(tmp_path):
    write_stack(tmp_path, "", 60)
    data = load_stacks(tmp_path, gap=4)
    assert list(data) == ["train", "val", "test"]
    assert [len(split.images[0]) for split in data.values()] == [34, 8, 10]
    assert data["val"].names == ["stack_z0038"]
    assert "4 slices apart" in data["val"].note
    assert data["val"].images[0][0, 0, 0] == 38 * 20 * 24
    assert (data["test"].masks[0] == (data["test"].images[0] % 7 == 0)).all()


def test_the_doctor_lets_a_single_stack_pass_but_no_other_error(tmp_path):
    write_stack(tmp_path, "", 60)
    table = require_healthy(check_stacks(tmp_path, patch_size=16))
    (row,) = table[table["mend"].str.contains("cut into runs")].itertuples()
    assert row.severity == "note"
    (tmp_path / "masks" / "stack.tif").unlink()
    with pytest.raises(ValueError, match="1 error that must be mended"):
        require_healthy(check_stacks(tmp_path, patch_size=16))


def test_a_training_and_a_test_stack_get_a_validation_run(tmp_path):
    write_stack(tmp_path, "train", 40)
    write_stack(tmp_path, "test", 12)
    data = load_stacks(tmp_path, gap=8)
    assert [len(data[name].images[0]) for name in ("train", "val", "test")] == [26, 6, 12]
    assert data["test"].note == ""


def test_files_of_single_slices_are_not_mixed_over_the_splits(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for z in range(40):
            tifffile.imwrite(tmp_path / kind / f"s{z:03d}.tif", np.full((20, 24), z, np.uint8))
    data = load_stacks(tmp_path, gap=3)
    runs = [split.images[0][:, 0, 0] for split in data.values()]
    assert [len(split) for split in data.values()] == [1, 1, 1]
    assert [(run[0], run[-1]) for run in runs] == [(0, 21), (25, 29), (33, 39)]


def test_separate_runs_are_kept_whole(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for z in (0, 1, 2, 10, 11, 20, 30, 31, 40, 50):
            tifffile.imwrite(tmp_path / kind / f"s{z:03d}.tif", np.full((20, 24), z, np.uint8))
    data = load_stacks(tmp_path)
    assert data["train"].names == ["s000-2", "s010-11", "s020", "s030-31"]
    assert data["val"].names == ["s040"] and data["test"].names == ["s050"]


def test_several_stacks_are_divided_by_seed(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for n in range(5):
            stack = np.full((4, 20, 24), n, np.uint8)
            tifffile.imwrite(tmp_path / kind / f"v{n}.tif", stack, metadata={"axes": "ZYX"})
    data = load_stacks(tmp_path)
    assert sorted(n for split in data.values() for n in split.names) == [f"v{n}" for n in range(5)]
    assert all(len(split) >= 1 for split in data.values())


def test_too_few_slices_are_refused():
    with pytest.raises(ValueError, match="12 slices, too few for 3 splits with gaps of 8"):
        cut_slices(12, [0.65, 0.15, 0.2])
