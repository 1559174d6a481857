"""The check of the site in a browser finds what is wrong, on pages that are made to be wrong."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import check

pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="chromium and chromedriver are not installed (Debian: chromium, chromium-driver)",
)

HEAD = (
    '<!doctype html><html><head><meta name="viewport" content="width=device-width">'
    '<link rel="icon" href="data:,"></head>'
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(check, "SITE", tmp_path)
    return tmp_path


def test_faults_are_found(site: Path) -> None:
    (site / "wide.html").write_text(
        f'{HEAD}<body><div style="width:700px">wide</div><img src="none.png" alt="a">'
        '<a href="gone.html">gone</a><a href="good.html#nowhere">place</a></body></html>'
    )
    (site / "good.html").write_text(f'{HEAD}<body><a href="wide.html">there</a></body></html>')
    faults = check.check(["good.html", "wide.html"], None)
    said = "\n".join(faults)
    assert "wide.html at 400: " in said
    assert "px too wide" in said
    assert "wide.html at 1280: http" in said, "the console tells of the missing picture"
    assert "px too wide" not in said.split("wide.html at 400")[0]
    assert "not loaded" in said
    assert "no page gone.html" in said
    assert "no place #nowhere on good.html" in said
    assert not any(fault.startswith("good.html") for fault in faults)


def test_what_scrolls_in_its_own_frame_is_no_fault(site: Path) -> None:
    (site / "frame.html").write_text(
        f'{HEAD}<body><div style="overflow-x:auto"><div style="width:900px">x</div></div></body>'
    )
    assert check.check(["frame.html"], None) == []
