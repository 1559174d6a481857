"""What users may rely on, each promise with its tests (P11, a light command line, is tested
elsewhere).

P1 a failure leaves data and files as they were; P2 an error names what was found, what was expected
and the remedy; P6 no pickle and no network; P7 files are replaced as a whole; P8 nobody's global
state is touched; P9 a cell's result is its own; P12 every warning is a documented category, and
good data give none.
"""

import ast
import inspect
import os
import pickle
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import warnings
from pathlib import Path

import anndata as ad
import matplotlib as mpl
import numpy as np
import pytest
import scanpy as sc
import torch
from cellflow.recipes import fm

import cellflow as cf
from cellflow import errors
from cellflow.adapter.h5ad import write_h5ad
from conftest import make_cells, quick_recipe

pytestmark = pytest.mark.usefixtures("long_steps")

PACKAGE = Path(cf.__file__).parent
QUICK = quick_recipe()
GENERATOR = fm(training=QUICK.training)


def everything(adata):
    """Every public call on an AnnData, as a clean run makes them; returns what it computed."""
    results = everything_but_densities(adata)
    cf.tl.density(adata, "hours", method="gmm")
    cf.tl.log_density(adata, source="gmm")
    cf.tl.age(adata, cells=["cell1"], n_times=3)
    cf.tl.diagnose(adata, n_cells=20)
    cf.bench.holdout(adata, "hours", methods=QUICK, metrics=("w1", "energy"))
    reported(adata)
    cf.bench.tune(adata, "hours", methods=QUICK)
    CALLS["bench.lineage"](adata)
    return [*results, cf.get.density(adata), cf.get.diagnosis(adata)]


def reported(adata, **arguments):
    with tempfile.TemporaryDirectory() as folder:
        return cf.bench.report(adata, Path(folder) / "report.html", **arguments)


def everything_but_densities(adata):
    cf.pp.check(adata, "hours")
    cf.tl.flow(adata, "hours", method=QUICK, score=True)
    cf.tl.velocity(adata, basis="umap", genes="all")
    cf.tl.potential(adata)
    cf.tl.least_action_path(adata, 0, 80, n_steps=5)
    cf.tl.pseudotime(adata, n_times=3)
    cf.tl.trajectories(adata, n_times=3)
    cf.tl.trajectories(adata, n_times=3, stochastic=True, n_rep=2)
    cf.tl.fates(adata, "hours", absorb=[12])
    cf.tl.fates(adata, "hours", stochastic=True, n_rep=2)
    cf.tl.ancestors(adata, "hours")
    cf.tl.jacobian(adata, ["gene1"], groupby="hours")
    cf.tl.divergence(adata)
    cf.tl.curl(adata)
    cf.tl.trends(adata, ["gene1"], n_times=3)
    results = [
        cf.tl.predict(adata, time=30.0),
        cf.tl.push(adata, ["cell1"], time=30.0),
        cf.tl.pull(adata, ["cell80"], time=30.0),
        cf.tl.predict(adata, time=30.0, stochastic=True),
        cf.tl.sample(adata, time=12.0, n_obs=20),
        cf.tl.refine(adata, adata[:30].copy(), time=12.0),
    ]
    cf.tl.flow(adata, "hours", method=GENERATOR, key_added="noise")
    calibrated = with_clones(adata.copy())
    cf.tl.drivers(calibrated, "a", window=(0, 12))
    cf.tl.perturb(calibrated, {"gene1": "+1sd"}, n_null=2)
    cf.tl.screen(calibrated, to="-1sd", n_simulated=2)
    cf.tl.calibrate(calibrated, lineage_key="clone")
    halves = adata.copy()
    halves.obs["half"] = np.arange(adata.n_obs) % 2
    results += [
        cf.tl.generate(adata, time=12.0, n_obs=30, key="noise"),
        cf.tl.translate(halves, "half", source=0, target=1, method=QUICK),
    ]
    results += [cf.get.flow(adata), cf.get.velocity(adata, ["gene1"])]
    results += [cf.get.drivers(calibrated), cf.get.trends(adata), cf.get.perturbation(calibrated)]
    results.append(cf.get.screen(calibrated))
    return [*results, cf.get.calibration(calibrated)]


def with_clones(adata):
    """Fates of two types, and clones of one type each."""
    adata.obs["type"] = np.where(adata.obsm["X_pca"][:, 2] > 0, "a", "b")
    adata.obs["clone"] = adata.obs["type"] + (np.arange(adata.n_obs) % 15).astype(str)
    cf.tl.fates(adata, "type")
    return adata


CLONES = {
    "lineage_key": "clone",
    "cluster_key": "kind",
    "methods": QUICK,
    "network": False,
    "n_bootstrap": 100,
}


def barcoded(adata):
    """The same cells in 30 clones of two fates."""
    if not isinstance(adata, ad.AnnData):
        return adata
    adata = adata.copy()
    # Clones keep their order along an axis at all times, so that they look like clones.
    place = make_cells().obsm["X_pca"][:, 0].reshape(3, -1)
    adata.obs["clone"] = np.resize(place.argsort(axis=1).argsort(axis=1), adata.n_obs)
    adata.obs["kind"] = np.where(np.arange(adata.n_obs) % 2, "a", "b")
    return adata


CALLS = {
    "bench.holdout": lambda a, **kw: cf.bench.holdout(
        a, kw.pop("time_key", "hours"), methods=QUICK, metrics="w1", **kw
    ),
    "bench.lineage": lambda a, **kw: cf.bench.lineage(
        barcoded(a), kw.pop("time_key", "hours"), **(CLONES | kw)
    ),
    "bench.literature": lambda a, **kw: cf.bench.literature(
        "eb", **({"data": a, "methods": QUICK, "seeds": 0} | kw)
    ),
    "bench.report": reported,
    "bench.tune": lambda a, **kw: cf.bench.tune(
        a, kw.pop("time_key", "hours"), methods=QUICK, **kw
    ),
    "pp.check": lambda a, **kw: cf.pp.check(a, **({"time_key": "hours"} | kw)),
    "pp.growth_scores": lambda a, **kw: cf.pp.growth_scores(
        a, **({"birth": ["gene0", "gene1"], "death": ["gene2"], "time_unit": "hour"} | kw)
    ),
    "tl.flow": lambda a, **kw: cf.tl.flow(a, kw.pop("time_key", "hours"), method=QUICK, **kw),
    "tl.age": cf.tl.age,
    "tl.calibrate": lambda a, **kw: cf.tl.calibrate(a, **({"lineage_key": "clone"} | kw)),
    "tl.ancestors": lambda a, **kw: cf.tl.ancestors(a, **({"groupby": "hours"} | kw)),
    "tl.fates": lambda a, **kw: cf.tl.fates(a, **({"groupby": "hours"} | kw)),
    "tl.density": lambda a, **kw: cf.tl.density(a, kw.pop("time_key", "hours"), method="gmm", **kw),
    "tl.diagnose": lambda a, **kw: cf.tl.diagnose(a, n_cells=20, **kw),
    "tl.drivers": lambda a, **kw: cf.tl.drivers(a, **({"fate": "a", "window": (0, 12)} | kw)),
    "tl.growth": cf.tl.growth,
    "tl.curl": cf.tl.curl,
    "tl.divergence": cf.tl.divergence,
    "tl.jacobian": lambda a, **kw: cf.tl.jacobian(a, **({"regulators": ["gene1"]} | kw)),
    "tl.compare": lambda a, **kw: cf.tl.compare(
        a, **({"condition_key": "half", "by": "cell", "n_perm": 20} | kw)
    ),
    "tl.perturb": lambda a, **kw: cf.tl.perturb(a, **({"edits": {"gene1": 0.0}, "n_null": 0} | kw)),
    "tl.least_action_path": lambda a, **kw: cf.tl.least_action_path(
        a, **({"source": 0, "target": 80, "n_steps": 5} | kw)
    ),
    "tl.screen": lambda a, **kw: cf.tl.screen(a, **({"n_simulated": 0} | kw)),
    "tl.log_density": lambda a, **kw: cf.tl.log_density(a, source="gmm", **kw),
    "tl.velocity": cf.tl.velocity,
    "tl.terminal_states": lambda a, **kw: cf.tl.terminal_states(
        a, **({"at": 0.0, "max_speed": 100.0} | kw)
    ),
    "tl.trajectories": lambda a, **kw: cf.tl.trajectories(a, **({"n_times": 3} | kw)),
    "tl.potential": cf.tl.potential,
    "tl.trends": lambda a, **kw: cf.tl.trends(a, **({"genes": ["gene1"], "n_times": 3} | kw)),
    "get.trends": cf.get.trends,
    "tl.pseudotime": cf.tl.pseudotime,
    "tl.predict": lambda a, **kw: cf.tl.predict(a, **({"time": 30.0} | kw)),
    "tl.push": lambda a, **kw: cf.tl.push(a, **({"time": 48.0} | kw)),
    "tl.pull": lambda a, **kw: cf.tl.pull(a, **({"time": 0.0} | kw)),
    "tl.refine": lambda a, **kw: cf.tl.refine(
        a, make_cells()[:10].copy(), **({"time": 12.0, "check": False} | kw)
    ),
    "tl.sample": lambda a, **kw: cf.tl.sample(a, **({"time": 12.0, "n_obs": 5} | kw)),
    "tl.simulate": lambda a, **kw: cf.tl.simulate(a, **({"cells": [3], "n_times": 3} | kw)),
    "get.calibration": cf.get.calibration,
    "get.comparison": cf.get.comparison,
    "get.density": cf.get.density,
    "get.diagnosis": cf.get.diagnosis,
    "get.drivers": cf.get.drivers,
    "tl.generate": lambda a, **kw: cf.tl.generate(a, **({"time": 12.0, "n_obs": 5} | kw)),
    "tl.translate": lambda a, **kw: cf.tl.translate(
        a, "hours", source=0.0, target=12.0, method=QUICK, **kw
    ),
    "get.fates": cf.get.fates,
    "get.flow": cf.get.flow,
    "get.jacobian": cf.get.jacobian,
    "get.perturbation": cf.get.perturbation,
    "get.growth": lambda a, **kw: cf.get.growth(a, **({"groupby": "hours"} | kw)),
    "get.least_action_path": cf.get.least_action_path,
    "get.plan": lambda a, **kw: cf.get.plan(a, **({"groupby": "hours"} | kw)),
    "get.potential": cf.get.potential,
    "get.samples": cf.get.samples,
    "get.screen": cf.get.screen,
    "get.transition_matrix": cf.get.transition_matrix,
    "get.trajectories": cf.get.trajectories,
    "get.trajectory_samples": cf.get.trajectory_samples,
    "get.velocity": cf.get.velocity,
    "interop.from_moscot": lambda a, **kw: cf.interop.from_moscot(a, object(), **kw),
    "interop.from_scvi": lambda a, **kw: cf.interop.from_scvi(a, object(), **kw),
    "interop.from_wot": lambda a, **kw: cf.interop.from_wot(a, "no/such_file", **kw),
    "interop.to_cellrank": lambda a, **kw: cf.interop.to_cellrank(a, "precomputed", **kw),
    "interop.to_moscot": lambda a, **kw: cf.interop.to_moscot(a, object(), **kw),
    "interop.to_palantir": cf.interop.to_palantir,
    "interop.to_scvelo": lambda a, **kw: cf.interop.to_scvelo(a, **kw),
    "interop.to_wot": lambda a, **kw: cf.interop.to_wot(a, "no_such_folder/map", **kw),
}


def test_every_public_call_is_covered():
    families = {"bench": cf.bench, "pp": cf.pp, "tl": cf.tl, "get": cf.get, "interop": cf.interop}
    assert set(CALLS) == {
        f"{family}.{name}" for family, module in families.items() for name in module.__all__
    }


# P1, P2 -------------------------------------------------------------------------------------------


def nan_in_positions(adata):
    adata.obsm["X_pca"][5, 2] = np.nan


def other_positions(adata):
    adata.obsm["X_pca"] = adata.obsm["X_pca"][:, ::-1].copy()


def fewer_dimensions(adata):
    adata.obsm["X_pca"] = adata.obsm["X_pca"][:, :2].copy()


def no_representation(adata):
    del adata.obsm["X_pca"]


def damaged_model(adata):
    adata.uns["cellflow"]["model"]["config"] += " "


def foreign_results(adata):
    adata.obsm["velocity_pca"] = np.zeros((90, 4))
    adata.obsm["cf_trajectory"] = np.zeros((90, 3, 4))
    for name in ("age", "log_density", "snapshot_log_density"):
        adata.obs[f"cf_{name}"] = 1.0
    adata.obsm["lineages_fwd"] = np.ones((90, 1))
    adata.obs["term_states_bwd"] = "mine"
    adata.uns["mine"] = "hand-made"


def untouched(adata):
    pass


AFTER_A_FIT = [
    "tl.age",
    "tl.curl",
    "tl.divergence",
    "tl.jacobian",
    "tl.ancestors",
    "tl.fates",
    "tl.compare",
    "tl.diagnose",
    "tl.drivers",
    "tl.log_density",
    "tl.perturb",
    "tl.least_action_path",
    "tl.screen",
    "tl.potential",
    "tl.pseudotime",
    "tl.velocity",
    "tl.trajectories",
    "tl.predict",
    "tl.push",
    "tl.pull",
    "tl.refine",
    "tl.sample",
    "tl.terminal_states",
    "tl.trends",
    "get.plan",
    "get.transition_matrix",
    "get.velocity",
    "interop.to_cellrank",
    "interop.to_moscot",
    "interop.to_palantir",
    "interop.to_scvelo",
    "interop.to_wot",
]
#: What is spoilt; the calls it spoils; their arguments; and what their messages name: key, finding,
#: remedy.
FAILURES = {
    "NaN": (
        nan_in_positions,
        [
            *("bench.holdout", "bench.lineage", "bench.tune", "tl.density", "tl.flow"),
            *("tl.calibrate", "tl.translate", *AFTER_A_FIT),
        ],
        {},
        r"obsm\['X_pca'\]",
        r"1 NaN \(first: cell 'cell5', column 2\)",
        "Remove:",
    ),
    "other positions": (
        other_positions,
        ["tl.calibrate", *AFTER_A_FIT],
        {},
        r"obsm\['X_pca'\]",
        "other values for",
        "fit again",
    ),
    "fewer dimensions": (
        fewer_dimensions,
        AFTER_A_FIT,
        {},
        r"obsm\['X_pca'\]",
        "n_dims is 4",
        "fit again",
    ),
    "no representation": (
        no_representation,
        ["bench.holdout", "bench.lineage", "bench.tune", "tl.flow"],
        {},
        r"obsm\['X_pca'\]",
        "is missing",
        "Pass use_rep=",
    ),
    "no representation any more": (
        no_representation,
        AFTER_A_FIT,
        {},
        r"obsm\['X_pca'\]",
        "is missing",
        "fit again",
    ),
    "damaged model": (
        damaged_model,
        ["get.flow", *AFTER_A_FIT],
        {},
        r"uns\['cellflow'\]",
        "is damaged",
        "fit again",
    ),
    "no such fit": (
        untouched,
        [
            *(
                "get.calibration",
                "get.comparison",
                "get.diagnosis",
                "get.drivers",
                "get.flow",
                "get.jacobian",
                "get.perturbation",
                "get.screen",
                "get.trends",
                "tl.calibrate",
                "tl.generate",
            ),
            *AFTER_A_FIT,
        ],
        {"key": "celflow"},
        "'celflow'",
        "holds no fit",
        "Fit first",
    ),
    "no such cell": (
        untouched,
        ["tl.age", "tl.potential", "tl.pseudotime", "tl.push", "tl.pull", "tl.simulate"],
        {"cells": ["Cell1"]},
        "obs_names",
        "Cell1",
        "did you mean",
    ),
    "no such gene": (
        untouched,
        ["tl.screen", "tl.trends", "tl.velocity", "get.velocity"],
        {"genes": ["GENE1"]},
        "var_names",
        "GENE1",
        "did you mean 'gene1'",
    ),
    "no such basis": (
        untouched,
        ["tl.velocity"],
        {"basis": "uamp"},
        "obsm",
        "uamp",
        "did you mean 'umap'",
    ),
    "foreign velocity": (
        foreign_results,
        ["tl.velocity"],
        {},
        r"obsm\['velocity_pca'\]",
        "was not written by",
        "overwrite=True",
    ),
    "foreign paths": (
        foreign_results,
        ["tl.trajectories"],
        {},
        r"obsm\['cf_trajectory'\]",
        "was not written by",
        "overwrite=True",
    ),
    "foreign densities": (
        foreign_results,
        ["tl.age", "tl.density", "tl.log_density"],
        {},
        r"obs\['cf_\w+'\]",
        "was not written by",
        "overwrite=True",
    ),
    "foreign fates": (
        foreign_results,
        ["tl.ancestors", "tl.fates"],
        {},
        r"adata\.obs\w?\['(lineages_fwd|term_states_bwd)'\]",
        "was not written by",
        "overwrite=True",
    ),
    "foreign key": (
        foreign_results,
        ["bench.holdout", "bench.lineage", "bench.tune", "tl.flow"],
        {"key_added": "mine"},
        r"uns\['mine'\]",
        "was not written by",
        "another key_added",
    ),
    "bad name": (
        untouched,
        ["bench.holdout", "bench.lineage", "bench.tune", "tl.density", "tl.flow"],
        {"key_added": "a/b"},
        "key_added",
        "'a/b'",
        "without '/'",
    ),
    "no such column": (
        untouched,
        ["bench.holdout", "bench.lineage", "bench.tune", "tl.density", "tl.flow"],
        {"time_key": "hour"},
        r"obs\['hour'\]",
        "is missing",
        "did you mean 'hours'",
    ),
    "beyond the data": (
        untouched,
        ["tl.refine", "tl.sample"],
        {"time": 99.0},
        "Time 99",
        "outside the times of the fit",
        "0 to 48",
    ),
    "no number": (
        untouched,
        ["tl.predict", "tl.push", "tl.pull", "tl.refine", "tl.sample"],
        {"time": "soon"},
        "time=",
        "'soon'",
        "expected a number in hours",
    ),
}
CASES = [(case, call) for case, (_, calls, *_) in FAILURES.items() for call in calls]


@pytest.mark.parametrize(("case", "call"), CASES)
def test_P1_P2_failures_change_nothing_and_say_what_to_do(fitted, case, call, frozen):
    spoil, _, arguments, key, finding, remedy = FAILURES[case]
    spoil(fitted)
    with frozen(fitted), pytest.raises(errors.CellFlowError) as caught:
        CALLS[call](fitted, **arguments)
    message = str(caught.value)
    for part in (key, finding, remedy):
        assert re.search(part, message), f"{part!r} is not in {message!r}"


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_P1_interruptions_change_nothing(cells, error, frozen):
    def stop(step, loss):
        raise error

    with frozen(cells), pytest.raises(error):
        cf.tl.flow(cells, "hours", method=QUICK, callback=stop)


def test_P2_every_error_has_a_common_base():
    for name in errors.__all__:
        value = getattr(errors, name)
        if inspect.isclass(value):
            assert issubclass(value, errors.CellFlowError | errors.CellFlowWarning)
            assert len(inspect.getdoc(value)) > 20


# P6 -----------------------------------------------------------------------------------------------


def test_P6_no_pickle_and_no_network(fitted, tmp_path, monkeypatch):
    def refuse(*_, **__):
        pytest.fail("opened a pickle or a socket")

    fitted.write_h5ad(tmp_path / "a.h5ad")
    cf.get.flow(fitted).save(tmp_path / "flow")
    for name in ("load", "loads", "dump", "dumps", "Unpickler", "Pickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    cf.tl.velocity(again, basis="umap")
    cf.tl.predict(again, time=30.0)
    cf.Flow.load(tmp_path / "flow")
    assert not [p for p in (tmp_path / "flow").iterdir() if b"\x80\x04" in p.read_bytes()[:2]]


# P7 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["os.open", "os.fsync", "pathlib.Path.replace"])
def test_P7_a_failed_write_leaves_the_old_file(fitted, stage, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(5, "Input/output error")

    (tmp_path / "a.h5ad").write_bytes(b"old")
    monkeypatch.setattr(stage, fail)
    with pytest.raises(OSError, match="Input/output"):
        write_h5ad(fitted, tmp_path / "a.h5ad")
    assert (tmp_path / "a.h5ad").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5ad"]


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_P7_a_killed_write_leaves_the_old_file(tmp_path):
    (tmp_path / "a.h5ad").write_bytes(b"old")
    code = """
    import os, signal, sys
    import anndata, numpy
    from cellflow.adapter.h5ad import write_h5ad
    os.fsync = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    write_h5ad(anndata.AnnData(numpy.ones((3, 2))), sys.argv[1])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "a.h5ad")], check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "a.h5ad").read_bytes() == b"old"


def test_P7_a_failed_save_of_a_flow_leaves_the_old_one(fitted, tmp_path, monkeypatch):
    flow = cf.get.flow(fitted)
    flow.save(tmp_path / "flow")
    before = {p.name: p.read_bytes() for p in (tmp_path / "flow").iterdir()}

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        flow.save(tmp_path / "flow")
    assert {p.name: p.read_bytes() for p in (tmp_path / "flow").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["flow"]


# P8 -----------------------------------------------------------------------------------------------


def global_state():
    numpy_state = np.random.get_state()  # noqa: NPY002 - the user's, which must not move
    return {
        "random": random.getstate(),
        "numpy": [str(numpy_state[0]), numpy_state[1].tolist(), *numpy_state[2:]],
        "torch": torch.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "gradients": torch.is_grad_enabled(),
        "filters": list(warnings.filters),
        "rcParams": dict(mpl.rcParams),
        "floating point": np.geterr(),
        "printing": np.get_printoptions(),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "scanpy": {
            k: repr(getattr(sc.settings, k)) for k in ("verbosity", "n_jobs", "figdir", "autoshow")
        },
    }


def test_P8_P12_good_data_give_no_warning_and_global_state_is_untouched(cells):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        everything(cells.copy())
    # What is imported on the way may set its own things, at the first run.
    before = global_state()
    everything(cells)
    assert global_state() == before


# P9 -----------------------------------------------------------------------------------------------

#: Per-cell results, by the names of the cells.
PER_CELL = {
    "velocity": lambda a: cf.tl.velocity(a, copy=True).obsm["velocity_pca"],
    "velocity of genes": lambda a: cf.tl.velocity(a, genes="all", copy=True).layers["velocity"],
    "trajectories": lambda a: cf.tl.trajectories(a, n_times=3, copy=True).obsm["cf_trajectory"],
    "push": lambda a: cf.tl.push(a, np.arange(a.n_obs), time=48.0).X,
}


@pytest.mark.parametrize("result", PER_CELL)
def test_P9_row_order_does_not_matter(fitted, result):
    order = np.random.default_rng(0).permutation(fitted.n_obs)
    np.testing.assert_array_equal(
        PER_CELL[result](fitted[order].copy()), PER_CELL[result](fitted)[order]
    )


@pytest.mark.parametrize("result", PER_CELL)
def test_P9_other_cells_do_not_matter(fitted, result):
    few = np.array([88, 7, 31])
    np.testing.assert_array_equal(
        PER_CELL[result](fitted[few].copy()), PER_CELL[result](fitted)[few]
    )


@pytest.mark.parametrize("result", PER_CELL)
def test_P9_chunk_sizes_do_not_matter(fitted, result, monkeypatch):
    expected = PER_CELL[result](fitted)
    monkeypatch.setattr("cellflow.core._rows._CHUNK", 32)
    monkeypatch.setattr("cellflow.core._moments._BLOCK", 8)
    np.testing.assert_allclose(PER_CELL[result](fitted), expected, rtol=1e-4, atol=1e-5)


# P12 ----------------------------------------------------------------------------------------------


def test_P12_every_warning_is_a_documented_category():
    documented = {name for name in errors.__all__ if name.endswith("Warning")}
    assert documented == {
        n for n, v in vars(errors).items() if inspect.isclass(v) and issubclass(v, Warning)
    }
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) in {"warn", "warnings.warn"}
                and path.name != "_warn.py"
            ):
                category = (
                    ast.unparse(node.args[1]).removeprefix("errors.")
                    if len(node.args) > 1
                    else "UserWarning"
                )
                # Old spellings of calls and names have Python's own category.
                assert category in documented | {"FutureWarning"}, (
                    f"{path.name}, line {node.lineno}: {category}"
                )


def test_P12_warnings_can_be_filtered_by_category():
    adata = make_cells()
    adata.obsm["X_pca"][:, 3] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", errors.InputWarning)
        everything_but_densities(adata)  # a column that does not vary has no density
