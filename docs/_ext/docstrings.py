"""Small repairs of docstrings between autodoc and napoleon."""

from __future__ import annotations

from sphinx.application import Sphinx


def _keep_colons(
    app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Keep napoleon from reading a sentence with a colon, of a property, as a type and a text."""
    if what in {"attribute", "data", "property"} and lines:
        lines.insert(0, "\\ ")


def setup(app: Sphinx) -> dict[str, bool]:
    """Be called before napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
