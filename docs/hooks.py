"""Pages that are made while the site is built: guides, API reference, model cards, notebooks."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

sys.path.insert(0, str(Path(__file__).parent))
from layers import ROOT, layers

PUBLIC = "api/spinscope.md"  # written by hand: the public surface


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Insert the model cards and the API reference into the navigation, before the glossary."""
    cards_ = [{name: f"models/{name}.md"} for name in cards()]
    api = [{"spinscope": PUBLIC}, *({name: f"api/{name}.md"} for name in packages())]
    config.nav[-1:-1] = [{"Model cards": cards_}, {"API": api}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the guides of the root folder, and one page per package, model card and notebook."""
    for name in packages():
        files.append(File.generated(config, f"api/{name}.md", content=api_page(name)))
    for name in ("contributing", "changelog"):
        text = (ROOT / f"{name.upper()}.md").read_text().replace("](docs/", "](")
        files.append(File.generated(config, f"{name}.md", content=text))
    for name, path in cards().items():
        files.append(File.generated(config, f"models/{name}.md", content=path.read_text()))
    for path in sorted((Path(config.docs_dir) / "notebooks").glob("*.ipynb")):
        page, images = notebook_page(path)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=page))
        for name, data in images.items():
            files.append(File.generated(config, f"notebooks/{name}", content=data))
    return files


def packages() -> list[str]:
    """Packages and modules of `spinscope` in the order of its layers, entry points excluded."""
    names = [name for row in layers() for name in row]
    source = ROOT / "src/spinscope"
    exists = lambda name: (source / name).is_dir() or (source / f"{name}.py").is_file()  # noqa: E731
    return [name for name in names if exists(name) and name not in ("api", "cli", "demo", "serve")]


def api_page(name: str) -> str:
    """Document a package with its modules, or a single module."""
    folder = ROOT / "src/spinscope" / name
    if not folder.is_dir():
        return f"# {name}\n\n::: spinscope.{name}\n"
    modules = [
        ".".join(path.relative_to(folder.parents[1]).with_suffix("").parts)
        for path in sorted(folder.rglob("[!_]*.py"))
    ]
    head = f"# {name}\n\n::: spinscope.{name}\n    options: {{members: false}}\n"
    return "\n".join([head, *(f"::: {module}\n" for module in modules)])


def cards() -> dict[str, Path]:
    """Name of each bundled model → its card."""
    return {path.parent.name: path for path in sorted(ROOT.glob("models/*/card.md"))}


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """Convert a notebook with its stored outputs to Markdown and its images."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
    body, resources = MarkdownExporter().from_notebook_node(notebook, resources)
    return body, resources["outputs"]
