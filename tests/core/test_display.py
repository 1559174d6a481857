"""How values show themselves: in a screenful, without arrays, readable in dark and light."""

import re

import numpy as np
import pytest

import cellflow as cf
from cellflow.core._display import Card, html_table, text_table
from cellflow.model.fitting import couple

#: Lines of a small window of a terminal.
SCREEN = 24


@pytest.fixture(scope="module")
def snapshots():
    rng = np.random.default_rng(0)
    return cf.Snapshots(
        tuple(cf.Population(rng.normal(size=(60, 3)) + t, float(t)) for t in range(5))
    )


@pytest.fixture
def shown(fitted_as, snapshots):
    """Values that a user may have in the last line of a cell."""
    flow = cf.get.flow(fitted_as("score"))
    adata = fitted_as("default")
    return {
        "flow": flow,
        "ensemble": cf.get.flow(fitted_as("ensemble")),
        "generator": cf.get.flow(fitted_as("fm")),
        "with conditions": cf.get.flow(fitted_as("conditions")),
        "population": snapshots[0],
        "snapshots": snapshots,
        "trajectories": flow.simulate(adata.obsm["X_pca"], 0.0, np.linspace(0, 48, 30)),
        "plan": cf.couplings.Exact()(snapshots[0], snapshots[1]),
        "independent plan": cf.couplings.Independent()(snapshots[0], snapshots[1]),
        "entropic plan": cf.couplings.Entropic(sigma=1.0)(snapshots[0], snapshots[1]),
        "plans": couple(snapshots),
        "history": flow.history,
        "decoder": flow.decoder,
        "frame": flow.frame,
        "default recipe": cf.recipes.curved_cfm(),
        "recipe": cf.recipes.sf2m().with_growth(),
    }


def test_everything_fits_on_a_screen_without_arrays(shown):
    for name, value in shown.items():
        text = repr(value)
        limit = SCREEN if name != "plans" else 2 * SCREEN
        assert text.count("\n") < limit, name
        assert max(map(len, text.split("\n"))) <= 100, name
        assert "array(" not in text, name
        assert "object at 0x" not in text, name


def test_a_flow_says_how_it_was_made_and_what_it_can_be_asked(shown):
    text = repr(shown["flow"])
    assert "velocity, score" in text
    assert "3 snapshots at 0, 12, 48; 4 dimensions" in text
    assert "80 steps" in text
    assert ".score(x, t)" in text
    assert repr(shown["ensemble"]).startswith("Ensemble of 2 flows of 'ot-cfm'")
    assert "cf.tl.generate" in repr(shown["generator"])
    assert "conditions  2 features" in repr(shown["with conditions"])


@pytest.mark.parametrize("name", ["flow", "ensemble", "generator"])
def test_the_html_has_the_words_of_the_text_and_no_colours_or_scripts(shown, name):
    html = shown[name]._repr_html_()
    assert "<script" not in html
    # Text and background are those of the surroundings; rules are a half-transparent grey. Tables
    # say so, because a page without a doctype would draw them in black.
    assert set(re.findall(r"(?<!-)\bcolor: (\w+)", html)) == {"inherit"}
    assert "background" not in html
    words = re.sub(r"<[^>]*>", " ", html).split()
    text = repr(shown[name]).replace("'", "&#x27;").split()
    assert sorted(words) == sorted(text)


def test_names_of_users_are_escaped():
    card = Card("<b>", [("<i>", "x & y")])
    assert "&lt;b&gt;" in card.html()
    assert "x &amp; y" in card.html()
    assert "<i>" not in card.html()
    assert "&lt;b&gt;" in html_table(["a"], [["<b>"]])


@pytest.mark.parametrize("columns", [20, 80, 150])
def test_a_table_has_every_word_at_any_width(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [["error", "adata.obs['hours']", "is missing " * 20, "one of " + "'name', " * 30]]
    text = text_table(["severity", "key", "found", "expected"], rows)
    assert sorted(text.replace("-", " ").split()) == sorted(
        " ".join(["severity key found expected", *rows[0]]).split()
    )
    assert max(map(len, text.split("\n"))) <= max(columns, 72)


def test_history_is_still_a_dictionary_after_a_file(fitted, tmp_path):
    flow = cf.get.flow(fitted)
    flow.save(tmp_path / "model")
    again = cf.Flow.load(tmp_path / "model").history
    assert isinstance(again, dict)
    assert repr(again) == repr(flow.history)
    assert repr(again).startswith("History of 4 records: step=80")
