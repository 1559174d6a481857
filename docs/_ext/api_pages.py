"""Pages of the API reference, written from the `__all__` of each public module.

A new function appears by itself: under the heading that `_GROUPS` gives it, or under "Further". A
name in `_GROUPS` that the package does not have ends the build.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import get_origin

from sphinx.application import Sphinx
from sphinx.errors import ConfigError
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging
from sphinx.util.inspect import getdoc

LOGGER = logging.getLogger(__name__)

#: Modules for people who have data: a page for each function. With the heading of each group.
_CALLS = {
    "pp": "check and prepare",
    "tl": "compute and write",
    "pl": "draw",
    "get": "read values and tables",
    "bench": "judge on cells that were held out",
    "interop": "work with other tools",
    "datasets": "data sets",
}
_GROUPS = {
    "tl": {
        "Fit": "flow",
        "Where cells move": "velocity trajectories simulate push pull pseudotime age",
        "Populations at other times": "predict generate sample refine translate",
        "Growth and fates": "growth fates ancestors terminal_states calibrate",
        "Densities": "log_density density",
        "Conditions": "compare",
        "Genes": "trends drivers perturb screen jacobian",
        "Geometry": "potential divergence curl least_action_path",
        "Checks": "diagnose",
    },
}
#: Modules for people who write methods: one page each.
_FAMILIES = {
    "recipes": "methods: a coupling, a path and heads",
    "couplings": "which cells of two snapshots are paired",
    "paths": "how a pair is connected",
    "fields": "networks of time and state",
    "objectives": "losses",
    "simulation": "ODE, SDE, Langevin dynamics, likelihood",
    "densities": "densities of one population",
    "metrics": "distances and scores",
    "evaluation": "hold-outs on arrays",
    "training": "the training loop",
    "synthetic": "systems with a known dynamics",
    "errors": "errors and warnings",
}
_TOP = {
    "Fit arrays": "fit fit_score Flow Ensemble",
    "Data": "Snapshots Population Ladder",
    "Check the installation": "selftest",
}


def _title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n\n"


def _module(name: str) -> ModuleType | None:
    if name == "recipes":
        return import_module("cellflow.model.recipes")
    return import_module(f"cellflow.{name}") if find_spec(f"cellflow.{name}") else None


def _public(module: ModuleType) -> list[str]:
    """Names of `__all__` without aliases of types, which signatures show in full."""
    names = [name for name in module.__all__ if not name.startswith("_")]
    return [name for name in names if get_origin(getattr(module, name)) is None]


def _first_line(value: object) -> str:
    lines = (getdoc(value) or "").strip().splitlines() if callable(value) else []
    return lines[0] if lines else ""


def _kind(value: object) -> str:
    if inspect.isclass(value):
        return "autoexception" if issubclass(value, BaseException) else "autoclass"
    return "autofunction" if inspect.isroutine(value) else "data"


def _comment(name: str, value: object) -> str:
    """The comment `#:` above a constant, in the module where it has one."""
    for module in [*sys.modules.values()]:
        if module.__name__.startswith("cellflow") and getattr(module, name, None) is value:
            comments = ModuleAnalyzer.for_module(module.__name__).find_attr_docs()
            if ("", name) in comments:
                return "\n".join(comments["", name])
    return ""


def _directive(home: str, name: str, value: object) -> str:
    if _kind(value) == "data":
        text = indent(_comment(name, value), "   ")
        return f".. py:data:: {name}\n   :module: {home}\n\n{text}\n\n"
    lines = [f".. {_kind(value)}:: {home}.{name}"]
    if _kind(value) == "autoclass":
        lines.append("   :members:")
        if name in {"Flow", "Ensemble"}:
            lines.append("   :inherited-members: object")
    return "\n".join(lines) + "\n\n"


def _groups(module: str, names: list[str]) -> dict[str, list[str]]:
    """Names of a module under their headings; an unlisted one is not lost."""
    listed = {heading: text.split() for heading, text in _GROUPS.get(module, {}).items()}
    known = {name for group in listed.values() for name in group}
    if gone := sorted(known - set(names)):
        msg = f"docs/_ext/api_pages.py lists {gone}, which cellflow.{module} does not have."
        raise ConfigError(msg)
    further = [name for name in names if name not in known]
    if further:
        listed["Further" if listed else ""] = further
    return listed


def _overview(module: ModuleType, short: str, names: list[str]) -> str:
    """A table: the name of each function with the first line of its docstring."""
    rows = [".. list-table::", "   :widths: auto", "   :class: overview", ""]
    for name in names:
        rows.append(f"   * - :py:obj:`{short}.{name} <cellflow.{short}.{name}>`")
        rows.append(f"     - {_first_line(getattr(module, name))}")
    return "\n".join(rows) + "\n\n"


def _call_pages(folder: Path, short: str, heading: str) -> dict[Path, str]:
    """The page of a module of calls, and the page of each call."""
    module = _module(short)
    if module is None:
        return {}
    names = _public(module)
    page = _title(f"cf.{short}: {heading}")
    page += f".. py:module:: cellflow.{short}\n\n{inspect.getdoc(module)}\n\n"
    for group, members in _groups(short, names).items():
        page += _title(group, "-") if group else ""
        page += _overview(module, short, members)
    page += ".. toctree::\n   :hidden:\n\n"
    page += "".join(f"   {name} <{short}/{name}>\n" for name in sorted(names))
    pages = {folder / f"{short}.rst": page}
    for name in names:
        text = _title(f"cf.{short}.{name}")
        text += f".. py:currentmodule:: cellflow.{short}\n\n"
        pages[folder / short / f"{name}.rst"] = text + _directive(
            f"cellflow.{short}", name, getattr(module, name)
        )
    return pages


def _family_page(short: str, heading: str) -> str:
    module = _module(short)
    home = f"cellflow.{short}"
    page = _title(f"cf.{short}: {heading}")
    page += f".. py:module:: {home}\n\n{inspect.getdoc(module)}\n\n"
    return page + "".join(_directive(home, name, getattr(module, name)) for name in _public(module))


def _top_page() -> str:
    package = import_module("cellflow")
    modules = {*_CALLS, *_FAMILIES}
    names = [name for name in _public(package) if name not in modules]
    page = _title("cellflow: fit arrays, and the types that carry data")
    page += ".. py:currentmodule:: cellflow\n\n"
    groups = {heading: text.split() for heading, text in _TOP.items()}
    known = {name for group in groups.values() for name in group}
    groups["Further"] = [name for name in names if name not in known]
    for heading, members in groups.items():
        if members:
            page += _title(heading, "-")
            page += "".join(_directive("cellflow", n, getattr(package, n)) for n in members)
    return page


def _index(pages: dict[Path, str], folder: Path) -> str:
    calls = [name for name in _CALLS if folder / f"{name}.rst" in pages]
    text = _title("API reference")
    text += (
        "Every public function and class, from its docstring. ``import cellflow as cf`` is assumed."
        "\n\n.. toctree::\n   :caption: For people who have data\n   :maxdepth: 1\n\n"
    )
    text += "".join(f"   {name}\n" for name in calls)
    text += "\n.. toctree::\n   :caption: For people who write methods\n   :maxdepth: 1\n\n"
    text += "   cellflow\n" + "".join(f"   {name}\n" for name in _FAMILIES)
    return text + "\n" + _title("Types in signatures", "-") + ".. type-names::\n"


def write_pages(app: Sphinx) -> None:
    """Write the pages that changed, and remove those whose function is gone."""
    folder = Path(app.srcdir) / "api"
    pages: dict[Path, str] = {}
    for short, heading in _CALLS.items():
        pages |= _call_pages(folder, short, heading)
    for short, heading in _FAMILIES.items():
        pages[folder / f"{short}.rst"] = _family_page(short, heading)
    pages[folder / "cellflow.rst"] = _top_page()
    pages[folder / "index.rst"] = _index(pages, folder)
    for path, text in pages.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in set(folder.rglob("*.rst")) - set(pages):
        path.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before sources are looked for."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
