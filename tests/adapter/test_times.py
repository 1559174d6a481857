import datetime as dt
import decimal

import numpy as np
import pandas as pd
import pytest

from cellflow.adapter.findings import by_severity
from cellflow.adapter.times import examine_times, parse_times
from cellflow.adapter.units import TimeUnit
from cellflow.errors import InputError, InputWarning

NAN = np.nan


@pytest.mark.parametrize(
    ("column", "values", "unit"),
    [
        ([0.0, 1.5, NAN], [0.0, 1.5, NAN], ""),
        ([3, 1, 2], [3.0, 1.0, 2.0], ""),
        (np.array([1, 2], dtype=np.uint16), [1.0, 2.0], ""),
        (np.array([0.1, 8.5], dtype=np.float32), [0.1, 8.5], ""),
        (np.array([0.1, 8.5], dtype=">f4"), [0.1, 8.5], ""),
        (pd.array([3, None, 1], dtype="Int64"), [3.0, NAN, 1.0], ""),
        (pd.array([0.5, None], dtype="Float64"), [0.5, NAN], ""),
        (np.array([decimal.Decimal("0.5"), decimal.Decimal(2)]), [0.5, 2.0], ""),
        (np.array([0.5, 2], dtype=np.float16), [0.5, 2.0], ""),
        (np.array([1, 2.5, None], dtype=object), [1.0, 2.5, NAN], ""),
        (["E8.5", "E10.5", "E9.5"], [8.5, 10.5, 9.5], "days"),
        (["P0", "P7"], [0.0, 7.0], "days"),
        (["48h", "0h", "12 hours", "7hr", "1 hrs."], [48.0, 0.0, 12.0, 7.0, 1.0], "hours"),
        (
            ["day 3", "Day_0", "DAY10", "d7", "D 4", "3 days", "2d"],
            [3.0, 0.0, 10.0, 7.0, 4.0, 3.0, 2.0],
            "days",
        ),
        (["t10", "T2", "t_3", "time 5", "timepoint 1"], [10.0, 2.0, 3.0, 5.0, 1.0], ""),
        (["10", "2", " 3.5 ", "-1", "1e3", ".5"], [10.0, 2.0, 3.5, -1.0, 1000.0, 0.5], ""),
        (["day -1", "day 2"], [-1.0, 2.0], "days"),
        (["8h", "nan", "", None, "NA"], [8.0, NAN, NAN, NAN, NAN], "hours"),
        (
            pd.Categorical(["E2", "E1"], categories=["E1", "E2", "E3"], ordered=True),
            [2.0, 1.0],
            "days",
        ),
        (pd.Categorical([2.0, 1.0, NAN]), [2.0, 1.0, NAN], ""),
        (pd.Categorical([10, 2]), [10.0, 2.0], ""),
        (pd.to_timedelta([0, 2, None], unit="D"), [0.0, 2.0, NAN], "days"),
        (pd.to_timedelta([0, 6, 12], unit="h"), [0.0, 6.0, 12.0], "hours"),
        (pd.to_timedelta([30, 45], unit="min"), [30.0, 45.0], "minutes"),
        (np.array([dt.timedelta(days=2), None], dtype=object), [2.0, NAN], "days"),
        (pd.Categorical(pd.to_timedelta([0, 2], unit="D")), [0.0, 2.0], "days"),
        (pd.array(["1h", None], dtype="string"), [1.0, NAN], "hours"),
    ],
)
def test_forms_of_time(column, values, unit):
    parsed = parse_times(pd.Series(column))
    np.testing.assert_array_equal(parsed.values, values)
    assert parsed.unit == unit
    assert parsed.values.dtype == np.float64


@pytest.mark.parametrize(
    ("column", "values", "unit"),
    [
        (["90min", "2h"], [90.0, 120.0], "minutes"),
        (["48h", "day 3"], [48.0, 72.0], "hours"),
        (["week 1", "d3"], [7.0, 3.0], "days"),
        (["1 month", "2 years"], [1.0, 24.0], "months"),
        (["24hpf", "2dpf"], [24.0, 48.0], "hours"),
        (["0h", "day 3", "day 7"], [0.0, 72.0, 168.0], "hours"),
        (["1 week", "36h", None], [168.0, 36.0, NAN], "hours"),
        (["30 s", "2 min"], [30.0, 120.0], "seconds"),
        (["1 yr", "6 mo"], [12.0, 6.0], "months"),
        (pd.Categorical(["d1", "12h"]), [24.0, 12.0], "hours"),
    ],
)
def test_mixed_units_are_a_warning_that_says_the_unit(column, values, unit):
    with pytest.warns(InputWarning, match=rf"mixes labels in .* All times are in {unit}"):
        parsed = parse_times(pd.Series(column))
    np.testing.assert_array_equal(parsed.values, values)
    assert parsed.unit == unit


@pytest.mark.parametrize(
    ("unit", "zero", "asked", "number"),
    [
        ("hours", "", "day 5", 120.0),
        ("hours", "", "48h", 48.0),
        ("hours", "", "90 min", 1.5),
        ("hours", "", "1 week", 168.0),
        ("days", "", "48h", 2.0),
        ("days", "", "day 3", 3.0),
        ("days", "", " 3.5 ", 3.5),
        ("days", "", 4, 4.0),
        ("days", "", np.float32(0.5), 0.5),
        ("days", "", np.array(2.0), 2.0),
        ("days", "", np.timedelta64(36, "h"), 1.5),
        ("minutes", "", pd.Timedelta(hours=2), 120.0),
        ("seconds", "", dt.timedelta(minutes=1), 60.0),
        ("months", "", "2 years", 24.0),
        ("days", "embryonic", "E8.5", 8.5),
        ("days", "postnatal", "P3", 3.0),
        ("hours", "fertilisation", "2dpf", 48.0),
        ("", "", "t10", 10.0),
    ],
)
def test_a_time_that_is_asked_for_is_read_in_the_unit_of_the_fit(unit, zero, asked, number):
    assert TimeUnit(unit, zero).number("time", asked) == pytest.approx(number)


@pytest.mark.parametrize(
    ("column", "number"), [("day", 2.0), ("Hours", 48.0), ("time", None), ("cluster", None)]
)
def test_a_column_of_bare_numbers_may_say_its_unit_by_its_name(column, number):
    unit = TimeUnit.of("", "", column)
    if number is None:
        with pytest.warns(InputWarning, match=r"'48h' was taken as 48.* do not say their unit"):
            assert unit.number("time", "48h") == 48.0
    else:
        assert unit.number("time", "48h") == number


def test_a_column_of_bare_numbers_takes_stages_and_says_so():
    unit = TimeUnit.of("", "", "day")
    with pytest.warns(InputWarning, match=r"'E8.75' was taken as 8.75.* do not say their zero"):
        assert unit.number("time", "E8.75") == 8.75
    with pytest.raises(InputError, match="cannot be compared"):
        unit.number("time", "30hpf")
    with pytest.raises(InputError, match="cannot be compared"):
        TimeUnit.of("days", "", "when").number("time", "E8.75")


@pytest.mark.parametrize(
    ("unit", "zero", "asked"),
    [
        ("days", "embryonic", "P3"),
        ("days", "embryonic", "day 3"),
        ("days", "", "E3"),
        ("months", "", "3 days"),
        ("days", "embryonic", pd.Timedelta(days=1)),
        ("hours", "", "soon"),
        ("hours", "", ""),
        ("hours", "", None),
        ("hours", "", pd.NA),
        ("hours", "", pd.NaT),
        ("hours", "", True),
        ("hours", "", [1.0]),
        ("hours", "", np.array([1.0, 2.0])),
        ("hours", "", pd.Timestamp("2024-01-01")),
        ("hours", "", np.inf),
        ("hours", "", 10**400),
        ("hours", "", 1j),
        ("hours", "", {"a": 1}),
        ("hours", "", object()),
        ("", "", np.timedelta64(1, "h")),
    ],
)
def test_what_is_no_time_of_a_fit_is_named(unit, zero, asked):
    with pytest.raises(InputError, match=r"^time="):
        TimeUnit(unit, zero).number("time", asked)


@pytest.mark.parametrize(
    "column",
    [
        pd.to_datetime(["2024-01-01", "2024-01-03", None]),
        pd.to_datetime(["2024-01-01", "2024-01-03", None]).tz_localize("Europe/Berlin"),
        pd.PeriodIndex(["2024-01-01", "2024-01-03", None], freq="D"),
        np.array([dt.date(2024, 1, 1), dt.date(2024, 1, 3), None], dtype=object),
    ],
)
def test_dates_count_from_the_first_and_warn_about_saving(column):
    with pytest.warns(InputWarning, match="replace it by numbers before you save"):
        parsed = parse_times(pd.Series(column))
    np.testing.assert_array_equal(parsed.values, [0.0, 2.0, NAN])
    assert parsed.unit == "days"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([True, False], "True, False .of kind boolean"),
        ([1 + 2j, 0j], "of kind complex"),
        ([0.0, np.inf], "holds inf. Expected finite times"),
        (["early", "late", "8h"], "2 labels in 2 cells that are no times: 'early', 'late'"),
        (["Day 00-03", "Day 06-09"], "'Day 00-03', 'Day 06-09'"),
        (["batch1", "batch2"], "'batch1', 'batch2'"),
        (["day-3"], "'day-3'"),
        (["8,5"], "'8,5'"),
        (["48h", "72"], "'48h' beside '72'"),
        (["E18.5", "P0"], "'E18.5' beside 'P0'"),
        (["1 month", "3 days"], "'1 month' beside '3 days'"),
        (np.array([1, "2h"], dtype=object), "1, '2h' .of kind mixed-integer"),
        (np.array([(1, 2), (3, 4), None], dtype=object)[:2], "of kind mixed"),
        ([f"stage {i}" for i in range(20)], "and 12 more"),
        (["1e999"], "'1e999'"),
        (np.array([0, 10**400], dtype=object), "Expected finite times"),
        ([b"1", b"2"], "of kind bytes"),
        ([[1], [2]], r"\[1\] and its like"),
    ],
)
def test_what_is_no_time_is_listed(column, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_times(pd.Series(column), "adata.obs['t']")
    assert str(caught.value).startswith("adata.obs['t'] ")
    assert "Expected" in str(caught.value)


def test_all_missing_is_no_error_here():
    assert np.isnan(parse_times(pd.Series([NAN, NAN])).values).all()
    assert np.isnan(parse_times(pd.Series([None, None], dtype=object)).values).all()
    assert np.isnan(parse_times(pd.Series(["nan", ""])).values).all()


def test_rounding_makes_no_snapshot():
    parsed = parse_times(pd.Series([0.3, 0.1 + 0.2, 0.0, NAN]))
    assert parsed.values[0] == parsed.values[1]
    assert len(np.unique(parse_times(pd.Series([0.0, 1e-9, 1.0])).values)) == 3


def test_the_mapping_and_unused_categories_are_noted():
    column = pd.Series(pd.Categorical(["E8.5"], categories=["E8.5", "E9.5"]))
    found = [p.message for p in by_severity(examine_times(column, "adata.obs['t']"))]
    assert any("'E8.5' -> 8.5" in m for m in found)
    assert any("1 categories without cells" in m for m in found)


def test_order_of_rows_does_not_matter():
    column = pd.Series(["48h", "72h", None, "168 hours", "0h"] * 3)
    order = np.random.default_rng(0).permutation(len(column))
    np.testing.assert_array_equal(
        parse_times(column).values[order], parse_times(column.iloc[order]).values
    )
