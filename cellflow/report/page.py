"""The page of a report: its sections in order."""

from __future__ import annotations

import datetime as dt

from cellflow.core._version import __version__
from cellflow.report.contents import Contents
from cellflow.report.markup import document, element
from cellflow.report.sections import SECTIONS

__all__ = ["page"]


def page(contents: Contents, title: str) -> str:
    """Return a benchmark as one HTML document."""
    written = f"Written by cellflow {__version__} on {dt.datetime.now(dt.UTC):%Y-%m-%d}."
    return document(
        title,
        element("h1", title),
        *(part for section in SECTIONS for part in section(contents)),
        element("footer", written),
    )
