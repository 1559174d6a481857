"""Fixtures for everything that touches an AnnData."""

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path

# Each worker of `pytest -n` has one core. The libraries read these when they are loaded. numba is
# one
# of them, because its first parallel loop (scanpy has some) sets the number of threads of torch
# too.
os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
os.environ["NUMBA_NUM_THREADS"] = os.environ.get("NUMBA_NUM_THREADS", "1")
os.environ["OPENBLAS_NUM_THREADS"] = os.environ.get("OPENBLAS_NUM_THREADS", "1")

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import settings

# A failure is the change's, not the day's: the same examples at every run, and no deadline on a
# machine that may be busy.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def _digest(value):
    """One hash of anything an AnnData may hold: type, shape and bytes."""
    if isinstance(value, dict):
        return repr([(k, _digest(v)) for k, v in value.items()])
    if isinstance(value, pd.DataFrame):
        return repr(
            [
                (str(k), str(value.dtypes.iloc[i]), _digest(value.iloc[:, i]))
                for i, k in enumerate(value.columns)
            ]
        )
    if isinstance(value, pd.Series):
        return _digest(np.asarray(value.astype(object))) + str(value.dtype)
    if sp.issparse(value):
        return type(value).__name__ + _digest(value.tocoo().data) + _digest(value.toarray())
    array = np.asarray(value)
    content = (
        repr(array.tolist()).encode()
        if array.dtype == object
        else np.ascontiguousarray(array).tobytes()
    )
    return (
        f"{type(value).__name__} {array.dtype} {array.shape} {hashlib.sha256(content).hexdigest()}"
    )


def digest(adata):
    """Hash of every slot and key of an AnnData."""
    slots = {
        s: {str(k): _digest(v) for k, v in dict(getattr(adata, s)).items()}
        for s in ("obsm", "varm", "layers", "obsp")
    }
    frames = {
        s: (_digest(getattr(adata, s)), _digest(getattr(adata, s).index.to_series()))
        for s in ("obs", "var")
    }
    return {
        **slots,
        **frames,
        "uns": _digest(dict(adata.uns)),
        "X": _digest(adata.X),
        "is_view": adata.is_view,
    }


@pytest.fixture
def digest_of():
    """One hash of anything an AnnData may hold."""
    return _digest


@pytest.fixture
def frozen():
    """Context in which an AnnData must not change: `with frozen(adata), pytest.raises(...)`."""

    @contextmanager
    def unchanged(adata):
        before = digest(adata)
        yield
        assert digest(adata) == before

    return unchanged


def make_cells(n=90, d=4, genes=12, seed=0):
    """Three snapshots of a cloud that moves along the first axis and turns, with genes that are a
    projection of it.
    """
    rng = np.random.default_rng(seed)
    hours = np.repeat([0.0, 12.0, 48.0], n // 3)
    latent = rng.normal(size=(n, d)) * np.linspace(1.0, 0.4, d)
    latent[:, 0] += hours / 12.0
    latent[:, 1] += np.sin(hours / 24.0)
    axes = np.linalg.qr(rng.normal(size=(genes, d)))[0]
    latent -= latent.mean(axis=0)
    x = latent @ axes.T + 3.0
    adata = ad.AnnData(
        sp.csr_matrix(x.astype(np.float32)),
        obs=pd.DataFrame({"hours": hours}, index=[f"cell{i}" for i in range(n)]),
        var=pd.DataFrame(index=[f"gene{i}" for i in range(genes)]),
    )
    adata.obsm["X_pca"] = latent.astype(np.float32)
    adata.obsm["X_umap"] = latent[:, :2] + 0.1 * np.sin(latent[:, 2:4])
    adata.varm["PCs"] = axes
    return adata


@pytest.fixture
def cells():
    """A small AnnData with times, a representation and a picture; not fitted."""
    return make_cells()


def quick_recipe():
    """The default method, trained for moments: for tests of everything but how well it learns."""
    from cellflow.recipes import ot_cfm

    from cellflow.training import Training

    return ot_cfm(training=Training(steps=40, batch_size=64, record_every=20))


def _small_fit(kind):
    from cellflow.recipes import fm, sf2m

    import cellflow as cf

    training = quick_recipe().training
    adata = make_cells(120 if kind == "conditions" else 90)
    if kind in {"score", "ensemble"}:
        adata.obs.loc[adata.obs_names[7::40], "hours"] = np.nan
    if kind == "conditions":
        adata.obs["drug"] = np.tile(["none", "some"], 60)
    how = {
        "default": {"method": quick_recipe()},
        "score": {"method": quick_recipe(), "score": True},
        "conditions": {"method": quick_recipe(), "condition_key": "drug"},
        "ensemble": {"method": quick_recipe(), "score": True, "growth": "learn", "n_members": 2},
        "fm": {"method": fm(training=training)},
        "growth": {"method": quick_recipe(), "growth": "learn"},
        "sf2m": {"method": sf2m(training=training)},
    }[kind]
    cf.tl.flow(adata, "hours", **how)
    return adata


@pytest.fixture(scope="session")
def fitted_as():
    """`fitted_as(kind)`: a copy of a small fit, made once a session.

    Kinds are "default", "score" (three cells without a time), "conditions" (`obs["drug"]`, "none"
    or "some"), "ensemble" (of two, with score and growth; three cells without a time), "fm" (a
    generator), "growth" (with a growth head) and "sf2m" (a bridge with its
    score).
    """
    made = {}

    def copy_of(kind):
        if kind not in made:
            made[kind] = _small_fit(kind)
        return made[kind].copy()

    return copy_of


@pytest.fixture
def fitted(fitted_as):
    """A small AnnData with a fit (and its score) under the default key, three of its cells without
    a time; always a copy.
    """
    return fitted_as("score")


@pytest.fixture
def long_steps(monkeypatch):
    """Steps of a third of the mean interval, for tests of what is asked and written.

    How exact the answers are is tested in `tests/simulation` and `tests/model`.
    """
    import cellflow as cf

    monkeypatch.setattr(cf.Flow, "step", property(lambda flow: flow.clock.unit / 3))


ARCHIVE = Path(__file__).parent / "archive"


@pytest.fixture
def archived():
    """A file of cellflow 0.1.0: a fit, velocities, trajectories, densities and a diagnosis of 60
    cells, one without a time.
    """
    return ad.read_h5ad(ARCHIVE / "fit_0_1_0.h5ad")
