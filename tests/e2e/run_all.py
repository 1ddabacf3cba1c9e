"""Run a notebook in JupyterLab in a real browser: "Run All Cells", then look at the page.

Usage: ``python tests/e2e/run_all.py [NOTEBOOK] [--screenshots FOLDER] [--minutes 20]``
(``make e2e``). Needs selenium, Chromium and its driver; the preset is that of the environment
variable ``MICROSEG_PRESET``, if set.

JupyterLab gets temporary copies of the notebooks, settings, data and run folders, so nothing
in the repository and nothing of the user's changes. The check fails if a cell fails or does
not finish, and if a figure in the saved notebook is not shown in the page.
"""

import argparse
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
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
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.expected_conditions import element_to_be_clickable
    from selenium.webdriver.support.ui import WebDriverWait
except ModuleNotFoundError:
    sys.exit(f"selenium is missing: {sys.executable} -m pip install selenium")

ROOT = Path(__file__).resolve().parents[2]
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
# What the page shows: the prompts of all code cells, and the figures.
LOOK = """
const prompts = document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputArea-prompt');
const images = [...document.querySelectorAll('.jp-Notebook .jp-OutputArea-output img')];
return {
  prompts: [...prompts].map((e) => e.innerText.trim()),
  images: images.length,
  shown: images.filter((i) => i.complete && i.naturalWidth > 0 && i.clientWidth > 0).length,
};
"""
SCROLL = """
const panel = document.querySelector('.jp-NotebookPanel-notebook .jp-WindowedPanel-outer');
panel.scrollTop = arguments[0] * 0.9 * panel.clientHeight;
return panel.scrollTop + panel.clientHeight < panel.scrollHeight - 1;
"""


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

    def ask(self, path: str):
        """Open a path of the server."""
        header = {"Authorization": f"token {self.token}"}
        return urllib.request.urlopen(
            urllib.request.Request(f"{self.address}/{path}", None, header)
        )


def copy_notebooks(folder: Path, notebook: Path) -> None:
    """Copy the notebook's folder, and take the outputs out of the copy of the notebook."""
    shutil.copytree(notebook.parent, folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    copy = nbformat.read(folder / notebook.name, as_version=4)
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(copy, folder / notebook.name)


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
    return {**os.environ, **folders, "JUPYTER_PREFER_ENV_PATH": "1"}


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_lab(folder: Path, notebook: Path) -> Iterator[Lab]:
    """Start JupyterLab on a copy of the notebook's folder; stop it and its kernels at the end."""
    port, token = free_port(), secrets.token_hex(16)
    lab = Lab(f"http://127.0.0.1:{port}", token, folder / "notebooks")
    copy_notebooks(lab.folder, notebook)
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
    for option in [*CHROMIUM_OPTIONS, f"--user-data-dir={folder / 'browser'}"]:
        options.add_argument(option)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium refuses to run as root without it
    page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield page
    finally:
        page.quit()


def click_menu(page: webdriver.Chrome, menu: str, item: str) -> None:
    """Choose an item of JupyterLab's menu bar with the mouse."""
    paths = [
        f"//*[contains(@class, 'lm-MenuBar-itemLabel') and text()='{menu}']",
        f"//*[contains(@class, 'lm-Menu-itemLabel') and text()='{item}']",
    ]
    for path in paths:
        WebDriverWait(page, START_S).until(element_to_be_clickable((By.XPATH, path))).click()


def open_notebook(page: webdriver.Chrome, lab: Lab, name: str) -> None:
    """Open the notebook and return once its kernel is ready; a question for one is an error."""
    page.get(f"{lab.address}/lab/tree/{name}?token={lab.token}")
    deadline = time.monotonic() + START_S
    while not page.execute_script(LOOK)["prompts"] or "idle" not in lab.kernel_states():
        dialogs = page.find_elements(By.CSS_SELECTOR, ".jp-Dialog")
        if dialogs:
            sys.exit(f"JupyterLab asks instead of starting the kernel: {dialogs[0].text!r}")
        if time.monotonic() > deadline:
            sys.exit(f"no kernel was ready after {START_S} s")
        time.sleep(0.5)


def run_all(page: webdriver.Chrome, lab: Lab, *, minutes: float) -> None:
    """Run all cells; return when none is running or waiting, also after an error."""
    click_menu(page, "Run", "Run All Cells")
    deadline = time.monotonic() + 60 * minutes
    idle_looks = 0
    while idle_looks < 2:
        time.sleep(1)
        prompts = page.execute_script(LOOK)["prompts"]
        numbered = sum(prompt.strip("[]:").isdigit() for prompt in prompts)
        idle = numbered > 0 and "[*]:" not in prompts and set(lab.kernel_states()) == {"idle"}
        idle_looks = idle_looks + 1 if idle else 0
        if time.monotonic() > deadline:
            sys.exit(f"not finished after {minutes:g} minutes: {numbered} of {len(prompts)} cells")


def take_screenshots(page: webdriver.Chrome, folder: Path, stem: str) -> int:
    """Scroll through the notebook, one screenshot per screen, and return their number."""
    folder.mkdir(parents=True, exist_ok=True)
    number, more = 0, True
    while more:
        more = page.execute_script(SCROLL, number)
        time.sleep(0.3)
        number += 1
        page.save_screenshot(str(folder / f"{stem}-{number:02d}.png"))
    return number


def find_problems(path: Path, seen: dict) -> list[str]:
    """Compare the saved notebook with what the page shows; return one line for each problem."""
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    problems = [f"{o.ename}: {o.evalue}" for o in outputs if o.output_type == "error"]
    waiting = sum(cell.execution_count is None and bool(cell.source.strip()) for cell in cells)
    if waiting:
        problems.append(f"{waiting} of {len(cells)} code cells did not run")
    figures = sum(mime.startswith("image/") for o in outputs for mime in o.get("data", {}))
    if not 0 < figures == seen["images"] == seen["shown"]:
        problems.append(
            f"{figures} figures in the saved notebook, {seen['images']} in the page, "
            f"{seen['shown']} of them visible: these must be equal and more than 0"
        )
    return problems


def save(page: webdriver.Chrome, path: Path) -> None:
    """Save the notebook and return once the file has its outputs."""
    before = path.stat().st_mtime_ns
    click_menu(page, "File", "Save Notebook")
    WebDriverWait(page, 60).until(lambda _: path.stat().st_mtime_ns != before)


def main() -> int:
    """Open, run, look."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    notebook = ROOT / "notebooks" / "04_stardist.ipynb"
    parser.add_argument("notebook", nargs="?", type=Path, default=notebook)
    parser.add_argument("--screenshots", type=Path, help="folder for pictures of the page")
    parser.add_argument("--minutes", type=float, default=20, help="time limit of the cells")
    options = parser.parse_args()
    notebook = options.notebook.resolve(strict=True)
    screenshots = options.screenshots or Path(tempfile.mkdtemp(prefix="microseg-screenshots-"))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with running_lab(Path(folder), notebook) as lab, running_browser(Path(folder)) as page:
            copy = lab.folder / notebook.name
            open_notebook(page, lab, copy.name)
            try:
                run_all(page, lab, minutes=options.minutes)
            finally:
                taken = take_screenshots(page, screenshots, notebook.stem)
                print(f"{taken} screenshots in {screenshots}")
            save(page, copy)
            seen = page.execute_script(LOOK)
            problems = find_problems(copy, seen)
    minutes = (time.perf_counter() - start) / 60
    print(f"{notebook.name}: {minutes:.1f} min in the browser, {seen['shown']} figures shown")
    print("\n".join(problems) or "every cell ran, and every figure is shown")
    return len(problems) > 0


if __name__ == "__main__":
    sys.exit(main())
