"""Measures of `benchmarks/genes.py`."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def found(script):
    return script("gene_found")


def test_means_are_weighted_and_by_time(found):
    values = np.array([1.0, 3.0, 5.0, 9.0])
    weight = np.array([1.0, 1.0, 3.0, 1.0])
    means = found.by_time(values, weight, np.array([0.0, 0.0, 7.0, 7.0]))
    assert means.to_dict() == {0.0: 2.0, 7.0: 6.0}


@pytest.mark.parametrize(
    ("means", "before"),
    [
        ([0.0, 0.1, 0.4, 1.0], 2),
        ([0.0, 0.6, 0.4, 1.0], 0),  # half of the largest is reached early
        ([1.0, 0.2, 0.1, 0.0], 0),  # there is no time before
    ],
)
def test_a_rise_begins_before_half_of_the_largest_mean(found, means, before):
    assert found.before_rise(pd.Series(means)) == before


def test_a_gene_without_sensitivity_has_no_rank(found):
    names = ["rank", "q", "q_matched", "score", "sensitivity", "sensitivity_q", "velocity"]
    names += ["velocity_q", "association", "association_q", "r2", "marker_rank"]
    seen = pd.Series(1.0, index=names)
    table = pd.DataFrame({"a": seen, "b": seen.where(seen.index != "sensitivity")}).T
    assert found.shown_row(table, "a")["rank"] == "1 of 2"
    assert found.shown_row(table, "b")["rank"] == ""
    assert found.shown_row(table, "b")["association"] == "+1.00 (1.000)"
