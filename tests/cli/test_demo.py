"""What the demo says about its numbers; that it runs is tested with the command line."""

import os
from functools import partial

import anndata as ad
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import cellflow as cf
from cellflow.cli import _demo
from cellflow.cli._demo import Demo
from cellflow.errors import OutputError
from cellflow.model.recipes import curved_cfm
from conftest import quick_recipe

JUDGED = "ot-cfm (two-sided) compared with OT interpolation without a model: it is better."


def made(model: float, *, baseline: float = 20.0) -> Demo:
    rows = {
        "previous snapshot": 30.0,
        "OT interpolation": baseline,
        "ot-cfm": model,
        "ot-cfm, two-sided": 19.5,
        "noise floor": 18.0,
    }
    table = pd.DataFrame({"24 h": rows, "48 h": rows, "mean": rows})
    return Demo(
        table,
        "ot-cfm",
        JUDGED,
        {"held_out.csv": "the table", "stream.png": "where cells move"},
        12.3,
        0,
    )


def test_the_verdict_is_that_of_the_benchmark() -> None:
    demo = made(19.0)
    assert demo.verdict.startswith(f"{JUDGED} What the model adds")
    assert " ".join(demo.report().split()).count(JUDGED) == 1
    assert demo.values()["verdict"] == demo.verdict


def test_the_report_explains_every_row_and_every_file() -> None:
    demo = made(19.0)
    lines = demo.report().splitlines()
    assert max(map(len, lines)) <= 100
    for method in demo.table.index:
        row = next(line for line in lines if line.startswith(method + " "))
        value, meaning = row.removeprefix(method).split(maxsplit=3)[2:]
        assert float(value) == demo.table.loc[method, "mean"]
        assert len(meaning.split()) > 2
    assert [line.split()[0] for line in lines[-2:]] == list(demo.files)


def test_values_are_plain() -> None:
    values = made(19.0).values()
    assert values["files"] == ["held_out.csv", "stream.png"]
    assert values["w1"]["ot-cfm"] == {"24 h": 19.0, "48 h": 19.0, "mean": 19.0}


def test_a_demo_of_short_fits_writes_and_says_everything(tmp_path, monkeypatch, long_steps):
    """The short form of the demo, whose numbers `test_cli.py` judges at its full length."""
    quick = curved_cfm(training=quick_recipe().training)
    monkeypatch.setattr("cellflow.tl.flow", partial(cf.tl.flow, method=quick))
    demo = _demo.demo(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == set(demo.files)
    assert list(demo.table.index) == [
        "previous snapshot",
        "OT interpolation",
        "curved-cfm",
        "curved-cfm, two-sided",
        "noise floor",
    ]
    assert demo.verdict in " ".join(demo.report().split())
    adata = ad.read_h5ad(tmp_path / "myoblasts.h5ad")
    assert {"velocity_umap", "cf_trajectory"} <= set(adata.obsm)


def test_a_hidden_snapshot_is_fitted_around_once(cells, tmp_path, monkeypatch):
    """Table and picture use the fit that is there; on a full disk the old pictures stay."""
    rest = cells[cells.obs["hours"] != 12.0].copy()
    for adata in (cells, rest):
        cf.tl.flow(adata, "hours", method=quick_recipe())
    cf.tl.velocity(cells, basis="umap")
    cf.tl.trajectories(cells)
    monkeypatch.setattr(
        "cellflow.model.fitting.train", lambda *_, **__: pytest.fail("trained again")
    )
    monkeypatch.setattr(_demo, "HELD_OUT", (12.0,))
    table, method, judged = _demo.held_out_table(cells, {12.0: rest})
    assert (method, list(table.columns)) == ("ot-cfm", ["12 h", "mean"])
    assert judged.startswith(
        "ot-cfm (two-sided) compared with OT interpolation without a model, over 1 held-out time:"
        " W1 is"
    )
    drawn = _demo.draw(cells, rest, tmp_path, seed=0)
    assert {p.name for p in tmp_path.iterdir()} == set(drawn) > {"held_out_12h.png"}

    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError, match="disk full"):
        _demo.draw(cells, rest, tmp_path, seed=1)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    assert not plt.get_fignums()
