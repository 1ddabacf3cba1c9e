"""The data doctor: each fault is planted in a healthy folder and must be named."""

import re
import time

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage as ndi

from helpers.doctor import check_dataset, require_healthy
from helpers.doctor.repair import fix_labels, labels_from_mask, split_pieces
from helpers.images import read_image, read_labels, write_image, write_labels

SIDE = 96
TRAIN, VAL, TEST = (
    f"{split}/images/cell_{i}.tif" for split, i in (("train", 0), ("val", 6), ("test", 7))
)
TRAIN_MASK = TRAIN.replace("images", "masks")


def make_pair(seed, shape=(SIDE, SIDE)):
    """Return a noisy picture of 12 discs (balls) and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    grid = np.indices(shape)
    number = 0
    while number < 12:
        center = [rng.integers(0, n) for n in shape]
        disc = sum((g - c) ** 2 for g, c in zip(grid, center, strict=True)) < rng.integers(16, 64)
        if not (ndi.binary_dilation(disc, iterations=2) & (labels > 0)).any():
            number += 1
            labels[disc] = number
    signal = 20 + 90 * ndi.gaussian_filter((labels > 0).astype(float), 1)
    return rng.poisson(signal).clip(0, 250).astype(np.uint8), labels


def plant(root, split, name, image, labels, *, pixel_size_um=(0.2, 0.2)):
    size = pixel_size_um and (*[0.5] * (labels.ndim - 2), *pixel_size_um)
    options = {"pixel_size_um": size, "overwrite": True}
    write_image(root / split / "images" / f"{name}.tif", image, **options)
    write_labels(root / split / "masks" / f"{name}.tif", labels, **options)


@pytest.fixture(scope="session")
def healthy_pairs():
    return [make_pair(seed) for seed in range(8)]


@pytest.fixture
def folder(tmp_path, healthy_pairs):
    root = tmp_path / "nuclei"
    for i, (image, labels) in enumerate(healthy_pairs):
        split = "train" if i < 6 else ("val", "test")[i - 6]
        plant(root, split, f"cell_{i}", image, labels)
    return root


def find(root, severity, file, finding, **options):
    """Return the mend of the one row that matches, or fail with the whole table."""
    table = check_dataset(root, **options)
    rows = table[(table.severity == severity) & (table.file == file)]
    rows = [row for row in rows.itertuples() if re.search(finding, row.finding)]
    assert len(rows) == 1, table.to_string()
    return rows[0].mend


def replace_image(root, name, change):
    image = change(read_image(root / name))
    size = (0.2, 0.2) if image.ndim == 2 or image.shape[-1] <= 4 else None
    write_image(root / name, image, pixel_size_um=size, overwrite=True)


def replace_mask(root, name, change):
    tifffile.imwrite(root / name, change(read_labels(root / name)))


def test_healthy_folder_has_no_error_or_warning(folder):
    table = check_dataset(folder)
    assert list(table.columns) == ["severity", "file", "finding", "mend"]
    assert set(table.severity) == {"note"}, table.to_string()
    assert set(table.file) == {"val", "test"}
    assert require_healthy(table) is table


def test_healthy_semantic_folder(folder):
    for path in folder.rglob("masks/*.tif"):
        replace_mask(folder, path.relative_to(folder), lambda y: (y > 0).astype(np.uint8) * 255)
    assert set(check_dataset(folder, task="semantic").severity) == {"note"}


def test_healthy_volumes(tmp_path):
    for i, split in enumerate(("train", "train", "train", "train", "train", "val", "test")):
        plant(tmp_path, split, f"cell_{i}", *make_pair(i, (16, 64, 64)))
    assert set(check_dataset(tmp_path, patch_size=(8, 32, 32)).severity) == {"note"}


def test_nothing_is_written(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    check_dataset(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_missing_and_extra_partner(folder):
    (folder / TRAIN_MASK).rename(folder / "train/masks/other.tif")
    assert "add or rename the mask" in find(folder, "error", TRAIN, "has no mask of the same name")
    mend = find(folder, "error", "train/masks/other.tif", "has no image of the same name")
    assert "move this file out" in mend


def test_hidden_files(folder):
    (folder / "train/images/.DS_Store").write_text("")
    find(folder, "note", "train/images/.DS_Store", "hidden or no image file, left out")


@pytest.mark.parametrize("name", [TRAIN, TRAIN_MASK])
def test_cut_off_files(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[:300])
    assert find(folder, "error", name, "cannot be read") == "export or copy it again"


def test_file_without_content(folder):
    (folder / TRAIN).write_bytes(b"")
    find(folder, "error", TRAIN, "cannot be read")


def test_missing_reader(folder):
    (folder / TRAIN).rename(folder / "train/images/cell_0.czi")
    mend = find(folder, "error", "train/images/cell_0.czi", "needs an optional reader")
    assert "pip install bioio bioio-czi" in mend


def test_different_shapes(folder):
    replace_mask(folder, TRAIN_MASK, lambda y: y[:-6].astype(np.uint16))
    finding = r"image has shape \(96, 96\), its mask \(90, 96\)"
    assert "export the mask again" in find(folder, "error", TRAIN, finding)


def test_mask_turned_on_its_side(folder):
    replace_image(folder, TRAIN, lambda x: x[:80])
    replace_mask(folder, TRAIN_MASK, lambda y: y[:80].T.astype(np.uint16))
    assert "labels.T" in find(folder, "error", TRAIN, r"shape \(80, 96\), its mask \(96, 80\)")


def test_colour_where_grey_is_expected(folder):
    replace_image(folder, TRAIN, lambda x: np.stack([x, x // 2, x // 3], -1))
    assert "image[..., 0]" in find(
        folder, "error", TRAIN, "3 colour channels where grey is expected"
    )


def test_grey_saved_as_colour(folder):
    replace_image(folder, TRAIN, lambda x: np.stack([x] * 3, -1))
    find(folder, "error", TRAIN, "is grey, saved as 3 equal colour channels")


def test_grey_where_colour_is_expected(folder):
    for path in folder.rglob("images/*.tif"):
        if path.name != "cell_0.tif":
            replace_image(folder, path.relative_to(folder), lambda x: np.stack([x, x // 2, x], -1))
    find(folder, "error", TRAIN, "grey where colour is expected", channels=3)


def test_time_series(folder):
    series = np.stack([read_image(folder / TRAIN)] * 5)
    write_image(folder / TRAIN, series, axes="TYX", overwrite=True)
    assert "each time point" in find(folder, "error", TRAIN, "time series of 5 images")


def test_binary_masks_where_instances_are_needed(folder):
    for path in folder.rglob("masks/*.tif"):
        replace_mask(folder, path.relative_to(folder), lambda y: (y > 0).astype(np.uint8))
    finding = r"one value \(1\) for 12 separate pieces: objects have no numbers"
    mend = find(folder, "error", TRAIN_MASK, finding, max_rows=None)
    assert "labels_from_mask(mask)" in mend
    assert labels_from_mask(read_labels(folder / TRAIN_MASK)).max() == 12


def test_one_binary_mask_among_labels(folder):
    replace_mask(folder, TRAIN_MASK, lambda y: (y > 0).astype(np.uint8) * 255)
    find(folder, "error", TRAIN_MASK, r"one value \(255\) for 12 separate pieces")


def test_one_label_in_several_pieces(folder):
    labels = read_labels(folder / TRAIN_MASK)
    sizes = [np.count_nonzero(labels == number) for number in (3, 4)]
    replace_mask(folder, TRAIN_MASK, lambda y: np.where(y == 4, 3, y).astype(np.uint16))
    finding = (
        f"labels in several pieces: 1 of 11, such as label 3 with {max(sizes)} \\+ {min(sizes)}"
    )
    assert "split_pieces(labels)" in find(folder, "warning", TRAIN_MASK, finding)
    assert len(np.unique(split_pieces(read_labels(folder / TRAIN_MASK)))) == 13


def test_labels_that_skip_numbers(folder):
    replace_mask(folder, TRAIN_MASK, lambda y: (y * 10).astype(np.uint16))
    finding = "12 labels, the highest is 120: numbers are left out"
    assert "relabel(labels)" in find(folder, "note", TRAIN_MASK, finding)


def test_float_mask_of_whole_numbers(folder):
    replace_mask(folder, TRAIN_MASK, lambda y: y.astype(np.float32))
    mend = find(folder, "warning", TRAIN_MASK, "whole numbers as float32")
    assert "read correctly" in mend
    assert fix_labels(read_image(folder / TRAIN_MASK)).max() == 12


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_float_mask_of_fractions(folder, value):
    replace_mask(folder, TRAIN_MASK, lambda y: np.where(y > 0, value, 0).astype(np.float32))
    mend = find(folder, "error", TRAIN_MASK, r"float32 and \d+\.\d% of it are fractions or NaN")
    assert "labels_from_mask(mask > 0.5)" in mend


def test_negative_labels(folder):
    replace_mask(folder, TRAIN_MASK, lambda y: np.where(y == 0, -1, y).astype(np.int16))
    assert "np.maximum" in find(folder, "error", TRAIN_MASK, "negative numbers, the lowest -1")


def test_jpeg_mask(folder):
    labels = read_labels(folder / TRAIN_MASK)
    (folder / TRAIN_MASK).unlink()
    Image.fromarray((labels > 0).astype(np.uint8) * 255).save(folder / "train/masks/cell_0.jpg")
    mend = find(folder, "error", "train/masks/cell_0.jpg", "mask is a JPEG, which blurs edges")
    assert "labels_from_mask(read_image(path) > 127)" in mend
    mended = labels_from_mask(read_image(folder / "train/masks/cell_0.jpg") > 127)
    np.testing.assert_array_equal(mended, labels_from_mask(labels))


@pytest.mark.parametrize("scale", [1, 20])
def test_jpeg_mask_in_the_disguise_of_a_png(folder, tmp_path, scale):
    labels = read_labels(folder / TRAIN_MASK)
    pixels = (labels > 0) * 255 if scale == 1 else labels * scale
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "a.jpg", quality=60)
    (folder / TRAIN_MASK).unlink()
    Image.open(tmp_path / "a.jpg").save(folder / "train/masks/cell_0.png")
    finding = r"\d+ values scattered over \d+ specks: no label image"
    assert "without smoothing, JPEG" in find(folder, "error", "train/masks/cell_0.png", finding)


def test_picture_in_place_of_a_mask(folder):
    (folder / TRAIN_MASK).write_bytes((folder / TRAIN).read_bytes())
    find(folder, "error", TRAIN_MASK, "specks: no label image")


def test_unreadable_masks_are_not_called_empty(folder):
    for path in folder.rglob("masks/*.tif"):
        path.write_bytes(b"")
    assert not check_dataset(folder).finding.str.contains("no mask has any object").any()


def test_colour_coded_mask(folder):
    labels = read_labels(folder / TRAIN_MASK)
    colours = np.random.default_rng(0).integers(20, 255, (13, 3)).astype(np.uint8)
    colours[0] = 0
    write_image(folder / TRAIN_MASK, colours[labels], overwrite=True)
    assert "labels_from_colours" in find(folder, "error", TRAIN_MASK, "mask has 3 colour channels")
    mended = fix_labels(read_image(folder / TRAIN_MASK))
    assert len(np.unique(mended)) == 13


def test_empty_mask(folder):
    replace_mask(folder, TRAIN_MASK, lambda y: (y * 0).astype(np.uint16))
    assert "if so, it is fine" in find(folder, "warning", TRAIN_MASK, "mask is empty: no object")


def test_all_masks_empty(folder):
    for path in folder.rglob("masks/*.tif"):
        replace_mask(folder, path.relative_to(folder), lambda y: (y * 0).astype(np.uint16))
    find(folder, "error", "all masks", "no mask has any object")


def test_constant_image(folder):
    replace_image(folder, TRAIN, lambda x: np.full_like(x, 7))
    assert "remove the image" in find(folder, "warning", TRAIN, "all pixels are 7: no picture")


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 4095)])
def test_saturated_image(folder, dtype, top):
    replace_image(folder, TRAIN, lambda x: np.where(x > 60, top, x.astype(int)).astype(dtype))
    mend = find(folder, "warning", TRAIN, rf"\d+% of the pixels are saturated \(value {top}\)")
    assert "expose less" in mend


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan(folder, value):
    replace_image(
        folder, TRAIN, lambda x: np.where(np.arange(SIDE) < 2, value, x).astype("float32")
    )
    mend = find(folder, "error", TRAIN, f"{2 * SIDE} pixels are NaN or infinite")
    assert "np.nan_to_num" in mend


def test_mixed_bit_depth(folder):
    replace_image(folder, TRAIN, lambda x: x.astype(np.uint16))
    finding = "has bit depth uint16, but 7 of 8 images uint8"
    assert "export all images alike" in find(folder, "warning", TRAIN, finding)


def test_mixed_pixel_size(folder):
    image = read_image(folder / TRAIN)
    write_image(folder / TRAIN, image, pixel_size_um=(0.4, 0.4), overwrite=True)
    finding = r"has pixel size 0.4 x 0.4 um, but 7 of 8 images 0.2 x 0.2 um"
    assert "rescale all images" in find(folder, "warning", TRAIN, finding)


def test_pixel_size_in_some_files_alone(folder):
    write_image(folder / TRAIN, read_image(folder / TRAIN), overwrite=True)
    find(folder, "note", TRAIN, "states no pixel size, others do")


def test_volume_among_planes(folder):
    plant(folder, "train", "stack", *make_pair(20, (16, SIDE, SIDE)))
    find(folder, "error", "train/images/stack.tif", "is 3D, but 8 of 9 images 2D")


def test_image_smaller_than_the_patch(folder):
    find_all = check_dataset(folder, patch_size=128, max_rows=None)
    assert (find_all.finding.str.contains("smaller than the patch")).sum() == 8
    replace_image(folder, TRAIN, lambda x: x[:40])
    replace_mask(folder, TRAIN_MASK, lambda y: y[:40].astype(np.uint16))
    mend = find(folder, "error", TRAIN, r"image of 40 x 96 is smaller than the patch \(64 x 64\)")
    assert "smaller patch" in mend


def test_too_few_images(folder):
    for i in range(1, 6):
        (folder / f"train/images/cell_{i}.tif").unlink()
        (folder / f"train/masks/cell_{i}.tif").unlink()
    finding = "too few images to learn from.* 1, with room for 1 patches"
    assert "annotate more images" in find(folder, "warning", "train", finding)
    find(folder, "note", "val", "too few images for a sound score: 1")


def test_too_few_images_to_split(tmp_path):
    for i in range(2):
        plant(tmp_path / "two", ".", f"cell_{i}", *make_pair(i))
    find(tmp_path / "two", "error", "two", "2 images are too few sources")


@pytest.mark.parametrize(("dtype", "n"), [("uint8", 300), ("uint16", 70_000)])
def test_label_overflow(folder, dtype, n):
    side = 40 if n == 300 else 600
    labels = np.zeros((side, side), np.int64)
    spots = labels[::2, ::2] if n == 300 else labels
    spots.ravel()[:] = 0
    flat = np.arange(1, spots.size + 1)
    spots[...] = np.where(flat <= n, flat, 0).reshape(spots.shape)
    image = np.random.default_rng(0).integers(0, 200, labels.shape).astype(np.uint8)
    write_image(folder / TRAIN, image, pixel_size_um=(0.2, 0.2), overwrite=True)
    tifffile.imwrite(folder / TRAIN_MASK, labels.astype(dtype))
    finding = f"uses all numbers of {dtype[4:]} bit: further objects are lost or share one"
    mend = find(folder, "error", TRAIN_MASK, finding, patch_size=32)
    assert "16 or 32 bit" in mend


def test_same_image_in_two_splits(folder):
    (folder / TEST).write_bytes((folder / TRAIN).read_bytes())
    mend = find(folder, "error", TEST, f"is the same image as {TRAIN}, pixel by pixel")
    assert "keep each image in one split" in mend


def test_same_image_twice_in_one_split(folder):
    for kind in ("images", "masks"):
        content = (folder / f"train/{kind}/cell_0.tif").read_bytes()
        (folder / f"train/{kind}/cell_1.tif").write_bytes(content)
    find(folder, "note", "train/images/cell_1.tif", f"is the same image as {TRAIN}")


def test_same_mask_under_more_noise(folder):
    image, labels = make_pair(0)
    noise = np.random.default_rng(1).normal(0, 60, image.shape)
    plant(folder, "test", "cell_7", (image + noise).clip(0, 250).astype(np.uint8), labels)
    find(folder, "error", TEST, f"has the same mask as {TRAIN}")


RNG = np.random.default_rng(5)
COPIES = {
    "noise": lambda x: (x + RNG.normal(0, 9, x.shape)).clip(0, 255).astype(np.uint8),
    "brightness": lambda x: (x * 1.5 + 20).clip(0, 255).astype(np.uint8),
    "gamma": lambda x: (255 * (x / 255) ** 0.7).astype(np.uint8),
    "16 bit": lambda x: x.astype(np.uint16) * 200,
    "turned": np.rot90,
    "flipped": np.fliplr,
    "turned and flipped": lambda x: x.T,
    "smoothed": lambda x: ndi.gaussian_filter(x, 1),
    "uneven light": lambda x: (x * np.linspace(0.6, 1.4, SIDE)).clip(0, 255).astype(np.uint8),
    "half size": lambda x: x[::2, ::2],
}


@pytest.mark.parametrize("case", COPIES)
def test_nearly_the_same_image_in_two_splits(folder, case):
    image = COPIES[case](read_image(folder / TRAIN))
    plant(folder, "test", "cell_7", np.ascontiguousarray(image), make_pair(9, image.shape)[1])
    finding = rf"shows almost the same as {TRAIN} \(correlation (0\.\d+|1\.00)\)"
    assert "groups=" in find(folder, "warning", TEST, finding)


def test_images_of_one_kind_are_no_copies(tmp_path):
    # single cells in the middle of each image, the same vignette in all: alike, but no copies
    y, x = np.indices((SIDE, SIDE)) - SIDE / 2
    for i in range(12):
        rng = np.random.default_rng(i)
        size, stretch, angle = rng.uniform(12, 20), rng.uniform(1, 1.6), rng.uniform(0, 3)
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        labels = (np.hypot(u / stretch, v * stretch) < size).astype(np.int32)
        light = 120 - (x**2 + y**2) / 50
        image = rng.poisson(light * (0.3 + 0.7 * labels)).clip(0, 250).astype(np.uint8)
        plant(tmp_path, ("train", "val", "test")[i % 3], f"cell_{i}", image, labels)
    table = check_dataset(tmp_path)
    assert not table.finding.str.contains("same").any(), table.to_string()


def test_flat_folder_notes_how_it_is_split(tmp_path, healthy_pairs):
    for i, pair in enumerate(healthy_pairs):
        plant(tmp_path / "flat", ".", f"cell_{i}", *pair)
    find(tmp_path / "flat", "note", "flat", "has no splits: its 8 images were divided")


def test_images_without_masks(folder):
    root = folder / "train" / "images"
    assert "load_images" in find(root, "error", "images", "images but no masks")


def test_folder_in_no_known_layout(tmp_path):
    mend = find(tmp_path, "error", str(tmp_path), "no images in a known layout")
    assert "known layout" in mend
    find(tmp_path / "gone", "error", str(tmp_path / "gone"), "does not exist")


def test_npz_is_checked_too(tmp_path, healthy_pairs):
    x, y = map(np.stack, zip(*healthy_pairs, strict=True))
    y[1] = 0
    np.savez(
        tmp_path / "a.npz",
        X_train=x[:6],
        Y_train=y[:6],
        X_val=x[6:7],
        Y_val=y[6:7],
        X_test=x[:1],
        Y_test=y[:1],
    )
    find(tmp_path / "a.npz", "warning", "a.npz: train_0001", "mask is empty")
    find(tmp_path / "a.npz", "error", "a.npz: test_0000", "same image as a.npz: train_0000")


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.zeros((3, 4, 8, 8, 3)), np.zeros((3, 4, 8, 8), int)),
        (np.zeros((3, 8, 8)), np.zeros((3, 2, 3, 8, 8), int)),
        (np.zeros(3), np.zeros(3, int)),
    ],
)
def test_npz_of_odd_shape_is_a_finding(tmp_path, x, y):
    np.savez(tmp_path / "a.npz", X_train=x, Y_train=y)
    find(tmp_path / "a.npz", "error", str(tmp_path / "a.npz"), "save images as numbers with axes")


@pytest.mark.parametrize("image", [np.zeros((0, SIDE)), np.full((SIDE, SIDE), "a")])
def test_array_that_is_no_image(folder, image):
    (folder / TRAIN).unlink()
    np.save(folder / TRAIN.replace(".tif", ".npy"), image)
    mend = find(folder, "error", TRAIN.replace(".tif", ".npy"), "are no image")
    assert "array of numbers" in mend


def test_one_file_per_object_is_checked_too(tmp_path, healthy_pairs):
    for i, (image, labels) in enumerate(healthy_pairs):
        write_image(tmp_path / f"id_{i}" / "images" / "a.tif", image)
        for number in (1, 2, 3):
            mask = labels == number
            write_image(tmp_path / f"id_{i}" / "masks" / f"{number}.tif", mask[: 96 - 9 * (i == 0)])
    find(tmp_path, "error", "id_0/images/a.tif", r"image has shape \(96, 96\), its mask \(87, 96\)")
    write_image(tmp_path / "id_1/masks/4.tif", np.zeros((5, 5), bool))
    find(tmp_path, "error", "id_1/masks", r"its masks differ in shape \(\(5, 5\), \(96, 96\)\)")


def test_many_equal_findings_share_a_row(folder):
    for path in folder.rglob("masks/*.tif"):
        replace_mask(folder, path.relative_to(folder), lambda y: (y * 10).astype(np.uint16))
    rows = check_dataset(folder)
    rows = rows[rows.mend.str.contains("relabel")]
    assert len(rows) == 5
    names = "train/masks/cell_4.tif, train/masks/cell_5.tif, val/masks/cell_6.tif, ..."
    assert rows.file.iloc[-1] == f"and 4 more files: {names}"
    table = check_dataset(folder, max_rows=None)
    assert table.mend.str.contains("relabel").sum() == 8


def test_require_healthy_lists_errors_and_mends(folder):
    replace_image(folder, TRAIN, lambda x: np.stack([x, x // 2, x], -1))
    (folder / "train/masks/cell_1.tif").unlink()
    table = check_dataset(folder)
    assert table.severity.tolist() == sorted(table.severity, key=["error", "warning", "note"].index)
    with pytest.raises(ValueError, match="the data have 2 errors that must be mended") as caught:
        require_healthy(table)
    message = str(caught.value)
    assert (
        "- train/images/cell_1.tif: has no mask of the same name. Mend: add or rename the mask"
        in message
    )
    assert f"- {TRAIN}: has 3 colour channels" in message
    assert "too few" not in message


def test_unknown_task(folder):
    with pytest.raises(ValueError, match="task is 'nuclei': give 'instance' or 'semantic'"):
        check_dataset(folder, task="nuclei")


def test_semantic_masks_with_instances(folder):
    finding = "mask has 12 values, as if each object had its own"
    assert "mask > 0" in find(
        folder, "warning", TRAIN_MASK, finding, task="semantic", max_rows=None
    )


def test_it_is_fast_enough_to_run_every_time(tmp_path, healthy_pairs):
    for i in range(100):
        image, labels = healthy_pairs[i % 8]
        image = np.roll(np.tile(image, (3, 3))[:256, :256], (7 * i, 5 * i), (0, 1))
        labels = np.tile(labels, (3, 3))[:256, :256]
        plant(tmp_path, ("train", "val", "test")[i % 3], f"cell_{i}", image, labels)
    start = time.process_time()
    check_dataset(tmp_path)
    assert time.process_time() - start < 10
