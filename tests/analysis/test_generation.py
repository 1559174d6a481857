"""Generation: known mixtures come back, at every time and in every condition."""

import numpy as np
import pytest
from cellflow.recipes import fm, ot_cfm
from scipy.integrate import trapezoid

from cellflow.analysis.generation import compare, draw_conditions, generate, generate_with_log_prob
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError
from cellflow.metrics import c2st, wasserstein
from cellflow.model.fitting import fit
from cellflow.training import Training

TIMES = (0.0, 2.0, 3.0)


def mixture(n, time, kind, rng):
    """Two blobs, 30:70, which move with time; the condition turns the blobs' places around."""
    rare = rng.random(n) < 0.3
    centre = np.where(rare[:, None], [2.0, 0.0], [-1.0, 1.0]) * (1.0 if kind == 0 else -1.0)
    return centre + [0.5 * time, 0.0] + 0.3 * rng.standard_normal((n, 2))


def measured(n=300, seed=0):
    rng = np.random.default_rng(seed)
    parts = [
        (mixture(n, t, k, rng), np.full(n, t), np.tile(np.eye(2)[k], (n, 1)))
        for t in TIMES
        for k in (0, 1)
    ]
    x, time, context = (np.concatenate(side) for side in zip(*parts, strict=True))
    return Snapshots.from_arrays(x, time, context=context)


@pytest.fixture(scope="module")
def flow():
    return fit(measured(), fm(training=Training(steps=600, batch_size=256)))


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("kind", [0, 1])
def test_generated_cells_are_those_of_their_time_and_condition(flow, time, kind):
    made = generate(flow, time, n_obs=600, context=np.eye(2)[kind])
    truth = mixture(600, time, kind, np.random.default_rng(7))
    again = mixture(600, time, kind, np.random.default_rng(8))
    np.testing.assert_allclose(made.mean(axis=0), truth.mean(axis=0), atol=0.2)
    np.testing.assert_allclose(made.std(axis=0), truth.std(axis=0), rtol=0.2)
    # A classifier does not tell them from new cells of the truth, up to a tenth.
    assert c2st(made, truth).accuracy < 0.6
    # The floor is the distance between two draws of the truth itself.
    assert wasserstein(made, truth) < wasserstein(again, truth) + 0.2
    sign = 1.0 if kind == 0 else -1.0
    rare = sign * (made[:, 0] - 0.5 * time) > 0.5
    assert rare.mean() == pytest.approx(0.3, abs=0.08)


def test_between_snapshots_the_generator_interpolates(flow):
    made = generate(flow, 1.0, n_obs=400, context=np.array([1.0, 0.0]))
    truth = mixture(400, 1.0, 0, np.random.default_rng(7))
    np.testing.assert_allclose(made.mean(axis=0), truth.mean(axis=0), atol=0.25)


def test_without_conditions_the_mixture_of_all_comes_back():
    whole = measured(200)
    plain = Snapshots(tuple(Population(p.x, p.time, p.weight) for p in whole.populations))
    flow = fit(plain, fm(training=Training(steps=600, batch_size=256)))
    assert flow.n_context == 1
    made = generate(flow, 2.0, n_obs=400)
    truth = whole.at(2.0).x
    assert wasserstein(made, truth) < wasserstein(truth[::2], truth[1::2]) + 0.2


def test_one_snapshot_is_enough_to_generate_from():
    cells = measured(100).populations[0]
    flow = fit(
        Snapshots((Population(cells.x, 5.0),)), fm(training=Training(steps=300, batch_size=128))
    )
    made = generate(flow, 5.0, n_obs=200)
    np.testing.assert_allclose(made.mean(axis=0), cells.x.mean(axis=0), atol=0.3)


def test_snapshots_count_the_same_and_cells_by_weight():
    """A hundred times more cells at one time do not crowd out the other; a cell without weight is
    never learned.
    """
    rng = np.random.default_rng(0)
    few, many = rng.normal(size=(30, 1)) * 0.2, 5.0 + rng.normal(size=(1000, 1)) * 0.2
    few[:10] = 50.0
    weight = np.r_[np.zeros(10), np.ones(20)]
    flow = fit(
        Snapshots((Population(few, 0.0, weight), Population(many, 1.0))),
        fm(training=Training(steps=300)),
    )
    made = [generate(flow, t, n_obs=200) for t in (0.0, 1.0)]
    assert abs(np.median(made[0]) - few[10:].mean()) < 0.3
    assert abs(np.median(made[1]) - 5.0) < 0.3
    assert made[0].max() < 4.0


def test_seeds_decide_and_fewer_cells_are_the_first_of_more(flow):
    condition = np.array([1.0, 0.0])
    many, few = (generate(flow, 2.0, n_obs=n, context=condition, random_state=3) for n in (50, 7))
    np.testing.assert_array_equal(many[:7], few)
    assert not np.allclose(few, generate(flow, 2.0, n_obs=7, context=condition, random_state=4))
    rows = np.repeat(np.eye(2), [4, 3], axis=0)
    mixed = generate(flow, 2.0, n_obs=7, context=rows, random_state=3)
    np.testing.assert_array_equal(mixed[:4], few[:4])
    assert (np.abs(mixed[4:] - few[4:]) > 0).all()


def test_the_log_density_is_a_density_and_of_these_cells(flow):
    condition = np.array([1.0, 0.0])
    made, log_p = generate_with_log_prob(flow, 2.0, n_obs=100, context=condition, random_state=3)
    np.testing.assert_allclose(
        made, generate(flow, 2.0, n_obs=100, context=condition, random_state=3), atol=1e-4
    )
    # Against the density of the truth, which the generator has learned only roughly.
    rare = np.exp(-0.5 * ((made - [3.0, 0.0]) / 0.3) ** 2).prod(axis=1)
    common = np.exp(-0.5 * ((made - [0.0, 1.0]) / 0.3) ** 2).prod(axis=1)
    truth = np.log((0.3 * rare + 0.7 * common) / (2 * np.pi * 0.09) + 1e-12)
    assert np.median(np.abs(log_p - truth)) < 0.5
    # In one dimension the density of drawn cells, over where they lie, sums to one.
    cells = Population(5.0 + 3.0 * np.random.default_rng(0).standard_normal((200, 1)), 0.0)
    line = fit(Snapshots((cells,)), fm(training=Training(steps=200, batch_size=128)))
    x, log_p = generate_with_log_prob(line, 0.0, n_obs=4_000)
    order = np.argsort(x[:, 0])
    assert trapezoid(np.exp(log_p[order]), x[order, 0]) == pytest.approx(1.0, abs=0.01)


def test_conditions_are_drawn_as_they_were_measured():
    def snapshot(time, share):
        kinds = np.arange(100) < 100 * share
        return Population(np.zeros((100, 1)), time, context=np.column_stack([kinds, ~kinds]))

    snapshots = Snapshots((snapshot(0.0, 0.1), snapshot(1.0, 0.5), snapshot(3.0, 0.9)))
    for time, share in [(0.0, 0.1), (1.0, 0.5), (2.0, 0.7), (9.0, 0.9), (1.5, 0.6)]:
        drawn = draw_conditions(snapshots, time, 4_000)
        assert drawn.shape == (4_000, 2)
        assert drawn[:, 0].mean() == pytest.approx(share, abs=0.03)


def test_copies_are_told_from_new_cells():
    """A generator that returns its training cells, a little blurred or not, fools the classifier
    but not the novelty.
    """
    rng = np.random.default_rng(0)
    real, new = rng.standard_normal((2, 200, 5))
    copied = real[rng.integers(200, size=150)]
    for made, copies in [
        (copied, True),
        (copied + 0.01 * rng.standard_normal((150, 5)), True),
        (new, False),
    ]:
        found = compare(made, real)
        assert found.many_copies(len(made)) is copies
        assert (found.copies > 0.95) is copies
        assert (found.nearer > 0.9) is copies
        assert found.c2st < 0.6
    assert compare(new + 5.0, real).nearer < 0.1
    assert compare(new[:19], real) is None
    assert compare(new, np.repeat(real[:5], 10, axis=0)) is None
    # Cells that weigh nothing are no reference.
    assert compare(new, real, weight=np.r_[np.ones(19), np.zeros(181)]) is None


def test_what_cannot_be_generated(flow):
    with pytest.raises(
        InputError, match=r"context has shape \(0,\); the flow was fitted with 2 features"
    ):
        generate(flow, 2.0, n_obs=3)
    with pytest.raises(InputError, match=r"context has shape \(4, 2\)"):
        generate(flow, 2.0, n_obs=3, context=np.zeros((4, 2)))
    with pytest.raises(InputError, match="n_obs=0"):
        generate(flow, 2.0, n_obs=0, context=np.zeros(2))
    with pytest.raises(InputError, match="time=nan"):
        generate(flow, np.nan, n_obs=3, context=np.zeros(2))
    moving = fit(
        Snapshots.from_arrays(np.arange(8.0)[:, None], np.repeat([0.0, 1.0], 4)),
        ot_cfm(training=Training(steps=2)),
    )
    with pytest.raises(
        InputError, match=r"method 'ot-cfm'\) moves cells between snapshots; fit with recipes\.fm"
    ):
        generate(moving, 0.5, n_obs=3)
