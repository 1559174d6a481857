"""cf.tl.flow(lineage_key=): what barcodes change, what is recorded, what is refused."""

import numpy as np
import pytest
from anndata import AnnData, read_h5ad
from cellflow.recipes import ot_cfm

import cellflow as cf
from cellflow.adapter.fitted import read_fitted
from cellflow.couplings import Auto, Lineage, Unbalanced
from cellflow.errors import InputError
from cellflow.model.coupled import couple_again
from cellflow.training import Training

QUICK = ot_cfm(training=Training(steps=200))


def crossing(n=160, *, times=(0.0, 1.0)):
    """Two streams that change sides from time to time; half of the cells have barcodes."""
    rng = np.random.default_rng(0)
    side = np.where(np.arange(n) % 2 == 0, -2.0, 2.0)
    parts = [
        np.stack([(-1) ** k * side, np.zeros(n)], axis=1) + 0.4 * rng.normal(size=(n, 2))
        for k in range(len(times))
    ]
    x = np.concatenate(parts).astype(np.float32)
    adata = AnnData(x.copy(), obsm={"X_pca": x})
    adata.obs["day"] = np.repeat(times, n)
    label = np.where(np.arange(n) < n // 2, [f"bc{k % 20}" for k in range(n)], "")
    adata.obs["barcode"] = np.tile(label, len(times))
    clones = (adata.obs["barcode"].to_numpy()[:, None] == np.unique(label)[1:]).astype(float)
    adata.obsm["X_clone"] = clones
    adata.obs["arm"] = np.tile(np.where(np.arange(n) % 4 < 2, "a", "b"), len(times))
    return adata


def fit(adata, **arguments):
    arguments = {"method": QUICK, "progress": False} | arguments
    cf.tl.flow(adata, "day", **arguments)
    return cf.get.flow(adata)


def inner(flow):
    return [plan["coupling"]["coupling"]["type"] for plan in flow.plans.values()]


def turning(n=240, *, turn=np.pi / 3):
    """A ring that turns, so that the population does not change; half of the cells have
    barcodes.
    """
    rng = np.random.default_rng(0)
    angle = np.arange(n) % 30 * (2 * np.pi / 30)
    parts = [
        3.0 * np.stack([np.cos(angle + by), np.sin(angle + by)], axis=1)
        + 0.2 * rng.normal(size=(n, 2))
        for by in (0.0, turn)
    ]
    x = np.concatenate(parts).astype(np.float32)
    adata = AnnData(x.copy(), obsm={"X_pca": x})
    adata.obs["day"] = np.repeat([0.0, 1.0], n)
    label = np.where(np.arange(n) < n // 2, [f"bc{k % 30}" for k in range(n)], "")
    adata.obs["barcode"] = np.tile(label, 2)
    return adata


def test_cells_move_as_their_clones_do():
    adata = turning()
    start = adata.obsm["X_pca"][:240].astype(np.float64) @ [1.0, 1j]
    blind = adata.obs["barcode"].to_numpy()[:240] == ""
    turned = []
    for key in (None, "barcode"):
        stop = fit(adata, lineage_key=key).simulate(adata.obsm["X_pca"][:240], 0.0, [1.0]).x[0]
        turned.append(np.angle(stop @ [1.0, 1j] / start)[blind].mean())
    assert turned[0] == pytest.approx(0.0, abs=0.1)
    assert turned[1] == pytest.approx(np.pi / 3, abs=0.15)
    assert adata.uns["cellflow"]["params"]["lineage_key"] == "barcode"


def test_the_fit_is_recorded_and_comes_back(tmp_path):
    adata = crossing()
    flow = fit(adata, lineage_key="X_clone", lineage_strength=0.5)
    assert inner(flow) == ["Exact"]
    (plan,) = flow.plans.values()
    assert plan["clonal"]["n_clones"] == 20
    assert 0.4 < plan["clonal"]["inside"] <= 0.5 + 1e-12
    adata.write_h5ad(tmp_path / "fit.h5ad")
    again = read_fitted(read_h5ad(tmp_path / "fit.h5ad"), "cellflow")
    assert again.flow.plans == flow.plans
    assert again.flow.recipe["coupling"] == {
        "type": "Lineage",
        "coupling": {"type": "Auto", "tol": 1e-3},
        "strength": 0.5,
        "n_neighbors": "auto",
    }
    # Later calls that solve plans again see the clones, too.
    (solved,) = couple_again(again.flow, again.cells.snapshots())
    assert solved.cost == pytest.approx(plan["cost"])


def test_conditions_and_growth_can_be_combined_with_barcodes():
    adata = crossing(times=(0.0, 1.0, 2.0))
    flow = fit(adata, lineage_key="barcode", condition_key="arm")
    for plan in flow.plans.values():
        parts = plan["conditions"].values()
        assert [part["coupling"]["type"] for part in parts] == ["Lineage"] * 2
        assert all(part["clonal"]["n_clones"] == 10 for part in parts)
    flow = fit(adata, lineage_key="barcode", growth="learn")
    assert inner(flow) == ["Unbalanced"] * 2
    assert "growth" in flow.heads
    assert all(plan["total"] > 0.9 for plan in flow.plans.values())


def test_other_assumptions_about_growth_use_the_barcodes_too(monkeypatch):
    adata = crossing()
    recipe = ot_cfm(coupling=Unbalanced(), training=Training(steps=5)).with_growth()
    fit(adata, method=recipe, lineage_key="barcode", lineage_strength=0.7)
    used = []
    explained = Lineage.explained
    monkeypatch.setattr(
        Lineage, "explained", lambda self, *ends: (used.append(self), explained(self, *ends))[1]
    )
    cf.tl.growth(adata, taus=[0.3, 3.0])
    assert used == [Lineage(Unbalanced(tau), strength=0.7) for tau in (0.3, 3.0)]


def test_a_recipe_may_bring_its_own_strength_and_coupling():
    adata = crossing()
    recipe = ot_cfm(coupling=Unbalanced(), training=Training(steps=5)).with_growth()
    flow = fit(adata, method=recipe, lineage_key="barcode")
    assert inner(flow) == ["Unbalanced"]
    # Without barcodes such a recipe couples as its inner coupling does.
    alone = fit(adata, method=ot_cfm(coupling=Lineage(Auto()), training=Training(steps=5)))
    assert next(iter(alone.plans.values()))["clonal"]["n_clones"] == 0


@pytest.mark.parametrize(
    ("change", "arguments", "words"),
    [
        ({}, {"lineage_strength": 0.5}, "without lineage_key="),
        ({}, {"lineage_key": "barcode", "lineage_strength": 0.0}, "strength"),
        ({}, {"lineage_key": "barcode", "lineage_strength": np.nan}, "strength"),
        ({}, {"lineage_key": "barcode", "method": "fm"}, "couples nothing"),
        ({}, {"lineage_key": "barcodes"}, "is not in adata"),
        ({"X_clone": np.full((320, 2), 0.5)}, {"lineage_key": "X_clone"}, "holds 0.5"),
        ({"X_clone": np.zeros((320, 2))}, {"lineage_key": "X_clone"}, "no clone for any cell"),
        ({"X_clone": np.eye(320)}, {"lineage_key": "X_clone"}, "two consecutive times"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(change, arguments, words):
    adata = crossing()
    adata.obsm.update(change)
    before = sorted(adata.obs), sorted(adata.uns), sorted(adata.obsm)
    with pytest.raises(InputError, match=words):
        fit(adata, **arguments)
    assert (sorted(adata.obs), sorted(adata.uns), sorted(adata.obsm)) == before


def test_clones_of_other_conditions_do_not_count():
    adata = crossing()
    adata.obs["arm"] = np.where(adata.obs["day"] == 0, adata.obs["arm"], "")
    early = np.arange(320) < 160
    swapped = adata.obs["arm"].to_numpy(copy=True).astype(object)
    # Each clone is in one arm at first, and in the other one later.
    swapped[~early] = np.where(swapped[early] == "a", "b", "a")
    adata.obs["arm"] = swapped
    with pytest.raises(InputError, match="in one condition"):
        fit(adata, lineage_key="barcode", condition_key="arm")


def test_the_energy_of_paths_is_compared_with_transport_without_barcodes():
    adata = turning()
    quick = ot_cfm(training=Training(steps=100))
    flow = fit(adata, lineage_key="barcode", method=quick)
    cf.tl.diagnose(adata)
    assert "Barcodes lead cells there" in adata.uns["cellflow"]["diagnosis"]["verdict"]
    ratio = cf.get.diagnosis(adata)["energy_ratio"].iloc[-1]
    (informed,) = flow.plans.values()
    (plain,) = fit(adata, method=quick).plans.values()
    assert ratio == pytest.approx(informed["cost"] / plain["cost"], rel=0.3)
    assert ratio > 20
