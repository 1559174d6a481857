"""Tables of `benchmarks/larry_clones.py` on a few clones."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp


@pytest.fixture
def larry(script):
    return script("larry_clones")


@pytest.fixture
def cells():
    """Twenty clones that keep their side, with one cell at each of three days."""
    rng = np.random.default_rng(0)
    clone = np.tile(np.arange(20), 3)
    day = np.repeat([2.0, 4.0, 6.0], 20)
    x = np.stack([np.where(clone % 2, 2.0, -2.0), day], axis=1) + 0.1 * rng.normal(size=(60, 2))
    kind = np.where(clone % 2, "Neutrophil", "Monocyte")
    obs = pd.DataFrame({"day": day, "type": kind}, index=[f"cell{i}" for i in range(60)])
    adata = ad.AnnData(sp.csr_matrix(x.astype(np.float32)), obs=obs)
    adata.obsm["X_pca"] = x.astype(np.float32)
    adata.obsm["X_clone"] = sp.csr_matrix(np.eye(20, dtype=np.int8)[clone])
    return adata


def test_scores_and_gains_are_printed(larry, cells, capsys, tmp_path):
    kept = larry.records.Records(tmp_path / "rows.jsonl", larry.KEY)
    kept.add(*larry.judged(cells, "ot-cfm", "none", "days 2, 4", 0, network=False, repeats=2))
    assert ("ot-cfm", "none", "days 2, 4", 0, False) in kept
    capsys.readouterr()
    again = larry.records.Records(tmp_path / "rows.jsonl", larry.KEY)
    larry.report(again.frame())
    printed = capsys.readouterr().out
    assert "From all days, 40 cells of 20 clones" in printed
    assert "From day 2, 20 cells of 20 clones" in printed
    row = next(r for r in printed.splitlines() if r.startswith("| nearest labelled cells |"))
    assert row.count("1.00 [1.00, 1.00]") == 3  # accuracy, r, AUROC
    assert "| ot-cfm: plans, with clones, beside ot-cfm: plans |" in printed
