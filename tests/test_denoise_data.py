"""Noisy data with or without labels and clean images, and the denoised copy of a folder."""

import numpy as np
import pytest

from data_download import read_manifest, resolve_dataset
from helpers import denoise
from helpers.datasets import load_dataset
from helpers.denoise.data import load_noisy, save_denoised
from helpers.images import write_image, write_labels


def write(folder, kind, names, value=0):
    for k, name in enumerate(names):
        image = np.full((16, 16), value + k, np.float32)
        write_image(folder / kind / f"{name}.tif", image)


def write_masks(folder, names):
    for name in names:
        labels = np.zeros((16, 16), np.int32)
        labels[2:8, 2:8] = 1
        write_labels(folder / "masks" / f"{name}.tif", labels)


def test_images_alone_are_split_by_source(tmp_path):
    names = [f"a{k}" for k in range(10)]
    write(tmp_path, "images", names)
    data = load_noisy(tmp_path, seed=3)
    assert sorted(n for split in data.splits.values() for n in split.names) == names
    assert all(len(split) and not split.masks for split in data.splits.values())
    for split in data.splits.values():  # image and name stay together
        assert [int(x[0, 0]) for x in split.images] == [int(n[1:]) for n in split.names]
    assert "seed 3" in data.splits["train"].note
    assert data.clean == {}


def test_labels_clean_and_unlabelled_images_are_found(tmp_path):
    for name, count in (("train", 3), ("val", 1), ("test", 2)):
        names = [f"{name}{k}" for k in range(count)]
        write(tmp_path / name, "images", names)
        write_masks(tmp_path / name, names)
        write(tmp_path / name, "clean", names, value=100)
    (tmp_path / "test" / "clean" / "test1.tif").unlink()
    write(tmp_path, "unlabelled", ["u1", "u2"])
    data = load_noisy(tmp_path)
    assert {n: len(s.masks) for n, s in data.splits.items()} == {"train": 3, "val": 1, "test": 2}
    assert set(data.clean) == {"train", "val"}  # not all of test are there
    assert [int(x[0, 0]) for x in data.clean["train"]] == [100, 101, 102]
    assert len(data.unlabelled) == 2


def test_five_labelled_images_and_a_folder_of_others(tmp_path):
    names = [f"a{k}" for k in range(5)]
    write(tmp_path, "images", names)
    write_masks(tmp_path, names)
    write(tmp_path, "unlabelled", [f"u{k}" for k in range(7)])
    data = load_noisy(tmp_path)
    assert sum(len(split) for split in data.splits.values()) == 5
    assert len(data.unlabelled) == 7
    assert sum(len(split) for split in load_dataset(tmp_path).values()) == 5  # not disturbed


def test_wrong_folders_are_refused(tmp_path):
    write(tmp_path, "images", ["a", "b"])
    with pytest.raises(ValueError, match="give at least three"):
        load_noisy(tmp_path)
    write(tmp_path, "images", ["c"])
    write_image(tmp_path / "clean" / "a.tif", np.zeros((8, 8), np.float32))
    write(tmp_path, "clean", ["b", "c"])
    with pytest.raises(ValueError, match="clean and noisy must show the same field"):
        load_noisy(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_noisy(tmp_path / "nowhere")


def test_added_noise_makes_the_given_images_the_clean_ones(tmp_path):
    write(tmp_path, "images", [f"a{k}" for k in range(6)])
    write(tmp_path, "unlabelled", ["u"])
    data = load_noisy(tmp_path)
    assert data.with_noise(sigma=0) is data
    noisy = data.with_noise(sigma=5, seed=1)
    residuals = [x - y for s in noisy.splits for x, y in
                 zip(noisy.splits[s].images, noisy.clean[s], strict=True)]  # fmt: skip
    assert np.std(residuals) == pytest.approx(5, rel=0.1)
    assert not np.array_equal(residuals[0], residuals[1])
    assert noisy.unlabelled[0].std() == pytest.approx(5, rel=0.2)
    again = data.with_noise(sigma=5, seed=1)
    np.testing.assert_array_equal(again.splits["val"].images[0], noisy.splits["val"].images[0])


def test_denoised_set_is_a_data_folder_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROSEG_DATA", str(tmp_path / "data"))
    names = [f"a{k}" for k in range(6)]
    write(tmp_path / "mine", "images", names)
    write_masks(tmp_path / "mine", names)
    data = load_noisy(tmp_path / "mine")
    denoised = {name: [x + 50 for x in split.images] for name, split in data.splits.items()}
    target = tmp_path / "data" / "mine_denoised"
    for _ in range(2):  # a second run replaces the first
        save_denoised(target, data.splits, denoised, facts={"denoised_from": "mine"})
    assert resolve_dataset("mine_denoised") == target
    assert read_manifest(target)["denoised_from"] == "mine"
    loaded = load_dataset(target)
    for name, split in loaded.items():
        assert split.names == data.splits[name].names
        np.testing.assert_array_equal(split.images[0], denoised[name][0])
        np.testing.assert_array_equal(split.masks[0], data.splits[name].masks[0])
    with pytest.raises(ValueError, match="not overwritten"):
        save_denoised(tmp_path / "mine", data.splits, denoised, facts={})
    with pytest.raises(ValueError, match="has 0 images"):
        save_denoised(target, data.splits, denoised | {"val": []}, facts={})


def test_denoiser_of_notebook_02_is_taken_if_it_fits(tmp_path, capsys):
    rng = np.random.default_rng(0)
    images = [rng.normal(100, 20, (16, 16)) for _ in range(3)]
    options = {"depth": 1, "filters": 2, "n_steps": 2}
    first = denoise.get_denoiser(images, images, tmp_path / "data" / "n2v", **options)
    assert "training one" in capsys.readouterr().out
    again = denoise.get_denoiser(images, images, tmp_path / "data" / "n2v", **options)
    assert "training one" not in capsys.readouterr().out
    np.testing.assert_array_equal(
        denoise.denoise(again, images[0]), denoise.denoise(first, images[0])
    )
    brighter = [image + 50 for image in images]  # the data have changed
    denoise.get_denoiser(brighter, brighter, tmp_path / "data" / "n2v", **options)
    assert "training one" in capsys.readouterr().out
