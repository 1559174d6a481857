"""Links from code in the text (`cf.tl.flow`, `Flow.simulate`) to the reference.

A name that begins with `cf.` and is not in the package is a warning, which ends the build: pages
cannot speak of functions that do not exist.
"""

from __future__ import annotations

import re
from importlib import import_module

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)

#: A dotted name alone, or followed by the arguments of a call.
_NAME = re.compile(r"(?:cf|cellflow)((?:\.[A-Za-z]\w*)+)(?=$|\()")
_METHOD = re.compile(r"(Flow|Ensemble|Snapshots|Population|Ladder|Recipe|Plan)\.([a-z]\w*)(?=$|\()")
#: Pages that speak of the past.
_HISTORY = {"changelog"}


class CodeLinks(SphinxPostTransform):
    """Turn literals that name a documented object into references to it."""

    default_priority = 5

    def run(self, **kwargs: object) -> None:
        """Look at all literals of a page."""
        known = self.env.domains["py"].objects
        for node in list(self.document.findall(nodes.literal)):
            if isinstance(node.parent, nodes.reference | addnodes.pending_xref | nodes.title):
                continue
            target = self._target(node, known)
            if target in known:
                link = addnodes.pending_xref(
                    "", refdomain="py", reftype="obj", reftarget=target, refexplicit=True,
                    refwarn=True, refdoc=self.env.docname,
                )  # fmt: skip
                node.replace_self(link)
                link += node

    def _target(self, node: nodes.literal, known: dict[str, object]) -> str:
        text = node.astext()
        if found := _METHOD.match(text):
            return f"cellflow.{found[0]}"
        if not (found := _NAME.match(text)):
            return ""
        target = "cellflow" + found[1].rstrip(".")
        if target not in known and self.env.docname not in _HISTORY and not _exists(target):
            LOGGER.warning("%s is not in the package", text, location=node)
        return target


def _exists(target: str) -> bool:
    """Whether a name without a page of its own, such as a module, is there."""
    value: object = import_module("cellflow")
    path = "cellflow"
    for part in target.split(".")[1:]:
        path = f"{path}.{part}"
        if not hasattr(value, part):
            try:
                import_module(path)
            except ImportError:
                return False
        value = getattr(value, part)
    return True


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform."""
    app.add_post_transform(CodeLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
