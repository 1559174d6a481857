"""Trends: expression over real time along paths, with its uncertainty, and when trends part."""

from cellflow.analysis.trends.parting import Parting, parted, parting
from cellflow.analysis.trends.paths import Stretch, stretches
from cellflow.analysis.trends.support import clouds_of
from cellflow.analysis.trends.trends import Parts, Trends, measured, residuals, trends

__all__ = [
    "Parting",
    "Parts",
    "Stretch",
    "Trends",
    "clouds_of",
    "measured",
    "parted",
    "parting",
    "residuals",
    "stretches",
    "trends",
]
