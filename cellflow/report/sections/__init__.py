"""The sections of a report, one a file: functions from `Contents` to pieces of the page."""

from collections.abc import Callable, Iterator

from cellflow.report.contents import Contents
from cellflow.report.markup import Markup
from cellflow.report.sections.calibration import calibration
from cellflow.report.sections.composition import composition
from cellflow.report.sections.distances import distances
from cellflow.report.sections.lineages import lineages
from cellflow.report.sections.maps import maps
from cellflow.report.sections.numbers import numbers
from cellflow.report.sections.reproduction import reproduction
from cellflow.report.sections.summary import summary
from cellflow.report.sections.training import training

__all__ = ["SECTIONS"]

#: In the order of the page. A section without content is empty.
SECTIONS: tuple[Callable[[Contents], Iterator[Markup]], ...] = (
    summary,
    distances,
    numbers,
    maps,
    composition,
    lineages,
    calibration,
    training,
    reproduction,
)
