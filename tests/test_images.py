"""Reading and writing of image files and pixel sizes."""

import importlib.machinery
import sys
import types

import numpy as np
import pytest
import tifffile
from PIL import Image

from helpers.images import (
    check_labels,
    file_stem,
    read_image,
    read_image_axes,
    read_labels,
    read_pixel_size,
    write_image,
    write_labels,
)


def ramp(*shape, dtype="uint8"):
    return (np.arange(np.prod(shape)) % 251).reshape(shape).astype(dtype)


@pytest.mark.parametrize(
    ("shape", "options", "expected", "axes"),
    [
        pytest.param((6, 7), {}, (6, 7), "YX", id="plain"),
        pytest.param((5, 6, 7), {}, (5, 6, 7), "ZYX", id="plain pages are planes"),
        pytest.param((1, 6, 7), {}, (6, 7), "YX", id="single page"),
        pytest.param((6, 7, 3), {"photometric": "rgb"}, (6, 7, 3), "YXC", id="rgb"),
        pytest.param(
            (5, 2, 6, 7),
            {"imagej": True, "metadata": {"axes": "ZCYX"}},
            (5, 6, 7, 2),
            "ZYXC",
            id="imagej hyperstack",
        ),
        pytest.param(
            (4, 6, 7),
            {"imagej": True, "metadata": {"axes": "TYX"}},
            (4, 6, 7),
            "TYX",
            id="imagej time series",
        ),
        pytest.param(
            (2, 5, 1, 6, 7),
            {"ome": True, "metadata": {"axes": "CZTYX"}},
            (5, 6, 7, 2),
            "ZYXC",
            id="ome with one time point",
        ),
    ],
)
def test_tiff_axes_come_in_our_order(tmp_path, shape, options, expected, axes):
    path = tmp_path / "image.tif"
    image = ramp(*shape)
    tifffile.imwrite(path, image, **options)
    found, found_axes = read_image_axes(path)
    assert (found.shape, found_axes) == (expected, axes)
    order = sorted(image.ravel())
    assert sorted(found.ravel()) == order
    if "C" in axes and axes != "YXC":
        channel = image[0].squeeze() if axes == "ZYXC" and shape[0] == 2 else image[:, 0]
        np.testing.assert_array_equal(found[..., 0], channel)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_keeps_values_and_bit_depth(tmp_path, dtype):
    image = ramp(6, 7, dtype=dtype) * (1 if dtype == "uint8" else 200)
    Image.fromarray(image).save(tmp_path / "image.png")
    found = read_image(tmp_path / "image.png")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, image)


def test_16_bit_colour_png_is_not_cut_to_8_bit(tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    image = ramp(6, 7, 3, dtype="uint16") * 250
    (tmp_path / "image.png").write_bytes(imagecodecs.png_encode(image))
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), image)


def test_opacity_of_a_png_is_left_out(tmp_path):
    image = ramp(6, 7, 4)
    Image.fromarray(image, "RGBA").save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), image[..., :3])


def test_palette_png_gives_indices(tmp_path):
    picture = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    picture.putpalette([0, 0, 0, 200, 10, 10, 10, 200, 10])
    picture.save(tmp_path / "labels.png")
    assert read_labels(tmp_path / "labels.png").tolist() == [[0, 1], [2, 1]]


def test_jpeg_is_read_nearly_as_it_was(tmp_path):
    image = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (16, 1))
    Image.fromarray(image).save(tmp_path / "image.JPG", quality=95)
    found = read_image(tmp_path / "image.JPG")
    assert found.shape == image.shape
    assert np.abs(found.astype(int) - image).max() < 12


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((6, 7), "YX"), ((5, 6, 7), "ZYX"), ((6, 7, 3), "YXC"), ((5, 6, 7, 2), "ZYXC")],
)
def test_npy_and_npz(tmp_path, shape, axes):
    image = ramp(*shape)
    np.save(tmp_path / "image.npy", image)
    np.savez(tmp_path / "image.npz", image=image)
    for name in ("image.npy", "image.npz"):
        found, found_axes = read_image_axes(tmp_path / name)
        assert found_axes == axes
        np.testing.assert_array_equal(found, image)


def test_npy_drops_axes_of_length_one(tmp_path):
    np.save(tmp_path / "image.npy", ramp(1, 6, 7, 1))
    assert read_image_axes(tmp_path / "image.npy")[1] == "YX"


def test_python_objects_are_not_loaded(tmp_path):
    ragged = np.array([ramp(2, 2), ramp(3, 3)], dtype=object)
    np.save(tmp_path / "image.npy", ragged, allow_pickle=True)
    np.savez(tmp_path / "image.npz", ragged)
    for name in ("image.npy", "image.npz"):
        with pytest.raises(
            ValueError, match=rf"{name} holds Python objects.*save the arrays again"
        ):
            read_image(tmp_path / name)


def test_npz_with_two_arrays_is_not_one_image(tmp_path):
    np.savez(tmp_path / "image.npz", a=ramp(2, 2), b=ramp(2, 2))
    with pytest.raises(ValueError, match=r"image.npz holds 2 arrays \(a, b\).*load_dataset"):
        read_image(tmp_path / "image.npz")


def test_missing_file_and_unknown_format_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone.tif does not exist"):
        read_image(tmp_path / "gone.tif")
    with pytest.raises(FileNotFoundError, match=r"gone.tif does not exist"):
        read_pixel_size(tmp_path / "gone.tif")
    (tmp_path / "image.xyz").write_text("")
    with pytest.raises(ValueError, match=r"image.xyz: the format .xyz is not known.*TIFF"):
        read_image(tmp_path / "image.xyz")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"photometric": "minisblack"}, id="plain"),
        pytest.param({"imagej": True}, id="imagej"),
        pytest.param({"compression": "zlib", "photometric": "minisblack"}, id="compressed"),
        pytest.param({"ome": True}, id="ome"),
    ],
)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_cut_off_tiff_is_an_error_not_zeros(tmp_path, options, share):
    path = tmp_path / "stack.tif"
    noise = np.random.default_rng(0).integers(0, 255, (4, 40, 40), dtype=np.uint8)
    tifffile.imwrite(path, noise, **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"stack.tif cannot be read .*copy it again"):
        read_image(path)


def test_cut_off_png_and_text_in_disguise(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match=r"image.png cannot be read .*damaged, cut off"):
        read_image(path)
    (tmp_path / "page.tif").write_text("<html>not found</html>")
    with pytest.raises(ValueError, match=r"page.tif cannot be read .*not what its ending says"):
        read_image(tmp_path / "page.tif")


IMAGES = {
    "YX": ((6, 7), (0.2, 0.1)),
    "ZYX": ((5, 6, 7), (0.5, 0.2, 0.1)),
    "YXC": ((6, 7, 3), (0.2, 0.1)),
    "two channels": ((6, 7, 2), (0.2, 0.1)),
    "ZYXC": ((5, 6, 7, 2), (0.5, 0.2, 0.1)),
}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int16", "int32", "float64"])
@pytest.mark.parametrize("case", IMAGES)
def test_written_image_is_read_back(tmp_path, case, dtype):
    shape, size = IMAGES[case]
    image = ramp(*shape, dtype=dtype)
    path = write_image(tmp_path / "new" / "image.tif", image, pixel_size_um=size)
    found = read_image(path)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, image)
    assert read_pixel_size(path) == pytest.approx(size, rel=1e-6)


def test_fiji_form_has_unit_and_spacing(tmp_path):
    path = write_image(tmp_path / "a.tif", ramp(5, 6, 7), pixel_size_um=(0.5, 0.25, 0.1))
    with tifffile.TiffFile(path) as file:
        imagej = file.imagej_metadata
        x, unit = file.pages[0].tags["XResolution"].value
    assert (imagej["unit"], imagej["spacing"], imagej["slices"]) == ("um", 0.5, 5)
    assert x / unit == pytest.approx(10)


def test_mask_is_written_as_0_and_255(tmp_path):
    path = write_image(tmp_path / "mask.tif", np.array([[True, False]] * 2))
    assert read_image(path).tolist() == [[255, 0]] * 2


def test_axes_tell_a_short_stack_from_colour(tmp_path):
    image = ramp(5, 6, 3)
    path = write_image(tmp_path / "stack.tif", image, axes="ZYX")
    assert read_image_axes(path)[1] == "ZYX"
    path = write_image(tmp_path / "first.tif", ramp(2, 6, 7), axes="CYX")
    assert read_image(path).shape == (6, 7, 2)


def test_writing_refuses_what_would_go_wrong(tmp_path):
    path = write_image(tmp_path / "a.tif", ramp(6, 7))
    with pytest.raises(ValueError, match="exists already: give overwrite=True"):
        write_image(path, ramp(6, 7))
    write_image(path, ramp(3, 4), overwrite=True)
    assert read_image(path).shape == (3, 4)
    with pytest.raises(
        ValueError, match=r"a.png: images are written as TIFF; end the name in .tif"
    ):
        write_image(tmp_path / "a.png", ramp(6, 7))
    with pytest.raises(ValueError, match="do not know int64; give image.astype"):
        write_image(tmp_path / "b.tif", ramp(6, 7, dtype="int64"))
    with pytest.raises(ValueError, match=r"axes is 'YXC': name each axis once"):
        write_image(tmp_path / "b.tif", ramp(6, 7), axes="YXC")
    with pytest.raises(ValueError, match=r"pixel_size_um is \(0.1,\).*each of the axes Y, X"):
        write_image(tmp_path / "b.tif", ramp(6, 7), pixel_size_um=(0.1,))
    with pytest.raises(ValueError, match=r"pixel_size_um is \(0, 0.1\).*above 0"):
        write_image(tmp_path / "b.tif", ramp(6, 7), pixel_size_um=(0, 0.1))
    assert not (tmp_path / "b.tif").exists()


def write_tags(path, tag_unit, pixels_per_unit, **metadata):
    options = {"resolution": (pixels_per_unit, pixels_per_unit / 2)}
    if metadata:
        options |= {"imagej": True, "metadata": {"axes": "YX", **metadata}}
    else:
        options |= {"resolutionunit": tag_unit, "metadata": None}
    tifffile.imwrite(path, ramp(6, 7), **options)


@pytest.mark.parametrize(
    ("unit", "pixels_per_unit", "expected"),
    [
        pytest.param("micron", 10, (0.2, 0.1), id="micron"),
        pytest.param("um", 10, (0.2, 0.1), id="um"),
        pytest.param("\\u00B5m", 10, (0.2, 0.1), id="escaped micro sign"),
        pytest.param("nm", 0.2, (0.01, 0.005), id="nm"),
        pytest.param("mm", 10_000, (0.2, 0.1), id="mm"),
        pytest.param("pixel", 1, None, id="not calibrated"),
    ],
)
def test_pixel_size_in_imagej_units(tmp_path, unit, pixels_per_unit, expected):
    write_tags(tmp_path / "a.tif", None, pixels_per_unit, unit=unit)
    found = read_pixel_size(tmp_path / "a.tif")
    assert found == (expected and pytest.approx(expected, rel=1e-5))


@pytest.mark.parametrize(
    ("unit", "pixels_per_unit", "expected"),
    [
        pytest.param("CENTIMETER", 100_000, (0.2, 0.1), id="cm"),
        pytest.param("INCH", 254_000, (0.2, 0.1), id="inch"),
        pytest.param("INCH", 300, None, id="print setting"),
        pytest.param("NONE", 10, None, id="no unit"),
    ],
)
def test_pixel_size_in_resolution_tags(tmp_path, unit, pixels_per_unit, expected):
    write_tags(tmp_path / "a.tif", unit, pixels_per_unit)
    found = read_pixel_size(tmp_path / "a.tif")
    assert found == (expected and pytest.approx(expected, rel=1e-5))


def test_ome_pixel_size_in_nm_and_of_a_volume(tmp_path):
    metadata = {"axes": "ZYX", "PhysicalSizeZ": 500, "PhysicalSizeZUnit": "nm"}
    metadata |= {"PhysicalSizeY": 0.2, "PhysicalSizeX": 0.1}
    tifffile.imwrite(tmp_path / "a.ome.tif", ramp(5, 6, 7), ome=True, metadata=metadata)
    assert read_pixel_size(tmp_path / "a.ome.tif") == pytest.approx((0.5, 0.2, 0.1))


def test_pixel_size_of_a_stack_needs_z(tmp_path):
    write = {"imagej": True, "resolution": (10, 10)}
    tifffile.imwrite(
        tmp_path / "a.tif", ramp(5, 6, 7), metadata={"axes": "ZYX", "unit": "um"}, **write
    )
    assert read_pixel_size(tmp_path / "a.tif") is None


def test_formats_without_pixel_size_give_none(tmp_path):
    np.save(tmp_path / "a.npy", ramp(6, 7))
    assert read_pixel_size(tmp_path / "a.npy") is None


@pytest.mark.parametrize(("top", "dtype"), [(65_535, "uint16"), (65_536, "uint32")])
def test_labels_survive_exactly(tmp_path, top, dtype):
    labels = np.zeros((4, 300, 300), np.int32)
    labels[1, 5:9, 5:9], labels[2, 0, 0] = 7, top
    path = write_labels(tmp_path / "a.tif", labels, pixel_size_um=(0.5, 0.2, 0.1))
    found = read_labels(path)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, labels)
    assert read_image(path).dtype == dtype
    assert read_pixel_size(path) == pytest.approx((0.5, 0.2, 0.1))
    assert path.stat().st_size < labels.size / 10


def test_label_planes_of_three_columns_stay_planes(tmp_path):
    labels = ramp(5, 6, 3, dtype="int32")
    np.testing.assert_array_equal(read_labels(write_labels(tmp_path / "a.tif", labels)), labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([[0, -1]]), "between 0 and 2147483647, found -1"),
        (np.array([[0, 2**31]]), "found 0 to 2147483648"),
        (np.array([[0.0, 1.0]]), "must be integers, found float64"),
        (np.array([[0.0, np.nan]]), "must be integers, found float64"),
    ],
)
def test_what_is_no_label_image_is_not_written(tmp_path, labels, message):
    with pytest.raises(ValueError, match=f"a.tif: labels must.*{message}|{message}"):
        write_labels(tmp_path / "a.tif", labels)
    assert not list(tmp_path.iterdir())


def test_read_labels_takes_whole_floats_and_grey_saved_as_colour(tmp_path):
    labels = np.array([[0, 1], [2, 2]])
    np.save(tmp_path / "a.npy", labels.astype(np.float32))
    Image.fromarray(np.stack([labels.astype(np.uint8)] * 3, -1)).save(tmp_path / "a.png")
    for name in ("a.npy", "a.png"):
        found = read_labels(tmp_path / name)
        assert (found.dtype, found.tolist()) == (np.int32, labels.tolist())


def test_read_labels_refuses_fractions_colours_and_jpeg(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[0.0, 0.5]]))
    with pytest.raises(ValueError, match="a.npy: labels must be whole numbers.*threshold"):
        read_labels(tmp_path / "a.npy")
    Image.fromarray(ramp(6, 7, 3)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="a.png: the mask has 3 colour channels.*fix_labels"):
        read_labels(tmp_path / "a.png")
    Image.fromarray(ramp(6, 7)).save(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="a.jpg: a JPEG blurs.*labels_from_mask"):
        read_labels(tmp_path / "a.jpg")


def test_check_labels_gives_them_back():
    labels = [[0, 3]]
    assert check_labels(labels, "x").tolist() == labels


def test_file_stem_keeps_inner_dots():
    assert file_stem("a/b.c.OME.tiff".replace("OME", "ome")) == "b.c"
    assert file_stem("cell.zarr") == "cell"


def test_missing_reader_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.formats.find_spec", lambda name: None)
    for name, package in {"a.czi": "bioio-czi", "a.nd2": "bioio-nd2", "a.lif": "bioio-lif"}.items():
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(ImportError, match=rf"{name}: .*\n +pip install bioio {package}"):
            read_image(tmp_path / name)


class FakeBioImage:
    """Stands for a file of two scenes with two channels and three planes."""

    physical_pixel_sizes = (0.5, 0.2, 0.1)
    scenes = ("left", "right")

    def __init__(self, path):
        self.dims = types.SimpleNamespace(order="TCZYX", Z=3)
        self.scene = None

    def set_scene(self, scene):
        self.scene = scene

    @property
    def data(self):
        return ramp(1, 2, 3, 6, 7) + (100 if self.scene == "right" else 0)


@pytest.fixture
def lif_path(tmp_path, monkeypatch):
    for name in ("bioio", "bioio_lif"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.BioImage = FakeBioImage
        monkeypatch.setitem(sys.modules, name, module)
    (tmp_path / "a.lif").write_bytes(b"")
    return tmp_path / "a.lif"


def test_bioio_axes_and_scene(lif_path):
    found, axes = read_image_axes(lif_path, scene="right")
    assert axes == "ZYXC"
    np.testing.assert_array_equal(found[..., 1], ramp(2, 3, 6, 7)[1] + 100)


def test_bioio_scene_must_be_chosen(lif_path):
    with pytest.raises(ValueError, match=r"a.lif holds 2 images \(left, right\): choose one"):
        read_image(lif_path)
    with pytest.raises(ValueError, match="scene='up' is not in a.lif: it has left, right"):
        read_image(lif_path, scene="up")
    assert read_pixel_size(lif_path, scene=0) == (0.5, 0.2, 0.1)


def test_real_czi_and_ome_zarr(tmp_path):
    writer = pytest.importorskip("pylibCZIrw.czi", reason="extra formats is not installed")
    pytest.importorskip("bioio_czi")
    path = str(tmp_path / "a.czi")
    with writer.create_czi(path) as file:
        for z in range(3):
            file.write(np.full((6, 7, 1), z, np.uint16), plane={"Z": z, "C": 0, "T": 0})
        file.write_metadata("a", scale_x=1e-7, scale_y=2e-7, scale_z=5e-7)
    assert read_image(path)[:, 0, 0].tolist() == [0, 1, 2]
    assert read_pixel_size(path) == pytest.approx((0.5, 0.2, 0.1))
