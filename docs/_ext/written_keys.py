"""The directive `written-keys`: what each call writes to an AnnData, from the docstrings."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

#: An item of the section `Returns`: a slot, the rest of the line, and lines that are indented.
_ITEM = re.compile(r"^- (`(obs|var|obsm|varm|obsp|layers|uns)\[.*(?:\n(?:  .*)?)*)", re.MULTILINE)
_SECTION = re.compile(r"^Returns\n-+\n(.*?)(?=^\w[\w ]*\n-{3,}|\Z)", re.MULTILINE | re.DOTALL)


def written_by(docstring: str) -> list[tuple[str, str]]:
    """Slot and description of everything that the section `Returns` lists."""
    found = _SECTION.search(docstring)
    return [(item[2], item[1].strip()) for item in _ITEM.finditer(found[1])] if found else []


class WrittenKeys(SphinxDirective):
    """A heading for each call that writes, with the list of its docstring."""

    option_spec: ClassVar = {}

    def run(self) -> list[nodes.Node]:
        """Collect the lists of `cf.pp` and `cf.tl`."""
        lines: list[str] = []
        for short in ("tl", "pp"):
            module = import_module(f"cellflow.{short}")
            for name in module.__all__:
                items = written_by(inspect.getdoc(getattr(module, name)) or "")
                if items:
                    lines += [f".. rubric:: :py:obj:`cf.{short}.{name} <cellflow.{short}.{name}>`"]
                    lines += ["", *(f"- {text}\n" for _, text in items)]
        text = "\n".join(lines).splitlines()
        node = nodes.container()
        self.state.nested_parse(StringList(text, source=self.get_location()), 0, node)
        return list(node.children)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("written-keys", WrittenKeys)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
