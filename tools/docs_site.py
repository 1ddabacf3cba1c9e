"""What MkDocs needs besides mkdocs.yml: which files are pages, and a check of every link.

    make docs

The site has the folders of the repository (README.md, docs/, notebooks/), so that a link that
works in one works in the other, and no text stands twice. Links to files that are no pages lead
to the repository's public address. After the build every link, picture and anchor of every page
is looked up in what was written; one that leads nowhere fails the build.
"""

from __future__ import annotations

import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*", "notebooks/*.ipynb")
MARKDOWN_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)")
# What a page loads by itself, without a click.
LOADS = {"script": "src", "link": "href", "iframe": "src", "img": "src"}
BADGE = re.compile(r"<img [^>]*colab-badge[^>]*>")


def address() -> str:
    """Return the repository's public address."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"]


def page_paths() -> list[Path]:
    """Return the files of the site, pictures included."""
    found = (path for pattern in PAGES for path in sorted(ROOT.glob(pattern)))
    return [path for path in found if path.is_file() and not path.name.startswith(".")]


@event_priority(100)  # before the plugin that turns notebooks into pages
def on_files(files: Files, config) -> Files:
    """Replace the files of docs/ by those of the repository, under the repository's paths."""
    themes = [file for file in files if file.abs_src_path and not is_ours(file.abs_src_path)]
    ours = [
        File(path.relative_to(ROOT).as_posix(), str(ROOT), config.site_dir, False)
        for path in page_paths()
    ]
    return Files([*themes, *ours])


def is_ours(path: str) -> bool:
    """Tell whether a file lies in docs/ (and not in the theme's package)."""
    return Path(path).is_relative_to(ROOT / "docs")


def on_page_markdown(markdown: str, page, **_) -> str:
    """Let links to files outside the site lead to the repository; open folded parts."""
    folder = (ROOT / page.file.src_uri).parent
    markdown = markdown.replace("<details>", '<details markdown="1">')
    return MARKDOWN_LINK.sub(lambda found: repository_link(found[1], folder), markdown)


def repository_link(link: str, folder: Path) -> str:
    """Return `link`, or the address of its file in the repository if that is no page."""
    path = (folder / unquote(link)).resolve()
    if path in page_paths() or not path.exists():
        return link  # what does not exist is left for MkDocs to report
    return f"{address()}/blob/main/{path.relative_to(ROOT).as_posix()}"


def on_page_content(html: str, page, files: Files, **_) -> str:
    """Point the links of a notebook's text at pages; MkDocs does that for Markdown alone.

    The picture of the Colab badge would be loaded from Google: its words stay.
    """
    html = BADGE.sub("Open&nbsp;in&nbsp;Colab", html)
    if not page.file.src_uri.endswith(".ipynb"):
        return html
    folder = (ROOT / page.file.src_uri).parent

    def resolve(found: re.Match) -> str:
        link, anchor = found[1].partition("#")[::2]
        target = repository_link(link, folder)
        if target == link:
            path = (folder / unquote(link)).resolve().relative_to(ROOT)
            file = files.get_file_from_path(path.as_posix())
            target = file.url_relative_to(page.file) if file else link
        return f'href="{target}{"#" * bool(anchor)}{anchor}"'

    return re.sub(r'href="(?!\w+:|#)([^"]+)"', resolve, html)


class Links(HTMLParser):
    """The links and anchors of one page."""

    def __init__(self, text: str) -> None:
        """Read the page."""
        super().__init__()
        self.targets: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what the tag leads to, and what can lead to it."""
        values = {name: value for name, value in attrs if value}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self.targets += [values[name] for name in ("href", "src") if name in values]
        if LOADS.get(tag) in values and values.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(values[LOADS[tag]])


def on_post_build(config) -> None:
    """Fail when a link of the site leads nowhere, or a page loads something from elsewhere."""
    site = Path(config.site_dir).resolve()
    pages = {
        path: Links(path.read_text(encoding="utf-8"))
        for path in sorted(site.rglob("*.html"))
        if path.name != "404.html"  # its links start at the root of a server
    }
    problems = [
        f"{path.relative_to(site)}: {problem}"
        for path, links in pages.items()
        for problem in find_problems(path, links, pages)
    ]
    if problems:
        raise PluginError("\n".join([f"{len(problems)} problems:", *problems[:40]]))
    n_links = sum(len(links.targets) for links in pages.values())
    print(f"{len(pages)} pages in {site.name}/, {n_links} links checked")


def find_problems(path: Path, links: Links, pages: dict[Path, Links]) -> list[str]:
    """Return one line for each dead link and each foreign resource of the page at `path`."""
    problems = [f"loads {load}" for load in links.loads if urlsplit(load).netloc]
    for target in set(links.targets):
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not file.exists():
            problems.append(f"{target} leads nowhere")
        elif parts.fragment and file in pages:
            if unquote(parts.fragment) not in pages[file].anchors | {"__top"}:
                problems.append(f"{target} has no such anchor")
    return problems
