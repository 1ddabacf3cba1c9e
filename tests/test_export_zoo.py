"""Packages for the BioImage Model Zoo pass that library's own test."""

import io
import os
import zipfile
from importlib.util import find_spec

import keras
import numpy as np
import pytest

from helpers.__main__ import main
from helpers.export.zoo import write_zoo_package
from helpers.normalise import Normalizer
from helpers.predict.predictors import save_predictor

if find_spec("bioimageio.core") is None:  # importing it here would set another backend
    pytest.skip("bioimageio.core is not installed", allow_module_level=True)


def test_package_passes_the_test_of_the_zoo(tmp_path, capsys):
    from helpers.unets import build_unet

    unet = build_unet("unet", filters=2, depth=2)
    settings = {"normalizer": Normalizer(low=1, high=99.8), "threshold": 0.4}
    save_predictor(tmp_path / "em_unet" / "model", "em_unet", unet, **settings)
    command = ["export", str(tmp_path / "em_unet"), "--to", "bioimageio"]
    assert main(command) == 2
    assert "--author is missing" in capsys.readouterr().err
    assert main([*command, "--author", "A. Name"]) == 0
    path = tmp_path / "em_unet_bioimageio" / "em_unet.zip"
    with zipfile.ZipFile(path) as package:
        names = package.namelist()
        assert {"network.keras", "predictor.json", "test_input.npy", "README.md"} <= set(names)
        with package.open("test_input.npy") as file:
            assert np.load(file).shape == (1, 64, 64, 1)
    with pytest.raises(ValueError, match="exists already"):
        write_zoo_package(tmp_path / "em_unet", path, author="A")
    with pytest.raises(ValueError, match=r"end the name in \.zip"):
        write_zoo_package(tmp_path / "em_unet", tmp_path / "a.tar", author="A")
    assert os.environ["KERAS_BACKEND"] == keras.backend.backend()  # not torch for children


def read_package(path):
    with zipfile.ZipFile(path) as package:
        names = [name for name in package.namelist() if name.endswith(".npy")]
        arrays = {name[5:-4]: np.load(io.BytesIO(package.read(name))) for name in names}
        return arrays, package.read("rdf.yaml").decode(), package.read("README.md").decode()


@pytest.mark.parametrize("bias", [4, -4], ids=["stars", "negative distances"])
def test_stardist_gives_its_labels_by_the_step_of_the_format(tmp_path, bias):
    from stardist.models import Config2D, StarDist2D

    from helpers.stars import OWN_LOOP

    keras.utils.set_random_seed(3)
    config = Config2D(
        n_rays=8, grid=(2, 2), unet_n_depth=1, unet_n_filter_base=2, net_conv_after_unet=4,
        train_patch_size=(32, 32), **OWN_LOOP
    )  # fmt: skip
    model = StarDist2D(config, name="model", basedir=str(tmp_path))
    layer = model.keras_model.get_layer("dist")
    weights, _ = layer.get_weights()
    layer.set_weights([weights, np.full(8, bias, np.float32)])
    model.keras_model.save_weights(str(tmp_path / "model" / "best.weights.h5"))
    (tmp_path / "model" / "thresholds.json").write_text('{"prob": 0.5, "nms": 0.3}')
    save_predictor(tmp_path / "model", "stardist", normalizer=Normalizer())
    path = write_zoo_package(tmp_path, tmp_path / "stars.zip", author="A")
    arrays, description, readme = read_package(path)
    assert arrays["output"].shape == arrays["input"].shape == (1, 64, 64, 1)
    assert arrays["output"].dtype == np.int32 and arrays["output"].max() > 5
    assert "id: stardist_postprocessing" in description and "n_rays: 8" in description
    assert "needs the package stardist" in readme


def test_mask_rcnn_gives_its_detections(tmp_path):
    from helpers import maskrcnn
    from helpers.saving import save_model

    settings = maskrcnn.Settings(
        filters=4, pyramid_filters=8, rois=8, box_units=8, mask_filters=8, candidates=50,
        proposals=10, max_detections=6,
    )  # fmt: skip
    model = maskrcnn.MaskRCNN(settings)
    save_model(model, tmp_path / "model", np.zeros((1, 64, 64, 1), np.float32))
    rule = maskrcnn.DetectionRule()
    save_predictor(
        tmp_path / "model", "mask_rcnn", normalizer=Normalizer(), rule=rule, tile=64, overlap=16
    )
    path = write_zoo_package(tmp_path, tmp_path / "mask.zip", author="A")
    arrays, description, readme = read_package(path)
    assert arrays["input"].shape == (1, 64, 64, 1)
    assert arrays["boxes"].shape == (1, 6, 4) and arrays["scores"].shape == (1, 6)
    assert arrays["masks"].ndim == 4 and description.count("type: index") == 4
    assert "windows of one size" in readme


def test_rays_that_the_format_does_not_know_are_named():
    from types import SimpleNamespace

    from helpers.export.zoo_networks import _stars_to_labels

    config = SimpleNamespace(
        n_rays=8, grid=(1, 2, 2), n_dim=3, rays_json={"name": "Rays_Tetra", "kwargs": {}}
    )
    model = SimpleNamespace(config=config, thresholds=SimpleNamespace(prob=0.5, nms=0.3))
    with pytest.raises(ValueError, match="its rays are Rays_Tetra"):
        _stars_to_labels(None, model)
