"""The self-test of an installation: it passes, and it notices what is broken."""

import json
import socket
import warnings
from dataclasses import FrozenInstanceError, replace
from functools import partial

import numpy as np
import pytest
import torch

import cellflow as cf
from cellflow import cli, couplings, metrics, paths, recipes, simulation
from cellflow.core._random import stream
from cellflow.errors import IntegrationWarning
from cellflow.evaluation import selftest as _selftest
from cellflow.evaluation.selftest import _ORACLES, Finding, _judged, selftest
from cellflow.model import flow

each = pytest.mark.parametrize("oracle", _ORACLES, ids=lambda oracle: oracle.__name__.lstrip("_"))


@each
@pytest.mark.parametrize("seed", [0, 1])
def test_every_oracle_passes(oracle, seed):
    found = _judged(oracle, stream(seed, 99), seed)
    assert found.passed, found
    assert 0 <= found.measured <= found.bound
    assert (found.error, found.seconds > 0) == ("", True)


# What is broken is noticed ------------------------------------------------------------------------


def wrong_distance(monkeypatch):
    right = metrics.wasserstein
    monkeypatch.setattr(metrics, "wasserstein", lambda *a, **kw: 1.05 * right(*a, **kw))


def wrong_cost(monkeypatch):
    right = couplings.Sparse.__call__
    monkeypatch.setattr(
        couplings.Sparse,
        "__call__",
        lambda self, x, y: replace(p := right(self, x, y), cost=1.01 * p.cost),
    )


def wrong_diffusion(monkeypatch):
    monkeypatch.setattr(couplings, "Entropic", lambda *, sigma: right(sigma=1.5 * sigma))


right = couplings.Entropic


def wrong_width(monkeypatch):
    std = paths.BrownianBridge.std
    monkeypatch.setattr(
        paths.BrownianBridge, "std", lambda self, t, pairs: 1.3 * std(self, t, pairs)
    )


def lower_order(monkeypatch):
    monkeypatch.setattr(
        simulation, "integrate", lambda *a, **kw: integrate(*a, **(kw | {"method": "midpoint"}))
    )


integrate = simulation.integrate


def less_noise(monkeypatch):
    monkeypatch.setattr(
        simulation,
        "integrate_sde",
        lambda *a, sigma, **kw: integrate_sde(*a, sigma=0.9 * sigma, **kw),
    )


integrate_sde = simulation.integrate_sde


def no_volume(monkeypatch):
    monkeypatch.setattr(
        simulation,
        "log_likelihood",
        lambda f, x, t, t0, p, **_: p(integrate(f, x, t, [t0], step=0.05).x[0]),
    )


def no_learning(monkeypatch):
    recipe = recipes.ot_cfm()
    monkeypatch.setattr(
        recipes, "ot_cfm", lambda: replace(recipe, training=replace(recipe.training, lr=1e-9))
    )


def bends_along_the_path(monkeypatch):
    monkeypatch.setattr(
        paths.overlap,
        "steady",
        lambda chain, offsets: offsets + 0.3 * (chain.pairs.x1 - chain.pairs.x0),
    )


def lost_digits(monkeypatch):
    state = flow.Flow.state

    def rounded(self):
        config, arrays = state(self)
        return config, {k: v.astype(np.float16).astype(v.dtype) for k, v in arrays.items()}

    monkeypatch.setattr(flow.Flow, "state", rounded)


SABOTAGE = {
    wrong_distance: {"_wasserstein_distance", "_exact_plan"},
    wrong_cost: {"_sparse_plan"},
    wrong_diffusion: {"_schroedinger_bridge"},
    wrong_width: {"_schroedinger_bridge", "_bridge_drift"},
    lower_order: {"_order_of_rk4"},
    less_noise: {"_diffusion"},
    no_volume: {"_likelihood"},
    no_learning: {"_small_fit"},
    bends_along_the_path: {"_uniform_motion"},
    lost_digits: {"_state_round_trip"},
}


def test_every_oracle_is_shown_to_fail():
    assert set().union(*SABOTAGE.values()) == {oracle.__name__ for oracle in _ORACLES}


@pytest.mark.parametrize(
    ("sabotage", "name"),
    [(s, name) for s, names in SABOTAGE.items() for name in sorted(names)],
    ids=lambda v: getattr(v, "__name__", v),
)
def test_what_is_broken_is_noticed(sabotage, name, monkeypatch):
    sabotage(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", IntegrationWarning
        )  # of a solver of lower order: that its steps are coarse
        found = _judged(getattr(_selftest, name), stream(0, 99), 0)
    assert not found.passed
    assert not found.error
    assert found.measured > found.bound


def crash(rng, seed):
    """A part that is missing. It says why."""
    msg = "no such solver"
    raise ImportError(msg)


def off(rng, seed):
    """A number that is off."""
    return 0.3, 0.2


def fine(rng, seed):
    """A number that agrees."""
    return abs(float(rng.random())) * 0.0, 0.0


def test_a_crash_is_a_finding_beside_the_others(monkeypatch):
    monkeypatch.setattr(_selftest, "_ORACLES", (crash, fine))
    crashed, other = selftest()
    assert (crashed.name, crashed.passed, crashed.error) == (
        "A part that is missing",
        False,
        "ImportError: no such solver",
    )
    assert np.isnan(crashed.measured)
    assert other.passed
    with pytest.raises(FrozenInstanceError):
        crashed.passed = True


# As it is called ----------------------------------------------------------------------------------


def test_the_public_call_prints_nothing_opens_nothing_and_leaves_no_trace(
    monkeypatch, capsys, tmp_path
):
    def refuse(*_, **__):
        pytest.fail("opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.chdir(tmp_path)
    before = torch.get_rng_state(), torch.get_num_threads()
    first, again = cf.selftest(random_state=4), cf.selftest(random_state=4)
    assert all(isinstance(f, Finding) and f.passed for f in first), first
    assert [f.measured for f in first] == [f.measured for f in again]
    assert len({f.name for f in first}) == len(first)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("oracles", "code"), [((fine,), 0), ((fine, off), 1), ((crash, fine), 1)])
def test_the_command_prints_a_table_and_its_code_is_the_verdict(oracles, code, monkeypatch, capsys):
    monkeypatch.setattr(_selftest, "_ORACLES", oracles)
    assert cli.main(["selftest"]) == code
    out, err = capsys.readouterr()
    rows = out.splitlines()
    assert rows[0].split() == ["measured", "bound", "seconds"]
    assert [row.split()[0] for row in rows[1:] if "Error" not in row] == [
        "ok" if o is fine else "FAILED" for o in oracles
    ]
    assert ("ImportError: no such solver" in out) is (crash in oracles)
    assert f"{oracles.count(fine)} of {len(oracles)} comparisons with closed forms passed" in err
    assert ("reinstall" in err) is (code == 1)
    assert cli.main(["selftest", "--json", "--seed", "3"]) == code
    said = json.loads(capsys.readouterr().out, parse_constant=partial(pytest.fail, "no JSON:"))
    assert (said["passed"], said["seed"], len(said["findings"])) == (code == 0, 3, len(oracles))
    assert [f["passed"] for f in said["findings"]] == [o is fine for o in oracles]
