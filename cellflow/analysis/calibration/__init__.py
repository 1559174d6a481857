"""Whether predicted fates come true: reliability, temperature, sets of fates, composition."""

from cellflow.analysis.calibration.composition import Compared, agreeing, compared
from cellflow.analysis.calibration.crossing import Crossed, crossed, is_better
from cellflow.analysis.calibration.judged import Judged, by_clones, smoothed
from cellflow.analysis.calibration.reliability import MOST_PROBABLE, Reliability, wilson
from cellflow.analysis.calibration.scaling import BOUNDS, Fit, Scaling, fitted
from cellflow.analysis.calibration.sets import fate_sets, threshold

__all__ = [
    "BOUNDS",
    "MOST_PROBABLE",
    "Compared",
    "Crossed",
    "Fit",
    "Judged",
    "Reliability",
    "Scaling",
    "agreeing",
    "by_clones",
    "compared",
    "crossed",
    "fate_sets",
    "fitted",
    "is_better",
    "smoothed",
    "threshold",
    "wilson",
]
