"""Mass between cell types over an interval: closed forms, and when it is too much."""

import numpy as np
import pytest

from cellflow.analysis.celltypes import on_types, type_moves, types_warning
from cellflow.core.population import Population
from cellflow.couplings import Exact, Independent


def clusters(counts, time, seed, start=0, **kwargs):
    """Cells around distant points; their rows of origin begin at `start`."""
    rng = np.random.default_rng(seed)
    kind = np.repeat(np.arange(len(counts)), counts)
    x = 0.5 * rng.normal(size=(len(kind), 2))
    x[:, 0] += 30.0 * kind
    return Population(x, time, index=start + np.arange(len(kind)), **kwargs), [
        f"type{k}" for k in kind
    ]


def moves(before, after, *, coupling=None, lineage=None, **kwargs):
    (source, early), (target, late) = (
        clusters(before, 0.0, 0),
        clusters(after, 1.0, 1, start=sum(before)),
    )
    plan = (coupling or Exact())(source, target)
    labels = np.array(early + late, dtype=object)
    return type_moves(source, target, plan, labels, lineage=lineage, **kwargs)


@pytest.mark.parametrize(
    ("before", "after", "lineage", "moved", "least", "unmoved", "excessive"),
    [
        # Shares stay: nothing moves.
        ((50, 50), (50, 50), None, 0.0, 0.0, 0.0, False),
        ((100, 0), (60, 0), None, 0.0, 0.0, 0.0, False),
        # Shares change: exactly half the L1 difference, although every cell is next to its own
        # type.
        ((90, 10), (50, 50), None, 0.4, 0.4, 0.0, True),
        ((30, 70), (60, 40), None, 0.3, 0.3, 0.0, True),
        ((50, 50), (40, 60), None, 0.1, 0.1, 0.0, True),
        ((50, 50), (99, 1), None, 0.49, 0.49, 0.0, True),
        # By less than chance, or than what is worth a word.
        ((50, 50), (49, 51), None, 0.01, 0.01, 0.0, False),
        ((50, 50), (48, 52), None, 0.02, 0.02, 0.0, False),
        # Into a descendant.
        ((90, 10), (50, 50), {"type0": ["type1"]}, 0.0, 0.0, 0.0, False),
        ((90, 10), (50, 50), {"type1": ["type0"]}, 0.4, 0.4, 0.0, True),
        ((100, 0), (0, 100), {"type0": ["type1"]}, 0.0, 0.0, 0.0, False),
        # A type that vanishes has to go somewhere, and unmoved cells are nearest to another type as
        # well.
        ((100, 0), (0, 100), None, 1.0, 1.0, 1.0, False),
    ],
)
def test_two_separated_types(before, after, lineage, moved, least, unmoved, excessive):
    found = moves(before, after, lineage=lineage)
    assert found.by_plan == pytest.approx(moved, abs=1e-9)
    assert found.by_shares == pytest.approx(least, abs=1e-9)
    assert found.by_staying == pytest.approx(unmoved, abs=1e-9)
    assert found.is_excessive is excessive
    assert np.isnan(found.by_push)
    said = " ".join(on_types([found]))
    assert ("more than if no cell had moved" in said.replace("no more", "")) is excessive
    assert (types_warning([found]) is not None) is excessive
    assert f"{moved:.1%}" in said


def test_the_numbers_are_in_the_warning():
    warned = types_warning([moves((90, 10), (50, 50))])
    assert "Between times 0 and 1, the plan moves 40.0% of the mass to another type" in warned
    assert "force it to move 40.0%" in warned
    assert "0.0% are nearest to such a type" in warned
    within = types_warning([moves((90, 10), (50, 50), lineage={"type1": "type0"})])
    assert "moves 40.0% of the mass out of its lineage" in within
    assert types_warning([None, moves((50, 50), (50, 50))]) is None


def test_a_plan_without_regard_to_place_moves_more_than_its_shares_need():
    found = moves((50, 50), (50, 50), coupling=Independent())
    assert (found.by_plan, found.by_shares, found.by_staying) == pytest.approx(
        (0.5, 0.0, 0.0), abs=1e-9
    )
    assert found.is_excessive


def test_pushed_cells_have_the_type_of_where_they_are():
    (source, _), (target, _) = clusters((60, 40), 0.0, 0), clusters((50, 50), 1.0, 1)
    over = source.x + np.array([[30.0, 0.0]]) * (source.x[:, :1] < 15.0)
    assert moves((60, 40), (50, 50), pushed=over).by_push == pytest.approx(0.6)
    assert moves((60, 40), (50, 50), pushed=source.x).by_push == 0.0
    some = source.part(np.arange(50, 70))
    assert moves((60, 40), (50, 50), some=some, pushed=some.x).by_push == 0.0
    assert moves(
        (60, 40), (50, 50), some=some, pushed=np.repeat(target.x[:1], 20, axis=0)
    ).by_push == pytest.approx(0.5)


def test_cells_stay_in_their_condition():
    """The nearest late cell of another condition does not count."""
    context = np.eye(2)[[0, 0, 1, 1]]
    x = np.array([[0.0], [0.1], [0.0], [0.1]])
    source = Population(x, 0.0, context=context)
    target = Population(x, 1.0, index=4 + np.arange(4), context=context)
    labels = np.array(["a", "a", "b", "b", "a", "a", "b", "b"], dtype=object)
    found = type_moves(source, target, Exact()(source, target), labels)
    assert found.by_staying == 0.0
    swapped = labels[[0, 1, 2, 3, 6, 7, 4, 5]]
    assert type_moves(source, target, Exact()(source, target), swapped).by_staying == 1.0


def test_cells_without_a_type_or_a_weight_are_left_out():
    (source, early), (target, late) = (
        clusters((40, 40), 0.0, 0),
        clusters((40, 40), 1.0, 1, start=80),
    )
    labels = np.array(early + late, dtype=object)
    labels[::4] = None
    found = type_moves(source, target, Exact()(source, target), labels)
    assert found.by_plan == pytest.approx(0.0, abs=1e-9)
    assert found.by_staying == 0.0
    assert found.n_plan == pytest.approx(60.0)
    nobody = np.where(np.arange(160) < 80, labels, None)
    assert type_moves(source, target, Exact()(source, target), nobody) is None
    assert "not compared over every interval" in " ".join(on_types([None, found]))


def test_few_cells_need_a_larger_difference():
    """The same share of the mass is chance for ten cells, and not for a thousand."""
    assert not moves((8, 2), (7, 3)).is_excessive
    assert moves((800, 200), (700, 300)).is_excessive
