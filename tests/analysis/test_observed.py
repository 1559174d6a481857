"""The span of the observed times: what lies outside, how far, and what is said of it."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from cellflow.analysis.observed import Observed, growth
from cellflow.core.population import Snapshots
from cellflow.errors import InputError, IntegrationWarning

SPAN = Observed(10.0, 40.0, 15.0)
#: Times by how far outside they lie, in mean intervals; 0 is inside.
TIMES = {
    "first": (10.0, 0.0),
    "last": (40.0, 0.0),
    "between": (27.3, 0.0),
    "just after": (np.nextafter(40.0, 50.0), 1e-16),
    "just before": (np.nextafter(10.0, 0.0), 1e-16),
    "half after": (47.5, 0.5),
    "half before": (2.5, 0.5),
    "one after": (55.0, 1.0),
    "one before": (-5.0, 1.0),
    "more after": (55.1, 1.01),
    "more before": (-5.1, 1.01),
    "twice the span": (70.0, 2.0),
    "another unit": (1e12, 6.7e10),
    "infinite": (np.inf, np.inf),
    "no number": (np.nan, np.inf),
}


@pytest.mark.parametrize("name", TIMES)
def test_every_time_is_inside_near_or_far(name):
    time, distance = TIMES[name]
    assert (len(SPAN.outside(time)) > 0) == (distance > 0)
    if distance == 0:
        SPAN.require(time, "the density")
    else:
        with pytest.raises(
            InputError,
            match=r"\(1 in all\) lies outside the times of the fit, 10 to 40, where the density",
        ):
            SPAN.require(time, "the density")
    if distance <= 1:
        SPAN.require_reached(time, extrapolate=False)
    else:
        with pytest.raises(
            InputError,
            match=(
                r"outside the observed times, 10 to 40, by .* mean intervals\. .*extrapolate=True"
            ),
        ):
            SPAN.require_reached([20.0, time], extrapolate=False)
    SPAN.require_reached(time, extrapolate=True)


@pytest.mark.parametrize("name", TIMES)
def test_what_is_outside_is_said_once_and_what_is_inside_is_not(name):
    time, distance = TIMES[name]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        SPAN.warn([time, 20.0], growth=3.0)
    assert [w.category for w in said] == [IntegrationWarning] * (distance > 0)
    assert [w.filename for w in said] == [__file__] * (distance > 0)
    assert all("3 times as far" in str(w.message) for w in said)


@pytest.mark.parametrize("scale", [1e-9, 0.1, 1.0, 1 / 3, 1e6])
def test_one_mean_interval_is_near_in_any_unit(scale):
    """Rounding of computed times decides nothing."""
    times = scale * np.array([0.0, 0.1, 0.3, 0.7])
    span = Observed.by(SimpleNamespace(times=times))
    span.require_reached(times[-1] + np.diff(times).mean(), extrapolate=False)
    span.require_reached(times[0] - np.diff(times).mean(), extrapolate=False)
    with pytest.raises(InputError):
        span.require_reached(times[-1] + 1.001 * np.diff(times).mean(), extrapolate=False)


@pytest.mark.parametrize(
    ("subset", "time", "outside"),
    [
        ([0.0, 1.0, 2.0, 4.0], 3.0, False),
        ([0.0, 1.0], 0.5, False),
        ([0.0, 1.0], 1.0, False),
        ([0.0, 1.0], 2.0, True),
        ([0.0, 1.0], 4.0, True),
        ([2.0, 4.0], 1.0, True),
        ([2.0, 4.0], 2.0, False),
        ([1.0], 1.0, False),
        ([1.0], 1.5, True),
        ([1.0, 9.0], 4.0, False),  # the field ends at 4, although there are later cells
        ([1.0, 9.0], 5.0, True),
        ([-3.0, 1.0], -1.0, True),
        ([7.0, 9.0], 8.0, True),
        ([7.0, 9.0], 3.0, True),
    ],
)
def test_a_subset_knows_its_own_times_only(subset, time, outside):
    fit = SimpleNamespace(times=np.array([0.0, 1.0, 2.0, 4.0]))
    cells = Snapshots.from_arrays(np.zeros((len(subset), 2)), np.array(subset))
    span = Observed.by(fit, cells)
    assert (len(span.outside(time)) > 0) == outside
    assert span.interval == pytest.approx(4 / 3)


def test_a_subset_without_times_in_common_with_the_fit_is_told_so():
    cells = Snapshots.from_arrays(np.zeros((2, 2)), np.array([7.0, 9.0]))
    span = Observed.by(SimpleNamespace(times=np.array([0.0, 1.0])), cells)
    with pytest.raises(InputError, match="of which the fit and these cells share none"):
        span.require_reached(8.0, extrapolate=False)


@pytest.mark.parametrize("extrapolate", [None, 1, 0, "yes", "any", 2.5, [True]])
def test_extrapolate_is_yes_or_no(extrapolate):
    with pytest.raises(InputError, match=r"extrapolate=.*expected True or False"):
        SPAN.require_reached(20.0, extrapolate=extrapolate)


def test_growth_is_relative_to_the_cells():
    cells = np.random.default_rng(0).normal(size=(500, 3)) + 7.0
    assert growth(cells, cells) == pytest.approx(1.0)
    assert growth(7.0 + 30.0 * (cells - 7.0), cells) == pytest.approx(30.0, rel=0.1)
    assert growth(cells, np.ones((4, 3))) is None
