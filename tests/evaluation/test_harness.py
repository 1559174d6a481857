"""The harness: one table for recipes, foreign methods and baselines."""

import warnings
from dataclasses import dataclass, replace

import joblib
import numpy as np
import pandas as pd
import pytest
from cellflow.recipes import curved_cfm, fm, i_cfm, ot_cfm

from cellflow import evaluation
from cellflow.core._warn import warn
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError, InputTypeError, IntegrationWarning
from cellflow.evaluation import BASELINES, METRICS, Fold, hold_out, judging
from cellflow.evaluation import holdout as module
from cellflow.evaluation.halves import halves
from cellflow.evaluation.methods import Predictor, as_methods, description
from cellflow.evaluation.metric import AT_HALF
from cellflow.evaluation.scores import score, score_floor
from cellflow.evaluation.table import COLUMNS
from cellflow.training import Training

QUICK = Training(steps=40, batch_size=64, record_every=20)
FEW = ("w1", "energy")
#: Those that need no recipe.
ALWAYS = BASELINES[:-1]


def drifting(n=60, times=(0.0, 1.0, 2.0, 4.0), bend=0.0, seed=0):
    """A normal cloud that drifts along the first axis, and bends along the second."""
    rng = np.random.default_rng(seed)
    return Snapshots(
        tuple(
            Population(rng.normal(size=(n, 2)) + [3.0 * t, bend * t * (4.0 - t)], t) for t in times
        )
    )


@dataclass(frozen=True)
class Oracle:
    """Knows the law of the system, which nobody else does."""

    name: str = "oracle"
    bend: float = 0.0
    n: int = 60

    def __call__(self, rest, time, *, random_state):
        rng = np.random.default_rng(random_state + 100)
        x = rng.normal(size=(self.n, 2)) + [3.0 * time, self.bend * time * (4.0 - time)]
        return {"P1": Population(x, time)}


@dataclass(frozen=True)
class Broken:
    name: str = "broken"

    def __call__(self, rest, time, *, random_state):
        if time == 1.0:
            raise ArithmeticError("the loss is not finite")
        return {"P2": rest[0]}


@pytest.fixture(scope="module")
def snapshots():
    return drifting()


@pytest.fixture(scope="module")
def found(snapshots):
    return hold_out(
        snapshots, methods=[ot_cfm(training=QUICK), Oracle()], seeds=(0, 1), metrics=FEW
    )


@pytest.fixture(scope="module")
def table(found):
    return found.table()


def test_one_row_per_time_seed_method_and_protocol(table):
    assert list(table.columns) == list(COLUMNS)
    for time in (1.0, 2.0):
        here = table[table["time"] == time]
        assert here["method"].value_counts(sort=False).to_dict() == {
            **dict.fromkeys(ALWAYS, 1), "ot-cfm": 6, "oracle": 2, "noise floor": 1,
        }  # fmt: skip
        assert here.loc[here["kind"] == "model", "seed"].unique().tolist() == [0, 1]
        assert here.loc[here["kind"] != "model", "seed"].isna().all()
    assert set(table["protocol"]) == {"", "P1", "P2", "two-sided"}
    assert np.isfinite(table[["w1", "w1_half", "energy_half", "seconds"]].to_numpy()).all()
    assert table["w2"].isna().all(), "it was not asked for"


def test_sizes_are_stated(table):
    sizes = table.set_index(["method", "protocol"]).sort_index()[
        ["n_predicted", "n_observed", "n_half"]
    ]
    assert sizes.loc[("ot-cfm", "P1")].iloc[0].tolist() == [60, 60, 30]
    assert sizes.loc[("ot-cfm", "two-sided")].iloc[0].tolist() == [120, 60, 30]
    assert sizes.loc[("noise floor", "")].iloc[0].tolist() == [30, 30, 30]
    assert set(sizes["n_half"]) == {30}


def test_skill_is_the_share_of_the_way_to_the_floor():
    """Recomputed from the columns: 0 for the interpolation, 1 for the floor, and linear between."""
    found = hold_out(drifting(bend=2.0), methods=Oracle(bend=2.0), metrics="w1").table()
    for _, rows in found.groupby("time"):
        w1 = rows.set_index("method")["w1_half"]
        expected = (w1["OT interpolation"] - w1) / (w1["OT interpolation"] - w1["noise floor"])
        np.testing.assert_allclose(rows["skill"], expected, rtol=1e-12)
        assert (rows["skill_low"] <= rows["skill"]).all()
        assert (rows["skill"] <= rows["skill_high"]).all()


@pytest.mark.parametrize(
    ("method", "bend", "says"),
    [
        (
            Oracle(bend=2.0),
            2.0,
            (
                "oracle (P1) compared with OT interpolation without a model, over 2 held-out times:"
                " W1 is"
            ),
        ),
        (Oracle(bend=2.0), 2.0, "it is better."),
        (Oracle(bend=0.0), 2.0, "it is worse"),
        (Oracle(), 0.0, "not better beyond what chance explains"),
    ],
)
def test_the_verdict_says_what_is_known(method, bend, says):
    assert says in hold_out(drifting(bend=bend), methods=method, metrics="w1").verdict


def test_seeds_decide_and_nothing_else(snapshots, found, table):
    again = hold_out(
        snapshots, methods=[ot_cfm(training=QUICK), Oracle()], seeds=(1,), metrics=FEW
    ).table()
    numbers = ["w1", "energy", "w1_half", "skill"]
    wanted = table[table["seed"].isna() | (table["seed"] == 1)]
    np.testing.assert_array_equal(again[numbers], wanted[numbers])
    by_seed = table[table["method"] == "ot-cfm"].groupby("seed")["w1"].mean()
    assert by_seed[0] != by_seed[1]


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_parallel_is_the_same(snapshots, table, backend):
    with joblib.parallel_config(backend=backend, max_nbytes=100):  # arrays as read-only memory maps
        found = hold_out(
            snapshots,
            methods=[ot_cfm(training=QUICK), Oracle()],
            seeds=(0, 1),
            metrics=FEW,
            n_jobs=2,
        )
    pd.testing.assert_frame_equal(
        found.table().drop(columns="seconds"), table.drop(columns="seconds")
    )


def test_protocols_differ_where_they_should(table):
    model = (
        table.query("method == 'ot-cfm' and seed == 0")
        .set_index(["time", "protocol"])["w1"]
        .sort_index()
    )
    assert model[1.0, "P1"] == model[1.0, "P2"], "the snapshot before is the first one"
    assert model[2.0, "P1"] != model[2.0, "P2"]
    assert model[2.0, "P1"] != model[2.0, "two-sided"]


def test_nobody_sees_the_held_out_cells(snapshots):
    far = Snapshots(
        tuple(replace(p, x=p.x + 1e4) if p.time == 1.0 else p for p in snapshots.populations)
    )
    one, other = (
        hold_out(s, methods=ot_cfm(training=QUICK), times=1.0, metrics=FEW).clouds["time_1.0"]
        for s in (snapshots, far)
    )
    for name in one.keys() - {"observed"}:
        np.testing.assert_array_equal(one[name]["x"], other[name]["x"])


def test_the_clouds_are_those_that_were_scored(found, snapshots):
    assert set(found.clouds) == {"time_1.0", "time_2.0"}
    cloud = found.clouds["time_2.0"]
    assert set(cloud) == {
        *ALWAYS,
        "observed",
        "oracle, P1",
        *(f"ot-cfm, {p}" for p in ("P1", "P2", "two-sided")),
    }
    np.testing.assert_array_equal(cloud["observed"]["x"], snapshots[2].x.astype(np.float32))
    for name, population in (
        ("observed", snapshots[2]),
        ("previous snapshot", snapshots[1]),
        ("next snapshot", snapshots[3]),
    ):
        np.testing.assert_array_equal(cloud[name]["rows"], population.index)
    assert sum("rows" in c for c in cloud.values()) == 3
    assert all(
        c["x"].dtype == np.float32 and c["weight"].sum() == pytest.approx(1) for c in cloud.values()
    )


# Failures -----------------------------------------------------------------------------------------


def test_a_failure_leaves_the_rest(snapshots, table):
    found = hold_out(snapshots, methods=[Broken(), Oracle()], seeds=(0, 1), metrics=FEW)
    rows = found.table().set_index(["time", "method"]).sort_index()
    assert rows.loc[(1.0, "broken"), "w1"].isna().all()
    assert rows.loc[(1.0, "broken"), "note"].unique().tolist() == [
        "ArithmeticError: the loss is not finite"
    ]
    assert np.isfinite(rows.loc[(2.0, "broken"), "w1"]).all()
    oracle, before = rows.xs("oracle", level=1)["w1"], table.set_index("method").loc["oracle", "w1"]
    np.testing.assert_array_equal(oracle, before)
    assert "over 1 held-out time (1 failed)" in found.verdict


def test_our_warnings_are_notes_and_others_are_warned_of(snapshots):
    class Alarmed(Oracle):
        def __call__(self, rest, time, *, random_state):
            for _ in range(2):
                warn("the step is coarse", IntegrationWarning)
            warnings.warn("this will change", FutureWarning, stacklevel=1)
            return super().__call__(rest, time, random_state=random_state)

    with pytest.warns(FutureWarning, match="this will change") as caught:
        found = hold_out(
            snapshots,
            methods=Alarmed("oracle"),
            times=1.0,
            protocols="P1",
            baselines=(),
            metrics=FEW,
        )
    assert {warning.category for warning in caught} == {FutureWarning}
    notes = {row.method: row.scores.notes for row in found.rows}
    assert notes["oracle"] == ("the step is coarse",)


def test_a_method_that_never_works_is_said_to(snapshots):
    found = hold_out(snapshots, methods=Broken(), times=1.0, metrics=FEW)
    assert (
        found.verdict
        == "broken could not be judged: no fit gave a prediction (ArithmeticError: the loss is not"
        " finite)."
    )


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ({"P3": None}, r"returned \['P3'\]; expected populations by protocol"),
        ({}, "expected populations by protocol"),
        ([], "returned list"),
        ({"P1": np.zeros((3, 2))}, "returned ndarray for P1"),
        ({"P1": Population(np.zeros((3, 5)), 1.0)}, r"shape \(3, 5\).*2 dimensions"),
    ],
)
def test_what_a_foreign_method_must_return(snapshots, returned, says):
    class Odd:
        name = "odd"

        def __call__(self, rest, time, *, random_state):
            return returned

    rows = (
        hold_out(snapshots, methods=Odd(), times=1.0, metrics=FEW).table().query("kind == 'model'")
    )
    assert rows["note"].str.contains(says).all()


def test_too_few_cells_for_one_metric_leave_the_others():
    rows = hold_out(drifting(n=12), methods=Oracle(n=12), metrics=("w1", "c2st")).table()
    assert rows["c2st"].isna().all()
    assert rows["note"].str.contains("no c2st: .*at least 20").all()
    assert np.isfinite(rows[["w1", "w1_half"]].to_numpy()).all()


def test_a_single_held_out_cell_has_no_halves():
    s = drifting()
    few = Snapshots(tuple(p.part(np.array([0])) if p.time == 1.0 else p for p in s.populations))
    rows = hold_out(few, methods=Oracle(), times=1.0, metrics="w1").table().set_index("method")
    assert np.isfinite(rows["w1"].drop("noise floor")).all()
    assert rows[["w1_half", "skill"]].isna().all(axis=None)
    assert "have no halves" in rows.loc["noise floor", "note"]


# Arguments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"times": 3.0}, r"3 has no snapshot\. Expected some of the inner times \[1\.0, 2\.0\]"),
        ({"times": [0.0]}, r"0 is an end"),
        ({"times": []}, "times is empty"),
        ({"times": "soon"}, "times='soon'"),
        ({"times": np.array(3.0)}, "3 has no snapshot"),
        ({"seeds": np.array(-1)}, "random_state=-1"),
        ({"methods": Oracle("mixture")}, "'mixture' has the name of a row that is always there"),
        ({"methods": Oracle("noise floor")}, "the name of a row that is always there"),
        ({"seeds": ()}, "seeds is empty"),
        ({"seeds": (-1,)}, "random_state=-1"),
        ({"protocols": "p1"}, r"'p1' is none of .*did you mean 'P1'"),
        ({"protocols": ()}, "protocols is empty"),
        ({"metrics": "enrgy"}, "did you mean 'energy'"),
        ({"baselines": ("nothing",)}, "'nothing' is none of"),
        ({"methods": "ot-cmf"}, "did you mean 'ot-cfm'"),
        ({"methods": []}, "are empty"),
        ({"methods": [Oracle(), Oracle(bend=1.0)]}, "name 'oracle' more than once"),
        ({"methods": fm()}, "makes cells from noise"),
        ({"n_splits": 0}, "n_splits=0"),
        ({"n_jobs": 0}, "n_jobs=0"),
    ],
)
def test_arguments_that_cannot_be(snapshots, arguments, says, monkeypatch):
    monkeypatch.setattr(module, "run", lambda *_, **__: pytest.fail("worked before it looked"))
    with pytest.raises(InputError, match=says):
        hold_out(snapshots, **({"methods": Oracle()} | arguments))


@pytest.mark.parametrize("method", [3, print, Oracle, object()])
def test_what_is_no_method(snapshots, method):
    with pytest.raises(InputTypeError, match="expected the name of a recipe"):
        hold_out(snapshots, methods=[method])


def test_problems_bring_their_times(snapshots):
    with pytest.raises(InputError, match="each of which has its time"):
        hold_out([Fold(snapshots, 1.0)], methods=Oracle(), times=2.0)


def test_old_names_are_the_new_ones(snapshots):
    with pytest.warns(FutureWarning, match="evaluation.Problem is now .*evaluation.Fold"):
        assert evaluation.Problem is Fold
    with pytest.warns(FutureWarning, match="evaluation.Method is now .*evaluation.Predictor"):
        assert evaluation.Method is Predictor
    arguments = {"methods": Oracle(), "metrics": "w1", "n_splits": 1}
    with pytest.warns(FutureWarning, match="problems=.*folds="):
        old = hold_out(problems=[Fold(snapshots, 1.0)], **arguments).table()
    new = hold_out([Fold(snapshots, 1.0)], **arguments).table()
    np.testing.assert_array_equal(old["w1"], new["w1"])


def test_two_snapshots_have_nothing_to_hold_out(snapshots):
    with pytest.raises(InputError, match="2 snapshots only, at 0, 1: nothing can be held out"):
        hold_out(Snapshots(snapshots.populations[:2]), methods=Oracle())


# The cache ----------------------------------------------------------------------------------------


def test_a_resumed_run_is_the_same(snapshots, tmp_path, monkeypatch):
    arguments = {"methods": [ot_cfm(training=QUICK), Oracle()], "metrics": FEW, "cache": tmp_path}
    first = hold_out(snapshots, **arguments)
    monkeypatch.setattr(
        "cellflow.evaluation.methods.fit", lambda *_, **__: pytest.fail("fitted again")
    )
    again = hold_out(snapshots, **arguments)
    pd.testing.assert_frame_equal(first.table(), again.table())
    assert first.verdict == again.verdict
    np.testing.assert_array_equal(
        again.clouds["time_1.0"]["ot-cfm, P1"]["x"], first.clouds["time_1.0"]["ot-cfm, P1"]["x"]
    )


def test_the_cache_knows_what_a_result_depends_on(snapshots, tmp_path):
    base = {"methods": Oracle(), "times": 1.0, "metrics": "w1", "cache": tmp_path}

    def files():
        return len(list(tmp_path.glob("*.json")))

    hold_out(snapshots, **base)
    counts = [files()]
    for change in (
        {"seeds": (5,)},
        {"methods": Oracle(bend=0.1)},
        {"metrics": FEW},
        {"n_splits": 2},
        {"times": 2.0},
        {"protocols": "P1"},
    ):
        hold_out(snapshots, **(base | change))
        counts.append(files())
    shifted = snapshots.moved([p.x + 1.0 for p in snapshots.populations])
    elsewhere = Snapshots(tuple(replace(p, index=p.index + 7) for p in snapshots.populations))
    for other in (shifted, elsewhere):
        found = hold_out(other, **base)
        counts.append(files())
    assert found.clouds["time_1.0"]["observed"]["rows"].min() == 7
    assert counts == sorted(set(counts))
    hold_out(snapshots, **base)
    assert files() == counts[-1]


def test_failures_are_tried_again(snapshots, tmp_path):
    for _ in range(2):
        hold_out(snapshots, methods=Broken(), times=1.0, metrics="w1", cache=tmp_path, baselines=())
    assert len(list(tmp_path.glob("*.json"))) == 1, "the floor"


# Plans --------------------------------------------------------------------------------------------


def test_plans_are_solved_once_for_all_seeds_and_recipes(snapshots, monkeypatch):
    solved = []
    couple = judging.couple

    def counted(rest, recipe, **options):
        solved.append(rest.times.tolist())
        return couple(rest, recipe, **options)

    monkeypatch.setattr(judging, "couple", counted)
    methods = [ot_cfm(training=QUICK), curved_cfm(training=QUICK)]
    found = hold_out(snapshots, methods=methods, seeds=(0, 1), metrics="w1", protocols="P1")
    assert sorted(solved) == [[0.0, 1.0, 4.0], [0.0, 2.0, 4.0]]
    alone = hold_out(snapshots, methods=methods[0], metrics="w1", protocols="P1")
    assert len(solved) == 2, "one fit solves its own"
    one, other = (f.table().query("method == 'ot-cfm' and seed == 0")["w1"] for f in (found, alone))
    np.testing.assert_array_equal(one, other)


def test_curved_paths_have_a_row_of_their_own(snapshots):
    rows = hold_out(
        snapshots, methods=curved_cfm(training=QUICK), metrics="w1", protocols="P1"
    ).table()
    own = rows[rows["method"] == "curved-cfm, no network"]
    assert own["kind"].tolist() == ["baseline"] * 2
    assert np.isfinite(own[["w1", "w1_half", "seconds"]].to_numpy()).all()


# The parts ----------------------------------------------------------------------------------------


def test_halves_share_no_cell_and_keep_weights():
    cells = Population(np.arange(20.0)[:, None], 0.0, np.arange(1.0, 21.0))
    for split in halves(cells, 10, n_splits=4):
        assert sorted([*split.seen.x[:, 0], *split.other.x[:, 0]]) == list(range(20))
        np.testing.assert_allclose(
            split.seen.weight, (split.seen.x[:, 0] + 1) / (split.seen.x[:, 0] + 1).sum()
        )


def test_a_perfect_prediction_scores_zero_at_full_size_and_the_floor_at_half():
    cells = drifting(n=400)[1]
    splits = halves(cells, 200, n_splits=5)
    perfect = score(
        Population(np.random.default_rng(7).normal(size=(400, 2)) + [3.0, 0.0], 1.0),
        cells,
        splits,
        chosen=FEW,
    )
    floor = score_floor(cells, splits, chosen=FEW)
    assert score(cells, cells, splits, chosen=FEW).values["w1"] == pytest.approx(0.0, abs=1e-9)
    assert perfect.values["w1_half"] == pytest.approx(floor.values["w1_half"], rel=0.25)
    assert {name: len(values) for name, values in floor.splits.items()} == dict.fromkeys(AT_HALF, 5)


def test_every_metric_is_a_column(snapshots):
    splits = halves(snapshots[1], 30, n_splits=1)
    values = score(snapshots[0], snapshots[1], splits).values
    assert set(METRICS) < set(values) < set(COLUMNS)
    assert values["w1_low"] <= values["w1"] <= values["w1_high"]
    assert values["mean_error"] == pytest.approx(
        np.linalg.norm(snapshots[0].x.mean(0) - snapshots[1].x.mean(0))
    )


def test_the_common_size_is_that_of_the_smallest_neighbour():
    s = drifting()
    small = Snapshots(tuple(p.part(np.arange(9)) if p.time == 0.0 else p for p in s.populations))
    assert [Fold(small, t).n_half for t in (1.0, 2.0)] == [9, 30]
    rows = hold_out(
        small, methods=i_cfm(training=QUICK), times=2.0, metrics="w1", protocols="P2"
    ).table()
    assert (
        rows.query("protocol == 'P2'")["note"].str.contains("9 predicted cells for 30 draws").all()
    )


def test_methods_are_told_apart_by_all_that_they_are():
    recipe = ot_cfm(training=QUICK)
    made = as_methods([recipe, replace(recipe, name="other"), "i-cfm", Oracle()])
    assert [m.name for m in made] == ["ot-cfm", "other", "i-cfm", "oracle"]
    assert all(isinstance(m, Predictor) for m in made)
    assert description(made[3])["constants"] == {"name": "oracle", "bend": 0.0, "n": 60}
    assert description(made[0]) != description(as_methods(recipe, scale="each")[0])
