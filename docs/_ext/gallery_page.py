"""The directive `gallery`: the stored pictures of `docs/gallery.py`, each with its code."""

from __future__ import annotations

import sys
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parents[1]))

import gallery_cases


class Gallery(SphinxDirective):
    """A section for each function of `cf.pl`, with its pictures."""

    def run(self) -> list[nodes.Node]:
        """Write the page as text, and parse it."""
        self.env.note_dependency(str(Path(gallery_cases.__file__)))
        lines: list[str] = []
        for call, pictures in gallery_cases.by_call().items():
            lines += [f"{call}", "-" * len(call), ""]
            for picture in pictures:
                lines += self._shown(picture)
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)

    def _shown(self, picture: gallery_cases.Picture) -> list[str]:
        path = f"pictures/{picture.name}{picture.suffix}"
        if not (Path(self.env.srcdir) / path).exists():
            msg = f"{path} is missing; `python docs/gallery.py` makes it."
            raise self.error(msg)
        code = "\n".join(f"   {line}" for line in picture.code.splitlines())
        return [
            f".. figure:: /{path}",
            f"   :alt: {picture.caption}",
            "",
            f"   {picture.caption} Cells: {picture.cells}.",
            "",
            ".. code-block:: python",
            "",
            code,
            "",
        ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("gallery", Gallery)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
