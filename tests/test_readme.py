"""What the README promises is there: its calls fit the signatures, its commands their parsers, its
links their files.
"""

import ast
import inspect
import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest

import cellflow as cf
from cellflow import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def calls() -> list[ast.Call]:
    """Calls of `cf.` in the examples and in the text."""
    inline = [code for code in re.findall(r"`(cf\.[^`]*\))`", README) if "..." not in code]
    trees = [ast.parse(code) for code in [*blocks("python"), *inline]]
    found = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [node for node in found if ast.unparse(node.func).startswith("cf.")]


def test_the_first_thing_are_the_two_commands() -> None:
    assert README.index("make demo") < README.index("make test") < README.index("## ")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^demo:", makefile, re.MULTILINE)
    assert re.search(r"^test:", makefile, re.MULTILINE)


@pytest.mark.parametrize("call", calls(), ids=ast.unparse)
def test_python_examples_fit_the_signatures(call: ast.Call) -> None:
    function = eval(ast.unparse(call.func), {"cf": cf})
    inspect.signature(function).bind(*call.args, **{str(k.arg): None for k in call.keywords})


@pytest.mark.parametrize(
    "line",
    [
        line
        for block in blocks("bash")
        for line in block.splitlines()
        if line.startswith("cellflow ")
    ],
)
def test_command_examples_parse(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    command = cli.program.get_command(click.Context(cli.program), name)
    command.make_context(name, arguments)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)]+)\)", README))))
def test_links_lead_somewhere(target: str) -> None:
    assert target.startswith("https://") or (ROOT / target).exists()


def test_the_example_for_methods_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    time = np.repeat([0.0, 12.0], 60)
    space = {"cf": cf, "x": rng.normal(size=(120, 2)) + time[:, None] / 12, "time": time}
    exec(next(block for block in blocks("python") if "cf.fit(" in block), space)
    assert (tmp_path / "model").is_dir()
