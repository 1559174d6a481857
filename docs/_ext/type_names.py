"""Names of types in signatures that are shorter than what they stand for, with their meaning."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ALIASES = {
    "AnnData": "An `anndata.AnnData`.",
    "Axes": "A `matplotlib.axes.Axes`.",
    "BoolArray": "A numpy array of booleans.",
    "FloatArray": "A numpy array of floating-point numbers.",
    "IntArray": "A numpy array of whole numbers.",
    "RandomState": "A seed: a whole number from 0 on, a `numpy.random.Generator`, or None for a "
    "new one each time.",
    "Time": 'A time: a number in the unit of the fit, a label with a unit (`"day 5"`, `"48h"`, '
    '`"E8.5"`), or a timedelta.',
    "Selection": "Cells: a mask, a boolean column, names, positions, a single name or position.",
    "Components": 'Two components of an embedding, `"1,2"` or `(1, 2)`, counted as scanpy does; '
    "None for the first two.",
    "Condition": "The value of a condition, or a dictionary with one value for each column of "
    "conditions.",
    "Labels": "One label for each cell.",
    "LegendLoc": '`"right margin"`, `"on data"` or `"none"`.',
    "Palette": "The name of a colormap or palette, a list of colours, a dictionary from category "
    "to colour, or None.",
}


class TypeNames(SphinxDirective):
    """A list of the names with their meaning, each of which can be linked."""

    def run(self) -> list[nodes.Node]:
        """Describe each name as a type."""
        lines: list[str] = []
        for name, meaning in ALIASES.items():
            lines += [
                f".. py:type:: {name}",
                "   :module: cellflow.typing",
                "",
                f"   {meaning}",
                "",
            ]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("type-names", TypeNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
