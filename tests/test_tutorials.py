"""The nine tutorials: what is stored in them, and that they run today.

In a short run the notebook's kernel executes `shortening.py` first, and then every cell but the
last, folded one, which asserts what the page says and needs whole trainings. `make test-all` runs
them whole.
"""

import ast
import base64
import inspect
import re
import struct
from pathlib import Path
from typing import Any

import nbformat
import pytest

import cellflow as cf

FOLDER = Path(__file__).parents[1] / "tutorials"
NAMES = [
    "1_your_data",
    "2_is_it_any_good",
    "3_scores_and_densities",
    "4_fates",
    "5_growth",
    "6_conditions",
    "7_genes",
    "8_methods",
    "9_scale",
]
SHORTENING = Path(__file__).parent / "shortening.py"
#: Tags of the last cell: folded in Jupyter, in the pages and by its metadata elsewhere.
LAST_TAGS = ["hide-input", "assertions"]
#: A place on somebody's machine: an absolute path with a folder in it, but not a closing tag or a
#: part of an address.
MACHINE_PATH = re.compile(r"(?<![\w<.:/~-])/\w[\w.-]*/\w|\b[A-Za-z]:\\\w|~/")
#: Least resolution of a stored picture, in pixels per metre.
LEAST_RESOLUTION = 120 / 0.0254

each = pytest.mark.parametrize("name", NAMES)


def read(name: str) -> nbformat.NotebookNode:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    return notebook


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def texts(notebook: nbformat.NotebookNode) -> list[str]:
    """Everything a reader sees or a file shows, pictures aside."""
    found = [cell.source for cell in notebook.cells]
    for output in outputs(notebook):
        found += [output.get("text", ""), *output.get("traceback", ())]
        found += [
            str(content)
            for kind, content in output.get("data", {}).items()
            if not kind.startswith("image/")
        ]
    return found


def syntax(cell: nbformat.NotebookNode) -> ast.Module:
    return ast.parse(re.sub(r"^[%!].*$", "", cell.source, flags=re.M))


def claims(cell: nbformat.NotebookNode) -> int:
    """Number of assertions in a cell."""
    nodes = list(ast.walk(syntax(cell)))
    tested = [ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)]
    return sum(isinstance(node, ast.Assert) for node in nodes) + sum(
        name.startswith("np.testing") for name in tested
    )


def test_there_are_the_nine_tutorials_and_no_others() -> None:
    assert sorted(file.stem for file in FOLDER.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/srv/me/cells.h5ad", True),
        ("in C:\\Users\\me", True),
        ("see ~/cells", True),
        ("<td>1</td></tr>", False),
        ("https://example.org/a/b", False),
        ("cells/hour, demo/stream.png, 1/2", False),
    ],
)
def test_machine_paths_are_told_from_other_slashes(text: str, *, found: bool) -> None:
    assert bool(MACHINE_PATH.search(text)) == found


@each
def test_it_was_executed_in_order_without_errors_or_noise(name: str) -> None:
    notebook = read(name)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [
        output
        for output in outputs(notebook)
        if output.output_type == "error" or output.get("name") == "stderr"
    ]


@each
def test_it_shows_no_machine_and_stays_small(name: str) -> None:
    found = [text for text in texts(read(name)) if MACHINE_PATH.search(text)]
    assert not found
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 1.5e6


def resolution(png: bytes) -> int:
    """Pixels per metre that a picture states (its chunk pHYs); 0 where it states none."""
    place = png.find(b"pHYs")
    return struct.unpack(">I", png[place + 4 : place + 8])[0] if place > 0 else 0


@each
def test_its_pictures_are_sharp(name: str) -> None:
    pictures = [output.get("data", {}).get("image/png") for output in outputs(read(name))]
    found = [resolution(base64.b64decode(picture)) for picture in pictures if picture]
    assert found
    assert min(found) >= int(LEAST_RESOLUTION)


@each
def test_what_it_says_is_asserted_in_one_folded_cell_at_its_end(name: str) -> None:
    notebook = read(name)
    *others, last = notebook.cells
    assert last.metadata["tags"] == LAST_TAGS
    assert last.metadata["jupyter"] == {"source_hidden": True}
    assert not last.outputs
    assert claims(last) >= 5
    assert not [cell.source for cell in others if cell.cell_type == "code" and claims(cell)]
    assert not [cell.source for cell in others if cell.metadata.get("tags")]


def calls(notebook: nbformat.NotebookNode) -> list[ast.Call]:
    """Calls of `cf.` in the code."""
    nodes = [node for cell in code_cells(notebook) for node in ast.walk(syntax(cell))]
    found = [node for node in nodes if isinstance(node, ast.Call)]
    return [node for node in found if re.fullmatch(r"cf(\.\w+)+", ast.unparse(node.func))]


@each
def test_its_calls_fit_the_signatures_of_today(name: str) -> None:
    """Calls in words and in branches that a short run does not take are there, and take these
    arguments.
    """
    found = calls(read(name))
    for call in found:
        function = eval(ast.unparse(call.func), {"cf": cf})
        named = {k.arg: None for k in call.keywords if k.arg is not None}
        try:
            inspect.signature(function).bind_partial(*call.args, **named)
        except TypeError as error:
            pytest.fail(f"{ast.unparse(call)}: {error}")
    assert found


def execute(notebook: nbformat.NotebookNode, folder: Path, timeout: int) -> None:
    """Run all cells. A cell that raises, raises here and is shown."""
    from nbclient import NotebookClient

    where = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=timeout, kernel_name="python3", resources=where).execute()
    assert not list(folder.iterdir())  # and it leaves nothing behind


@pytest.fixture
def _pictures_in_the_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are shown in the page, also where MPLBACKEND asks for files."""
    monkeypatch.delenv("MPLBACKEND", raising=False)


@pytest.mark.usefixtures("_pictures_in_the_notebook")
@each
def test_it_runs_with_short_trainings(name: str, tmp_path: Path) -> None:
    notebook = read(name)
    first = nbformat.v4.new_code_cell(SHORTENING.read_text(encoding="utf-8"))
    notebook.cells = [first, *notebook.cells[:-1]]
    execute(notebook, tmp_path, timeout=300)


@pytest.mark.slow
@pytest.mark.usefixtures("_pictures_in_the_notebook")
@each
def test_it_runs_whole_and_what_it_says_is_true(name: str, tmp_path: Path) -> None:
    notebook = read(name)
    execute(notebook, tmp_path, timeout=900)

    def shown(cell: Any) -> list[str]:
        # A fresh machine may say more on stderr (matplotlib builds its font cache); results are the
        # same in kind and number.
        return [
            output.output_type
            for output in cell.get("outputs", [])
            if output.get("name") != "stderr"
        ]

    assert [shown(cell) for cell in notebook.cells] == [shown(cell) for cell in read(name).cells]
