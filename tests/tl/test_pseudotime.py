"""cf.tl.pseudotime: when cells are likely, beside their real time."""

import pandas as pd
import pytest
from scipy.stats import spearmanr

import cellflow as cf
from cellflow.errors import InputError

NAMES = [f"cf_pseudotime{part}" for part in ("", "_mode", "_low", "_high", "_unique")]


def test_ranks_times_and_intervals(fitted):
    cf.tl.pseudotime(fitted)
    rank, mode, low, high, unique = (fitted.obs[name] for name in NAMES)
    assert rank.min() == 0.0
    assert rank.max() == 1.0
    assert rank.is_unique
    assert mode.between(0.0, 48.0).all()
    assert (low <= mode).all()
    assert (mode <= high).all()
    assert (low < high).all()
    assert unique.between(0.0, 1.0).all()
    timed = fitted.obs["hours"].notna()
    assert spearmanr(rank[timed], fitted.obs["hours"][timed])[0] > 0.8


def test_ranks_are_those_of_the_age(fitted):
    cf.tl.pseudotime(fitted)
    cf.tl.age(fitted)
    pd.testing.assert_series_equal(
        fitted.obs["cf_pseudotime"],
        (fitted.obs["cf_age"].rank() - 1) / (fitted.n_obs - 1),
        check_names=False,
    )


def test_a_higher_level_gives_wider_intervals(fitted):
    narrow = cf.tl.pseudotime(fitted, level=0.5, copy=True).obs
    wide = cf.tl.pseudotime(fitted, level=0.95, copy=True).obs
    assert (narrow["cf_pseudotime_low"] >= wide["cf_pseudotime_low"]).all()
    assert (narrow["cf_pseudotime_high"] <= wide["cf_pseudotime_high"]).all()
    assert (narrow["cf_pseudotime_high"] < wide["cf_pseudotime_high"]).any()


def test_chosen_cells_are_ranked_among_themselves(fitted):
    cf.tl.pseudotime(fitted, cells=[3, 40, 80])
    found = fitted.obs[NAMES]
    assert found.iloc[[3, 40, 80]].notna().all(axis=None)
    assert found.drop(found.index[[3, 40, 80]]).isna().all(axis=None)
    assert sorted(found["cf_pseudotime"].dropna()) == [0.0, 0.5, 1.0]
    one = cf.tl.pseudotime(fitted, cells=[3], copy=True, overwrite=True)
    assert one.obs["cf_pseudotime"].iloc[3] == 0.5
    assert one.obs["cf_pseudotime_mode"].iloc[3] == found["cf_pseudotime_mode"].iloc[3]


def test_the_grid_of_times(fitted):
    cf.tl.pseudotime(fitted, times=[0.0, 24.0, 48.0])
    assert set(fitted.obs["cf_pseudotime_mode"]) <= {0.0, 24.0, 48.0}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"level": 0.0}, "level"),
        ({"level": 1.0}, "level"),
        ({"times": [0.0, 12.0]}, "at least 3"),
        ({"times": [0.0, 12.0, 99.0]}, "the density is not known"),
        ({"cells": ["cell07"]}, "did you mean"),
        ({"cells": []}, "no cell"),
    ],
)
def test_bad_input(fitted, frozen, options, said):
    with frozen(fitted), pytest.raises(InputError, match=said):
        cf.tl.pseudotime(fitted, **options)


def test_a_fit_with_conditions_is_refused(fitted_as, frozen):
    adata = fitted_as("conditions")
    with frozen(adata), pytest.raises(InputError, match="conditional"):
        cf.tl.pseudotime(adata)
