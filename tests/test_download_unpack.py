"""Archives that are fine, and archives that must be refused."""

import io
import stat
import tarfile
import zipfile

import numpy as np
import pytest

from data_download import unpack as module
from data_download.unpack import check_kind, read_npz, unpack


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def make_tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for info, content in members:
            if isinstance(info, str):
                info = tarfile.TarInfo(info)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_zip_is_unpacked_without_system_junk(tmp_path):
    members = [("a/x.tif", b"1"), ("a/y.tif", b"22"), ("__MACOSX/a/x.tif", b"-"), ("b/", b"")]
    archive = make_zip(tmp_path / "set.zip", members)
    before = archive.read_bytes()
    folder = unpack(archive, tmp_path / "out")
    assert contents(folder) == {"a/x.tif": b"1", "a/y.tif": b"22"}
    assert archive.read_bytes() == before


@pytest.mark.parametrize(("name", "mode"), [("set.tar", "w"), ("set.tar.gz", "w:gz")])
def test_tar_is_unpacked(tmp_path, name, mode):
    archive = make_tar(tmp_path / name, [("a/x.tif", b"1")], mode)
    assert contents(unpack(archive, tmp_path / "out")) == {"a/x.tif": b"1"}


def test_single_image_passes_through(tmp_path):
    image = tmp_path / "training.tif"
    image.write_bytes(b"II*\0rest")
    assert contents(unpack(image, tmp_path / "out")) == {"training.tif": b"II*\0rest"}


LEAVING = ["/etc/x.tif", "../x.tif", "a/../../x.tif", "C:/x.tif", "c:x.tif", r"..\x.tif", r"\x.tif"]


@pytest.mark.parametrize("name", LEAVING)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_leave_the_folder_are_refused(tmp_path, kind, name):
    make = {"zip": make_zip, "tar": make_tar}[kind]
    archive = make(tmp_path / f"evil.{kind}", [("good.tif", b"1"), (name, b"2")])
    with pytest.raises(ValueError, match="leaves the folder; refused"):
        unpack(archive, tmp_path / "deep" / "out")
    assert not (tmp_path / "deep" / "out").exists()
    assert not list(tmp_path.rglob("x.tif"))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_tar_links_and_devices_are_refused(tmp_path, kind):
    info = tarfile.TarInfo("link.tif")
    info.type, info.linkname = kind, "/etc/passwd"
    archive = make_tar(tmp_path / "evil.tar", [(info, b"")])
    with pytest.raises(ValueError, match=r"link\.tif is a link or device; refused"):
        unpack(archive, tmp_path / "out")


def test_zip_symlink_is_refused(tmp_path):
    info = zipfile.ZipInfo("link.tif")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = make_zip(tmp_path / "evil.zip", [(info, "/etc/passwd")])
    with pytest.raises(ValueError, match=r"link\.tif is a link or device; refused"):
        unpack(archive, tmp_path / "out")


def test_two_members_of_one_name_are_refused(tmp_path):
    archive = make_zip(tmp_path / "evil.zip", [("A.tif", b"1"), ("a.tif", b"2")])
    with pytest.raises(ValueError, match=r"a\.tif occurs twice"):
        unpack(archive, tmp_path / "out")


def test_encrypted_zip_is_refused(tmp_path):
    archive = make_zip(tmp_path / "evil.zip", [("a.tif", b"1")])
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(ValueError, match="is encrypted"):
        unpack(archive, tmp_path / "out")


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_MEMBERS", 2)
    archive = make_zip(tmp_path / "evil.zip", [(f"{i}.tif", b"") for i in range(3)])
    with pytest.raises(ValueError, match="3 members, limit 2"):
        unpack(archive, tmp_path / "out")


def test_too_large_contents_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_TOTAL_BYTES", 2**20)
    archive = make_zip(tmp_path / "evil.zip", [("a.tif", bytes(2**20 + 1))])
    with pytest.raises(ValueError, match=r"unpacks to 1\.0 MiB, limit 1\.0 MiB"):
        unpack(archive, tmp_path / "out")


def test_ratio_counts_only_for_large_contents(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "masks.zip", [("a.tif", bytes(2**20))])
    assert 2**20 / archive.stat().st_size > module.MAX_RATIO
    unpack(archive, tmp_path / "out")
    monkeypatch.setattr(module, "RATIO_FREE_BYTES", 1000)
    with pytest.raises(ValueError, match="for a file of this size; refused"):
        unpack(archive, tmp_path / "out2")


def test_member_larger_than_declared_is_refused(tmp_path):
    archive = make_zip(tmp_path / "evil.zip", [("a.tif", bytes(3 * module.CHUNK))])
    with pytest.raises(ValueError, match="larger than declared"):
        member = module.Member("a.tif", 10, lambda: zipfile.ZipFile(archive).open("a.tif"))
        module._write_member(member, tmp_path / "out", archive)
    assert (tmp_path / "out" / "a.tif").stat().st_size == 0


def test_zip_that_lies_about_a_size_is_refused(tmp_path):
    archive = make_zip(tmp_path / "evil.zip", [("a.tif", bytes(5000))])
    data = bytearray(archive.read_bytes())
    start = data.index(b"PK\x01\x02") + 24
    data[start : start + 4] = (10).to_bytes(4, "little")
    archive.write_bytes(data)
    with pytest.raises(ValueError, match="evil.zip"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_member_is_named(tmp_path):
    archive = make_zip(tmp_path / "cells.zip", [("a.tif", b"cells" * 99)])
    data = bytearray(archive.read_bytes())
    data[40] ^= 255
    archive.write_bytes(data)
    with pytest.raises(ValueError, match=r"cells\.zip cannot be unpacked .* download it again"):
        unpack(archive, tmp_path / "out")


def test_damaged_compressed_data_are_named(tmp_path):
    archive = tmp_path / "cells.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as stream:
        stream.writestr("a.npy", bytes(range(256)) * 9)
    data = bytearray(archive.read_bytes())
    data[35:40] = b"\xff" * 5  # the header is 30 bytes and a name of 5
    archive.write_bytes(data)
    with pytest.raises(ValueError, match=r"cells\.zip cannot be unpacked .* download it again"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    archive = archive.rename(tmp_path / "cells.npz")
    with pytest.raises(ValueError, match=r"cells\.npz: array a cannot be read"):
        read_npz(archive)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tif", "a.png", "a.npz"])
def test_content_must_be_what_the_name_says(tmp_path, name):
    (tmp_path / name).write_bytes(b"<html>not here</html>")
    with pytest.raises(ValueError, match=f"{name} is not what its name says, but an HTML page"):
        unpack(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unknown_ending_is_refused(tmp_path):
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    with pytest.raises(ValueError, match=r"a\.rar: unknown kind of file, expected one of \.zip"):
        check_kind(tmp_path / "a.rar")


def test_npz_arrays_are_read(tmp_path):
    np.savez(tmp_path / "a.npz", X_train=np.arange(4), Y_train=np.eye(2))
    arrays = read_npz(tmp_path / "a.npz")
    assert arrays["X_train"].tolist() == [0, 1, 2, 3] and arrays["Y_train"].shape == (2, 2)


class Evil:
    """Leaves a file behind if it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        """Tell pickle to make the file."""
        return (open, (str(self.path), "w"))


def test_object_array_is_never_unpickled(tmp_path):
    images = np.empty(2, object)
    images[:] = [Evil(tmp_path / "trace"), np.zeros((2, 3))]
    np.savez(tmp_path / "test.npz", X_test=images)
    with pytest.raises(ValueError, match=r"X_test is an object array.*one array per image.*n40"):
        read_npz(tmp_path / "test.npz")
    assert not (tmp_path / "trace").exists()


def test_npz_of_absurd_size_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(2**17))
    monkeypatch.setattr(module, "MAX_TOTAL_BYTES", 1000)
    with pytest.raises(ValueError, match=r"a\.npz: unpacks to 1\.0 MiB"):
        read_npz(tmp_path / "a.npz")
