"""Laws of every field."""

import pytest
import torch

from cellflow import fields
from cellflow.core.population import Clock
from cellflow.errors import InputError
from examples import FIELDS

CLOCK = Clock(start=0.0, stop=72.0, unit=24.0, median_gap=24.0)


@pytest.fixture(params=FIELDS.values(), ids=FIELDS)
def field(request):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return request.param(3, CLOCK).double()


@pytest.fixture
def x():
    return torch.randn(9, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_is_a_field(field, x):
    assert isinstance(field, fields.Field)
    assert field(torch.tensor(3.0), x).shape == x.shape


@pytest.mark.parametrize("n", [1, 100_000])
def test_any_batch_size(field, n):
    with torch.no_grad():
        assert field(torch.zeros(n), torch.zeros(n, 3, dtype=torch.float64)).shape == (n, 3)


def test_a_row_does_not_depend_on_the_others(field, x):
    t = torch.linspace(0, 72, 9, dtype=torch.float64)
    together = field(t, x)
    alone = torch.cat([field(t[k : k + 1], x[k : k + 1]) for k in range(9)])
    torch.testing.assert_close(together, alone)


def test_a_scalar_time_is_the_same_time_for_every_row(field, x):
    torch.testing.assert_close(
        field(torch.tensor(5.0, dtype=torch.float64), x), field(torch.full((9,), 5.0).double(), x)
    )


def test_depends_on_time(field, x):
    assert not torch.allclose(field(torch.tensor(0.0), x), field(torch.tensor(72.0), x))


def test_every_parameter_gets_a_gradient(field, x):
    # The second maps of a residual block start at zero, so one step is taken before looking.
    optimizer = torch.optim.SGD(field.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (field(torch.linspace(0, 72, 9, dtype=torch.float64), x) - x).square().mean().backward()
        optimizer.step()
    dead = [
        name
        for name, p in field.named_parameters()
        if (p.grad is None or not p.grad.abs().sum() > 0)
        and not name.endswith("potential.net.6.bias")
    ]
    # The last bias of a potential is a constant of integration: the one parameter that cannot
    # matter.
    assert not dead


def test_rescaling_time_rescales_velocities_and_nothing_else(x):
    for builder in FIELDS.values():
        outputs = []
        for factor in (1.0, 60.0):
            with torch.random.fork_rng():
                torch.manual_seed(0)
                clock = Clock(0.0, 72.0 * factor, 24.0 * factor, 24.0 * factor)
                outputs.append(
                    factor
                    * builder(3, clock).double()(
                        torch.tensor(30.0 * factor, dtype=torch.float64), x
                    )
                )
        torch.testing.assert_close(*outputs)


def test_potential_is_minus_the_gradient_and_free_of_rotation(x):
    field = FIELDS["Potential"](3, CLOCK).double()
    t = torch.tensor(10.0, dtype=torch.float64)
    h = 1e-6
    for axis in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[axis] = h
        slope = (field.potential(t, x + step) - field.potential(t, x - step))[:, 0] / (2 * h)
        torch.testing.assert_close(field(t, x)[:, axis], -slope, rtol=1e-5, atol=1e-8)
    jacobian = torch.autograd.functional.jacobian(lambda y: field(t, y[None])[0], x[0])
    torch.testing.assert_close(jacobian, jacobian.T)


def test_potential_can_be_evaluated_without_gradients(x):
    field = FIELDS["Potential"](3, CLOCK).double()
    with torch.no_grad():
        value = field(torch.tensor(1.0), x)
    assert not value.requires_grad
    torch.testing.assert_close(value, field(torch.tensor(1.0), x).detach())


@pytest.mark.parametrize("kind", [fields.MLP, fields.Residual])
def test_conditions(kind, x):
    field = kind(3, CLOCK, width=8, n_context=2).double()
    t = torch.tensor(1.0)
    features = torch.eye(2, dtype=torch.float64)
    one, other = (fields.Conditioned(field, row)(t, x) for row in features)
    assert not torch.allclose(one, other)
    mixed = field(t, x, features[[0, 1, 0, 1, 0, 1, 0, 1, 0]])
    torch.testing.assert_close(mixed[::2], one[::2])
    torch.testing.assert_close(mixed[1::2], other[1::2])


@pytest.mark.parametrize(
    "options",
    [{"width": 0}, {"depth": 0}, {"activation": "rleu"}, {"n_frequencies": -1}, {"width": 2.5}],
)
def test_bad_shapes_are_refused(options):
    with pytest.raises(InputError, match=str(next(iter(options)))):
        fields.MLP(3, CLOCK, **options)


def test_fourier_features_of_time(x):
    field = fields.MLP(3, CLOCK, width=8, n_frequencies=3).double()
    assert field.time(torch.tensor(36.0, dtype=torch.float64), x)[0].tolist() == pytest.approx(
        [0, 1, 1, 1, 0, 0, 0]
    )
