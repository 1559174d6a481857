"""What is handed to other tools has their layout, and what comes from them couples the same cells;
run without these tools. `test_real_packages.py` runs them.
"""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import cellflow as cf
from cellflow.couplings import Given
from cellflow.errors import (
    InputError,
    InputTypeError,
    InputWarning,
    MissingDataError,
    MissingKeyError,
    OutputError,
    SetupError,
)
from cellflow.metrics import plan_transitions
from conftest import make_cells, quick_recipe

TIMES = (0.0, 12.0, 48.0)
PAIRS = [(0.0, 12.0), (12.0, 48.0)]


@pytest.fixture
def drawn(fitted_as):
    """A fit with velocities in an embedding."""
    adata = fitted_as("default")
    cf.tl.velocity(adata, basis="umap", genes=[])
    return adata


def rows_of(adata, time):
    return np.flatnonzero(adata.obs["hours"] == time)


def in_order(adata, share=1.0):
    """Plans by which the k-th cell of a time becomes the k-th of the next."""
    n = adata.n_obs // 3
    matrix = share * np.eye(n) / n
    return Given(dict.fromkeys(PAIRS, matrix), {t: rows_of(adata, t) for t in TIMES})


# scVelo -------------------------------------------------------------------------------------------


def test_to_scvelo_has_what_its_plots_read(drawn, frozen):
    drawn.obsm["X_umap"] = drawn.obsm["X_umap"].astype(np.float32)
    drawn.obsp["connectivities"] = sp.csr_array(np.eye(90))
    with frozen(drawn):
        handed = cf.interop.to_scvelo(drawn)
    for name in ("X_umap", "velocity_umap"):
        assert handed.obsm[name].dtype == np.float64
        np.testing.assert_allclose(handed.obsm[name], drawn.obsm[name])
    params = handed.uns["velocity_params"]
    assert params["embeddings"].tolist() == ["umap"]
    assert params["mode"] == "deterministic"
    assert sp.isspmatrix_csr(handed.obsp["connectivities"])
    arrows = cf.interop.to_scvelo(drawn, genes=[])
    assert "velocity" not in arrows.layers
    assert "Ms" not in arrows.layers


def test_to_scvelo_has_the_genes_that_can_be_decoded(drawn):
    drawn.X = drawn.X.toarray()
    drawn.X[:, [3, 5]] = np.random.default_rng(0).normal(size=(90, 2))  # of no representation
    cf.tl.flow(drawn, "hours", method=quick_recipe(), overwrite=True)
    cf.tl.velocity(drawn, basis="umap")
    decodable = drawn.var["cf_gene_r2"].to_numpy() >= 0.1
    assert not decodable[[3, 5]].any()
    assert decodable.any()
    handed = cf.interop.to_scvelo(drawn)
    everything = cf.interop.to_scvelo(drawn, genes="all")
    assert (handed.var["velocity_genes"] == decodable).all()
    for layer in ("velocity", "Ms"):
        expected = np.where(decodable, everything.layers[layer], 0.0)
        np.testing.assert_allclose(handed.layers[layer], expected, rtol=1e-6)


def test_to_scvelo_gives_chosen_genes_and_zeros(drawn):
    handed = cf.interop.to_scvelo(drawn, genes=["gene7", "gene2"])
    velocity = cf.get.velocity(drawn, ["gene2", "gene7"]).to_numpy()
    np.testing.assert_allclose(handed.layers["velocity"][:, [2, 7]], velocity, rtol=1e-5)
    others = np.delete(np.arange(12), [2, 7])
    for layer in ("velocity", "Ms"):
        assert handed.layers[layer].dtype == np.float32
        assert (handed.layers[layer][:, others] == 0).all()
    assert handed.var_names[handed.var["velocity_genes"]].tolist() == ["gene2", "gene7"]
    assert cf.interop.to_scvelo(drawn, genes="all").var["velocity_genes"].sum() == 12


def test_to_scvelo_uses_its_names_for_every_key(cells):
    cf.tl.flow(cells, "hours", method=quick_recipe(), key_added="mine")
    cf.tl.velocity(cells, basis="umap", genes=[], key="mine")
    handed = cf.interop.to_scvelo(cells, key="mine")
    np.testing.assert_array_equal(handed.obsm["velocity_umap"], cells.obsm["mine_velocity_umap"])
    assert handed.uns["velocity_params"]["embeddings"].tolist() == ["umap"]


def test_to_scvelo_without_arrows_says_what_to_call(fitted_as, frozen):
    adata = fitted_as("default")
    with frozen(adata), pytest.raises(MissingKeyError, match=r"cf.tl.velocity\(adata, basis='umap"):
        cf.interop.to_scvelo(adata)
    assert "velocity" in cf.interop.to_scvelo(adata, genes=["gene1"]).layers


@pytest.mark.parametrize("call", [cf.interop.to_scvelo, cf.interop.to_palantir])
def test_tools_may_write_into_what_they_are_given(drawn, call, frozen):
    cf.tl.fates(drawn, "hours", absorb=[12])
    drawn.raw = drawn
    with frozen(drawn):
        handed = call(drawn)
        handed.obs["new"] = 1.0
        handed.var["new"] = 1.0
        handed.uns["velocity_params"]["mode"] = "stochastic"
        handed.obsm["X_umap"] = np.zeros((90, 2))
        handed.layers["new"] = np.zeros(handed.shape)
    assert handed.X is drawn.X  # shared
    np.testing.assert_array_equal(handed.raw.X.toarray(), drawn.raw.X.toarray())
    view = drawn[::2]
    assert call(view).n_obs == 45
    assert view.is_view


# Palantir -----------------------------------------------------------------------------------------


@pytest.fixture
def fated(drawn):
    drawn.obs["side"] = np.where(drawn.obsm["X_pca"][:, 1] > 0, "right", "left")
    cf.tl.fates(drawn, "side")
    return drawn


def test_to_palantir_has_its_names_and_rows_of_sum_one(fated):
    handed = cf.interop.to_palantir(fated)
    table = handed.obsm["palantir_fate_probabilities"]
    assert isinstance(table, pd.DataFrame)
    assert table.columns.tolist() == list(fated.uns["cellflow"]["fates"]["names"])
    np.testing.assert_allclose(table.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(table, fated.obsm["lineages_fwd"], rtol=1e-6)
    p = table.to_numpy()
    entropy = [-sum(q * np.log(q) for q in row if q > 0) for row in p]
    np.testing.assert_allclose(handed.obs["palantir_entropy"], entropy, atol=1e-12)
    time = handed.obs["palantir_pseudotime"]
    np.testing.assert_allclose(time, fated.obs["hours"] / 48)


def test_to_palantir_prefers_a_pseudotime_and_takes_any_column(fated):
    fated.obs["mine"] = np.linspace(5, 7, 90)
    asked = cf.interop.to_palantir(fated, pseudotime="mine").obs["palantir_pseudotime"]
    np.testing.assert_allclose(asked, np.linspace(0, 1, 90))
    cf.tl.pseudotime(fated, n_times=3)
    default = cf.interop.to_palantir(fated).obs["palantir_pseudotime"]
    assert default.corr(fated.obs["cf_pseudotime"]) == pytest.approx(1.0)
    assert (default.min(), default.max()) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        ("side", InputError, "Expected numbers"),
        ("sid", MissingKeyError, "did you mean 'side'"),
        ("flat", InputError, "1 different ones"),
        ("holes", InputError, "90 values that are not finite"),
    ],
)
def test_to_palantir_says_which_columns_order_cells(fated, column, error, message, frozen):
    fated.obs["flat"] = 1.0
    fated.obs["holes"] = np.nan
    with frozen(fated), pytest.raises(error, match=message):
        cf.interop.to_palantir(fated, pseudotime=column)


def test_to_palantir_without_fates_says_what_to_call(drawn):
    with pytest.raises(MissingKeyError, match=r"cf\.tl\.fates"):
        cf.interop.to_palantir(drawn)


# CellRank -----------------------------------------------------------------------------------------


class Kernel:
    """Keeps what it was made of."""

    def __init__(self, adata, *args, **kwargs):
        self.adata = adata
        self.made_of = kwargs

    def compute_transition_matrix(self, **kwargs):
        self.asked = kwargs


@pytest.fixture
def kernels(monkeypatch):
    """A module in the place of CellRank, whose kernels keep their arguments."""
    module = ModuleType("cellrank")
    names = ("VelocityKernel", "PrecomputedKernel", "RealTimeKernel")
    module.kernels = SimpleNamespace(**{name: type(name, (Kernel,), {}) for name in names})
    monkeypatch.setitem(sys.modules, "cellrank", module)
    return module.kernels


def with_neighbors(adata):
    """Neighbours where `sc.pp.neighbors` leaves them."""
    adata.obsp["connectivities"] = sp.csr_matrix(np.eye(adata.n_obs))
    adata.uns["neighbors"] = {"connectivities_key": "connectivities"}
    return adata


def test_a_velocity_kernel_reads_the_representation(drawn, kernels):
    kernel = cf.interop.to_cellrank(with_neighbors(drawn))
    assert isinstance(kernel, kernels.VelocityKernel)
    assert kernel.adata is drawn
    assert kernel.made_of == {"attr": "obsm", "xkey": "X_pca", "vkey": "velocity_pca"}
    there = cf.interop.to_cellrank(drawn, basis="umap").made_of
    assert (there["xkey"], there["vkey"]) == ("X_umap", "velocity_umap")


def test_a_precomputed_kernel_reads_the_transitions(drawn, kernels):
    cf.get.transition_matrix(drawn)
    kernel = cf.interop.to_cellrank(drawn, "precomputed")
    assert kernel.made_of == {"obsp_key": "T_fwd", "backward": False}


@pytest.mark.parametrize("kind", ["default", "growth", "conditions"])
def test_a_realtime_kernel_gets_stochastic_plans_by_pairs_of_categories(kind, fitted_as, kernels):
    adata = with_neighbors(fitted_as(kind))
    kernel = cf.interop.to_cellrank(adata, "realtime")
    column = adata.obs[kernel.made_of["time_key"]]
    assert column.dtype.ordered
    assert column.cat.categories.tolist() == list(TIMES)
    np.testing.assert_array_equal(column.astype(float), adata.obs["hours"])
    assert list(kernel.made_of["couplings"]) == PAIRS
    for (start, stop), plan in kernel.made_of["couplings"].items():
        assert plan.obs_names.tolist() == adata.obs_names[rows_of(adata, start)].tolist()
        assert plan.var_names.tolist() == adata.obs_names[rows_of(adata, stop)].tolist()
        np.testing.assert_allclose(np.ravel(plan.X.sum(axis=1)), 1.0, rtol=1e-9)
    assert kernel.asked == {"threshold": None}


def test_given_plans_reach_the_realtime_kernel_row_by_row(drawn, kernels):
    with_neighbors(drawn)
    kernel = cf.interop.to_cellrank(drawn, "realtime", coupling=in_order(drawn))
    for plan in kernel.made_of["couplings"].values():
        np.testing.assert_allclose(plan.X.toarray(), np.eye(30), atol=1e-12)


def test_lost_mass_is_reported_and_rows_are_whole(drawn, kernels):
    with_neighbors(drawn)
    plans = {pair: m.tolil() for pair, m in in_order(drawn).plans.items()}
    for matrix in plans.values():
        matrix[:6] = 0
    given = Given(plans, {t: rows_of(drawn, t) for t in TIMES})
    with pytest.warns(InputWarning, match="20% of the mass is lost .*6 cells have no descendants"):
        kernel = cf.interop.to_cellrank(drawn, "realtime", coupling=given)
    plan = kernel.made_of["couplings"][0.0, 12.0].X.toarray()
    np.testing.assert_allclose(plan.sum(axis=1), 1.0)
    # A row without mass is that of the population.
    np.testing.assert_allclose(plan[0], np.r_[np.zeros(6), np.full(24, 1 / 24)])


def test_time_categories_are_replaced_by_those_of_a_new_fit(drawn, kernels):
    cf.interop.to_cellrank(with_neighbors(drawn), "realtime")
    assert "cf_timepoint" in drawn.obs
    cf.tl.flow(drawn, "hours", method=quick_recipe())
    assert "cf_timepoint" not in drawn.obs


def test_fates_without_a_cell_are_categories_again(fated, kernels):
    """AnnData drops unused categories of chosen cells, and CellRank counts them."""
    names = fated.obs["term_states_fwd"].cat.categories.tolist()
    assert names == ["left", "right", "undecided"]
    shades = ["#111111", "#222222", "#333333"]
    fated.uns["term_states_fwd_colors"] = np.array(shades, dtype=object)
    some = with_neighbors(fated[fated.obs["term_states_fwd"] != "left"].copy())
    assert some.obs["term_states_fwd"].cat.categories.tolist() == ["right"]
    before = some.obs["term_states_fwd"].astype(object)
    cf.interop.to_cellrank(some)
    after = some.obs["term_states_fwd"]
    assert after.cat.categories.tolist() == names
    pd.testing.assert_series_equal(after.astype(object), before)
    assert some.uns["term_states_fwd_colors"].tolist() == ["#d3d3d3", "#222222", "#d3d3d3"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"kernel": "velocities"}, InputError, "expected one of"),
        ({"kernel": "realtime", "basis": "umap"}, InputError, "does not use it"),
        ({"coupling": Given({(0, 1): np.eye(2)})}, InputError, "does not use it"),
        ({}, MissingKeyError, r"call sc.pp.neighbors\(adata\)"),
        ({"kernel": "realtime"}, MissingKeyError, r"call sc.pp.neighbors\(adata\)"),
        ({"kernel": "precomputed"}, MissingKeyError, r"call cf.get.transition_matrix\(adata\)"),
    ],
)
def test_to_cellrank_says_what_is_missing(drawn, kernels, arguments, error, message, frozen):
    with frozen(drawn), pytest.raises(error, match=message):
        cf.interop.to_cellrank(drawn, **arguments)


def test_to_cellrank_names_the_velocities_that_it_misses(fitted_as, kernels, frozen):
    adata = with_neighbors(fitted_as("default"))
    with frozen(adata), pytest.raises(MissingKeyError, match=r"call cf.tl.velocity\(adata\)"):
        cf.interop.to_cellrank(adata)


def test_a_realtime_kernel_needs_a_time_for_every_cell(fitted, kernels, frozen):
    with_neighbors(fitted)
    with frozen(fitted), pytest.raises(InputError, match="3 cells have no time"):
        cf.interop.to_cellrank(fitted, "realtime")
    timed = fitted[~fitted.obs["cf_time_inferred"]].copy()
    assert cf.interop.to_cellrank(timed, "realtime").adata is timed


def test_a_package_that_is_not_installed_is_named_with_its_command(drawn, monkeypatch, frozen):
    monkeypatch.setitem(sys.modules, "cellrank", None)
    with_neighbors(drawn)
    with frozen(drawn), pytest.raises(SetupError, match=r"pip install .*cellrank"):
        cf.interop.to_cellrank(drawn)


# moscot -------------------------------------------------------------------------------------------


class Part:
    """A problem of moscot between two snapshots."""

    def __init__(self, adata, start, stop):
        self.adata_src = adata[rows_of(adata, start)]
        self.adata_tgt = adata[rows_of(adata, stop)]
        self.solution = None

    def set_solution(self, table, overwrite=False):
        assert table.index.equals(self.adata_src.obs_names)
        assert table.columns.equals(self.adata_tgt.obs_names)
        self.solution = SimpleNamespace(transport_matrix=table.to_numpy())


class Problem(dict):
    """A `TemporalProblem` of moscot after `prepare`, in layout."""

    def __init__(self, adata):
        super().__init__({pair: Part(adata, *pair) for pair in PAIRS})

    @property
    def problems(self):
        return dict(self)

    @property
    def solutions(self):
        return {pair: p.solution for pair, p in self.items() if p.solution is not None}


def solved(adata, seed=0):
    problem = Problem(adata)
    for part in problem.values():
        mass = np.random.default_rng(seed).random((part.adata_src.n_obs, part.adata_tgt.n_obs))
        part.solution = SimpleNamespace(transport_matrix=mass / mass.sum())
    return problem


def test_plans_of_moscot_are_those_of_its_cells_in_any_order(cells):
    problem = solved(cells)
    shuffled = cells[np.random.default_rng(1).permutation(90)].copy()
    given = cf.interop.from_moscot(shuffled, problem, least=0.0)
    assert list(given.plans) == PAIRS
    for (start, stop), matrix in given.plans.items():
        part = problem[start, stop]
        found = pd.DataFrame(
            matrix.toarray(),
            index=shuffled.obs_names[given.rows[start]],
            columns=shuffled.obs_names[given.rows[stop]],
        ).loc[part.adata_src.obs_names, part.adata_tgt.obs_names]
        np.testing.assert_allclose(found, part.solution.transport_matrix)


def test_a_flow_is_fitted_to_plans_of_moscot(cells):
    given = cf.interop.from_moscot(cells, solved(cells), least=0.0)
    method = cf.recipes.ot_cfm(coupling=given, training=quick_recipe().training)
    cf.tl.flow(cells, "hours", method=method)
    x = cf.get.flow(cells).frame.to_model(cells.obsm["X_pca"])
    mass = given.plans[0.0, 12.0].toarray()
    squares = ((x[:30, None] - x[None, 30:60]) ** 2).sum(axis=2)
    cost = cells.uns["cellflow"]["plans"]["0.0_to_12.0"]["cost"]
    assert cost == pytest.approx((mass * squares).sum(), rel=1e-4)
    with pytest.raises(InputError, match=r"Pass it as coupling="):
        cf.interop.to_moscot(cells, Problem(cells))
    problem = cf.interop.to_moscot(cells, Problem(cells), coupling=given, least=0.0)
    np.testing.assert_allclose(problem.solutions[0.0, 12.0].transport_matrix, mass)


REFERENCE = Path(__file__).parents[3] / "shared/data/peer_fixtures/moscot_temporal_tests.h5ad"


@pytest.mark.skipif(not REFERENCE.is_file(), reason="moscot's reference results are not there")
def test_types_move_by_a_reference_plan_of_moscot_as_its_own_table_says():
    """Cells of a reprogramming experiment, with a plan and a `cell_transition` of moscot's."""
    adata = ad.read_h5ad(REFERENCE)
    day = adata.obs["day"].astype(float)
    part = SimpleNamespace(adata_src=adata[day == 10.0], adata_tgt=adata[day == 10.5])
    plan = SimpleNamespace(transport_matrix=adata.uns["tmap_10_105"])
    solved = type("Solved", (dict,), {"solutions": {(10.0, 10.5): plan}})
    problem = solved({(10.0, 10.5): part})
    given = cf.interop.from_moscot(adata[::-1].copy(), problem, least=0.0)
    x = np.zeros((adata.n_obs, 1))
    rows = [given.rows[time] for time in (10.0, 10.5)]
    ends = [cf.Population(x[r], t, index=r) for r, t in zip(rows, (10.0, 10.5), strict=True)]
    labels = [adata.obs["cell_type"].astype(str).to_numpy()[::-1][r] for r in rows]
    found = plan_transitions(given(*ends), *labels)
    mass = pd.DataFrame(found.mass, found.labels, found.labels)
    reference = adata.uns["cell_transition_10_105_forward"]
    ours = mass.loc[list(reference.index), list(reference.columns)]
    np.testing.assert_allclose(ours.div(ours.sum(axis=1), axis=0), reference, rtol=1e-4)


def test_small_entries_of_dense_plans_are_left_out(cells):
    problem = solved(cells)
    kept = cf.interop.from_moscot(cells, problem, least=0.5).plans[0.0, 12.0]
    whole = problem[0.0, 12.0].solution.transport_matrix
    assert kept.nnz == (whole >= 0.5 * whole.max(axis=1, keepdims=True)).sum()
    np.testing.assert_allclose(np.ravel(kept.sum(axis=1)), whole.sum(axis=1))


def test_moscot_gets_the_plans_of_a_fit(fitted_as):
    """Exact plans between equal populations: sums of rows and columns are the weights."""
    adata = fitted_as("default")
    shuffled = adata[np.random.default_rng(1).permutation(90)].copy()
    problem = cf.interop.to_moscot(adata, Problem(shuffled))
    for solution in problem.solutions.values():
        matrix = solution.transport_matrix
        np.testing.assert_allclose(30 * matrix.sum(axis=1), 1.0)
        np.testing.assert_allclose(30 * matrix.sum(axis=0), 1.0)
    back = cf.interop.from_moscot(adata, problem)
    again = cf.interop.to_moscot(adata, Problem(adata)).solutions[0.0, 12.0].transport_matrix
    order = [np.argsort(back.rows[t]) for t in (0.0, 12.0)]
    found = back.plans[0.0, 12.0].toarray()[np.ix_(*order)]
    np.testing.assert_allclose(found, again, atol=1e-12)


def test_with_growth_columns_are_weights_and_rows_descendants(fitted_as):
    problem = cf.interop.to_moscot(fitted_as("growth"), Problem(make_cells()))
    for solution in problem.solutions.values():
        matrix = solution.transport_matrix
        np.testing.assert_allclose(matrix.sum(axis=0), 1 / 30, rtol=1e-9)
        assert np.ptp(matrix.sum(axis=1)) > 1e-3


@pytest.mark.parametrize("call", [cf.interop.from_moscot, cf.interop.to_moscot])
def test_problems_of_moscot_that_are_not_ready_say_so(fitted_as, call):
    adata = fitted_as("default")
    with pytest.raises(InputError, match=r"\.prepare\(time_key="):
        call(adata, object())
    with pytest.raises(InputError, match=r"\.prepare\(time_key="):
        call(adata, SimpleNamespace(problems={}, solutions={}))


def test_solutions_are_replaced_on_request_only(fitted_as):
    adata = fitted_as("default")
    problem = solved(adata)
    before = problem[0.0, 12.0].solution
    with pytest.raises(InputError, match="overwrite=True"):
        cf.interop.to_moscot(adata, problem)
    assert problem[0.0, 12.0].solution is before
    assert cf.interop.to_moscot(adata, problem, overwrite=True)[0.0, 12.0].solution is not before


def test_cells_that_are_not_there_are_named(cells):
    problem = solved(cells)
    with pytest.raises(InputError, match=r"30 of 30 cells of problem at time 48 .*'cell60'"):
        cf.interop.from_moscot(cells[:60].copy(), problem)
    cells.obs_names = ["same"] * 90
    with pytest.raises(InputError, match="obs_names repeat"):
        cf.interop.from_moscot(cells, problem)


def test_a_problem_of_other_cells_is_refused(fitted_as):
    other = make_cells()
    other.obs_names = [f"other{i}" for i in range(90)]
    problem = Problem(other)
    with pytest.raises(InputError, match="Expected a problem of the cells of adata"):
        cf.interop.to_moscot(fitted_as("default"), problem)
    assert not problem.solutions


# Waddington-OT ------------------------------------------------------------------------------------


def test_transport_maps_have_one_file_a_pair_with_rows_of_sum_one(fitted_as, tmp_path):
    adata = fitted_as("default")
    files = cf.interop.to_wot(adata, tmp_path / "maps" / "serum")
    assert [file.name for file in files] == ["serum_0.0_12.0.h5ad", "serum_12.0_48.0.h5ad"]
    tmap = ad.read_h5ad(files[0])
    assert tmap.obs_names.tolist() == adata.obs_names[:30].tolist()
    assert tmap.var_names.tolist() == adata.obs_names[30:60].tolist()
    np.testing.assert_allclose(np.ravel(tmap.X.sum(axis=1)), 1.0, rtol=1e-9)
    np.testing.assert_allclose(tmap.obs[["g0", "g1"]], 1.0, rtol=1e-9)


def test_growth_of_a_transport_map_is_by_unit_of_time(fitted_as, tmp_path):
    files = cf.interop.to_wot(fitted_as("growth"), tmp_path / "serum")
    tmap = ad.read_h5ad(files[1])
    rows = np.ravel(tmap.X.sum(axis=1))
    np.testing.assert_allclose(tmap.obs["g1"] ** 36.0, rows, rtol=1e-9)
    np.testing.assert_allclose(rows.mean(), 1.0)
    np.testing.assert_allclose(np.ravel(tmap.X.sum(axis=0)), 1.0, rtol=1e-9)


@pytest.mark.parametrize("where", ["maps/serum", "maps/", "maps"])
def test_transport_maps_come_back_as_the_plans(where, fitted_as, tmp_path):
    adata = fitted_as("default")
    (tmp_path / "maps").mkdir()
    path = f"{tmp_path}/{where}"
    cf.interop.to_wot(adata, path)
    given = cf.interop.from_wot(adata[::-1].copy(), path)
    problem = cf.interop.to_moscot(adata, Problem(adata))
    for pair in PAIRS:
        order = [np.argsort(-given.rows[t]) for t in pair]
        found = given.plans[pair].toarray()[np.ix_(*order)]
        np.testing.assert_allclose(found, problem.solutions[pair].transport_matrix, atol=1e-9)


def test_maps_with_growth_have_mass_one(cells, tmp_path):
    names = cells.obs_names
    mass = np.random.default_rng(0).random((30, 30))
    for k, (start, stop) in enumerate([("0", "12"), ("12", "48.5")]):
        rows = (names[30 * k : 30 * k + 30], names[30 * k + 30 : 30 * k + 60])
        frames = [pd.DataFrame(index=index) for index in rows]
        tmap = ad.AnnData(3.0 * mass, obs=frames[0], var=frames[1])
        tmap.write_h5ad(tmp_path / f"tmaps_{start}_{stop}.h5ad")
    (tmp_path / "other_0_12.h5ad").touch()
    given = cf.interop.from_wot(cells, tmp_path, least=0.0)
    assert list(given.plans) == [(0.0, 12.0), (12.0, 48.5)]
    np.testing.assert_allclose(given.plans[0.0, 12.0].toarray(), mass / mass.sum())


def test_files_are_replaced_on_request_only(fitted_as, tmp_path):
    adata = fitted_as("default")
    files = cf.interop.to_wot(adata, tmp_path / "a")
    before = files[0].read_bytes()
    with pytest.raises(OutputError, match=r"a_0.0_12.0.h5ad exists"):
        cf.interop.to_wot(adata, tmp_path / "a")
    assert files[0].read_bytes() == before
    assert cf.interop.to_wot(adata, tmp_path / "a", overwrite=True) == files


def test_a_fit_without_its_plans_writes_no_folder(cells, tmp_path):
    method = cf.recipes.ot_cfm(coupling=in_order(cells), training=quick_recipe().training)
    cf.tl.flow(cells, "hours", method=method)
    with pytest.raises(InputError, match=r"Pass it as coupling="):
        cf.interop.to_wot(cells, tmp_path / "maps" / "a")
    assert not (tmp_path / "maps").exists()
    assert len(cf.interop.to_wot(cells, tmp_path / "maps" / "a", coupling=in_order(cells))) == 2


def test_maps_that_are_not_there_are_named(cells, tmp_path):
    (tmp_path / "tmaps_0.h5ad").touch()
    with pytest.raises(MissingDataError, match=r"tmaps_T0_T1.h5ad; found \['tmaps_0.h5ad'\]"):
        cf.interop.from_wot(cells, tmp_path)


# scVI ---------------------------------------------------------------------------------------------


class Module:
    """A decoder of three dimensions: a softmax of a linear map, another one for each batch."""

    training = True
    device = "cpu"

    def __init__(self, n_genes):
        import torch

        self.weight = torch.randn(2, n_genes, 3, generator=torch.Generator().manual_seed(0))

    def eval(self):
        self.training = False

    def train(self, mode=True):
        self.training = mode

    def generative(self, z, library, batch_index):
        import torch

        assert not self.training
        assert library.shape == batch_index.shape == (len(z), 1)
        logits = torch.einsum("ngd,nd->ng", self.weight[batch_index[:, 0]], z)
        return {"px": SimpleNamespace(scale=torch.softmax(0.3 * logits, dim=1))}


class Model:
    """A model of scvi-tools, in layout."""

    is_trained = True

    def __init__(self, adata):
        self.adata = adata
        self.module = Module(adata.n_vars)
        batches = SimpleNamespace(categorical_mapping=np.array(["b0", "b1"]))
        self.adata_manager = SimpleNamespace(
            data_registry={"X": None, "batch": None},
            get_state_registry=lambda _: batches,
        )

    def get_latent_representation(self, adata):
        return np.asarray(adata.obsm["X_pca"][:, :3])


def expected(model, z, batch=0):
    logits = 0.3 * z @ model.module.weight[batch].numpy().T
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return np.log1p(1e4 * shares)


def test_the_latent_space_and_its_expression_are_written(cells):
    model = Model(cells[:, 2:].copy())
    decode = cf.interop.from_scvi(cells, model)
    latent = cells.obsm["X_scVI"]
    np.testing.assert_array_equal(latent, cells.obsm["X_pca"][:, :3])
    np.testing.assert_allclose(cells.layers["scvi"][:, 2:], expected(model, latent), rtol=1e-4)
    assert (cells.layers["scvi"][:, :2] == 0).all()
    table = decode(latent[:4])
    assert table.columns.tolist() == cells.var_names[2:].tolist()
    np.testing.assert_allclose(table, cells.layers["scvi"][:4, 2:], rtol=1e-6)
    assert model.module.training
    np.testing.assert_allclose(
        cf.interop.from_scvi(cells, model, batch="b1", overwrite=True)(latent),
        expected(model, latent, 1),
        rtol=1e-4,
    )


def test_a_fit_in_the_latent_space_decodes_genes(cells):
    decode = cf.interop.from_scvi(cells, Model(cells.copy()))
    cf.tl.flow(cells, "hours", method=quick_recipe(), use_rep="X_scVI", layer="scvi")
    assert cells.var["cf_gene_r2"].min() > 0.5
    later = cf.tl.predict(cells, time=30.0)
    exact = decode(later.obsm["X_scVI"]).to_numpy()
    linear = later[:, cells.var_names].X
    linear = linear.toarray() if sp.issparse(linear) else linear
    assert np.sqrt(((linear - exact) ** 2).mean()) < 0.5 * exact.std()


def no_model(cells):
    return object()


def untrained(cells):
    model = Model(cells)
    model.is_trained = False
    return model


def with_covariates(cells):
    model = Model(cells)
    model.adata_manager.data_registry["extra_categorical_covs"] = None
    return model


def of_other_genes(cells):
    other = cells.copy()
    other.var_names = [f"other{i}" for i in range(12)]
    return Model(other)


@pytest.mark.parametrize(
    ("make", "arguments", "error", "message"),
    [
        (no_model, {}, InputTypeError, "expected a trained scvi.model.SCVI"),
        (untrained, {}, InputError, r"model.train\(\)"),
        (with_covariates, {}, InputError, "extra_categorical_covs"),
        (of_other_genes, {}, InputError, "12 of 12 genes of the model .*'other0'"),
        (Model, {"batch": "b2"}, InputError, r"expected one of \['b0', 'b1'\]"),
        (Model, {"key_added": "X_pca"}, InputError, "overwrite=True"),
    ],
)
def test_models_that_cannot_be_used_change_nothing(cells, make, arguments, error, message, frozen):
    model = make(cells.copy())
    with frozen(cells), pytest.raises(error, match=message):
        cf.interop.from_scvi(cells, model, **arguments)
