"""A report becomes a PDF by whatever renders HTML here, and a message tells when nothing does."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from helpers.__main__ import main
from helpers.report import pdf as report_pdf
from helpers.report.pdf import find_browser, write_pdf

PAGE = "<!DOCTYPE html><html><head><title>x</title></head><body><h1>Fifty nuclei</h1></body></html>"


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "a folder" / "report.html"
    path.parent.mkdir()
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_without_a_renderer_the_message_says_what_to_do(page, monkeypatch):
    monkeypatch.setattr(report_pdf, "find_browser", lambda: None)
    monkeypatch.setattr(report_pdf, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="install Chromium or Chrome, or pip install weasy"):
        write_pdf(page)
    assert [path.name for path in page.parent.iterdir()] == ["report.html"]
    with pytest.raises(FileNotFoundError, match="write the report first"):
        write_pdf(page.with_name("none.html"))


def test_weasyprint_serves_where_there_is_no_browser(page, monkeypatch):
    class HTML:
        def __init__(self, filename):
            self.text = open(filename, encoding="utf-8").read()

        def write_pdf(self, target):
            open(target, "w", encoding="utf-8").write(f"%PDF of {self.text}")

    fake = ModuleType("weasyprint")
    fake.HTML = HTML
    monkeypatch.setitem(sys.modules, "weasyprint", fake)
    monkeypatch.setattr(report_pdf, "find_browser", lambda: None)
    monkeypatch.setattr(report_pdf, "find_spec", lambda name: name == "weasyprint")
    assert write_pdf(page).read_text(encoding="utf-8") == f"%PDF of {PAGE}"


def test_a_browser_is_asked_once_and_its_failure_named(page, monkeypatch):
    commands = []

    def run(command, **options):
        commands.append(command)
        if len(commands) == 1:
            (target,) = [c.split("=", 1)[1] for c in command if c.startswith("--print-to-pdf=")]
            open(target, "wb").write(b"%PDF-1.4")
            return SimpleNamespace(returncode=0, stderr="")
        return SimpleNamespace(returncode=1, stderr="warning\nno display\n")

    monkeypatch.setattr(report_pdf, "find_browser", lambda: "a browser")
    monkeypatch.setattr(report_pdf.subprocess, "run", run)
    assert write_pdf(page) == page.with_suffix(".pdf")
    assert page.with_suffix(".pdf").read_bytes() == b"%PDF-1.4"
    assert commands[0][0] == "a browser" and "--headless" in commands[0]
    assert commands[0][-1] == page.as_uri() and "a%20folder" in commands[0][-1]
    with pytest.raises(OSError, match="could not print report.html: no display"):
        write_pdf(page)
    assert page.with_suffix(".pdf").read_bytes() == b"%PDF-1.4"  # the earlier one stays


def test_the_browser_is_found_on_the_path_or_in_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(report_pdf.shutil, "which", lambda name: f"/x/{name}")
    assert find_browser() == "/x/chromium"
    monkeypatch.setattr(report_pdf.shutil, "which", lambda name: None)
    monkeypatch.setattr(report_pdf, "PLACES", {sys.platform: (str(tmp_path / "chrome.exe"),)})
    assert find_browser() is None
    (tmp_path / "chrome.exe").touch()
    assert find_browser() == str(tmp_path / "chrome.exe")


@pytest.mark.skipif(find_browser() is None, reason="no browser here")
def test_a_real_browser_prints_the_words(page):
    content = write_pdf(page).read_bytes()
    assert content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")
    assert len(content) > 2000


def test_the_command_writes_both(tmp_path, monkeypatch, capsys):
    (tmp_path / "params.json").write_text('{"method": "stardist", "dataset": "cells"}')
    monkeypatch.setattr(report_pdf, "write_pdf", lambda page: page.with_suffix(".pdf"))
    assert main(["report", str(tmp_path), "--pdf"]) == 0
    names = [line.rsplit("/", 1)[-1] for line in capsys.readouterr().out.split()]
    assert names == [str(tmp_path / "report.html").rsplit("/", 1)[-1], "report.pdf"]
