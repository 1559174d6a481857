"""Calls in the spelling of 0.1.0 give the result of the new one, with a FutureWarning."""

from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellflow.recipes import by_name, i_cfm

import cellflow as cf
from cellflow.errors import InputTypeError
from cellflow.training import Training
from conftest import digest, quick_recipe

BRIEF = i_cfm(training=Training(steps=4, batch_size=32, record_every=4))
GROUPS = {"source": 0.0, "target": 48.0, "method": BRIEF}

CLOUD = np.random.default_rng(0).normal(size=(40, 2))
REAL = cf.Population(CLOUD + 0.1, 1.0)
STEPS = {"noise": 0.0, "step": 0.1, "n_steps": 2}


def attraction(x, noise):
    return -x


def model(adata):
    """The arrays of a fit, without the seconds that it took."""
    result = adata[:, :0].copy()
    result.uns = {"model": adata.uns["cellflow"]["model"]["arrays"]}
    return result


#: By what is old: the old call, the new one, and what the warning names.
OLD = {
    "tl.translate(key=)": (
        lambda a: cf.tl.translate(a, key="stage", **GROUPS),
        lambda a: cf.tl.translate(a, groupby="stage", **GROUPS),
        r"translate\(groupby=...\)",
    ),
    "tl.sample(time)": (
        lambda a: cf.tl.sample(a, 12.0, n_obs=3, n_steps=1),
        lambda a: cf.tl.sample(a, time=12.0, n_obs=3, n_steps=1),
        r"sample\(..., time=...\)",
    ),
    "tl.trajectories(cells=)": (
        lambda a: cf.tl.trajectories(a, n_times=2, cells=[3], genes=["gene1"], overwrite=True),
        lambda a: cf.tl.simulate(a, [3], n_times=2, genes=["gene1"]),
        r"simulate\(adata, cells, ...\)",
    ),
    "tl.trajectories(cells=None)": (
        lambda a: cf.tl.trajectories(a, n_times=2, cells=None, copy=True),
        lambda a: cf.tl.trajectories(a, n_times=2, copy=True),
        r"simulate\(adata, cells, ...\)",
    ),
    "tl.flow(scale=)": (
        lambda a: model(cf.tl.flow(a, "hours", method=BRIEF, scale="each", copy=True)),
        lambda a: model(cf.tl.flow(a, "hours", method=by_name(BRIEF, scale="each"), copy=True)),
        r"flow\(method=cf.recipes.by_name\(name, scale=...\)\)",
    ),
    "tl.translate(scale=)": (
        lambda a: cf.tl.translate(a, "stage", scale="each", **GROUPS),
        lambda a: cf.tl.translate(a, "stage", **GROUPS | {"method": by_name(BRIEF, scale="each")}),
        r"translate\(method=cf.recipes.by_name\(name, scale=...\)\)",
    ),
    "evaluation.score_refinement(seed=)": (
        lambda _: repr(cf.evaluation.score_refinement(REAL, CLOUD, CLOUD, noise=0.1, seed=3)),
        lambda _: repr(
            cf.evaluation.score_refinement(REAL, CLOUD, CLOUD, noise=0.1, random_state=3)
        ),
        r"score_refinement\(random_state=...\)",
    ),
    "simulation.langevin(seed=)": (
        lambda _: cf.simulation.langevin(attraction, CLOUD, **STEPS, seed=3).tolist(),
        lambda _: cf.simulation.langevin(attraction, CLOUD, **STEPS, random_state=3).tolist(),
        r"langevin\(random_state=...\)",
    ),
    "datasets.simulate(seed=)": (
        lambda _: cf.datasets.simulate("two_well", n_obs=5, seed=3),
        lambda _: cf.datasets.simulate("two_well", n_obs=5, random_state=3),
        r"simulate\(random_state=...\)",
    ),
}


@pytest.mark.parametrize("name", OLD)
def test_an_old_spelling_gives_the_result_of_the_new_one(name, fitted):
    old, new, words = OLD[name]
    fitted.obs["stage"] = np.repeat([0.0, 12.0, 48.0], 30)
    if name.startswith("tl.translate"):
        fitted = ad.concat([fitted, fitted], index_unique="-", merge="same")
    with pytest.warns(FutureWarning, match=f"is now {words}") as caught:
        found = old(fitted)
    assert {warning.filename for warning in caught} == {__file__}
    expected = new(fitted)
    if isinstance(found, ad.AnnData):
        found = digest(found)
        expected = digest(expected)
    assert found == expected


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_scale_of_a_selected_method_is_that_of_all_candidates(cells, monkeypatch):
    from cellflow.evaluation import selection

    given = []

    def select(snapshots, choices, **_):
        given.extend(choices)
        return SimpleNamespace(best=SimpleNamespace(recipe=quick_recipe(), name="ot-cfm"))

    monkeypatch.setattr(selection, "select", select)
    monkeypatch.setattr(selection, "curve", lambda found: pd.DataFrame({"method": ["ot-cfm"]}))
    cf.tl.flow(cells, "hours", method="auto", scale="each")
    assert [choice.recipe.name for choice in given] == ["curved-cfm", "ot-cfm", "sb-cfm"]
    given.clear()
    cf.tl.flow(cells, "hours", method=["ot-cfm", "i-cfm"], scale="each", overwrite=True)
    assert [choice.recipe.name for choice in given] == ["ot-cfm", "i-cfm"]
    assert {choice.recipe.scale for choice in given} == {"each"}


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_both_spellings_at_once_are_refused(fitted):
    with pytest.raises(InputTypeError, match="Pass groupby= only"):
        cf.tl.translate(fitted, "stage", key="stage", **GROUPS)
