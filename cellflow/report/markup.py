"""Pieces of a page of HTML. Text that is not markup is cleaned and escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from cellflow.core._text import clean

__all__ = [
    "Markup",
    "contents",
    "definitions",
    "document",
    "element",
    "figure",
    "heading",
    "stacked",
    "table",
]

#: Width of one inch of a picture, in letters of the page (rem).
_REM = 6.05
#: A picture is not shown smaller than this share of its size: letters of 8 points stay legible.
_SMALLEST = 0.85
#: Text of more characters is broken into lines.
_LONG = 36
_STYLE = """
:root { --ink: #262626; --soft: #565656; --line: #e3e3e3; --paper: #ffffff; --wash: #f7f7f5;
  --blue: #0072b2; --orange: #b34700; --green: #00795a; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55;
  font: 400 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial,
  sans-serif; }
main { max-width: 74rem; margin: 0 auto; padding: 3rem 1.5rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; font-weight: 650; margin: 0 0 .3rem;
  letter-spacing: -.01em; }
h2 { font-size: 1.25rem; font-weight: 650; margin: 3.2rem 0 .4rem; padding-top: 1.1rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; font-weight: 650; margin: 1.8rem 0 .4rem; }
p { margin: .5rem 0; max-width: 46rem; }
.soft, figcaption, dd { color: var(--soft); }
.verdict { margin: .7rem 0; padding: .9rem 1.25rem; background: var(--wash);
  border-left: 5px solid var(--soft); }
.verdict b { font-size: 1.2rem; }
.verdict p { max-width: 60rem; }
.verdict.better { border-color: var(--green); }
.verdict.worse, .verdict.contradictory { border-color: var(--orange); }
.interval { padding: .1rem 0 .1rem .9rem; border-left: 3px solid var(--soft); }
.interval.worse { border-color: var(--orange); }
.tiles { display: flex; flex-wrap: wrap; gap: .9rem; margin: 1.4rem 0; }
.tile { flex: 1 1 10rem; border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.55rem; font-weight: 600; line-height: 1.2;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .85rem; line-height: 1.35; display: block;
  margin-top: .15rem; }
figure { margin: 1.2rem 0 1.6rem; break-inside: avoid; }
.picture { overflow-x: auto; }
.picture img { display: block; width: 100%; height: auto; }
nav { margin: 1.4rem 0; font-size: .95rem; }
nav ol { margin: .3rem 0; padding-left: 1.4rem; columns: 2 16rem; }
nav a { color: var(--ink); }
figcaption { font-size: .88rem; max-width: 46rem; margin-top: .4rem; }
.scroll { overflow-x: auto; margin: .8rem 0; max-width: 100%; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums;
  width: 100%; }
th, td { padding: .32rem .55rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { white-space: normal; }
th { font-weight: 600; vertical-align: bottom; border-bottom: 1.5px solid var(--ink); }
th:first-child, td:first-child, .text { text-align: left; }
td small { display: block; font-size: 1em; color: var(--soft); }
td.long { white-space: normal; min-width: 12rem; text-align: left; }
tr { break-inside: avoid; }
tr.group td { font-weight: 650; padding-top: 1rem; border-bottom: 1px solid var(--ink); }
tr.model td:first-child { color: var(--orange); font-weight: 600; }
tr.floor td { color: var(--soft); font-style: italic; }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .25rem 1.2rem;
  font-size: .9rem; max-width: 52rem; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
details { margin: 1rem 0; } summary { cursor: pointer; font-weight: 600; font-size: .92rem; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line);
  color: var(--soft); font-size: .85rem; }
@media (max-width: 40rem) {
  main { padding: 1.5rem 1rem 3rem; }
  dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; }
}
@media print {
  @page { size: A4; margin: 16mm 14mm; }
  html { font-size: 10.5px; } body { font-size: 1rem; -webkit-print-color-adjust: exact;
  print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  p, figcaption { max-width: none; } h2 { break-after: avoid; margin-top: 1.6rem; }
  h3 { break-after: avoid; }
  table { font-size: .76rem; } th, td { padding: .2rem .3rem; }
  .scroll { overflow: visible; } .wide { display: none; }
}
"""


#: A heading of `heading`: its anchor and its title.
_HEADING = re.compile(r'<h2 id="([^"]*)">(.*?)</h2>')


class Markup(str):
    """Text that is HTML already, and goes into a page as it is."""

    __slots__ = ()


def element(tag: str, *content: str, **attributes: str) -> Markup:
    """One element around its content; `class_` stands for the attribute `class`."""
    pairs = ((name.rstrip("_"), _escaped(value)) for name, value in attributes.items())
    named = "".join(f' {name}="{value}"' for name, value in pairs)
    return Markup(f"<{tag}{named}>{''.join(_escaped(part) for part in content)}</{tag}>")


def _escaped(text: str) -> str:
    """Text without tags and without characters that a page must not hold; markup as it is."""
    return text if isinstance(text, Markup) else html.escape(clean(text), quote=True)


def figure(png: str, caption: str, *, alt: str, inches: float) -> Markup:
    """A picture, given as base64, with its caption; on a narrow screen it scrolls in its frame."""
    width = _REM * inches
    style = f"max-width: {width:.1f}rem; min-width: {_SMALLEST * width:.1f}rem"
    image = Markup(
        f'<img alt="{_escaped(alt)}" style="{style}" src="data:image/png;base64,{_escaped(png)}">'
    )
    frame = element("div", image, class_="picture", tabindex="0")
    return element("figure", frame, element("figcaption", caption))


def heading(title: str) -> Markup:
    """The title of a section, which the list of contents links to."""
    return element("h2", title, id=_anchor(title))


def contents(parts: Iterable[Markup]) -> Markup:
    """A list of links to the headings among the parts of a page."""
    links = (
        element("li", element("a", Markup(title), href=f"#{anchor}"))
        for anchor, title in _HEADING.findall("".join(p for p in parts if p.startswith("<h2 ")))
    )
    return element("nav", element("b", "Contents"), element("ol", *links))


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def table(
    head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], *, text: Sequence[int] = (0,)
) -> Markup:
    """A table of cells that are formatted already.

    Parameters
    ----------
    head
        Names of the columns.
    rows
        The class of each row (`"group"` for a heading of one cell) and its cells.
    text
        Columns that are text, and stand left.
    """
    columns = [{"class_": "text"} if k in text else {} for k in range(len(head))]
    heads = [element("th", name, scope="col", **c) for name, c in zip(head, columns, strict=True)]
    body = []
    for kind, cells in rows:
        if kind == "group":
            heading = element("td", cells[0], colspan=str(len(head)))
            body.append(element("tr", heading, class_="group"))
        else:
            cells = [
                element("td", said, **({"class_": "long"} if _is_long(said) else column))
                for said, column in zip(cells, columns, strict=True)
            ]
            body.append(element("tr", *cells, class_=kind))
    top = element("thead", element("tr", *heads))
    return element("div", element("table", top, element("tbody", *body)), class_="scroll")


def _is_long(said: str) -> bool:
    return len(said) > _LONG and not isinstance(said, Markup)


def stacked(said: str) -> Markup:
    """A number with its interval in brackets below it, so that columns stay narrow."""
    value, _, interval = said.partition(" (")
    small = element("small", f"({interval}") if interval else Markup("")
    return Markup(f"{_escaped(value)} {small}".rstrip())


def definitions(pairs: Sequence[tuple[str, str]]) -> Markup:
    """A list of names, each with what it means or is."""
    parts = ((element("dt", name), element("dd", said)) for name, said in pairs)
    return element("dl", *(part for pair in parts for part in pair))


def document(title: str, *body: str) -> str:
    """A whole page that needs nothing else."""
    meta = Markup(
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    )
    head = element("head", meta, element("title", title), element("style", Markup(_STYLE)))
    whole = element("html", head, element("body", element("main", *body)), lang="en")
    return f"<!DOCTYPE html>\n{whole}\n"
