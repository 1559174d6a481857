"""The directive `citation-list`: the references of CITATION.cff, each with what it is cited for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def _authors(entry: dict[str, Any]) -> str:
    names = [author.get("family-names") or author["name"] for author in entry["authors"]]
    return names[0] if len(names) == 1 else f"{names[0]} et al."


def _where(entry: dict[str, Any]) -> str:
    place = entry.get("journal") or entry.get("collection-title", "")
    return f"{place}, {entry['year']}" if place else str(entry["year"])


def _address(entry: dict[str, Any]) -> str:
    return f"https://doi.org/{entry['doi']}" if "doi" in entry else entry["url"]


class CitationList(SphinxDirective):
    """A list with an item for each reference."""

    def run(self) -> list[nodes.Node]:
        """Read the file beside the folder of the documentation."""
        path = Path(self.env.srcdir).parent / "CITATION.cff"
        self.env.note_dependency(str(path))
        result = nodes.bullet_list()
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["references"]:
            line = nodes.paragraph("", f"{_authors(entry)}, ")
            line += nodes.reference("", entry["title"], refuri=_address(entry))
            line += nodes.Text(f". {_where(entry)}. For: {entry['notes']}.")
            result += nodes.list_item("", line)
        return [result]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("citation-list", CitationList)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
