from functools import cache

import numpy as np
import pytest
import scipy.sparse as sp

from cellflow.core import _moments
from cellflow.core import decoder as module
from cellflow.core.decoder import Decoder
from cellflow.errors import InputError


def expression(n=700, g=12, rank=3, seed=0, noise=0.0):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(n, rank)) @ rng.normal(size=(rank, g))
        + 5.0
        + noise * rng.normal(size=(n, g))
    )


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
    # The mean of the chosen cells is decoded exactly, wherever the origin of the representation
    # lies.
    np.testing.assert_allclose(
        fitted.positions(x[100:300, :4]).mean(axis=0), y[100:300].mean(axis=0), rtol=1e-5
    )


def test_genes_without_loadings_are_regressed_where_the_representation_carries_them():
    """Genes outside of scanpy's mask have no loadings; what they share with the others is decoded
    all the same.
    """
    y = expression(noise=0.1)
    y[:, 11] = np.random.default_rng(2).normal(size=700)  # shares nothing
    used = np.arange(12) < 8
    x, axes = pca(y[:, used], 3)
    padded = np.zeros((12, 3))
    padded[used] = axes
    fitted = Decoder.fitted(x, y, names(y), loadings=padded)
    assert fitted.kind == "mixed"
    assert fitted.decodable.tolist() == [True] * 11 + [False]
    np.testing.assert_array_equal(fitted.loadings[used], axes)
    error = ((fitted.positions(x) - y) ** 2).mean(axis=0) / y.var(axis=0)
    assert error[~used][:3].max() < 0.1
    # The last one decodes to its mean and does not move.
    np.testing.assert_allclose(fitted.positions(x)[:, 11], y[:, 11].mean(), rtol=1e-5)
    assert (fitted.velocities(np.ones((2, 3)))[:, 11] == 0).all()


def test_regression_recovers_a_linear_map_and_reports_what_it_explains():
    y = expression(noise=0.5)
    x, _ = pca(y, 3)
    turned = (
        x @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0] * 4 + 7
    )  # no longer a projection of y
    fitted = Decoder.fitted(turned, y, names(y), loadings=pca(y, 3)[1])
    assert fitted.kind == "ridge"
    residual = y - fitted.positions(turned)
    explained = 1 - (residual**2).sum() / ((y - y.mean(axis=0)) ** 2).sum()
    assert fitted.r2 == pytest.approx(explained, abs=0.03)
    assert 0.7 < fitted.r2 < 1


def test_regression_of_noise_explains_nothing_and_moves_nothing():
    rng = np.random.default_rng(0)
    fitted = Decoder.fitted(
        rng.normal(size=(400, 30)), rng.normal(size=(400, 50)), [str(i) for i in range(50)]
    )
    assert not fitted.decodable.any()
    assert (fitted.loadings != 0).any(axis=1).mean() < 0.1


def test_velocities_are_the_derivative_of_positions():
    y = expression()
    x, axes = pca(y, 3)
    fitted = Decoder.fitted(x, y, names(y), loadings=axes)
    step = np.random.default_rng(3).normal(size=x.shape)
    np.testing.assert_allclose(
        fitted.positions(x + step) - fitted.positions(x), fitted.velocities(step), atol=2e-5
    )


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
    with pytest.raises(
        InputError, match=r"700 cells by 12 genes take .* Choose genes with Decoder\.only"
    ):
        fitted.velocities(x)


# What a gene's R2 says ----------------------------------------------------------------------------


def cells(rng, n, *, genes=30, rank=3, noise=1.0, offset=0.0):
    """Expression of a new sample of one system: signals of every strength, with noise of its own in
    every gene.
    """
    weights = np.random.default_rng(99).normal(size=(rank, genes)) * np.linspace(0, 2, genes)
    return (
        rng.normal(size=(n, rank)) * [2.0, 1.0, 0.7] @ weights
        + noise * rng.normal(size=(n, genes))
        + offset
    )


def axes_of(y, d):
    return pca(y, d)[1]


def of_half(y, d):
    """Axes of the first half of the genes, as a PCA of some highly variable ones stores them."""
    half = y.shape[1] // 2
    return np.vstack([axes_of(y[:, :half], d), np.zeros((y.shape[1] - half, d))])


def turned(y, d):
    return axes_of(y, d) @ np.linalg.qr(np.random.default_rng(5).normal(size=(d, d)))[0]


# name: cells, options of `cells`, axes that the representation is made with, loadings that the
# decoder is given
SYSTEMS = {
    "a PCA with its loadings": (400, {}, lambda y: axes_of(y, 5), "same"),
    "a PCA without its loadings": (400, {}, lambda y: axes_of(y, 5), None),
    "a PCA of some of the genes": (400, {}, lambda y: of_half(y, 5), "same"),
    "a PCA of some of the genes, loadings lost": (400, {}, lambda y: of_half(y, 5), None),
    "another PCA's loadings": (400, {}, lambda y: turned(y, 5), lambda y: axes_of(y, 5)),
    "loadings with their signs turned": (
        400,
        {},
        lambda y: axes_of(y, 5),
        lambda y: -axes_of(y, 5),
    ),
    "loadings in other units": (400, {}, lambda y: axes_of(y, 5), lambda y: 10 * axes_of(y, 5)),
    "whitened positions": (
        400,
        {},
        lambda y: axes_of(y, 3) / pca(y, 3)[0].std(axis=0),
        lambda y: axes_of(y, 3),
    ),
    "one dimension": (400, {}, lambda y: axes_of(y, 1), "same"),
    "as many dimensions as genes": (400, {}, lambda y: axes_of(y, 30), "same"),
    "all noise": (400, {"noise": 50.0}, lambda y: of_half(y, 5), "same"),
    "hardly any noise": (400, {"noise": 0.01}, lambda y: axes_of(y, 3), "same"),
    "a large offset": (400, {"offset": 1e4}, lambda y: axes_of(y, 5), "same"),
    "few cells": (60, {}, lambda y: axes_of(y, 5), "same"),
    "few cells and many dimensions": (60, {}, lambda y: axes_of(y, 20), "same"),
    "more genes than cells": (80, {"genes": 300}, lambda y: axes_of(y, 10), "same"),
    "expression itself": (400, {}, lambda y: np.eye(30), "same"),
}


@cache
def system(case):
    """Cells, fresh cells, the positions of both, the loadings, and the decoder that is fitted to
    the former.
    """
    n, options, made_with, given = SYSTEMS[case]
    rng = np.random.default_rng(7)
    y = cells(rng, n, **options)
    fresh = cells(rng, 2000, **options)
    axes = made_with(y)
    loadings = axes if given == "same" else given and given(y)
    x, fresh_x = ((z - y.mean(axis=0)) @ axes for z in (y, fresh))
    return y, fresh, x, fresh_x, loadings, Decoder.fitted(x, y, names(y), loadings=loadings)


def r2(y, decoded):
    return 1 - ((y - decoded) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)


@pytest.mark.parametrize("case", SYSTEMS)
def test_held_out_r2_is_that_of_cells_never_seen(case):
    y, fresh, _, fresh_x, _, fitted = system(case)
    found = np.maximum(r2(fresh, fitted.positions(fresh_x)), 0)
    assert np.abs(fitted.gene_r2 - found).mean() < (0.04 if len(y) > 100 else 0.1)
    assert fitted.r2 == pytest.approx(1.0 if found.min() > 0.99 else found.mean(), abs=0.45)
    assert fitted.decodable.tolist() == (fitted.gene_r2 >= module.MIN_R2).tolist()
    assert ((fitted.loadings != 0).any(axis=1) == (fitted.gene_r2 > 0)).all()


@pytest.mark.parametrize("case", SYSTEMS)
def test_every_gene_is_decoded_by_what_predicts_new_cells_better(case):
    y, fresh, x, fresh_x, loadings, fitted = system(case)
    ridge = Decoder.fitted(x, y, names(y))
    best = np.maximum(r2(fresh, ridge.positions(fresh_x)), 0)
    if loadings is not None:
        centred = y.mean(axis=0) + (fresh_x - x.mean(axis=0)) @ loadings.T
        best = np.maximum(best, r2(fresh, centred))
    lost = best - r2(fresh, fitted.positions(fresh_x))
    assert lost.mean() < 0.03
    # Of few cells no held-out error is sure, and a choice between two may be the wrong one.
    assert lost.max() < (0.04 if len(y) > 100 else 0.3)


@pytest.mark.parametrize("case", ["a PCA of some of the genes", "few cells", "expression itself"])
def test_neither_the_order_of_rows_nor_the_passes_matter(case, monkeypatch):
    y, _, x, _, loadings, one = system(case)
    order = np.random.default_rng(0).permutation(len(x))
    monkeypatch.setattr(module, "_PRODUCTS", 8 * 5 * x.shape[1] * 7)  # seven genes a pass
    monkeypatch.setattr(_moments, "_BLOCK", 50)
    for container in (np.asarray, sp.csr_matrix):
        other = Decoder.fitted(x[order], container(y[order]), names(y), loadings=loadings)
        np.testing.assert_allclose(other.gene_r2, one.gene_r2, atol=1e-9)
        np.testing.assert_allclose(other.loadings, one.loadings, atol=1e-9)
        assert other.kind == one.kind


def test_repeated_cells_do_not_tell_about_each_other():
    """A cell that is in the data three times is kept out three times, else noise would be predicted
    by its copy.
    """
    rng = np.random.default_rng(0)
    x, y = np.tile(rng.normal(size=(40, 20)), (3, 1)), np.tile(rng.normal(size=(40, 50)), (3, 1))
    assert not Decoder.fitted(x, y, names(y)).decodable.any()


@pytest.mark.parametrize("value", [0.0, 5.1, -1e6])
def test_a_constant_gene_is_its_mean_and_not_decodable(value):
    y = expression()
    y[:, 4] = value
    for container in (np.asarray, sp.csr_matrix):
        fitted = Decoder.fitted(pca(y, 3)[0], container(y), names(y))
        assert (fitted.gene_r2[4], fitted.decodable[4]) == (0, False)
        np.testing.assert_allclose(fitted.positions(np.ones((2, 3)))[:, 4], value)


def test_a_decoder_of_0_1_0_has_no_r2_and_still_answers():
    y = expression()
    x, axes = pca(y, 3)
    config = {"genes": names(y), "kind": "loadings", "r2": 0.9}
    old = Decoder.from_state(
        config, {"mean": y.mean(axis=0), "loadings": axes * (np.arange(12) < 8)[:, None]}
    )
    assert old.gene_r2 is None
    assert old.decodable.tolist() == [True] * 8 + [False] * 4
    assert old.only(np.array([9, 1])).decodable.tolist() == [False, True]
    assert old.positions(x).shape == (700, 12)
