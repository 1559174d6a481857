"""Files that cellflow 0.1.0 wrote load, and answer as they did when they were written.

`archive/v0_1_0` was written before the layers became folders, with the answers that were given then
(`answers.npz`):
three folders of `Flow.save` and an AnnData with a fit, each of a small network that was trained for
60 steps.
"""

from pathlib import Path

import anndata as ad
import numpy as np
import pytest

import cellflow as cf

FOLDER = Path(__file__).parent / "archive" / "v0_1_0"
#: Another processor may round the last bits of a matrix product otherwise.
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(scope="module")
def answers():
    with np.load(FOLDER / "answers.npz") as file:
        return dict(file)


def test_a_curved_flow_with_a_score_answers_as_before(answers):
    flow = cf.Flow.load(FOLDER / "curved_with_score")
    x = answers["x"]
    now = {
        "velocity": flow.velocity(x, 1.5),
        "simulate": flow.simulate(x, 0.0, [1.0, 3.0]).x,
        "score": flow.score(x, 1.5, noise=0.1),
        "drift": flow.drift(x, 1.5),
    }
    for name, value in now.items():
        np.testing.assert_allclose(value, answers[f"curved_with_score.{name}"], **CLOSE)


def test_a_flow_with_conditions_answers_as_before(answers):
    flow = cf.Flow.load(FOLDER / "ot_with_conditions")
    x = answers["x"]
    context = np.array([0.0, 1.0])
    moved = flow.simulate(x, 0.0, [3.0], context=context).x
    np.testing.assert_allclose(
        flow.velocity(x, 1.5, context=context), answers["ot_with_conditions.velocity"], **CLOSE
    )
    np.testing.assert_allclose(moved, answers["ot_with_conditions.simulate"], **CLOSE)


def test_a_flow_that_generates_answers_as_before(answers):
    flow = cf.Flow.load(FOLDER / "fm")
    velocity = flow.velocity(answers["x"], 0.5, context=np.array([0.5]))
    assert flow.generates
    np.testing.assert_allclose(velocity, answers["fm.velocity"], **CLOSE)


def test_a_loaded_flow_writes_what_it_was_read_from(tmp_path):
    for old in sorted(path for path in FOLDER.iterdir() if path.is_dir()):
        new = tmp_path / old.name
        cf.Flow.load(old).save(new)
        assert (new / "flow.safetensors").read_bytes() == (old / "flow.safetensors").read_bytes()


def test_an_anndata_with_a_fit_answers_as_before(answers):
    adata = ad.read_h5ad(FOLDER / "fit_with_score.h5ad")
    stored = np.asarray(adata.obsm["velocity_pca"])
    np.testing.assert_array_equal(stored, answers["h5ad.velocity"])
    predicted = cf.tl.predict(adata, time=24.0)
    np.testing.assert_allclose(predicted.obsm["X_pca"], answers["h5ad.predict"], **CLOSE)
    cf.tl.velocity(adata)
    np.testing.assert_allclose(adata.obsm["velocity_pca"], stored, **CLOSE)
