"""A coupling that loses mass goes through everything that uses plans."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from cellflow.core.plans import EdgePlan
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Minibatch
from cellflow.metrics import plan_transitions
from cellflow.model.fitting import couple, fit
from cellflow.model.recipes import curved_cfm, ot_cfm
from cellflow.paths.chain import chained
from cellflow.training import Training

FEW = Training(steps=3)


@dataclass(frozen=True)
class Losing:
    """The first quarter of the source cells dies; the others keep their own number."""

    def __call__(self, source, target):
        n = min(len(source), len(target))
        alive = np.arange(n // 4, n)
        mass = source.weight[alive]
        shape = (len(source), len(target))
        return EdgePlan(shape, alive, alive, mass, 1.0, total=float(mass.sum()))


def snapshots(context=False):
    rng = np.random.default_rng(0)
    feature = np.repeat([[0.0], [1.0]], 40, axis=0) if context else None
    return Snapshots(
        tuple(Population(rng.normal(size=(80, 2)) + k, float(k), context=feature) for k in range(3))
    )


@pytest.mark.parametrize("method", [ot_cfm, curved_cfm])
@pytest.mark.parametrize("context", [False, True], ids=["alone", "conditions"])
def test_a_fit_draws_no_pair_that_has_no_mass(method, context):
    cells = snapshots(context)
    recipe = replace(method(), coupling=Losing(), training=FEW)
    plans = couple(cells, recipe)
    for plan in plans.plans:
        assert plan.total == pytest.approx(0.75)
        i, _ = plan.sample(1000, np.random.default_rng(0))
        assert (plan.row_mass[i] > 0).all()
    chains, tables = chained(cells, plans.plans)
    assert all(len(chain.pairs.x0) for chain in chains)
    for table, plan in zip(tables, plans.plans, strict=True):
        assert table.plan.total == pytest.approx(0.75)
        np.testing.assert_allclose(table.plan.row_mass[plan.row_mass == 0], 0.0)
    flow = fit(cells, recipe, plans=plans)
    assert all(torch.isfinite(p).all() for p in flow.dynamics.parameters())


def test_minibatches_keep_the_mean_mass():
    source, target, _ = snapshots().populations
    plan = Minibatch(inner=Losing(), batch_size=16, n_batches=5)(source, target)
    assert plan.total == pytest.approx(0.75)


def test_mass_between_types_is_that_of_the_cells_that_go_somewhere():
    source, target, _ = snapshots().populations
    label = np.where(np.arange(80) < 20, "dying", "other")
    found = plan_transitions(Losing()(source, target), label, label)
    assert found.mass.sum() == pytest.approx(1.0)
    assert found.before[found.labels.index("dying")] == 0.0
