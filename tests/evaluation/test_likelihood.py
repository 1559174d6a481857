"""The density of the dynamics on held-out cells, beside densities that know no dynamics."""

import numpy as np
import pytest
from cellflow.recipes import ot_cfm

from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError
from cellflow.evaluation import held_out_nll
from cellflow.evaluation.likelihood import split
from cellflow.training import Training


def drifting(n=400, seed=0):
    """A normal cloud that drifts and widens."""
    rng = np.random.default_rng(seed)
    times = (0.0, 1.0, 3.0)
    return Snapshots(
        tuple(Population(rng.normal(size=(n, 2)) * (1 + 0.2 * t) + [t, 0.0], t) for t in times)
    )


def test_near_the_entropy_and_equal_where_the_densities_are_shared():
    rows = held_out_nll(
        drifting(), recipe=ot_cfm(training=Training(steps=150, batch_size=128)), density="gmm"
    )
    assert [(r.time, r.method) for r in rows] == [
        (t, method) for t in (0.0, 1.0, 3.0) for method in ("ot-cfm", "gmm, each snapshot")
    ]
    assert rows[0].nll == pytest.approx(rows[1].nll, abs=1e-5)  # states are in single precision
    for row in rows:
        entropy = np.log(2 * np.pi * np.e) + 2 * np.log(1 + 0.2 * row.time)
        assert row.nll == pytest.approx(entropy, abs=0.35)
        assert row.per_dim == row.nll / 2
        assert 0 < row.standard_error < 0.3
        assert row.n == 80


def test_every_cell_is_on_one_side():
    snapshots = Snapshots(
        tuple(
            Population(p.x, p.time, np.random.default_rng(1).gamma(1.0, size=len(p)))
            for p in drifting(50).populations
        )
    )
    train, test = split(snapshots, 0.3, np.random.default_rng(0))
    for whole, kept, aside in zip(
        snapshots.populations, train.populations, test.populations, strict=True
    ):
        assert sorted([*kept.index, *aside.index]) == list(range(50))
        assert len(aside) == 15
        np.testing.assert_array_equal(kept.x, whole.x[kept.index])
        np.testing.assert_allclose(
            aside.weight, whole.weight[aside.index] / whole.weight[aside.index].sum()
        )


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "share=0"),
        (1.0, "sets 20 of the 20"),
        (0.001, "sets 0 of the 20"),
        (np.nan, "share=nan"),
    ],
)
def test_a_share_that_splits_nothing(share, words):
    with pytest.raises(InputError, match=words):
        held_out_nll(drifting(20), share=share)
