"""Laws of edited genes: values that are kept, paths with a closed form, what is compared."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from torch import nn

from cellflow import recipes
from cellflow.analysis.genes.arrivals import Arrived, seen_regions
from cellflow.analysis.genes.edit import Edit
from cellflow.analysis.genes.effects import effects
from cellflow.analysis.genes.first_order import first_order
from cellflow.analysis.genes.manifold import Manifold
from cellflow.analysis.genes.matching import Alike, rank_p
from cellflow.analysis.genes.perturbation import Perturbation, null_of, perturbed, supported
from cellflow.analysis.genes.seen import Seen
from cellflow.analysis.genes.sensitivity import end_classifier
from cellflow.analysis.trajectories import Noise
from cellflow.core.decoder import Decoder
from cellflow.core.population import Population, Snapshots
from cellflow.fields.dynamics import Dynamics
from cellflow.model.fitting import fit
from cellflow.training import Training
from known_flows import cells_of

QUICK = Training(steps=60, batch_size=128, record_every=20)
MATRIX = np.array([[0.2, -0.6, 0.1], [0.5, -0.2, 0.0], [0.0, 0.3, -0.1]])
#: Two genes that are no coordinates, and how the state follows them.
LOADINGS = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -1.0]])
RESPONSE = np.linalg.pinv(LOADINGS)


class Linear(nn.Module):
    """The field `A x`, or the rate `x_1 + x_2 + x_3`."""

    def __init__(self, matrix, rate=False):
        super().__init__()
        self.matrix = nn.Parameter(torch.as_tensor(matrix, dtype=torch.float32))
        self.rate = rate

    def forward(self, t, x):
        return 0.1 * x.sum(dim=1) if self.rate else x @ self.matrix.T


def snapshots(n=120):
    rng = np.random.default_rng(0)
    return Snapshots(
        tuple(Population(rng.normal(size=(n, 3)) * (1 + t) + t, float(t)) for t in range(3))
    )


@pytest.fixture(scope="module")
def fitted():
    recipe = recipes.uot_cfm(training=QUICK).with_score(training=QUICK)
    return fit(snapshots(), recipe, scale="each", n_members=2)


@pytest.fixture(scope="module")
def linear(fitted):
    """The flow `A x` with growth, in data coordinates."""
    frame = replace(fitted.frame, shift=np.zeros(3), scale=np.ones(3))
    heads = {"growth": Linear(np.eye(3), rate=True)}
    made = Dynamics(Linear(MATRIX), heads=heads, along={"growth": "log_weight"})
    return replace(fitted.members[0], dynamics=made, frame=frame)


@pytest.fixture(scope="module")
def cells():
    every = snapshots()
    x = np.concatenate([p.x for p in every.populations])
    labels = np.where(x[:, 0] > x[:, 0].mean(), "up", "down").astype(object)
    return cells_of(x, np.repeat([0.0, 1.0, 2.0], 120), labels)


def edit_of(x, shift=1.0):
    mean = np.array([0.3, -0.2])
    return Edit(mean, LOADINGS, RESPONSE, mean + x @ LOADINGS.T + shift)


def asked_of(flow, cells, *, hold=True, noise=None, n=40):
    return Perturbation(flow, *cells, np.arange(n), noise, hold)


def test_edited_genes_have_their_values():
    x = np.random.default_rng(1).normal(size=(30, 3))
    value = np.random.default_rng(2).normal(size=(30, 2))
    edit = replace(edit_of(x), value=value)
    np.testing.assert_allclose(edit.decoded(edit.applied(x)), value, atol=1e-12)
    own = replace(edit, value=edit.decoded(x))
    np.testing.assert_array_equal(own.applied(x), x)


@pytest.mark.parametrize("stochastic", [False, True])
def test_held_genes_keep_their_values_along_every_path(fitted, cells, stochastic):
    noise = Noise(2, 0, np.arange(360)) if stochastic else None
    asked = asked_of(fitted.members[0], cells, noise=noise)
    question = asked.question
    edit = edit_of(question.x)
    moved = asked.moved(asked.flow, question, edit, edit.applied(question.x))
    source = moved[0].source
    for x in moved[0].x:
        np.testing.assert_allclose(edit.decoded(x), edit.value[source], atol=2e-3)
    free = question.moved(asked.flow, edit.applied(question.x))[0].x[-1]
    assert np.abs(edit.decoded(free) - edit.value[source]).mean() > 0.1


@pytest.mark.parametrize("hold", [True, False])
def test_a_linear_system_ends_where_it_should(linear, cells, hold):
    asked = asked_of(linear, cells, hold=hold)
    question = asked.question
    edit = edit_of(question.x)
    start = edit.applied(question.x)
    moved = asked.moved(linear, question, edit, start)[0]
    left = np.eye(3) - RESPONSE @ LOADINGS if hold else np.eye(3)
    system = np.zeros((4, 4))
    system[:3, :3] = left @ MATRIX
    system[3, :3] = 0.1  # growth at the state that is passed
    end = np.column_stack([start, np.zeros(len(start))]) @ expm(2.0 * system).T
    np.testing.assert_allclose(moved.x[-1], end[:, :3], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(moved.log_weight[-1], end[:, 3], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("hold", [True, False])
def test_many_edits_in_one_call_are_those_one_by_one(fitted, cells, hold):
    flow = fitted.members[1]
    asked = asked_of(flow, cells, hold=hold, n=15)
    question = asked.question
    edits = [edit_of(question.x, shift) for shift in (0.5, -0.5)]
    edits.append(replace(edits[0], response=RESPONSE + np.outer([1.0, -2.0, -2.0], [0.1, 0.2])))
    assert np.allclose(LOADINGS @ edits[2].response, np.eye(2))
    for edit, together in zip(edits, asked.moved_each(flow, question, edits), strict=True):
        alone = asked.moved(flow, question, edit, edit.applied(question.x))
        np.testing.assert_allclose(together[0].x, alone[0].x, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(together[0].log_weight, alone[0].log_weight, atol=1e-4)
        np.testing.assert_array_equal(together[0].source, alone[0].source)


@pytest.mark.parametrize("stochastic", [False, True])
def test_a_gene_that_gets_its_own_value_changes_nothing(fitted, cells, stochastic):
    noise = Noise(3, 0, np.arange(360)) if stochastic else None
    asked = asked_of(fitted, cells, hold=False, noise=noise)
    found = perturbed(asked, edit_of(asked.question.x, 0.0))
    np.testing.assert_array_equal(found.share.value, 0.0)
    np.testing.assert_array_equal(found.log_mass.value, 0.0)
    np.testing.assert_array_equal(found.share.se, 0.0)
    np.testing.assert_array_equal(found.share.p, 1.0)


def test_a_transient_edit_is_the_flow_from_the_edited_start(fitted, cells):
    flow = fitted.members[0]
    asked = asked_of(flow, cells, hold=False)
    question = asked.question
    edit = edit_of(question.x)
    known = seen_regions(*cells)
    expected = question.arrived(question.moved(flow, edit.applied(question.x)), known)
    found = perturbed(asked, edit).after
    np.testing.assert_allclose(found, expected.composition, atol=1e-5)


def test_intervals_are_those_of_ensembles_alone(fitted, cells):
    edit = edit_of(asked_of(fitted, cells).question.x)
    sure = perturbed(asked_of(fitted, cells), edit)
    alone = perturbed(asked_of(fitted.members[0], cells), edit)
    assert np.isfinite(sure.share.se).all()
    assert np.isnan(alone.share.se).all()
    assert np.isnan(alone.share.p).all()
    assert np.isnan(alone.share.interval(0.9)).all()
    low, high = sure.share.interval(0.9)
    np.testing.assert_allclose((low + high) / 2, sure.share.value)


def arrived(seed, n=50):
    rng = np.random.default_rng(seed)
    return Arrived(rng.gamma(1.0, size=(n, 3)) / n)


def test_standard_errors_are_those_of_members_and_of_cells():
    before = [arrived(0), arrived(1)]
    after = [arrived(2), arrived(3)]
    found = effects(before, after, 1.0)
    differences = np.array(
        [b.composition - a.composition for a, b in zip(before, after, strict=True)]
    )
    np.testing.assert_allclose(found.share.value, differences.mean(axis=0))
    between = np.abs(differences[0] - differences[1]) / 2

    def without(i):
        kept = np.arange(50) != i
        parts = [[Arrived(a.mass[kept]) for a in side] for side in (before, after)]
        sums = [np.mean([a.composition for a in side], axis=0) for side in parts]
        return sums[1] - sums[0]

    jackknife = np.array([without(i) for i in range(50)])
    of_cells = np.sqrt(49 / 50 * ((jackknife - jackknife.mean(axis=0)) ** 2).sum(axis=0))
    np.testing.assert_allclose(found.share.se, np.hypot(between, of_cells), rtol=0.03)


def test_log_odds_have_no_pseudo_counts():
    none = Arrived(np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    some = Arrived(np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]))
    found = effects([none], [some])
    assert found.log_odds.value[0] == -np.inf
    assert found.log_odds.value[1] == np.inf
    assert np.isnan(effects([none], [none]).log_odds.value[:2]).all()
    np.testing.assert_allclose(effects([some], [some]).log_odds.value[:2], 0.0)
    lost = Arrived(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]))
    gone = effects([some], [lost])
    assert np.isnan(gone.share.value[:2]).all()
    assert gone.share.value[2] == 1.0


def test_held_genes_do_not_decide_where_a_cell_arrives(cells):
    every, targets = cells
    loadings = np.array([[0.0, 0.0, 1.0]])
    known = seen_regions(every, targets, loadings)[2.0]
    x = every.x[240:280]
    far = x + np.array([0.0, 0.0, 100.0])
    np.testing.assert_allclose(known.votes(far)[0], known.votes(x)[0], atol=1e-9)
    assert (seen_regions(every, targets)[2.0].votes(far)[0][:, -1] == 1.0).all()


def test_the_manifold_holds_its_own_cells_and_not_others(fitted, cells):
    manifold = Manifold(fitted, cells[0])
    rng = np.random.default_rng(9)
    assert manifold.share(rng.normal(size=(400, 3)), 0.0) > 0.9
    assert manifold.share(rng.normal(size=(400, 3)) + 20.0, 0.0) == 0.0
    asked = asked_of(fitted, cells)
    edit = edit_of(asked.question.x, 30.0)
    found = supported(asked, edit)
    np.testing.assert_array_equal(found.times, [0.0, 1.0, 2.0])
    assert found.after[0] == 0.0
    assert found.before[0] > 0.9


def test_genes_are_matched_and_sets_share_none():
    rng = np.random.default_rng(3)
    traits = np.column_stack([np.arange(30.0), np.arange(30.0) ** 2, np.zeros(30)])
    alike = Alike(traits[rng.permutation(30)])
    order = np.argsort(alike.traits[:, 0])
    np.testing.assert_array_equal(
        np.sort(alike.nearest(order[10], np.array([], dtype=int), 4)),
        np.sort(order[[8, 9, 11, 12]]),
    )
    sets = alike.sets(order[[3, 20]], 99)
    assert sets.shape == (14, 2)
    assert len(np.unique(sets)) == 28
    assert not np.isin(order[[3, 20]], sets).any()


def test_ranks_count_the_value_itself():
    random = np.arange(1.0, 100.0)[:, None] * np.array([1.0, -1.0, np.nan])
    np.testing.assert_allclose(rank_p(np.array([98.5, -0.5, 3.0]), random), [0.02, 1.0, 1.0])
    assert np.isnan(rank_p(np.array([np.nan]), np.ones((9, 1))))


def test_random_genes_are_edited_by_as_much(linear, cells):
    """A gene of which all others are copies is as good as any of them."""
    every, _ = cells
    loadings = np.tile([[1.0, 0.5, 0.0]], (6, 1)) * np.arange(1.0, 7.0)[:, None]
    names = np.array([f"g{i}" for i in range(6)])
    decoder = Decoder(np.zeros(6), loadings, names, "loadings", 1.0, np.ones(6))
    seen = Seen.among(decoder, loadings, every.x[:120], np.ones(120), "covariance")
    asked = asked_of(linear, cells)
    one = seen.only(np.array([2]))
    edit = one.edit(one.decoded(asked.question.x) - 1.0)
    found = null_of(asked, seen, np.array([2]), edit, 99)
    assert found.n == 5
    np.testing.assert_array_equal(found.share, 1.0)


@pytest.mark.parametrize("hold", [True, False])
def test_edits_have_their_effects_of_first_order(linear, cells, hold):
    """The first gene is changed by no other, so that nothing is neglected where it is held."""
    every, targets = cells
    small = np.where(np.arange(360) < 120, 0.01, 1.0)  # what a gene is held against
    every = replace(every, x=every.x * np.column_stack([small, np.ones((360, 2))]))
    matrix = np.array([[-0.6, 0.0, 0.0], [0.5, -0.2, 0.1], [0.3, 0.3, -0.1]])
    heads = {"growth": linear.dynamics.heads["growth"]}
    made = Dynamics(Linear(matrix), heads=heads, along={"growth": "log_weight"})
    flow = replace(linear, dynamics=made)
    names = np.array(["a", "b", "c"])
    decoder = Decoder(np.zeros(3), np.eye(3), names, "loadings", 1.0, np.ones(3))
    seen = Seen.among(decoder, np.eye(3), every.x[:120], np.ones(120), "alone")
    asked = asked_of(flow, (every, targets), hold=hold, n=60)
    question = asked.question
    fates = np.array([0, 1])
    found = first_order(asked, seen, lambda before: before + 0.02, fates)
    effect = found.log_odds.value.reshape(2, 3)[:, 0]
    first = np.eye(3)[:1]
    edit = Edit(np.zeros(1), first, first.T, question.x[:, :1] + 0.02)
    free = question.moved(flow, question.x)[0]
    edited = asked.moved(flow, question, edit, edit.applied(question.x))[0]
    end = edited.x[-1].copy()
    if hold:
        end[:, 0] = free.x[-1][:, 0]  # a held gene does not decide
    classifier = end_classifier(every, targets)

    def odds(x, log_weight):
        values = classifier.log_odds(torch.from_numpy(x), fates).numpy()
        mass = np.exp(log_weight)
        share = mass @ (1 / (1 + np.exp(-values))) / mass.sum()
        return np.log(share / (1 - share))

    exact = odds(end, edited.log_weight[-1]) - odds(free.x[-1], free.log_weight[-1])
    np.testing.assert_allclose(effect, exact, rtol=0.02)
    np.testing.assert_allclose(effect.sum(), 0.0, atol=1e-6)
    assert np.isnan(found.log_odds.se).all()
