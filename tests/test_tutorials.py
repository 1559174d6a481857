"""Tutorials run as they are (`make test-all`); their own cells assert what they claim."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

import cellflow as cf

FOLDER = Path(__file__).parents[1] / "tutorials"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
#: A place on somebody's machine: an absolute path with a folder in it, but not a closing tag or a
#: part of an address.
MACHINE_PATH = re.compile(r"(?<![\w<.:/~-])/\w[\w.-]*/\w|\b[A-Za-z]:\\\w|~/")

each = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)


def read(file: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(notebook: nbformat.NotebookNode) -> list[str]:
    """Everything a reader sees or a file shows, pictures aside."""
    found = [cell.source for cell in notebook.cells]
    for output in (output for cell in code_cells(notebook) for output in cell.outputs):
        found += [output.get("text", ""), *output.get("traceback", ())]
        found += [
            str(content)
            for kind, content in output.get("data", {}).items()
            if not kind.startswith("image/")
        ]
    return found


def test_there_are_tutorials() -> None:
    assert NOTEBOOKS


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
def test_it_was_executed_in_order_without_errors_or_noise(file: Path) -> None:
    cells = code_cells(read(file))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [
        output
        for output in outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]


@each
def test_it_shows_no_machine_and_stays_small(file: Path) -> None:
    found = [text for text in texts(read(file)) if MACHINE_PATH.search(text)]
    assert not found
    assert file.stat().st_size < 1.5e6


@each
def test_every_section_asserts_what_it_claims(file: Path) -> None:
    sections: list[list[str]] = []
    for cell in read(file).cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            sections.append([])
        elif cell.cell_type == "code" and sections:
            sections[-1].append(cell.source)
    for sources in filter(None, sections):  # a section may be words only
        last = sources[-1]
        assert (
            any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(last)))
            or "np.testing.assert" in last
        ), last


def calls(notebook: nbformat.NotebookNode) -> list[ast.Call]:
    """Calls of `cf.` in the code."""
    sources = [re.sub(r"^[%!].*$", "", cell.source, flags=re.M) for cell in code_cells(notebook)]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    found = [node for node in nodes if isinstance(node, ast.Call)]
    return [node for node in found if re.fullmatch(r"cf(\.\w+)+", ast.unparse(node.func))]


@each
def test_its_calls_fit_the_signatures_of_today(file: Path) -> None:
    """The short form of the test below: everything that it calls is there and takes these
    arguments.
    """
    found = calls(read(file))
    for call in found:
        function = eval(ast.unparse(call.func), {"cf": cf})
        named = {k.arg: None for k in call.keywords if k.arg is not None}
        try:
            inspect.signature(function).bind_partial(*call.args, **named)
        except TypeError as error:
            pytest.fail(f"{ast.unparse(call)}: {error}")
    assert found


@pytest.mark.slow
@each
def test_it_runs_today(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbclient import NotebookClient

    monkeypatch.delenv(
        "MPLBACKEND", raising=False
    )  # somebody who runs the tests may have asked for pictures in files
    notebook = read(file)
    # A cell that raises, an assertion of the tutorial among them, raises here and shows the cell.
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    assert not list(tmp_path.iterdir())  # and it leaves nothing behind

    def shown(cell: Any) -> list[str]:
        # A fresh machine may say more on stderr (matplotlib builds its font cache); results are the
        # same in kind and number.
        return [
            output.output_type
            for output in cell.get("outputs", [])
            if output.get("name") != "stderr"
        ]

    assert [shown(cell) for cell in notebook.cells] == [shown(cell) for cell in read(file).cells]
