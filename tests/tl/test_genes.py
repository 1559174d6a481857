"""Genes of every result: which can be decoded, which are chosen, how many, and their names."""

import inspect
import re
import tracemalloc
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from cellflow.recipes import fm, i_cfm

import cellflow as cf
from cellflow.cli import main
from cellflow.core import decoder as decoder_module
from cellflow.core.decoder import MIN_R2
from cellflow.errors import InputError, InputWarning
from cellflow.model.flow import Flow
from cellflow.training import Training
from conftest import quick_recipe

pytestmark = pytest.mark.usefixtures("long_steps")

BRIEF = Training(steps=4, batch_size=32, record_every=4)
#: Genes of the PCA, genes outside of its mask that share its signal, genes of noise.
USED, OTHER, NOISE = slice(0, 20), slice(20, 32), slice(32, 40)


def masked_cells(n=150, seed=0):
    """Cells whose PCA was made of half of the genes, as scanpy does with highly variable ones."""
    rng = np.random.default_rng(seed)
    time = np.repeat([0.0, 1.0, 2.0], n // 3)
    latent = rng.normal(size=(n, 3)) * 0.5
    latent[:, 0] += 2.0 * time
    loadings = np.vstack([rng.normal(size=(32, 3)), np.zeros((8, 3))])
    x = 5.0 + latent @ loadings.T + 0.05 * rng.normal(size=(n, 40))
    names = [f"ENSG{i:05}" for i in range(40)]
    adata = ad.AnnData(
        x.astype(np.float32),
        obs=pd.DataFrame(
            {"time": time, "arm": np.where(np.arange(n) % 2, "a", "b")},
            index=[f"c{i}" for i in range(n)],
        ),
        var=pd.DataFrame({"symbol": [f"Gene{i}" for i in range(40)]}, index=names),
    )
    adata.var["highly_variable"] = np.arange(40) < 20
    sc.pp.pca(adata, n_comps=3)
    adata.obsm["X_umap"] = adata.obsm["X_pca"][:, :2].copy()
    return adata


@pytest.fixture(scope="module")
def _masked():
    adata = masked_cells()
    cf.tl.flow(adata, "time", method=quick_recipe(), score=True)
    cf.tl.flow(adata, "time", method=fm(training=BRIEF), key_added="made")
    return adata


@pytest.fixture
def masked(_masked):
    return _masked.copy()


#: Every call that answers with genes, as `(adata, **genes) -> AnnData`.
ANSWERS = {
    "predict": lambda a, **k: cf.tl.predict(a, time=1.5, n_obs=30, **k),
    "push": lambda a, **k: cf.tl.push(a, np.arange(30), time=1.5, **k),
    "pull": lambda a, **k: cf.tl.pull(a, np.arange(100, 130), time=1.5, **k),
    "simulate": lambda a, **k: cf.tl.simulate(a, np.arange(10), n_times=3, **k),
    "generate": lambda a, **k: cf.tl.generate(a, time=1.5, n_obs=30, key="made", **k),
    "sample": lambda a, **k: cf.tl.sample(a, time=1.0, n_obs=30, n_steps=1, **k),
    "refine": lambda a, **k: cf.tl.refine(a, a[:30].copy(), time=1.0, check=False, **k),
    "translate": lambda a, **k: cf.tl.translate(
        a, "arm", source="a", target="b", method=i_cfm(training=BRIEF), **k
    ),
}
CALLS = {name: getattr(cf.tl, name) for name in ANSWERS} | {
    "velocity": cf.tl.velocity,
    "get.velocity": cf.get.velocity,
}
#: Whose fit is at another key than the default.
PREFIX = {"generate": "made_"}


def fitted_decoder(adata, answer):
    return cf.get.flow(adata, key="made" if answer == "generate" else "cellflow").decoder


# Which can be decoded -----------------------------------------------------------------------------


def test_a_fit_says_how_well_each_gene_is_decoded(masked, caplog):
    decoder = cf.get.flow(masked).decoder
    np.testing.assert_array_equal(masked.var["cf_gene_r2"], decoder.gene_r2)
    assert masked.var["cf_gene_r2"].iloc[USED].min() > 0.5
    assert masked.var["cf_gene_r2"].iloc[OTHER].min() > 0.5
    assert masked.var["cf_gene_r2"].iloc[NOISE].max() < MIN_R2
    with caplog.at_level("INFO", logger="cellflow"):
        cf.tl.flow(masked, "time", method=i_cfm(training=BRIEF))
    assert "32 of 40 genes can be decoded from X_pca" in caplog.text


def test_velocity_genes_are_those_that_can_be_decoded(masked):
    cf.tl.velocity(masked, genes="all")
    assert masked.var["velocity_genes"].tolist() == [True] * 32 + [False] * 8
    assert (masked.layers["velocity"][:, OTHER] != 0).all()
    flat = masked.var["cf_gene_r2"].to_numpy() == 0
    assert ((masked.layers["velocity"] == 0).all(axis=0) == flat).all()
    assert cf.get.velocity(masked).columns.equals(masked.var_names[:32])


@pytest.mark.parametrize("answer", ANSWERS)
def test_every_answer_marks_its_genes(masked, answer):
    """And genes outside of the mask vary in it, as they do among the cells."""
    result = ANSWERS[answer](masked)
    decoder = fitted_decoder(masked, answer)
    (record,) = (about for about in result.uns.values() if "gene_r2" in about)
    np.testing.assert_allclose(record["gene_r2"], decoder.gene_r2, rtol=1e-6)
    assert set(result.var) <= set(masked.var) | {"made_gene_r2"}
    assert (result.X[:, OTHER].std(axis=0) > 0).all()
    assert ((np.ptp(result.X, axis=0) == 0) == (decoder.gene_r2 == 0)).all()


def test_a_table_of_velocities_carries_the_marks_and_says_what_is_none(masked):
    table = cf.get.velocity(masked, [25, 3])
    assert table.attrs["gene_r2"] == masked.var["cf_gene_r2"].iloc[[25, 3]].to_dict()
    with pytest.warns(
        InputWarning,
        match=r"1 of 2 genes cannot be decoded from 'X_pca' \(first: \['ENSG00035'\]\)",
    ):
        table = cf.get.velocity(masked, ["ENSG00035", "ENSG00002"])
    assert (table["ENSG00035"] == 0).all()


def test_a_fit_of_0_1_0_has_no_r2_and_answers_without(masked, monkeypatch):
    record, decoder = masked.uns["cellflow"]["model"], cf.get.flow(masked).decoder
    del record["arrays"]["decoder.gene_r2"], masked.var["cf_gene_r2"]
    monkeypatch.setattr("cellflow.adapter.store._checksum", lambda *_: record["checksum"])
    later = cf.tl.predict(masked, time=1.5)
    assert "cf_gene_r2" not in later.var
    assert "gene_r2" not in later.uns["cf_prediction"]
    cf.tl.velocity(masked, genes="all")
    assert masked.var["velocity_genes"].tolist() == (decoder.loadings != 0).any(axis=1).tolist()
    assert "gene_r2" not in cf.get.velocity(masked).attrs


def test_a_refit_without_expression_leaves_no_marks_behind(masked):
    cf.tl.velocity(masked, genes="all")
    del masked.X, masked.layers["velocity"], masked.layers["Ms"]
    cf.tl.flow(masked, "time", method=i_cfm(training=BRIEF))
    assert not {"cf_gene_r2", "velocity_genes"} & set(masked.var)


# Which are asked for ------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ANSWERS)
def test_genes_are_chosen_and_come_in_that_order(masked, answer):
    result, none = ANSWERS[answer](masked, genes=[30, 4, 36]), ANSWERS[answer](masked, genes=[])
    assert result.var_names.equals(masked.var_names[[30, 4, 36]])
    expected = (
        fitted_decoder(masked, answer).only(np.array([30, 4, 36])).positions(result.obsm["X_pca"])
    )
    np.testing.assert_allclose(result.X, expected, rtol=1e-5, atol=1e-5)
    assert (none.n_vars, none.n_obs) == (0, result.n_obs)
    np.testing.assert_array_equal(none.obsm["X_pca"], result.obsm["X_pca"])


@pytest.mark.parametrize(
    ("genes", "columns"),
    [
        (["ENSG00030", "ENSG00004"], [30, 4]),
        ("ENSG00030", [30]),
        (7, [7]),
        (np.array([7, 2, 7]), [7, 2]),
        (np.isin(np.arange(40), [5, 3]), [3, 5]),
        (np.zeros(40, dtype=bool), []),
        ((), []),
        (pd.Index(["ENSG00003"]), [3]),
    ],
)
def test_genes_are_chosen_in_any_form(masked, genes, columns):
    assert (
        cf.tl.push(masked, [60], time=1.0, genes=genes).var_names.tolist()
        == masked.var_names[columns].tolist()
    )
    assert cf.get.velocity(masked, genes).columns.tolist() == masked.var_names[columns].tolist()


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_is_too_large_is_refused_before_any_work_and_its_remedy_works(
    masked, answer, monkeypatch, frozen
):
    monkeypatch.setattr(decoder_module, "_LIMIT", 4 * 30 * 39)
    with monkeypatch.context() as stopped:
        for work in ("velocity", "simulate", "sample"):
            stopped.setattr(Flow, work, None)
        with frozen(masked), pytest.raises(InputError, match=r"cells by 40 genes take") as said:
            ANSWERS[answer](masked)
    assert_arguments_exist(str(said.value), CALLS[answer])
    if answer in {"push", "generate", "sample"}:
        assert ANSWERS[answer](masked, genes=[0]).n_vars == 1


def test_layers_that_are_too_large_name_a_remedy_that_works(masked, monkeypatch, frozen):
    monkeypatch.setattr(decoder_module, "_LIMIT", 4 * 150 * 39)
    with (
        frozen(masked),
        pytest.raises(InputError, match=r"genes=adata\.var\['cf_gene_r2'\] >= 0\.1") as said,
    ):
        cf.tl.velocity(masked, genes="all")
    assert_arguments_exist(str(said.value), cf.tl.velocity)
    monkeypatch.setattr(decoder_module, "_LIMIT", 6 * 150 * 32)
    cf.tl.velocity(masked, genes=masked.var["cf_gene_r2"] >= 0.1)
    assert masked.layers["velocity"].nnz == 150 * 32


def assert_arguments_exist(message, call):
    named = set(re.findall(r"\b([a-z_]+)=", message)) - {"adata"}
    assert named
    assert named <= set(inspect.signature(call).parameters)


@pytest.mark.parametrize("call", CALLS)
def test_every_call_that_answers_with_genes_takes_them(call):
    assert inspect.signature(CALLS[call]).parameters["genes"].default is None


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        (["ENSG00004", "Gene1"], r"not in adata\.var_names: \['Gene1'\]"),
        ([40], "position 40; expected 0 to 39"),
        ([0.5], "has dtype float64"),
        (np.ones(3, dtype=bool), "mask of length 3; expected 40"),
        ("ensg00004", "did you mean 'ENSG00004'"),
        ([[1], [1, 2]], "is neither a mask, nor positions, nor names"),
        (slice(2, 4), "nor positions, nor names"),
    ],
)
@pytest.mark.parametrize("call", ["predict", "push", "simulate", "velocity", "get.velocity"])
def test_genes_that_are_none(masked, call, genes, message, frozen):
    calls = ANSWERS | {"velocity": cf.tl.velocity, "get.velocity": cf.get.velocity}
    with frozen(masked), pytest.raises(InputError, match=message):
        calls[call](masked, genes=genes)


def test_genes_without_expression(masked):
    bare = ad.AnnData(obs=masked.obs[["time"]], obsm=dict(masked.obsm))
    cf.tl.flow(bare, "time", method=i_cfm(training=BRIEF))
    assert ANSWERS["push"](bare).n_vars == ANSWERS["push"](bare, genes=[]).n_vars == 0
    for answer in ("predict", "push", "simulate"):
        with pytest.raises(InputError, match="has no decoder"):
            ANSWERS[answer](bare, genes=["ENSG00001"])


@pytest.mark.parametrize(
    ("option", "n"),
    [
        ([], 40),
        (["--genes", "ENSG00030", "ENSG00004"], 2),
        (["--genes", "decodable"], 32),
        (["--genes", "none"], 0),
    ],
)
def test_the_command_line_chooses_genes(masked, tmp_path, option, n):
    before, after = tmp_path / "in.h5ad", tmp_path / "out.h5ad"
    masked.write_h5ad(before)
    assert (
        main(
            ["predict", str(before), "--time", "1.5", "--n-obs", "9", "--out", str(after), *option]
        )
        == 0
    )
    assert ad.read_h5ad(after).n_vars == n


def test_the_command_line_annotates_genes(masked, tmp_path):
    before, after = tmp_path / "in.h5ad", tmp_path / "out.h5ad"
    masked.write_h5ad(before)
    assert (
        main(
            ["annotate", str(before), "--n-times", "2", "--out", str(after), "--genes", "decodable"]
        )
        == 0
    )
    assert ad.read_h5ad(after).layers["velocity"].nnz == 150 * 32
    assert main(["annotate", str(before), "--n-times", "2", "--out", str(after)]) == 0
    assert not ad.read_h5ad(after).layers
    words = ["annotate", str(before), "--n-times", "2", "--out", str(after), "--genes", "all"]
    assert main(words) == 0
    assert ad.read_h5ad(after).layers["velocity"].shape == (150, 40)


def test_the_command_line_refuses_what_is_too_large_and_names_what_helps(
    masked, tmp_path, monkeypatch, capsys
):
    masked.write_h5ad(tmp_path / "in.h5ad")
    monkeypatch.setattr(decoder_module, "_LIMIT", 4 * 150 * 39)
    arguments = [
        "annotate",
        str(tmp_path / "in.h5ad"),
        "--out",
        str(tmp_path / "out.h5ad"),
        "--n-times",
        "2",
        "--genes",
        "all",
    ]
    assert main(arguments) == 4
    assert "genes=" in capsys.readouterr().err


# What they take -----------------------------------------------------------------------------------


@pytest.mark.parametrize("genes", ["all", slice(0, 1500), slice(0, 100), slice(None), "noise"])
def test_memory_of_velocities_is_what_is_guarded(genes):
    """At most two and a half times the layer of the limit, which includes the expression."""
    n, g = 900, 3000
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    x[:, 0] += np.repeat([0.0, 1.0, 2.0], n // 3)
    y = x @ rng.normal(size=(4, g)).astype(np.float32)
    if genes == "noise":
        y = rng.normal(size=(n, g)).astype(np.float32)
        y[:, 0] = x[:, 0]
    adata = ad.AnnData(
        y,
        obs=pd.DataFrame(
            {"time": np.repeat([0.0, 1.0, 2.0], n // 3)}, index=[f"c{i}" for i in range(n)]
        ),
    )
    adata.obsm["X_pca"] = x
    cf.tl.flow(adata, "time", method=i_cfm(training=BRIEF))
    chosen = genes
    if genes != "all":
        chosen = np.arange(g)[slice(None) if genes == "noise" else genes]
    guarded = n * g * 4 if genes == "all" else n * len(chosen) * 6
    cf.tl.velocity(adata, genes=[0], copy=True)  # what is imported at the first call
    tracemalloc.start()
    try:
        cf.tl.velocity(adata, genes=chosen)
        assert tracemalloc.get_traced_memory()[1] < 2.5 * guarded + 4e6
    finally:
        tracemalloc.stop()


# What they are called -----------------------------------------------------------------------------


def renamed(adata, names):
    other = adata.copy()
    other.var_names = names
    return other


def _some(adata, n):
    return [f"new{i}" if i >= 40 - n else name for i, name in enumerate(adata.var_names)]


#: name: the fitted cells with other genes; whether nothing, a warning or an error is said; words of
#: it.
RENAMED = {
    "as they were": (lambda a: a, None, ""),
    "in another order": (lambda a: a[:, ::-1].copy(), None, ""),
    "some of them": (lambda a: a[:, 5:30].copy(), None, ""),
    "symbols": (
        lambda a: renamed(a, a.var["symbol"]),
        "error",
        r"adata\.var_names = cf\.get\.flow\(adata\)\.decoder\.genes",
    ),
    "symbols, ids kept": (
        lambda a: renamed(a[:, :].copy(), a.var["symbol"]).copy(),
        "error",
        "None of the 40 genes",
    ),
    "numbers": (lambda a: renamed(a, [str(i) for i in range(40)]), "error", "'0', '1', '2', "),
    "another case": (lambda a: renamed(a, a.var_names.str.lower()), "error", "'ensg00000'"),
    "with versions": (lambda a: renamed(a, a.var_names + ".7"), "error", r"'ENSG00000\.7'"),
    "with versions, some of them": (
        lambda a: renamed(a, a.var_names + ".7")[:, :9].copy(),
        "error",
        "None of the 9 genes",
    ),
    "one": (lambda a: renamed(a, _some(a, 1)), "warning", r"1 of the 40 genes .*'new39'"),
    "half": (
        lambda a: renamed(a, _some(a, 20)),
        "warning",
        r"20 of the 40 genes .* 20 of the fit are not in adata",
    ),
    "all but one": (lambda a: renamed(a, _some(a, 39)), "warning", "39 of the 40 genes"),
    "more genes": (
        lambda a: ad.concat(
            [a, renamed(a[:, :3].copy(), ["x", "y", "z"])], axis=1, merge="same", uns_merge="first"
        ),
        "warning",
        r"3 of the 43 genes .*'x', 'y', 'z'.* 0 of the fit are not",
    ),
}
QUESTIONS = {
    "predict": lambda a: (lambda r: pd.DataFrame(r.X, columns=r.var_names))(
        cf.tl.predict(a, time=1.5, n_obs=20)
    ),
    "push": lambda a: (lambda r: pd.DataFrame(r.X, columns=r.var_names))(
        cf.tl.push(a, [3, 7], time=1.5)
    ),
    "velocity": lambda a: (lambda r: pd.DataFrame(r.layers["velocity"], columns=r.var_names))(
        cf.tl.velocity(a, genes="all", copy=True)
    ),
    "get.velocity": cf.get.velocity,
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("case", RENAMED)
def test_a_gene_that_was_renamed_does_not_vanish_in_silence(masked, case, question, frozen):
    change, said, words = RENAMED[case]
    expected = QUESTIONS[question](masked)
    other = change(masked)
    if said == "error":
        with frozen(other), pytest.raises(InputError, match=words):
            QUESTIONS[question](other)
        return
    if said == "warning":
        with pytest.warns(InputWarning, match=words):
            found = QUESTIONS[question](other)
    else:
        found = QUESTIONS[question](other)
    shared = [name for name in found.columns if name in expected.columns]
    assert shared
    np.testing.assert_array_equal(found[shared], expected[shared])


def test_a_column_that_holds_the_old_names_is_named(masked):
    masked.var["gene_ids"] = masked.var_names
    masked.var_names = masked.var["symbol"].to_numpy()
    with pytest.raises(
        InputError, match=r"Set adata\.var_names = adata\.var\['gene_ids'\], which holds 40 of them"
    ):
        cf.tl.predict(masked, time=1.5)
    assert cf.tl.predict(masked, time=1.5, genes=[]).n_vars == 0
    masked.var_names = masked.var["gene_ids"].to_numpy()
    assert cf.tl.predict(masked, time=1.5).n_vars == 40


def test_genes_chosen_by_name_are_not_answerable_for_the_others(masked):
    other = renamed(masked, _some(masked, 20))
    assert cf.tl.predict(other, time=1.5, genes=["ENSG00010"]).var_names.tolist() == ["ENSG00010"]
    with pytest.raises(InputError, match=r"has not seen: \['new33'\]"):
        cf.tl.predict(other, time=1.5, genes=["ENSG00010", "new33"])


# Whose results stand beside ours ------------------------------------------------------------------


def _ms(adata):
    adata.layers["Ms"] = np.expm1(np.asarray(adata.X))


def _foreign(adata):
    _ms(adata)
    adata.layers["velocity"] = np.zeros(adata.shape)


def _graph(adata):
    adata.uns["velocity_graph"] = sp.eye(adata.n_obs, format="csr")


#: name: what is there before, arguments, words of the warning (None: no warning), whether Ms is
#: ours afterwards.
BESIDE = {
    "nothing": (lambda a: None, {}, None, True),
    "Ms": (_ms, {}, r"layers\['Ms'\] was not written by cellflow", False),
    "Ms, and no genes by default": (_ms, {"genes": None}, None, False),
    "Ms, to be replaced": (_ms, {"overwrite": True}, None, True),
    "Ms, and no genes": (_ms, {"genes": []}, None, False),
    "Ms, and some genes": (_ms, {"genes": [1, 2]}, r"layers\['Ms'\] was not written", False),
    "Ms of the same values": (
        lambda a: a.layers.update(Ms=np.asarray(a.X)),
        {},
        r"overwrite=True to replace it",
        False,
    ),
    "Ms and velocity, to be replaced": (_foreign, {"overwrite": True}, None, True),
    "our own": (lambda a: cf.tl.velocity(a, genes="all"), {}, None, True),
    "a graph of other velocities": (_graph, {}, r"uns\['velocity_graph'\] stay", True),
    "a graph in obsp": (
        lambda a: a.obsp.update(velocity_graph=sp.eye(a.n_obs, format="csr")),
        {},
        r"obsp\['velocity_graph'\] stay",
        True,
    ),
    "arrows of other velocities": (
        lambda a: a.obsm.update(velocity_umap=np.zeros((a.n_obs, 2))),
        {},
        r"obsm\['velocity_umap'\] stay",
        True,
    ),
    "arrows, to be replaced": (
        lambda a: a.obsm.update(velocity_umap=np.zeros((a.n_obs, 2))),
        {"basis": "umap", "overwrite": True},
        None,
        True,
    ),
    "a variance of other velocities": (
        lambda a: a.layers.update(variance_velocity=np.ones(a.shape)),
        {},
        r"layers\['variance_velocity'\] stay",
        True,
    ),
    "a graph of our velocities": (
        lambda a: (cf.tl.velocity(a, genes="all"), _graph(a)),
        {},
        None,
        True,
    ),
    "another key": (_ms, {"key": "second"}, None, False),
}


@pytest.mark.parametrize("case", BESIDE)
def test_results_of_another_tool_beside_our_velocity_are_replaced_or_told(masked, case, frozen):
    before, arguments, words, ours = BESIDE[case]
    arguments = {"genes": "all"} | arguments
    if "key" in arguments:
        cf.tl.flow(masked, "time", method=i_cfm(training=BRIEF), key_added=arguments["key"])
    before(masked)
    if words is None:
        cf.tl.velocity(masked, **arguments)
    else:
        with frozen(masked), warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(InputWarning, match=words):
                cf.tl.velocity(masked, **arguments)
        with pytest.warns(InputWarning, match=words) as said:
            cf.tl.velocity(masked, **arguments)
        assert [w.filename for w in said] == [__file__]
    decoded = cf.get.flow(masked).decoder.positions(masked.obsm["X_pca"])
    assert (
        np.array_equal(np.asarray(masked.layers["Ms"]), decoded) == ours
        if "Ms" in masked.layers
        else not ours
    )
    # What is ours goes with a refit, and what is not stays.
    cf.tl.flow(masked, "time", method=i_cfm(training=BRIEF))
    assert ("Ms" in masked.layers) == (not ours and case != "nothing")
