"""Small repairs of docstrings and signatures between autodoc and napoleon."""

from __future__ import annotations

import re

from sphinx.application import Sphinx
from sphinx.util.inspect import TypeAliasForwardRef

#: Defaults that Python shows as where they are stored, or in full, and what a reader needs of them.
_SHORTER = {
    r"Training\([^()]*\)": "Training()",
    r"<class '(?:\w+\.)*(\w+)'>": r"\1",
    r"<function (\w+)>": r"\1",
    r"<object object[^>]*>": "...",
}
#: An entry of `Raises` for several errors.
_ERRORS = re.compile(r"[A-Z]\w+(?:, [A-Z]\w+)+")


def _keep_colons(
    app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Keep napoleon from reading a sentence with a colon, of a property, as a type and a text."""
    if what in {"attribute", "data", "property"} and lines:
        lines.insert(0, "\\ ")


def _say_defaults(
    app: Sphinx, what: str, name: str, value: object, options: object, args: str | None, result: str
) -> tuple[str | None, str]:
    """Replace constants of the code by what they are, as far as a reader needs it."""
    for shown, shorter in _SHORTER.items():
        args = args and re.sub(shown, shorter, args)
    return args, result


def _split_errors(
    app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Give each error of a list an entry of its own, which can be a link."""
    row = 0
    while row < len(lines):
        if _ERRORS.fullmatch(lines[row]):
            names = lines[row].split(", ")
            end = row + 1
            while end < len(lines) and lines[end].startswith(" "):
                end += 1
            text = lines[row + 1 : end]
            lines[row:end] = [line for name in names for line in (name, *text)]
            row = end
        row += 1


def setup(app: Sphinx) -> dict[str, bool]:
    """Be called before napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)
    app.connect("autodoc-process-docstring", _split_errors, priority=400)
    app.connect("autodoc-process-signature", _say_defaults)
    # Sphinx shows the name of an alias that is part of a union as a piece of Python.
    TypeAliasForwardRef.__repr__ = lambda alias: alias.name  # type: ignore[method-assign]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
