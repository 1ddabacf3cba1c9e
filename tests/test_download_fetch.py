"""Downloads from a server on this computer: mirrors, checksums, pins, broken transfers."""

import hashlib
import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from data_download import fetch
from data_download.fetch import DownloadError, cache_folder, download, urls_of
from data_download.registry import RemoteFile


def make_zip(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


GOOD = make_zip(a="1" * 5000)
OTHER = make_zip(a="2" * 5000)
GOOD_SHA256 = hashlib.sha256(GOOD).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answer by the first part of the path; count the requests."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):  # noqa: N802
        """Send what the path asks for."""
        self.server.requested.append(self.path)
        kind = self.path.split("/")[1]
        if kind == "missing":
            return self.send_error(404, "Not Found")
        body = {"other": OTHER, "page": b"<html>gone</html>"}.get(kind, GOOD)
        if kind == "flaky" and len(self.server.requested) == 1:
            kind = "cut"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if kind == "cut" else body)
        self.close_connection = True

    def log_message(self, *arguments):
        """Stay quiet."""


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("MICROSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("MICROSEG_BASE_URL", raising=False)
    monkeypatch.setattr(fetch, "RETRIES", 0)
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.requested = []
    httpd.url = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield httpd
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def get(server):
    """Download `cells.zip` from paths of the server; keep what was reported in `get.lines`."""

    def run(*paths, sha256=None):
        urls = [f"{server.url}/{path}" for path in paths]
        file = RemoteFile(name="cells.zip", folder="cells", urls=urls, sha256=sha256)
        return download(file, progress=False, report=run.lines.append)

    run.lines = []
    return run


def files_in_cache():
    files = [path for path in cache_folder().rglob("*") if path.is_file()]
    return sorted(path.relative_to(cache_folder()).as_posix() for path in files)


def test_good_file_is_downloaded_once(server, get):
    path, sha256 = get("good", sha256=GOOD_SHA256)
    assert path.read_bytes() == GOOD and sha256 == GOOD_SHA256
    get("good", sha256=GOOD_SHA256)
    assert server.requested == ["/good"]
    assert "already in" in get.lines[-1]
    assert files_in_cache() == ["cells/cells.zip"]


def test_next_mirror_after_404(server, get):
    path, _ = get("missing", "good", sha256=GOOD_SHA256)
    assert path.read_bytes() == GOOD
    assert server.requested == ["/missing", "/good"]
    assert any("the server answered 404 (Not Found)" in line for line in get.lines)


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        pytest.param("other", f"its sha256 is not {GOOD_SHA256}", id="other bytes"),
        pytest.param("page", "but an HTML page", id="error page"),
        pytest.param("cut", "the connection broke off", id="connection lost"),
    ],
)
def test_bad_transfer_is_refused_and_the_next_mirror_is_tried(server, get, kind, cause):
    with pytest.raises(DownloadError, match="could not be downloaded") as error:
        get(kind, sha256=GOOD_SHA256)
    assert cause in str(error.value) and f"{server.url}/{kind}" in str(error.value)
    assert files_in_cache() == []
    path, _ = get(kind, "good", sha256=GOOD_SHA256)
    assert path.read_bytes() == GOOD


@pytest.mark.parametrize("kind", ["cut", "page"])
def test_half_a_file_is_not_pinned(get, kind):
    with pytest.raises(DownloadError):
        get(kind)
    assert files_in_cache() == []


def test_no_server_at_all_is_explained(get, server):
    file = RemoteFile("cells.zip", "cells", ["http://127.0.0.1:1/cells.zip"])
    with pytest.raises(DownloadError, match=r"MICROSEG_BASE_URL.*by hand"):
        download(file, progress=False, report=get.lines.append)


def test_same_address_is_tried_again(server, get, monkeypatch):
    monkeypatch.setattr(fetch, "RETRIES", 1)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    path, _ = get("flaky", sha256=GOOD_SHA256)
    assert path.read_bytes() == GOOD
    assert server.requested == ["/flaky", "/flaky"]


def test_unknown_checksum_is_pinned_and_checked_from_then_on(server, get):
    path, sha256 = get("good")
    pins = json.loads((cache_folder() / "pins.json").read_text())
    assert pins == {"cells/cells.zip": GOOD_SHA256} and sha256 == GOOD_SHA256
    assert "pinned" in get.lines[-1] and GOOD_SHA256 in get.lines[-1]
    path.unlink()
    with pytest.raises(DownloadError, match=f"sha256 is not {GOOD_SHA256}"):
        get("other")
    assert not path.exists()
    get("good")
    assert not any("pinned" in line for line in get.lines[2:])


def test_damaged_file_in_the_cache_is_downloaded_again(server, get):
    path, _ = get("good")
    path.write_bytes(GOOD[:100])
    assert get("good")[0].read_bytes() == GOOD


def test_file_put_into_the_cache_by_hand_must_be_whole(server, get):
    path = cache_folder() / "cells" / "cells.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(GOOD[:100])
    with pytest.raises(ValueError, match=r"cells.zip is not what .*: delete .*cells.zip"):
        get("good")
    path.write_bytes(GOOD)
    assert get("good") == (path, GOOD_SHA256)
    assert server.requested == []


def test_damaged_pins_are_named(get):
    cache_folder().mkdir(parents=True)
    (cache_folder() / "pins.json").write_text("{")
    with pytest.raises(ValueError, match=r"pins\.json is damaged .* mend or delete it"):
        get("good")


def test_base_url_is_the_only_host_contacted(server, get, monkeypatch):
    monkeypatch.setenv("MICROSEG_BASE_URL", f"{server.url}/mirror/")
    get("good", sha256=GOOD_SHA256)
    assert server.requested == ["/mirror/cells/cells.zip"]
    spaced = RemoteFile("a b.zip", "my set", ["https://elsewhere.example/a.zip"])
    assert urls_of(spaced) == [f"{server.url}/mirror/my%20set/a%20b.zip"]


def test_cache_folder_by_default_is_the_system_s(monkeypatch):
    monkeypatch.delenv("MICROSEG_CACHE", raising=False)
    assert "microseg-notebooks" in str(cache_folder())
