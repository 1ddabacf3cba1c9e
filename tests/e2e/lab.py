"""A JupyterLab on loopback and a headless Chromium, both inside a temporary folder."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat

try:
    from selenium import webdriver
except ModuleNotFoundError:
    sys.exit(f"selenium is missing: {sys.executable} -m pip install selenium")

START_S = 120
WINDOW = "1400,1000"
CHROMIUM_OPTIONS = [
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--window-size={WINDOW}",
]
# JupyterLab takes cells out of the page while they are not in view, unless told otherwise.
LAB_SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address, its token, and the folder that it shows."""

    address: str
    token: str
    folder: Path

    def kernel_states(self) -> list[str]:
        """Return the state of each running kernel, such as "idle"."""
        with self.ask("api/sessions") as reply:
            return [session["kernel"]["execution_state"] for session in json.load(reply)]

    def end_kernels(self) -> None:
        """Shut all kernels down, and with them the memory that they hold."""
        with self.ask("api/sessions") as reply:
            sessions = json.load(reply)
        for session in sessions:
            self.ask(f"api/sessions/{session['id']}", method="DELETE").close()

    def ask(self, path: str, *, method: str = "GET"):
        """Open a path of the server."""
        header = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.address}/{path}", headers=header, method=method)
        return urllib.request.urlopen(request, timeout=START_S)


def copy_notebooks(folder: Path, notebooks: list[Path]) -> None:
    """Copy the notebooks without their outputs."""
    folder.mkdir()
    for path in notebooks:
        copy = nbformat.read(path, as_version=4)
        for cell in copy.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(copy, folder / path.name)


def private_environment(folder: Path) -> dict[str, str]:
    """Return the variables that keep JupyterLab and the notebooks inside `folder`."""
    settings = folder / "settings" / "@jupyterlab"
    for name, values in LAB_SETTINGS.items():
        file = settings / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "MICROSEG_RUNS": "runs",
        "MICROSEG_DATA": "microseg-data",
    }
    folders = {variable: str(folder / name) for variable, name in own.items()}
    preset = os.environ.get("MICROSEG_PRESET") or "test"
    return {
        **os.environ,
        **folders,
        "JUPYTER_PREFER_ENV_PATH": "1",
        "MICROSEG_PRESET": preset,
    }


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_lab(folder: Path, notebooks: list[Path]) -> Iterator[Lab]:
    """Start JupyterLab on copies of the notebooks; stop it and its kernels at the end."""
    port, token = free_port(), secrets.token_hex(16)
    lab = Lab(f"http://127.0.0.1:{port}", token, folder / "notebooks")
    copy_notebooks(lab.folder, notebooks)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
    ]
    command += [f"--ServerApp.root_dir={lab.folder}", f"--IdentityProvider.token={token}"]
    log = folder / "jupyterlab.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, env=private_environment(folder), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for_server(lab, server, log)
        yield lab
    finally:
        stop(server)


def stop(server: subprocess.Popen) -> None:
    """End the server, and with it the kernels."""
    server.terminate()
    try:
        server.wait(timeout=20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def wait_for_server(lab: Lab, server: subprocess.Popen, log: Path) -> None:
    """Return once the server answers."""
    deadline = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            lab.ask("api/status").close()
            return
        except urllib.error.URLError:
            time.sleep(0.5)
    sys.exit(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}")


@contextmanager
def running_browser(folder: Path) -> Iterator[webdriver.Chrome]:
    """Start a headless Chromium with a new profile."""
    browsers = map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))
    browser, driver = next(filter(None, browsers), None), shutil.which("chromedriver")
    if not (browser and driver):
        sys.exit("Chromium or its driver is missing: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    options.unhandled_prompt_behavior = "accept"  # leave a notebook that could not be saved
    for option in [*CHROMIUM_OPTIONS, f"--user-data-dir={folder / 'browser'}"]:
        options.add_argument(option)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium refuses to run as root without it
    page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield page
    finally:
        page.quit()
