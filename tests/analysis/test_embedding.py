"""Laws of placing states in an embedding, and of smoothing arrows onto a grid."""

import numpy as np

from cellflow.analysis.embedding import on_grid, place


def test_cells_are_placed_where_they_are_and_states_between_their_cells() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, size=(3000, 2))
    inner = x[(np.abs(x) < 0.8).all(axis=1)]
    assert np.abs(place(inner, x, 2.0 * x) - 2.0 * inner).max() < 0.2
    np.testing.assert_allclose(place(inner, x, x, n_neighbors=1), inner, atol=1e-12)
    far = place(np.full((1, 2), 1e6), x, x)
    assert (np.abs(far) <= 1.0).all()
    assert np.isfinite(place(np.zeros((1, 2)), np.zeros((30, 2)), x[:30])).all()


def test_the_grid_recovers_a_linear_field_and_is_empty_without_cells() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, size=(5000, 2))
    x = x[np.linalg.norm(x, axis=1) > 0.5]
    field = np.stack([-x[:, 1], x[:, 0]], axis=1)
    gx, gy, arrows = on_grid(x, field)
    where = np.stack(np.meshgrid(gx, gy), axis=-1)
    radius = np.linalg.norm(where, axis=-1)
    expected = np.stack([-where[..., 1], where[..., 0]], axis=-1)
    inner = (radius > 0.6) & (np.abs(where) < 0.9).all(axis=-1)
    assert np.abs(arrows - expected)[inner].max() < 0.1
    assert np.isnan(arrows[radius < 0.3]).all()
    assert len(gx) == len(gy) == 60
