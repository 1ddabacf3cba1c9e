"""Run notebooks in JupyterLab in a real browser: "Run All Cells", then look at the page.

Usage: ``python tests/e2e/run_all.py [NOTEBOOK ...] [--screenshots FOLDER] [--minutes 20]``
(``make e2e``). Without names, all notebooks in order, in one JupyterLab. Needs selenium,
Chromium and its driver; the preset is that of the environment variable ``MICROSEG_PRESET``,
otherwise "test".

JupyterLab gets temporary copies of the notebooks, settings, data and run folders, so nothing
in the repository and nothing of the user's changes. The check fails if a cell fails or does
not finish, and if a figure in the saved notebook is not shown in the page. Screenshots of each
whole notebook are for a person to look at.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from lab import START_S, Lab, running_browser, running_lab
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import element_to_be_clickable
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).resolve().parents[2]
# What the page shows: the prompts of all code cells, the figures, and cells whose output is
# wider than the page.
LOOK = """
const prompts = document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputArea-prompt');
const images = [...document.querySelectorAll('.jp-Notebook .jp-OutputArea-output img')];
return {
  prompts: [...prompts].map((e) => e.innerText.trim()),
  images: images.length,
  shown: images.filter((i) => i.complete && i.naturalWidth > 0 && i.clientWidth > 0).length,
  cut: [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].flatMap((cell) =>
    [...cell.querySelectorAll('.jp-OutputArea-output')]
      .filter((output) => output.scrollWidth > output.clientWidth + 1)
      .map(() => cell.querySelector('.jp-InputArea-prompt').innerText.trim())),
};
"""
SCROLL = """
const panel = document.querySelector('.jp-NotebookPanel-notebook .jp-WindowedPanel-outer');
panel.scrollTop = arguments[0] * 0.9 * panel.clientHeight;
const last = [...document.querySelectorAll('.jp-Notebook .jp-Cell')].pop();
return Boolean(last) && last.getBoundingClientRect().bottom > panel.getBoundingClientRect().bottom;
"""


class CheckError(Exception):
    """What kept a notebook from being run to its end."""


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
    workspace = Path(name).stem  # one of its own, or the tabs of the last notebook come back
    page.get(f"{lab.address}/lab/workspaces/{workspace}/tree/{name}?token={lab.token}")
    deadline = time.monotonic() + START_S
    while not page.execute_script(LOOK)["prompts"] or "idle" not in lab.kernel_states():
        dialogs = page.find_elements(By.CSS_SELECTOR, ".jp-Dialog")
        if dialogs:
            raise CheckError(f"JupyterLab asks instead of starting the kernel: {dialogs[0].text!r}")
        if time.monotonic() > deadline:
            raise CheckError(f"no kernel was ready after {START_S} s")
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
            raise CheckError(
                f"not finished after {minutes:g} minutes: {numbered} of {len(prompts)} cells"
            )


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


def check(page: webdriver.Chrome, lab: Lab, name: str, options: argparse.Namespace) -> list[str]:
    """Open, run, look; return one line for each problem."""
    start = time.perf_counter()
    try:
        open_notebook(page, lab, name)
        run_all(page, lab, minutes=options.minutes)
        save(page, lab.folder / name)
        seen = page.execute_script(LOOK)
        problems = find_problems(lab.folder / name, seen)
    except (CheckError, WebDriverException) as error:
        seen, problems = {"shown": 0, "cut": []}, [f"{type(error).__name__}: {error}"]
    taken = take_screenshots(page, options.screenshots, Path(name).stem)
    lab.end_kernels()
    minutes = (time.perf_counter() - start) / 60
    print(f"{name}: {minutes:.1f} min, {seen['shown']} figures shown, {taken} screenshots")
    print("  " + ("\n  ".join(problems) or "every cell ran, and every figure is shown"))
    if seen["cut"]:
        print(f"  to scroll sideways for: cells {' '.join(dict.fromkeys(seen['cut']))}")
    sys.stdout.flush()
    return problems


def main() -> int:
    """Check all notebooks, also after one that failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all")
    parser.add_argument("--screenshots", type=Path, help="folder for pictures of the pages")
    parser.add_argument("--minutes", type=float, default=20, help="time limit of each notebook")
    options = parser.parse_args()
    notebooks = options.notebooks or sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    notebooks = [path.resolve(strict=True) for path in notebooks]
    options.screenshots = options.screenshots or Path(tempfile.mkdtemp(prefix="microseg-e2e-"))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with running_lab(Path(folder), notebooks) as lab, running_browser(Path(folder)) as page:
            failed = [p.name for p in notebooks if check(page, lab, p.name, options)]
    print(f"{len(notebooks) - len(failed)} of {len(notebooks)} notebooks passed", *failed)
    print(f"screenshots in {options.screenshots}")
    return len(failed) > 0


if __name__ == "__main__":
    sys.exit(main())
