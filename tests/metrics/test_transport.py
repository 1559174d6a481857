import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

import problems
from cellflow.errors import CouplingError, InputError
from cellflow.metrics import transport as module
from cellflow.metrics import wasserstein

coordinate = st.floats(-10, 10).map(lambda v: round(v, 3))
clouds = st.integers(1, 6).flatmap(lambda n: arrays(np.float64, (n, 2), elements=coordinate))
laws = settings(max_examples=40, deadline=None)
orders = pytest.mark.parametrize("p", [1, 2])


@orders
@laws
@given(x=clouds)
def test_zero_on_itself(p, x):
    assert wasserstein(x, x[::-1], p=p) == pytest.approx(0.0, abs=1e-12)


@orders
@laws
@given(x=clouds, y=clouds)
def test_symmetric(p, x, y):
    assert wasserstein(x, y, p=p) == pytest.approx(wasserstein(y, x, p=p), abs=1e-7)


@orders
@laws
@given(x=clouds, y=clouds, z=clouds)
def test_triangle(p, x, y, z):
    assert wasserstein(x, z, p=p) <= wasserstein(x, y, p=p) + wasserstein(y, z, p=p) + 1e-7


@orders
@laws
@given(x=clouds, shift=arrays(np.float64, 2, elements=coordinate))
def test_translation_costs_its_length(p, x, shift):
    assert wasserstein(x, x + shift, p=p) == pytest.approx(np.linalg.norm(shift), abs=1e-7)


@orders
@laws
@given(x=clouds, y=clouds, scale=st.floats(0.1, 10))
def test_scales_with_the_positions(p, x, y, scale):
    assert wasserstein(scale * x, scale * y, p=p) == pytest.approx(scale * wasserstein(x, y, p=p), abs=1e-6)


@orders
def test_agrees_with_the_optimal_assignment(p):
    x, y = np.random.default_rng(0).standard_normal((2, 60, 4))
    cost = cdist(x, y) ** p
    rows, columns = linear_sum_assignment(cost)
    assert wasserstein(x, y, p=p) == pytest.approx(cost[rows, columns].mean() ** (1 / p))


def test_agrees_with_the_closed_form_on_a_line():
    rng = np.random.default_rng(0)
    x, y, a, b = rng.standard_normal(40), 1 + rng.standard_normal(25), rng.random(40), rng.random(25)
    ours = wasserstein(x[:, None], y[:, None], x_weight=a, y_weight=b)
    assert ours == pytest.approx(wasserstein_distance(x, y, a, b))


def test_tends_to_the_closed_form_between_gaussians():
    rng = np.random.default_rng(0)
    x, y = problems.SOURCE.sample(1500, rng), problems.TARGET.sample(1500, rng)
    assert wasserstein(x, y, p=2) == pytest.approx(problems.wasserstein2(problems.SOURCE, problems.TARGET), rel=0.03)


@orders
def test_a_weight_is_as_many_copies(p):
    x, y = np.random.default_rng(0).standard_normal((2, 10, 3))
    copies = np.arange(1, 11)
    weighted = wasserstein(x, y, p=p, x_weight=copies)
    assert weighted == pytest.approx(wasserstein(np.repeat(x, copies, axis=0), y, p=p))
    without = wasserstein(x, y, p=p, x_weight=np.r_[np.ones(9), 0.0])
    assert without == pytest.approx(wasserstein(x[:9], y, p=p))


def test_single_precision_and_strides_change_nothing():
    x, y = np.random.default_rng(0).standard_normal((2, 20, 6)).astype(np.float32)
    same = wasserstein(np.asfortranarray(x)[:, ::2], y[:, ::2])
    assert same == wasserstein(x[:, ::2].astype(np.float64).copy(), y[:, ::2].astype(np.float64).copy())


X = np.zeros((3, 2))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"y": np.zeros((0, 2))}, r"`y` has shape \(0, 2\)"),
        ({"y": np.zeros(3)}, r"`y` has shape \(3,\)"),
        ({"y": np.zeros((3, 4))}, "2 dimensions and `y` has 4"),
        ({"y": np.array([[0.0, np.nan]])}, "nan in row 0, column 1"),
        ({"y": X, "x_weight": np.ones(2)}, "`x_weight` must be 3"),
        ({"y": X, "y_weight": np.array([1.0, -1.0, 1.0])}, "`y_weight` must be 3"),
        ({"y": X, "y_weight": np.zeros(3)}, "not all zero"),
        ({"y": X, "p": 3}, "p=3 is not supported"),
    ],
)
def test_unusable_input_is_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        wasserstein(X, **arguments)


def test_the_cost_matrix_is_guarded(monkeypatch):
    monkeypatch.setattr(module, "_MAX_BYTES", 1000)
    with pytest.raises(CouplingError, match="draw fewer cells"):
        wasserstein(np.zeros((20, 2)), np.zeros((20, 2)))


@pytest.mark.filterwarnings("ignore:numItermax reached:UserWarning")  # POT warns too, before we raise
def test_an_unfinished_solve_is_an_error(monkeypatch):
    monkeypatch.setattr(module, "_MAX_ITER", 5)
    x, y = np.random.default_rng(0).standard_normal((2, 100, 2))
    with pytest.raises(CouplingError, match="did not finish"):
        wasserstein(x, y)
