"""Conditions: columns as features, plans inside each condition, unmeasured combinations."""

import json

import numpy as np
import pandas as pd
import pytest
from cellflow.recipes import ot_cfm

from cellflow.core.conditions import Conditions, scaled_time, shared_conditions
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Exact, Independent
from cellflow.errors import InputError, InputTypeError, MissingKeyError
from cellflow.model.coupled import solve_plans
from cellflow.model.fitting import fit
from cellflow.model.flow import Flow
from cellflow.training import Training


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "drug": pd.Categorical(["b", "a", "b", "c"], categories=["never", "c", "b", "a"]),
            "dose": [1.0, 3.0, 5.0, 7.0],
            "sick": [True, False, True, True],
            "batch": pd.Categorical([10, 9, 10, 9]),
        },
        index=["w", "x", "y", "z"],
    )


# Columns as features ------------------------------------------------------------------------------


def test_kinds_become_indicators_and_numbers_one_scaled_feature(table):
    conditions = Conditions.fitted(table, ["drug", "dose"])
    features = conditions.encode(table)
    np.testing.assert_array_equal(features[:, :3], [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert features[:, 3].mean() == pytest.approx(0.0, abs=1e-12)
    assert features[:, 3].std() == pytest.approx(1.0)
    assert conditions.n_features == 4


def test_columns_are_encoded_one_by_one(table):
    both = Conditions.fitted(table, ["sick", "batch", "dose"])
    alone = [Conditions.fitted(table, [name]).encode(table) for name in ("sick", "batch", "dose")]
    np.testing.assert_array_equal(both.encode(table), np.hstack(alone))


def test_features_do_not_depend_on_the_other_cells(table):
    conditions = Conditions.fitted(table, ["drug", "dose"])
    np.testing.assert_array_equal(conditions.encode(table.iloc[[2]]), conditions.encode(table)[[2]])


def test_one_condition_is_encoded_as_its_cells_are(table):
    conditions = Conditions.fitted(table, ["drug", "dose", "sick", "batch"])
    asked = {"sick": False, "batch": 9, "dose": 3, "drug": "a"}
    np.testing.assert_array_equal(conditions.encode_one(asked), conditions.encode(table)[1])
    np.testing.assert_array_equal(Conditions.fitted(table, ["drug"]).encode_one("b"), [0, 1, 0])


def test_decoding_gives_back_the_table(table):
    conditions = Conditions.fitted(table, ["drug", "dose", "batch"])
    values = conditions.decode(conditions.encode(table))
    assert values["drug"].tolist() == ["b", "a", "b", "c"]
    assert values["dose"].tolist() == [1.0, 3.0, 5.0, 7.0]
    assert values["batch"].tolist() == ["10", "9", "10", "9"]
    assert conditions.label(conditions.encode(table)[0]) == "drug='b', dose=1, batch='10'"


def test_the_state_is_plain_and_complete(table):
    conditions = Conditions.fitted(table, ["drug", "dose", "sick"])
    again = Conditions.from_state(json.loads(json.dumps(conditions.state())))
    assert again == conditions
    np.testing.assert_array_equal(again.encode(table), conditions.encode(table))


def test_a_column_that_does_not_vary_is_no_division_by_zero(table):
    table["dose"] = 2.0
    assert Conditions.fitted(table, ["dose"]).encode(table).tolist() == [[0.0]] * 4


@pytest.mark.parametrize(
    ("names", "spoil", "error", "message"),
    [
        (["drog"], None, MissingKeyError, r"the table\['drog'\] is missing.*did you mean 'drug'"),
        ([], None, InputError, "distinct columns, at least one"),
        (["drug", "drug"], None, InputError, "distinct columns"),
        (["drug"], np.nan, InputError, r"no value for 1 of 4 cells \(first: 'y'\)"),
        (["dose"], np.nan, InputError, r"no value for 1 of 4 cells \(first: 'y'\)"),
        (["dose"], np.inf, InputError, r"holds inf; expected finite"),
    ],
)
def test_unusable_columns_are_refused(table, names, spoil, error, message):
    if spoil is not None:
        table.loc["y", names] = spoil
    with pytest.raises(error, match=message):
        Conditions.fitted(table, names)


def test_dates_are_no_condition(table):
    table["day"] = pd.to_datetime("2024-01-01")
    with pytest.raises(InputError, match=r"dtype datetime64.*astype\('category'\)"):
        Conditions.fitted(table, ["day"])


def test_cells_of_a_kind_that_was_not_fitted_are_refused(table):
    conditions = Conditions.fitted(table.iloc[:2], ["drug"])
    with pytest.raises(
        InputError, match=r"'c', which the fit has not seen. Expected one of \['a', 'b'\]"
    ):
        conditions.encode(table)
    with pytest.raises(MissingKeyError, match=r"obs\['drug'\] is missing"):
        conditions.encode(table.drop(columns="drug"), where="adata.obs")


@pytest.mark.parametrize(
    ("condition", "error", "message"),
    [
        ("b", InputTypeError, "a value for each of several columns"),
        ({"drug": "b"}, MissingKeyError, r"leaves out \['dose'\]"),
        ({"drug": "b", "does": 1.0}, MissingKeyError, "names 'does'.*did you mean 'dose'"),
        (
            {"drug": "B", "dose": 1.0},
            InputError,
            r"holds 'B', which the fit has not seen.*did you mean 'b'",
        ),
        ({"drug": None, "dose": 1.0}, InputError, "one of its values"),
        ({"drug": "b", "dose": "1"}, InputError, "a finite number"),
        ({"drug": "b", "dose": np.nan}, InputError, "a finite number"),
        ({"drug": "b", "dose": np.inf}, InputError, "finite"),
    ],
)
def test_conditions_that_cannot_be_asked(table, condition, error, message):
    with pytest.raises(error, match=message):
        Conditions.fitted(table, ["drug", "dose"]).encode_one(condition)


def test_time_as_a_feature_spans_the_snapshots():
    assert scaled_time(np.array([2.0, 3.0, 6.0, 8.0]), np.array([2.0, 6.0])).tolist() == [
        -1.0,
        -0.5,
        1.0,
        2.0,
    ]
    assert scaled_time(5.0, np.array([5.0])) == 0.0


# Plans inside conditions --------------------------------------------------------------------------


def crossed(n=30, seed=0):
    """Two conditions that trade places: transport of the whole would join each cell with one of the
    other condition.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4 * n, 2)) * 0.1
    condition, time = np.tile(np.repeat([0.0, 1.0], n), 2), np.repeat([0.0, 1.0], 2 * n)
    x[:, 0] += np.where(condition == 0, 1.0, -1.0) * np.where(time == 0, 1.0, -1.0)
    return x, time, np.column_stack([condition == 0, condition == 1]).astype(float)


@pytest.mark.parametrize(
    "coupling", [Exact(), Independent(), None], ids=["exact", "independent", "auto"]
)
def test_cells_of_different_conditions_are_never_paired(coupling):
    x, time, context = crossed()
    weight = np.random.default_rng(1).uniform(0.5, 2.0, size=len(x))
    snapshots = Snapshots.from_arrays(x, time, weight=weight, context=context)
    recipe = ot_cfm(coupling=coupling)
    (plan,), summaries = solve_plans(snapshots, recipe.coupling)
    i, j = plan.sample(5_000, np.random.default_rng(0))
    source, target = snapshots.populations
    np.testing.assert_array_equal(source.context[i], target.context[j])
    np.testing.assert_allclose(plan.row_mass, source.weight, atol=1e-8)
    for k in (0, 1):
        ends = target.context[:, k] == 1
        share = source.weight[source.context[:, k] == 1].sum()
        np.testing.assert_allclose(
            plan.col_mass[ends], target.weight[ends] / target.weight[ends].sum() * share, atol=1e-8
        )
    summary = summaries["0.0_to_1.0"]
    assert [part["n_source"] for part in summary["conditions"].values()] == [30, 30]
    assert summary["cost"] == pytest.approx(plan.cost)
    # Without conditions the optimum does pair them, which is what makes this test able to fail.
    (whole,), _ = solve_plans(Snapshots.from_arrays(x, time), Exact())
    i, j = whole.sample(100, np.random.default_rng(0))
    assert (source.context[i] != target.context[j]).any(axis=1).all()


def test_a_condition_without_partners_is_named():
    x, time, context = crossed()
    keep = ~((time == 1) & (context[:, 1] == 1))
    snapshots = Snapshots.from_arrays(x[keep], time[keep], context=context[keep])
    with pytest.raises(InputError, match=r"\[0\.0, 1\.0\] has cells at time 0 and none at time 1"):
        fit(snapshots, ot_cfm(training=Training(steps=1)))
    reverse = Snapshots.from_arrays(x[keep], 1 - time[keep], context=context[keep])
    with pytest.raises(InputError, match="has cells at time 1 and none at time 0"):
        fit(reverse, ot_cfm(training=Training(steps=1)))


def test_cells_without_weight_need_no_partners():
    source = Population(
        np.zeros((3, 1)), 0.0, np.array([1.0, 1.0, 0.0]), context=np.array([[0.0], [1.0], [2.0]])
    )
    target = Population(np.zeros((2, 1)), 1.0, context=np.array([[1.0], [0.0]]))
    found = shared_conditions(source, target)
    assert [(f.tolist(), r.tolist(), c.tolist()) for f, r, c in found] == [
        ([0.0], [0], [1]),
        ([1.0], [1], [0]),
    ]


def test_without_features_there_is_one_condition():
    p, q = Population(np.zeros((2, 1)), 0.0), Population(np.zeros((3, 1)), 1.0)
    ((features, rows, columns),) = shared_conditions(p, q)
    assert (len(features), rows.tolist(), columns.tolist()) == (0, [0, 1], [0, 1, 2])


# A fit with conditions ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crossed_flow():
    x, time, context = crossed(60)
    return fit(
        Snapshots.from_arrays(x, time, context=context),
        ot_cfm(training=Training(steps=300, batch_size=128)),
    )


def test_conditions_that_cross_are_told_apart(crossed_flow):
    start = np.array([[1.0, 0.0], [-1.0, 0.0]])
    own = crossed_flow.simulate(start, 0.0, [1.0], context=np.eye(2)).x[0]
    np.testing.assert_allclose(own, -start, atol=0.15)
    # Under one condition for all, the other's cells are moved as that condition moves.
    velocity = crossed_flow.velocity(np.zeros((1, 2)), 0.5, context=np.array([0.0, 1.0]))
    np.testing.assert_allclose(velocity, [[2.0, 0.0]], atol=0.3)


def test_a_conditional_flow_is_kept_whole(crossed_flow, tmp_path):
    crossed_flow.save(tmp_path / "flow")
    again = Flow.load(tmp_path / "flow")
    x = np.random.default_rng(0).normal(size=(5, 2))
    features = np.array([0.0, 1.0])
    np.testing.assert_array_equal(
        again.velocity(x, 0.3, context=features), crossed_flow.velocity(x, 0.3, context=features)
    )
    assert again.plans["0.0_to_1.0"]["reason"] == "inside each condition"


#: How lines move without the drug, and what the drug adds.
LINES, DRUG = np.array([[0.0, 0.8], [0.0, 0.3], [0.0, -0.3], [0.0, -0.8]]), np.array([1.5, 0.0])


def additive(n=80, seed=0):
    """Four lines with and without a drug, whose moves are the sum of the line's and the drug's."""
    rng = np.random.default_rng(seed)
    line, drug, time = (
        side.ravel()
        for side in np.meshgrid(np.arange(4), [0, 1], np.repeat([0.0, 1.0], n), indexing="ij")
    )
    x = rng.normal(size=(len(line), 2)) * 0.2 + time[:, None] * (LINES[line] + drug[:, None] * DRUG)
    return x, time, np.hstack([np.eye(4)[line], np.eye(2)[drug]])


def test_a_combination_that_was_held_out_is_better_with_conditions_than_without():
    """One line is measured without the drug, three with it: moves add up to the unmeasured one."""
    x, time, context = additive()
    asked = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 1.0])
    trained = ~(context == asked).all(axis=1)
    start = x[~trained & (time == 0)]
    recipe = ot_cfm(training=Training(steps=400, batch_size=256))
    with_conditions = fit(
        Snapshots.from_arrays(x[trained], time[trained], context=context[trained]), recipe
    )
    ignoring = fit(Snapshots.from_arrays(x[trained], time[trained]), recipe)
    truth = LINES[3] + DRUG
    told = with_conditions.simulate(start, 0.0, [1.0], context=asked).x[0].mean(
        axis=0
    ) - start.mean(axis=0)
    untold = ignoring.simulate(start, 0.0, [1.0]).x[0].mean(axis=0) - start.mean(axis=0)
    assert np.linalg.norm(told - truth) < 0.5 * np.linalg.norm(untold - truth)
