"""The report: one file that needs no other, whose numbers are those of the table."""

import base64
import html
import os
import re
import sys
import unicodedata
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import cellflow as cf
from cellflow.bench import report
from cellflow.core._text import clean
from cellflow.core.population import Population
from cellflow.couplings import Exact
from cellflow.errors import InputError, MissingKeyError, OutputError
from cellflow.metrics import nearest_transitions, plan_transitions
from cellflow.report import pictures as _pictures
from cellflow.report.contents import read_contents
from cellflow.report.held import Held
from cellflow.report.judging import verdicts
from cellflow.report.markup import definitions, document, element
from cellflow.report.markup import figure as page_figure
from cellflow.report.markup import table as page_table
from cellflow.report.sections.comparison import comparison
from cellflow.report.sections.fates import fates
from cellflow.report.sections.growth import growth
from conftest import make_cells, quick_recipe

N, D = 40, 3
OF_PAGE = {"basis": None, "cluster_key": None}
NASTY = '<script>alert("x")</script> & co'


def population(time, n=N, seed=0):
    rng = np.random.default_rng([seed, int(time)])
    x = rng.normal(scale=0.4, size=(n, D))
    x[:, 0] += time / 12
    return x.astype(np.float32)


def rows():
    """Two hidden times; a model with two seeds and two protocols, one that failed, baselines."""
    made = []
    for time, shift in ((12.0, 0.0), (24.0, 0.1)):
        about = {
            "time": time,
            "n_observed": N,
            "n_half": N // 2,
            "representation": "made without",
            "note": "",
        }
        for seed in (0, 1):
            for protocol, w1 in (("P1", 0.61234), ("two-sided", 0.56789)):
                made.append(
                    about
                    | {
                        "method": "ot-cfm",
                        "protocol": protocol,
                        "seed": seed,
                        "kind": "model",
                        "w1": w1 + shift + 0.01 * seed,
                        "w1_low": w1 + shift - 0.05,
                        "w1_high": w1 + shift + 0.07,
                        "w1_half": w1 + shift + 0.1,
                        "skill": 0.4 - shift,
                        "skill_low": 0.2,
                        "skill_high": 0.6,
                        "energy": 0.051,
                        "variance_ratio": 0.91,
                        "mean_error": 0.22,
                        "c2st": 0.6,
                        "n_predicted": N,
                        "seconds": 1.5,
                    }
                )
            made.append(
                about
                | {
                    "method": NASTY,
                    "protocol": "P1",
                    "seed": seed,
                    "kind": "model",
                    "note": f"failed: {NASTY}",
                }
            )
        for method, kind, w1 in (
            ("previous snapshot", "baseline", 1.5),
            ("next snapshot", "baseline", 1.6),
            ("OT interpolation", "baseline", 0.8),
            ("noise floor", "floor", 0.4),
        ):
            made.append(
                about
                | {
                    "method": method,
                    "protocol": "",
                    "seed": pd.NA,
                    "kind": kind,
                    "w1": w1,
                    "w1_low": w1 - 0.1,
                    "w1_high": w1 + 0.1,
                    "w1_half": w1,
                    "skill": (0.8 - w1) / 0.4,
                    "energy": w1 / 5,
                    "variance_ratio": 1.0,
                    "mean_error": w1 / 2,
                    "c2st": 0.7,
                    "n_predicted": N,
                    "seconds": 0.0,
                }
            )
    table = pd.DataFrame(made)
    return table.astype(
        {"seed": "Int64", "n_predicted": "Int64", "n_observed": "int64", "n_half": "int64"}
    )


def comparisons(energy=0.05):
    """One method that is better, one that is not, as the benchmark keeps them."""
    made = []
    for time in (12.0, 24.0):
        for protocol in ("two-sided", "P1"):
            about = {
                "method": "ot-cfm",
                "protocol": protocol,
                "time": time,
                "error": 0.01,
                "freedom": 2,
            }
            made += [
                about | {"measure": "w1", "own": 0.7, "base": 0.8, "gain": 0.1},
                about | {"measure": "energy", "own": 0.2 - energy, "base": 0.2, "gain": energy},
                about | {"measure": "variance_ratio", "own": 0.95, "base": 0.9, "gain": 0.05},
            ]
        about = {
            "method": NASTY,
            "protocol": "P1",
            "time": time,
            "base": 0.8,
            "error": np.nan,
            "freedom": 0,
        }
        made += [
            about | {"measure": m, "own": np.nan, "gain": np.nan}
            for m in ("w1", "energy", "variance_ratio")
        ]
    return pd.DataFrame(made)


def cloud(x, rows=None):
    made = {"x": x, "weight": np.full(len(x), 1.0 / len(x))}
    return made if rows is None else made | {"rows": rows}


def benchmarked(*, with_rows=False, moved=0.0):
    """Cells with a benchmark, whose coordinates are those of `X_pca`, or moved by a constant."""
    hours = np.repeat([0.0, 12.0, 24.0, 36.0], N)
    x = np.concatenate([population(t) for t in (0, 12, 24, 36)])
    obs = pd.DataFrame({"hours": hours}, index=[f"cell{i}" for i in range(len(x))])
    obs["kind"] = pd.Categorical(np.where(x[:, 1] > 0, "up <1>", "down"))
    adata = ad.AnnData(obs=obs)
    adata.obsm["X_pca"], adata.obsm["X_umap"] = x, x[:, :2].astype(np.float64) * 2
    clouds = {}
    for time in (12.0, 24.0):
        at = {
            name: np.flatnonzero(hours == t)
            for name, t in (
                ("observed", time),
                ("previous snapshot", time - 12),
                ("next snapshot", time + 12),
            )
        }
        clouds[f"time_{time}"] = {
            **{
                name: cloud(x[some] + np.float32(moved), some if with_rows else None)
                for name, some in at.items()
            },
            "ot-cfm, P1": cloud(population(time, 30, seed=1) + np.float32(moved)),
            "ot-cfm, two-sided": cloud(population(time, 50, seed=2) + np.float32(moved)),
            "OT interpolation": cloud(population(time, 30, seed=3) + np.float32(moved)),
        }
    adata.uns["cf_holdout"] = {
        "cellflow_version": "0.1.0",
        "table": rows(),
        "params": {
            "time_key": "hours",
            "time_unit": "h",
            "use_rep": "X_pca",
            "n_dims": D,
            "seeds": np.array([0, 1]),
        },
        "verdict": "as in the comparisons",
        "comparisons": comparisons(),
        "clouds": clouds,
    }
    return adata


@pytest.fixture(scope="module", autouse=True)
def _small_pictures():
    """Fewer pixels, since they are what takes the time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_pictures, "_DPI", 50)
        yield


@pytest.fixture(scope="module")
def adata():
    return benchmarked()


@pytest.fixture(scope="module")
def page(adata, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert report(adata, path, cluster_key="kind", title=NASTY) == path.resolve()
    return path.read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Every tag with its attributes; and that each is closed where it should be."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open, self.text = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def cells_of(page, heading):
    """Rows of the first table after a heading, as lists of text."""
    after = page[page.rindex(f">{heading}<") :]
    body = after[: after.index("</table>")]
    return [
        [html.unescape(re.sub("<[^>]+>", "", c)) for c in re.findall(r"<t[dh].*?</t[dh]>", row)]
        for row in re.findall(r"<tr.*?</tr>", body)
    ]


def test_one_file_that_needs_nothing_else(page):
    tags = Tags(page)
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", page)
    assert {tag for tag, _ in tags.found} & {"script", "link", "iframe", "object", "base"} == set()
    for tag, attributes in tags.found:
        assert not {"srcset", "action"} & set(attributes)
        assert attributes.get("href", "#").startswith("#")  # the contents, in the page itself
        if "src" in attributes:
            assert (tag, attributes["src"][:22]) == ("img", "data:image/png;base64,")
            assert attributes["alt"]


def test_pictures_are_pictures(page):
    """Distances, four maps, composition, mass between types, calibration; none is blank."""
    found = re.findall(r"base64,([^\"]+)", page)
    assert len(found) == 8
    for picture in found:
        pixels = mpl.image.imread(BytesIO(base64.b64decode(picture)))
        assert min(pixels.shape[:2]) > 80
        assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 20


def test_numbers_are_those_of_the_table(page, adata):
    table = adata.uns["cf_holdout"]["table"]
    head, *body = cells_of(page, "The table")
    assert head[:5] == ["method", "protocol", "W1", "W1, equal n", "skill"]
    shown = {(row[0], row[1]): row for row in body[1 : 1 + 7]}
    assert body[0] == ["Hidden: 12 h (40 cells; equal n: 20)"]
    first = table[
        (table["time"] == 12.0) & (table["method"] == "ot-cfm") & (table["protocol"] == "P1")
    ]
    w1, low, high = (first[c].mean() for c in ("w1", "w1_low", "w1_high"))
    row = shown["ot-cfm", "P1"]
    assert row[2] == f"{w1:.3f} ({low:.3f} to {high:.3f})"
    assert row[3:] == [
        "0.712",
        "0.400 (0.200 to 0.600)",
        "0.051",
        "0.910",
        "0.220",
        "0.600",
        "40",
        "1.5",
    ]
    assert shown["noise floor", ""][2] == "0.400 (0.300 to 0.500)"
    assert shown[NASTY, "P1"][2:4] == ["–", "–"]
    assert [r[0] for r in body[1:4]] == ["noise floor", "ot-cfm", "ot-cfm"]
    head, *every = cells_of(page, f"All {len(table)} rows and columns")
    assert len(every) == len(table)
    column = head.index("w1_half")
    assert [r[column] for r in every] == [
        "–" if np.isnan(v) else f"{v:.3f}" for v in table["w1_half"].astype(float)
    ]


def test_tiles_are_means_over_times_and_seeds(page, adata):
    table = adata.uns["cf_holdout"]["table"]
    own = table[(table["method"] == "ot-cfm") & (table["protocol"] == "two-sided")]
    tiles = re.findall(r'class="tile"><b>([^<]+)</b>', page)
    assert tiles == [f"{own['w1_half'].mean():.3f}", "0.800", "0.400", f"{own['skill'].mean():.3f}"]


def test_whatever_users_wrote_is_text(page):
    assert "<script" not in page
    text = "".join(Tags(page).text)
    assert text.count(NASTY) >= 6
    assert "up <1>" in text


def verdicts_of(page):
    """Class and text of every verdict."""
    found = re.findall(r'<(?:div|p) class="verdict ?([^"]*)">(.*?)</(?:div|p)>(?!<p>)', page)
    return [
        (outcome, " ".join(html.unescape(re.sub("</?[bp]>", " ", said)).split()))
        for outcome, said in found
    ]


def test_the_contents_link_to_every_section(page):
    titles = re.findall(r'<h2 id="([^"]+)">([^<]+)</h2>', page)
    links = re.findall(r'<li><a href="#([^"]+)">([^<]+)</a></li>', page)
    assert links == titles
    assert len(dict(titles)) == len(titles) > 5


def test_every_row_of_the_table_is_explained(page, adata):
    explained = set(re.findall(r"<dt>([^<]+)</dt>", page))
    named = set(adata.uns["cf_holdout"]["table"]["method"]) - {NASTY}
    assert named <= explained


def test_answers_of_the_fit_have_sections_where_they_are_stored(adata):
    def said(section, **answers):
        found = section(replace(read_contents(adata, "cf_holdout", "", **OF_PAGE), answers=answers))
        return "".join(found)

    assert said(fates) == said(growth) == said(comparison) == ""
    of_fates = pd.DataFrame(
        {"group": ["a", "a", "b", "b"], "fate": ["x", "<y>"] * 2, "n_cells": [3, 3, 4, 4]}
    ).assign(n_effective=2.5, probability=[0.25, 0.75, 1.0, 0.0], low=0.0, high=1.0)
    page = said(fates, fates=of_fates)
    assert cells_of(page, "What the cells become") == [
        ["fate", "probability"],
        ["a (3 cells, worth 2.5 of equal mass)"],
        ["<y>", "0.75 (0.00 to 1.00)"],
        ["x", "0.25 (0.00 to 1.00)"],
        ["b (4 cells, worth 2.5 of equal mass)"],
        ["x", "1.00 (0.00 to 1.00)"],
    ]
    of_growth = pd.DataFrame(
        {"group": ["a"], "n_cells": [9], "growth": [0.5], "low": [0.25], "high": [0.75]}
    ).assign(doubling_time=np.log(2) / 0.5)
    of_growth.attrs["assumptions"] = "masses are known"
    page = said(growth, growth=of_growth)
    assert cells_of(page, "How fast the cells grow")[1] == [
        *("a", "9", "0.500 (0.250 to 0.750)", "1.386"),
    ]
    assert "Assumed: masses are known" in page
    effects = {"quantity": "fate", "group": "all", "fate": "x", "time": np.nan, "reference": "dmso"}
    effects |= {"condition": "drug", "reference_value": 0.2, "condition_value": 0.5, "effect": 0.3}
    effects |= {"low": 0.1, "high": 0.5, "p": 0.01, "q": 0.02, "unit": "sample"}
    page = said(comparison, comparison=pd.DataFrame([effects]))
    assert cells_of(page, "Whether conditions differ")[1] == [
        *("fate", "all", "x", "all", "drug with dmso", "0.200", "0.500"),
        *("0.300 (0.100 to 0.500)", "0.0100", "0.0200", "sample"),
    ]


def test_the_verdict_has_the_colour_of_what_it_says(page, adata):
    (outcome, said), (nothing, reason) = verdicts_of(page)
    expected = verdicts(adata, Held.of(adata, "cf_holdout"), "kind")
    assert [outcome, nothing] == [found.outcome for found in expected] == ["undecided", "unjudged"]
    assert said.startswith(
        "ot-cfm is not better than interpolation without a model beyond what chance explains."
        " ot-cfm (two-sided) compared with OT interpolation without a model, over 2 held-out times:"
        " W1 is 12.5 %"
    )
    assert reason == f"{NASTY} could not be judged: no fit gave a prediction (failed: {NASTY})."


def test_types_that_are_given_to_the_report_count_in_its_verdict(tmp_path):
    """Hidden cells are of two types far from each other; all predicted ones are of the second."""
    adata = benchmarked(with_rows=True)
    second = np.tile(np.arange(N) < N // 2, 4)
    adata.obsm["X_pca"][second, 1] += 9.0
    adata.obs["kind"] = np.where(second, "second", "first")
    for clouds in adata.uns["cf_holdout"]["clouds"].values():
        for name in ("observed", "previous snapshot", "next snapshot"):
            clouds[name]["x"] = adata.obsm["X_pca"][clouds[name]["rows"]]
        hidden = clouds["observed"]["x"]
        clouds["ot-cfm, two-sided"] = cloud(hidden[: N // 2])
        clouds["OT interpolation"] = cloud(hidden)
    held = Held.of(adata, "cf_holdout")
    assert [found.outcome for found in verdicts(adata, held, None)] == ["better", "unjudged"]
    assert [found.outcome for found in verdicts(adata, held, "kind")] == [
        "contradictory",
        "unjudged",
    ]
    # A benchmark that was made with the column shows it by default.
    adata.uns["cf_holdout"]["params"]["cluster_key"] = "kind"
    (outcome, said), _ = verdicts_of(report(adata, tmp_path / "a.html").read_text())
    assert outcome == "contradictory"
    assert re.search(
        r"but [45]\d\.\d % of the cells are in a wrong type, by interpolation \d\.\d %", said
    )


def test_a_verdict_of_w1_alone_is_shown_as_such(tmp_path):
    """Records of version 0.1.0, which kept the sentence and nothing to judge it by."""
    adata = benchmarked()
    record = adata.uns["cf_holdout"]
    del record["comparisons"]
    record["verdict"] = f"ot-cfm (P1) comes nearer than {NASTY}: it is better."
    page = report(adata, tmp_path / "a.html", cluster_key="kind").read_text()
    assert verdicts_of(page) == [("", record["verdict"])]
    assert "which looked at W1 alone" in page


def test_shares_of_cell_types(page, adata):
    """Those of hidden cells are exact; predicted cells take the type of their neighbours."""
    rows = cells_of(page, "Cell types")
    assert rows[0] == ["kind", "hidden, %", "predicted, %", "OT interpolation, %"]
    here = adata.obs["kind"][adata.obs["hours"] == 12.0]
    assert [row[:2] for row in rows[2:4]] == [
        [k, f"{100 * (here == k).mean():.1f}"] for k in ("down", "up <1>")
    ]
    predicted = adata.uns["cf_holdout"]["clouds"]["time_12.0"]["ot-cfm, two-sided"]["x"]
    assert float(rows[3][2]) == pytest.approx(100 * (predicted[:, 1] > 0).mean(), abs=12)
    assert float(rows[2][2]) + float(rows[3][2]) == pytest.approx(100.0, abs=0.11)
    assert rows[4][0] == "wrong in all"
    assert float(rows[4][2]) == pytest.approx(abs(float(rows[3][1]) - float(rows[3][2])), abs=0.11)


def test_mass_between_types_is_shown_with_its_baseline(page, adata):
    """Without a fit: optimal transport in the representation, which is solved here again."""
    assert "Cell types from snapshot to snapshot" in page
    head, *rows = cells_of(page, "Cell types from snapshot to snapshot")
    assert head == [
        "mass that ends in another type, %",
        "by the plan",
        "forced by the shares",
        "without any motion",
        "pushed",
    ]
    assert [row[0] for row in rows] == ["0 h to 12 h", "12 h to 24 h", "24 h to 36 h"]
    x, hours, kind = (
        adata.obsm["X_pca"].astype(float),
        adata.obs["hours"],
        adata.obs["kind"].astype(str),
    )
    for row, (start, stop) in zip(rows, ((0, 12), (12, 24), (24, 36)), strict=True):
        early, late = (hours == start).to_numpy(), (hours == stop).to_numpy()
        plan = Exact()(Population(x[early], start), Population(x[late], stop))
        moved = plan_transitions(plan, kind[early], kind[late])
        still = nearest_transitions(x[early], kind[early], x[late], kind[late])
        assert [float(v) for v in row[1:4]] == pytest.approx(
            [
                100 - 100 * moved.consistent(),
                100 * moved.least_moved(),
                100 - 100 * still.consistent(),
            ],
            abs=0.051,
        )
        assert row[4] == "–"


def lineages_of(page):
    """Text of the section."""
    after = page[page.rindex(">Cell types from snapshot to snapshot<") :]
    return html.unescape(re.sub("<[^>]+>", " ", after[: after.index("Is the prediction as wide")]))


def test_a_plan_that_turns_types_into_others_is_said_with_the_pushes_of_the_fit(
    tmp_path, long_steps
):
    """The second type grows; by the fit's plan and pushes, with the lineage of the diagnosis."""
    adata = benchmarked(with_rows=True)
    for k, hours in enumerate((0.0, 12.0, 24.0, 36.0)):
        rows = np.flatnonzero(adata.obs["hours"] == hours)
        second = np.arange(N) < N // 5 * (1 + k)
        adata.obsm["X_pca"][rows, 1] += 30.0 * second
        adata.obs.loc[adata.obs_names[rows], "kind"] = np.where(second, "up <1>", "down")
    for clouds in adata.uns["cf_holdout"]["clouds"].values():
        for name in ("observed", "previous snapshot", "next snapshot"):
            clouds[name]["x"] = adata.obsm["X_pca"][clouds[name]["rows"]]
    cf.tl.flow(adata, "hours", method=quick_recipe())
    said = lineages_of(report(adata, tmp_path / "a.html", cluster_key="kind").read_text())
    assert "The plan is that of the fit in adata.uns['cellflow'], solved again." in said
    assert said.count("the plan moves 20.0% of the mass to another type") == 3
    assert said.count("more than if no cell had moved") == 3
    assert said.count("of the pushed cells end so") == 3
    assert "Do not read lineages off these intervals" in said
    assert "lineage=" not in said, "an argument that the report does not have"
    cf.tl.diagnose(adata, n_cells=20, cluster_key="kind", lineage={"down": ["up <1>"]})
    said = lineages_of(report(adata, tmp_path / "b.html", cluster_key="kind").read_text())
    assert said.count("the plan moves 0.0% of the mass out of its lineage") == 3
    assert "Do not read lineages" not in said
    # Other cells than those of the fit: the plan is solved without it, and the page says why
    # nothing was pushed.
    adata.obsm["X_pca"] = adata.obsm["X_pca"] + np.float32(1.0)
    said = lineages_of(report(adata, tmp_path / "c.html", cluster_key="kind").read_text())
    assert (
        "Cells were not pushed, because the fit in adata.uns['cellflow'] cannot be asked:" in said
    )
    assert "The plan is that of optimal transport in X_pca" in said


def test_coverage_of_a_right_prediction_is_near_the_level(page):
    rows = cells_of(page, "Is the prediction as wide as the cells are?")
    for k, level in enumerate((50, 80, 95)):
        assert float(rows[1][1 + k].split()[0]) == pytest.approx(level, abs=15)


@pytest.mark.parametrize("with_rows", [False, True])
def test_other_coordinates_than_those_that_are_there(with_rows, tmp_path):
    """A representation made again: neighbours are known if the rows of drawn cells are."""
    moved = benchmarked(with_rows=with_rows, moved=5.0)
    page = report(moved, tmp_path / "a.html", cluster_key="kind").read_text()
    assert page.count("<img") == (8 if with_rows else 5)
    assert ("cannot be laid beside" in page) is not with_rows
    if with_rows:
        plain = report(benchmarked(), tmp_path / "b.html", cluster_key="kind").read_text()
        assert cells_of(page, "Cell types")[2][:2] == cells_of(plain, "Cell types")[2][:2]


def test_from_the_benchmark_to_the_page(tmp_path):
    """Without the hidden cells in the representation, with what `cf.bench.holdout` writes."""
    cells = make_cells()
    cells.obs["kind"] = pd.Categorical(np.where(cells.obsm["X_pca"][:, 1] > 0, "up", "down"))
    table = cf.bench.holdout(
        cells, "hours", methods=quick_recipe(), metrics=("w1", "energy"), cluster_key="kind"
    )
    page = report(cells, tmp_path / "a.html", cluster_key="kind").read_text()
    assert page.count("<img") == 6
    assert table.attrs["verdict"] in verdicts_of(page)[0][1]
    shown = {(row[0], row[1]): row for row in cells_of(page, "The table")[2:]}
    assert len(shown) == len(table)
    for _, row in table.iterrows():
        assert shown[row["method"], row["protocol"]][3] == f"{row['w1_half']:.3f}"
    here = cells.obs["kind"][cells.obs["hours"] == 12.0]
    assert cells_of(page, "Cell types")[2][:2] == ["down", f"{100 * (here == 'down').mean():.1f}"]


def test_rows_of_other_cells_are_refused(tmp_path):
    moved = benchmarked(with_rows=True, moved=5.0)[:50].copy()
    with pytest.raises(InputError, match="made with at least 120 cells and adata has 50"):
        report(moved, tmp_path / "a.html", cluster_key="kind")
    assert list(tmp_path.iterdir()) == []


def test_cells_in_another_order_are_refused(tmp_path):
    """Their rows are other cells, whose types would be told without a word."""
    cells = make_cells()
    cells.obs["kind"] = np.where(cells.X.toarray()[:, 0] > 3.0, "up", "down")
    cf.bench.holdout(cells, "hours", methods=quick_recipe(), metrics="w1")
    report(cells, tmp_path / "a.html", cluster_key="kind")
    for other in (cells[::-1].copy(), cells[1:].copy()):
        with pytest.raises(InputError, match="or with the same in another order"):
            report(other, tmp_path / "b.html", cluster_key="kind")
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_without_embedding_cell_types_or_predictions(tmp_path, adata):
    bare = adata.copy()
    del bare.obsm["X_umap"]
    page = report(bare, tmp_path / "a.html").read_text()
    assert page.count("<img") == 4
    assert "Cell types" not in page
    bare.uns["cf_holdout"]["clouds"] = {}
    page = report(bare, tmp_path / "b.html", cluster_key="kind").read_text()
    assert page.count("<img") == 2
    assert "No method gave a prediction that could be drawn." in page
    Tags(page)


def test_the_fit_is_shown_where_there_is_one(tmp_path, adata, fitted):
    both = adata.copy()
    both.uns["cellflow"] = fitted.uns["cellflow"]
    page = report(both, tmp_path / "a.html").read_text()
    assert "The fit to all snapshots" in page
    plans = cells_of(page, "Transport plans")
    assert [row[0] for row in plans[1:]] == [
        name.replace("_", " ") for name in fitted.uns["cellflow"]["plans"]
    ]
    assert (
        "The fit to all snapshots"
        not in report(both, tmp_path / "b.html", fit_key="other").read_text()
    )


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::UserWarning"
)  # zarr's and anndata's own, about formats
def test_a_file_in_between_changes_nothing(suffix, tmp_path, adata, page):
    getattr(adata, f"write_{suffix}")(tmp_path / f"cells.{suffix}")
    again = getattr(ad, f"read_{suffix}")(tmp_path / f"cells.{suffix}")
    assert (
        report(again, tmp_path / "again.html", cluster_key="kind", title=NASTY).read_text() == page
    )


def test_nothing_else_changes(tmp_path, adata, frozen):
    def figures():
        pyplot = sys.modules.get("matplotlib.pyplot")
        return pyplot.get_fignums() if pyplot else []

    before, filters, there = dict(mpl.rcParams), mpl.get_backend(), figures()
    with frozen(adata):
        report(adata, tmp_path / "a.html", cluster_key="kind")
    assert (dict(mpl.rcParams), mpl.get_backend()) == (before, filters)
    assert figures() == there
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]


def test_an_old_report_is_replaced_as_a_whole_or_not_at_all(tmp_path, adata, monkeypatch):
    path = tmp_path / "a.html"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="disk full"):
            report(adata, path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]
    report(adata, path)
    assert path.read_text().startswith("<!DOCTYPE html>")


def test_paths_that_cannot_be_written_are_refused(tmp_path, adata):
    (tmp_path / "folder.html").mkdir()
    for path, said in (
        (tmp_path / "folder.html", "is a folder"),
        (tmp_path / "none" / "a.html", "does not exist"),
        (tmp_path / "a.txt", "does not end in '.html'"),
    ):
        with pytest.raises(OutputError, match=said):
            report(adata, path)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (
            {"key": "other"},
            MissingKeyError,
            r"adata.uns\['other'\]; benchmarks are at \['cf_holdout'\]",
        ),
        (
            {"cluster_key": "Kind"},
            MissingKeyError,
            r"adata.obs\['Kind'\] is missing.*did you mean 'kind'",
        ),
        ({"basis": "tsne"}, MissingKeyError, "No 'tsne' in adata.obsm"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, adata, arguments, error, said):
    with pytest.raises(error, match=said):
        report(adata, tmp_path / "a.html", **arguments)


def test_a_benchmark_has_to_be_run_first(tmp_path, cells):
    with pytest.raises(MissingKeyError, match=r"Run cf.bench.holdout\(adata, time_key=...\) first"):
        report(cells, tmp_path / "a.html")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda record: record.pop("clouds"), r"\['clouds'\] is missing"),
        (lambda record: record["params"].pop("n_dims"), r"\['params'\]\['n_dims'\] is missing"),
        (
            lambda record: record.update(table=record["table"].drop(columns=["w1_half"])),
            r"lacks the columns \['w1_half'\]",
        ),
        (
            lambda record: record.update(table=record["table"].iloc[:0]),
            "Expected a table with rows",
        ),
    ],
)
def test_a_damaged_benchmark_is_refused(tmp_path, broken, said):
    adata = benchmarked()
    broken(adata.uns["cf_holdout"])
    with pytest.raises(InputError, match=said):
        report(adata, tmp_path / "a.html")


def test_the_first_method_stands_first_as_predict_predicts():
    held = Held.of(benchmarked(), "cf_holdout")
    assert held.main == ("ot-cfm", "two-sided")
    assert held.drawn(1) == ["ot-cfm, two-sided"]
    assert held.drawn(9) == ["ot-cfm, two-sided", "ot-cfm, P1"]
    assert held.times == [12.0, 24.0]
    assert held.at(12.0) == "12 h"


# Names that a page or a picture cannot hold as they are -------------------------------------------

ODD = {
    "Chinese": "造血干细胞",
    "an emoji": "T 😀",
    "NUL": "a\x00b",
    "escape sequences": "\x1b[31mred\x1b[0m",
    "a lone surrogate": "a\udcffb",
    "mathematics": "CD4$^+$ and $\\bad$",
    "an underscore": "_unknown",
    "three hundred characters": "x" * 300,
    "two lines": "first\nsecond",
    "right to left": "a\u202ebetter",
    "a tag": "<b>bold</b>",
}


@pytest.mark.parametrize("name", ODD)
def test_any_name_is_right_on_the_page_and_gives_no_warning(name, tmp_path):
    """As a cell type, a method, in the verdict and as the title; warnings are errors here."""
    odd, adata = ODD[name], benchmarked()
    adata.obs["kind"] = pd.Categorical(np.where(adata.obsm["X_pca"][:, 1] > 0, odd, "down"))
    record = adata.uns["cf_holdout"]
    record["table"]["method"] = record["table"]["method"].replace(NASTY, odd)
    record["verdict"] = f"{odd}: it is better."
    page = report(adata, tmp_path / "a.html", cluster_key="kind", title=odd).read_text(
        encoding="utf-8"
    )
    text = "".join(Tags(page).text)
    assert text.count(clean(odd)) >= 6
    assert not [c for c in page if unicodedata.category(c) in {"Cc", "Cs"} and c not in "\t\n"]
    assert not set("\u202e\x00\x1b") & set(page)


@pytest.mark.parametrize(
    "part", ["element", "attribute", "table", "definitions", "caption", "alt", "title"]
)
def test_no_way_into_the_page_is_unclean(part):
    odd = "a\x00\x1b\udcff<b>"
    made = {
        "element": lambda: element("p", odd),
        "attribute": lambda: element("p", "", class_=odd),
        "table": lambda: page_table([odd], [("", [odd]), (odd, [odd]), ("group", [odd])]),
        "definitions": lambda: definitions([(odd, odd)]),
        "caption": lambda: page_figure("", odd, alt="", inches=1.0),
        "alt": lambda: page_figure("", "", alt=odd, inches=1.0),
        "title": lambda: document(odd),
    }[part]()
    assert "a\ufffd\ufffd\ufffd&lt;b&gt;" in made
    assert not set("\x00\x1b\udcff") & set(made)


def test_two_hundred_cell_types(tmp_path):
    """The table has them all, the picture those with the largest shares."""
    adata = benchmarked()
    adata.obs["kind"] = [f"type {i % 200:03}" for i in range(adata.n_obs)]
    page = report(adata, tmp_path / "a.html", cluster_key="kind").read_text()
    rows = cells_of(page, "Cell types")
    here = {row[0] for row in rows if row[0].startswith("type")}
    assert len(here) > 60
    assert f"The 30 largest of {len(here)} are drawn." in page
    sizes = [
        mpl.image.imread(BytesIO(base64.b64decode(p))).shape[0]
        for p in re.findall(r"base64,([^\"]+)", page)
    ]
    assert max(sizes) < 50 * 15  # inches at the resolution of these tests
