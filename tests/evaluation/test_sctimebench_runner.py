"""The runner for scTimeBench on data of its layout, with and without the package."""

import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from cellflow.recipes import ot_cfm

from cellflow.training import Training

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "sctimebench_runner.py"
TIME = "scTimeBench_timepoint"
TIMES = [0.0, 1.0, 3.0, 4.0]
QUICK = ot_cfm(training=Training(steps=400, record_every=200))


def data():
    """Log expression of cells that drift along one axis at speed one, in the suite's columns."""
    rng = np.random.default_rng(0)
    times = np.repeat(TIMES, 60)
    latent = rng.normal(size=(240, 3)) * [0.5, 0.8, 0.3]
    latent[:, 0] += times
    axes = rng.normal(size=(3, 20))
    x = np.maximum(latent @ axes + 8.0, 0.0).astype(np.float32)
    obs = pd.DataFrame(
        {TIME: times, "scTimeBench_cell_type": np.where(latent[:, 1] > 0, "a", "b")},
        index=[f"c{i}" for i in range(240)],
    )
    return ad.AnnData(sp.csr_matrix(x), obs=obs)


def split():
    """Training without the times 1 and 4; the test set with the first time, as the suite has it."""
    cells = data()
    test = cells.obs[TIME].isin([0.0, 1.0, 4.0])
    return cells[~test | (cells.obs[TIME] == 0.0)].copy(), cells[test].copy()


@pytest.fixture(scope="module")
def runner():
    """The script as a module."""
    if not SCRIPT.exists():
        pytest.skip("the benchmark scripts are not part of this copy of the repository")
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def trained(runner):
    assert runner.TIME == TIME
    method = runner.CellflowMethod({"method": {"metadata": {"method": QUICK, "n_comps": 3}}})
    train, test = split()
    method.train(train, all_tps=TIMES)
    return method, test


def test_rows_are_the_cells_of_the_test_set(trained):
    method, test = trained
    last = (test.obs[TIME] == 4.0).to_numpy()
    embedding = method.generate_embedding(test)
    assert embedding.shape == (180, 3)
    for made, width in (
        (method.generate_next_tp_embedding(test), 3),
        (method.generate_next_tp_gex(test), 20),
    ):
        assert made.shape == (180, width)
        assert np.isnan(made[last]).all()
        assert np.isfinite(made[~last]).all()


def test_the_embedding_is_of_the_axes_of_training(trained):
    method, test = trained
    x = test.X.toarray()
    np.testing.assert_allclose(
        method.generate_embedding(test), (x - method.mean) @ method.axes, atol=1e-3
    )


def test_cells_move_to_the_next_time_of_the_test_set(trained):
    """0 to 1 and 1 to 4, at speed one along one axis: means of genes are predicted."""
    method, test = trained
    predicted = method.generate_next_tp_gex(test)
    assert (predicted[np.isfinite(predicted)] >= 0).all()
    x = test.X.toarray()
    times = test.obs[TIME].to_numpy()
    for start, stop in ((0.0, 1.0), (1.0, 4.0)):
        truth = x[times == stop].mean(axis=0)
        error = predicted[times == start].mean(axis=0) - truth
        still = x[times == start].mean(axis=0) - truth
        assert np.linalg.norm(error) < 0.3 * np.linalg.norm(still), (start, stop)


def test_the_whole_course_begins_with_the_cells(trained):
    method, test = trained
    first = test[test.obs[TIME] == 0.0].copy()
    course = method.generate_zero_to_end_pred_gex(first, TIMES)
    assert course.n_obs == 240
    assert sp.issparse(course.X)
    assert sorted(course.obs[TIME].unique()) == TIMES
    there = course[course.obs[TIME] == 0.0].X.toarray()
    assert np.abs(there - first.X.toarray()).mean() < 0.05
    half = course[course.obs[TIME] == 1.0].X.toarray()
    np.testing.assert_allclose(half, method.generate_next_tp_gex(first_and(test))[:60], atol=1e-3)


def first_and(test):
    """The cells of the first two times."""
    return test[test.obs[TIME] < 2.0].copy()


def test_other_genes_and_unknown_settings_are_refused(trained, runner):
    method, test = trained
    with pytest.raises(ValueError, match="genes of the test set"):
        method.generate_embedding(test[:, ::-1].copy())
    with pytest.raises(ValueError, match="n_pcs"):
        runner.CellflowMethod({"method": {"metadata": {"n_pcs": 3}}})


def test_the_suite_itself_runs_it(tmp_path, runner):
    """The suite's own entrance: configuration, training, generation, and its metric."""
    pytest.importorskip("scTimeBench", reason="the suite is in the extra peers: make interop")
    yaml = pytest.importorskip("yaml", reason="the suite brings it: make interop")
    train, test = split()
    train.write_h5ad(tmp_path / "train.h5ad")
    test.write_h5ad(tmp_path / "test.h5ad")
    module = tmp_path / "given_dataset.py"
    module.write_text(
        "import anndata as ad\n"
        "class Given:\n"
        "    def load_data(self):\n"
        f"        read = lambda name: ad.read_h5ad({str(tmp_path)!r} + '/' + name)\n"
        "        return read('train.h5ad'), read('test.h5ad')\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        from given_dataset import Given

        (tmp_path / "dataset.pkl").write_bytes(pickle.dumps(Given()))
    finally:
        sys.path.remove(str(tmp_path))
    names = ["embedding", "next_timepoint_embedding", "next_timepoint_gene_expression"]
    config = {
        "output_path": str(tmp_path),
        "dataset_pkl_path": str(tmp_path / "dataset.pkl"),
        "method": {"name": "cellflow", "metadata": {"method": "ot-cfm", "n_comps": 3}},
        "required_outputs": [[f"{name}.npy" for name in names]],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--yaml_config", str(tmp_path / "config.yaml")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{SCRIPT.parents[1]}"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    made = [np.load(tmp_path / f"{name}.npy") for name in names]
    assert [m.shape for m in made] == [(180, 3), (180, 3), (180, 20)]
