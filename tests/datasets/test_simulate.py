import anndata as ad
import numpy as np
import pytest

import cellflow as cf
import cellflow.datasets._simulate as module
from cellflow.adapter.keys import Keys, basis_of
from cellflow.datasets import simulate
from cellflow.errors import InputError
from cellflow.synthetic import BranchingTree, Rotation
from conftest import quick_recipe

NAMES = sorted(module._BY_NAME)


def test_every_system_has_a_name():
    assert NAMES == [
        "bifurcation",
        "branching_tree",
        "gaussian_to_gaussian",
        "gene_circuit",
        "growing_circuit",
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
