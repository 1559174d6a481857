"""The published protocol on the real embryoid bodies, and on files of the layout of the other two
sets.
"""

from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.bench import _literature as module
from cellflow.core.population import Population
from cellflow.errors import InputError, MissingDataError, MissingKeyError
from cellflow.evaluation.sets import SETS

EB = Path(__file__).parents[3] / "shared" / "data" / "eb"
real = pytest.mark.skipif(
    not EB.exists(), reason="the embryoid bodies are not beside the repository"
)
PUBLISHED = pd.read_csv(
    Path(cf.__file__).parent / "evaluation" / "published.csv", dtype={"source": str}
)


@dataclass(frozen=True)
class Still:
    """Predicts that nothing happens."""

    name: str = "still"

    def __call__(self, rest, time, *, random_state):
        before = [p for p in rest.populations if p.time < time]
        return {"P1": Population(before[-1].x, time), "P2": Population(before[0].x, time)}


def challenge(path, *, donors=(13176,), d=60, n=40, seed=0):
    """A file of the layout of the NeurIPS 2022 challenge."""
    rng = np.random.default_rng(seed)
    day = np.tile(np.repeat([2, 3, 4, 7], n), len(donors))
    x = rng.normal(size=(len(day), d)) * np.linspace(5.0, 0.5, d)
    x[:, 0] += 12.0 * day
    obs = pd.DataFrame(
        {"day": day, "donor": np.repeat(donors, 4 * n)}, index=[f"c{i}" for i in range(len(day))]
    )
    ad.AnnData(obs=obs, obsm={"X_pca": x.astype(np.float32)}).write_h5ad(path)
    return path


@pytest.fixture
def cite(tmp_path):
    return challenge(tmp_path / "op_cite_inputs_0.h5ad")


def test_published_rows_stand_beside_ours(cite):
    table = cf.bench.literature("cite", data=cite, methods=Still(), seeds=(42, 43))
    ours = table[table["source"] == "here"].set_index("method")
    assert {"still", "previous snapshot", "OT interpolation", "mixture"} <= set(ours.index)
    assert ours.loc["still", "w1"] == pytest.approx(ours.loc["previous snapshot", "w1"])
    assert (
        ours["selected"]
        == "settings fixed beforehand; the representation has seen the held-out cells"
    ).all()
    published = table[table["source"] != "here"].set_index("method")
    assert published.loc["OT-MFM", ["w1", "sd", "source"]].tolist() == [0.724, 0.07, "2405.14780"]
    assert published.loc["OT interpolation, no model", "mark"] == "s"
    assert "WLF-UOT" not in published.index, "it was quoted from memory"
    assert table["w1"].is_monotonic_increasing


def test_what_was_developed_on_a_set_says_so(cite):
    """Curved paths were found with the held-out embryoid bodies in sight; nothing else was."""
    ours = pd.DataFrame(
        {
            "method": ["curved-cfm", "curved-cfm, no network", "ot-cfm"],
            "w1": 1.0,
            "sd": 0.0,
            "note": "",
        }
    )
    for name, told in (("eb", [True, True, False]), ("cite", [False] * 3)):
        rows = module._with_published(ours, name, 5, "P1").query("source == 'here'")
        assert rows["selected"].str.contains("developed").tolist() == told
    one = cf.bench.literature("cite", data=cite, methods=Still(), seeds=42)
    assert one.loc[one["source"] == "here", "sd"].isna().all(), "one seed has no spread"


def test_index_times_and_days(cite):
    """Day 4 is the midpoint of days 3 and 7 by index, and a quarter of the way by days."""
    index = cf.bench.literature("cite", data=cite, methods=Still(), seeds=42)
    days = cf.bench.literature(
        "cite", data=cite, methods=Still(), seeds=42, clock="real", times=[1, 2]
    )
    columns = ["w1 at 1 (day 3)", "w1 at 2 (day 4)"]
    for table in (index, days):
        assert [c for c in table.columns if c.startswith("w1 at")] == columns
    one, two = (t.set_index("method").loc["OT interpolation"] for t in (index, days))
    assert one["w1 at 1 (day 3)"] == pytest.approx(two["w1 at 1 (day 3)"]), (
        "day 3 is in the middle by either"
    )
    assert one["w1 at 2 (day 4)"] > 1.1 * two["w1 at 2 (day 4)"]
    assert "times by index" in index.attrs["about"]
    assert "times by day" in days.attrs["about"]


def test_scaling_is_standard_in_five_dimensions_only(cite):
    five = cf.bench.literature("cite", data=cite, methods=Still(), seeds=42)
    raw = cf.bench.literature("cite", data=cite, methods=Still(), seeds=42, standardise=False)
    fifty = cf.bench.literature("cite", data=cite, methods=Still(), seeds=42, dims=50)
    assert "standardised over all cells" in five.attrs["about"]
    assert "as stored" in raw.attrs["about"]
    assert "first 50 PCs as stored" in fifty.attrs["about"]
    w1 = [t.set_index("method").loc["still", "w1"] for t in (five, raw, fifty)]
    assert w1[0] < w1[1] < w1[2]
    assert set(fifty.loc[fifty["source"] != "here", "method"]) == {"OT-CFM", "OT-MFM"}


def test_only_the_published_donor_counts(tmp_path):
    alone = cf.bench.literature(
        "multi", data=challenge(tmp_path / "a.h5ad"), methods=Still(), seeds=42
    )
    file = challenge(tmp_path / "b.h5ad", donors=(13176, 31800))
    both = cf.bench.literature("multi", data=file, methods=Still(), seeds=42)
    assert "160 cells" in both.attrs["about"]
    assert both.set_index("method").loc["still", "n_observed"] == 40
    assert len(alone) == len(both)
    with pytest.raises(InputError, match=r"no cell of donor 13176.*\['31800'\]"):
        cf.bench.literature(
            "multi", data=challenge(tmp_path / "c.h5ad", donors=(31800,)), methods=Still()
        )


@real
def test_embryoid_bodies_are_the_published_array():
    for data in (EB, EB / "eb_pca100.h5ad", ad.read_h5ad(EB / "eb_pca100.h5ad")):
        cells = module._loaded("eb", SETS["eb"].literature, data, 5)
        x = (cells.x - cells.x.mean(axis=0)) / cells.x.std(axis=0)
        np.testing.assert_allclose(x, np.load(EB / "eb_pcs5_whitened.npy"), atol=2e-5)
        np.testing.assert_array_equal(cells.rank, np.load(EB / "eb_labels.npy"))


@real
def test_a_tenth_of_the_embryoid_bodies_is_ranked_as_the_whole():
    """The short form of the test below: the protocol on real cells, no published numbers."""
    cells = ad.read_h5ad(EB / "eb_pca100.h5ad")[::10].copy()
    table = cf.bench.literature("eb", data=cells, methods=Still(), seeds=42, times=2.0).set_index(
        "method"
    )
    assert table.loc["still", "w1"] == pytest.approx(table.loc["previous snapshot", "w1"])
    assert table.loc["OT interpolation", "w1"] < 0.8 * table.loc["still", "w1"]
    assert table.loc["OT-MFM", "w1"] == 0.713


@real
@pytest.mark.slow
def test_embryoid_bodies_reproduce_the_measured_baselines():
    """All cells, exact W1: 1.224 for the previous snapshot, .737 for the straight midpoint."""
    table = cf.bench.literature("eb", data=EB, methods=Still(), seeds=42, times=2.0).set_index(
        "method"
    )
    assert table.loc["still", "w1"] == pytest.approx(1.2507, abs=2e-4)
    assert table.loc["OT interpolation", "w1"] == pytest.approx(0.7281, abs=2e-3)
    assert table.loc["OT-MFM", "w1"] == 0.713


def test_the_second_protocol_starts_from_the_first_cells(cite):
    table = cf.bench.literature(
        "cite", data=cite, protocol="P2", methods=Still(), seeds=42
    ).set_index("method")
    assert table.loc["still", "w1 at 1 (day 3)"] == pytest.approx(
        table.loc["previous snapshot", "w1 at 1 (day 3)"]
    )
    assert table.loc["still", "w1 at 2 (day 4)"] > table.loc["previous snapshot", "w1 at 2 (day 4)"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "cites"}, "did you mean 'cite'"),
        ({"dims": 7}, r"dims=7 is none of \[5, 50, 100\]"),
        ({"protocol": "P3"}, "protocol='P3'"),
        ({"clock": "day"}, "clock='day'"),
        ({"times": 3.0}, "3 is an end"),
        ({"times": 9.0, "clock": "real"}, "indices of snapshots, 0 to 3"),
        ({"dims": 100}, "has 60 components"),
    ],
)
def test_arguments_that_cannot_be(cite, arguments, says):
    with pytest.raises(InputError, match=says):
        cf.bench.literature(**({"name": "cite", "data": cite, "methods": Still()} | arguments))


def test_a_constant_component_has_no_variance_to_set(tmp_path):
    adata = ad.read_h5ad(challenge(tmp_path / "a.h5ad"))
    adata.obsm["X_pca"][:, 2] = 1.0
    with pytest.raises(InputError, match=r"Components \[2\] of 'cite' are constant"):
        cf.bench.literature("cite", data=adata, methods=Still())
    assert np.isfinite(
        cf.bench.literature("cite", data=adata, methods=Still(), standardise=False)["w1"]
    ).all()


def test_files_that_cannot_be(tmp_path):
    with pytest.raises(MissingDataError, match="Download"):
        cf.bench.literature("eb", data=tmp_path)
    with pytest.raises(MissingKeyError, match=r"has no obs\['day'\]"):
        cf.bench.literature("cite", data=ad.AnnData(np.zeros((3, 2))))


def test_every_published_row_says_where_it_is_from():
    assert list(PUBLISHED.columns) == [
        "data",
        "dims",
        "protocol",
        "method",
        "w1",
        "sd",
        "source",
        "selected",
        "mark",
    ]
    assert not PUBLISHED.duplicated(["data", "dims", "protocol", "method"]).any()
    assert PUBLISHED["selected"].notna().all()
    assert set(PUBLISHED["mark"].dropna()) == {"s", "m"}
    assert set(PUBLISHED["data"]) == {"eb", "cite", "multi"}
    assert PUBLISHED["source"].dropna().str.fullmatch(r"\d{4}\.\d{5}").all()
