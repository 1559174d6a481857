"""The program and its commands, on click."""

from __future__ import annotations

import json
import pkgutil
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from cellflow.cli._options import JSON, SEED
from cellflow.cli._process import print_result, say, write_out
from cellflow.core._version import __version__
from cellflow.errors import SetupError, closest

__all__ = ["Command", "Result", "program"]

_SETTINGS = {"max_content_width": 100, "show_default": True}
_NEGATIVE = re.compile(r"-\.?\d")


@dataclass(frozen=True, eq=False)
class Result:
    """What a command found.

    Parameters
    ----------
    values
        For `--json`, beside the name of the command and the version.
    message
        For stderr.
    table
        For stdout, where `--json` is not given.
    code
        The exit code.
    """

    values: dict[str, Any]
    message: str
    table: str | None = None
    code: int = 0


def _print_and_exit(text: Callable[[click.Context], str]) -> Callable[..., None]:
    """The callback of a flag that prints a text and ends the program."""

    def show(context: click.Context, _: click.Parameter, given: bool) -> None:  # noqa: FBT001
        if given and not context.resilient_parsing:
            write_out(f"{text(context)}\n")
            context.exit()

    return show


def _flag(names: list[str], about: str, text: Callable[[click.Context], str]) -> click.Option:
    """A flag that prints a text. click would print by itself, where a full disk goes unnoticed."""
    return click.Option(
        names,
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_print_and_exit(text),
        help=about,
    )


_HELP = _flag(["-h", "--help"], "Show this message and exit.", lambda context: context.get_help())


class Command(click.Command):
    """A command of the program.

    Parameters
    ----------
    name
        As it is called.
    about
        What it does, for its help.
    run
        Called with the values of all parameters by name.
    params
        Arguments and options, but for `--seed` and `--json`, which every command has.
    needs_docstrings
        Whether it imports packages that do not start without docstrings.
    """

    def __init__(
        self,
        name: str,
        about: str,
        run: Callable[[Mapping[str, Any]], Result],
        params: Sequence[click.Parameter] = (),
        *,
        needs_docstrings: bool = True,
    ) -> None:
        super().__init__(name, help=about, params=[*params, SEED, JSON], context_settings=_SETTINGS)
        self.run = run
        self.needs_docstrings = needs_docstrings

    def get_help_option(self, ctx: click.Context) -> click.Option:  # noqa: ARG002
        return _HELP

    def get_short_help_str(self, limit: int = 45) -> str:  # noqa: ARG002
        return self.help or ""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._repeated(args))

    def _repeated(self, args: Sequence[str]) -> list[str]:
        """Turn `--genes A B` into `--genes A --genes B`, which click knows."""
        several = {
            name
            for option in self.params
            if isinstance(option, click.Option) and option.multiple
            for name in option.opts
        }
        words: list[str] = []
        option = ""
        for word in args:
            if word.startswith("-") and not _NEGATIVE.match(word):
                option = word if word in several else ""
                words.append(word)
            elif option and words[-1] != option:
                words += [option, word]
            else:
                words.append(word)
        return words

    def invoke(self, ctx: click.Context) -> int:
        """Run the command and print its result; returns the exit code."""
        if sys.flags.optimize > 1 and self.needs_docstrings:
            msg = (
                "Python was started with -OO (or PYTHONOPTIMIZE=2), which removes docstrings that"
                " anndata needs when it is imported. Start it with -O, or without."
            )
            raise SetupError(msg)
        result = self.run(ctx.params)
        values = {"command": self.name, "version": __version__, **result.values}
        answer = json.dumps(values, indent=1) if ctx.params["json"] else result.table
        say(result.message)
        if answer is not None:
            print_result(answer, closed=ctx.obj)
        return result.code


class _Program(click.Group):
    """All commands: `cellflow NAME` is `NAME` in `cellflow/cli/NAME.py`, imported when needed."""

    def get_help_option(self, ctx: click.Context) -> click.Option:  # noqa: ARG002
        return _HELP

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
        return sorted(name for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = getattr(import_module(f"cellflow.cli.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(
                f"no command {args[0]!r}{closest(args[0], names)}; there are {', '.join(names)}"
            )
        return super().resolve_command(ctx, args)


program = _Program(
    "cellflow",
    help="From time-labelled single-cell snapshots to a continuous dynamics. Begin with `demo`.",
    epilog=(
        "Exit codes: 0 done, 1 failure, 2 usage, 3 environment, 4 input data, 5 numerical, 129, 130"
        " and 143 stopped.\n\n"
        "Completion: add the line of your shell to its start-up file.\n\n"
        "\b\n"
        'bash  eval "$(_CELLFLOW_COMPLETE=bash_source cellflow)"\n'
        'zsh   eval "$(_CELLFLOW_COMPLETE=zsh_source cellflow)"\n'
        "fish  _CELLFLOW_COMPLETE=fish_source cellflow | source"
    ),
    params=[
        _flag(["--version"], "Show the version and exit.", lambda _: f"cellflow {__version__}")
    ],
    no_args_is_help=False,
    context_settings=_SETTINGS,
)
