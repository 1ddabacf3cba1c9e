"""Converters, on tiny data made up in each layout."""

import json

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from data_download.convert import assign_splits, prepare_pair, write_items
from data_download.datasets import _facts
from data_download.layouts import LAYOUTS, Item, afm_name, find_items
from data_download.registry import DataSet, load_registry

IMAGE = np.arange(12, dtype=np.uint8).reshape(3, 4)
MASK = np.array([[0, 1, 1, 0], [0, 0, 0, 2], [5, 0, 0, 2]], np.uint16)


def put(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        imsave(path, array, check_contrast=False)
    else:
        tifffile.imwrite(path, array)
    return path


def found(source, layout, **options):
    return {(i.split, i.name): i.load() for i in find_items(source, layout, options)}


def test_folders_at_any_depth(tmp_path):
    root = tmp_path / "dsb2018.zip" / "dsb2018"
    for split, name in [("train", "a"), ("train", "b"), ("valid", "c"), ("test", "d")]:
        put(root / split / "images" / f"{name}.tif", IMAGE)
        put(root / split / "masks" / f"{name}.tif", MASK)
    pairs = found(tmp_path, "folders")
    assert list(pairs) == [("test", "d"), ("train", "a"), ("train", "b"), ("val", "c")]
    image, mask = pairs["train", "b"]
    assert (image == IMAGE).all() and (mask == MASK).all()


def test_folders_with_other_names_pair_in_natural_order(tmp_path):
    for number in (2, 10):
        put(tmp_path / "train" / "images" / f"X{number}.tif", IMAGE + number)
        put(tmp_path / "train" / "masks" / f"Y{number}.tif", MASK + number)
    pairs = found(tmp_path, "folders")
    for number in (2, 10):
        image, mask = pairs["train", f"X{number}"]
        assert image[0, 0] == number and mask[0, 0] == number


def test_missing_mask_is_named(tmp_path):
    for name in "ab":
        put(tmp_path / "train" / "images" / f"{name}.tif", IMAGE)
    put(tmp_path / "train" / "masks" / "a.tif", MASK)
    with pytest.raises(ValueError, match="train/images: 2 images and 1 masks .* example b"):
        find_items(tmp_path, "folders", {})


def test_nothing_found_and_unknown_layout(tmp_path):
    with pytest.raises(ValueError, match="no images in the layout 'folders'"):
        find_items(tmp_path, "folders", {})
    with pytest.raises(ValueError, match="layout is 'zarr', expected one of folders"):
        find_items(tmp_path, "zarr", {})


def test_one_name_twice_is_refused(tmp_path):
    for folder in ("one", "two"):
        put(tmp_path / folder / "train" / "images" / "a.tif", IMAGE)
        put(tmp_path / folder / "train" / "masks" / "a.tif", MASK)
    with pytest.raises(ValueError, match="same name 'a'"):
        find_items(tmp_path, "folders", {})


def make_afm(root):
    for split, name in [("train", "c_1"), ("train", "c_2"), ("valid", "c_3")]:
        put(root / split / "afmheight" / f"{name}_hi.png", IMAGE)
        put(root / split / "labels" / f"{name}_label.png", np.uint8(255) * (MASK > 0))
    put(root / "test_img" / "0.png", IMAGE)
    put(root / "test_img" / "0_gt.png", np.uint8(255) * (MASK > 0))
    put(root / "test_img" / "c_9_hi.png", IMAGE)
    put(root / "valid" / "predh" / "0.png", IMAGE)


def test_afm_names_splits_and_test_images(tmp_path):
    make_afm(tmp_path / "Cell-segmentation.zip" / "Cell-segmentation-HEAD")
    pairs = found(tmp_path, "afm")
    expected = [("test", "test_0"), ("train", "c_1"), ("train", "c_2"), ("val", "c_3")]
    assert list(pairs) == expected


def test_afm_groups_are_written_under_the_new_names(tmp_path):
    entry = load_registry()["afm_astrocytes"]
    name = "train/afmheight/cj_dbast_plg_jun12_27jun13_001_nmnmv_hi.png"
    stem = afm_name(name)
    items = [
        Item("train", stem, lambda: (IMAGE, MASK)),
        Item("test", "test_6", lambda: (IMAGE, MASK)),
    ]
    write_items(items, tmp_path, entry, 0)
    groups = json.loads((tmp_path / "groups.json").read_text())["groups"]
    assert len(groups) == 23
    assert [f"train/{stem}", "test/test_6"] in groups
    mask = tifffile.imread(tmp_path / "train" / "masks" / f"{stem}.tif")
    assert mask.tolist() == (MASK > 0).astype(int).tolist()


def test_archives_pair_images_with_binary_masks(tmp_path):
    put(tmp_path / "i.zip" / "images" / "1GRAY.tif", IMAGE)
    put(tmp_path / "m.zip" / "masks" / "1GRAY.tif", MASK)
    pairs = found(tmp_path, "archives", images="i.zip", masks="m.zip")
    assert list(pairs) == [(None, "1GRAY")]


def test_sets_take_manual_masks_first(tmp_path):
    for folder in ("BABE_Original", "BABE_Biological"):
        put(tmp_path / "g.zip" / "GreyScale" / folder / "f 1.tif", IMAGE)
        put(tmp_path / "semi.zip" / "GT" / folder / "f 1.tif", MASK)
    put(tmp_path / "man.zip" / "GT" / "BABE_Biological_manual" / "f 1.tif", MASK + 1)
    pairs = found(tmp_path, "sets", images="g.zip", masks=["man.zip", "semi.zip"])
    assert pairs["train", "BABE_Original__f 1"][1][0, 0] == 0
    assert pairs["test", "BABE_Biological__f 1"][1][0, 0] == 1
    with pytest.raises(ValueError, match=r"BABE_Biological/f 1\.tif has no mask in other\.zip"):
        find_items(tmp_path, "sets", {"images": "g.zip", "masks": ["other.zip"]})


def test_pages_cut_the_validation_volume_with_a_gap(tmp_path):
    stack = np.arange(10, dtype=np.uint8)[:, None, None] + np.zeros((1, 3, 4), np.uint8)
    for name in ("training", "testing"):
        put(tmp_path / f"{name}.tif" / f"{name}.tif", stack)
        put(tmp_path / f"{name}_groundtruth.tif" / f"{name}_groundtruth.tif", stack)
    volumes = {
        "train": ["training.tif", "training_groundtruth.tif"],
        "test": ["testing.tif", "testing_groundtruth.tif"],
    }
    pairs = found(tmp_path, "pages", volumes=volumes, val_slices=2, val_gap=3)
    slices = {key: image[:, 0, 0].tolist() for key, (image, _) in pairs.items()}
    assert slices == {
        ("test", "test"): list(range(10)),
        ("train", "train"): [0, 1, 2, 3, 4],
        ("val", "val"): [8, 9],
    }


def test_manifest_says_that_the_validation_volume_is_cut_off():
    entry = load_registry()["lucchi"]
    origins = {split: facts["from"] for split, facts in _facts(entry, [], [], 42)["splits"].items()}
    assert origins == {
        "train": "source",
        "val": "last 17 slices of the training volume",
        "test": "source",
    }


def test_pages_from_folders_of_slices(tmp_path):
    root = tmp_path / "lucchi_pp.zip" / "Lucchi++"
    for folder in ("Train_In", "Train_Out", "Test_In", "Test_Out"):
        for z in (0, 2, 10):
            put(root / folder / f"mask{z}.png", IMAGE + np.uint8(z))
    options = load_registry()["lucchi_pp"].options["layout"] | {"val_slices": 1, "val_gap": 0}
    pairs = found(tmp_path, "pages", **options)
    assert pairs["test", "test"][0][:, 0, 0].tolist() == [0, 2, 10]
    assert pairs["val", "val"][0][:, 0, 0].tolist() == [10]


def test_pages_must_be_there_once(tmp_path):
    with pytest.raises(ValueError, match=r"training\.tif: expected once .* found 0 times"):
        find_items(tmp_path, "pages", {"volumes": {"train": ["training.tif", "b.tif"]}})


def test_npz_with_test_images_from_another_download(tmp_path):
    folder = tmp_path / "DSB.zip" / "train"
    folder.mkdir(parents=True)
    images = np.stack([IMAGE, IMAGE + 1]).astype(np.float32)
    arrays = {"X_train": images, "Y_train": np.stack([MASK, MASK])}
    np.savez(folder / "train_data.npz", X_val=images[:1], Y_val=MASK[None], **arrays)
    put(tmp_path / "dsb2018.zip" / "test" / "images" / "t.tif", IMAGE)
    put(tmp_path / "dsb2018.zip" / "test" / "masks" / "t.tif", MASK)
    put(tmp_path / "dsb2018.zip" / "train" / "images" / "no.tif", IMAGE)
    put(tmp_path / "dsb2018.zip" / "train" / "masks" / "no.tif", MASK)
    options = {"files": ["train/train_data.npz"], "test_folders": "dsb2018.zip"}
    pairs = found(tmp_path, "npz", **options)
    assert list(pairs) == [
        ("test", "t"),
        ("train", "train_00000"),
        ("train", "train_00001"),
        ("val", "val_00000"),
    ]
    assert pairs["train", "train_00001"][0][0, 0] == 1


def test_npz_of_uneven_length_is_refused(tmp_path):
    folder = tmp_path / "a.zip"
    folder.mkdir()
    np.savez(folder / "a.npz", X_train=np.zeros((2, 3, 4)), Y_train=np.zeros((1, 3, 4), int))
    with pytest.raises(ValueError, match="X_train has 2 images, Y_train 1 masks"):
        find_items(tmp_path, "npz", {"files": ["a.npz"]})


def items_of(*splits):
    return [Item(split, f"i{n:02d}", lambda: None) for n, split in enumerate(splits)]


def count(items):
    return {s: sum(i.split == s for i in items) for s in ("train", "val", "test")}


@pytest.mark.parametrize(
    ("splits", "options", "expected"),
    [
        pytest.param([None] * 20, {"test": 4, "val": 2}, (14, 2, 4), id="numbers"),
        pytest.param(["train"] * 20, {"val": 0.15}, (17, 3, 0), id="fraction"),
        pytest.param(["train"] * 3, {"val": 0.15}, (2, 1, 0), id="at least one"),
        pytest.param(["train"], {"val": 0.15}, (1, 0, 0), id="nothing to spare"),
        pytest.param(["train"] * 2, {"test": 5, "val": 1}, (1, 0, 1), id="one is left"),
        pytest.param(["train"] * 4 + ["val"], {"val": 0.5}, (4, 1, 0), id="source has it"),
    ],
)
def test_split_sizes(splits, options, expected):
    items, drawn = assign_splits(items_of(*splits), seed=1, **options)
    assert tuple(count(items).values()) == expected
    assert ("val" in drawn) == (expected[1] > 0 and "val" not in splits)


def test_split_depends_on_the_seed_only():
    def draw(seed):
        return [i.split for i in assign_splits(items_of(*[None] * 20), seed=seed)[0]]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_validation_only_from_names_that_begin_so():
    items = [Item("train", name, None) for name in ("a1", "a2", "b1", "b2", "b3")]
    for seed in range(5):
        chosen, _ = assign_splits(items, seed=seed, val=1, val_from="a")
        assert [i.name[0] for i in chosen if i.split == "val"] == ["a"]


def test_instances_keep_their_numbers():
    image, labels = prepare_pair(IMAGE, MASK.astype(float), axes="YX")
    assert labels.dtype == np.int32 and (labels == MASK).all()
    assert image.dtype == np.uint8 and (image == IMAGE).all()


def test_components_are_connected_over_edges():
    binary = np.array([[255, 0, 255], [0, 255, 255], [0, 0, 0]], np.uint8)
    _, labels = prepare_pair(np.zeros((3, 3)), binary, axes="YX", masks="components")
    assert labels.tolist() == [[1, 0, 2], [0, 2, 2], [0, 0, 0]]


def test_planes_lower_number_wins():
    planes = np.array([[[1, 1, 0]], [[0, 1, 1]]], np.uint8)
    _, labels = prepare_pair(np.zeros((1, 3)), planes, axes="YX", masks="planes")
    assert labels.tolist() == [[1, 1, 2]]


def test_background_label_becomes_zero():
    _, labels = prepare_pair(np.zeros((1, 3)), np.array([[1, 2, 0]]), axes="YX", background=1)
    assert labels.tolist() == [[0, 2, 0]]


def test_singleton_axes_are_dropped_only_where_too_many():
    image, labels = prepare_pair(IMAGE[None, :, :, None], MASK[None], axes="YX")
    assert image.shape == labels.shape == (3, 4)
    image, labels = prepare_pair(IMAGE[None], MASK[None], axes="ZYX")
    assert image.shape == labels.shape == (1, 3, 4)
    _, labels = prepare_pair(IMAGE, MASK[None], axes="YX", masks="planes")
    assert (labels == (MASK > 0)).all()


def test_colour_channels():
    colour = np.stack([IMAGE] * 3, -1)
    assert prepare_pair(colour, MASK, axes="YX")[0].shape == (3, 4)
    wide = np.zeros((3, 8, 9), np.uint8)
    image, _ = prepare_pair(wide, np.zeros((8, 9), int), axes="YXC")
    assert image.shape == (8, 9, 3)
    with pytest.raises(ValueError, match="has colours where grey is expected"):
        prepare_pair(colour * np.array([1, 2, 1], np.uint8), MASK, axes="YX")


@pytest.mark.parametrize(
    ("image", "mask", "match"),
    [
        (IMAGE, MASK[:2], r"image \(3, 4\) and mask \(2, 4\) do not fit axes YX"),
        (np.zeros((5, 3, 4)), MASK, "do not fit axes YX"),
        (IMAGE, MASK + 0.5, "float64 values that are no labels"),
        (IMAGE, MASK.astype(int) - 1, "no labels"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(image, mask, match):
    with pytest.raises(ValueError, match=match):
        prepare_pair(image, mask, axes="YX")


def make_entry(**options):
    facts = dict.fromkeys(("title", "modality", "licence", "citation", "source", "sizes"), "x")
    return DataSet(
        name="set",
        task="instance",
        axes="YX",
        layout="folders",
        files=[],
        options=options,
        **facts,
    )


def test_noise_is_gaussian_seeded_and_only_in_its_splits(tmp_path):
    flat, empty = np.full((100, 100), 50, np.uint8), np.zeros((100, 100), int)
    items = [Item(s, s, lambda: (flat, empty)) for s in ("train", "test")]
    entry = make_entry(noise={"sigma": 10, "splits": ["test"]})
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_items(items, tmp_path / folder, entry, seed)
    read = {f: tifffile.imread(tmp_path / f / "test" / "images" / "test.tif") for f in "abc"}
    assert read["a"].dtype == np.float32
    # mean and standard deviation of 10,000 draws: errors of about 0.1 and 0.07
    assert abs(read["a"].mean() - 50) < 0.5 and abs(read["a"].std() - 10) < 0.4
    assert (read["a"] == read["b"]).all() and (read["a"] != read["c"]).any()
    clean = tifffile.imread(tmp_path / "a" / "train" / "images" / "train.tif")
    assert clean.dtype == np.uint8 and (clean == 50).all()


def test_pixel_size_by_name_is_written(tmp_path):
    from helpers.images import read_pixel_size

    entry = make_entry(pixel_size_um={"BABE": [0.216, 0.216]})
    write_items([Item("train", "BABE_x", lambda: (IMAGE, MASK))], tmp_path, entry, 0)
    size = read_pixel_size(tmp_path / "train" / "images" / "BABE_x.tif")
    assert size == pytest.approx((0.216, 0.216))


def test_error_names_data_set_and_image(tmp_path):
    items = [Item("train", "a7", lambda: (IMAGE, MASK[:1]))]
    with pytest.raises(ValueError, match="set: train image a7: image"):
        write_items(items, tmp_path, make_entry(), 0)


def test_every_entry_of_the_registry_is_well_formed():
    import inspect

    registry = load_registry()
    for entry in registry.values():
        inspect.signature(LAYOUTS[entry.layout]).bind("source", **entry.options.get("layout", {}))
        inspect.signature(assign_splits).bind([], seed=0, **entry.options.get("split", {}))
        options = entry.options.get("pair", {})
        inspect.signature(prepare_pair).bind(0, 0, axes=entry.axes, **options)
        assert (options.get("masks") == "semantic") == (entry.task == "semantic")
        assert entry.axes in ("YX", "ZYX", "YXC") and entry.task in ("instance", "semantic")
        n_axes = len(entry.axes.replace("C", ""))
        assert entry.pixel_size_um is None or len(entry.pixel_size_um) == n_axes
        for file in entry.files:
            assert file.urls and all(url.startswith(("https://", "http://")) for url in file.urls)
            assert file.sha256 is None or len(file.sha256) == 64
    assert {e.axes for e in registry.values() if e.name.startswith("embedseg")} == {
        "YX",
        "ZYX",
        "YXC",
    }
