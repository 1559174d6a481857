"""What the demo says about its numbers; that it runs is tested with the command line."""

import os

import pandas as pd
import pytest
from matplotlib import pyplot as plt

import cellflow as cf
from cellflow import _demo
from cellflow._demo import Demo
from cellflow.errors import OutputError
from conftest import quick_recipe


def made(model: float, *, baseline: float = 20.0) -> Demo:
    rows = {
        "previous snapshot": 30.0,
        "OT interpolation": baseline,
        "ot-cfm": model,
        "ot-cfm, two-sided": 19.5,
        "noise floor": 18.0,
    }
    table = pd.DataFrame({"24 h": rows, "48 h": rows, "mean": rows})
    return Demo(table, "ot-cfm", {"held_out.csv": "the table", "stream.png": "where cells move"}, 12.3, 0)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (20.1, ["does as well as", "33% better than the snapshot before"]),
        (18.0, ["does 10% better than", "40% better"]),
        (24.0, ["does 20% worse than", "20% better"]),
        (33.0, ["does 65% worse than", "10% worse than the snapshot before"]),
    ],
)
def test_the_verdict_says_what_the_table_says(model: float, said: list[str]) -> None:
    verdict = made(model).verdict
    assert all(phrase in verdict for phrase in said), verdict


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


def test_a_hidden_snapshot_is_fitted_around_once(cells, tmp_path, monkeypatch):
    """Table and picture ask the fit that is there; pictures on a full disk are the old ones, whole."""
    rest = cells[cells.obs["hours"] != 12.0].copy()
    for adata in (cells, rest):
        cf.tl.flow(adata, "hours", method=quick_recipe())
    cf.tl.velocity(cells, basis="umap")
    cf.tl.trajectories(cells)
    monkeypatch.setattr("cellflow.fitting.train", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(_demo, "HELD_OUT", (12.0,))
    table, method = _demo.held_out_table(cells, {12.0: rest})
    assert (method, list(table.columns)) == ("ot-cfm", ["12 h", "mean"])
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
