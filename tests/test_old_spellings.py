"""Calls in the spelling of 0.1.0 give what the new spelling gives, and a FutureWarning that names it."""

import anndata as ad
import numpy as np
import pytest
from cellflow.recipes import i_cfm

import cellflow as cf
from cellflow.errors import InputTypeError
from cellflow.training import Training
from conftest import digest

BRIEF = i_cfm(training=Training(steps=4, batch_size=32, record_every=4))
GROUPS = {"source": 0.0, "target": 48.0, "method": BRIEF}

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
    assert digest(found) == digest(new(fitted))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_both_spellings_at_once_are_refused(fitted):
    with pytest.raises(InputTypeError, match="Pass groupby= only"):
        cf.tl.translate(fitted, "stage", key="stage", **GROUPS)
