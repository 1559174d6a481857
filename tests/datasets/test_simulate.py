import anndata as ad
import numpy as np
import pytest

import cellflow as cf
import cellflow.datasets._simulate as module
from cellflow.adapter.bases import basis_of
from cellflow.adapter.keys import Keys
from cellflow.datasets import simulate
from cellflow.errors import InputError
from cellflow.synthetic import BranchingTree, Experiment, GrowingFork, Rotation
from conftest import quick_recipe

NAMES = sorted(module._BY_NAME)


def test_every_system_has_a_name():
    assert NAMES == [
        "bifurcation",
        "branching_tree",
        "circuits",
        "gaussian_to_gaussian",
        "gene_circuit",
        "growing_circuit",
        "growing_fork",
        "growing_gaussian",
        "ornstein_uhlenbeck",
        "rotation",
        "toggle_switch",
        "two_well",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_truth_belongs_to_its_cell_and_survives_a_file(name, tmp_path):
    adata = simulate(name, n_obs=15, times=[0.0, 0.7])
    system = module._BY_NAME[name]()
    later = (adata.obs["time"] == 0.7).to_numpy()
    assert later.sum() == 15
    np.testing.assert_array_equal(adata.X, adata.obsm["X_state"])
    for known, slot in {
        "velocity": adata.obsm,
        "drift": adata.obsm,
        "growth": adata.obs,
        "fates": adata.obsm,
        "log_density": adata.obs,
    }.items():
        assert (f"{known}_true" in slot) == hasattr(system, known)
        if hasattr(system, known):
            np.testing.assert_array_equal(
                slot[f"{known}_true"][later], getattr(system, known)(0.7, adata.X[later])
            )
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(again.X, adata.X)
    assert set(again.obsm) == set(adata.obsm)
    assert again.uns["simulation"]["system"] == type(system).__name__


@pytest.mark.parametrize("name", NAMES)
def test_no_result_of_a_fit_takes_the_place_of_the_truth(name):
    """No name of a velocity is in use: `use_rep="X_true"` would give `velocity_true`."""
    adata = simulate(name, n_obs=4, times=[0.0, 0.7])
    keys = Keys()
    bases = [basis_of(key) for key in adata.obsm if key.startswith("X_")]
    assert bases
    assert not {keys.velocity(basis) for basis in [*bases, "X"]} & set(adata.obsm)
    for slot in ("obs", "obsm", "layers", "var", "uns"):
        assert not [
            key
            for key in getattr(adata, slot)
            if keys.makes(slot, key) and not key.endswith("_true")
        ]


def test_velocities_stand_beside_the_truth():
    adata = simulate("rotation", n_obs=30, times=[0.0, 0.5, 1.0])
    before = {key: adata.obsm[key].copy() for key in adata.obsm}
    cf.tl.flow(adata, "time", use_rep="X_state", method=quick_recipe())
    cf.tl.velocity(adata)
    assert adata.obsm["velocity_state"].shape == before["velocity_true"].shape
    for key, value in before.items():
        np.testing.assert_array_equal(adata.obsm[key], value)


def test_seeds_repeat_and_differ():
    first, again, other = (
        simulate("two-well", n_obs=10, random_state=seed).X for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_mass_grows_where_cells_divide():
    mass = simulate("toggle_switch", n_obs=10).obs.groupby("time")["mass"].first()
    assert mass.iloc[0] == pytest.approx(1.0)
    assert (mass.diff().dropna() > 0).all()


def test_a_system_with_other_constants():
    adata = simulate(BranchingTree(n_dims=4, depth=1), n_obs=5, times=[1.5])
    assert adata.shape == (5, 4)
    assert adata.uns["simulation"]["constants"]["n_dims"] == 4
    assert adata.obsm["fates_true"].shape == (5, 2)


def test_defaults_are_the_systems_own():
    adata = simulate("rotation")
    assert adata.n_obs == 500 * len(Rotation.times)
    assert adata.var_names.tolist() == ["x0", "x1"]


# Experiments --------------------------------------------------------------------------------------

CONTROL = GrowingFork()
TREATED = GrowingFork(onset=2.0, growth_factors=(1.5, 1.0))
EXPERIMENT = Experiment(
    {"wild type": CONTROL, "knockout": TREATED}, n_samples=2, n_clones=10, barcoded=0.5
)


def test_an_experiment_has_its_labels_and_its_truth(tmp_path):
    simulate(EXPERIMENT, n_obs=40).write_h5ad(tmp_path / "a.h5ad")
    adata = ad.read_h5ad(tmp_path / "a.h5ad")
    obs = adata.obs
    assert adata.n_obs == 40 * 5 * 2 * 2
    assert obs["condition"].cat.categories.tolist() == ["wild type", "knockout"]
    assert (obs.groupby("sample", observed=True).size() == 40).all()
    assert (obs.groupby("sample", observed=True)["time"].nunique() == 1).all()
    assert (obs.groupby("replicate", observed=True)["time"].nunique() == 5).all()
    assert (obs.groupby("time")["mass"].nunique() == 1).all()  # one size a time, as mass_key asks
    assert (obs["cell_type"][obs["time"] <= 1] == "trunk").all()
    later = obs["time"] > 1
    assert (obs["cell_type"][later].astype(str) == obs["fate_true"][later].astype(str)).all()
    for name, system in EXPERIMENT.conditions.items():
        rows = ((obs["condition"] == name) & (obs["time"] == 3.0)).to_numpy()
        x = adata.X[rows] - adata.obsm["shift_true"][rows]
        np.testing.assert_allclose(adata.obsm["velocity_true"][rows], system.velocity(3.0, x))
        np.testing.assert_allclose(obs["growth_true"][rows], system.growth(3.0, x))
    assert adata.uns["simulation"]["constants"]["conditions"]["knockout"]["onset"] == 2.0


def test_clones_of_an_experiment_are_barcodes_of_a_fate():
    adata = simulate(EXPERIMENT, n_obs=300)
    known = adata.obs.dropna(subset="clone")
    assert len(known) / adata.n_obs == pytest.approx(0.5, abs=0.03)
    of_clone = known.groupby("clone", observed=True)
    assert (of_clone["fate_true"].nunique() == 1).all()
    # A pool is divided among the conditions, and sampled at all times.
    assert (of_clone["condition"].nunique() == 2).mean() > 0.7
    assert (of_clone["time"].nunique() == 5).mean() > 0.5
    without = simulate(Experiment({"one": CONTROL}), n_obs=3)
    assert "clone" not in without.obs


def test_cells_before_the_treatment_are_those_of_the_first_condition():
    experiment = Experiment({"wild type": CONTROL, "knockout": TREATED}, treated_from=2.0)
    obs = simulate(experiment, n_obs=3).obs
    assert (obs["condition"][obs["time"] < 2.0] == "wild type").all()
    assert (obs.groupby("time")["condition"].nunique().loc[2.0:] == 2).all()


def test_seeds_of_an_experiment_repeat():
    first, again, other = (
        simulate(EXPERIMENT, n_obs=5, times=[0.0, 2.0], random_state=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.X, again.X)
    assert first.obs.equals(again.obs)
    assert (first.X != other.X).any()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "two_wells"}, "did you mean 'two_well'"),
        ({"name": 3}, "neither a system"),
        ({"name": "rotation", "n_obs": 0}, "n_obs=0"),
        ({"name": "rotation", "times": []}, "increase strictly"),
        ({"name": "rotation", "times": [1.0, 0.0]}, "increase strictly"),
        ({"name": "rotation", "times": [-1.0, 0.0]}, "from 0 on"),
        ({"name": "rotation", "random_state": -1}, "random_state=-1"),
    ],
)
def test_bad_arguments_are_named(arguments, said):
    with pytest.raises(InputError, match=said):
        simulate(**arguments)
