"""Pages of the documentation: their code fits the package, and nothing public is left out.

The build itself (`make docs`) follows every link and every name, and ends at the first that leads
nowhere; here is what it does not see.
"""

import ast
import inspect
import re
import sys
from pathlib import Path

import pytest

import cellflow as cf

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
sys.path[:0] = [str(DOCS), str(DOCS / "_ext")]


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def calls() -> list[tuple[str, ast.Call]]:
    """Calls of `cf.` in the code of the pages."""
    found = []
    for page in PAGES:
        for code in blocks(page):
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.Call) and re.fullmatch(r"cf[.\w]+", ast.unparse(node.func)):
                    found.append((page.stem, node))
    return found


@pytest.mark.parametrize(
    ("page", "call"), calls(), ids=lambda part: part if isinstance(part, str) else ast.unparse(part)
)
def test_code_fits_the_signatures(page: str, call: ast.Call) -> None:
    function = eval(ast.unparse(call.func), {"cf": cf})
    names = {str(keyword.arg): None for keyword in call.keywords}
    inspect.signature(function).bind(*call.args, **names)


def test_code_is_checked_at_all() -> None:
    assert len(calls()) > 60


def test_a_question_has_an_answer() -> None:
    """Each recipe ends with a question mark and has text or code below it; there are enough."""
    text = (DOCS / "how_to.md").read_text(encoding="utf-8")
    recipes = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    assert 20 <= len(recipes) <= 50
    for recipe in recipes:
        question, answer = recipe.split("\n", 1)
        assert question.endswith("?")
        assert len(answer.split("\n## ")[0].strip()) > 40, question


def test_every_figure_is_in_the_gallery() -> None:
    """With its picture, which is small enough to be stored."""
    from gallery_cases import by_call

    shown = by_call()
    assert set(shown) == {f"cf.pl.{name}" for name in cf.pl.__all__}
    for pictures in shown.values():
        for picture in pictures:
            path = DOCS / "pictures" / f"{picture.name}{picture.suffix}"
            assert path.exists(), f"python docs/gallery.py makes {path.name}"
            assert path.stat().st_size < 600_000, path
            assert picture.caption.endswith("."), picture.name


def test_no_picture_is_left_over() -> None:
    from gallery_cases import by_call

    names = {f"{p.name}{p.suffix}" for pictures in by_call().values() for p in pictures}
    assert {path.name for path in (DOCS / "pictures").iterdir()} == names


def test_groups_of_the_reference_name_what_there_is() -> None:
    pytest.importorskip("sphinx", reason="make docs installs it")
    import api_pages

    for short, groups in api_pages._GROUPS.items():
        listed = " ".join(groups.values()).split()
        assert len(listed) == len(set(listed))
        assert set(listed) <= set(getattr(cf, short).__all__)


def test_new_functions_appear_by_themselves() -> None:
    pytest.importorskip("sphinx", reason="make docs installs it")
    import api_pages

    groups = api_pages._groups("tl", [*cf.tl.__all__, "brand_new"])
    assert groups["Further"] == ["brand_new"]


def test_fields_that_docstrings_list_are_found() -> None:
    pytest.importorskip("sphinx", reason="make docs installs it")
    from written_keys import written_by

    slots = [slot for slot, _ in written_by(inspect.getdoc(cf.tl.velocity) or "")]
    assert "obsm" in slots
    assert written_by("No section here.") == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_that_pages_name_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:cellflow|benchmarks|docs)/[\w/]+\.\w+)`", text)
    assert [name for name in named if not (DOCS.parent / name).exists()] == []
