"""Ensembles: members, their mean, files, and intervals that hold what they promise."""

import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from torch import nn

from cellflow import Ensemble, Flow, recipes
from cellflow.core._spread import spread
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError, ModelFileError
from cellflow.fields import MLP
from cellflow.model.fitting import couple, fit
from cellflow.training import Training

QUICK = Training(steps=60, batch_size=128, record_every=20)


def _snapshots(n=150, seed=0, n_times=3, **beside):
    """A normal population that moves by (1, 1) per unit of time."""
    rng = np.random.default_rng(seed)
    return Snapshots(
        tuple(Population(rng.normal(size=(n, 2)) + t, float(t), **beside) for t in range(n_times))
    )


@pytest.fixture(scope="module")
def ensemble():
    return fit(_snapshots(), recipes.ot_cfm(training=QUICK), n_members=4)


def test_answers_are_means_over_the_members(ensemble):
    assert isinstance(ensemble, Ensemble)
    assert len(ensemble.members) == 4
    x = np.random.default_rng(1).normal(size=(7, 2))
    each = np.stack([member.velocity(x, 0.7) for member in ensemble.members])
    np.testing.assert_allclose(ensemble.velocity(x, 0.7), each.mean(axis=0), atol=1e-5)
    assert each.std(axis=0).min() > 0
    assert all(type(member) is Flow for member in ensemble.members)


def test_one_seed_one_result(ensemble):
    again = fit(_snapshots(), recipes.ot_cfm(training=QUICK), n_members=4)
    x = np.zeros((1, 2))
    np.testing.assert_array_equal(again.velocity(x, 1.0), ensemble.velocity(x, 1.0))


@pytest.mark.parametrize(
    "recipe",
    [
        recipes.curved_cfm(training=QUICK),
        recipes.sf2m(training=QUICK),
        recipes.uot_cfm(training=QUICK),
        recipes.fm(training=QUICK),
        recipes.ot_cfm(training=QUICK).with_score(training=QUICK),
    ],
    ids=lambda recipe: recipe.name,
)
def test_every_method_makes_an_ensemble(recipe):
    snapshots = _snapshots(40)
    found = fit(snapshots, recipe, n_members=3)
    x = snapshots[0].x[:5]
    for name in found.heads:
        each = np.stack([member.head(name, x, 0.5, **_context(found)) for member in found.members])
        mean = found.head(name, x, 0.5, **_context(found))
        np.testing.assert_allclose(mean, each.mean(axis=0), atol=1e-4 * np.abs(each).max())
    if "score" in found.heads:
        assert found.sample(5, 1.0, n_steps=1).shape == (5, 2)
        assert found.diffuse(x, 0.0, [1.0]).x.shape == (1, 5, 2)
        assert found.ladder == found.members[0].ladder


def _context(flow):
    return {"context": np.zeros(flow.n_context)} if flow.n_context else {}


def test_conditions_and_samples():
    context = np.repeat([[1.0, 0.0], [0.0, 1.0]], 40, axis=0)
    snapshots = _snapshots(80, context=context, sample=np.arange(80) % 4)
    found = fit(snapshots, recipes.ot_cfm(training=QUICK), n_members=2)
    assert found.velocity(snapshots[0].x, 0.0, context=context).shape == (80, 2)


class Doubled(nn.Module):
    """A network of a user."""

    def __init__(self, dim, clock):
        super().__init__()
        self.map = nn.Linear(dim, dim)

    def forward(self, t, x):
        return 2.0 * self.map(x)


@pytest.mark.parametrize("field", [partial(MLP, width=8), Doubled])
def test_files_bring_back_the_members(field, tmp_path):
    found = fit(_snapshots(40), recipes.ot_cfm(field=field, training=QUICK), n_members=3)
    found.save(tmp_path / "flow")
    own = {"Doubled": Doubled}
    for kind in (Flow, Ensemble):
        back = kind.load(tmp_path / "flow", fields=own)
        assert isinstance(back, Ensemble)
        x = np.ones((3, 2))
        np.testing.assert_array_equal(back.velocity(x, 0.5), found.velocity(x, 0.5))
        for ours, theirs in zip(found.members, back.members, strict=True):
            np.testing.assert_array_equal(ours.velocity(x, 0.5), theirs.velocity(x, 0.5))
    config, arrays = found.state()
    with pytest.raises(ModelFileError):
        Flow.from_state(config | {"n_members": 2}, arrays, fields=own)
    with pytest.raises(ModelFileError, match="n_members"):
        Flow.from_state(config | {"n_members": 10**9}, arrays, fields=own)


class OwnScore(nn.Module):
    """A score network of a user."""

    def __init__(self, dim, clock, *, out_dim):
        super().__init__()
        self.map = nn.Linear(dim, out_dim)

    def forward(self, t, x):
        return self.map(x)


@pytest.mark.parametrize("kind", ["ours", "own"])
def test_files_bring_back_scores(kind, tmp_path):
    recipe = recipes.ot_cfm(training=QUICK).with_score(training=QUICK)
    if kind == "own":
        head = replace(recipe.heads["score"], network=OwnScore)
        recipe = recipe.with_head("score", head)
    found = fit(_snapshots(40), recipe, n_members=3)
    found.save(tmp_path / "flow")
    back = Flow.load(tmp_path / "flow", fields={"OwnScore": OwnScore})
    x = np.ones((3, 2))
    for ours, theirs in zip((found, *found.members), (back, *back.members), strict=True):
        np.testing.assert_array_equal(ours.score(x, 0.5), theirs.score(x, 0.5))
    assert back.ladder == found.ladder
    config, arrays = found.state()
    spoilt = {k: v[::-1] if k.endswith("knots") else v for k, v in arrays.items()}
    with pytest.raises(ModelFileError, match="knots"):
        Flow.from_state(config, spoilt, fields={"OwnScore": OwnScore})


def test_a_single_flow_is_no_ensemble(tmp_path):
    flow = fit(_snapshots(40), recipes.ot_cfm(training=QUICK))
    assert flow.members == ()
    flow.save(tmp_path / "flow")
    with pytest.raises(ModelFileError, match="single flow"):
        Ensemble.load(tmp_path / "flow")


def test_answers_in_a_new_process(ensemble, tmp_path):
    ensemble.save(tmp_path / "flow")
    code = (
        "import numpy as np, sys; from cellflow import Flow;"
        "flow = Flow.load(sys.argv[1]); x = np.ones((2, 2));"
        "print(*[m.velocity(x, 1.0).sum() for m in flow.members], flow.velocity(x, 1.0).sum())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "flow")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    x = np.ones((2, 2))
    expected = [m.velocity(x, 1.0).sum() for m in ensemble.members]
    np.testing.assert_allclose(
        np.array(printed.split(), dtype=float), [*expected, ensemble.velocity(x, 1.0).sum()],
        rtol=1e-5,
    )  # fmt: skip


@pytest.mark.parametrize("n_members", [0, -1, 2.5, "five", True])
def test_a_number_of_members_is_a_count(n_members):
    with pytest.raises(InputError, match="n_members"):
        fit(_snapshots(20), recipes.ot_cfm(training=QUICK), n_members=n_members)


def test_members_share_no_plans():
    snapshots = _snapshots(20)
    recipe = recipes.ot_cfm(training=QUICK)
    with pytest.raises(InputError, match="plans of its own"):
        fit(snapshots, recipe, plans=couple(snapshots, recipe), n_members=2)


def test_intervals_of_the_mean_velocity_cover_it():
    """The standard error between members is that of the velocity of the population.

    Its truth is known: two means of 50 cells, apart by one unit of time.
    """
    recipe = recipes.ot_cfm(training=replace(QUICK, steps=250, lr=1e-2))
    errors = []
    for seed in range(12):
        snapshots = _snapshots(50, seed, n_times=2)
        found = fit(snapshots, recipe, n_members=6, random_state=seed)
        x = np.concatenate([snapshots[0].x, snapshots[1].x - 1.0]) + 0.5
        each = spread(np.stack([m.velocity(x, 0.5).mean(axis=0) for m in found.members]))
        errors.append([(each.mean - 1.0), each.se])
    off, se = np.moveaxis(np.array(errors), 1, 0)
    exact = np.sqrt(2 / 50)
    assert np.sqrt((off**2).mean()) == pytest.approx(exact, rel=0.4)
    assert np.sqrt((se**2).mean()) == pytest.approx(exact, rel=0.4)
