"""Text of a user in pages and pictures: what cannot be written is replaced, all else stays."""

import unicodedata
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cellflow.core._text import clean, drawable, font_families

UNSAFE = {
    "NUL": "\x00", "BEL": "\x07", "backspace": "\x08", "vertical tab": "\x0b", "form feed": "\x0c",
    "ESC": "\x1b",
    "DEL": "\x7f", "a C1 control": "\x9b", "a low surrogate": "\udcff",
    "a high surrogate": "\ud83d",
    "right-to-left override": "\u202e", "an isolate": "\u2066", "a non-character": "\ufffe",
    "one far out": "\U0010ffff",
}  # fmt: skip
KEPT = ["naïve", "造血干细胞", "αβ-T", "😀", "a\tb", "a\nb", "نص", "é", "\u00a0", "�"]


@pytest.mark.parametrize("name", UNSAFE)
def test_what_cannot_be_written_is_replaced(name):
    assert clean(f"a{UNSAFE[name]}b") == "a\ufffdb"


@pytest.mark.parametrize("text", KEPT)
def test_what_can_be_written_stays(text):
    assert clean(text) == text


@given(st.text(st.characters(), max_size=20))
def test_whatever_comes_is_text_for_a_file(text):
    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert not [c for c in cleaned if unicodedata.category(c) in {"Cc", "Cs"} and c not in "\t\n"]
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize(
    "text", [*KEPT, "$\\bad$", "_hidden", "x" * 300, "two\nlines", "a$b", "$", *UNSAFE.values()]
)
def test_a_picture_shows_any_name_without_a_warning(text):
    figure = Figure(layout="constrained")
    ax = figure.add_subplot()
    families, missing = font_families([text])
    said = drawable(text.translate(dict.fromkeys(map(ord, missing), "?")))
    ax.plot([0, 1], [0, 1], label=said)
    drawn = [*ax.legend().get_texts(), ax.set_title(said)]
    for each in drawn:
        each.set_fontfamily(families)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FigureCanvasAgg(figure).draw()
    assert len(drawn) == 2  # the legend has the name, whatever it begins with
    assert max(len(each.get_text()) for each in drawn) <= 45


def test_long_names_keep_both_ends():
    assert drawable("first " + "x" * 200 + " last").startswith("first x")
    assert drawable("first " + "x" * 200 + " last").endswith("x last")


def test_characters_that_a_font_has_are_not_missing():
    families, missing = font_families(["α β γ", "plain"])
    assert families
    assert missing == frozenset()
    assert font_families(["\U0001f9ff\ue0ff"])[1] <= {"\U0001f9ff", "\ue0ff"}
