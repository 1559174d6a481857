"""Generated cells as an AnnData: time, condition, genes, and the comparison with measured cells."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cellflow.recipes import fm

import cellflow as cf
from cellflow.errors import InputError, InputWarning, IntegrationWarning, MissingKeyError
from cellflow.training import Training
from conftest import make_cells

QUICK = fm(training=Training(steps=400, batch_size=256))


def treated(n=360):
    """A cloud that moves with time, in two conditions that are 4 apart; one of them is rare."""
    adata = make_cells(n)
    drug = np.tile([True, False, False, False], n // 4)
    adata.obs["drug"] = pd.Categorical(np.where(drug, "drug", "control"))
    latent = adata.obsm["X_pca"]
    latent[:, 1] += np.where(drug, 2.0, -2.0)
    adata.X = (latent @ adata.varm["PCs"].T + 3.0).astype(np.float32)
    adata.obs.loc[adata.obs_names[5], "hours"] = np.nan
    return adata


@pytest.fixture(scope="module")
def _generator():
    adata = treated()
    cf.tl.flow(adata, "hours", method=QUICK, condition_key="drug")
    return adata


@pytest.fixture
def generator(_generator):
    return _generator.copy()


@pytest.mark.parametrize("time", [0.0, 48.0])
@pytest.mark.parametrize("drug", ["control", "drug"])
def test_generated_cells_look_like_the_measured_ones(generator, time, drug, frozen):
    with frozen(generator):
        made = cf.tl.generate(generator, time=time, condition=drug, n_obs=200)
    assert made.shape == (200, generator.n_vars)
    assert (made.obs["hours"] == time).all()
    assert (made.obs["drug"] == drug).all()
    real = generator[(generator.obs["hours"] == time) & (generator.obs["drug"] == drug)]
    np.testing.assert_allclose(
        made.obsm["X_pca"].mean(axis=0), real.obsm["X_pca"].mean(axis=0), atol=0.5
    )
    np.testing.assert_allclose(
        made.obsm["X_pca"].std(axis=0), real.obsm["X_pca"].std(axis=0), rtol=0.4
    )
    about = made.uns["cf_generation"]
    assert about["n_real"] == real.n_obs
    assert abs(about["c2st"] - 0.5) < 0.15 + 3.0 * about["c2st_standard_error"]
    assert about["copies"] < about["real_copies"] + 0.15
    # Genes are decoded from the states.
    np.testing.assert_allclose(
        made.X, made.obsm["X_pca"] @ generator.varm["PCs"].T + 3.0, atol=1e-3
    )


def test_without_a_condition_the_proportions_are_the_measured_ones(generator):
    made = cf.tl.generate(generator, time=12.0, n_obs=600)
    assert (made.obs["drug"] == "drug").mean() == pytest.approx(0.25, abs=0.06)
    side = made.obsm["X_pca"][:, 1] > 0
    assert (side == (made.obs["drug"] == "drug")).mean() > 0.9
    assert "condition" not in made.uns["cf_generation"]
    assert abs(made.uns["cf_generation"]["c2st"] - 0.5) < 0.15


def test_log_densities_on_request(generator):
    made = cf.tl.generate(generator, time=12.0, condition="drug", n_obs=30, return_log_prob=True)
    plain = cf.tl.generate(generator, time=12.0, condition="drug", n_obs=30)
    np.testing.assert_allclose(made.obsm["X_pca"], plain.obsm["X_pca"], atol=1e-4)
    centre = np.linalg.norm(made.obsm["X_pca"] - made.obsm["X_pca"].mean(axis=0), axis=1)
    assert np.corrcoef(made.obs["log_density"], centre)[0, 1] < -0.4
    assert "log_density" not in plain.obs


def test_a_rare_group_is_augmented(generator):
    rare = generator[(generator.obs["hours"] == 12.0) & (generator.obs["drug"] == "drug")]
    made = cf.tl.generate(
        generator, time=12.0, condition={"drug": "drug"}, n_obs=50, random_state=1
    )
    both = ad.concat([rare, made], label="origin", keys=["measured", "generated"])
    assert both.n_obs == rare.n_obs + 50
    assert both.var_names.equals(generator.var_names)
    assert both.obs_names.is_unique


def test_between_snapshots_there_is_nothing_to_compare_with(generator):
    made = cf.tl.generate(generator, time=6.0, condition="control", n_obs=40)
    assert "c2st" not in made.uns["cf_generation"]
    ends = [
        cf.tl.generate(generator, time=t, condition="control", n_obs=40).obsm["X_pca"][:, 0].mean()
        for t in (0.0, 12.0)
    ]
    assert ends[0] - 0.3 < made.obsm["X_pca"][:, 0].mean() < ends[1] + 0.3
    with pytest.warns(IntegrationWarning, match="outside the observed times"):
        beyond = cf.tl.generate(generator, time=60.0, condition="control", n_obs=3)
    assert beyond.uns["cf_generation"]["extrapolated"]


def test_copies_are_noticed(generator, monkeypatch):
    real = generator.obsm["X_pca"][
        ((generator.obs["hours"] == 12.0) & (generator.obs["drug"] == "control")).to_numpy()
    ]

    def copying(flow, time, *, n_obs, context, random_state):
        return real[np.arange(n_obs) % len(real)].astype(np.float64)

    monkeypatch.setattr("cellflow.analysis.generated.generate", copying)
    with pytest.warns(
        InputWarning, match="100% of the 80 generated cells are copies of one of 90 measured cells"
    ):
        made = cf.tl.generate(generator, time=12.0, condition="control", n_obs=80)
    about = made.uns["cf_generation"]
    assert about["copies"] == about["nearer"] == 1.0
    assert about["real_copies"] < 0.3


def test_a_generator_answers_from_a_file(generator, tmp_path):
    expected = cf.tl.generate(generator, time=12.0, condition="drug", n_obs=25)
    generator.write_h5ad(tmp_path / "a.h5ad")
    made = cf.tl.generate(ad.read_h5ad(tmp_path / "a.h5ad"), time=12.0, condition="drug", n_obs=25)
    np.testing.assert_array_equal(made.obsm["X_pca"], expected.obsm["X_pca"])
    made.write_h5ad(tmp_path / "made.h5ad")
    assert ad.read_h5ad(tmp_path / "made.h5ad").uns["cf_generation"]["condition"] == {
        "drug": "drug"
    }
    folder = tmp_path / "flow"
    cf.get.flow(generator).save(folder)
    assert cf.Flow.load(folder).generates


def test_without_conditions_and_with_a_combination_that_nobody_measured():
    adata = treated(120)
    cf.tl.flow(adata, "hours", method=QUICK)
    made = cf.tl.generate(adata, time=0.0, n_obs=30)
    assert list(made.obs) == ["cf_predicted_time", "hours", "cf_predicted"]
    adata.obs["line"] = np.where(adata.obs["drug"] == "drug", "a", np.tile(["a", "b"], 60))
    cf.tl.flow(adata, "hours", method=QUICK, condition_key=["drug", "line"])
    unseen = cf.tl.generate(adata, time=0.0, n_obs=30, condition={"drug": "drug", "line": "b"})
    assert unseen.uns["cf_generation"]["condition"] == {"drug": "drug", "line": "b"}
    assert "c2st" not in unseen.uns["cf_generation"]
    assert unseen.obsm["X_pca"][:, 1].mean() > 0.5


MOVING = {
    "velocity": lambda a: cf.tl.velocity(a),
    "trajectories": lambda a: cf.tl.trajectories(a, n_times=3),
    "predict": lambda a: cf.tl.predict(a, time=30.0),
    "push": lambda a: cf.tl.push(a, time=30.0),
    "pull": lambda a: cf.tl.pull(a, time=30.0),
    "get.velocity": lambda a: cf.get.velocity(a),
}


@pytest.mark.parametrize("question", MOVING)
def test_a_generator_moves_no_cells_and_says_so(generator, question, frozen):
    with (
        frozen(generator),
        pytest.raises(
            InputError, match=r"uns\['cellflow'\] \(method 'fm'\) generates cells from noise"
        ),
    ):
        MOVING[question](generator)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"condition": "drog"},
            InputError,
            "'drog', which the fit has not seen.*did you mean 'drug'",
        ),
        ({"condition": {"dose": 1.0}}, MissingKeyError, "names 'dose'"),
        ({"time": "soon"}, InputError, "time='soon' is no time; expected a number"),
        ({"n_obs": 0}, InputError, "n_obs=0; expected a positive integer"),
        ({"random_state": -1}, InputError, "is no seed"),
        ({"key": "other"}, MissingKeyError, "holds no fit"),
    ],
)
def test_what_cannot_be_generated(generator, arguments, error, message, frozen):
    with frozen(generator), pytest.raises(error, match=message):
        cf.tl.generate(generator, **({"time": 12.0, "n_obs": 5} | arguments))


def test_a_generator_has_no_score_to_ask_for(cells, frozen):
    with frozen(cells), pytest.raises(InputError, match="score=True with method='fm'"):
        cf.tl.flow(cells, "hours", method="fm", score=True)


def test_a_fit_of_another_method_cannot_generate(fitted, frozen):
    with (
        frozen(fitted),
        pytest.raises(InputError, match=r"method 'ot-cfm'\) moves cells.*method='fm'"),
    ):
        cf.tl.generate(fitted, time=12.0, n_obs=5)
