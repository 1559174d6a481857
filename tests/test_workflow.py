"""The Dockerfile and the Snakefile: what they name exists, and their commands are commands."""

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from cellflow.cli import program

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "Dockerfile"
SNAKEFILE = ROOT / "workflow" / "Snakefile"

pytestmark = pytest.mark.skipif(
    not (DOCKERFILE.exists() and SNAKEFILE.exists()),
    reason="these files are not part of this copy of the repository",
)


def parsed(words):
    """Options of a command line, as the program reads them; nothing is run."""
    name, *rest = words
    context = click.Context(program, info_name="cellflow")
    command = program.get_command(context, name)
    assert command is not None, name
    return command.make_context(name, rest, parent=context).params


# Snakefile ----------------------------------------------------------------------------------------


def shell_commands():
    text = SNAKEFILE.read_text(encoding="utf-8")
    return re.findall(r'shell: "(.*)"$', text, re.MULTILINE)


def test_the_snakefile_is_short():
    assert len(SNAKEFILE.read_text(encoding="utf-8").splitlines()) <= 30


@pytest.mark.parametrize("command", shell_commands() if SNAKEFILE.exists() else [])
def test_commands_of_the_snakefile_are_read_by_the_program(command, tmp_path):
    """Placeholders are filled with files, and everything after a redirection is the shell's."""
    given = tmp_path / "cells.h5ad"
    given.touch()
    filled = re.sub(r"\{input[^}]*\}", str(given), command)
    filled = re.sub(r"\{output[^}]*\}", str(tmp_path / "out.h5ad"), filled)
    filled = re.sub(r"\{[A-Z]+:q\}", "hours", filled)
    assert "{" not in filled
    program_name, *words = shlex.split(filled.partition(">")[0])
    assert program_name == "cellflow"
    assert Path(str(parsed(words)["file"])) == given


def test_every_rule_has_a_command():
    text = SNAKEFILE.read_text(encoding="utf-8")
    rules = set(re.findall(r"^rule (\w+):", text, re.MULTILINE)) - {"all"}
    assert rules == {"annotate", "fates", "fit", "report"}
    assert len(shell_commands()) == len(rules)
    # Without it, the output of one rule is an input of the same rule, without end.
    assert 'wildcard_constraints: name="[^/]+"' in text


# Dockerfile ---------------------------------------------------------------------------------------


def instructions():
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def of(kind):
    return [rest for name, rest in instructions() if name == kind]


def test_the_image_has_a_python_that_the_package_takes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (base,) = of("FROM")
    found = re.fullmatch(r"python:(3\.\d+)-slim", base)
    assert found
    assert project["requires-python"] == f">={found[1]}"
    assert project["scripts"]["cellflow"] == "cellflow.cli:main"


def test_what_is_copied_exists_and_is_in_the_context():
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert allowed[0] == "*"
    copied = [name for line in of("COPY") for name in line.split()[:-1]]
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in allowed
    # What the build of the wheel reads.
    assert {"pyproject.toml", "README.md", "LICENSE", "data", "cellflow"} <= set(copied)


def test_installs_are_constrained_and_commands_run_without_root():
    installs = [line for line in of("RUN") if "pip install" in line]
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in line for line in installs)
    assert "download.pytorch.org/whl/cpu" in installs[0]
    (user,) = of("USER")
    assert int(user) > 0
    assert f"--uid {user}" in of("RUN")[0]
    order = [name for name, _ in instructions()]
    assert order.index("USER") > max(k for k, name in enumerate(order) if name == "RUN")


def test_the_image_is_the_program():
    assert of("ENTRYPOINT") == ['["cellflow"]']
    assert of("CMD") == ['["--help"]']
    comment = DOCKERFILE.read_text(encoding="utf-8")
    (example,) = re.findall(r"^#   docker run .* cellflow (.*)$", comment, re.MULTILINE)
    assert parsed(shlex.split(example))["time_key"] == "hours"
