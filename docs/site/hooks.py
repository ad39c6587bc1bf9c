"""What MkDocs does besides, to build the site.

- Pages that lie elsewhere in the repository (the README, the changelog) become pages of the site,
  and other files that pages link to are copied to `files/`, so that links hold in both places.
- Each page can be read as plain Markdown under its name (`service.md`), and `llms.txt` lists them.
- A page that loads anything from another machine is an error.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

ROOT = Path(__file__).parent.parent.parent
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "weft/evals/models/countdown/README.md": "countdown.md",
}
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)(?P<path>[^)#\s]+)(?=[)#])")
FOREIGN = re.compile(r"<(?:script|img|iframe|link)[^>]+(?:src|href)=[\"']?(?:https?:)?//[^>]*>")

written: dict[str, tuple[str, str]] = {}
"""The title and the Markdown of each page, by its path in the site."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from elsewhere, and the files that pages link to."""
    for source, target in PAGES.items():
        text = (ROOT / source).read_text()
        files.append(File.generated(config, target, content=text))
    for page in list(files.documentation_pages()):
        for path in LINK.findall(page.content_string):
            found = located(page.src_uri, path)
            if (
                found is not None
                and found.startswith("files/")
                and files.get_file_from_path(found) is None
            ):
                source = ROOT / found.removeprefix("files/")
                files.append(File.generated(config, found, content=source.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at the site's own pages and files."""

    def moved(match: re.Match[str]) -> str:
        found = located(page.file.src_uri, match["path"])
        if found is None:
            return match["path"]
        return posixpath.relpath(found, posixpath.dirname(page.file.src_uri) or ".")

    markdown = LINK.sub(moved, markdown)
    shown = re.sub(r"^<!-- (?:not run|setup).*?-->\n", "", markdown, flags=re.MULTILINE | re.DOTALL)
    written[page.file.src_uri] = (str(page.title), shown)
    return shown


def on_post_build(config: MkDocsConfig) -> None:
    """Write the pages as Markdown and their list; look for what comes from elsewhere."""
    site = Path(config.site_dir)
    for path, (_, text) in written.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    lines = [f"- [{title}]({path})" for path, (title, _) in written.items()]
    head = f"# {config.site_name}\n\n> {config.site_description}\n\n## Pages\n\n"
    (site / "llms.txt").write_text(head + "\n".join(lines) + "\n")
    for page in site.rglob("*.html"):
        foreign = [tag for tag in FOREIGN.findall(page.read_text()) if 'rel="canonical"' not in tag]
        if foreign:
            raise PluginError(f"{page.relative_to(site)} loads from another machine: {foreign[0]}")


def located(page: str, path: str) -> str | None:
    """Where in the site a page's link to a file or folder leads; None if to a page beside it."""
    home = next((source for source, target in PAGES.items() if target == page), f"docs/{page}")
    found = posixpath.normpath(posixpath.join(posixpath.dirname(home), path))
    if found in PAGES:
        return PAGES[found]
    if found.startswith("docs/"):
        return found.removeprefix("docs/")
    if (ROOT / found).is_file():
        return f"files/{found}"
    if (ROOT / found / "README.md").is_file():
        return f"files/{found}/README.md"
    return None
