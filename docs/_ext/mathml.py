"""Formulas as MathML, which browsers draw without scripts, fonts or a network."""

from __future__ import annotations

import re
from html import escape
from unicodedata import normalize

from docutils import nodes
from docutils.utils.math import latex2mathml, toplevel_code
from sphinx.application import Sphinx
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)

#: Commands that the writer of docutils does not have, as ones that it has.
_SAME = {"dots": r"\ldots", "big": r"\bigl", "Big": r"\Bigl", "bigg": r"\biggl"}
#: Accents as characters: the writer puts an index below an accented letter, not beside it.
_MARKS = {"dot": "\u0307", "hat": "\u0302", "bar": "\u0304", "tilde": "\u0303"}
_ACCENT = re.compile(rf"\\({'|'.join(_MARKS)})(?:\s+|\{{)([A-Za-z])\}}?")
#: Bars have no space at their sides, as delimiters do.
_BAR = re.compile(r"<mo[^>]*>([|‖])</mo>")
_KNOWN = re.compile(rf"\\({'|'.join(_SAME)})(?![A-Za-z])")


def _has_lines(text: str) -> bool:
    return "\\\\" in toplevel_code(text)


def _mathml(node: nodes.Element, *, block: bool) -> str:
    """The formula of a node; one that cannot be written is a warning, which ends the build."""
    text = _KNOWN.sub(lambda found: _SAME[found[1]], node.astext().strip())
    text = _ACCENT.sub(lambda found: normalize("NFC", found[2] + _MARKS[found[1]]), text)
    # Several lines outside of an environment are aligned at "&".
    source = f"\\begin{{align*}}{text}\\end{{align*}}" if _has_lines(text) else text
    try:
        tree = latex2mathml.tex2mathml(source, as_block=block)
    except (SyntaxError, ValueError, KeyError, IndexError) as error:
        LOGGER.warning("formula %r: %s", text, error, location=node)
        return f"<code>{escape(text)}</code>"
    return _BAR.sub(r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>', str(tree))


def visit_inline(writer: object, node: nodes.math) -> None:
    """Write a formula within a line."""
    writer.body.append(_mathml(node, block=False))
    raise nodes.SkipNode


def visit_block(writer: object, node: nodes.math_block) -> None:
    """Write a formula on lines of its own; it scrolls within its frame where a screen is narrow."""
    writer.body.append(writer.starttag(node, "div", CLASS="math-block"))
    writer.body.append(_mathml(node, block=True))
    writer.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
