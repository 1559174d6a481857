"""Formulas as MathML, which browsers draw without scripts, fonts or a network."""

from __future__ import annotations

import re
from html import escape

from docutils import nodes
from docutils.utils.math import latex2mathml, toplevel_code
from sphinx.application import Sphinx
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)

#: Commands that the writer of docutils does not have, as ones that it has.
_SAME = {"dots": r"\ldots", "big": r"\bigl", "Big": r"\Bigl", "bigg": r"\biggl"}
#: Accents. The writer puts an index below an accented letter, not beside it, so that each stands
#: behind one letter until the rest is written.
_MARKS = {"dot": "˙", "hat": "^", "bar": "‾", "tilde": "~"}
_ACCENT = re.compile(rf"\\({'|'.join(_MARKS)})\s*\{{?(\\[a-z]+|(?<=[\s{{])[A-Za-z])\}}?")
_FIRST = 0xAC00  # Hangul: letters to the writer, and in none of our formulas
#: Bars have no space at their sides, as delimiters do.
_BAR = re.compile(r"<mo[^>]*>([|‖])</mo>")
_KNOWN = re.compile(rf"\\({'|'.join(_SAME)})(?![A-Za-z])")

#: A name such as "log" before a letter: a thin space between them.
_FUNCTION = re.compile(r"(<mo>&ApplyFunction;</mo>)(?=\s*<m(?:i|sub|sup))")


def _has_lines(text: str) -> bool:
    return "\\\\" in toplevel_code(text)


def _kept(found: re.Match[str], accented: list[str]) -> str:
    """Keep an accented letter, and return the one that stands for it."""
    mark = f'<mo stretchy="false">{_MARKS[found[1]]}</mo>'
    letter = re.search(r"<mi.*</mi>", str(latex2mathml.tex2mathml(found[2])))
    if letter is None:
        msg = f"{found[0]} is not an accent on one letter"
        raise ValueError(msg)
    accented.append(f'<mover accent="true">{letter[0]}{mark}</mover>')
    return chr(_FIRST + len(accented) - 1)


def _mathml(node: nodes.Element, *, block: bool) -> str:
    """The formula of a node; one that cannot be written is a warning, which ends the build."""
    text = _KNOWN.sub(lambda found: _SAME[found[1]], node.astext().strip())
    accented: list[str] = []
    try:
        text = _ACCENT.sub(lambda found: _kept(found, accented), text)
        # Several lines outside of an environment are aligned at "&".
        source = f"\\begin{{align*}}{text}\\end{{align*}}" if _has_lines(text) else text
        tree = latex2mathml.tex2mathml(source, as_block=block)
    except (SyntaxError, ValueError, KeyError, IndexError) as error:
        LOGGER.warning("formula %r: %s", text, error, location=node)
        return f"<code>{escape(text)}</code>"
    written = _BAR.sub(r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>', str(tree))
    written = _FUNCTION.sub(r'\1<mspace width="0.17em"/>', written)
    for number, letter in enumerate(accented):
        written = written.replace(f"<mi>{chr(_FIRST + number)}</mi>", letter)
    return written


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
