"""Tutorials, read from `tutorials/`: Sphinx reads below `docs/` only, so they are copied there."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
from sphinx.application import Sphinx


def _title(path: Path) -> str:
    """The first heading of a notebook."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown" and cell.source.startswith("# "):
            return str(cell.source.splitlines()[0][2:])
    msg = f"{path} does not begin with a heading."
    raise ValueError(msg)


def copy_tutorials(app: Sphinx) -> None:
    """Copy notebooks that changed, and list all of them in their order."""
    folder = Path(app.srcdir) / "tutorials"
    folder.mkdir(exist_ok=True)
    sources = sorted((Path(app.srcdir).parent / "tutorials").glob("*.ipynb"))
    for source in sources:
        target = folder / source.name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copyfile(source, target)
    for target in set(folder.glob("*.ipynb")) - {folder / source.name for source in sources}:
        target.unlink()
    lines = [
        "# Tutorials",
        "",
        "Shown as they were executed; `make tutorials` executes all of them.",
        "",
        "```{toctree}",
        ":maxdepth: 1",
        "",
        *(f"{_title(source)} <{source.stem}>" for source in sources),
        "```",
        "",
    ]
    text = "\n".join(lines)
    index = folder / "index.md"
    if not index.exists() or index.read_text(encoding="utf-8") != text:
        index.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Copy the notebooks before sources are looked for."""
    app.connect("builder-inited", copy_tutorials)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
