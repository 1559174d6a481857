"""Mass between types: closed forms, and laws of every plan."""

import numpy as np
import pandas as pd
import pytest

from cellflow.core.plans import BlockPlan, EdgePlan, ProductPlan
from cellflow.core.population import Population
from cellflow.couplings import Auto, Entropic, Exact, Independent, Minibatch
from cellflow.errors import InputError, InputTypeError
from cellflow.metrics import lineage_consistency, nearest_transitions, plan_transitions
from cellflow.metrics.lineages import Transitions


def clusters(counts, seed, apart=50.0):
    """Cells around distant points, as many around each as `counts` says, and the names of the
    points.
    """
    rng = np.random.default_rng(seed)
    label = np.repeat([f"type{k}" for k in range(len(counts))], counts)
    x = 0.5 * rng.normal(size=(len(label), 2))
    x[:, 0] += apart * np.repeat(np.arange(len(counts)), counts)
    return x, label


def half_l1(a, b):
    a, b = np.array(a) / np.sum(a), np.array(b) / np.sum(b)
    return 0.5 * np.abs(a - b).sum()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((50, 50), (50, 50)),
        ((90, 10), (50, 50)),
        ((30, 70), (70, 30)),
        ((100, 0), (40, 60)),
        ((60, 60), (100, 20)),
        ((20, 100), (110, 10)),
        ((40, 40, 40), (80, 20, 20)),
        ((10, 50, 60), (60, 50, 10)),
        ((25, 75), (60, 20)),
        ((7, 93), (93, 7)),
        ((1, 99), (2, 98)),
        ((30, 30, 30, 30), (60, 30, 30, 0)),
    ],
)
def test_an_optimal_plan_between_separated_types_moves_the_change_of_their_shares(before, after):
    """Exactly half the L1 difference; nearest cells without a motion move nothing, or only types
    that vanished.
    """
    (x, early), (y, late) = clusters(before, 0), clusters(after, 1)
    plan = Exact()(Population(x, 0.0), Population(y, 1.0))
    found = plan_transitions(plan, early, late)
    # Along a line, mass between distant clusters may pass through those between, which costs as
    # much and moves more.
    assert found.least_moved() == pytest.approx(half_l1(before, after), abs=1e-12)
    if len(before) == 2:
        assert 1.0 - found.consistent() == pytest.approx(half_l1(before, after), abs=1e-12)
    gone = sum(a for a, b in zip(before, after, strict=True) if b == 0) / sum(before)
    assert nearest_transitions(x, early, y, late).consistent() == pytest.approx(1.0 - gone)


@pytest.mark.parametrize(
    "coupling",
    [Exact(), Auto(), Independent(), Entropic(epsilon=0.5), Minibatch(batch_size=40, n_batches=20)],
)
def test_every_plan_moves_at_least_that_and_its_shares_are_those_of_the_snapshots(coupling):
    (x, early), (y, late) = (
        clusters((60, 20, 40), 0, apart=2.0),
        clusters((30, 70, 30), 1, apart=2.0),
    )
    found = plan_transitions(coupling(Population(x, 0.0), Population(y, 1.0)), early, late)
    tolerance = 0.02 if isinstance(coupling, Minibatch) else 1e-6
    np.testing.assert_allclose(found.before, np.array([60, 20, 40]) / 120, atol=tolerance)
    np.testing.assert_allclose(found.after, np.array([30, 70, 30]) / 130, atol=tolerance)
    np.testing.assert_allclose(np.nansum(found.shares, axis=1), 1.0)
    assert found.mass.sum() == pytest.approx(1.0)
    assert 1.0 - found.consistent() >= found.least_moved() - 1e-9


def test_the_independent_plan_is_the_product_of_the_shares():
    found = plan_transitions(
        ProductPlan(np.full(4, 0.25), np.full(5, 0.2), 1.0), list("aaab"), list("abbbb")
    )
    np.testing.assert_allclose(found.mass, [[0.15, 0.6], [0.05, 0.2]])
    np.testing.assert_allclose(found.shares, [[0.2, 0.8], [0.2, 0.8]])


def test_groups_of_a_plan_and_cells_without_mass():
    rows = [np.array([0, 2]), np.array([1, 3])]
    block = EdgePlan((2, 2), [0, 0], [0, 1], [0.5, 0.5], 0.0)  # the second source cell has no mass
    plan = BlockPlan((4, 4), [block, block], rows, rows, np.array([0.5, 0.5]))
    found = plan_transitions(plan, list("abab"), list("abaa"))
    np.testing.assert_allclose(found.mass, [[0.5, 0.0], [0.25, 0.25]])


def test_order_of_cells_and_names_of_types_do_not_matter():
    (x, early), (y, late) = clusters((30, 10), 0, apart=1.0), clusters((20, 20), 1, apart=1.0)
    rng = np.random.default_rng(2)
    p, q = rng.permutation(40), rng.permutation(40)
    renamed = {"type0": "z", "type1": "a"}
    one = nearest_transitions(x, early, y, late)
    other = nearest_transitions(
        x[p], [renamed[v] for v in early[p]], y[q], [renamed[v] for v in late[q]]
    )
    np.testing.assert_allclose(other.mass, one.mass[::-1, ::-1])
    plan = Exact()(Population(x, 0.0), Population(y, 1.0))
    again = Exact()(Population(x[p], 0.0), Population(y[q], 1.0))
    np.testing.assert_allclose(
        plan_transitions(again, early[p], late[q]).mass, plan_transitions(plan, early, late).mass
    )


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_cells_without_a_type_take_no_part(missing):
    label = np.array(["a", missing, "b"], dtype=object)
    plan = EdgePlan((3, 3), [0, 1, 2], [0, 1, 2], [0.5, 0.3, 0.2], 0.0)
    np.testing.assert_allclose(plan_transitions(plan, label, label).mass, np.diag([5 / 7, 2 / 7]))
    x = np.array([[0.0], [1.0], [2.0]])
    # The nearest later cell of the last one has no type: the nearest that has one counts.
    found = nearest_transitions(x, list("aab"), x, np.array(["a", "b", missing], dtype=object))
    np.testing.assert_allclose(found.mass, [[1 / 3, 1 / 3], [0.0, 1 / 3]])


def test_labels_are_compared_as_text_and_weights_are_copies():
    x, y = np.array([[0.0], [1.0], [2.0]]), np.array([[0.1], [1.9]])
    numbers = nearest_transitions(
        x, pd.Categorical([1, 1, 2]), y, np.array([1, 2]), weight=np.array([2.0, 0.0, 1.0])
    )
    assert numbers.labels == ("1", "2")
    np.testing.assert_allclose(
        numbers.mass, nearest_transitions(x[[0, 0, 2]], ["1", "1", "2"], y, ["1", "2"]).mass
    )


#: Rows: from a, b, c, d.
MASS = np.array(
    [[0.1, 0.1, 0.1, 0.1], [0.0, 0.2, 0.1, 0.0], [0.0, 0.0, 0.1, 0.1], [0.05, 0.0, 0.0, 0.05]]
)


@pytest.mark.parametrize(
    ("lineage", "consistent", "least"),
    [
        (None, 0.45, 0.25),
        ({}, 0.45, 0.25),
        ({"a": ["b"]}, 0.55, 0.25),
        ({"a": "b"}, 0.55, 0.25),
        ({"a": ("b", "c", "d")}, 0.75, 0.0),
        ({"a": ["b"], "b": ["c"]}, 0.75, 0.15),
        ({"a": ["b"], "b": ["c"], "c": ["d"]}, 0.95, 0.0),
        ({"a": ["unseen"], "unseen": ["b", "c"]}, 0.65, 0.15),
        ({"b": ["a"], "c": ["a"], "d": ["a"]}, 0.5, 0.25),
        ({"a": ["b"], "b": ["a"]}, 0.55, 0.25),
        ({"a": ["b", "c", "d"], "b": ["c"], "c": ["d"], "d": ["a"]}, 1.0, 0.0),
    ],
)
def test_descendants_count_and_so_do_theirs(lineage, consistent, least):
    found = Transitions(tuple("abcd"), MASS)
    assert found.consistent(lineage) == pytest.approx(consistent)
    assert found.least_moved(lineage) == pytest.approx(least, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_no_plan_moves_less_than_the_least(seed):
    rng = np.random.default_rng(seed)
    mass = rng.dirichlet(np.full(25, 0.3)).reshape(5, 5)
    lineage = {"a": ["b"], "b": ["d", "e"], "c": ["a"]}
    found = Transitions(tuple("abcde"), mass)
    none, some = found.least_moved(), found.least_moved(lineage)
    assert some <= none + 1e-9
    assert some <= 1.0 - found.consistent(lineage) + 1e-9
    assert found.least_moved({}) == pytest.approx(none, abs=1e-9), (
        "the linear program without descendants"
    )


def test_consistency_is_that_of_the_transitions():
    (x, early), (y, late) = clusters((30, 10), 0, apart=1.0), clusters((20, 20), 1, apart=1.0)
    for lineage in (None, {"type0": ["type1"]}):
        expected = nearest_transitions(x, early, y, late).consistent(lineage)
        assert lineage_consistency(x, early, y, late, lineage=lineage) == expected
    assert lineage_consistency(y, late, y, late) == 1.0


PLAN = EdgePlan((2, 2), [0, 1], [0, 1], [0.5, 0.5], 0.0)
X = np.zeros((2, 1))


@pytest.mark.parametrize(
    ("ask", "error", "said"),
    [
        (
            lambda: plan_transitions(PLAN, ["a"], ["a", "b"]),
            InputError,
            r"between \(2, 2\) cells, and there are 1 and 2",
        ),
        (lambda: plan_transitions(PLAN, [], ["a", "b"]), InputError, "`source_label` has shape"),
        (
            lambda: plan_transitions(PLAN, [None, None], ["a", "b"]),
            InputError,
            "Mass between cells with labels is 0",
        ),
        (
            lambda: nearest_transitions(X, ["a"], X, ["a", "b"]),
            InputError,
            r"`x` has shape \(2, 1\) for 1 labels",
        ),
        (
            lambda: nearest_transitions(X, ["a", "b"], X[:, 0], ["a", "b"]),
            InputError,
            r"`later` has shape \(2,\)",
        ),
        (
            lambda: nearest_transitions(X, ["a", "b"], X, [None, np.nan]),
            InputError,
            "None of the 2 later cells has a label",
        ),
        (
            lambda: nearest_transitions(X, ["a", "b"], X, ["a", "b"], weight=[1.0]),
            InputError,
            "`weight` must be 2",
        ),
        (
            lambda: nearest_transitions(X, ["a", "b"], X, ["a", "b"], weight=[1, -1]),
            InputError,
            "`weight` must be 2",
        ),
        (
            lambda: lineage_consistency(X, ["a", "b"], X, ["a", "b"], lineage=["a"]),
            InputTypeError,
            "lineage is of type list",
        ),
        (
            lambda: lineage_consistency(X, ["a", "b"], X, ["a", "b"], lineage={"a": 3}),
            InputTypeError,
            r"lineage\['a'\] is 3",
        ),
    ],
)
def test_what_is_refused(ask, error, said):
    with pytest.raises(error, match=said):
        ask()
