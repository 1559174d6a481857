"""The fitted flow: recovery of known dynamics, reproducibility, files."""

import json
import sys
from dataclasses import replace
from functools import partial
from types import ModuleType

import numpy as np
import pytest
import torch
from cellflow.recipes import Head, Recipe

from cellflow import recipes
from cellflow.core.decoder import Decoder
from cellflow.core.population import Population, Snapshots
from cellflow.couplings import Exact
from cellflow.errors import InputError, ModelFileError, SetupError
from cellflow.fields import MLP, Potential
from cellflow.model.fitting import couple, fit
from cellflow.model.flow import Flow
from cellflow.model.state import FORMAT
from cellflow.paths import Linear
from cellflow.training import Training

QUICK = Training(steps=60, batch_size=128, record_every=20)


def gaussians(n=400, times=(0.0, 1.0), seed=0):
    """N((0, 0), I) moving to N((3 t, 0), diag((1 + t)^2, 1)) on optimal paths: x_t = ((1 + t) x + 3
    t, y).
    """
    rng = np.random.default_rng(seed)
    return Snapshots(
        tuple(
            Population(rng.normal(size=(n, 2)) * [1.0 + t, 1.0] + [3.0 * t, 0.0], t) for t in times
        ),
    )


@pytest.fixture(scope="module")
def quick():
    return fit(gaussians(), recipes.ot_cfm(training=QUICK))


def test_gaussian_to_gaussian_recovers_the_optimal_transport_velocity():
    flow = fit(gaussians(1500), recipes.ot_cfm(training=Training(steps=1000)))
    rng = np.random.default_rng(1)
    for t in (0.2, 0.5, 0.8):
        start = rng.normal(size=(500, 2))
        x = start * [1.0 + t, 1.0] + [3.0 * t, 0.0]
        exact = start * [1.0, 0.0] + [3.0, 0.0]
        error = np.sqrt(((flow.velocity(x, t) - exact) ** 2).sum(axis=1).mean())
        assert error < 0.1 * np.sqrt((exact**2).sum(axis=1).mean())
    moved = flow.simulate(rng.normal(size=(4000, 2)), 0.0, [1.0]).x[0]
    np.testing.assert_allclose(moved.mean(axis=0), [3.0, 0.0], atol=0.15)
    np.testing.assert_allclose(moved.std(axis=0), [2.0, 1.0], atol=0.15)


@pytest.mark.parametrize("method", ["i-cfm", "sb-cfm", "vp-cfm"])
def test_every_method_carries_the_marginals(method):
    recipe = recipes.by_name(method)
    flow = fit(gaussians(1000), replace(recipe, training=Training(steps=800)))
    source = np.random.default_rng(2).normal(size=(3000, 2))
    moved = flow.simulate(source, 0.0, [1.0]).x[0]
    np.testing.assert_allclose(moved.mean(axis=0), [3.0, 0.0], atol=0.25)
    np.testing.assert_allclose(moved.std(axis=0), [2.0, 1.0], atol=0.25)


def test_rescaling_time_rescales_velocities_and_nothing_else():
    # A power of two changes exponents only, so the two fits agree to the last bit.
    fits = {}
    for factor in (1.0, 64.0):
        snapshots = Snapshots(
            tuple(
                Population(p.x, p.time * factor)
                for p in gaussians(times=(0.0, 1.0, 3.0)).populations
            )
        )
        fits[factor] = fit(snapshots, recipes.ot_cfm(training=QUICK))
    x = np.random.default_rng(3).normal(size=(20, 2))
    np.testing.assert_array_equal(fits[1.0].velocity(x, 0.75), 64.0 * fits[64.0].velocity(x, 48.0))
    np.testing.assert_array_equal(fits[1.0].history["loss"], fits[64.0].history["loss"])
    np.testing.assert_allclose(
        fits[1.0].simulate(x, 0.0, [2.0]).x, fits[64.0].simulate(x, 0.0, [128.0]).x, rtol=1e-6
    )


def test_plans_that_were_solved_before_give_the_same_fit_and_no_other_is_taken():
    snapshots = gaussians(80, times=(0.0, 1.0, 3.0))
    plans = couple(snapshots, recipes.curved_cfm())
    given, own = (
        fit(snapshots, recipes.curved_cfm(training=QUICK), plans=p) for p in (plans, None)
    )
    x = np.random.default_rng(3).normal(size=(20, 2))
    np.testing.assert_array_equal(given.velocity(x, 0.5), own.velocity(x, 0.5))
    assert given.plans.keys() == own.plans.keys()
    # The same coupling serves every path.
    fit(snapshots, recipes.ot_cfm(training=QUICK), plans=plans)
    for other, recipe, scale in (
        (gaussians(81, times=(0.0, 1.0, 3.0)), "curved-cfm", "joint"),
        (gaussians(80, times=(0.0, 1.0, 3.0), seed=1), "curved-cfm", "joint"),
        (snapshots, "sb-cfm", "joint"),
        (snapshots, "curved-cfm", "each"),
    ):
        with pytest.raises(InputError, match="Pass what `couple` returns"):
            fit(other, recipe, plans=plans, scale=scale)
    tiny, twice = (
        snapshots.moved([c * p.x for p in snapshots.populations]) for c in (1e-12, 2e-12)
    )
    with pytest.raises(InputError, match="in other model coordinates"):
        fit(twice, "curved-cfm", plans=couple(tiny, "curved-cfm"))
    with pytest.raises(InputError, match="couples nothing"):
        couple(snapshots, "fm")
    with pytest.raises(InputError, match="couples nothing; omit plans="):
        fit(snapshots, "fm", plans=plans)


def test_curved_paths_carry_populations_round_a_bend():
    rng = np.random.default_rng(0)
    angles = np.linspace(0, 0.5 * np.pi, 4)
    snapshots = Snapshots(
        tuple(
            Population(
                rng.normal(size=(300, 2)) * 0.3 + 5 * np.array([np.cos(a), np.sin(a)]), float(t)
            )
            for t, a in enumerate(angles)
        )
    )
    rest = snapshots.without(1.0)
    errors = {}
    for method in ("ot-cfm", "curved-cfm"):
        flow = fit(rest, replace(recipes.by_name(method), training=Training(steps=500)))
        errors[method] = np.linalg.norm(
            flow.simulate(rest[0].x, 0.0, [1.0]).x[0].mean(axis=0)
            - snapshots.at(1.0).x.mean(axis=0)
        )
    assert errors["curved-cfm"] < 0.65 * errors["ot-cfm"]


def test_moving_and_scaling_the_data_moves_and_scales_the_flow():
    fits = {}
    for scale, shift in ((1.0, 0.0), (8.0, 100.0)):
        snapshots = Snapshots(
            tuple(Population(p.x * scale + shift, p.time) for p in gaussians().populations)
        )
        fits[scale] = fit(snapshots, recipes.ot_cfm(training=QUICK))
    x = np.random.default_rng(3).normal(size=(20, 2))
    moved = fits[8.0].velocity(8.0 * x + 100.0, 0.5)
    np.testing.assert_allclose(8.0 * fits[1.0].velocity(x, 0.5), moved, rtol=1e-3, atol=1e-3)


def test_P3_one_seed_gives_the_same_bits(quick):
    again = fit(gaussians(), recipes.ot_cfm(training=QUICK), random_state=np.int64(0))
    for name, value in quick.dynamics.state_dict().items():
        torch.testing.assert_close(value, again.dynamics.state_dict()[name], rtol=0, atol=0)
    other = fit(gaussians(), recipes.ot_cfm(training=QUICK), random_state=1)
    x = np.zeros((1, 2))
    assert not np.array_equal(other.velocity(x, 0.5), quick.velocity(x, 0.5))


def test_P8_global_state_is_untouched():
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 (the user's global generator is what must not move)
    expected = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    fit(gaussians(), recipes.ot_cfm(training=QUICK)).simulate(np.zeros((3, 2)), 0.0, [0.5])
    torch.testing.assert_close(torch.rand(3), expected[0])
    np.testing.assert_array_equal(np.random.rand(3), expected[1])  # noqa: NPY002
    assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, dtype)


def test_P9_a_cell_does_not_depend_on_the_cells_asked_with_it(quick):
    x = np.random.default_rng(4).normal(size=(3000, 2))
    t = np.random.default_rng(5).random(3000)
    rows = np.random.default_rng(6).permutation(3000)[:70]
    np.testing.assert_array_equal(quick.velocity(x, t)[rows], quick.velocity(x[rows], t[rows]))
    np.testing.assert_array_equal(quick.velocity(x[:1], t[:1]), quick.velocity(x, t)[:1])


def test_the_plans_and_the_recipe_are_recorded(quick):
    assert list(quick.plans) == ["0.0_to_1.0"]
    summary = quick.plans["0.0_to_1.0"]
    assert summary["n_source"] == summary["n_target"] == 400
    assert summary["gap"] <= 1e-3
    assert summary["reason"]
    assert quick.recipe["name"] == "ot-cfm"
    assert quick.recipe["training"]["steps"] == 60
    json.dumps(quick.state()[0], allow_nan=False)


def test_sigma_auto_is_resolved_by_the_median_gap():
    flow = fit(gaussians(times=(0.0, 4.0)), replace(recipes.sb_cfm(), training=QUICK))
    assert (
        flow.recipe["path"]["sigma"]
        == flow.recipe["coupling"]["sigma"]
        == flow.dynamics.sigma
        == 0.25
    )


@pytest.mark.parametrize(
    "builder",
    [partial(MLP, width=8), partial(Potential, field=partial(MLP, width=8, activation="tanh"))],
)
def test_save_and_load(tmp_path, builder):
    flow = fit(gaussians(), recipes.ot_cfm(field=builder, training=QUICK))
    decoder = Decoder(
        np.array([1.0, 2.0, 3.0]), np.ones((3, 2)), np.array(["A", "B", "é"]), "loadings", 0.5
    )
    flow = flow.with_decoder(decoder)
    flow.save(tmp_path / "model")
    assert {p.name for p in (tmp_path / "model").iterdir()} == {"flow.json", "flow.safetensors"}
    loaded = Flow.load(tmp_path / "model")
    x = np.random.default_rng(7).normal(size=(5, 2))
    np.testing.assert_array_equal(loaded.velocity(x, 0.3), flow.velocity(x, 0.3))
    np.testing.assert_array_equal(loaded.history["loss"], flow.history["loss"])
    assert loaded.state()[0] == flow.state()[0]
    assert loaded.decoder.genes.tolist() == ["A", "B", "é"]
    flow.save(tmp_path / "model")
    assert Flow.load(tmp_path / "model").seed == 0
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def hidden():
    class Mine(torch.nn.Module):
        """A network without an import path."""

        def __init__(self, dim, clock, *, gain=1.0):
            super().__init__()
            self.gain, self.linear = gain, torch.nn.Linear(dim, dim)

        def forward(self, t, x):
            return self.gain * self.linear(x)

    return Mine


class Imported(hidden()):
    """A network that a description finds where its module is imported."""


def test_a_network_of_ones_own_comes_back_when_it_is_named(tmp_path):
    mine = hidden()
    flow = fit(gaussians(), recipes.ot_cfm(field=partial(mine, gain=2.0), training=QUICK))
    flow.save(tmp_path / "model")
    with pytest.raises(ModelFileError, match=r"fields=\{'Mine'"):
        Flow.load(tmp_path / "model")
    with pytest.raises(InputError, match="network classes by name"):
        Flow.load(tmp_path / "model", fields=[mine])
    loaded = Flow.load(tmp_path / "model", fields={"Mine": mine})
    np.testing.assert_array_equal(
        loaded.velocity(np.ones((1, 2)), 0.5), flow.velocity(np.ones((1, 2)), 0.5)
    )


def test_a_network_of_an_imported_module_comes_back(monkeypatch):
    monkeypatch.setitem(sys.modules, Imported.__module__, SimpleModule(Imported))
    flow = fit(gaussians(), recipes.ot_cfm(field=partial(Imported, gain=2.0), training=QUICK))
    again = Flow.from_state(*flow.state())
    x = np.ones((1, 2))
    np.testing.assert_array_equal(again.velocity(x, 0.5), flow.velocity(x, 0.5))
    assert recipes.from_description(flow.recipe).networks["velocity"].func is Imported
    assert flow.recipe["heads"]["velocity"]["network"]["class"] == f"{__name__}:Imported"


def SimpleModule(*members):
    """A module with some members, as the import system would have it."""
    module = ModuleType("own")
    vars(module).update({member.__name__: member for member in members})
    return module


# Heads ------------------------------------------------------------------------------------------


def growing(dynamics, sample):
    """Regress a rate on the first coordinate of the cells."""
    rate = dynamics.rate("growth", sample.t, sample.x, sample.context)
    return (rate - sample.x[:, 0]).square().mean()


@pytest.fixture(scope="module")
def grown():
    recipe = recipes.ot_cfm(training=QUICK).with_score(training=QUICK)
    return fit(
        gaussians(),
        recipe.with_head("growth", Head(partial(MLP, out_dim=1), growing, along="log_weight")),
    )


def test_a_rate_is_integrated_beside_the_state(grown):
    x = np.random.default_rng(0).normal(size=(20, 2))
    assert grown.heads == ("velocity", "score", "growth")
    assert set(grown.history) >= {"loss_velocity", "loss_score", "loss_growth"}
    moved = grown.simulate(x, 0.0, np.linspace(0.0, 1.0, 101))
    rates = [grown.head("growth", z, t) for z, t in zip(moved.x, moved.times, strict=True)]
    expected = np.diff(moved.times) @ (0.5 * (np.array(rates)[1:] + np.array(rates)[:-1]))
    np.testing.assert_allclose(moved.along["log_weight"][-1], expected, atol=1e-3)
    np.testing.assert_array_equal(moved.log_weight, moved.along["log_weight"])
    noisy = grown.diffuse(x, 0.5, [0.0, 0.5, 1.0], n_rep=2)
    assert noisy.along["log_weight"].shape == (3, 40)
    assert not noisy.log_weight[1].any()


def test_every_head_is_asked_by_its_name(grown, quick):
    x = np.random.default_rng(0).normal(size=(5, 2))
    np.testing.assert_array_equal(grown.head("velocity", x, 0.5), grown.velocity(x, 0.5))
    np.testing.assert_array_equal(grown.head("score", x, 0.5), grown.score(x, 0.5))
    assert grown.head("growth", x, 0.5).shape == (5,)
    for name in ("score", "growth"):
        with pytest.raises(InputError, match=f"No head '{name}'; the fit has"):
            quick.head(name, x, 0.5)


def test_heads_are_stored_by_their_names(grown, tmp_path):
    x = np.random.default_rng(0).normal(size=(5, 2))
    grown.save(tmp_path / "model")
    again = Flow.load(tmp_path / "model")
    assert {"dynamics.velocity", "dynamics.score", "dynamics.growth"} == {
        ".".join(name.split(".")[:2]) for name in again.state()[1] if name.startswith("dynamics.")
    }
    np.testing.assert_array_equal(again.head("growth", x, 0.5), grown.head("growth", x, 0.5))
    np.testing.assert_array_equal(
        again.simulate(x, 0.0, [1.0]).log_weight, grown.simulate(x, 0.0, [1.0]).log_weight
    )


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (("growth", Head(MLP, growing, along="log_weight")), r"expected \(128,\) or \(128, 1\)"),
        (("forward", Head(MLP, growing)), "which torch modules use"),
        (("growth", MLP), "expected a cellflow.recipes.Head"),
        (("velocity", Head(None, growing)), "expected a network 'velocity'"),
    ],
)
def test_heads_that_cannot_be_are_refused(head, message):
    with pytest.raises(InputError, match=message):
        fit(gaussians(50), recipes.ot_cfm(training=QUICK).with_head(*head))


def test_old_spellings_of_a_recipe_mean_the_same():
    parts = ("mine", Exact(), Linear())
    with pytest.warns(FutureWarning, match="Recipe.*heads="):
        old = Recipe(*parts, field=MLP, objectives={"velocity": growing}, score=MLP)
    new = Recipe(*parts, {"velocity": Head(MLP, growing)}).with_score(training=Training())
    assert old == new
    with pytest.warns(FutureWarning, match="Recipe.*heads="):
        assert Recipe(*parts, MLP) == Recipe(*parts)
    with pytest.warns(FutureWarning, match="recipe.score is now"):
        assert old.score is MLP
    with pytest.warns(FutureWarning, match="Recipe.*heads="):
        assert replace(old, score=None) == Recipe(*parts, {"velocity": Head(MLP, growing)})


def test_a_path_of_ones_own_needs_the_two_formulas_only():
    class Straight:
        def mean(self, t, pairs):
            # In the precision of the times, which is higher than that of the states.
            u = (t - pairs.t0) / (pairs.t1 - pairs.t0)
            return pairs.x0 + u[:, None] * (pairs.x1 - pairs.x0)

        def std(self, t, pairs):
            return Linear().std(t, pairs)

    recipe = recipes.ot_cfm(training=QUICK)
    own = fit(gaussians(), replace(recipe, path=Straight()))
    x = np.ones((2, 2))
    found = fit(gaussians(), recipe).velocity(x, 0.5)
    np.testing.assert_allclose(own.velocity(x, 0.5), found, rtol=1e-3)
    with pytest.raises(InputError, match="object with mean"):
        replace(recipe, path=Exact())


def test_the_scale_belongs_to_the_recipe():
    recipe = replace(recipes.ot_cfm(training=QUICK), scale="each")
    own = fit(gaussians(), recipe)
    given = fit(gaussians(), recipes.ot_cfm(training=QUICK), scale="each")
    np.testing.assert_array_equal(own.frame.scale, given.frame.scale)
    assert own.recipe["scale"] == given.recipe["scale"] == "each"
    assert couple(gaussians(), recipe).frame.scale.tolist() == own.frame.scale.tolist()


def test_the_device_is_remembered_where_it_is_there(quick):
    config, arrays = quick.state()
    assert config["device"] == "cpu"
    assert Flow.from_state(config | {"device": "cuda:63"}, arrays).device.type == "cpu"


@pytest.mark.parametrize("name", ["flow.json", "flow.safetensors"])
def test_P5_a_flipped_bit_is_noticed(tmp_path, quick, name):
    quick.save(tmp_path / "model")
    file = tmp_path / "model" / name
    content = bytearray(file.read_bytes())
    # A digit of the clock in the configuration, a byte of a weight in the arrays.
    place = content.index(b'"unit": 1.0') + 8 if name == "flow.json" else len(content) - 9
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelFileError, match=f"{name} is damaged"):
        Flow.load(tmp_path / "model")


def test_a_newer_format_asks_for_an_upgrade(quick):
    config, arrays = quick.state()
    with pytest.raises(ModelFileError, match="Upgrade"):
        Flow.from_state(config | {"format": FORMAT + 1, "version": "9.1"}, arrays)


@pytest.mark.parametrize("missing", ["dynamics.velocity.net.0.weight", "frame.shift"])
def test_missing_arrays_are_an_error(quick, missing):
    config, arrays = quick.state()
    with pytest.raises(ModelFileError, match="do not fit together"):
        Flow.from_state(config, {k: v for k, v in arrays.items() if k != missing})


def test_a_folder_with_other_things_is_not_overwritten(tmp_path, quick):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ModelFileError, match="exists"):
        quick.save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_not_a_model_is_a_clear_error(tmp_path):
    with pytest.raises(ModelFileError, match="does not hold a saved flow"):
        Flow.load(tmp_path)


def test_one_snapshot_is_an_error():
    with pytest.raises(InputError, match="At least two snapshots"):
        fit(gaussians(times=(0.0,)))


@pytest.mark.parametrize(("device", "error"), [("gpu", InputError), ("cuda:7", SetupError)])
def test_a_device_that_is_not_there_lists_those_that_are(device, error):
    with pytest.raises(error, match="cpu"):
        fit(gaussians(), device=device)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "all"])
def test_bad_threads_are_refused(threads):
    with pytest.raises(InputError, match="threads"):
        fit(gaussians(), threads=threads)


def test_threads_auto_records_its_choice():
    flow = fit(gaussians(), recipes.ot_cfm(training=QUICK), threads="auto")
    assert flow.threads >= 1
    assert flow.state()[0]["threads"] == flow.threads


@pytest.mark.parametrize("x", [np.zeros((3, 5)), np.zeros(2), np.zeros((0, 2))])
def test_cells_of_another_shape_are_refused(quick, x):
    with pytest.raises(InputError, match="shape"):
        quick.velocity(x, 0.5)


def test_to_another_device_leaves_the_first_where_it_is(quick):
    moved = quick.to("cpu")
    assert moved.dynamics is not quick.dynamics
    np.testing.assert_array_equal(
        moved.velocity(np.ones((2, 2)), 0.5), quick.velocity(np.ones((2, 2)), 0.5)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"snapshots": np.zeros((3, 2))}, "is of type ndarray; expected Snapshots"),
        ({"recipe": "ot-cmf"}, "did you mean 'ot-cfm'"),
        ({"recipe": 3}, "neither a Recipe nor one of"),
        ({"callback": 3}, "callback=3; expected a function"),
        ({"device": None}, "device='None' is not available"),
        ({"random_state": 2**200}, "is no seed"),
    ],
)
def test_P2_bad_arguments_are_refused_before_any_work(arguments, message, monkeypatch):
    monkeypatch.setattr(
        "cellflow.model.fitting.couple",
        lambda *_: pytest.fail("work before the arguments were looked at"),
    )
    cells = Snapshots.from_arrays(np.arange(8.0).reshape(4, 2), np.array([0.0, 0.0, 1.0, 1.0]))
    with pytest.raises(InputError, match=message):
        fit(**({"snapshots": cells} | arguments))


def test_one_time_or_one_per_cell(quick):
    x = np.zeros((3, quick.n_dims))
    np.testing.assert_array_equal(
        quick.velocity(x, 0.5), quick.velocity(x.tolist(), np.full(3, 0.5))
    )
    with pytest.raises(
        InputError, match=r"t has shape \(2,\); expected one time, or one per cell \(3,\)"
    ):
        quick.velocity(x, np.zeros(2))
