"""The page of a report: its sections in order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

from cellflow.core._version import __version__
from cellflow.report.contents import Contents
from cellflow.report.markup import Markup, document, element
from cellflow.report.sections.calibration import calibration
from cellflow.report.sections.composition import composition
from cellflow.report.sections.distances import distances
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
    *(calibration, training, reproduction),
)


def page(contents: Contents, title: str) -> str:
    """Return a benchmark as one HTML document."""
    written = f"Written by cellflow {__version__} on {dt.datetime.now(dt.UTC):%Y-%m-%d}."
    return document(
        title,
        element("h1", title),
        *(part for section in _SECTIONS for part in section(contents)),
        element("footer", written),
    )
