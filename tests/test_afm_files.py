import struct
import sys
from types import ModuleType

import numpy as np
import pytest

from helpers.afm import files as afm_files
from helpers.afm.files import convert_afm_folder, read_afm
from helpers.images import read_image, read_pixel_size


def component(name, kind, payload):
    return name.encode() + b"\0" + kind + payload


def text(value):
    return value.encode() + b"\0"


def gwy_object(name, *components):
    body = b"".join(components)
    return text(name) + struct.pack("<I", len(body)) + body


def write_gwy(path, height_m, width_m, channel="Height"):
    """Write a Gwyddion file by its published format: nested named components."""
    rows, columns = height_m.shape
    unit = gwy_object("GwySIUnit", component("unitstr", b"s", text("m")))
    field = gwy_object(
        "GwyDataField",
        component("xres", b"i", struct.pack("<i", columns)),
        component("yres", b"i", struct.pack("<i", rows)),
        component("xreal", b"d", struct.pack("<d", width_m)),
        component("yreal", b"d", struct.pack("<d", width_m * rows / columns)),
        component("si_unit_xy", b"o", unit),
        component("si_unit_z", b"o", unit),
        component(
            "data", b"D", struct.pack("<I", height_m.size) + height_m.astype("<f8").tobytes()
        ),
    )
    container = gwy_object(
        "GwyContainer",
        component("/0/data", b"o", field),
        component("/0/data/title", b"s", text(channel)),
    )
    path.write_bytes(b"GWYP" + container)
    return path


@pytest.fixture
def fake_reader(monkeypatch):
    """Stand in for AFMReader: two channels, 5 nm per pixel."""
    maps = {"HeightTracee": np.arange(12.0).reshape(3, 4), "height_retrace": np.ones((2, 2))}

    def load(file_path, channel):
        if file_path.stat().st_size == 0:
            raise OSError("unexpected end")
        if channel not in maps:
            raise ValueError(f"'{channel}' not in {file_path.suffix} channel list: {list(maps)}")
        return maps[channel], 5.0

    package = ModuleType("AFMReader")
    monkeypatch.setitem(sys.modules, "AFMReader", package)
    for suffix, (name, function, _) in afm_files._READERS.items():
        module = ModuleType(f"AFMReader.{name}")
        setattr(module, function, load)
        monkeypatch.setitem(sys.modules, f"AFMReader.{name}", module)
        assert suffix.startswith(".")
    monkeypatch.setattr(afm_files, "find_spec", lambda name: name)
    return maps


def test_finds_the_usual_channel(tmp_path, fake_reader):
    path = tmp_path / "scan.ibw"
    path.write_bytes(b"x")
    found = read_afm(path)
    assert found.channel == "HeightTracee" and found.pixel_size_um == (0.005, 0.005)
    assert found.height.dtype == np.float32 and np.array_equal(
        found.height, fake_reader[found.channel]
    )
    (tmp_path / "scan.jpk").write_bytes(b"x")
    assert read_afm(tmp_path / "scan.jpk").channel == "height_retrace"


def test_names_the_channels_there_are(tmp_path, fake_reader):
    path = tmp_path / "scan.spm"
    path.write_bytes(b"x")
    with pytest.raises(ValueError, match="HeightTracee.*channel="):
        read_afm(path, channel="Phase")
    with pytest.raises(ValueError, match="scan.spm.*HeightTracee"):
        read_afm(path)


def test_damaged_file(tmp_path, fake_reader):
    (tmp_path / "cut.ibw").write_bytes(b"")
    with pytest.raises(ValueError, match="cut.ibw cannot be read .unexpected end.*Gwyddion"):
        read_afm(tmp_path / "cut.ibw")


def test_gwyddion_maps_must_be_square(tmp_path, fake_reader):
    fake_reader["Height"] = np.zeros((3, 4))
    (tmp_path / "a.gwy").write_bytes(b"x")
    with pytest.raises(ValueError, match="not square"):
        read_afm(tmp_path / "a.gwy")


def test_folder_becomes_tiff_with_pixel_size(tmp_path, fake_reader):
    (tmp_path / "in").mkdir()
    for name in ("a.ibw", "b.jpk", "notes.txt"):
        (tmp_path / "in" / name).write_bytes(b"x")
    written = convert_afm_folder(tmp_path / "in", tmp_path / "out" / "images")
    assert [path.name for path in written] == ["a.tif", "b.tif"]
    assert np.array_equal(read_image(written[0]), fake_reader["HeightTracee"])
    assert read_pixel_size(written[0]) == pytest.approx((0.005, 0.005))
    with pytest.raises(ValueError, match="overwrite"):
        convert_afm_folder(tmp_path / "in", tmp_path / "out" / "images")
    (tmp_path / "in" / "a.jpk").write_bytes(b"x")
    with pytest.raises(ValueError, match="one name"):
        convert_afm_folder(tmp_path / "in", tmp_path / "other")


def test_errors(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_afm(tmp_path / "no.gwy")
    (tmp_path / "a.tif").write_bytes(b"x")
    with pytest.raises(ValueError, match="read_image"):
        read_afm(tmp_path / "a.tif")
    with pytest.raises(ValueError, match="no files ending"):
        convert_afm_folder(tmp_path, tmp_path / "out")
    (tmp_path / "a.gwy").write_bytes(b"x")
    monkeypatch.setattr(afm_files, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install AFMReader"):
        read_afm(tmp_path / "a.gwy")


def test_gwyddion_file_with_the_real_reader(tmp_path):
    pytest.importorskip("AFMReader.gwy")
    heights = np.arange(16.0).reshape(4, 4) * 1e-9
    path = write_gwy(tmp_path / "a.gwy", heights, width_m=2e-6)
    found = read_afm(path)
    assert np.allclose(found.height, np.arange(16).reshape(4, 4))
    assert found.pixel_size_um == pytest.approx((0.5, 0.5)) and found.channel == "Height"
    with pytest.raises(ValueError, match="Height"):
        read_afm(path, channel="Phase")
