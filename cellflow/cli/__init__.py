"""The command line: h5ad files in, h5ad files out; one command a file.

Results go to files, tables and `--json` to stdout, messages to stderr. Exit codes: 0 done, 1
failure, 2 usage, 3 environment, 4 input data, 5 numerical, 130 interrupt, 129 and 143 terminated.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
from click.exceptions import Exit
from click.shell_completion import shell_complete

from cellflow import errors
from cellflow.cli._process import discard, process_settings, say, standard_streams, write_out
from cellflow.cli._program import program

__all__ = ["main", "program"]

#: The first class that an error is an instance of decides.
_CODES: tuple[tuple[type[Exception], int], ...] = (
    (errors.SetupError, 3),
    (errors.OutputError, 3),
    (errors.InputError, 4),
    (errors.MissingDataError, 4),
    (errors.ModelFileError, 4),
    (errors.CouplingError, 5),
    (errors.IntegrationError, 5),
    (errors.TrainingError, 5),
    (errors.CellFlowError, 1),
    (MemoryError, 3),
)
_USAGE = 2
_INTERRUPTED = 130
#: Variable by which a shell asks for completions.
_COMPLETE = "_CELLFLOW_COMPLETE"

#: The name of 0.1.0, which scripts import.
_manners = process_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv
        Arguments after the program's name; those of the process by default.

    Returns
    -------
    The exit code.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        with standard_streams() as closed, process_settings():
            try:
                return _run(argv, closed=closed)
            finally:
                # A closed pipe has to be found here; at the interpreter's exit it is an error.
                write_out()
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 0
    except KeyboardInterrupt:
        say("cellflow: interrupted; no file was changed half-way.")
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has ended. Python would fail again when it flushes at exit.
        discard(sys.stdout)
        return 0
    except click.UsageError as error:
        say(_usage(error))
        return _USAGE
    except tuple(kind for kind, _ in _CODES) as error:
        say(f"cellflow: {error}")
        return next(code for kind, code in _CODES if isinstance(error, kind))


def _run(argv: list[str], *, closed: bool) -> int:
    if _COMPLETE in os.environ:
        return shell_complete(program, {}, "cellflow", _COMPLETE, os.environ[_COMPLETE])
    try:
        with program.make_context("cellflow", argv, obj=closed) as context:
            return int(program.invoke(context))
    except Exit as leave:
        return leave.exit_code


def _usage(error: click.UsageError) -> str:
    """What is wrong with the arguments, and where to look."""
    path = error.ctx.command_path if error.ctx else "cellflow"
    message = error.format_message()
    if isinstance(error, click.NoSuchOption) and error.ctx:
        known = [name for option in error.ctx.command.get_params(error.ctx) for name in option.opts]
        message = f"no option {error.option_name}{errors.closest(error.option_name, known)}"
    return f"{path}: {message}\nSee `{path} --help`."
