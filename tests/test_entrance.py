"""Arguments of every public call, arrays, contents of an AnnData; and the remedies in messages."""

import inspect
import re
import warnings
from importlib import import_module

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import cellflow as cf
from cellflow.core._arguments import _KINDS, _checked, check_arguments
from cellflow.core._numbers import as_array, as_count, as_weights, shown
from cellflow.couplings import Sparse
from cellflow.errors import CellFlowError, InputError, InputTypeError, InputWarning
from cellflow.simulation import integrate
from conftest import make_cells, quick_recipe
from examples import METRICS

pytestmark = pytest.mark.usefixtures("long_steps")

PUBLIC = {
    f"{home}.{name}": getattr(import_module(f"cellflow.{home}"), name)
    for home in ("tl", "pl", "get", "bench", "datasets")
    for name in import_module(f"cellflow.{home}").__all__
    if inspect.isfunction(getattr(import_module(f"cellflow.{home}"), name))
} | {"fit": cf.fit, "fit_score": cf.fit_score, "densities.fit_density": cf.densities.fit_density}

#: A value of each kind that a call may be asked with by mistake.
ODD = [
    np.array([]),
    np.array([1, 2]),
    np.ones((2, 2)),
    pd.NA,
    pd.NaT,
    pd.Series([0, 1]),
    np.timedelta64(1, "h"),
    pd.Timestamp("2020-01-01"),
    {"a": 1},
    object(),
    1j,
    b"text",
    {1, 2},
    slice(3),
]


# Types --------------------------------------------------------------------------------------------


def complaint(call, argument, value):
    """What is wrong with the refusal of a value of the wrong type; None for a right one."""
    placeholder = {"str": "x", "int": 1, "float": 1.0, "bool": True}
    needed = {
        p.name: placeholder.get(str(p.annotation).split(" | ")[0])
        for p in inspect.signature(call).parameters.values()
        if p.default is inspect.Parameter.empty
    }
    try:
        call(**needed | {argument: value})
    except InputTypeError as error:
        text = str(error)
        right = re.match(rf"{argument}=.* \(of type \w+\); expected ", text) and len(text) < 300
        return None if right else text
    except Exception as error:  # noqa: BLE001 (any other error is what the test looks for)
        return repr(error)
    return "is taken"


def test_an_argument_of_a_wrong_type_is_named_before_anything_happens():
    found = {
        (name, argument, shown(value)): complaint(call, argument, value)
        for name, call in PUBLIC.items()
        for argument, kinds in _checked(call)
        for value in ODD
        # An empty array is a list of no names.
        if not any(kind.fits(value) for kind in kinds)
    }
    assert {case: what for case, what in found.items() if what} == {}
    assert len(found) > 1000


def test_every_public_call_checks_its_arguments_first():
    unchecked = [
        name
        for name, call in PUBLIC.items()
        if any(str(p.annotation) in _KINDS for p in inspect.signature(call).parameters.values())
        and f"check_arguments({name.rpartition('.')[2]}, locals())"
        not in inspect.getsource(inspect.unwrap(call))
    ]
    assert unchecked == []


@pytest.mark.parametrize(
    "value", [True, 0, 3.5, "text", None, ["a", "b"], np.str_("a"), np.bool_(1), np.int8(2)]
)
def test_values_of_the_right_type_pass(value):
    def call(x):
        return x

    fitting = [word for word, kind in _KINDS.items() if kind.fits(value)]
    for word in fitting:
        call.__annotations__ = {"x": f"Unknown | {word}"}
        check_arguments(call, {"x": object()})  # what is not known is checked where it is used
    call.__annotations__ = {"x": " | ".join(fitting)}
    _checked.cache_clear()
    check_arguments(call, {"x": value})


class Unprintable:
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    "value", [np.zeros((100, 100)), "x" * 1000, Unprintable(), "lone \udcff", 10**400, "two\nlines"]
)
def test_any_value_is_shown_on_one_short_line(value):
    text = shown(value)
    assert len(text) <= 60
    assert "\n" not in text
    text.encode("utf-8")


# What messages tell the caller to do --------------------------------------------------------------


def words_that_are_missing(message, call):
    """Arguments that a message names and the call lacks; `cf.tl.flow(...)` has its own."""
    missing = set()
    for path, inside in re.findall(r"cf\.([a-z_.]+)\(([^()]*)\)", message):
        home, _, name = path.rpartition(".")
        named = set(re.findall(r"\b([a-z_]+)=(?!=)", inside))
        other = getattr(import_module(f"cellflow.{home}"), name)
        missing |= named - set(inspect.signature(other).parameters)
    rest = re.sub(r"\w[\w.]*\([^()]*\)", "", message)
    rest = re.sub(r"'[^']*'", "", rest)
    return missing | (
        set(re.findall(r"(?<![\w.\[])([a-z_]+)=(?!=)", rest))
        - set(inspect.signature(call).parameters)
    )


def test_the_harness_finds_an_argument_that_is_not_there():
    assert words_that_are_missing("Pass n_dims=3, or time=2.", cf.tl.predict) == {"n_dims"}
    assert words_that_are_missing("Fit again: cf.tl.flow(adata, n_dims=3).", cf.tl.predict) == set()
    assert words_that_are_missing("Fit again: cf.tl.flow(adata, dims=3).", cf.tl.predict) == {
        "dims"
    }


def set_in(slot, key, value):
    def change(adata):
        getattr(adata, slot)[key] = value(adata) if callable(value) else value

    return change


def drop(slot, *keys):
    def change(adata):
        for key in keys:
            del getattr(adata, slot)[key]

    return change


def without_times(adata):
    drop("obs", "hours", "cf_time", "cf_time_inferred")(adata)
    adata.obs["day"] = 1.0


def read_again(column):
    def change(adata):
        drop("obs", "cf_time", "cf_time_inferred")(adata)
        adata.obs["hours"] = column(adata)

    return change


def renamed_genes(adata):
    adata.var_names = [f"other{i}" for i in range(adata.n_vars)]


def repeated_genes(adata):
    adata.var_names = ["same", "same", *adata.var_names[2:]]


def part_of_the_record(*entries):
    def change(adata):
        record = dict(adata.uns["cellflow"])
        for entry in entries:
            record.pop(entry)
        adata.uns["cellflow"] = record

    return change


STATES = {
    "representation dropped": drop("obsm", "X_pca"),
    "fewer dimensions": set_in("obsm", "X_pca", lambda a: a.obsm["X_pca"][:, :2]),
    "other values": set_in("obsm", "X_pca", lambda a: a.obsm["X_pca"] + 1.0),
    "text": set_in("obsm", "X_pca", lambda a: a.obsm["X_pca"].astype(str)),
    "NaN": set_in(
        "obsm",
        "X_pca",
        lambda a: np.where(np.arange(a.n_obs)[:, None] == 3, np.nan, a.obsm["X_pca"]),
    ),
    "masked": set_in(
        "obsm",
        "X_pca",
        lambda a: pd.DataFrame(np.where(a.obsm["X_pca"] > 1, np.nan, 1), index=a.obs_names),
    ),
    "no times": without_times,
    "times are text": read_again(lambda a: "late"),
    "times are missing": read_again(lambda a: np.nan),
    "one time": read_again(lambda a: 12.0),
    "our times are text": set_in("obs", "cf_time", "late"),
    "our times are NaN": set_in("obs", "cf_time", np.nan),
    "whether inferred is text": set_in("obs", "cf_time_inferred", "no"),
    "genes renamed": renamed_genes,
    "genes repeated": repeated_genes,
    "no record": drop("uns", "cellflow"),
    "no model": part_of_the_record("model"),
    "foreign record": set_in("uns", "cellflow", 3),
}
QUESTIONS = {
    "tl.predict": lambda a: cf.tl.predict(a, time=20.0),
    "tl.push": lambda a: cf.tl.push(a, time=48.0),
    "tl.pull": lambda a: cf.tl.pull(a, time=0.0),
    "tl.sample": lambda a: cf.tl.sample(a, time=12.0, n_obs=3, n_steps=1),
    "tl.simulate": lambda a: cf.tl.simulate(a, [0], n_times=2),
    "tl.trajectories": lambda a: cf.tl.trajectories(a, n_times=2),
    "tl.velocity": lambda a: cf.tl.velocity(a, basis="umap", genes=[0]),
    "tl.age": cf.tl.age,
    "tl.generate": lambda a: cf.tl.generate(a, time=12.0, n_obs=3),
    "tl.refine": lambda a: cf.tl.refine(a, a, time=12.0, check=False),
    "get.velocity": lambda a: cf.get.velocity(a, [0]),
    "get.flow": cf.get.flow,
    "get.density": cf.get.density,
    "get.diagnosis": cf.get.diagnosis,
    "pl.stream": cf.pl.stream,
    "pl.trajectories": cf.pl.trajectories,
    "pl.loss": cf.pl.loss,
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_messages_of_a_question_name_arguments_that_it_has(fitted, name):
    """For any change to the cells since the fit, the remedy is possible in this call."""
    said = {}
    for state, change in STATES.items():
        adata = fitted.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            change(adata)
            try:
                QUESTIONS[name](adata)
            except CellFlowError as error:
                said[state] = str(error)
    assert {state: words_that_are_missing(text, PUBLIC[name]) for state, text in said.items()} == {
        state: set() for state in said
    }
    assert len(said) >= 1


FITS = {
    "missing representation": {"use_rep": "X_pac"},
    "missing column": {"time_key": "day"},
    "missing weights": {"weight_key": "w"},
    "picture": {"use_rep": "X_umap"},
    "too many dimensions": {"n_dims": 50},
    "names taken": {"key_added": "taken"},
    "unusable name": {"key_added": "a/b"},
    "text as weights": {"weight_key": "word"},
}
FITTING = {
    "tl.flow": cf.tl.flow,
    "tl.density": cf.tl.density,
    "bench.holdout": cf.bench.holdout,
    "bench.tune": cf.bench.tune,
}


@pytest.mark.parametrize("name", FITTING)
def test_messages_of_a_fit_name_arguments_that_it_has(cells, name, frozen):
    cells.obs["word"], cells.uns["taken"], cells.uns["taken_densities"] = "x", 3, 3
    for arguments in FITS.values():
        with frozen(cells), pytest.raises(CellFlowError) as caught:
            FITTING[name](cells, **{"time_key": "hours"} | arguments)
        assert words_that_are_missing(str(caught.value), FITTING[name]) == set()


# Arrays -------------------------------------------------------------------------------------------

CLOUD = np.random.default_rng(0).normal(size=(40, 3))
OTHER = np.random.default_rng(1).normal(size=(30, 3))
#: What is no cloud of cells, though numpy would take it.
NO_ARRAYS = {
    "sparse": sp.csr_matrix(CLOUD),
    "sparse array": sp.coo_array(CLOUD),
    "text": CLOUD.astype(str),
    "one word": "x",
    "complex": CLOUD + 1j,
    "dates": CLOUD.astype("datetime64[s]"),
    "durations": CLOUD.astype("timedelta64[s]"),
    "objects": CLOUD.astype(object),
    "ragged": [[1.0, 2.0, 3.0], [1.0]],
    "masked": np.ma.masked_array(np.where(CLOUD > 1, 1e6, CLOUD), CLOUD > 1),
    "NaN": np.where(CLOUD > 2, np.nan, CLOUD),
    "infinite": np.where(CLOUD > 2, np.inf, CLOUD),
    "1e160": CLOUD * 1e160,
    "one-dimensional": CLOUD[:, 0],
    "nothing": np.empty((0, 3)),
    "None": None,
}
TAKING_CLOUDS = {
    **{name: lambda x, m=metric: m(x, OTHER) for name, metric in METRICS.items()},
    **{f"{name}, second": lambda x, m=metric: m(OTHER, x) for name, metric in METRICS.items()},
    "Population": lambda x: cf.Population(x, 0.0),
    "Snapshots": lambda x: cf.Snapshots.from_arrays(x, np.arange(40.0) % 2),
    "kde": lambda x: cf.densities.fit_density(x, method="kde"),
    "coupling": lambda x: Sparse()(cf.Population(x, 0.0), cf.Population(OTHER, 1.0)),
    "integrate": lambda x: integrate(lambda t, y: y, x, 0.0, np.array([1.0]), step=0.5),
}


@pytest.mark.parametrize("call", TAKING_CLOUDS)
def test_what_is_no_cloud_is_refused_by_name(call):
    taken = []
    for kind, value in NO_ARRAYS.items():
        try:
            TAKING_CLOUDS[call](value)
        except InputError:
            continue
        taken.append(kind)
    assert taken == []


@pytest.mark.parametrize(
    "value",
    [CLOUD.astype("f4"), CLOUD.astype("f2"), np.ma.masked_array(CLOUD), pd.DataFrame(CLOUD)],
)
def test_other_containers_of_real_numbers_are_taken(value):
    assert as_array("x", value, shape="(n, d)").dtype.kind == "f"
    assert cf.metrics.mean_error(value, OTHER) == pytest.approx(
        cf.metrics.mean_error(CLOUD, OTHER), abs=1e-2
    )


@pytest.mark.parametrize(
    "weight",
    [-np.ones(3), np.zeros(3), np.ones(2), [1, np.nan, 1], ["a", "b", "c"], 3.0, [1, np.inf, 1]],
)
def test_what_are_no_weights(weight):
    with pytest.raises(InputError, match=r"^`w` "):
        as_weights("`w`", weight, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": np.full((2, 4), np.nan)}, "x has nan"),
        ({"x": np.ones((2, 4)) * 1j}, "x has dtype complex"),
        ({"x": sp.csr_matrix(np.ones((2, 4)))}, r"x\.toarray"),
        ({"t": np.nan}, "t has nan"),
        ({"t": "noon"}, "t has dtype"),
        ({"t": [1.0, 2.0, 3.0]}, r"t has shape \(3,\)"),
        ({"t": None}, "t has dtype object"),
    ],
)
def test_questions_to_a_flow_that_have_no_answer(fitted, arguments, words):
    flow = cf.get.flow(fitted)
    with pytest.raises(InputError, match=words):
        flow.velocity(**{"x": np.ones((2, 4)), "t": 1.0} | arguments)


@pytest.mark.parametrize(
    "arguments",
    [{"step": "a"}, {"step": -1.0}, {"t0": None}, {"times": ["a"]}, {"method": ["rk4"]}],
)
def test_ways_that_no_solver_takes(arguments):
    given = {"t0": 0.0, "times": np.array([1.0]), "step": 0.5} | arguments
    with pytest.raises(InputError, match=next(iter(arguments))):
        integrate(lambda t, x: x, np.ones((3, 2)), given.pop("t0"), given.pop("times"), **given)


def test_a_field_of_another_shape_is_not_broadcast():
    with pytest.raises(InputError, match=r"returned shape \(.*, 1\)"):
        integrate(lambda t, x: x[:, :1], np.ones((3, 2)), 0.0, np.array([1.0]), step=0.1)


@pytest.mark.parametrize("scale", [1e-20, 1e-3, 1e3, 1e20])
def test_the_unit_of_positions_does_not_matter_to_a_density(scale):
    density = cf.densities.fit_density(CLOUD * scale, method="gmm")
    expected = cf.densities.fit_density(CLOUD, method="gmm").log_prob(OTHER) - 3 * np.log(scale)
    np.testing.assert_allclose(density.log_prob(OTHER * scale), expected, rtol=1e-6)


# Counts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [10**10, 10**12, 10**18, np.int64(2**62)])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("n_obs", lambda a, n: cf.tl.predict(a, time=30.0, n_obs=n)),
        ("n_obs", lambda a, n: cf.tl.sample(a, time=12.0, n_obs=n)),
        ("n_steps", lambda a, n: cf.tl.sample(a, time=12.0, n_obs=2, n_steps=n)),
        ("n_times", lambda a, n: cf.tl.trajectories(a, n_times=n)),
        ("n_times", lambda a, n: cf.tl.age(a, n_times=n)),
        ("n_rep", lambda a, n: cf.get.flow(a).diffuse(np.ones((2, 4)), 0.0, [1.0], n_rep=n)),
        ("n", lambda a, n: cf.get.flow(a).sample(n, 1.0)),
        ("n_obs", lambda a, n: cf.datasets.simulate("two_well", n_obs=n)),
        (
            "n_projections",
            lambda a, n: cf.metrics.sliced_wasserstein(CLOUD, OTHER, n_projections=n),
        ),
        ("n_boot", lambda a, n: cf.metrics.estimate("w1", CLOUD, OTHER, n_boot=n)),
        (
            "n_splits",
            lambda a, n: cf.bench.holdout(
                a, "hours", methods=quick_recipe(), n_splits=n, write=False
            ),
        ),
        (
            "n",
            lambda a, n: cf.densities.fit_density(CLOUD, method="gmm").sample(
                n, np.random.default_rng(0)
            ),
        ),
    ],
)
def test_a_count_says_its_limit_before_memory_is_taken(fitted, name, call, count):
    with pytest.raises(InputError, match=rf"^{name}=.*expected at most [\d,]+"):
        call(fitted, count)


def test_the_limit_of_a_count_is_one_of_memory():
    assert as_count("n", 2**28, each=8) == 2**28
    with pytest.raises(
        InputError, match=r"would take 4 GB; expected at most 268,435,456, which take 2 GB"
    ):
        as_count("n", 2**29, each=8)


@pytest.mark.parametrize("times", [[0.0, 1e12], [0.0, 1e6], [1e50]])
def test_a_simulation_without_an_end_in_sight_is_refused(times):
    with pytest.raises(InputError, match=r"expected at most 100,000, times up to 200"):
        cf.datasets.simulate("two_well", n_obs=2, times=times)


# Contents -----------------------------------------------------------------------------------------


def moved(by, to=1.0, cell=40):
    def change(adata):
        x = adata.obsm["X_pca"].astype(np.float64) * to
        x[cell] += by
        adata.obsm["X_pca"] = x

    return change


def findings(adata, **more):
    table = cf.pp.check(adata, "hours", **more)
    return table[table["severity"] != "note"]


@pytest.mark.parametrize("by", [1e3, -1e4, 1e6])
@pytest.mark.parametrize("to", [1e-6, 1.0, 1e6])
def test_a_cell_that_is_extremely_far_is_a_warning_in_any_unit(cells, by, to):
    moved(by * to, to)(cells)
    found = findings(cells)
    assert found["found"].str.contains(
        "1 cells that are extremely far .*first: 'cell40'"
    ).tolist() == [True]
    assert found["severity"].tolist() == ["warning"]


@pytest.mark.parametrize("by", [1e12, 1e20, 1e30])
def test_a_value_beside_which_all_others_are_one_point_is_refused(cells, by, frozen):
    moved(by)(cells)
    with frozen(cells), pytest.raises(InputError, match=r"extremely far .* Remove these cells"):
        cf.tl.flow(cells, "hours", method=quick_recipe())


def ordinary(kind):
    rng = np.random.default_rng(3)
    time = np.repeat([0.0, 1.0, 50.0], 100)
    clouds = {
        "normal": rng.normal(size=(300, 5)),
        "student": rng.standard_t(4, size=(300, 5)),
        "lognormal": np.exp(rng.normal(size=(300, 5))),
        "late jump": rng.normal(size=(300, 5)) + 1000.0 * time[:, None],
        "two lineages": (
            rng.normal(size=(300, 5)) * 0.01 + np.where(np.arange(300) % 2, 5.0, -5.0)[:, None]
        ),
        "two uneven lineages": (
            rng.normal(size=(300, 5)) * 0.01 + np.where(np.arange(300) % 7, 5.0, -5.0)[:, None]
        ),
        "one component dominates": rng.normal(size=(300, 5)) * [100.0, 1.0, 1.0, 1.0, 0.01],
        "sparse": rng.normal(size=(300, 5)) * (rng.random((300, 5)) < 0.2),
        "one tight start": rng.normal(size=(300, 5)) * np.where(time[:, None] == 0, 1e-4, 1.0),
        "equal cells": np.repeat(rng.normal(size=(30, 5)), 10, axis=0),
    }
    obs = pd.DataFrame({"hours": time}, index=[f"c{i}" for i in range(300)])
    return ad.AnnData(obs=obs, obsm={"X_pca": clouds[kind].astype(np.float32)})


@pytest.mark.parametrize(
    "kind",
    [
        "normal",
        "student",
        "lognormal",
        "late jump",
        "two lineages",
        "two uneven lineages",
        "one component dominates",
        "sparse",
        "one tight start",
        "equal cells",
    ],
)
def test_ordinary_clouds_are_no_alarm(kind):
    assert len(findings(ordinary(kind))) == 0


@pytest.mark.parametrize(
    ("offset", "scale", "severity"),
    [
        (1e8, 1.0, "error"),
        (1e10, 1.0, "error"),
        (-1e8, 1.0, "error"),
        (1e6, 1.0, "warning"),
        (1e12, 1e6, "warning"),
        (3e5, 0.3, "warning"),
        (0.0, 1e-44, "warning"),
        (1e4, 1.0, None),
        (0.0, 1.0, None),
        (0.0, 1e-30, None),
        (1e30, 1e28, None),
    ],
)
def test_what_float32_does_to_positions_is_told(cells, offset, scale, severity):
    cells.obsm["X_pca"] = cells.obsm["X_pca"].astype(np.float64) * scale + offset
    found = findings(cells)
    assert found["severity"].unique().tolist() == ([] if severity is None else [severity])
    assert found["found"].str.contains("loses precision in float32").all()


@pytest.mark.parametrize(
    "name",
    [
        "X_draw_graph_fa",
        "X_draw_graph_fr",
        "X_spring",
        "X_SPRING",
        "X_fa2",
        "X_fa",
        "X_forceatlas2",
        "X_force_directed",
        "X_kk",
        "X_fr",
        "X_drl",
        "X_umap",
        "X_tsne",
        "X_phate",
    ],
)
def test_pictures_are_refused(cells, name):
    cells.obsm[name] = cells.obsm["X_umap"]
    with pytest.raises(InputError, match="is an embedding for drawing"):
        cf.tl.flow(cells, "hours", use_rep=name)


@pytest.mark.parametrize(
    "name", ["X_pca", "X_scVI", "X_factor", "X_harmony", "X_face", "X_lsi", "X_frame", "X_fast"]
)
def test_representations_are_no_pictures(cells, name):
    cells.obsm[name] = cells.obsm["X_pca"]
    assert len(findings(cells, use_rep=name)) == 0


def masked(adata):
    adata.X = np.ma.masked_array(adata.X.toarray())


def surrogates(adata):
    adata.obs_names = [f"cell{i}\udcff" for i in range(adata.n_obs)]


def surrogate_genes(adata):
    adata.var_names = [f"gene{i}\udc80" for i in range(adata.n_vars)]


LOADINGS = {
    "sparse": lambda a: sp.csr_matrix(a.varm["PCs"]),
    "sparse array": lambda a: sp.csc_array(a.varm["PCs"]),
    "text": lambda a: pd.DataFrame({"a": ["x"] * 12}, index=a.var_names),
    "a frame": lambda a: pd.DataFrame(a.varm["PCs"], index=a.var_names),
    "too narrow": lambda a: a.varm["PCs"][:, :2],
    "NaN": lambda a: np.full((12, 4), np.nan),
    "complex": lambda a: a.varm["PCs"] + 0j,
    "three-dimensional": lambda a: np.ones((12, 4, 2)),
}


@pytest.mark.parametrize(
    "change",
    [
        masked,
        surrogates,
        surrogate_genes,
        *(set_in("varm", "PCs", value) for value in LOADINGS.values()),
    ],
    ids=["masked X", "names", "names of genes", *LOADINGS],
)
def test_odd_contents_that_say_what_they_mean_are_read(cells, change):
    change(cells)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        cf.tl.flow(cells, "hours", method=quick_recipe())
    cf.tl.predict(cells, time=20.0)


def test_loadings_are_used_however_they_are_stored(cells):
    kinds = []
    for value in (LOADINGS["sparse"], LOADINGS["a frame"]):
        adata = cells.copy()
        adata.varm["PCs"] = value(cells)
        cf.tl.flow(adata, "hours", method=quick_recipe())
        kinds.append(cf.get.flow(adata).decoder.loadings)
    cf.tl.flow(cells, "hours", method=quick_recipe())
    for loadings in kinds:
        np.testing.assert_array_equal(loadings, cf.get.flow(cells).decoder.loadings)


def test_masked_expression_is_a_gap_and_no_number(cells):
    x = cells.X.toarray()
    cells.X = np.ma.masked_array(x, x > np.quantile(x, 0.99))
    with pytest.raises(InputError, match="not finite"):
        cf.tl.flow(cells, "hours", method=quick_recipe())


@pytest.mark.parametrize("call", ["flow", "density", "holdout", "tune"])
def test_a_view_of_a_file_is_refused_before_any_work(cells, call, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    view = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")[::2]
    home = cf.bench if call in {"holdout", "tune"} else cf.tl
    with pytest.raises(InputError, match=r"adata\.to_memory\(\)"):
        getattr(home, call)(view, "hours")
    view.file.close()


@pytest.mark.parametrize("column", [[0, 10**400], [0.0, 1e300], [0.0, -np.inf], [0, 2**70]])
def test_times_beyond_numbers(cells, column):
    cells.obs["hours"] = pd.Series(
        np.array(column, dtype=object)[np.arange(90) % 2], index=cells.obs_names, dtype=object
    )
    found = findings(cells)
    assert (len(found) == 0) == (column[1] == 2**70)


def test_expression_that_does_not_vary_has_no_pca(cells):
    cells.X = sp.csr_matrix(cells.shape, dtype=np.float32)
    with pytest.raises(InputError, match=r"adata\.X is 0 everywhere"):
        cf.bench.holdout(cells, "hours", methods=quick_recipe(), metrics="w1", write=False)


def test_strings_of_pandas_3_are_read_fitted_held_out_and_reported(tmp_path):
    with pd.option_context("future.infer_string", True):
        adata = make_cells()
        adata.obs["when"] = pd.Series(
            adata.obs["hours"].astype(int).astype(str) + "h", index=adata.obs_names
        )
        adata.obs["kind"] = pd.Series(["a", "b"] * 45, index=adata.obs_names)
        cf.tl.flow(adata, "when", condition_key="kind", method=quick_recipe())
        assert cf.tl.predict(adata, time="12h", condition="a").n_obs > 0
        cf.bench.holdout(adata, "when", methods=quick_recipe(), metrics="w1", n_splits=1)
        assert (
            cf.bench.report(adata, tmp_path / "report.html", cluster_key="kind").stat().st_size > 0
        )
