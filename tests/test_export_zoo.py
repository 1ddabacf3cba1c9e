"""Packages for the BioImage Model Zoo pass that library's own test."""

import os
import zipfile
from importlib.util import find_spec

import keras
import numpy as np
import pytest

from helpers.__main__ import main
from helpers.export_zoo import write_zoo_package
from helpers.normalise import Normalizer
from helpers.predictors import save_predictor

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
