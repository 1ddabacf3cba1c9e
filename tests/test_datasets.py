"""Layouts, pairing, splits and loading of data folders."""

import numpy as np
import pytest
from PIL import Image

from helpers.datasets import load_dataset, load_images, split_by_source
from helpers.images import write_image, write_labels
from helpers.layouts import find_pairs


def image_of(number, shape=(8, 9)):
    return np.random.default_rng(number).integers(0, 200, shape).astype(np.uint8)


def labels_of(number, shape=(8, 9)):
    labels = np.zeros(shape, np.int32)
    labels[..., 1:4, 1:4], labels[..., 5:7, 4:8] = 1, number + 2
    return labels


def add_pair(folder, name, number, *, images="images", masks="masks", mask_name=None, **options):
    write_image(folder / images / f"{name}.tif", image_of(number), **options)
    write_labels(folder / masks / f"{mask_name or name}.tif", labels_of(number))


def make_splits(root, counts, **options):
    number = 0
    for split, n in counts.items():
        for _ in range(n):
            add_pair(root / split, f"cell_{number}", number, **options)
            number += 1
    return root


def test_split_folders_are_read_as_they_are(tmp_path):
    data = load_dataset(make_splits(tmp_path, {"train": 3, "val": 1, "test": 2}))
    assert {name: len(split) for name, split in data.items()} == {"train": 3, "val": 1, "test": 2}
    test = data["test"]
    assert (test.name, test.names, test.note) == ("test", ["cell_4", "cell_5"], "")
    np.testing.assert_array_equal(test.images[0], image_of(4))
    np.testing.assert_array_equal(test.masks[1], labels_of(5))
    assert test.masks[0].dtype == np.int32


@pytest.mark.parametrize("val", ["valid", "validation", "Val"])
def test_other_names_of_folders(tmp_path, val):
    make_splits(tmp_path, {"Train": 2, val: 1, "test": 1}, images="x", masks="y")
    assert {k: len(v) for k, v in load_dataset(tmp_path).items()} == {
        "train": 2,
        "val": 1,
        "test": 1,
    }


def test_two_folders_for_one_split_are_an_error(tmp_path):
    make_splits(tmp_path, {"train": 1, "val": 1, "valid": 1})
    with pytest.raises(ValueError, match="val and valid both mean val; rename one"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("image_name", "mask_name"),
    [
        ("a", "a_mask"),
        ("a", "a_masks"),
        ("a", "a_label"),
        ("a", "a_labels"),
        ("a", "a_gt"),
        ("a", "a_cp_masks"),
        ("a_hi", "a_label"),
        ("a_raw", "a"),
    ],
)
def test_usual_ends_of_names_are_tolerated(tmp_path, image_name, mask_name):
    add_pair(tmp_path, image_name, 0, mask_name=mask_name)
    (pair,) = find_pairs(tmp_path).pairs["all"]
    assert (pair.name, pair.mask.stem) == (image_name, mask_name)


def test_pairs_follow_names_not_order(tmp_path):
    for name, number in (("a", 0), ("b", 1), ("c", 2)):
        write_image(tmp_path / "train" / "images" / f"{name}.tif", image_of(number))
    for name, number in (("c", 2), ("a_mask", 0), ("b", 1)):
        write_labels(tmp_path / "train" / "masks" / f"{name}.tif", labels_of(number))
    train = load_dataset(tmp_path, require=("train",), fractions=(1, 0, 0))["train"]
    assert {name: mask.max() for name, mask in zip(train.names, train.masks, strict=True)} == {
        "a": 2,
        "b": 3,
        "c": 4,
    }


def test_equal_names_go_before_similar_ones(tmp_path):
    add_pair(tmp_path, "a", 0)
    add_pair(tmp_path, "a_mask", 1)
    pairs = {pair.name: pair.mask.stem for pair in find_pairs(tmp_path).pairs["all"]}
    assert pairs == {"a": "a", "a_mask": "a_mask"}


def test_partner_may_have_another_format(tmp_path):
    write_image(tmp_path / "images" / "a.ome.tif", image_of(0))
    (tmp_path / "masks").mkdir()
    Image.fromarray(labels_of(0).astype(np.uint8)).save(tmp_path / "masks" / "a.png")
    assert [pair.name for pair in find_pairs(tmp_path).pairs["all"]] == ["a"]


def test_missing_partners_are_named(tmp_path):
    make_splits(tmp_path, {"train": 2, "val": 1, "test": 1})
    (tmp_path / "train" / "masks" / "cell_0.tif").rename(tmp_path / "train" / "masks" / "x.tif")
    with pytest.raises(
        ValueError,
        match=r"2 files cannot be used: train/images/cell_0.tif has no mask of the same name; "
        r"train/masks/x.tif has no image",
    ):
        load_dataset(tmp_path)


def test_two_masks_for_one_image_are_an_error(tmp_path):
    add_pair(tmp_path, "a", 0)
    write_labels(tmp_path / "masks" / "a.tiff", labels_of(1))
    problems = {p.path.name: p.finding for p in find_pairs(tmp_path).problems}
    assert problems["a.tiff"] == "has the same name as a.tif"
    assert problems.keys() == {"a.tif", "a.tiff"}


def test_hidden_files_and_other_kinds_are_left_out(tmp_path):
    make_splits(tmp_path, {"train": 1, "val": 1, "test": 1})
    images = tmp_path / "train" / "images"
    for name in (".DS_Store", "._cell_0.tif", "Thumbs.db", "notes.txt"):
        (images / name).write_text("")
    (images / ".ipynb_checkpoints").mkdir()
    write_image(images / ".ipynb_checkpoints" / "old.tif", image_of(9))
    assert len(load_dataset(tmp_path)["train"]) == 1
    assert len(find_pairs(tmp_path).ignored) == 5


def write_object(path, rows, columns):
    mask = np.zeros((8, 9), bool)
    mask[rows, columns] = True
    write_image(path, mask)


def test_one_file_per_object_where_the_lower_number_wins(tmp_path):
    for name, number in (("id_1", 1), ("id_2", 2), ("id_3", 3)):
        write_image(tmp_path / name / "images" / f"{name}.tif", image_of(number))
        write_object(tmp_path / name / "masks" / "10.tif", slice(2, 6), slice(2, 6))
        write_object(tmp_path / name / "masks" / "2.tif", slice(0, 4), slice(0, 4))
    data = load_dataset(tmp_path)
    assert sorted(split.names[0] for split in data.values()) == ["id_1", "id_2", "id_3"]
    labels = data["test"].masks[0]
    # file 2 sorts before 10, becomes label 1, and keeps the 2 x 2 pixels of overlap
    assert (labels == 1).sum() == 16
    assert (labels == 2).sum() == 16 - 4


def test_object_files_may_lie_in_splits(tmp_path):
    for split in ("train", "val", "test"):
        write_image(tmp_path / split / "a" / "images" / "a.tif", image_of(0))
        write_object(tmp_path / split / "a" / "masks" / "1.tif", slice(0, 4), slice(0, 4))
    assert [len(split) for split in load_dataset(tmp_path).values()] == [1, 1, 1]


def test_object_folder_without_masks_is_named(tmp_path):
    write_image(tmp_path / "a" / "images" / "a.tif", image_of(0))
    with pytest.raises(ValueError, match="a holds 1 images and 0 masks"):
        load_dataset(tmp_path)


def test_npz_with_splits_over_two_files(tmp_path):
    x = np.stack([image_of(i) for i in range(4)])
    y = np.stack([labels_of(i) for i in range(4)])
    np.savez(tmp_path / "a.npz", X_train=x[:2], Y_train=y[:2], X_val=x[2:3], Y_val=y[2:3])
    np.savez(tmp_path / "b.npz", X_test=x[3:, ..., None], Y_test=y[3:].astype(float))
    data = load_dataset(tmp_path)
    assert {name: split.names for name, split in data.items()} == {
        "train": ["train_0000", "train_0001"],
        "val": ["val_0000"],
        "test": ["test_0000"],
    }
    np.testing.assert_array_equal(data["test"].images[0], x[3])
    np.testing.assert_array_equal(data["test"].masks[0], y[3])
    assert load_dataset(tmp_path / "a.npz", require=())["val"].masks[0].dtype == np.int32


def test_npz_that_cannot_be_used(tmp_path):
    np.savez(tmp_path / "a.npz", X_train=np.zeros((3, 8, 9)), Y_train=np.zeros((2, 8, 9), int))
    with pytest.raises(ValueError, match="3 images in X_train and 2 masks in Y_train"):
        load_dataset(tmp_path)
    np.savez(tmp_path / "a.npz", pictures=np.zeros((3, 8, 9)))
    with pytest.raises(ValueError, match="a.npz: no X_train, Y_train"):
        load_dataset(tmp_path)
    for x in (np.zeros((3, 8)), np.zeros((3, 0, 9)), np.full((3, 8, 9), "a"), np.float64(1)):
        np.savez(tmp_path / "a.npz", X_train=x, Y_train=np.zeros((3, 8, 9), int))
        with pytest.raises(ValueError, match=r"a.npz: X_train has shape .* axes NYX"):
            load_dataset(tmp_path)


def test_one_image_file_is_no_data_set(tmp_path):
    write_image(tmp_path / "a.tif", image_of(1))
    with pytest.raises(ValueError, match="a.tif is one file: give the folder of the data set"):
        load_dataset(tmp_path / "a.tif")


def test_flat_folder_is_split_by_seed(tmp_path):
    make_splits(tmp_path, {".": 20})
    data = load_dataset(tmp_path, seed=1)
    assert {name: len(split) for name, split in data.items()} == {"train": 14, "val": 3, "test": 3}
    names = [name for split in data.values() for name in split.names]
    assert sorted(names) == sorted(f"cell_{i}" for i in range(20))
    assert data["test"].note == (
        "The folder has no splits: its 20 images were divided by source image, with seed 1, "
        "into 14 train, 3 val, 3 test."
    )
    assert load_dataset(tmp_path, seed=1)["test"].names == data["test"].names
    assert load_dataset(tmp_path, seed=2)["test"].names != data["test"].names


def test_required_splits_do_not_change_the_others(tmp_path):
    make_splits(tmp_path, {".": 10})
    everything = load_dataset(tmp_path)
    assert load_dataset(tmp_path, require=("test",))["test"].names == everything["test"].names


def test_groups_stay_together_in_a_flat_folder(tmp_path):
    make_splits(tmp_path, {".": 12})
    source = {f"cell_{i}": i // 3 for i in range(12)}
    for split in load_dataset(tmp_path, groups=source).values():
        assert len(split) % 3 == 0


@pytest.mark.parametrize(("lacking", "there"), [("val", "test"), ("test", "val")])
def test_missing_split_is_taken_from_training_images(tmp_path, lacking, there):
    make_splits(tmp_path, {"train": 17, there: 2})
    data = load_dataset(tmp_path)
    # 0.15 of the 0.85 that train and the missing split share: 17 x 0.15 / 0.85 = 3
    assert {name: len(split) for name, split in data.items()} == {
        "train": 14,
        lacking: 3,
        there: 2,
    }
    assert data[there].note == ""
    assert f"no {lacking}: its 17 images" in data[lacking].note
    assert not set(data["train"].names) & set(data[lacking].names)


def test_too_few_images_for_a_missing_split(tmp_path):
    make_splits(tmp_path, {"train": 1, "test": 1})
    with pytest.raises(ValueError, match="has no val folder, and its 1 images are too few"):
        load_dataset(tmp_path)
    data = load_dataset(tmp_path, require=("train", "test"))
    assert {name: len(split) for name, split in data.items()} == {"train": 1, "test": 1}


def test_required_split_without_images(tmp_path):
    make_splits(tmp_path, {"val": 1, "test": 1})
    with pytest.raises(ValueError, match="train"):
        load_dataset(tmp_path)
    assert list(load_dataset(tmp_path, require=("test",))) == ["val", "test"]


def test_images_without_masks_are_for_prediction(tmp_path):
    for number in (10, 2):
        write_image(tmp_path / f"cell_{number}.tif", image_of(number), pixel_size_um=(0.2, 0.1))
    with pytest.raises(ValueError, match="no masks.*prediction only: use load_images"):
        load_dataset(tmp_path)
    split = load_images(tmp_path)
    assert (split.names, split.masks) == (["cell_2", "cell_10"], [])
    assert split.pixel_size_um == pytest.approx((0.2, 0.1))
    np.testing.assert_array_equal(split.images[1], image_of(10))
    with pytest.raises(ValueError, match="holds no image files"):
        load_images((tmp_path / "empty").mkdir() or tmp_path / "empty")


def test_shapes_that_differ_are_named(tmp_path):
    make_splits(tmp_path, {"train": 1, "val": 1, "test": 1})
    write_labels(tmp_path / "val/masks/cell_1.tif", labels_of(1)[:-1], overwrite=True)
    with pytest.raises(ValueError, match=r"cell_1 \(val\): the image has shape \(8, 9\).*\(7, 9\)"):
        load_dataset(tmp_path)


def test_pixel_size_is_that_of_all_images_or_of_the_manifest(tmp_path):
    make_splits(tmp_path, {"train": 2, "val": 1, "test": 1}, pixel_size_um=(0.2, 0.1))
    write_image(tmp_path / "train/images/cell_0.tif", image_of(0), overwrite=True)
    sizes = {name: split.pixel_size_um for name, split in load_dataset(tmp_path).items()}
    assert sizes == {"train": None, "val": (0.2, 0.1), "test": (0.2, 0.1)}
    (tmp_path / "dataset.toml").write_text("pixel_size_um = [0.4, 0.4]\n")
    assert load_dataset(tmp_path)["train"].pixel_size_um == (0.4, 0.4)
    (tmp_path / "dataset.toml").write_text("pixel_size_um = [0.4")
    with pytest.raises(ValueError, match="dataset.toml cannot be read"):
        load_dataset(tmp_path)


def test_volumes(tmp_path):
    for split in ("train", "val", "test"):
        write_image(tmp_path / split / "images" / "a.tif", image_of(0, (5, 8, 9)))
        write_labels(tmp_path / split / "masks" / "a.tif", labels_of(0, (5, 8, 9)))
    assert load_dataset(tmp_path)["test"].masks[0].shape == (5, 8, 9)


def test_folder_that_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone does not exist"):
        load_dataset(tmp_path / "gone")
    with pytest.raises(ValueError, match="no images in a known layout: expected are train, val"):
        load_dataset(tmp_path)


NAMES = [f"image_{i:02d}" for i in range(20)]


def test_split_by_source_meets_the_fractions():
    parts = split_by_source(NAMES)
    assert {split: len(names) for split, names in parts.items()} == {
        "train": 14,
        "val": 3,
        "test": 3,
    }
    assert sorted(sum(parts.values(), [])) == NAMES


def test_split_by_source_depends_on_seed_alone():
    parts = split_by_source(NAMES, seed=3)
    again = split_by_source(NAMES[::-1], seed=3)
    assert {k: sorted(v) for k, v in again.items()} == parts
    assert split_by_source(NAMES, seed=4) != parts


@pytest.mark.parametrize("seed", range(20))
def test_no_source_is_in_two_splits(seed):
    sizes = [9, 5, 2, 1, 1, 1, 1]
    source = dict(zip(NAMES, np.repeat(range(len(sizes)), sizes), strict=True))
    parts = split_by_source(NAMES, groups=source, seed=seed)
    sources = [{source[name] for name in names} for names in parts.values()]
    assert sum(map(len, sources)) == len(set().union(*sources)) == len(sizes)
    assert all(parts.values())
    assert len(parts["train"]) == 14


def test_three_unequal_sources_fill_three_splits():
    parts = split_by_source(["a1", "a2", "a3", "b", "c"], groups=lambda name: name[0])
    assert parts["train"] == ["a1", "a2", "a3"]
    assert sorted(parts["val"] + parts["test"]) == ["b", "c"]


def test_fraction_of_zero_gives_an_empty_split():
    assert split_by_source(["a", "b"], (0.5, 0, 0.5))["val"] == []


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["a", "a", "b"], {}, "has a more than once"),
        (["a", "b"], {}, "2 images from 2 sources cannot fill 3 splits"),
        (NAMES, {"groups": dict.fromkeys(NAMES, 1)}, "20 images from 1 sources cannot fill"),
        (NAMES, {"groups": {"image_00": 1}}, r"groups lacks image_01, .* \(19 in all\)"),
        (NAMES, {"fractions": (0.5, 0.5, 0.5)}, "give three shares from 0 to 1, with sum 1"),
    ],
)
def test_splits_that_cannot_be_made(names, options, message):
    with pytest.raises(ValueError, match=message):
        split_by_source(names, **options)
