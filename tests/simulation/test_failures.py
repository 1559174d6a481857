"""Solvers that fail or are coarse: which cell, when, what was computed, and a remedy that the call
has.
"""

import inspect
import pickle
import re
import time as clock

import numpy as np
import pytest
import torch

import cellflow as cf
from cellflow import errors, recipes
from cellflow.simulation import integrate, integrate_sde, log_likelihood, push_with_log_prob
from cellflow.training import Training

X = np.array([[0.1], [5.0], [0.1]])


def explosive(t, x):
    return x**3


def square(t, x):
    return x**2


# Errors of the step -------------------------------------------------------------------------------

#: Cells that have no spread of their own, in three dimensions.
ALIKE = {
    "one cell": np.ones((1, 3)),
    "equal": np.ones((3, 3)),
    "equal and far": np.full((3, 3), 1e4),
    "at zero": np.zeros((3, 3)),
    "nearly equal": np.ones((3, 3)) + 1e-7 * np.arange(3)[:, None],
    "two alike": np.array([[1.0, 0.0, 0.0], [1.0, 1e-9, 0.0]]),
    "many alike": np.ones((200, 3)) + 1e-6 * np.arange(200)[:, None],
    "single precision": np.ones((3, 3), dtype=np.float32),
}


def fit(scale="joint", n=40):
    x = np.random.default_rng(0).normal(size=(3 * n, 3)) + np.repeat([0.0, 1.0, 2.0], n)[:, None]
    snapshots = cf.Snapshots.from_arrays(x, np.repeat([0.0, 1.0, 2.0], n))
    return cf.fit(
        snapshots, recipes.ot_cfm(training=Training(steps=20, batch_size=32)), scale=scale
    )


@pytest.fixture(scope="module")
def flows():
    return {scale: fit(scale) for scale in ("joint", "each", "none")}


@pytest.mark.parametrize("scale", ["joint", "each", "none"])
@pytest.mark.parametrize("cells", ALIKE)
def test_p12_cells_that_are_alike_give_no_warning(cells, scale, flows):
    x = ALIKE[cells] if "far" not in cells else np.full((3, 3), 3.0)
    flows[scale].simulate(x, 0.0, [0.5, 1.0])


@pytest.mark.parametrize("cells", ALIKE)
def test_p12_solvers_give_no_warning_for_cells_that_are_alike(cells):
    integrate(
        lambda t, x: 0.5 * torch.cos(t).to(x) * torch.ones_like(x),
        ALIKE[cells],
        0.0,
        [1.0],
        step=0.05,
    )


def test_the_error_of_a_cell_does_not_depend_on_the_others(flows):
    x = np.random.default_rng(1).normal(size=(4, 3))
    alone = max(flows["joint"].simulate(x[k : k + 1], 0.0, [1.0]).error for k in range(4))
    assert flows["joint"].simulate(x, 0.0, [1.0]).error == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_a_coarse_step_is_warned_of_whatever_the_unit(factor):
    def turning(t, x):
        return 5.0 * torch.stack([-x[:, 1], x[:, 0]], dim=1)

    x = factor * np.random.default_rng(0).normal(size=(9, 2))
    with pytest.warns(errors.IntegrationWarning, match="Pass a smaller `step`, or method='dopri5'"):
        integrate(turning, x, 0.0, [2.0], step=0.5)


# Blow-ups -----------------------------------------------------------------------------------------

#: Solvers from time 0 to 0.01 and 9, at which the second cell is long gone.
SOLVERS = {
    "integrate": lambda: integrate(explosive, X, 0.0, [0.01, 9.0], step=0.01),
    "backward": lambda: integrate(lambda t, x: -(x**3), X, 0.0, [-0.01, -9.0], step=0.01),
    "unsorted times": lambda: integrate(explosive, X, 0.0, [9.0, 0.01], step=0.01),
    "euler": lambda: integrate(explosive, X, 0.0, [0.01, 9.0], step=0.01, method="euler"),
    "diffusion": lambda: integrate_sde(
        explosive, X, 0.0, [0.01, 9.0], sigma=1e-3, step=0.01, random_state=0
    ),
    "density": lambda: push_with_log_prob(explosive, X, np.zeros(3), 0.0, [0.01, 9.0], step=0.01),
}


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_blow_up_has_the_cell_the_time_and_what_was_computed(solver):
    with pytest.raises(
        errors.IntegrationError, match=r"Cell 1 stops being finite between time 0 and -?9 "
    ) as caught:
        SOLVERS[solver]()
    error = caught.value
    early, late = int(solver == "unsorted times"), int(solver != "unsorted times")
    assert (error.cell, abs(error.time)) == (1, 9.0)
    assert error.partial.x.shape == (2, 3, 1)
    assert np.isfinite(error.partial.x[early]).all()
    assert np.isfinite(error.partial.x[late]).ravel().tolist() == [True, False, True]
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.cell) == (str(error), 1)


def test_an_adaptive_solver_has_what_other_chunks_have_reached():
    x = np.zeros((1500, 1))
    x[1400] = 50.0
    with pytest.raises(errors.IntegrationError, match=r"loosen `rtol` and `atol`") as caught:
        integrate(square, x, 0.0, [1.0], step=0.1, method="dopri5")
    finite = np.isfinite(caught.value.partial.x[0, :, 0])
    assert finite[:1024].all()
    assert not finite[1400]


def test_a_log_density_that_is_none_names_its_cell():
    with pytest.raises(errors.IntegrationError, match="Cell 0 has log_prob0") as caught:
        log_likelihood(square, 0.1 * X, 0.1, 0.0, lambda x: np.full(len(x), np.nan), step=0.1)
    assert caught.value.cell == 0


@pytest.fixture
def exploding(fitted):
    """An AnnData whose fit moves every cell beyond all bounds."""
    from cellflow.adapter.store import sealed

    config, arrays = cf.get.flow(fitted).state()
    huge = {
        k: (v * 1e30).astype(v.dtype) if k.startswith("dynamics.velocity") else v
        for k, v in arrays.items()
    }
    fitted.uns["cellflow"]["model"] = sealed(config, huge)
    return fitted


CALLS = {
    "push": (cf.tl.push, {"cells": ["cell3", "cell5"], "time": 12.0}, {"cell3", "cell5"}),
    "push by position": (cf.tl.push, {"cells": [20], "time": 12.0}, {"cell20"}),
    "pull": (cf.tl.pull, {"cells": ["cell80"], "time": 12.0}, {"cell80"}),
    "paths of some": (cf.tl.simulate, {"cells": ["cell33"], "n_times": 3}, {"cell33"}),
    "stochastic": (
        cf.tl.simulate,
        {"cells": ["cell33"], "n_times": 3, "stochastic": True},
        {"cell33"},
    ),
    "trajectories": (cf.tl.trajectories, {"n_times": 3}, {f"cell{k}" for k in range(90)}),
    "earlier": (
        cf.tl.predict,
        {"time": 30.0, "source": "earlier"},
        {f"cell{k}" for k in range(30, 60)},
    ),
    "later": (
        cf.tl.predict,
        {"time": 30.0, "source": "later"},
        {f"cell{k}" for k in range(60, 90)},
    ),
    "some drawn": (
        cf.tl.predict,
        {"time": 30.0, "source": "later", "n_obs": 4},
        {f"cell{k}" for k in range(60, 90)},
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_through_an_anndata_a_blow_up_has_the_name_of_the_cell(call, exploding):
    function, options, names = CALLS[call]
    with pytest.raises(errors.IntegrationError) as caught:
        function(exploding, **options)
    error, message = caught.value, str(caught.value)
    assert error.cell in names
    assert message.startswith(f"Cell {error.cell!r} ")
    assert set(re.findall(r"`(\w+)`", message)) <= set(inspect.signature(function).parameters)
    assert error.partial is not None


def test_a_flow_gives_partial_trajectories_in_data_coordinates(exploding):
    flow = cf.get.flow(exploding)
    x = exploding.obsm["X_pca"][:2]
    with pytest.raises(errors.IntegrationError, match="smaller `step`") as caught:
        flow.simulate(x, 0.0, [0.0, 12.0])
    np.testing.assert_allclose(caught.value.partial.x[0], x, atol=1e-5)


# Bounds -------------------------------------------------------------------------------------------

SYSTEMS = {
    name: getattr(cf.synthetic, name)
    for name in cf.synthetic.__all__
    if name not in {"Circuit", "System", "truth"}
} | {"Experiment": lambda: cf.synthetic.Experiment({"control": cf.synthetic.GrowingFork()})}


@pytest.mark.parametrize("latest", [1e3, 1e6, 1e12, 1e300])
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_simulation_ends_soon_or_is_refused(system, latest):
    begun = clock.process_time()
    try:
        adata = cf.datasets.simulate(SYSTEMS[system](), n_obs=20, times=[0.0, latest])
        assert np.isfinite(adata.X).all()
    except errors.InputError:
        with pytest.raises(errors.InputError, match=r"[Tt]ime"):
            cf.datasets.simulate(SYSTEMS[system](), n_obs=20, times=[0.0, latest])
    assert clock.process_time() - begun < 5.0


FAR = {
    "rk4": lambda: integrate(square, 0.01 * X, 0.0, [1e12], step=0.1),
    "backward": lambda: integrate(square, 0.01 * X, 0.0, [-1e12], step=0.1),
    "diffusion": lambda: integrate_sde(
        square, 0.01 * X, 0.0, [1e12], sigma=1.0, step=0.1, random_state=0
    ),
    "density": lambda: log_likelihood(square, 0.01 * X, 1e12, 0.0, lambda x: x[:, 0], step=0.1),
    "adaptive": lambda: integrate(
        lambda t, x: torch.sin(t).to(x) + 0 * x, X[:1], 0.0, [1e12], step=0.1, method="dopri5"
    ),
}


@pytest.mark.parametrize("solver", FAR)
def test_a_way_without_an_end_is_refused_with_its_limit(solver, monkeypatch):
    monkeypatch.setattr("cellflow.simulation._solution.MAX_STEPS", 200)
    with pytest.raises((errors.InputError, errors.IntegrationError), match="200"):
        FAR[solver]()


@pytest.mark.parametrize("call", [cf.tl.push, cf.tl.predict])
def test_a_limit_recommends_no_argument_that_the_call_lacks(call, fitted):
    with pytest.raises(errors.InputError) as caught:
        call(fitted, time=1e9, extrapolate=True)
    assert set(re.findall(r"`(\w+)`", str(caught.value))) <= set(inspect.signature(call).parameters)
