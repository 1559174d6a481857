import numpy as np
import pytest
import scipy.sparse as sp

from cellflow import decoder as module
from cellflow.decoder import Decoder
from cellflow.errors import InputError


def expression(n=700, g=12, rank=3, seed=0, noise=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, rank)) @ rng.normal(size=(rank, g)) + 5.0 + noise * rng.normal(size=(n, g))


def pca(y, d):
    _, _, axes = np.linalg.svd(y - y.mean(axis=0), full_matrices=False)
    return (y - y.mean(axis=0)) @ axes[:d].T, axes[:d].T


def names(y):
    return [f"gene{i}" for i in range(y.shape[1])]


def test_loadings_give_back_a_matrix_of_that_rank():
    y = expression()
    x, axes = pca(y, 3)
    fitted = Decoder.fitted(x, y, names(y), loadings=axes)
    assert fitted.kind == "loadings"
    assert fitted.r2 == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(fitted.positions(x), y, rtol=1e-5)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix, sp.csr_array, sp.csc_matrix])
@pytest.mark.parametrize("with_loadings", [True, False])
def test_containers_agree(container, with_loadings):
    y = expression(noise=0.3)
    x, axes = pca(y, 3)
    chosen = axes if with_loadings else None
    dense, other = (Decoder.fitted(x, z, names(y), loadings=chosen) for z in (y, container(y)))
    np.testing.assert_allclose(dense.loadings, other.loadings, atol=1e-10)
    np.testing.assert_allclose(dense.mean, other.mean, atol=1e-10)
    assert dense.r2 == pytest.approx(other.r2, abs=1e-10)


def test_loadings_hold_for_some_of_the_cells_and_dimensions():
    y = expression(rank=5, noise=0.1)
    x, axes = pca(y, 5)
    fitted = Decoder.fitted(x[100:300, :4], y[100:300], names(y), loadings=axes)
    assert fitted.kind == "loadings"
    # The mean of the chosen cells is decoded exactly, wherever the origin of the representation lies.
    np.testing.assert_allclose(fitted.positions(x[100:300, :4]).mean(axis=0), y[100:300].mean(axis=0), rtol=1e-5)


def test_genes_without_loadings_decode_to_their_mean_and_do_not_move():
    y = expression()
    used = np.arange(12) < 8
    x, axes = pca(y[:, used], 3)
    padded = np.zeros((12, 3))
    padded[used] = axes
    fitted = Decoder.fitted(x, y, names(y), loadings=padded)
    assert fitted.kind == "loadings"
    assert fitted.decodable.tolist() == used.tolist()
    np.testing.assert_allclose(fitted.positions(x)[:, ~used], np.broadcast_to(y[:, ~used].mean(axis=0), (700, 4)), rtol=1e-5)
    assert (fitted.velocities(np.ones((2, 3)))[:, ~used] == 0).all()


def test_regression_recovers_a_linear_map_and_reports_what_it_explains():
    y = expression(noise=0.5)
    x, _ = pca(y, 3)
    turned = x @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0] * 4 + 7  # no longer a projection of y
    fitted = Decoder.fitted(turned, y, names(y), loadings=pca(y, 3)[1])
    assert fitted.kind == "ridge"
    residual = y - fitted.positions(turned)
    explained = 1 - (residual**2).sum() / ((y - y.mean(axis=0)) ** 2).sum()
    assert fitted.r2 == pytest.approx(explained, abs=0.03)
    assert 0.7 < fitted.r2 < 1


def test_regression_of_noise_explains_nothing_and_moves_nothing():
    rng = np.random.default_rng(0)
    fitted = Decoder.fitted(rng.normal(size=(400, 30)), rng.normal(size=(400, 50)), [str(i) for i in range(50)])
    assert fitted.decodable.mean() < 0.3


def test_velocities_are_the_derivative_of_positions():
    y = expression()
    x, axes = pca(y, 3)
    fitted = Decoder.fitted(x, y, names(y), loadings=axes)
    step = np.random.default_rng(3).normal(size=x.shape)
    np.testing.assert_allclose(fitted.positions(x + step) - fitted.positions(x), fitted.velocities(step), atol=2e-5)


def test_a_cell_does_not_depend_on_the_others():
    y = expression()
    x, axes = pca(y, 3)
    fitted = Decoder.fitted(x, y, names(y), loadings=axes)
    order = np.random.default_rng(0).permutation(len(x))
    assert (fitted.positions(x)[order] == fitted.positions(x[order])).all()
    assert (fitted.positions(x[:1]) == fitted.positions(x)[:1]).all()


def test_only_picks_genes():
    y = expression()
    x, axes = pca(y, 3)
    fitted = Decoder.fitted(x, y, names(y), loadings=axes)
    few = fitted.only(np.array([4, 1]))
    assert few.genes.tolist() == ["gene4", "gene1"]
    assert (few.positions(x) == fitted.positions(x)[:, [4, 1]]).all()


@pytest.mark.parametrize(("n", "d"), [(1, 1), (2, 1), (3, 5), (600, 1)])
def test_few_cells_and_few_dimensions(n, d):
    y = expression(n=n)
    fitted = Decoder.fitted(np.random.default_rng(0).normal(size=(n, d)), y, names(y))
    assert np.isfinite(fitted.positions(np.zeros((1, d)))).all()


def test_errors_name_what_is_wrong(monkeypatch):
    y = expression()
    x, _ = pca(y, 3)
    with pytest.raises(InputError, match=r"shape \(700, 12\); expected \(700, 11\)"):
        Decoder.fitted(x, y, names(y)[:-1])
    for gap in (np.nan, np.inf):
        spoilt = y.copy()
        spoilt[3, 7] = gap
        with pytest.raises(InputError, match=r"1 genes is not finite \(first: 'gene7'"):
            Decoder.fitted(x, spoilt, names(y))
    fitted = Decoder.fitted(x, y, names(y))
    monkeypatch.setattr(module, "_LIMIT", 1000)
    with pytest.raises(InputError, match=r"700 cells by 12 genes take .* ask for fewer genes"):
        fitted.velocities(x)
