"""Fields that docstrings of `cf.tl` list are those that calls add: names, dtypes, shapes."""

import inspect
import re

import numpy as np
import pandas as pd
import pytest
from cellflow.recipes import fm

import cellflow as cf
from cellflow.training import Training
from conftest import make_cells, quick_recipe

BRIEF = Training(steps=20, batch_size=64, record_every=10)

#: A line of a list of fields: - `obs["cf_time"]`: float64, shape (n_obs,).
LINE = re.compile(
    r'^- `(?P<slot>X|\w+(?=\["))(?P<path>(?:\["[^"]+"\])*)`: '
    r"(?P<dtype>[a-z0-9]+)(?:, shape \((?P<shape>[^)]*)\))?\.",
    re.MULTILINE,
)


def fields(call):
    """Listed fields by (slot, names): dtype, and shape as text or None."""
    text = re.sub(r"\n +(?=\S)", " ", inspect.getdoc(call))
    found = {}
    for line in LINE.finditer(text):
        names = tuple(re.findall(r'"([^"]+)"', line["path"]))
        found[line["slot"], names] = line["dtype"], line["shape"]
    return found


def contents(adata):
    """All fields of an AnnData by (slot, names); groups of a fit's record one level down."""
    found = {("X", ()): adata.X}
    for slot in ("obs", "var", "obsm", "layers"):
        found |= {(slot, (name,)): value for name, value in getattr(adata, slot).items()}
    for name, value in adata.uns.items():
        found["uns", (name,)] = value
        if name == "cellflow":
            found |= {("uns", (name, entry)): inner for entry, inner in value.items()}
    return found


def kind(value):
    if isinstance(value, dict):
        return "dict"
    dtype = value.dtype
    return "category" if isinstance(dtype, pd.CategoricalDtype) else str(dtype)


@pytest.fixture(scope="module")
def fits():
    """Cells without a fit, and with fits: with a score, an ensemble, a generator, with growth."""
    adata = make_cells()
    adata.obs["arm"] = np.where(np.arange(90) % 2, "a", "b")
    # The cells of the last time that have a label are far from the others, so that mass is
    # undecided.
    adata.obs["side"] = pd.Categorical(np.where(np.arange(90) % 3, "a", None))
    adata.uns["side_colors"] = np.array(["#0072b2"], dtype=object)
    scored = cf.tl.flow(adata, "hours", method=quick_recipe(), score=True, copy=True)
    generating = cf.tl.flow(adata, "hours", method=fm(training=BRIEF), copy=True)
    growing = cf.tl.flow(
        adata, "hours", method=quick_recipe(), growth="learn", n_members=2, copy=True
    )
    fated = scored.copy()
    fated.obs["half"] = np.where(fated.obsm["X_pca"][:, 2] > 0, "a", "b")
    fated.obs["clone"] = fated.obs["half"] + (np.arange(90) % 9).astype(str)
    cf.tl.fates(fated, "half")
    sure = cf.tl.flow(adata, "hours", method=quick_recipe(), score=True, n_members=2, copy=True)
    with_errors = ("fates", "ancestors", "divergence", "potential", "predict")
    with_errors += ("pull", "push", "velocity")
    made = dict.fromkeys(with_errors, sure)
    made |= {"generate": generating, "growth": growing, "calibrate": fated, "drivers": fated}
    made |= {"perturb": fated, "screen": fated}
    made["compare"] = cf.tl.flow(
        adata, "hours", method=quick_recipe(), condition_key="arm", copy=True
    )
    return {"flow": adata, "": scored} | made


#: Of each function: calls `(adata) -> result or None`, which add all listed fields together.
CALLS = {
    "age": [lambda a: cf.tl.age(a, n_times=3)],
    "ancestors": [lambda a: cf.tl.ancestors(a, "side")],
    "calibrate": [lambda a: cf.tl.calibrate(a, lineage_key="clone")],
    "compare": [lambda a: cf.tl.compare(a, "arm", by="cell", n_perm=20)],
    "curl": [lambda a: cf.tl.curl(a)],
    "density": [lambda a: cf.tl.density(a, "hours", method="gmm")],
    "diagnose": [lambda a: cf.tl.diagnose(a, n_cells=20)],
    "divergence": [lambda a: cf.tl.divergence(a)],
    "drivers": [lambda a: cf.tl.drivers(a, "a", window=(0, 12))],
    "fates": [lambda a: cf.tl.fates(a, "side")],
    "flow": [lambda a: cf.tl.flow(a, "hours", method=quick_recipe())],
    "generate": [
        lambda a: cf.tl.generate(a, time=12.0, n_obs=5, cluster_key="arm"),
        lambda a: cf.tl.generate(a, time=12.0, n_obs=5, return_log_prob=True),
    ],
    "growth": [lambda a: cf.tl.growth(a)],
    "jacobian": [lambda a: cf.tl.jacobian(a, ["gene1", "gene2"])],
    "least_action_path": [lambda a: cf.tl.least_action_path(a, 0, 80, n_steps=5)],
    "log_density": [lambda a: cf.tl.log_density(a, source="gmm")],
    "potential": [lambda a: cf.tl.potential(a)],
    "perturb": [lambda a: cf.tl.perturb(a, {"gene1": "-1sd"}, n_null=2)],
    "predict": [
        lambda a: cf.tl.predict(a, time=30.0, cluster_key="arm"),
        lambda a: cf.tl.predict(a, time=30.0, n_obs=7, stochastic=True),
    ],
    "pseudotime": [lambda a: cf.tl.pseudotime(a, n_times=3)],
    "pull": [lambda a: cf.tl.pull(a, [80], time=12.0, cluster_key="arm")],
    "push": [lambda a: cf.tl.push(a, [3], time=12.0, cluster_key="arm")],
    "refine": [lambda a: cf.tl.refine(a, a[:30].copy(), time=0.0, check=False, cluster_key="arm")],
    "sample": [lambda a: cf.tl.sample(a, time=12.0, n_obs=5, n_steps=1, cluster_key="arm")],
    "screen": [lambda a: cf.tl.screen(a, to="-1sd", n_simulated=2)],
    "simulate": [
        lambda a: cf.tl.simulate(a, [3, 4], n_times=3),
        lambda a: cf.tl.simulate(a, [3, 4], n_times=3, stochastic=True, n_rep=2),
    ],
    "terminal_states": [lambda a: cf.tl.terminal_states(a, at=0.0, max_speed=100.0)],
    "trajectories": [
        lambda a: cf.tl.trajectories(a, n_times=3),
        lambda a: cf.tl.trajectories(a, n_times=3, stochastic=True, n_rep=2),
    ],
    "translate": [
        lambda a: cf.tl.translate(
            a, "arm", source="a", target="b", method=quick_recipe(), cluster_key="side"
        )
    ],
    "trends": [lambda a: cf.tl.trends(a, ["gene3"], n_times=3)],
    "velocity": [
        lambda a: cf.tl.velocity(a, basis="umap", genes="all"),
        lambda a: cf.tl.velocity(a, basis="umap", genes=["gene3"]),
    ],
}
#: Symbols in shapes that are not sizes of the AnnData.
SIZES = {"n_fates": 2, "n_labels": 2, "d": 4, "n_pcs": 4, "n_umap": 2, "n_times": 3, "n_rep": 2}
SIZES |= {"n_compared": 1, "n_members": 2}
#: Fields that a result keeps, or that are named by the call.
KEPT = {name: {("obs", ("arm",))} for name in ("generate", "predict", "pull", "push", "sample")}
KEPT["refine"] = {("obs", ("arm",)), ("obs", ("side",))}
KEPT["translate"] = {("obs", ("arm",)), ("obs", ("side",)), ("uns", ("side_colors",))}
#: Of genes a result keeps what the cells have.
VAR = {("var", ("cf_gene_r2",))}
#: Entries of a fit's record that only the package reads.
INTERNAL = {("uns", ("cellflow", "made_for"))}


def test_every_function_has_an_example():
    assert set(CALLS) == set(cf.tl.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_listed_fields_are_those_that_are_added(name, fits):
    listed = fields(getattr(cf.tl, name))
    added = set()
    for call in CALLS[name]:
        adata = fits.get(name, fits[""]).copy()
        before = contents(adata)
        result = call(adata)
        if result is None:
            after = contents(adata)
            rewritten = {key for key in set(before) & set(listed) if after[key] is not before[key]}
            new = set(after) - set(before) - INTERNAL | rewritten
        else:
            after = contents(result)
            new = set(after) - KEPT.get(name, set()) - VAR
        if name == "flow":  # the record is listed as a whole
            new = {key for key in new if key[1][:1] != ("cellflow",) or key in listed}
        assert new <= set(listed), "fields that are not listed"
        there = adata if result is None else result
        known = SIZES | {"n_obs": there.n_obs, "n_vars": there.n_vars}
        known |= {"n_rows": there.n_obs, "n_genes": there.n_vars}
        for key in new:
            dtype, shape = listed[key]
            assert kind(after[key]) == dtype, f"{key} is {kind(after[key])}"
            if shape is not None:
                assert np.shape(after[key]) == eval(f"({shape})", {}, known), key
        added |= new
    assert added == set(listed)
