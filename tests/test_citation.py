import re
from pathlib import Path

import pytest
import yaml

import cellflow

ROOT = Path(__file__).parents[1]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_version_is_the_packages():
    assert CITATION["version"] == cellflow.__version__


def test_version_has_its_entry_in_the_changelog():
    released = re.findall(
        r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert released[0] == "Unreleased"
    assert cellflow.__version__ in released


def test_has_what_the_format_asks_for():
    assert CITATION["cff-version"] == "1.2.0"
    assert {"title", "message", "authors"} <= set(CITATION)
    assert CITATION["license"] == "BSD-3-Clause"


@pytest.mark.parametrize("reference", CITATION["references"], ids=lambda r: r["title"])
def test_references_can_be_found(reference):
    assert {"type", "title", "authors", "year"} <= set(reference)
    assert re.fullmatch(r"10\.\d{4,}/\S+", reference.get("doi", "")) or reference["url"].startswith(
        "https://"
    )


@pytest.mark.parametrize(
    "paper",
    ["2302.00482", "2307.03672", "2210.02747", "1907.05600", "nbt.2859", "j.cell.2019.01.006"],
)
def test_papers_of_the_methods_and_data_are_there(paper):
    assert sum(r.get("doi", r.get("url", "")).endswith(paper) for r in CITATION["references"]) == 1
