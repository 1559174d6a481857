"""How values show themselves: in a screenful, without the content of arrays; tables in full."""

from __future__ import annotations

import html
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from types import FunctionType
from typing import Any

from cellflow.core._text import clean

__all__ = ["Card", "Compact", "html_table", "short", "text_table"]

#: Characters of a line, and of the narrowest and widest table.
_WIDTH = 96
_NARROW = 72
_WIDE = 160
#: Characters up to which an item is not opened.
_INNER = 24
#: Longest array whose values are shown, and most items of a sequence.
_VALUES = 12
_ITEMS = 12
_WRAPPING: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
#: Text has the colour of the surroundings, so that it is readable in dark and in light; a page
#: without a doctype would draw tables in black.
_TABLE = "color: inherit; font-size: inherit; border-spacing: 0"
_CELL = "text-align: left; vertical-align: top; white-space: normal; padding: .25em .8em .25em 0"
_RULE = "border-bottom: 1px solid rgba(128, 128, 128, .4)"


class Compact:
    """Parent of dataclasses that hold arrays or functions: shapes in place of arrays.

    Examples
    --------
    >>> import numpy as np
    >>> @dataclass(repr=False)
    ... class Cells(Compact):
    ...     x: object
    ...     time: float
    ...     weight: object = None
    >>> Cells(np.zeros((40, 2)), 24.0)
    Cells(x=<40 x 2 float64>, time=24.0)
    """

    def __repr__(self) -> str:
        return _laid_out(self, 0)


def short(value: object) -> str:
    """One line of text for a value: shapes of arrays, names of functions, numbers of parameters."""
    if isinstance(value, partial):
        given = ", ".join(f"{name}={short(item)}" for name, item in value.keywords.items())
        return f"{short(value.func)}({given})"
    if isinstance(value, type | FunctionType):
        return value.__name__
    if isinstance(value, float):
        return repr(float(f"{value:.6g}"))
    if hasattr(value, "parameters") and hasattr(value, "state_dict"):  # a torch.nn.Module
        n = sum(p.numel() for p in value.parameters())
        return f"<{type(value).__name__}, {n:,} parameters>"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _array(value)
    if _opens(value):
        opening, items, closing = _parts(value)
        return opening + ", ".join(name + short(item) for name, item in items) + closing
    return repr(value)


def _array(value: Any) -> str:
    """Values of a short array; shape and type of any other."""
    if len(value.shape) == 0:
        return short(value.item())
    if len(value.shape) == 1 and len(value) <= _VALUES and hasattr(value, "tolist"):
        return "[" + ", ".join(_plain(item) for item in value.tolist()) + "]"
    return f"<{' x '.join(map(str, value.shape))} {value.dtype}>"


def _plain(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def _opens(value: object) -> bool:
    """Whether the items of a value are shown one by one."""
    if is_dataclass(value) and not isinstance(value, type):
        return isinstance(value, Compact) or type(value).__dataclass_params__.repr  # type: ignore[attr-defined]
    return isinstance(value, Mapping | tuple | list) and not hasattr(value, "_fields")


def _parts(value: Any) -> tuple[str, list[tuple[str, object]], str]:
    """What stands before the items of a value, the items with their names, and what follows."""
    if is_dataclass(value):
        shown = [(f"{f.name}=", getattr(value, f.name)) for f in _kept(value)]
        return f"{type(value).__name__}(", shown, ")"
    if isinstance(value, Mapping):
        return "{", [(f"{key!r}: ", item) for key, item in value.items()], "}"
    items = [("", item) for item in value]
    if len(items) > _ITEMS:
        left_out = len(items) - _ITEMS + 1
        items[_ITEMS // 2 : _ITEMS // 2 + left_out] = [("", _Said(f"... {left_out} more ..."))]
    return ("(", items, ")") if isinstance(value, tuple) else ("[", items, "]")


class _Said(str):
    """Words among items, which are shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _kept(value: Any) -> Iterator[Any]:
    """Fields of a dataclass, without those that are None by default."""
    for field in fields(value):
        absent = field.default is None and getattr(value, field.name) is None
        if field.repr and not absent:
            yield field


def _laid_out(value: object, indent: int) -> str:
    """A value on one line, or, where that is too long, one item a line; the innermost wrapped."""
    line = short(value)
    if not _opens(value) or len(line) + indent <= _WIDTH:
        return line
    opening, items, closing = _parts(value)
    if not any(_opens(item) and len(short(item)) > _INNER for _, item in items):
        hanging = " " * (indent + 4)
        return textwrap.fill(line, _WIDTH - indent, subsequent_indent=hanging, **_WRAPPING)
    inner = " " * (indent + 4)
    lines = [f"{inner}{name}{_laid_out(item, indent + 4)}," for name, item in items]
    return "\n".join([opening, *lines, " " * indent + closing])


@dataclass(frozen=True)
class Card:
    """A title, rows of a name with what is known of it, and a last line.

    Parameters
    ----------
    title
        What it is.
    rows
        Pairs of a name and one or more sentences.
    foot
        What can be done with it.
    """

    title: str
    rows: Sequence[tuple[str, str]]
    foot: str = ""

    def text(self) -> str:
        """Lines of at most 96 characters.

        Examples
        --------
        >>> print(Card("Flow", [("times", "0, 24"), ("seed", "0")], "Save it.").text())
        Flow
            times  0, 24
            seed   0
        Save it.
        """
        width = max(len(name) for name, _ in self.rows)
        hanging = " " * (4 + width + 2)
        lines = [
            textwrap.fill(
                clean(said),
                _WIDTH,
                initial_indent=f"    {name:<{width}}  ",
                subsequent_indent=hanging,
            )
            for name, said in self.rows
        ]
        return "\n".join([self.title, *lines, *([self.foot] if self.foot else [])])

    def html(self) -> str:
        """A table without scripts and colours."""
        left = f"{_CELL}; {_RULE}; opacity: .75; font-weight: normal; white-space: nowrap"
        rows = "".join(
            f'<tr><th style="{left}">{_escaped(name)}</th>'
            f'<td style="{_CELL}; {_RULE}">{_escaped(said)}</td></tr>'
            for name, said in self.rows
        )
        foot = f'<div style="opacity: .75">{_escaped(self.foot)}</div>' if self.foot else ""
        table = f'<table style="{_TABLE}; margin: .3em 0">{rows}</table>'
        return f'<div style="max-width: 60em"><b>{_escaped(self.title)}</b>{table}{foot}</div>'


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""A table whose cells are wrapped to the width of the terminal, and not shortened.

    Examples
    --------
    >>> print(text_table(["key", "found"], [["hours", "two\nlines"]]))
    key    found
    -----  -----
    hours  two
           lines
    """
    columns = list(zip(head, *rows, strict=True))
    widths = _widths(columns, shutil.get_terminal_size((100, 24)).columns)
    lines = list(_lines(head, widths))
    lines.append("  ".join("-" * width for width in widths))
    for number, row in enumerate(rows):
        lines += [""] * (number > 0 and len(rows) > 1)
        lines += _lines(row, widths)
    return "\n".join(lines)


def _widths(columns: Sequence[Sequence[str]], terminal: int) -> list[int]:
    """Widths of the columns: as wide as their longest cell, the widest narrowed to fit."""
    longest = [max(len(line) for cell in c for line in clean(cell).split("\n")) for c in columns]
    words = [max(len(word) for cell in c for word in clean(cell).split() or [""]) for c in columns]
    total = min(max(terminal, _NARROW), _WIDE) - 2 * (len(columns) - 1)
    widths = list(longest)
    while sum(widths) > total:
        k = max(range(len(widths)), key=lambda k: (widths[k] > words[k], widths[k]))
        if widths[k] <= 8:
            break
        widths[k] -= 1
    return widths


def _lines(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Lines of one row."""
    cells = [
        [part for line in clean(cell).split("\n") for part in textwrap.wrap(line, width) or [""]]
        for cell, width in zip(row, widths, strict=True)
    ]
    for k in range(max(map(len, cells))):
        parts = (c[k] if k < len(c) else "" for c in cells)
        padded = (f"{part:<{width}}" for part, width in zip(parts, widths, strict=True))
        yield "  ".join(padded).rstrip()


def html_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, bold: str | None = None
) -> str:
    """The same table as HTML, without scripts and colours; first cells that say `bold` are so."""
    heads = "".join(f'<th style="{_CELL}; {_RULE}">{_escaped(name)}</th>' for name in head)
    body = []
    for row in rows:
        first = f"<b>{_escaped(row[0])}</b>" if row[0] == bold else _escaped(row[0])
        cells = [first, *(_escaped(cell) for cell in row[1:])]
        inner = "".join(f'<td style="{_CELL}; {_RULE}">{cell}</td>' for cell in cells)
        body.append(f"<tr>{inner}</tr>")
    return (
        f'<div style="overflow-x: auto"><table style="{_TABLE}"><thead><tr>'
        f"{heads}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _escaped(text: str) -> str:
    return html.escape(clean(text), quote=True).replace("\n", "<br>")
