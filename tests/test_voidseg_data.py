"""VoidSeg's patches: places, noise, the two rules of the split, and who shares a source."""

import io
import zipfile
from collections import Counter

import numpy as np
import pytest
import tifffile

from data_download import (
    build_patches,
    datasets,
    fetch_dataset,
    find_shared_sources,
    fingerprint,
    read_manifest,
    resolve_dataset,
    verify_dataset,
)
from data_download.__main__ import main
from data_download.convert import assign_splits
from data_download.fetch import cache_folder
from data_download.layouts import Item
from data_download.patches import RULES, cut_items
from helpers.doctor import check_dataset

SHAPE = (138, 150)  # 11 x 23 places for a patch of 128


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    monkeypatch.setenv("MICROSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MICROSEG_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MICROSEG_BASE_URL", "http://127.0.0.1:1")


def make_pair(seed, shape=SHAPE):
    """Return an image whose pixels tell their row and column, and labels of some squares."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    labels = np.zeros(shape, np.uint16)
    for number, (top, left) in enumerate(rng.integers(0, np.array(shape) - 12, (9, 2)), start=3):
        labels[top : top + 12, left : left + 12] = number
    return (200 * y + x).astype(np.uint16), labels


def put(root, split, name, image, labels):
    for kind, array in (("images", image), ("masks", labels)):
        path = root / split / kind / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, array)


@pytest.fixture
def cells(tmp_path):
    """Make a folder of one's own: 4 training, 2 validation and 1 test image."""
    for number in range(7):
        split = ("train", "train", "train", "train", "val", "val", "test")[number]
        put(tmp_path / "cells", split, f"c{number}", *make_pair(number))
    return tmp_path / "cells"


def write_zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as stream:
        for name, array in files.items():
            content = io.BytesIO()
            tifffile.imwrite(content, array)
            stream.writestr(name, content.getvalue())


@pytest.fixture
def archives(monkeypatch):
    """Put small archives of DSB 2018 (8 + 2 images) and BBBC004 (8) into the cache."""
    files = {}
    for number in range(10):
        split = "train" if number < 8 else "test"
        image, labels = make_pair(number)
        files[f"dsb2018/{split}/images/i{number}.tif"] = image
        files[f"dsb2018/{split}/masks/i{number}.tif"] = labels
    write_zip(cache_folder() / "dsb2018" / "dsb2018.zip", files)
    pairs = [make_pair(number) for number in range(8)]
    parts = {
        "images": {f"{i}.tif": image for i, (image, _) in enumerate(pairs)},
        "foreground": {
            f"{i}.tif": np.uint8(255) * (labels > 0) for i, (_, labels) in enumerate(pairs)
        },
    }
    for part, content in parts.items():
        write_zip(cache_folder() / "bbbc004" / f"BBBC004_v1_000_{part}.zip", content)
    entries = datasets.load_registry()
    object.__setattr__(entries["dsb2018"].files[0], "sha256", None)
    monkeypatch.setattr(datasets, "load_registry", lambda: entries)


def fetch(name, to=None, **options):
    return fetch_dataset(name, to, progress=False, report=lambda line: None, **options)


def read(folder, kind="images"):
    """Return the arrays of all splits by name."""
    return {path.stem: tifffile.imread(path) for path in sorted(folder.glob(f"*/{kind}/*.tif"))}


def names(folder, split):
    return sorted(path.stem for path in (folder / split / "images").iterdir())


def count(folder):
    return {split: part["n"] for split, part in read_manifest(folder)["splits"].items()}


def sources_by_name(folder, split):
    """Return the source images of a split from its file names, not from dataset.toml."""
    return {name.rpartition("_p")[0] or name for name in names(folder, split)}


def test_published_split_is_over_patches(archives):
    folder = fetch("dsb2018_voidseg_n40_published")
    assert count(folder) == {"train": 68, "val": 12, "test": 2}  # 12 = 15 % of 80
    patches = sorted(names(folder, "train") + names(folder, "val"))
    assert patches == [f"i{image}_p{number:02d}" for image in range(8) for number in range(10)]
    last = np.random.RandomState(42).permutation(80)[-12:]
    assert names(folder, "val") == sorted(patches[i] for i in last)
    assert verify_dataset(folder) == []


def test_published_split_reports_what_it_shares(archives):
    folder = fetch("dsb2018_voidseg_n0_published")
    shared = sources_by_name(folder, "train") & sources_by_name(folder, "val")
    assert len(shared) >= 5
    facts = read_manifest(folder)
    assert facts["split_rule"] == "published" and facts["shared_sources"] == len(shared)
    assert find_shared_sources(folder) == {name: ["train", "val"] for name in sorted(shared)}
    assert "they share images with training" in facts["notes"]
    assert facts["splits"]["val"]["from"].endswith("divided over patches with seed 42")


def test_split_by_image_shares_no_source(archives):
    folder = fetch("dsb2018_voidseg_n40_by_image")
    assert count(folder) == {"train": 70, "val": 10, "test": 2}
    by_split = [sources_by_name(folder, split) for split in ("train", "val", "test")]
    assert sum(map(len, by_split)) == len(set.union(*by_split)) == 10
    assert find_shared_sources(folder) == {}
    facts = read_manifest(folder)
    assert facts["split_rule"] == "by_image" and facts["shared_sources"] == 0
    # the validation images are those of the set of whole images
    assert by_split[1] == set(names(fetch("dsb2018"), "val"))
    assert not (check_dataset(folder)["severity"] == "error").any()


@pytest.mark.parametrize("rule", RULES)
def test_manifest_names_the_source_of_every_patch(archives, rule):
    folder = fetch(f"dsb2018_voidseg_n0_{rule}")
    facts = read_manifest(folder)
    assert facts["seed"] == 42
    assert facts["patches"]["size"] == 128 and facts["patches"]["position_seed"] == 0
    images, listed = read(folder), []
    for split, sources in facts["sources"].items():
        for source, patches in sources.items():
            listed += [(split, f"{source}_p{number:02d}") for number, _, _ in patches]
            listed += [] if patches else [(split, source)]
            for number, y, x in patches:
                patch = images[f"{source}_p{number:02d}"]
                assert patch.shape == (128, 128) and patch[0, 0] == 200 * y + x
    on_disk = [(split, name) for split in count(folder) for name in names(folder, split)]
    assert sorted(listed) == sorted(on_disk)


def test_mask_is_cut_at_the_same_place_and_numbered_anew(archives):
    folder = fetch("dsb2018_voidseg_n0_by_image")
    facts, masks = read_manifest(folder), read(folder, "masks")
    for source, patches in facts["sources"]["train"].items():
        labels = make_pair(int(source[1:]))[1]
        for number, y, x in patches:
            mask, whole = masks[f"{source}_p{number:02d}"], labels[y : y + 128, x : x + 128]
            kept = np.unique(whole[whole > 0])
            assert np.unique(mask).tolist() == list(range(len(kept) + 1))
            assert (np.concatenate([[0], kept])[mask] == whole).all()


def test_noise_is_gaussian_and_the_same_under_both_rules(archives):
    clean = read(fetch("dsb2018_voidseg_n0_published"))
    noisy = {rule: read(fetch(f"dsb2018_voidseg_n40_{rule}")) for rule in RULES}
    assert {image.dtype.name for image in noisy["published"].values()} == {"float32"}
    assert {image.dtype.name for image in clean.values()} == {"uint16"}
    for name, image in noisy["published"].items():
        assert (noisy["by_image"][name] == image).all()
    noise = {name: image - clean[name] for name, image in noisy["published"].items()}
    pixels = np.concatenate([part.ravel() for part in noise.values()])
    # 1.4 million draws: the errors of mean and standard deviation are 0.034 and 0.024
    assert abs(pixels.mean()) < 0.2 and abs(pixels.std() - 40) < 0.15
    assert abs(np.mean(np.abs(pixels) < 40) - 0.6827) < 0.003
    # drawn for each patch, and for each pixel of it
    first, second = noise["i0_p00"].ravel(), noise["i0_p01"].ravel()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.03
    assert noise["i9"].std() == pytest.approx(40, abs=1)  # whole test images too
    facts = read_manifest(datasets.data_folder() / "dsb2018_voidseg_n40_by_image")
    assert facts["noise"]["sigma"] == 40 and facts["noise"]["seed"] == 42


def test_same_seed_same_files(archives, tmp_path):
    name = "dsb2018_voidseg_n10_published"
    prints = [
        fingerprint(fetch(name, tmp_path / str(i), seed=seed)) for i, seed in enumerate((42, 42, 7))
    ]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("published", {"train": 187, "val": 33, "test": 220}),  # 33 = 15 % of 4 x 55
        ("by_image", {"train": 110, "val": 110, "test": 220}),
    ],
)
def test_bbbc004_is_cut_in_all_splits(archives, rule, expected):
    folder = fetch(f"bbbc004_voidseg_n200_{rule}")
    assert count(folder) == expected
    sources = {split: sources_by_name(folder, split) for split in expected}
    assert len(sources["test"]) == 4 and not sources["test"] & (sources["train"] | sources["val"])
    assert bool(sources["train"] & sources["val"]) == (rule == "published")
    masks = read(folder, "masks")
    assert {mask.shape for mask in masks.values()} == {(128, 128)}
    assert max(mask.max() for mask in masks.values()) > 5  # pieces of binary masks, numbered


@pytest.mark.parametrize(("n", "expected"), [(4470, 670), (880, 132)])
def test_published_numbers_of_patches(n, expected):
    from data_download.patches import _split_over_patches

    items = _split_over_patches([Item("train", f"{i:04d}", None) for i in range(n)], 42)
    found = Counter(item.split for item in items)
    assert found == {"train": n - expected, "val": expected}


def test_by_image_keeps_the_published_numbers_of_dsb2018():
    entry = datasets.load_registry()["dsb2018_voidseg_n40_by_image"]
    items = [Item("train", f"{i:03d}", None) for i in range(447)]
    items, _ = assign_splits(items, seed=42, **entry.options["split"])
    assert 10 * sum(item.split == "val" for item in items) == 670


def test_own_folder_keeps_its_splits(cells):
    before = fingerprint(cells)
    folder = build_patches(cells, noise=0, size=32, n_per_image=5)
    assert folder.name == "cells_voidseg_n0_by_image"
    assert count(folder) == {"train": 20, "val": 10, "test": 1}
    assert sources_by_name(folder, "val") == {"c4", "c5"}
    facts = read_manifest(folder)
    assert facts["source_fingerprint"] == before == fingerprint(cells)
    assert facts["splits"]["val"]["from"] == "source"
    for source, patches in facts["sources"]["train"].items():
        for number, y, x in patches:
            patch = tifffile.imread(folder / "train" / "images" / f"{source}_p{number:02d}.tif")
            assert patch.shape == (32, 32) and patch[0, 0] == 200 * y + x
    assert verify_dataset(folder) == []


def test_own_folder_as_published_and_with_test_patches(cells, tmp_path):
    options = {"noise": 5, "size": 32, "rule": "published", "cut_test": True}
    folder = build_patches(cells, tmp_path / "one", **options)
    assert count(folder) == {"train": 51, "val": 9, "test": 10}  # 9 = 15 % of 6 x 10
    assert find_shared_sources(folder)
    again = build_patches(str(cells), tmp_path / "two", **options)
    other = build_patches(cells, tmp_path / "three", seed=1, **options)
    assert fingerprint(folder) == fingerprint(again) != fingerprint(other)


def test_flat_folder_is_split_by_image(tmp_path):
    for number in range(6):
        put(tmp_path / "flat", "", f"c{number}", *make_pair(number))
    folder = build_patches(tmp_path / "flat", noise=0, size=64, n_per_image=2)
    assert {split: len(sources_by_name(folder, split)) for split in count(folder)} == {
        "train": 4,
        "val": 1,
        "test": 1,
    }
    assert find_shared_sources(folder) == {}
    assert read_manifest(folder)["splits"]["val"]["from"] == "images drawn with seed 42"


def test_equal_names_in_two_splits_are_two_images(tmp_path):
    for split in ("train", "val", "test"):
        put(tmp_path / "cells", split, "001", *make_pair(len(split)))
    folder = build_patches(tmp_path / "cells", noise=0, size=64, n_per_image=10, rule="published")
    assert sum(count(folder).values()) == 21
    assert set(read_manifest(folder)["sources"]["train"]) <= {"train_001", "val_001"}


def test_small_images_are_refused_or_left_out(cells):
    put(cells, "train", "tiny", *make_pair(9, (40, 150)))
    with pytest.raises(ValueError, match=r"tiny: .*\(40, 150\).* 64 x 64 .*skip_small=True"):
        build_patches(cells, noise=0, size=64)
    assert list(datasets.data_folder().iterdir()) == []
    folder = build_patches(cells, noise=0, size=64, n_per_image=2, skip_small=True)
    assert count(folder)["train"] == 8
    assert read_manifest(folder)["patches"]["left_out"] == ["tiny"]


def test_semantic_masks_stay_semantic(cells):
    text = 'title = "Cells"\ntask = "semantic"\npixel_size_um = [0.5, 0.25]\n'
    (cells / "dataset.toml").write_text(text)
    folder = build_patches(cells, noise=0, size=64, n_per_image=2)
    assert set(np.unique(list(read(folder, "masks").values())[-1])) <= {0, 1}
    facts = read_manifest(folder)
    assert facts["title"] == "Cells" and facts["pixel_size_um"] == [0.5, 0.25]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": -1}, "noise is -1"),
        ({"noise": float("nan")}, "noise is nan"),
        ({"noise": 0, "rule": "random"}, "rule is 'random': give one of published, by_image"),
        ({"noise": 0, "size": 0}, "size is 0 and n is 10"),
    ],
)
def test_wrong_use_is_refused(cells, options, message):
    with pytest.raises(ValueError, match=message):
        build_patches(cells, **options)


def test_incomplete_sources_and_existing_targets_are_refused(cells, tmp_path):
    with pytest.raises(ValueError, match="cells exists already"):
        build_patches(cells, cells, noise=0, size=32)
    (cells / "train" / "masks" / "c0.tif").unlink()
    with pytest.raises(ValueError, match="1 images lack a mask or masks an image"):
        build_patches(cells, noise=0, size=32)
    with pytest.raises(ValueError, match="nowhere does not exist"):
        build_patches(tmp_path / "nowhere", noise=0)


def test_volumes_are_refused(tmp_path):
    volume = np.zeros((5, 64, 64), np.uint8)
    for name in "abc":
        put(tmp_path / "stack", "train", name, volume, volume)
    with pytest.raises(ValueError, match=r"\(5, 64, 64\).* do not fit axes YX"):
        build_patches(tmp_path / "stack", noise=0, size=32)


@pytest.fixture
def few_nuclei(monkeypatch):
    from data_download.samples import nuclei_sim

    monkeypatch.setattr(nuclei_sim, "N_IMAGES", {"train": 3, "val": 1, "test": 1})


def test_sample_needs_no_network_by_name_or_as_a_source(few_nuclei, capsys):
    folder = resolve_dataset("nuclei_sim_voidseg_n200_by_image")
    assert count(folder) == {"train": 30, "val": 10, "test": 1}
    assert find_shared_sources(folder) == {} and verify_dataset(folder) == []
    assert resolve_dataset("nuclei_sim_voidseg_n200_by_image") == folder
    same = build_patches("nuclei_sim", folder.with_name("same"), noise=200)
    assert fingerprint(same) == fingerprint(folder)


def test_command_cuts_and_says_what_is_shared(cells, tmp_path, capsys):
    command = ["patches", str(cells), "--noise", "3", "--size", "32", "--per-image", "4"]
    assert main([*command, "--to", str(tmp_path / "one")]) == 0
    assert (
        f"ready in {tmp_path / 'one'}; images in more than one split: 0" in capsys.readouterr().out
    )
    assert main([*command, "--to", str(tmp_path / "two"), "--rule", "published", "--cut-test"]) == 0
    n_shared = int(capsys.readouterr().out.rpartition(" ")[2])
    assert n_shared == len(find_shared_sources(tmp_path / "two")) > 0
    assert main([*command, "--to", str(tmp_path / "one")]) == 2
    assert "one exists already" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "two")]) == 0


def test_names_are_listed_and_described(capsys):
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    for sigma in (0, 10, 20, 40):
        for rule in RULES:
            assert f"dsb2018_voidseg_n{sigma}_{rule} " in text
    assert "bbbc004_voidseg_n150_by_image" in text and "dsb2018_patches_n40" in text
    assert main(["show", "bbbc004_voidseg_n150_published"]) == 0
    text = capsys.readouterr().out
    assert "748 training, 132 validation" in text and "BBBC004_v1_000_images.zip" in text


def test_folder_without_sources_says_so(cells):
    (cells / "dataset.toml").write_text('title = "x"\n')
    with pytest.raises(ValueError, match="names no sources"):
        find_shared_sources(cells)


def test_data_sets_without_patches_are_left_alone():
    entry = datasets.load_registry()["dsb2018_n40"]
    items = [Item("train", "a", None)]
    assert cut_items(items, entry, seed=42) == (items, {})
