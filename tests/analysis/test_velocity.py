"""Laws of the projection of velocities onto an embedding."""

import numpy as np
import pytest

from cellflow.analysis.velocity import project
from cellflow.errors import InputError


def cells(n: int = 600, d: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(d, 2))


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("d", [2, 3])
def test_a_linear_embedding_keeps_the_direction_of_a_linear_flow(d: int) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, size=(4000, d))
    axes = np.linalg.qr(np.random.default_rng(1).normal(size=(d, d)))[0][:, :2]
    velocity = x @ np.random.default_rng(2).normal(size=(d, d)).T + 1.0
    moved = velocity @ axes
    arrows = project(x, velocity, x @ axes)
    inner = (np.abs(x) < 0.8).all(axis=1) & (
        np.linalg.norm(moved, axis=1) > 0.5 * np.linalg.norm(velocity, axis=1)
    )
    assert np.median(cosine(arrows, moved)[inner]) > 0.95
    assert cosine(arrows.sum(0, keepdims=True), moved.sum(0, keepdims=True)) > 0.99


def test_length_is_speed() -> None:
    x, axes = cells()
    velocity = np.random.default_rng(3).normal(size=x.shape)
    arrows = project(x, velocity, x @ axes)
    np.testing.assert_allclose(project(x, 7.0 * velocity, x @ axes), 7.0 * arrows, rtol=1e-9)
    np.testing.assert_allclose(project(x, velocity, 3.0 * (x @ axes)), 3.0 * arrows, rtol=1e-9)
    # Other units of the latent space: the same velocity crosses the picture at the same speed.
    np.testing.assert_allclose(project(100 * x, 100 * velocity, x @ axes), arrows, rtol=1e-7)


def test_turning_the_picture_turns_the_arrows() -> None:
    x, axes = cells()
    velocity = np.random.default_rng(3).normal(size=x.shape)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    embedding = x @ axes
    np.testing.assert_allclose(
        project(x, velocity, embedding @ turn.T),
        project(x, velocity, embedding) @ turn.T,
        atol=1e-9,
    )


def test_the_order_of_rows_does_not_matter() -> None:
    x, axes = cells()
    velocity = np.random.default_rng(3).normal(size=x.shape)
    order = np.random.default_rng(4).permutation(len(x))
    arrows = project(x, velocity, x @ axes)
    np.testing.assert_allclose(
        project(x[order], velocity[order], (x @ axes)[order]), arrows[order], atol=1e-12
    )


@pytest.mark.filterwarnings("error")
def test_always_finite_and_zero_stays_zero() -> None:
    x, axes = cells(60)
    embedding = x @ axes
    velocity = np.ones_like(x)
    velocity[3] = 0.0
    x[10:20], embedding[10:20] = x[10], embedding[10]  # exact duplicates
    embedding[30:] = 0.0  # a picture that has collapsed
    arrows = project(x, velocity, embedding, n_neighbors=5)
    assert np.isfinite(arrows).all()
    assert (arrows[3] == 0).all()
    assert (project(np.zeros_like(x), velocity, embedding) == 0).all()
    assert np.isfinite(project(x[:2], velocity[:2], embedding[:2])).all()
    assert (project(x[:1], velocity[:1], embedding[:1]) == 0).all()


def test_bad_shapes_are_refused() -> None:
    x, axes = cells(20)
    with pytest.raises(InputError, match=r"velocity \(n, d\)"):
        project(x, x[:, :2], x @ axes)
    with pytest.raises(InputError, match="n_neighbors=0"):
        project(x, x, x @ axes, n_neighbors=0)
