"""Laws of fates, on dynamics whose paths are known."""

import numpy as np
import pytest

from cellflow.analysis.fates import Votes, fates, joined
from cellflow.analysis.trajectories import Noise
from cellflow.errors import InputError
from cellflow.synthetic import Bifurcation, TwoWell
from known_flows import Known, cells_of


def pitchfork(x, t0, t):
    y, dt = x[:, 1], t - t0
    return np.stack(
        [x[:, 0] + dt, y * np.exp(1.5 * dt) / np.sqrt(1 + y**2 * np.expm1(3 * dt) / 1.5)], axis=1
    )


def branches(seed=0, n=600):
    snapshots = Bifurcation().sample(n, [0.0, 1.0, 2.0, 4.0], np.random.default_rng(seed))
    x = np.concatenate([p.x for p in snapshots.populations])
    return x, np.repeat(snapshots.times, n), np.where(x[:, 1] > 0, "up", "down").astype(object)


def test_a_bifurcation_has_its_known_fates():
    x, time, labels = branches()
    cells, targets = cells_of(x, time, labels)
    found = fates(Known(pitchfork), cells, targets)
    np.testing.assert_allclose(found.probability.sum(axis=1), 1.0, atol=1e-12)
    early = time < 4
    decided = early & (found.probability[:, 2] == 0)
    assert decided.sum() > 0.97 * early.sum()
    truth = Bifurcation().fates(0.0, x)
    assert np.abs(found.probability[decided, :2] - truth[decided]).mean() < 0.01


def walks(x, t0, t, z):
    """Brownian paths along the second axis, drawn to +-1 according to their sign at time 1."""
    end = x[:, 1] + np.sqrt(max(1.0 - t0, 0.0)) * z[:, 0]
    share = (t - t0) / (1.0 - t0)
    return np.stack([x[:, 0], x[:, 1] + share * (np.sign(end) - x[:, 1])], axis=1)


def diffusing(n=400, seed=1):
    rng = np.random.default_rng(seed)
    early = np.stack([rng.normal(size=n), rng.normal(size=n)], axis=1)
    late = np.stack([rng.normal(size=n), rng.choice([-1.0, 1.0], n)], axis=1)
    x, time = np.concatenate([early, late]), np.repeat([0.0, 1.0], n)
    return x, time, np.where(x[:, 1] > 0, "up", "down").astype(object)


def test_diffusions_have_their_known_probabilities():
    """The expected calibration error is below 0.03, and the standard error is honest."""
    from scipy.stats import norm

    x, time, labels = diffusing()
    cells, targets = cells_of(x, time, labels)
    found = fates(Known(None, noise=walks), cells, targets, noise=Noise(40, 0, np.arange(len(x))))
    # Others end far from all cells along the first axis, which does not change.
    known = (time == 0) & (found.probability[:, 2] == 0)
    assert known.sum() > 0.95 * (time == 0).sum()
    truth = norm.cdf(x[known, 1])
    p = found.probability[known, 1]
    assert np.abs(p.mean() - truth.mean()) < 0.01
    bins = np.digitize(p, np.linspace(0, 1, 11)[1:-1])
    gaps = [abs((p - truth)[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    assert sum(gaps) < 0.03
    inside = (truth > 0.2) & (truth < 0.8)
    z = (p - truth)[inside] / found.sd[known, 1][inside]
    assert 0.85 < z.std() < 1.2


def test_two_symmetric_wells_have_one_half():
    well, rng = TwoWell(), np.random.default_rng(0)
    late = well.sample(800, [0.0, 2.0], rng)[1].x
    x = np.concatenate([np.stack([rng.normal(size=50) / 2, np.zeros(50)], axis=1), late])
    labels = np.where(x[:, 1] > 0, "up", "down").astype(object)
    cells, targets = cells_of(x, np.repeat([0.0, 1.0], [50, 800]), labels)
    found = fates(Known(None, noise=walks), cells, targets, noise=Noise(40, 0, np.arange(850)))
    p = found.probability[:50]
    assert p[:, 1].sum() / p[:, :2].sum() == pytest.approx(0.5, abs=4 * 0.5 / 2000**0.5)


def still(x, t0, t):
    return x.copy()


def test_mass_is_undecided_where_no_labelled_cell_lives():
    rng = np.random.default_rng(0)
    late = rng.normal(size=(300, 2)) + np.repeat([[0, 0], [10, 0], [20, 0]], 100, axis=0)
    labels = np.repeat(["a", "b", None], 100).astype(object)
    starts = np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0], [0.0, 50.0], [5.0, 0.0]])
    x = np.concatenate([starts, late])
    time = np.repeat([0.0, 1.0], [5, 300])
    cells, targets = cells_of(x, time, np.concatenate([np.full(5, None), labels]))
    found = fates(Known(still), cells, targets)
    expected = np.eye(3)[[0, 1, 2, 2, 2]]
    np.testing.assert_allclose(found.probability[:5], expected, atol=1e-12)
    assert found.probability[205:, 2].min() > 0.95  # unlabelled cells among themselves
    np.testing.assert_array_equal(found.probability[5:205, :2], np.eye(2)[np.repeat([0, 1], 100)])


def test_one_in_a_hundred_cells_of_the_population_itself_is_undecided():
    rng = np.random.default_rng(0)
    votes = Votes.fitted(rng.normal(size=(2000, 5)), np.zeros(2000, int), 1)
    shares, _ = votes(rng.normal(size=(4000, 5)))
    assert shares[:, 1].mean() == pytest.approx(0.01, abs=0.008)


def test_growth_weights_the_paths_of_a_cell():
    """Paths that end up grow by a factor three: p becomes 3 p / (3 p + 1 - p)."""
    x, time, labels = diffusing()
    plain, targets = cells_of(x, time, labels)
    keys = Noise(30, 0, np.arange(len(x)))
    before = fates(Known(None, noise=walks), plain, targets, noise=keys)

    class Growing(Known):
        def _moved(self, x, t0, times, path):
            moved = super()._moved(x, t0, times, path)
            up = np.log(3.0) * (moved.x[-1, :, 1] > 0)
            moved.along["log_weight"] = np.outer(moved.times - t0, up)
            return moved

    after = fates(Growing(None, noise=walks), plain, targets, noise=keys)
    p, q = before.probability[:400, :2], after.probability[:400, :2]
    sure = (before.probability[:400, 2] == 0) & (q.min(axis=1) >= 0)
    expected = 3 * p[sure, 1] / (3 * p[sure, 1] + p[sure, 0])
    np.testing.assert_allclose(q[sure, 1], expected, atol=1e-9)
    np.testing.assert_allclose(after.mass[:400][sure], 1 + 2 * p[sure, 1], atol=1e-9)
    assert (before.mass == 1).all()


def test_names_and_order_do_not_matter():
    x, time, labels = branches(n=200)
    cells, targets = cells_of(x, time, labels)
    found = fates(Known(pitchfork), cells, targets)
    renamed, other = cells_of(x, time, np.where(labels == "up", "a", "b").astype(object))
    again = fates(Known(pitchfork), renamed, other)
    np.testing.assert_array_equal(again.probability[:, [1, 0, 2]], found.probability)
    order = np.random.default_rng(0).permutation(len(x))
    moved, shuffled = cells_of(x[order], time[order], labels[order])
    mixed = fates(Known(pitchfork), moved, shuffled)
    np.testing.assert_allclose(mixed.probability, found.probability[order], atol=1e-9)
    np.testing.assert_allclose(mixed.commitment, found.commitment[order], atol=1e-6)


def test_threads_and_parts_change_nothing(monkeypatch):
    x, time, labels = diffusing(200)
    cells, targets = cells_of(x, time, labels)
    noise = Noise(5, 3, np.arange(len(x)))
    one = fates(Known(None, noise=walks), cells, targets, noise=noise)
    two = fates(Known(None, noise=walks), cells, targets, noise=noise, threads=2)
    for name in ("probability", "sd", "mass", "commitment"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def parting(x, t0, t):
    """Cells stay together until time 2, and part by the sign of their third coordinate."""
    y = np.sign(x[:, 2]) * max(0.0, 20.0 * (t - 2.0))
    return np.stack([x[:, 0], y, x[:, 2]], axis=1)


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_commitment_of_a_deterministic_parting(start):
    rng = np.random.default_rng(0)
    n = 1500
    hidden = rng.choice([-1e-6, 1e-6], size=2 * n)
    early = np.stack([rng.uniform(size=2 * n), np.zeros(2 * n), hidden], axis=1)
    early[n:] = parting(early[n:], 0.0, 4.0)
    x, time = early, np.repeat([start, 4.0], n)
    labels = np.where(x[:, 2] > 0, "up", "down").astype(object)
    cells, targets = cells_of(x, time, labels)
    found = fates(Known(parting, span=(start, 4.0)), cells, targets)
    known = found.commitment[:n]
    # On a grid of steps of at most 0.2, the votes change between the last time before and the
    # first after the parting.
    assert (np.isfinite(known)).mean() > 0.98
    assert np.nanmedian(known) == pytest.approx(2.0 - start, abs=0.2)
    assert np.nanpercentile(known, 95) < 2.0 - start + 0.25
    np.testing.assert_array_equal(found.commitment[n:], 0.0)


def test_a_fate_that_is_decided_is_committed_at_once():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(100, 2)), rng.normal(size=(100, 2)) + 30])
    x, time = np.concatenate([x, x]), np.repeat([0.0, 1.0], 200)
    labels = np.tile(np.repeat(["a", "b"], 100), 2).astype(object)
    found = fates(Known(still), *cells_of(x, time, labels))
    decided = found.probability[:200, 2] == 0
    np.testing.assert_array_equal(found.commitment[:200][decided], 0.0)
    assert np.isnan(found.commitment[:200][~decided]).all()


def test_paths_are_absorbed_by_groups_that_are_terminal_earlier():
    """Half of the cells pass through group m at time 1, and all go on to end."""
    rng = np.random.default_rng(0)

    def path(x, t0, t):
        # Cells of negative x stand at (0, 10 t), others at (30, 10 t).
        return x + np.array([0.0, 10.0 * (t - t0)])

    side = np.repeat([0.0, 30.0], 100)
    parts, labels = [], []
    for t, names in ((0.0, ("s", "s")), (1.0, ("m", "p")), (2.0, ("e", "e"))):
        parts.append(rng.normal(size=(200, 2)) + np.stack([side, np.full(200, 10 * t)], axis=1))
        labels += list(np.repeat(names, 100))
    x, time = np.concatenate(parts), np.repeat([0.0, 1.0, 2.0], 200)
    labels = np.array(labels, dtype=object)
    free = fates(Known(path, span=(0.0, 2.0)), *cells_of(x, time, labels))
    assert free.probability[time < 2, 0].mean() > 0.95
    caught, targets = cells_of(x, time, labels, absorb={"m": [1.0]})
    assert targets.names == ("e", "m")
    found = fates(Known(path, span=(0.0, 2.0)), caught, targets)
    assert found.probability[:100, 1].mean() > 0.97
    assert found.probability[100:200, 1].max() == 0.0
    np.testing.assert_array_equal(found.probability[200:300, 1], 1.0)  # its own cells
    assert found.probability[300:400, 0].mean() > 0.95
    absorbed = found.probability[:100, 1] == 1
    assert (found.commitment[:100][absorbed] <= 1.0 + 1e-9).all()


def test_a_group_that_absorbs_at_the_first_time_only_catches_its_own_cells():
    x, time, labels = branches(n=100)
    labels[:10] = "start"
    cells, targets = cells_of(x, time, labels, absorb={"start": [0.0]})
    found = fates(Known(pitchfork), cells, targets)
    column = targets.names.index("start")
    np.testing.assert_array_equal(found.probability[:, column], np.arange(len(x)) < 10)


def test_ancestors_are_found_backward():
    x, time, _ = branches(n=300)
    # At time 1 the sign of y says which branch a cell is on.
    labels = np.where(x[:, 1] > 0, "up", "down").astype(object)
    found = fates(Known(pitchfork), *cells_of(x, time, labels, at=1.0, backward=True))
    assert (~found.reached).sum() == 300
    assert (found.probability[:300, 2] == 1).all()
    later = (time > 1) & (found.probability[:, 2] == 0)
    assert later.sum() > 0.9 * (time > 1).sum()
    truth = Bifurcation().fates(0.0, x)
    assert np.abs(found.probability[later, :2] - truth[later]).mean() < 0.05


def test_one_fate_and_a_group_of_one_cell():
    x, time, labels = branches(n=100)
    labels[:] = "only"
    found = fates(Known(pitchfork), *cells_of(x, time, labels))
    assert set(np.unique(found.probability)) == {0.0, 1.0}
    assert found.entropy.max() == 0.0
    labels[-1] = "single"
    found = fates(Known(pitchfork), *cells_of(x, time, labels))
    assert found.probability[-1].tolist() == [0.0, 1.0, 0.0]
    np.testing.assert_allclose(found.probability.sum(axis=1), 1.0)
    assert found.probability[:-1, 1].mean() < 0.05


def test_an_ensemble_is_the_mean_of_its_members():
    x, time, labels = branches(n=100)
    cells, targets = cells_of(x, time, labels)
    one = fates(Known(pitchfork), cells, targets)
    two = fates(Known(lambda x, t0, t: pitchfork(x + [0.0, 0.05], t0, t)), cells, targets)
    both = joined([one, two])
    np.testing.assert_allclose(both.probability, (one.probability + two.probability) / 2)
    np.testing.assert_allclose(
        both.sd, np.abs(one.probability - two.probability) / 2**0.5, atol=1e-12
    )
    assert joined([one]) is one


def test_a_time_without_cells_is_an_error():
    x, time, labels = branches(n=20)
    cells, targets = cells_of(x, time, labels)
    object.__setattr__(targets, "at", 3.0)
    with pytest.raises(InputError, match=r"measured at time 3; cells are of \[0\.0, 1\.0"):
        fates(Known(pitchfork), cells, targets)


@pytest.mark.parametrize("n", [1, 2, 4, 60])
def test_votes_of_few_cells(n):
    rng = np.random.default_rng(0)
    x, code = rng.normal(size=(n, 2)), np.arange(n) % 2
    votes = Votes.fitted(x, code, 2)
    shares, worth = votes(x)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert (worth >= 1 - 1e-9).all()
    assert votes.k <= max(n - 1, 1)


def test_more_neighbours_are_taken_where_labels_mix():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 2))
    mixed = Votes.fitted(x, rng.integers(2, size=2000), 2)
    checkered = Votes.fitted(x, ((2 * x).round().astype(int).sum(axis=1) % 2), 2)
    assert mixed.k == 40
    assert checkered.k < 40
