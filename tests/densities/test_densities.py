"""Laws of every density: sampling inverts, mass is one, coordinates change as they should, the
entropy is reached.
"""

import json
from functools import partial

import numpy as np
import pytest
import torch

from cellflow import densities
from cellflow.densities import (
    MAF,
    NSF,
    Conditioned,
    MaximumLikelihood,
    RealNVP,
    fit_density,
    from_state,
)
from cellflow.errors import InputError, ModelFileError, TrainingError
from examples import DENSITIES

FLOWS = {name.lower(): builder for name, builder in DENSITIES.items()}
METHODS = {**FLOWS, "gmm": "gmm", "kde": "kde"}
TRAINING = MaximumLikelihood(steps=300, batch_size=256)
#: One flow stands for all where only what they share is asked: the trainer and the standardisation.
SHARED = ["nsf", "gmm", "kde"]
QUICK = MaximumLikelihood(steps=20, record_every=10)
SHIFT, CURVATURE = np.array([100.0, -3.0]), 0.6


def draw(n, seed=0):
    """A normal distribution bent along a parabola, far from the origin."""
    z = np.random.default_rng(seed).normal(size=(n, 2))
    return np.column_stack([z[:, 0], 0.5 * z[:, 1] + CURVATURE * (z[:, 0] ** 2 - 1)]) + SHIFT


def truth(x):
    x = x - SHIFT
    z = np.column_stack([x[:, 0], (x[:, 1] - CURVATURE * (x[:, 0] ** 2 - 1)) / 0.5])
    return -0.5 * (z**2).sum(axis=1) - np.log(2 * np.pi) - np.log(0.5)


def fit(method, x, training=TRAINING, **options):
    builder = METHODS[method]
    return fit_density(
        x, method=builder, training=None if isinstance(builder, str) else training, **options
    )


@pytest.fixture(scope="module")
def fitted():
    x = draw(3000)
    return {method: fit(method, x) for method in METHODS}


@pytest.fixture(scope="module", params=FLOWS)
def conditional(request):
    """Fitted to p(x | c) = N((c, -c), diag(exp(c)^2, 1)) with c uniform on [-1, 1]."""
    rng = np.random.default_rng(0)
    c = rng.uniform(-1, 1, size=(3000, 1))
    scale = np.column_stack([np.exp(c), np.ones_like(c)])
    x = np.column_stack([c, -c]) + scale * rng.normal(size=(3000, 2))
    return fit(request.param, x, context=c)


def mass(log_prob, low, high, n=101):
    """Integral of a density over a box of two dimensions."""
    axes = [np.linspace(a, b, n) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.exp(log_prob(grid)).sum() * np.prod([a[1] - a[0] for a in axes])


# Every density ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_is_a_density(fitted, method):
    assert isinstance(fitted[method], densities.Density)


@pytest.mark.parametrize("method", METHODS)
def test_reaches_the_known_entropy(fitted, method):
    x = draw(5000, seed=1)
    excess = truth(x) - fitted[method].log_prob(x)
    assert excess.mean() < (0.2 if method == "kde" else 0.1)
    assert excess.mean() > -0.02  # nothing is better than the truth


@pytest.mark.parametrize("method", METHODS)
def test_integrates_to_one(fitted, method):
    assert mass(fitted[method].log_prob, SHIFT - [6, 6], SHIFT + [6, 14]) == pytest.approx(
        1.0, abs=0.01
    )


@pytest.mark.parametrize("method", METHODS)
def test_samples_follow_the_density(fitted, method):
    """The mean of a ratio of densities is one, whatever the ratio: here of the truth to the fit, on
    samples of the fit.
    """
    drawn = fitted[method].sample(5000, np.random.default_rng(0))
    assert drawn.shape == (5000, 2)
    ratio = np.exp(truth(drawn) - fitted[method].log_prob(drawn))
    assert ratio.mean() == pytest.approx(1.0, abs=5 * ratio.std() / 5000**0.5 + 0.02)


@pytest.mark.parametrize("method", METHODS)
def test_moving_and_scaling_the_cells_moves_the_log_density_by_the_volume(method):
    """log p_y(A x + b) = log p_x(x) - log|det A|, for axes of different units."""
    x = draw(400)
    scale, shift = np.array([1024.0, 1 / 64]), np.array([-7.0, 3.0])
    before = fit(method, x, training=QUICK).log_prob(x)
    after = fit(method, x * scale + shift, training=QUICK).log_prob(x * scale + shift)
    np.testing.assert_allclose(after, before - np.log(scale).sum(), atol=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_one_seed_one_result_and_global_state_untouched(method):
    x = draw(200)
    np.random.seed(7)  # noqa: NPY002 (the global generator is what must not be touched)
    torch.manual_seed(7)
    before = (
        np.random.get_state()[1].copy(),  # noqa: NPY002
        torch.get_rng_state(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
    )
    first, second = (fit(method, x, training=QUICK, random_state=3) for _ in range(2))
    draws = [density.sample(5, np.random.default_rng(1)) for density in (first, second)]
    after = (
        np.random.get_state()[1],  # noqa: NPY002
        torch.get_rng_state(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
    )
    np.testing.assert_array_equal(first.log_prob(x), second.log_prob(x))
    np.testing.assert_array_equal(*draws)
    np.testing.assert_array_equal(before[0], after[0])
    assert torch.equal(before[1], after[1])
    assert before[2:] == after[2:]


@pytest.mark.parametrize("method", METHODS)
def test_survives_as_plain_values(fitted, method):
    density = fitted[method]
    config, arrays = density.state()
    torch.manual_seed(7)
    before = torch.get_rng_state()
    again = from_state(json.loads(json.dumps(config)), {k: np.array(v) for k, v in arrays.items()})
    assert torch.equal(before, torch.get_rng_state())
    x = draw(50, seed=2)
    np.testing.assert_array_equal(again.log_prob(x), density.log_prob(x))
    np.testing.assert_array_equal(
        *(d.sample(9, np.random.default_rng(0)) for d in (again, density))
    )


@pytest.mark.parametrize("method", METHODS)
def test_p9_a_cell_does_not_depend_on_the_others(fitted, method):
    x = draw(1500, seed=3)
    together = fitted[method].log_prob(x)
    compare = (
        np.testing.assert_array_equal
        if method in FLOWS
        else partial(np.testing.assert_allclose, atol=1e-9)
    )
    compare(
        np.concatenate([fitted[method].log_prob(x[k : k + 1]) for k in range(0, 1500, 500)]),
        together[::500],
    )
    compare(fitted[method].log_prob(x[::-1]), together[::-1])


@pytest.mark.parametrize("method", FLOWS)
def test_options_of_numpy_survive_as_plain_values(method):
    """Options that come from an array are numbers like any other, and are written down as such."""
    flow = FLOWS[method].func(2, transforms=np.int64(2), hidden=np.array([4, 4]))
    config, arrays = flow.state()
    assert from_state(json.loads(json.dumps(config)), arrays).options == flow.options


@pytest.mark.parametrize("method", METHODS)
def test_nothing_asked_nothing_answered(fitted, method):
    assert fitted[method].log_prob(np.empty((0, 2))).shape == (0,)
    assert fitted[method].sample(0, np.random.default_rng(0)).shape == (0, 2)


@pytest.mark.parametrize("method", SHARED)
def test_containers_and_precisions(method):
    x = draw(100).astype(np.float32)
    expected = fit(method, x.astype(np.float64), training=QUICK).log_prob(x)
    assert expected.dtype == np.float64
    for same in (x, np.asfortranarray(x), x[::-1][::-1], x.astype(">f4")):
        np.testing.assert_array_equal(fit(method, same, training=QUICK).log_prob(same), expected)


@pytest.mark.parametrize("method", SHARED)
def test_weights_are_cells_counted_more_often(method):
    """Two clusters, one nearly silenced: the mass moves to the other."""
    rng = np.random.default_rng(0)
    side = np.repeat([-1.0, 1.0], 500)
    x = np.column_stack([3 * side, np.zeros(1000)]) + rng.normal(size=(1000, 2))
    density = fit(
        method,
        x,
        weight=np.where(side > 0, 9.0, 1.0),
        training=MaximumLikelihood(steps=100, batch_size=128),
    )
    drawn = density.sample(4000, np.random.default_rng(1))
    assert np.mean(drawn[:, 0] > 0) == pytest.approx(0.9, abs=0.04)


@pytest.mark.parametrize("method", SHARED)
def test_cells_of_weight_zero_are_as_if_absent(method):
    x = draw(120)
    weight = np.r_[np.ones(100), np.zeros(20)]
    far = np.vstack([x[:100], x[100:] + 1e6])
    with_them, without = (
        fit(method, far, weight=weight, training=QUICK),
        fit(method, x[:100], training=QUICK),
    )
    np.testing.assert_array_equal(with_them.log_prob(x), without.log_prob(x))


# One dimension, few cells, awkward cells ----------------------------------------------------------


@pytest.mark.parametrize("method", ["nsf", "gmm", "kde"])
def test_one_dimension(method):
    """Two modes of unequal weight."""
    rng = np.random.default_rng(0)
    x = np.where(
        rng.random((2000, 1)) < 0.3, rng.normal(-2, 0.5, (2000, 1)), rng.normal(2, 0.8, (2000, 1))
    )
    density = fit(method, x, training=MaximumLikelihood(steps=150, batch_size=256))
    grid = np.linspace(-9, 9, 4001)[:, None]
    p = np.exp(density.log_prob(grid))
    step = grid[1, 0] - grid[0, 0]
    assert p.sum() * step == pytest.approx(1.0, abs=1e-3)
    assert p[grid[:, 0] < 0].sum() * step == pytest.approx(0.3, abs=0.04)
    assert np.mean(density.sample(4000, rng) < 0) == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("method", ["maf", "realnvp", "glow"])
def test_one_dimension_is_refused_where_a_family_would_be_gaussian(method):
    with pytest.raises(InputError, match=r"one-dimensional.*method='nsf'"):
        fit_density(draw(100)[:, :1], method=method)


@pytest.mark.parametrize("method", METHODS)
def test_fewer_cells_than_dimensions_and_copies_of_cells(method):
    x = np.random.default_rng(0).normal(size=(12, 15))
    density = fit(method, np.repeat(x, 2, axis=0), training=QUICK)
    assert np.isfinite(density.log_prob(x)).all()
    assert np.isfinite(density.sample(20, np.random.default_rng(0))).all()


@pytest.mark.parametrize("method", METHODS)
def test_an_outlier_is_survived(method):
    x = draw(500)
    x[0] += 1000.0
    density = fit(method, x, training=QUICK)
    assert np.isfinite(density.log_prob(x)).all()


# Flows --------------------------------------------------------------------------------------------


def perturbed(builder, dim=3, n_context=0):
    """A flow with weights that were never trained, away from the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = builder(dim, n_context).double()
        with torch.no_grad():
            for p in flow.parameters():
                p += 0.1 * torch.randn_like(p)
            flow.shift += torch.arange(dim)
            flow.scale *= torch.arange(1, dim + 1)
    return flow


@pytest.mark.parametrize("n_context", [0, 2])
@pytest.mark.parametrize("method", FLOWS)
def test_both_directions_are_inverses(method, n_context):
    flow = perturbed(FLOWS[method], n_context=n_context)
    z = torch.randn(40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    c = (
        torch.linspace(-1, 1, 40 * n_context, dtype=torch.float64).reshape(40, n_context)
        if n_context
        else None
    )
    there = flow.transform(c)
    torch.testing.assert_close(there.inv(there(z)), z, atol=1e-9, rtol=0)
    torch.testing.assert_close(there(there.inv(z)), z, atol=1e-9, rtol=0)


@pytest.mark.parametrize("method", FLOWS)
def test_the_volume_is_that_of_the_jacobian(method):
    flow = perturbed(FLOWS[method])
    x = torch.randn(3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(
        lambda y: flow.transform(None)(flow.standardised(y[None]))[0], x
    )
    noise = flow.transform(None)(flow.standardised(x[None]))[0]
    expected = torch.linalg.slogdet(jacobian)[1] - 0.5 * noise @ noise - 1.5 * np.log(2 * np.pi)
    torch.testing.assert_close(flow(x[None])[0], expected)


@pytest.mark.parametrize("method", FLOWS)
def test_starts_as_the_normal_distribution_of_the_cells(method):
    x = torch.from_numpy(
        np.random.default_rng(0).normal(size=(4000, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    )
    flow = FLOWS[method](2).double()
    flow.initialise(x, None)
    normal = torch.distributions.MultivariateNormal(torch.zeros(2).double(), x.mT @ x / len(x))
    torch.testing.assert_close(flow(x), normal.log_prob(x), atol=0.05, rtol=0)


@pytest.mark.parametrize("method", FLOWS)
def test_the_best_weights_on_held_out_cells_are_kept(fitted, method):
    history = fitted[method].history
    assert history["val_nll"].min() < history["val_nll"][0]
    assert set(history) == {"step", "nll", "val_nll"}


def test_patience_ends_training():
    x = np.random.default_rng(0).normal(size=(100, 2))
    flow = fit_density(
        x, method=FLOWS["nsf"], training=MaximumLikelihood(steps=5000, patience=20, record_every=10)
    )
    best = flow.history["step"][flow.history["val_nll"].argmin()]
    assert flow.history["step"][-1] == best + 20


@pytest.mark.parametrize("c", [-0.8, 0.0, 0.8])
def test_a_conditional_density_integrates_to_one_and_is_near_the_truth(conditional, c):
    context = np.array([c])
    assert mass(lambda x: conditional.log_prob(x, context), [-14, -8], [14, 8]) == pytest.approx(
        1.0, abs=0.01
    )
    z = np.random.default_rng(5).normal(size=(4000, 2))
    x = np.array([c, -c]) + z * [np.exp(c), 1.0]
    expected = -0.5 * (z**2).sum(axis=1) - np.log(2 * np.pi) - c
    assert np.mean(expected - conditional.log_prob(x, context)) < 0.1


def test_samples_of_a_conditional_density_follow_their_own_context(conditional):
    c = np.repeat([[-0.7], [0.7]], 2000, axis=0)
    drawn = conditional.sample(4000, np.random.default_rng(0), c).reshape(2, 2000, 2)
    np.testing.assert_allclose(drawn.mean(axis=1), [[-0.7, 0.7], [0.7, -0.7]], atol=0.3)
    assert 2.5 < drawn[1, :, 0].std() / drawn[0, :, 0].std() < 7  # e^1.4 = 4.1


@pytest.mark.parametrize("method", ["nsf"])
def test_a_constant_context_says_nothing(method, fitted):
    x, fresh = draw(3000), draw(3000, seed=1)
    density = fit(
        method,
        x,
        context=np.full((3000, 1), 5.0),
        training=MaximumLikelihood(steps=150, batch_size=192),
    )
    difference = density.log_prob(fresh, np.array([5.0])) - fitted[method].log_prob(fresh)
    assert abs(difference.mean()) < 0.06


@pytest.mark.parametrize("method", FLOWS)
def test_differentiable_in_positions(fitted, method):
    x = torch.from_numpy(draw(3)).requires_grad_()
    assert torch.autograd.gradcheck(fitted[method], x, atol=1e-4, rtol=1e-3)


def test_all_parameters_get_a_gradient():
    for method, builder in FLOWS.items():
        flow = perturbed(builder, n_context=1)
        flow(
            torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), torch.ones(50, 1)
        ).sum().backward()
        assert not [name for name, p in flow.named_parameters() if p.grad is None], method


# Conditional densities at one context -------------------------------------------------------------


def test_a_conditional_density_at_one_context_is_a_density(conditional):
    context = np.array([0.5])
    at = Conditioned(conditional, context)
    x = np.random.default_rng(0).normal(size=(9, 2))
    assert isinstance(at, densities.Density)
    np.testing.assert_array_equal(at.log_prob(x), conditional.log_prob(x, context))
    drawn = at.sample(9, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn, conditional.sample(9, np.random.default_rng(0), context))
    config, arrays = at.state()
    again = from_state(json.loads(json.dumps(config)), arrays)
    np.testing.assert_array_equal(again.log_prob(x), at.log_prob(x))
    with pytest.raises(InputError, match="context of this density is fixed"):
        at.log_prob(x, context)
    with pytest.raises(ModelFileError, match="lacks its density or its context"):
        from_state(config, {name: array for name, array in arrays.items() if name != "context"})


# Bad input ----------------------------------------------------------------------------------------


def broken(value):
    x = draw(50)
    x[3, 1] = value
    return x


@pytest.mark.parametrize(
    ("x", "options", "words"),
    [
        (broken(np.nan), {}, r"x has nan in row 3, column 1"),
        (broken(-np.inf), {}, "x has -inf in row 3, column 1"),
        (np.empty((0, 2)), {}, "0 cells .* at least 10"),
        (np.empty((20, 0)), {}, r"shape \(20, 0\)"),
        (draw(9), {}, "9 cells .* at least 10"),
        (draw(50)[:, 0], {}, r"shape \(50,\); expected \(n, d\)"),
        (draw(50).astype(object), {}, "dtype object"),
        (np.column_stack([draw(50), np.full(50, 2.0)]), {}, "Column 2 of x is 2 in every cell"),
        (draw(50), {"weight": np.ones(49)}, "weight must be 50 non-negative finite numbers"),
        (draw(50), {"weight": -np.ones(50)}, "non-negative"),
        (draw(50), {"weight": np.r_[np.ones(9), np.zeros(41)]}, "9 cells with a positive weight"),
        (draw(50), {"context": np.ones((49, 1))}, "context has 49 rows"),
        (draw(50), {"context": np.full((50, 1), np.nan)}, "context has nan in row 0, column 0"),
        (draw(50), {"method": "nfs"}, "did you mean 'nsf'"),
        (
            draw(50),
            {"method": "gmm", "context": np.ones((50, 1))},
            "context= has no meaning for method='gmm'",
        ),
        (
            draw(50),
            {"method": "kde", "training": TRAINING},
            "training= has no meaning for method='kde'",
        ),
        (draw(50), {"method": partial(NSF, bins=1)}, "bins=1"),
        (draw(50), {"method": partial(MAF, transforms=0)}, "transforms=0"),
        (draw(50), {"method": partial(RealNVP, hidden=())}, "hidden=0"),
        (draw(50), {"random_state": -1}, "no seed"),
    ],
)
def test_bad_input(x, options, words):
    with pytest.raises(InputError, match=words):
        fit_density(x, **options)


@pytest.mark.parametrize(
    "option",
    [
        {"steps": 0},
        {"steps": 1.5},
        {"lr": 0.0},
        {"lr": float("inf")},
        {"validation": 0.0},
        {"validation": 0.6},
        {"ema": 1.0},
    ],
)
def test_training_that_cannot_be(option):
    with pytest.raises(InputError, match=next(iter(option))):
        MaximumLikelihood(**option)


@pytest.mark.parametrize("method", METHODS)
def test_bad_questions(fitted, method):
    density = fitted[method]
    with pytest.raises(InputError, match=r"shape \(3, 5\); expected \(n, 2\)"):
        density.log_prob(np.zeros((3, 5)))
    with pytest.raises(InputError, match="not finite"):
        density.log_prob(broken(np.inf))
    with pytest.raises(InputError, match="found context"):
        density.log_prob(draw(3), np.ones((3, 1)))
    with pytest.raises(InputError, match="n=-1"):
        density.sample(-1, np.random.default_rng(0))


def test_a_conditional_density_wants_its_context(conditional):
    with pytest.raises(InputError, match="1 context features; found no context"):
        conditional.log_prob(draw(3))
    with pytest.raises(InputError, match="context has 2 rows; expected 3"):
        conditional.log_prob(draw(3), np.ones((2, 1)))
    with pytest.raises(InputError, match=r"context has shape \(3, 2\); expected \(n, 1\)"):
        conditional.log_prob(draw(3), np.ones((3, 2)))


def test_a_likelihood_that_is_not_finite_stops_training():
    class Broken(NSF):
        def standard_log_prob(self, z, context):
            return super().standard_log_prob(z, context) * float("nan")

    with pytest.raises(TrainingError, match=r"not finite from step \d+ on \(learning rate"):
        fit_density(draw(50), method=Broken, training=QUICK)


def test_states_that_do_not_fit(fitted):
    config, arrays = fitted["nsf"].state()
    with pytest.raises(ModelFileError, match="of type 'Oracle'"):
        from_state({**config, "type": "Oracle"}, arrays)
    with pytest.raises(ModelFileError, match="do not fit together"):
        from_state({**config, "dim": 3}, arrays)
    config, arrays = fitted["gmm"].state()
    arrays = {k: v for k, v in arrays.items() if k != "mean"}
    with pytest.raises(ModelFileError, match=r"lack \['mean'\]"):
        from_state(config, arrays)
