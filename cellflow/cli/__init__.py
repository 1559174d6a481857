"""The command line: h5ad files in, h5ad files out.

Results go to files, tables and `--json` to stdout, messages to stderr. Exit codes: 0 done, 1
failure, 2 usage, 3 environment, 4 input data, 5 numerical, 130 interrupt, 129 and 143 terminated.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from cellflow import errors
from cellflow.core._version import __version__

if TYPE_CHECKING:
    from types import FrameType

    import pandas as pd
    from anndata import AnnData

__all__ = ["main"]

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
_INTERRUPTED = 130
#: Signals that end the program in order, with 128 and their number as its exit code.
_ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class _Parser(argparse.ArgumentParser):
    """A parser whose errors say what was meant."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\nSee `{self.prog} --help`.\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse passes over what cannot be printed.
        if file is sys.stdout and message:
            _print(message)
        else:
            super()._print_message(message, file)


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
        with _streams() as closed, _manners():
            try:
                return _run(argv, closed=closed)
            finally:
                # Here, where a reader that has gone is not yet an error at the interpreter's exit.
                _print()
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 0
    except KeyboardInterrupt:
        _say("cellflow: interrupted; no file was changed half-way.")
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough. Python would complain again when it flushes at
        # exit.
        _discard(sys.stdout)
        return 0
    except tuple(kind for kind, _ in _CODES) as error:
        _say(f"cellflow: {error}")
        return next(code for kind, code in _CODES if isinstance(error, kind))


def _run(argv: list[str], *, closed: bool = False) -> int:
    parser, commands = _parsers()
    _suggest(argv, parser, commands)
    arguments = parser.parse_args(argv)
    if sys.flags.optimize > 1 and arguments.command != "selftest":
        msg = (
            "Python was started with -OO (or PYTHONOPTIMIZE=2), which removes docstrings that"
            " anndata needs when it is imported. Start it with -O, or without."
        )
        raise errors.SetupError(msg)
    result = arguments.run(arguments)
    answer = json.dumps(result["values"], indent=1) if arguments.json else result.get("table")
    _say(result["message"])
    if answer is not None:
        _answer(answer, closed=closed)
    return int(result.get("code", 0))


def _suggest(argv: list[str], parser: _Parser, commands: dict[str, _Parser]) -> None:
    """Leave with a suggestion where a command or a flag is misspelt, before argparse asks for something else."""
    words = [word for word in argv if not word.startswith("-")]
    if words and argv[0] == words[0] and words[0] not in commands:
        parser.error(
            f"no command {words[0]!r}{errors.closest(words[0], commands)}; there are"
            f" {', '.join(commands)}"
        )
    chosen = commands[words[0]] if words and argv[0] == words[0] else parser
    known = set(re.findall(r"--[a-z-]+", chosen.format_help()))
    for word in argv:
        flag = word.partition("=")[0]
        if flag.startswith("--") and flag not in known:
            chosen.error(f"no option {flag}{errors.closest(flag, known)}")


def _parsers() -> tuple[_Parser, dict[str, _Parser]]:
    parser = _Parser(
        prog="cellflow",
        description="From time-labelled single-cell snapshots to a continuous dynamics.",
        epilog=(
            "Exit codes: 0 done, 1 failure, 2 usage, 3 environment, 4 input data, 5 numerical, 129,"
            " 130 and 143 stopped."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"cellflow {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], dict[str, Any]], about: str
    ) -> _Parser:
        sub: _Parser = subparsers.add_parser(
            name, help=about, description=about, allow_abbrev=False
        )
        sub.set_defaults(run=run, command=name)
        sub.add_argument(
            "--seed",
            type=_seed,
            default=0,
            metavar="N",
            help="seed of everything that is random (default: 0)",
        )
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        return sub

    demo = command(
        "demo",
        _demo,
        "Run the main job on real cells: human myoblasts over 72 hours, with held-out snapshots.",
    )
    demo.add_argument(
        "--out", default="demo", metavar="FOLDER", help="where to write (default: demo)"
    )

    fit = command(
        "fit", _fit, "Learn the dynamics of the cells in an h5ad file, and store it there."
    )
    fit.add_argument("input", metavar="IN.h5ad", help="cells with times and a representation")
    fit.add_argument(
        "--time-key", required=True, metavar="COLUMN", help="column of obs with the times"
    )
    fit.add_argument(
        "--use-rep",
        default="X_pca",
        metavar="KEY",
        help="representation in obsm, or X (default: X_pca)",
    )
    fit.add_argument(
        "--n-dims", type=int, metavar="N", help="leading dimensions to use (default: all)"
    )
    fit.add_argument(
        "--method", default="curved-cfm", metavar="NAME", help="recipe (default: curved-cfm)"
    )
    fit.add_argument(
        "--layer", metavar="NAME", help="expression that positions are decoded to (default: X)"
    )
    fit.add_argument(
        "--score", action="store_true", help="learn the score too, for stochastic questions"
    )
    fit.add_argument(
        "--condition-key",
        nargs="+",
        metavar="COLUMN",
        help="columns of obs with conditions (drug, donor)",
    )
    fit.add_argument(
        "--shared-until",
        type=_time,
        metavar="T",
        help="last time at which cells precede all conditions",
    )
    fit.add_argument(
        "--device", default="cpu", metavar="NAME", help="cpu, cuda, cuda:1 or auto (default: cpu)"
    )

    annotate = command("annotate", _annotate, "Add velocities and trajectories to fitted cells.")
    annotate.add_argument("input", metavar="IN.h5ad", help="what `cellflow fit` wrote")
    annotate.add_argument(
        "--basis",
        metavar="NAME",
        help="embedding for the velocities (default: umap, if there is one)",
    )
    annotate.add_argument(
        "--n-times",
        type=int,
        default=50,
        metavar="N",
        help="points of each trajectory (default: 50)",
    )

    predict = command("predict", _predict, "Predict the population at a time, measured or not.")
    predict.add_argument("input", metavar="IN.h5ad", help="what `cellflow fit` wrote")
    predict.add_argument(
        "--time",
        type=_time,
        required=True,
        metavar="T",
        help="in the unit of the fit, or as in 'day 5'",
    )
    predict.add_argument(
        "--extrapolate",
        action="store_true",
        help="answer before the first or after the last measured time, too",
    )
    predict.add_argument(
        "--n-obs",
        type=int,
        metavar="N",
        help="cells to predict (default: as many as the snapshots hold)",
    )

    bench = command(
        "bench",
        _bench,
        "Hide snapshots in turn, predict them, and compare; or run a table of the literature.",
    )
    bench.add_argument(
        "input", nargs="?", metavar="IN.h5ad", help="cells with times and a representation"
    )
    bench.add_argument("--time-key", metavar="COLUMN", help="column of obs with the times")
    bench.add_argument(
        "--use-rep",
        default="X_pca",
        metavar="KEY",
        help="representation in obsm, or X (default: X_pca)",
    )
    bench.add_argument(
        "--n-dims", type=int, metavar="N", help="leading dimensions to use (default: all)"
    )
    bench.add_argument(
        "--methods", nargs="+", metavar="NAME", help="recipes (default: the default one)"
    )
    bench.add_argument(
        "--times",
        nargs="+",
        type=_time,
        metavar="T",
        help="snapshots to hide (default: all inner ones)",
    )
    bench.add_argument(
        "--seeds",
        nargs="+",
        type=_seed,
        metavar="N",
        help="of the fits (default: --seed; literature: 42 to 46)",
    )
    bench.add_argument(
        "--as-given",
        action="store_true",
        help="keep a representation that has seen the hidden cells",
    )
    bench.add_argument(
        "--literature",
        choices=["eb", "cite", "multi"],
        help="run the published protocol on a published set",
    )
    bench.add_argument(
        "--dims",
        type=int,
        choices=[5, 50, 100],
        help="principal components of the published set (default: 5)",
    )
    bench.add_argument(
        "--protocol",
        choices=["P1", "P2"],
        help="from the snapshot before, or from the first (default: P1)",
    )
    bench.add_argument(
        "--data", metavar="PATH", help="file or folder of the published set (default: fetched once)"
    )
    bench.add_argument(
        "--n-jobs", type=int, metavar="N", help="tasks at once, -1 for one per core (default: 1)"
    )
    bench.add_argument(
        "--cache", metavar="FOLDER", help="keep finished tasks here, so that a run can be resumed"
    )
    bench.add_argument(
        "--out", metavar="OUT.h5ad", help="write the cells with the result; may be the input file"
    )
    bench.add_argument(
        "--report", metavar="OUT.html", help="write the result as one page that explains itself"
    )
    bench.add_argument(
        "--cluster-key",
        metavar="COLUMN",
        help="column of obs with cell types, for the verdict and the report",
    )
    bench.set_defaults(parser=bench)

    selftest = command(
        "selftest",
        _selftest,
        "Compare the installed package with closed forms, in seconds; exit code 1 if it fails.",
    )

    for sub in (fit, annotate):
        sub.add_argument(
            "--overwrite",
            action="store_true",
            help="replace results of other programs under the same keys",
        )
    for sub in (annotate, predict):
        sub.add_argument(
            "--genes",
            nargs="+",
            metavar="NAME",
            help=(
                "genes to write: names, `decodable` for those that the representation can decode,"
                " or `none` (default: all)"
            ),
        )
    for sub in (fit, annotate, predict):
        sub.add_argument(
            "--out", required=True, metavar="OUT.h5ad", help="where to write; may be the input file"
        )
    return parser, {
        "demo": demo,
        "fit": fit,
        "annotate": annotate,
        "predict": predict,
        "bench": bench,
        "selftest": selftest,
    }


def _seed(text: str) -> int:
    if not text.isdecimal():
        msg = f"{text!r} is no seed; give a non-negative integer"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _time(text: str) -> float | str:
    """A number, or a label with a unit, which is read in the unit of the fit."""
    from cellflow.adapter.times import is_label

    try:
        return float(text)
    except ValueError:
        if is_label(text):
            return text
    msg = f"{text!r} is no time; give a number, or a label such as 'day 5' or '48h'"
    raise argparse.ArgumentTypeError(msg)


# The commands ---------------------------------------------------------------------------------------------------------


def _demo(arguments: argparse.Namespace) -> dict[str, Any]:
    from cellflow.cli._demo import demo

    result = demo(Path(arguments.out), seed=arguments.seed)
    return {
        "values": result.values(),
        "table": result.report(),
        "message": f"wrote {arguments.out}: {', '.join(result.files)}",
    }


def _fit(arguments: argparse.Namespace) -> dict[str, Any]:
    from cellflow import tl

    with _changed(arguments) as adata:
        tl.flow(
            adata,
            arguments.time_key,
            use_rep=arguments.use_rep,
            n_dims=arguments.n_dims,
            layer=arguments.layer,
            method=arguments.method,
            random_state=arguments.seed,
            score=arguments.score,
            condition_key=arguments.condition_key,
            shared_until=arguments.shared_until,
            device=arguments.device,
            overwrite=arguments.overwrite,
        )
    return _wrote(arguments, adata, method=arguments.method)


def _annotate(arguments: argparse.Namespace) -> dict[str, Any]:
    from cellflow import tl

    with _changed(arguments) as adata:
        basis = arguments.basis or ("umap" if "X_umap" in adata.obsm else None)
        tl.velocity(
            adata, basis=basis, genes=_genes(arguments, adata), overwrite=arguments.overwrite
        )
        tl.trajectories(adata, n_times=arguments.n_times, overwrite=arguments.overwrite)
    return _wrote(arguments, adata, basis=basis)


def _genes(arguments: argparse.Namespace, adata: AnnData) -> Any:
    """Genes as `cf.tl` takes them: names, a mask, none, or None for all."""
    named = arguments.genes
    if named == ["none"] and "none" not in adata.var_names:
        return []
    if named == ["decodable"] and "decodable" not in adata.var_names:
        from cellflow import get

        decoder = get.flow(adata).decoder
        return [] if decoder is None else adata.var_names.isin(decoder.genes[decoder.decodable])
    return named


def _predict(arguments: argparse.Namespace) -> dict[str, Any]:
    from cellflow import tl
    from cellflow.adapter.h5ad import check_storable, write_h5ad
    from cellflow.adapter.keys import DEFAULT, Keys
    from cellflow.adapter.read import read_h5ad
    from cellflow.core._files import check_writable

    check_writable(arguments.out)
    adata = read_h5ad(arguments.input)
    check_storable(adata)
    if not arguments.extrapolate:
        _require_measured(adata, arguments.time, DEFAULT)
    later = tl.predict(
        adata,
        time=arguments.time,
        n_obs=arguments.n_obs,
        genes=_genes(arguments, adata),
        random_state=arguments.seed,
        extrapolate=arguments.extrapolate,
    )
    write_h5ad(later, arguments.out)
    return _wrote(arguments, later, time=float(later.uns[Keys(DEFAULT).own("prediction")]["time"]))


def _require_measured(adata: AnnData, time: float | str, key: str) -> None:
    """Make sure that a time lies within the measured ones.

    A script reads exit codes, not warnings, so that every extrapolation has to be asked for here.
    """
    from cellflow.adapter.fitted import read_fitted

    fitted = read_fitted(adata, key)
    at = fitted.time(time, "--time")
    observed = fitted.observed.narrowed(fitted.cells.snapshots())
    if len(observed.outside(at)):
        msg = (
            f"--time {at:g} lies outside the measured times, {observed.first:g} to"
            f" {observed.last:g}. Expected one of them or between them; --extrapolate goes beyond."
        )
        raise errors.InputError(msg)


#: Options of `cellflow bench` that belong to a file of one's own, and to the literature.
_OWN = ("input", "time_key", "n_dims", "out", "report", "cluster_key")
_PUBLISHED = ("dims", "protocol", "data")
#: Columns of the table that fit on a screen.
_SHOWN = (
    "time",
    "method",
    "protocol",
    "seed",
    "w1",
    "w1_low",
    "w1_high",
    "w1_half",
    "energy",
    "variance_ratio",
    "c2st",
    "skill",
    "seconds",
)


def _bench(arguments: argparse.Namespace) -> dict[str, Any]:
    published = arguments.literature is not None
    for name in _OWN if published else _PUBLISHED:
        if getattr(arguments, name) is not None:
            other = "without --literature" if published else "with --literature"
            flag = "an input file" if name == "input" else f"--{name.replace('_', '-')}"
            arguments.parser.error(f"{flag} goes {other} only")
    if not published and (arguments.input is None or arguments.time_key is None):
        arguments.parser.error("give IN.h5ad and --time-key, or --literature")
    return _literature(arguments) if published else _holdout(arguments)


def _holdout(arguments: argparse.Namespace) -> dict[str, Any]:
    from cellflow import bench
    from cellflow.adapter.h5ad import check_storable, write_h5ad
    from cellflow.adapter.read import read_h5ad
    from cellflow.core._files import check_writable

    if arguments.out is not None:
        check_writable(arguments.out)
    if arguments.report is not None:
        check_writable(arguments.report, suffix=".html")
    adata = read_h5ad(arguments.input)
    if arguments.out is not None:
        check_storable(adata)
    if arguments.cluster_key is not None and arguments.cluster_key not in adata.obs:
        known = sorted(map(str, adata.obs))
        msg = (
            "--cluster-key: adata.obs has no column"
            f" {arguments.cluster_key!r}{errors.closest(arguments.cluster_key, known)}"
        )
        raise errors.MissingKeyError(msg)
    table = bench.holdout(
        adata,
        arguments.time_key,
        use_rep=arguments.use_rep,
        n_dims=arguments.n_dims,
        methods=arguments.methods,
        times=arguments.times,
        seeds=arguments.seeds or (arguments.seed,),
        leak_free=not arguments.as_given,
        cluster_key=arguments.cluster_key,
        n_jobs=arguments.n_jobs,
        cache=arguments.cache,
    )
    if arguments.out is not None:
        write_h5ad(adata, arguments.out)
    if arguments.report is not None:
        bench.report(adata, arguments.report, cluster_key=arguments.cluster_key)
    about = "; ".join(dict.fromkeys(table["representation"]))
    return _benched(arguments, table, table[list(_SHOWN)], about)


def _literature(arguments: argparse.Namespace) -> dict[str, Any]:
    from cellflow import bench

    table = bench.literature(
        arguments.literature,
        data=arguments.data,
        dims=arguments.dims or 5,
        protocol=arguments.protocol or "P1",
        methods=arguments.methods,
        times=arguments.times,
        seeds=arguments.seeds or (42, 43, 44, 45, 46),
        n_jobs=arguments.n_jobs,
        cache=arguments.cache,
    )
    return _benched(
        arguments,
        table,
        table.drop(columns=["n_predicted", "n_observed", "note"]),
        table.attrs["about"],
    )


def _benched(
    arguments: argparse.Namespace, table: pd.DataFrame, shown: pd.DataFrame, about: str
) -> dict[str, Any]:
    """A table with what it means, for people and for programs."""
    rows = json.loads(table.to_json(orient="records", double_precision=6))
    lines = shown.dropna(axis=1, how="all").to_string(
        index=False, na_rep="", float_format="{:.4g}".format
    )
    notes = [f"{n}: {note}" for note, n in table["note"].value_counts().items() if note]
    text = "\n".join(
        [lines, "", *(f"note on rows, {note}" for note in notes), table.attrs["verdict"]]
    )
    values = {
        "command": "bench",
        "version": __version__,
        "about": about,
        "verdict": table.attrs["verdict"],
        "table": rows,
    }
    seeds = list(
        arguments.seeds or ((42, 43, 44, 45, 46) if arguments.literature else (arguments.seed,))
    )
    return {"values": values | {"seeds": seeds}, "table": text, "message": about}


def _selftest(arguments: argparse.Namespace) -> dict[str, Any]:
    from dataclasses import asdict

    from cellflow.evaluation.selftest import selftest

    findings = selftest(random_state=arguments.seed)
    failed = [finding for finding in findings if not finding.passed]
    width = max(len(finding.name) for finding in findings)
    lines = [f"{'':8}{'':{width}}  {'measured':>9}  {'bound':>7}  seconds"]
    for f in findings:
        lines.append(
            f"{'ok' if f.passed else 'FAILED':8}{f.name:{width}}  {f.measured:9.2g}  {f.bound:7.2g}"
            f"  {f.seconds:7.1f}"
        )
        lines += [f"{'':8}{f.error}"] if f.error else []
    rows = [
        {k: None if v != v else v for k, v in asdict(finding).items()} for finding in findings
    ]  # JSON has no NaN
    values = {
        "command": "selftest",
        "version": __version__,
        "passed": not failed,
        "findings": rows,
        "seed": arguments.seed,
    }
    agree = f"{len(findings) - len(failed)} of {len(findings)} comparisons with closed forms passed"
    advice = (
        "; reinstall cellflow-trajectory and what it needs, and if that does not help, report this"
        " table"
        if failed
        else ""
    )
    return {
        "values": values,
        "table": "\n".join(lines),
        "message": f"{agree}{advice}.",
        "code": int(bool(failed)),
    }


@contextmanager
def _changed(arguments: argparse.Namespace) -> Iterator[AnnData]:
    """Read the input, let the block change it, and write the result; what prevents that is said before any work."""
    from cellflow.adapter.h5ad import check_storable, write_h5ad
    from cellflow.adapter.read import read_h5ad
    from cellflow.core._files import check_writable

    check_writable(arguments.out)
    adata = read_h5ad(arguments.input)
    check_storable(adata)
    yield adata
    write_h5ad(adata, arguments.out)


def _wrote(arguments: argparse.Namespace, adata: AnnData, **more: Any) -> dict[str, Any]:
    values = {
        "command": arguments.command,
        "version": __version__,
        "out": arguments.out,
        "n_obs": adata.n_obs,
        **more,
    }
    return {
        "values": values | {"seed": arguments.seed},
        "message": f"wrote {arguments.out}: {adata.n_obs:,} cells",
    }


# How the program behaves ----------------------------------------------------------------------------------------------


def _say(message: object) -> None:
    """Print a message on stderr. Where nothing can be written there, nobody can be told."""
    try:
        print(_encodable(message, sys.stderr), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _discard(sys.stderr)


def _answer(text: str, *, closed: bool) -> None:
    """Print a result on stdout.

    Raises
    ------
    OutputError
        It cannot be printed; a program that waits for it has to know.
    """
    if closed:
        msg = (
            "The result cannot be printed: standard output is closed. What was said to be written"
            " is written."
        )
        raise errors.OutputError(msg)
    _print(f"{text}\n")


def _print(text: str = "") -> None:
    """Print on stdout, with what was printed before.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    try:
        if text:
            print(_encodable(text, sys.stdout), end="")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as cause:
        _discard(sys.stdout)
        msg = f"The result cannot be printed ({cause}). What was said to be written is written."
        raise errors.OutputError(msg) from cause


def _encodable(text: object, stream: TextIO) -> str:
    """Text as the encoding of a stream can write it; other characters as escapes."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return str(text).encode(encoding, "backslashreplace").decode(encoding)


def _discard(stream: TextIO) -> None:
    """Let a stream lead nowhere, because Python writes what is left in it once more when it ends."""
    # A stream without a number, as a test has it, is not written at the end.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def _streams() -> Iterator[bool]:
    """Put something in the place of standard streams that are closed; tells whether stdout was.

    Otherwise the next file that is opened would get the number of the stream, and with it what
    others print there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    before = sys.stdout, sys.stderr
    closed = [stream is None or stream.closed for stream in before]
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 (a device)
        if closed[0]:
            sys.stdout = nowhere
        if closed[1]:
            sys.stderr = nowhere
        try:
            yield closed[0]
        finally:
            sys.stdout, sys.stderr = before


class _Lines(logging.Handler):
    """Log records as lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message of a record."""
        _say(self.format(record))


@contextmanager
def _manners() -> Iterator[None]:
    """Warnings and log lines as single lines on stderr, caches that can be written, and an orderly end when terminated."""
    logger = logging.getLogger("cellflow")
    handler = _Lines()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in _ENDINGS:
            # A program that was started by nohup keeps ignoring that its terminal is gone.
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _terminate)
    try:
        with _environment(), warnings.catch_warnings():
            warnings.showwarning = lambda text, kind, *_: _say(f"{kind.__name__}: {text}")
            yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def _environment() -> Iterator[None]:
    """Set what other packages read from the environment, where nobody has; taken back afterwards."""
    from cellflow.core._files import remove_leftovers, temporary_name

    # Pictures go to files; asking for a window would fail on a server.
    wanted = {"MPLBACKEND": "agg"}
    with ExitStack() as stack:
        if not os.access(Path("~").expanduser(), os.W_OK):
            place = Path(tempfile.gettempdir())
            remove_leftovers(place)
            caches = stack.enter_context(temporary_name(place))
            caches.mkdir(mode=0o700)
            wanted |= dict.fromkeys(("MPLCONFIGDIR", "NUMBA_CACHE_DIR"), str(caches))
        missing = [variable for variable in wanted if variable not in os.environ]
        try:
            os.environ.update({variable: wanted[variable] for variable in missing})
            yield
        finally:
            for variable in missing:
                os.environ.pop(variable, None)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 (the signature of a signal handler)
    # Once is enough: what is being cleaned up should not be stopped by a second signal.
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)
