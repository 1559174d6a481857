"""Conditions of one fit compared, with samples as the units; arrays in, arrays out.

Plans are solved for every pair of samples of consecutive times, and effects are means over such
pairs. Exchanging the labels of samples, or leaving one out, only changes the weights of these
means, so permutations and intervals need no other plan and no other fit.
"""

from cellflow.analysis.comparison.compare import ALL, Asked, Compared, Effect, compare
from cellflow.analysis.comparison.course import Course, Groups
from cellflow.analysis.comparison.design import SHARED
from cellflow.analysis.comparison.divergence import ALPHA, Divergence
from cellflow.analysis.comparison.plans import Block

__all__ = [
    "ALL",
    "ALPHA",
    "SHARED",
    "Asked",
    "Block",
    "Compared",
    "Course",
    "Divergence",
    "Effect",
    "Groups",
    "compare",
]
