"""The page of a report: its sections in order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

from cellflow.core._version import __version__
from cellflow.report.contents import Contents
from cellflow.report.markup import Markup, document, element
from cellflow.report.markup import contents as list_of_contents
from cellflow.report.sections.calibration import calibration
from cellflow.report.sections.comparison import comparison
from cellflow.report.sections.composition import composition
from cellflow.report.sections.distances import distances
from cellflow.report.sections.fates import fates
from cellflow.report.sections.growth import growth
from cellflow.report.sections.lineages import lineages
from cellflow.report.sections.maps import maps
from cellflow.report.sections.numbers import numbers
from cellflow.report.sections.reproduction import reproduction
from cellflow.report.sections.summary import summary
from cellflow.report.sections.training import training

__all__ = ["page"]

#: In the order of the page. A section without content is empty.
_SECTIONS: tuple[Callable[[Contents], Iterator[Markup]], ...] = (
    *(summary, distances, numbers, maps, composition, lineages),
    *(calibration, fates, growth, comparison),
    *(training, reproduction),
)


def page(contents: Contents, title: str) -> str:
    """Return a benchmark as one HTML document."""
    written = f"Written by cellflow {__version__} on {dt.datetime.now(dt.UTC):%Y-%m-%d}."
    first, *others = [list(section(contents)) for section in _SECTIONS]
    rest = [part for parts in others for part in parts]
    return document(
        title,
        element("h1", title),
        *first,
        list_of_contents(rest),
        *rest,
        element("footer", written),
    )
