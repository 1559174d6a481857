"""`cf.tl.compare`: conditions of one fit by sample; what is written, said and refused."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.errors import InputError, InputTypeError, MissingKeyError
from cellflow.synthetic import Experiment, GrowingFork
from cellflow.tl._compare_table import _count
from cellflow.training import Training
from conftest import quick_recipe

FIELDS = ["cf_compare_difference", "cf_compare_p", "cf_compare_q"]
BRIEF = Training(steps=20, batch_size=32, record_every=10)


def simulated(n_samples=3, n_obs=25, seed=0, treated_from=0.0, **treatment):
    systems = {"control": GrowingFork(), "treated": GrowingFork(**treatment)}
    made = Experiment(systems, n_samples=n_samples, shift=0.1, treated_from=treated_from)
    return cf.datasets.simulate(made, n_obs=n_obs, times=[0.0, 1.0, 2.0, 3.0], random_state=seed)


def fit(adata, **how):
    arguments = {"condition_key": "condition", "sample_key": "sample", "method": quick_recipe()}
    cf.tl.flow(adata, "time", use_rep="X_state", **(arguments | how))
    return adata


@pytest.fixture(scope="module")
def made():
    return fit(simulated(lost="B"))


@pytest.fixture
def adata(made):
    return made.copy()


def compared(adata, **how):
    cf.tl.compare(adata, "condition", **({"groupby": "cell_type", "n_perm": 99} | how))
    return cf.get.comparison(adata)


def test_a_lost_fate_is_found_with_its_size(adata):
    table = compared(adata)
    fate = table.query("quantity == 'fate' and group == 'trunk' and fate == 'B'").iloc[0]
    assert fate["low"] <= -0.5 <= fate["high"] < 0
    assert (fate["reference"], fate["condition"], fate["unit"]) == ("control", "treated", "sample")
    assert (fate["n_reference"], fate["n_condition"]) == (12, 12)
    assert fate["condition_value"] - fate["reference_value"] == pytest.approx(fate["effect"])
    parted = table.query("quantity == 'divergence'").iloc[0]
    assert (parted["low"], parted["effect"], parted["high"]) == (1.0, 2.0, 2.0)
    assert set(table["quantity"]) == {"speed", "fate", "distance", "divergence"}
    assert "no cell grows in this fit" in table.attrs["words"]
    assert "treated differs from the reference at 2" in table.attrs["words"]


def test_growth_is_compared_where_cells_grow():
    table = compared(fit(simulated(), method=cf.recipes.uot_cfm(tau=1.0, training=BRIEF)))
    growth = table.query("quantity == 'growth' and time == 2")
    assert list(growth["group"]) == ["A", "B"]
    assert ((growth["low"] <= 0) & (growth["high"] >= 0)).all()


@pytest.mark.parametrize("write", ["write_h5ad", "write_zarr"])
@pytest.mark.filterwarnings("ignore")  # zarr's and anndata's own, about formats
def test_results_survive_files_and_go_with_the_fit(adata, tmp_path, write):
    table = compared(adata)
    getattr(adata, write)(tmp_path / "a")
    again = (ad.read_h5ad if write == "write_h5ad" else ad.read_zarr)(tmp_path / "a")
    pd.testing.assert_frame_equal(cf.get.comparison(again), table, check_dtype=False)
    for name in FIELDS:
        np.testing.assert_array_equal(again.obsm[name], adata.obsm[name])
        assert adata.obsm[name].shape == (adata.n_obs, 1)
    fit(again)
    assert not set(FIELDS) & set(again.obsm)
    with pytest.raises(MissingKeyError, match=r"no comparison .*cf\.tl\.compare"):
        cf.get.comparison(again)


def test_a_copy_leaves_the_cells_unchanged_and_the_same_seed_gives_the_same(adata, frozen):
    with frozen(adata):
        one = cf.tl.compare(adata, "condition", n_perm=50, copy=True)
        two = cf.tl.compare(adata, "condition", n_perm=50, copy=True)
    pd.testing.assert_frame_equal(cf.get.comparison(one), cf.get.comparison(two))


def test_the_order_of_the_cells_does_not_matter(adata):
    order = np.random.default_rng(0).permutation(adata.n_obs)
    other = adata[order].copy()
    for by in ("sample", "cell"):
        one = cf.tl.compare(adata, "condition", by=by, n_perm=20, copy=True)
        two = cf.tl.compare(other, "condition", by=by, n_perm=20, copy=True)
        columns = ["reference_value", "condition_value", "effect"]
        tables = [cf.get.comparison(a).query("quantity == 'distance'")[columns] for a in (one, two)]
        np.testing.assert_allclose(tables[0], tables[1], atol=1e-6)


def test_cells_that_differ_come_first_and_the_last_time_has_none(adata):
    compared(adata)
    cells = cf.get.comparison(adata, table="cells")
    assert cells["p"].is_monotonic_increasing
    assert cells["p"].between(0, 1).all()
    assert set(cells["time"]) == {0.0, 1.0, 2.0}
    assert np.isnan(adata.obsm["cf_compare_p"][adata.obs["time"] == 3.0]).all()
    with pytest.raises(InputError, match="table='cell'"):
        cf.get.comparison(adata, table="cell")


def test_offsets_of_samples_that_a_fit_removes_change_nothing():
    """Positions are those that were measured; only the scale of the model coordinates differs."""
    found = []
    for align in (True, False):
        adata = fit(simulated(), align_samples=align)
        table = compared(adata).query("quantity in ['speed', 'distance']")
        found.append(table[["effect", "low", "high", "p"]].to_numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=0.05, atol=0.01)


# Other designs ------------------------------------------------------------------------------------


def test_the_sample_key_of_the_fit_is_taken_and_another_may_be_given(adata):
    adata.obs["mouse"] = adata.obs["sample"].astype(str) + "x"
    table = compared(adata, sample_key="mouse")
    np.testing.assert_allclose(table["effect"], compared(adata)["effect"])
    assert "By sample (sample)" in cf.get.comparison(adata).attrs["words"]


def test_the_reference_changes_the_sign(adata):
    one = compared(adata).query("quantity == 'speed'")
    two = compared(adata, reference="treated").query("quantity == 'speed'")
    np.testing.assert_allclose(one["effect"], -two["effect"], atol=1e-6)
    np.testing.assert_allclose(one["low"], -two["high"], atol=1e-6)


def test_by_cell_is_called_so(adata):
    del adata.uns["cellflow"]["params"]["sample_key"]
    table = compared(adata, by="cell")
    assert set(table["unit"]) == {"cell"}
    assert "Cells are no replicates; p-values are too small" in table.attrs["words"]


def test_a_condition_that_is_sampled_later_shares_the_earlier_times():
    adata = simulated(treated_from=2.0, speed_factors=(2.0, 1.0), onset=1.0)
    fit(adata, shared_until=1.0)
    table = compared(adata)
    assert "of which 0, 1 precede both" in table.attrs["words"]
    assert set(table.query("quantity == 'distance'")["time"]) == {2.0, 3.0}
    first = table.query("quantity == 'speed' and group == 'all' and time == 0").iloc[0]
    assert first["effect"] == pytest.approx(0.0, abs=1e-6)


def test_times_that_one_condition_lacks_are_left_out_for_both(adata):
    few = adata[~((adata.obs["time"] == 1.0) & (adata.obs["condition"] == "treated"))].copy()
    table = compared(few)
    assert "at the times 0, 2, 3; without 1, where" in table.attrs["words"]
    assert set(table.query("quantity == 'distance'")["time"]) == {0.0, 2.0, 3.0}


def test_a_time_with_one_sample_of_a_condition_is_left_out(adata):
    here = (adata.obs["time"] == 1.0) & (adata.obs["condition"] == "treated")
    dropped = here & (adata.obs["sample"] != adata.obs["sample"][here].iloc[0])
    assert "without 1, where" in compared(adata[~dropped].copy()).attrs["words"]


def test_each_of_three_conditions_is_compared_with_the_reference():
    systems = {name: GrowingFork() for name in ("a", "b", "c")}
    adata = cf.datasets.simulate(
        Experiment(systems, n_samples=2), n_obs=20, times=[0.0, 1.0], random_state=0
    )
    fit(adata)
    table = compared(adata, groupby=None)
    assert set(zip(table["reference"], table["condition"], strict=True)) == {("a", "b"), ("a", "c")}
    assert adata.obsm["cf_compare_p"].shape == (adata.n_obs, 2)


def test_donors_that_are_sampled_at_every_time_are_exchanged_as_a_whole(adata):
    donor = adata.obs["condition"].astype(str) + adata.obs["replicate"].astype(str)
    adata.obs["donor"] = donor
    table = compared(adata, sample_key="donor")
    assert "all 20 labellings of the samples" in table.attrs["words"]
    assert (table["n_reference"] == 3).all()
    speed = table.query("quantity == 'speed'")
    assert (speed["p"] >= 0.1 - 1e-9).all()
    assert speed["p_smallest"].to_numpy() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (20.0, "20"),
        (184756.0, "184,756"),
        (999_999_999.0, "1 billion"),
        (1_681_000_000.0, "1.68 billion"),
        (2.7e12, "2.7 trillion"),
        (1e30, "more than 1,000 trillion"),
    ],
)
def test_numbers_of_labellings_are_words_that_people_read(number, words):
    assert _count(number) == words


# Refused ------------------------------------------------------------------------------------------


def one_sample(adata):
    adata.obs["sample"] = "all"


def one_of_each(adata):
    adata.obs["sample"] = adata.obs["condition"].astype(str) + adata.obs["time"].astype(str)


def numbered_within_conditions(adata):
    adata.obs["sample"] = "replicate " + adata.obs["replicate"].astype(str).str[-1]


def gaps(adata):
    adata.obs["sample"] = adata.obs["sample"].astype(object)
    adata.obs.loc[adata.obs_names[3], "sample"] = np.nan


REFUSED = {
    "one sample": (one_sample, {}, r"one sample, 'all', .*no replicates.*by='cell'"),
    "one of each": (one_of_each, {}, r"two samples .*1 and 1.*no replicates.*by='cell'"),
    "in two": (numbered_within_conditions, {}, r"'replicate \d' is in the conditions .*join"),
    "no sample": (gaps, {}, "no sample for 1 cells"),
    "unknown column": (None, {"sample_key": "smaple"}, "'smaple'.*did you mean 'sample'"),
    "unknown groups": (None, {"groupby": "cell_typ"}, "'cell_typ'.*did you mean 'cell_type'"),
    "reference": (None, {"reference": "contrl"}, "'contrl'.*did you mean 'control'"),
    "by": (None, {"by": "cells"}, "by='cells'.*did you mean 'cell'"),
    "both": (None, {"by": "cell", "sample_key": "sample"}, "takes no samples"),
    "level": (None, {"level": 90}, "level=90"),
    "permutations": (None, {"n_perm": 0}, "n_perm=0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_compared_is_refused_and_changes_nothing(adata, frozen, case):
    spoil, how, message = REFUSED[case]
    arguments = dict(how)
    if spoil is not None:
        other = adata.obs["sample"].copy()
        spoil(adata)
        adata.obs["mouse"] = adata.obs["sample"]
        adata.obs["sample"] = other
        arguments["sample_key"] = "mouse"
    with frozen(adata), pytest.raises(InputError, match=f"(?s){message}"):
        cf.tl.compare(adata, "condition", **arguments)


def test_conditions_without_a_time_in_common_are_refused(adata, frozen):
    early = (adata.obs["condition"] == "control") == (adata.obs["time"] < 1.5)
    apart = adata[early].copy()
    with frozen(apart), pytest.raises(InputError, match="no time in common"):
        cf.tl.compare(apart, "condition")
    once = adata[early | (adata.obs["time"] == 2.0)].copy()
    with pytest.raises(InputError, match="at one time only, 2"):
        cf.tl.compare(once, "condition")
    control = adata[adata.obs["condition"] == "control"].copy()
    with pytest.raises(InputError, match=r"has 1 condition \(control\)"):
        cf.tl.compare(control, "condition")


def test_the_fit_must_have_the_condition_and_the_samples(frozen):
    adata = simulated(n_samples=2)
    adata.obs["batch"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 2, "x", "y"))
    plain = fit(adata.copy(), condition_key=None)
    with frozen(plain), pytest.raises(InputError, match=r"without conditions.*condition_key="):
        cf.tl.compare(plain, "condition")
    two = fit(adata.copy(), condition_key=["condition", "batch"], sample_key=None)
    with frozen(two):
        with pytest.raises(MissingKeyError, match=r"condition_key='conditon'.*did you mean"):
            cf.tl.compare(two, "conditon")
        with pytest.raises(InputError, match="'batch' beside 'condition', and it varies"):
            cf.tl.compare(two, "condition", sample_key="sample")
        with pytest.raises(InputTypeError, match="sample_key=3"):
            cf.tl.compare(two, "condition", sample_key=3)
    one = fit(adata.copy(), sample_key=None)
    with frozen(one), pytest.raises(InputError, match=r"sample_key=None.*by='cell'"):
        cf.tl.compare(one, "condition")


def test_doses_keep_their_exact_values():
    adata = simulated(n_samples=2)
    adata.obs["dose"] = np.where(adata.obs["condition"] == "control", 1234567.0, 1234568.5)
    fit(adata, condition_key="dose")
    cf.tl.compare(adata, "dose", n_perm=20)
    table = cf.get.comparison(adata)
    assert (table["reference"].iloc[0], table["condition"].iloc[0]) == ("1234567", "1234568.5")


def test_a_group_cannot_be_called_all(adata, frozen):
    adata.obs["kind"] = np.where(adata.obs["cell_type"] == "A", "all", "other")
    with frozen(adata), pytest.raises(InputError, match="group named 'all'"):
        cf.tl.compare(adata, "condition", groupby="kind")
