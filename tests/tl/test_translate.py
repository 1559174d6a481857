"""Translation in an AnnData: the known change is found, with its checks; bad input is refused."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellflow.recipes import fm, ot_cfm

import cellflow as cf
from cellflow.errors import InputError, InputTypeError, MissingKeyError
from cellflow.training import Training
from conftest import make_cells

QUICK = ot_cfm(smoothing=0.05, training=Training(steps=200, batch_size=128))
CHANGE = np.array([0.0, 3.0, 0.0, 0.0])


def groups(n=300):
    """Healthy and ill cells with a known difference; others far away; two cells in no group."""
    adata = make_cells(n)
    latent = np.random.default_rng(1).normal(size=(n, 4)) * [1.0, 0.5, 0.5, 0.5]
    state = np.tile(["healthy", "ill", "b/t cells"], n // 3)
    latent[state == "ill"] += CHANGE
    latent[state == "b/t cells"] += [8.0, 0.0, 0.0, 0.0]
    adata.obsm["X_pca"] = latent.astype(np.float32)
    adata.X = (latent @ adata.varm["PCs"].T + 3.0).astype(np.float32)
    adata.obs["state"] = pd.Categorical(state)
    adata.obs.loc[adata.obs_names[:2], "state"] = None
    return adata


def change_of(adata):
    """What was measured of the change: the difference of the groups' means."""
    means = [
        adata[adata.obs["state"] == name].obsm["X_pca"].mean(axis=0) for name in ("healthy", "ill")
    ]
    return means[1] - means[0]


@pytest.fixture
def adata():
    return groups()


@pytest.fixture(scope="module")
def _translated():
    return cf.tl.translate(groups(), "state", source="healthy", target="ill", method=QUICK)


@pytest.fixture
def translated(_translated):
    return _translated.copy()


def test_the_known_change_comes_back(adata, translated):
    healthy = adata[adata.obs["state"] == "healthy"]
    assert translated.obs["source_cell"].tolist() == healthy.obs_names.tolist()
    moves = translated.obsm["X_pca"] - healthy.obsm["X_pca"]
    np.testing.assert_allclose(moves.mean(axis=0), change_of(adata), atol=0.15)
    assert np.median(np.linalg.norm(moves - CHANGE, axis=1)) < 0.6
    np.testing.assert_allclose(
        translated.obs["displacement"], np.linalg.norm(moves, axis=1), rtol=1e-4
    )
    assert (translated.obs["state"] == "healthy").all()
    assert (translated.obs["translated_to"] == "ill").all()
    # Genes are decoded from the states.
    assert translated.var_names.equals(adata.var_names)
    np.testing.assert_allclose(
        translated.X, translated.obsm["X_pca"] @ adata.varm["PCs"].T + 3.0, atol=1e-3
    )


def test_the_checks_are_reported(translated):
    about = translated.uns["cf_translation"]
    assert (about["source"], about["target"], about["key"]) == ("healthy", "ill", "state")
    assert (about["n_source"], about["n_target"]) == (99, 99)
    assert about["w1_before"] == pytest.approx(3.0, abs=0.3)
    assert about["w1_after"] < about["w1_floor"] + 0.3
    assert about["c2st"] < 0.75
    assert about["round_trip"] < 0.01
    assert about["displacement_null"] < 0.35 * about["displacement"]
    assert about["others"].tolist() == ["b/t cells"]
    assert np.isfinite(about["displacement_others"]).all()


def test_the_other_way_is_the_change_taken_back(adata, frozen):
    names = adata.obs_names[adata.obs["state"] == "ill"][::-1]
    with frozen(adata):
        back = cf.tl.translate(
            adata, "state", source="ill", target="healthy", cells=names, method=QUICK
        )
    assert back.obs["source_cell"].tolist() == names.tolist()
    moves = back.obsm["X_pca"] - adata[names].obsm["X_pca"]
    np.testing.assert_allclose(moves.mean(axis=0), -change_of(adata), atol=0.15)


def test_seeds_decide(adata):
    brief = ot_cfm(training=Training(steps=10, batch_size=64))
    first, again = (
        cf.tl.translate(
            adata, "state", source="healthy", target="ill", method=brief, random_state=3
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.obsm["X_pca"], again.obsm["X_pca"])
    reports = [
        {k: str(v) for k, v in made.uns["cf_translation"].items()} for made in (first, again)
    ]
    assert reports[0] == reports[1]


def test_a_translation_can_be_stored_and_joined(adata, translated, tmp_path):
    translated.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    assert again.uns["cf_translation"]["c2st"] == translated.uns["cf_translation"]["c2st"]
    assert list(again.uns["cf_translation"]["others"]) == ["b/t cells"]
    joined = ad.concat([adata, translated])
    assert joined.obs_names.is_unique
    assert joined.n_vars == adata.n_vars


def test_numbers_name_groups_too_and_genes_are_optional():
    adata = groups(240)
    adata = ad.AnnData(obs=adata.obs, obsm={"X_pca": adata.obsm["X_pca"]})
    adata.obs["batch"] = np.where(adata.obs["state"].astype(str) == "ill", 2, 1)
    made = cf.tl.translate(
        adata,
        "batch",
        source=1,
        target=2,
        n_dims=2,
        key_added="mine",
        method=ot_cfm(training=Training(steps=20)),
    )
    width = adata.obsm["X_pca"].shape[1]
    assert made.obsm["X_pca"].shape == (161, width)
    assert made.uns["mine_translation"]["placed"].tolist() == ["X_pca[:, 2:]"]
    assert made.X is None
    assert made.uns["mine_translation"]["others"].tolist() == []


@pytest.mark.parametrize("kind", ["float64", "category"])
def test_whole_numbers_name_groups_of_hours(adata, kind):
    hours = adata.obs["state"].map({"healthy": 0.0, "ill": 72.0, "b/t cells": 24.0}).astype(float)
    adata.obs["hours"] = hours.astype(kind)
    made = cf.tl.translate(
        adata, "hours", source=0, target=72, method=ot_cfm(training=Training(steps=20))
    )
    assert made.obs["source_cell"].tolist() == adata.obs_names[hours == 0].tolist()
    assert made.uns["cf_translation"]["target"] == "72"
    with pytest.raises(InputError, match=r"source='48' is no group.*'24'"):
        cf.tl.translate(adata, "hours", source=48, target=72)


def test_long_numbers_stay_apart(adata):
    adata.obs["donor"] = (
        adata.obs["state"]
        .map({"healthy": 1234567, "ill": 1234568, "b/t cells": 1234569})
        .astype(float)
    )
    with pytest.raises(
        InputError, match=r"source='12345' is no group.*\['1234567', '1234568', '1234569'\]"
    ):
        cf.tl.translate(adata, "donor", source=12345, target=1234568)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"key": "stat"},
            MissingKeyError,
            r"adata\.obs\['stat'\] is missing.*did you mean 'state'",
        ),
        (
            {"source": "Healthy"},
            InputError,
            r"source='Healthy' is no group of adata\.obs\['state'\].*did you mean 'healthy'",
        ),
        (
            {"target": "dead"},
            InputError,
            r"target='dead' is no group.*one of \['b/t cells', 'healthy', 'ill'\]",
        ),
        ({"target": "healthy"}, InputError, "source and target are both 'healthy'"),
        ({"target": None}, InputError, "target=None .of type NoneType.; expected text or a number"),
        ({"cells": ["Cell4"]}, MissingKeyError, "did you mean 'cell4'"),
        ({"cells": []}, InputError, "chooses no cell"),
        ({"use_rep": "X_pac"}, MissingKeyError, "did you mean 'X_pca'"),
        ({"use_rep": "X_umap"}, InputError, "X_umap"),
        ({"n_dims": 9}, InputError, "n_dims is 9"),
        ({"method": "ot-cmf"}, InputError, "did you mean 'ot-cfm'"),
        (
            {"method": "fm"},
            InputError,
            "method='fm' makes new cells from noise; expected one that moves cells",
        ),
        ({"method": fm()}, InputError, "makes new cells from noise"),
        ({"layer": "log"}, MissingKeyError, r"adata\.layers\['log'\] is missing"),
        ({"random_state": -1}, InputError, "is no seed"),
        ({"key_added": "a/b"}, InputError, "without '/'"),
    ],
)
def test_bad_arguments(adata, arguments, error, message, frozen, monkeypatch):
    monkeypatch.setattr(
        "cellflow.model.fitting.couple", lambda *_: pytest.fail("work was done first")
    )
    asked = {"key": "state", "source": "healthy", "target": "ill"} | arguments
    with frozen(adata), pytest.raises(error, match=message):
        cf.tl.translate(adata, asked.pop("key"), **asked)


def test_too_few_cells(adata, frozen):
    few = adata[:90].copy()
    with (
        frozen(few),
        pytest.raises(InputError, match="The source has 29 cells; expected at least 40"),
    ):
        cf.tl.translate(few, "state", source="healthy", target="ill", method=QUICK)


def test_a_table_is_no_anndata(adata):
    with pytest.raises(InputTypeError, match="DataFrame"):
        cf.tl.translate(adata.obs, "state", source="healthy", target="ill")
