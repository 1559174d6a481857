"""What a caller has switched in numpy, torch or the process changes no result, and is as before
after every call.
"""

import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from torch import nn

import cellflow as cf
from cellflow import errors, recipes
from cellflow.core import _warn
from cellflow.core._drawing import Drawing
from cellflow.core._settings import guarded, offers
from cellflow.core._threads import torch_threads
from cellflow.metrics import c2st
from cellflow.training import Training
from conftest import make_cells, quick_recipe

SHORT = Training(steps=4, batch_size=32, record_every=2)
CLOUDS = np.random.default_rng(0).normal(size=(2, 60, 2))


def snapshots(seed=0, n=40):
    time = np.repeat([0.0, 1.0, 2.0], n)
    x = np.random.default_rng(seed).normal(size=(3 * n, 3)) + time[:, None]
    return cf.Snapshots.from_arrays(x, time)


# Modes --------------------------------------------------------------------------------------------


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def default_device(name):
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


#: What somebody may have switched; "meta" stands for a device that the machine lacks.
MODES = {
    "float64": partial(default_dtype, torch.float64),
    "float16": partial(default_dtype, torch.float16),
    "bfloat16": partial(default_dtype, torch.bfloat16),
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "another device": partial(default_device, "meta"),
    "device of a block": partial(torch.device, "meta"),
    "autocast bfloat16": partial(torch.autocast, "cpu", torch.bfloat16),
    "autocast float16": partial(torch.autocast, "cpu", torch.float16),
    "numpy raises": partial(np.errstate, all="raise"),
    "numpy is silent": partial(np.errstate, all="ignore"),
}


def modes():
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "floating point": np.geterr(),
        "threads": torch.get_num_threads(),
        "random": torch.get_rng_state().tolist(),
        "filters": list(warnings.filters),
    }


def short(**options):
    return recipes.ot_cfm(training=SHORT, **options)


def of_a_fit(recipe, ask):
    return lambda _: ask(cf.fit(snapshots(), recipe))


def sampled(made):
    return made.sample(5, np.random.default_rng(0))


#: Calls that compute, as functions of a fitted AnnData.
CALLS = {
    "velocity": lambda a: cf.tl.velocity(a, copy=True).obsm["velocity_pca"],
    "push": lambda a: cf.tl.push(a, [0, 5], time=3.0).obsm["X_pca"],
    "predict": lambda a: cf.tl.predict(a, time=3.0, source="earlier").obsm["X_pca"],
    "stochastic": (
        lambda a: cf.tl.predict(a, time=3.0, source="earlier", stochastic=True, n_obs=9).obsm[
            "X_pca"
        ]
    ),
    "sample": lambda a: cf.tl.sample(a, time=12.0, n_obs=5).obsm["X_pca"],
    "score": lambda a: cf.get.flow(a).score(a.obsm["X_pca"], 12.0),
    "genes": lambda a: cf.get.velocity(a).to_numpy(),
    "fit": of_a_fit(short(), lambda flow: flow.velocity(np.ones((2, 3)), 0.5)),
    "fit of a score": of_a_fit(short().with_score(), lambda flow: flow.score(np.ones((2, 3)), 1.0)),
    "fit_score": (
        lambda _: cf.fit_score(snapshots()[0], training=SHORT).score(np.ones((2, 3)), noise=0.1)
    ),
    "gmm": lambda _: cf.densities.fit_density(CLOUDS[0], method="gmm").log_prob(CLOUDS[1] * 50),
    "kde": lambda _: cf.densities.fit_density(CLOUDS[0], method="kde").log_prob(CLOUDS[1]),
    "entropic": lambda _: cf.couplings.Entropic(sigma=0.1)(*snapshots().populations[:2]).cost,
    "c2st": lambda _: c2st(*CLOUDS, n_folds=2).accuracy,
}


@pytest.fixture(scope="module")
def asked():
    """A fitted AnnData, and what every call says of it."""
    adata = make_cells()
    cf.tl.flow(adata, "hours", method=quick_recipe(), score=True)
    return adata, {name: call(adata) for name, call in CALLS.items()}


@pytest.mark.parametrize("mode", MODES)
def test_p8_no_mode_changes_a_result_and_all_stay(mode, asked):
    adata, expected = asked
    with MODES[mode]():
        before = modes()
        found = {name: call(adata) for name, call in CALLS.items()}
        assert modes() == before
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize("mode", MODES)
def test_p8_a_call_that_fails_leaves_the_modes(mode, asked):
    with MODES[mode]():
        before = modes()
        with pytest.raises(errors.InputError):
            cf.tl.push(asked[0], ["nobody"], time=48.0)
        with pytest.raises(ZeroDivisionError):
            cf.fit(snapshots(), short(), callback=lambda *_: 1 / 0)
        assert modes() == before


def test_all_modes_at_once(asked):
    adata, expected = asked
    with (
        MODES["float64"](),
        torch.inference_mode(),
        MODES["device of a block"](),
        MODES["autocast bfloat16"](),
    ):
        np.testing.assert_array_equal(CALLS["push"](adata), expected["push"])
        np.testing.assert_array_equal(CALLS["fit"](adata), expected["fit"])


@pytest.mark.parametrize("inner", MODES)
def test_a_call_inside_of_a_call_starts_from_the_defaults_too(inner, asked):
    found = []

    def callback(*_):
        if not found:
            with MODES[inner]():
                found.append(CALLS["push"](asked[0]))

    before = modes()
    cf.fit(snapshots(), short(), callback=callback)
    assert modes() == before
    np.testing.assert_array_equal(found[0], asked[1]["push"])


def test_a_fit_made_in_a_mode_can_be_asked_outside():
    with torch.inference_mode():
        flow = cf.fit(snapshots(), short())
    assert all(
        not p.is_inference() and p.dtype == torch.float32 for p in flow.dynamics.parameters()
    )


FAMILIES = (
    *("bench", "datasets", "densities", "get", "interop"),
    *("metrics", "pl", "pp", "simulation", "tl"),
)


def test_every_public_function_is_guarded():
    public = {
        f"{family}.{name}": getattr(getattr(cf, family), name)
        for family in FAMILIES
        for name in getattr(cf, family).__all__
    }
    functions = {name: f for name, f in public.items() if type(f).__name__ == "function"}
    guard = guarded(lambda: None).__code__
    unguarded = {name for name, f in functions.items() if f.__code__ is not guard}
    # `require_few_steps` computes nothing.
    assert unguarded == {"simulation.require_few_steps"}
    assert len(functions) > 50


@pytest.mark.parametrize(
    "name",
    [
        "velocity",
        "score",
        "simulate",
        "diffuse",
        "jacobian",
        "sensitivity",
        "held",
        "sample",
        "to",
        "state",
        "from_state",
        "save",
        "load",
    ],
)
def test_every_method_of_a_flow_is_guarded(name):
    method = getattr(cf.Flow, name)
    assert getattr(method, "__func__", method).__code__ is guarded(lambda: None).__code__


def test_p8_the_default_dtype_is_the_callers_when_threads_have_left():
    entered, leave = threading.Barrier(2), threading.Event()

    @guarded
    def waits():
        entered.wait()
        leave.wait()
        return torch.get_default_dtype()

    with default_dtype(torch.float64), ThreadPoolExecutor(1) as pool:
        other = pool.submit(waits)
        entered.wait()
        assert guarded(torch.get_default_dtype)() == torch.float32
        leave.set()
        assert other.result() == torch.float32
        assert torch.get_default_dtype() == torch.float64


def test_remedies_are_those_of_the_call_that_was_made():
    inner = guarded(lambda *, step=None: offers("step"))

    @guarded
    def outer(*, time):
        return inner(step=time)

    assert inner()
    assert not outer(time=1.0)
    assert offers("anything")


# Draws --------------------------------------------------------------------------------------------


class Noisy(nn.Module):
    """A network of a user that draws when it is made and whenever it is trained."""

    def __init__(self, dim, clock, *, out_dim=None, n_context=0):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim + 1, 16), nn.Dropout(0.3), nn.Tanh(), nn.Linear(16, out_dim or dim)
        )
        self.register_buffer("features", torch.rand(dim), persistent=False)

    def forward(self, t, x):
        shaken = x * self.features + (0.01 * torch.randn_like(x) if self.training else 0.0)
        return self.layers(torch.cat([shaken, t.to(x).expand(len(x))[:, None]], dim=1))


NETWORKS = {
    "linear": lambda: nn.Linear(3, 4),
    "recurrent": lambda: nn.LSTM(2, 3),
    "convolution": lambda: nn.Conv1d(2, 3, 2),
    "attention": lambda: nn.MultiheadAttention(4, 2),
    "embedding": lambda: nn.Embedding(5, 2),
    "transformer": lambda: nn.TransformerEncoderLayer(4, 2, dim_feedforward=8),
}
DRAWS = {
    "rand": lambda: torch.rand(5),
    "randn": lambda: torch.randn(2, 2),
    "randperm": lambda: torch.randperm(9),
    "randint": lambda: torch.randint(9, (5,)),
    "rand_like": lambda: torch.rand_like(torch.ones(5)),
    "randn_like": lambda: torch.randn_like(torch.ones(5)),
    "normal": lambda: torch.normal(0.0, 1.0, (5,)),
    "bernoulli": lambda: torch.bernoulli(torch.full((9,), 0.5)),
    "multinomial": lambda: torch.multinomial(torch.ones(9), 3),
    "exponential": lambda: torch.empty(5).exponential_(),
    "dropout": lambda: nn.functional.dropout(torch.ones(20)),
    "orthogonal": lambda: nn.init.orthogonal_(torch.empty(4, 4)),
    "trunc_normal": lambda: nn.init.trunc_normal_(torch.empty(9)),
    "distribution": lambda: torch.distributions.Gamma(torch.ones(2), torch.ones(2)).sample(),
}


@pytest.mark.parametrize("draw", [*NETWORKS.values(), *DRAWS.values()], ids=[*NETWORKS, *DRAWS])
def test_what_is_drawn_is_what_torch_draws_and_the_global_generator_stays(draw):
    def values():
        made = draw()
        return list(made.parameters()) if isinstance(made, nn.Module) else [made]

    before = torch.get_rng_state()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        expected = values()
    with Drawing(3) as drawing:
        found = values()
    assert drawing.used
    assert torch.equal(before, torch.get_rng_state())
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


def test_what_draws_nothing_is_seen():
    with Drawing(0) as drawing:
        torch.ones(3).add(1.0).sum()
    assert not drawing.used


def noisy():
    return recipes.ot_cfm(field=Noisy, training=SHORT)


#: Everything that makes networks or draws.
DRAWING = {
    "fit": lambda folder: cf.fit(snapshots(), short()),
    "fit of a score": lambda folder: cf.fit(snapshots(), short().with_score()),
    "fit of a network that draws": lambda folder: cf.fit(snapshots(), noisy()),
    "threads='auto'": lambda folder: cf.fit(snapshots(), noisy(), threads="auto"),
    "fit_score": lambda folder: cf.fit_score(snapshots()[0], training=SHORT),
    "sample": lambda folder: cf.fit_score(snapshots()[0], training=SHORT).sample(4),
    "load": lambda folder: cf.Flow.load(folder),
    "deepcopy": lambda folder: cf.Flow.load(folder).to("cpu"),
    "realnvp": lambda folder: cf.densities.fit_density(CLOUDS[0], method="realnvp", training=QUICK),
    "maf": lambda folder: cf.densities.fit_density(CLOUDS[0], method="maf", training=QUICK),
    "density from its state": lambda folder: cf.densities.from_state(*flow_density().state()),
    "draws of a density": lambda folder: sampled(flow_density()),
}
QUICK = cf.densities.MaximumLikelihood(steps=3, record_every=3)


def flow_density():
    return cf.densities.fit_density(CLOUDS[0], method="realnvp", training=QUICK)


@pytest.mark.parametrize("name", DRAWING)
def test_p8_no_generator_of_torch_moves_or_decides(name, tmp_path, monkeypatch):
    cf.fit(snapshots(), short()).save(tmp_path / "flow")
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    monkeypatch.setattr(torch.cuda, "manual_seed", seeded.append)
    before = torch.get_rng_state()
    DRAWING[name](tmp_path / "flow")
    assert torch.equal(before, torch.get_rng_state())
    assert not seeded


def test_p3_a_network_that_draws_gives_the_same_bits_whatever_the_global_generator_is():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = cf.fit(snapshots(), noisy())
        torch.manual_seed(2)
        second = cf.fit(snapshots(), noisy())
    x = np.ones((3, 3))
    np.testing.assert_array_equal(first.velocity(x, 0.5), second.velocity(x, 0.5))
    # What is not stored is drawn again as it was.
    read = cf.Flow.from_state(*first.state(), fields={"Noisy": Noisy})
    np.testing.assert_array_equal(read.velocity(x, 0.5), first.velocity(x, 0.5))


# Threads ------------------------------------------------------------------------------------------


def in_a_new_thread(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_p8_the_number_of_threads_is_set_for_the_calling_thread_only(two_threads):
    with torch_threads(1):
        assert torch.get_num_threads() == 1
        assert in_a_new_thread(torch.get_num_threads) == 2
        with torch_threads(3):
            assert torch.get_num_threads() == 3
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == in_a_new_thread(torch.get_num_threads) == 2


BESIDE = {
    "loads": lambda folder: cf.Flow.load(folder),
    "fits": lambda folder: cf.fit(snapshots(1), short(), random_state=9),
    "fits that draw": lambda folder: cf.fit(snapshots(1), noisy()),
    "densities": lambda folder: flow_density(),
    "scores": lambda folder: cf.fit_score(snapshots(1)[0], training=SHORT),
    "draws of the user": lambda folder: torch.randn(1000),
    "networks of the user": lambda folder: nn.Linear(50, 50),
    "questions": lambda folder: cf.Flow.load(folder).simulate(np.ones((2, 3)), 0.0, [1.0]),
}


@pytest.mark.parametrize("beside", BESIDE)
def test_p3_a_fit_beside_other_threads_is_the_fit_alone(beside, tmp_path, two_threads):
    recipe = short().with_score()
    alone = cf.fit(snapshots(), recipe)
    alone.save(tmp_path / "flow")
    done, failed = threading.Event(), []

    def other():
        try:
            while not done.is_set():
                BESIDE[beside](tmp_path / "flow")
        except BaseException as error:  # noqa: BLE001 (shown below)
            failed.append(error)

    threads = [threading.Thread(target=other) for _ in range(2)]
    filters = list(warnings.filters)
    for thread in threads:
        thread.start()
    try:
        fits = [in_a_new_thread(lambda: cf.fit(snapshots(), recipe)) for _ in range(1)]
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failed
    for flow in fits:
        for a, b in zip(alone.state()[1].items(), flow.state()[1].items(), strict=True):
            np.testing.assert_array_equal(a[1], b[1], err_msg=a[0])
    assert torch.get_num_threads() == in_a_new_thread(torch.get_num_threads) == 2
    assert list(warnings.filters) == filters


OVERLAPPING = """
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
import scipy.linalg, torch
from threadpoolctl import threadpool_info
from cellflow.core._threads import one_library_thread

def limits():
    return [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]

before, entered, leave = limits(), threading.Barrier(2), threading.Event()

def first():
    with one_library_thread():
        entered.wait()
        leave.wait()

with ThreadPoolExecutor(1) as pool:
    other = pool.submit(first)
    with one_library_thread():
        entered.wait()
        inside = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
        leave.set()
        other.result()
assert inside == {1}, inside
assert limits() == before, (limits(), before)
"""


def test_p8_limits_of_libraries_are_put_back_when_threads_overlap():
    """In a process of its own: the limit of a library depends on everything that used it before."""
    done = subprocess.run(
        [sys.executable, "-c", OVERLAPPING], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# Warnings -----------------------------------------------------------------------------------------


def test_p8_filters_are_as_before_after_a_benchmark_in_threads():
    before, show = list(warnings.filters), warnings.showwarning
    with joblib.parallel_config("threading", n_jobs=3):
        cf.bench.holdout(
            make_cells(),
            "hours",
            methods=quick_recipe(),
            metrics=("w1", "c2st"),
            n_splits=1,
            seeds=(0, 1),
            write=False,
        )
    assert list(warnings.filters) == before
    assert warnings.showwarning is show


@pytest.mark.parametrize("order", ["first in, first out", "first in, last out"])
def test_p8_filters_that_others_change_in_overlapping_threads_are_put_back(order):
    steps = [threading.Event() for _ in range(3)]

    @guarded
    def foreign(inside, wait, done):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            inside.set()
            wait.wait()
        done.set()

    before = list(warnings.filters)

    @guarded
    def outer():
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            thread = threading.Thread(target=foreign, args=steps)
            thread.start()
            steps[0].wait()
            if order == "first in, last out":
                steps[1].set()
                thread.join()
        steps[1].set()
        thread.join()

    outer()
    assert list(warnings.filters) == before


def test_one_thread_may_change_filters_in_a_callback():
    def callback(*_):
        warnings.simplefilter("ignore", ResourceWarning)

    with warnings.catch_warnings():
        cf.fit(snapshots(), short(), callback=callback)
        assert warnings.filters[0][0] == "ignore"


def test_warnings_of_a_thread_are_collected_without_filters():
    before = list(warnings.filters)
    with _warn.collected() as messages:
        _warn.warn("coarse", errors.IntegrationWarning)
        assert list(warnings.filters) == before
        with pytest.warns(errors.InputWarning, match="elsewhere"):
            in_a_new_thread(lambda: _warn.warn("elsewhere", errors.InputWarning))
    assert messages == ["coarse"]


@pytest.mark.parametrize("depth", range(3))
def test_a_warning_names_the_line_of_the_caller(depth, asked):
    context = [nullcontext, torch.no_grad, partial(np.errstate, all="raise")][depth]
    with context(), pytest.warns(errors.IntegrationWarning) as said:
        cf.tl.push(asked[0], [0], time=49.0)
    assert [w.filename for w in said] == [__file__]


# Workers ------------------------------------------------------------------------------------------


class Dies:
    name = "dies"

    def __call__(self, rest, time, *, random_state):
        import os

        os._exit(1)


def test_a_worker_that_dies_is_an_error_that_says_what_to_do():
    with (
        joblib.parallel_config("loky", n_jobs=2),
        pytest.raises(errors.WorkerError, match="smaller n_jobs"),
    ):
        cf.bench.holdout(
            make_cells(), "hours", methods=Dies(), metrics="w1", n_splits=1, write=False
        )
