"""Growth rates from marker genes: `cf.pp.growth_scores`."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import cellflow as cf
from cellflow.analysis.growth_prior import (
    BIRTH,
    DEATH,
    found_genes,
    gene_lists,
    mean_z_score,
    organism_of,
)
from cellflow.errors import InputError, InputWarning, MissingKeyError


def make(organism="human", n=60, sparse=True, seed=0):
    """Log-expression of all listed genes and some others; proliferation rises with the row."""
    rng = np.random.default_rng(seed)
    birth, death = gene_lists(organism)
    names = [gene[0] for gene in birth + death] + ["other1", "other2"]
    x = rng.uniform(0.0, 1.0, size=(n, len(names)))
    x[:, : len(birth)] += np.linspace(0.0, 1.5, n)[:, None]
    obs = pd.DataFrame(
        {"hours": np.repeat([0.0, 24.0], n // 2), "t": np.repeat([0.0, 1.0], n // 2)},
        index=[f"c{i}" for i in range(n)],
    )
    matrix = sp.csr_matrix(x) if sparse else x
    return ad.AnnData(matrix, obs=obs, var=pd.DataFrame(index=names))


def test_lists_are_those_of_their_sources():
    for organism in ("human", "mouse"):
        birth, death = gene_lists(organism)
        assert (len(birth), len(death)) == (97, 159)  # two of 161 are cell-cycle genes
        names = [name for gene in birth + death for name in gene]
        assert len(set(names)) == len(names)
    mouse = {gene[0] for genes in gene_lists("mouse") for gene in genes}
    assert {"Mki67", "Cenpu", "Fasl", "Pea15a", "Casp3"} <= mouse
    assert all(name[0].isupper() and not name.isupper() for name in mouse - {"F2"})


@pytest.mark.parametrize("organism", ["human", "mouse"])
@pytest.mark.parametrize("sparse", [True, False])
def test_scores_are_mean_z_scores_and_rates_lie_between_the_bounds(organism, sparse):
    adata = make(organism, sparse=sparse)
    assert organism_of(adata.var_names) == organism
    before = adata.copy()
    cf.pp.growth_scores(adata, time_unit="days")
    birth, death = gene_lists(organism)
    x = before.to_df()
    for name, genes in (("birth", birth), ("death", death)):
        part = x[[gene[0] for gene in genes]].to_numpy()
        z = np.clip((part - part.mean(axis=0)) / part.std(axis=0), -5, 5)
        np.testing.assert_allclose(adata.obs[f"cf_growth_prior_{name}"], z.mean(axis=1), atol=1e-9)
    rate = adata.obs["cf_growth_prior"].to_numpy()
    assert (np.abs(rate) <= 1.7 - 0.3).all()
    known = BIRTH.rate(adata.obs["cf_growth_prior_birth"].to_numpy(), (0.3, 1.7)) - DEATH.rate(
        adata.obs["cf_growth_prior_death"].to_numpy(), (0.3, 1.7)
    )
    np.testing.assert_allclose(rate, known, atol=1e-12)
    assert np.corrcoef(rate, np.arange(60))[0, 1] > 0.7
    assert adata.uns["cf_growth_prior"]["organism"] == organism
    assert (adata.X != before.X).sum() == 0


def test_a_curve_is_half_way_at_its_centre_and_steep_by_its_width():
    score = np.array([BIRTH.centre, -1e9, 1e9, BIRTH.centre + 1e-4])
    half, low, high, next_ = BIRTH.rate(score, (0.2, 1.8))
    np.testing.assert_allclose([half, low, high], [1.0, 0.2, 1.8])
    assert (next_ - half) / 1e-4 == pytest.approx(1.6 / BIRTH.width, rel=1e-3)


def test_rates_are_per_unit_of_the_experiment():
    """One day, 24 hours, and a column that names its unit give the same growth over an interval."""
    adata = make()
    cf.pp.growth_scores(adata, time_unit="days", key_added="day")
    cf.pp.growth_scores(adata, time_unit="h", key_added="hour")
    cf.pp.growth_scores(adata, "hours", key_added="column")
    adata.obs["stage"] = [f"E{8 + t:g}" for t in adata.obs["t"]]
    cf.pp.growth_scores(adata, "stage", key_added="stage_rate")
    np.testing.assert_allclose(adata.obs["hour"] * 24, adata.obs["day"], rtol=1e-12)
    np.testing.assert_array_equal(adata.obs["column"], adata.obs["hour"])
    np.testing.assert_array_equal(adata.obs["stage_rate"], adata.obs["day"])
    assert adata.uns["column"]["time_unit"] == "hours"


def test_former_names_and_repeated_names_are_found_once():
    adata = make()
    expected = cf.pp.growth_scores(adata, time_unit="days", copy=True).obs["cf_growth_prior"]
    adata.var_names = ["MLF1IP" if name == "CENPU" else name for name in adata.var_names]
    found = cf.pp.growth_scores(adata, time_unit="days", copy=True).obs["cf_growth_prior"]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    names = ["A", "FAM64A", "MKI67", "MKI67", "PIMREG"]
    assert found_genes([("MKI67",), ("PIMREG", "FAM64A")], names).tolist() == [2, 4]


def test_large_data_are_read_in_blocks(monkeypatch):
    from cellflow.analysis import growth_prior

    x = 1e6 + np.random.default_rng(0).normal(size=(101, 7))
    x[:, 2] = 3.0
    genes = np.array([0, 2, 5])
    whole, varying = mean_z_score(x, genes)
    monkeypatch.setattr(growth_prior, "_BLOCK", 10)
    np.testing.assert_allclose(mean_z_score(x, genes)[0], whole, atol=1e-8)
    assert varying.tolist() == [0, 5]


def test_results_survive_files_and_are_replaced(tmp_path):
    adata = make()
    cf.pp.growth_scores(adata, "hours")
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(again.obs["cf_growth_prior"], adata.obs["cf_growth_prior"])
    cf.pp.growth_scores(again, "hours", death_rates=(0.0, 0.0))
    assert (again.obs["cf_growth_prior"] > 0).all()
    del again.uns["cf_growth_prior"]
    with pytest.raises(InputError, match="was not written by this function"):
        cf.pp.growth_scores(again, "hours")
    cf.pp.growth_scores(again, "hours", overwrite=True)


def test_the_prior_reaches_the_plans_of_a_fit():
    """The prior column is read by its default name as rates per unit of the column."""
    from cellflow.adapter.read import read
    from cellflow.adapter.reading import Reading

    adata = make()
    adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    cf.pp.growth_scores(adata, "hours")
    first, last = read(adata, Reading("hours", growth_key="cf_growth_prior")).snapshots()
    rate = adata.obs["cf_growth_prior"].to_numpy()[first.index]
    grown = np.exp(24.0 * rate)
    np.testing.assert_allclose(first.expected(last.time).weight, grown / grown.sum(), rtol=1e-9)


def ensembl(adata):
    adata.var["gene_symbols"] = adata.var_names
    adata.var_names = [f"ENSG{i:011d}" for i in range(adata.n_vars)]


def counts(adata):
    adata.X = np.round(100 * adata.X.toarray())


def gap(adata):
    x = adata.X.toarray()
    x[3, 4] = np.nan
    adata.X = x


def constant(adata):
    adata.X = np.full(adata.shape, 2.5)


def nothing(adata):
    pass


def strange(adata):
    adata.var_names = [f"gene{i}" for i in range(adata.n_vars)]


BAD = {
    "ensembl ids": (ensembl, {}, InputError, r"Ensembl ids.*adata.var\['gene_symbols'\]"),
    "no listed gene": (strange, {}, InputError, r"no gene of proliferation.*gene0.*birth= and"),
    "counts": (counts, {}, InputError, "holds counts .*sc.pp.log1p"),
    "gaps": (gap, {}, InputError, "not finite"),
    "constant genes": (constant, {}, InputError, "the same in all cells"),
    "no such gene": (nothing, {"birth": ["abc"]}, InputError, "none of the 1 genes of birth"),
    "no genes": (nothing, {"death": []}, InputError, r"death=\[\]"),
    "another organism": (nothing, {"organism": "rat"}, InputError, "organism='rat'; expected"),
    "mouse names of human cells": (nothing, {"organism": "mouse"}, InputError, "holds none of"),
    "unit": (nothing, {"time_unit": "fortnights"}, InputError, "expected one of"),
    "no unit": (nothing, {"time_unit": None}, InputError, "time_unit=, one of"),
    "one bound": (nothing, {"birth_rates": [1.0]}, InputError, "two rates per day"),
    "largest first": (
        nothing,
        {"death_rates": (1.0, 0.5)},
        InputError,
        "smallest rate first",
    ),
    "negative rate": (nothing, {"birth_rates": (-1.0, 1.0)}, InputError, "at least 0"),
    "no layer": (nothing, {"layer": "log"}, MissingKeyError, "layer=None"),
    "a name with a slash": (nothing, {"key_added": "a/b"}, InputError, "without '/'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_and_left_alone(case):
    spoil, arguments, error, message = BAD[case]
    adata = make()
    spoil(adata)
    before = (list(adata.obs), list(adata.uns))
    with pytest.raises(error, match=message):
        cf.pp.growth_scores(adata, **{"time_unit": "days"} | arguments)
    assert (list(adata.obs), list(adata.uns)) == before


def test_a_column_without_a_unit_needs_one():
    with pytest.raises(InputError, match=r"\['t'\] names no unit"):
        cf.pp.growth_scores(make(), "t")


def test_few_genes_are_a_warning():
    few = make()[:, :10].copy()
    with pytest.warns(InputWarning, match=r"10 of 97 genes of birth"):
        cf.pp.growth_scores(few, "hours", death=[few.var_names[0]])
    assert np.isfinite(few.obs["cf_growth_prior"]).all()
