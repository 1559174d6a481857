"""The command line: exit codes, messages, files."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import click
import numpy as np
import pandas as pd
import pytest

from cellflow import cli, errors
from cellflow.cli._process import process_settings, terminate
from cellflow.cli._program import Result
from cellflow.cli.fit import fit
from conftest import make_cells

COMMANDS = cli.program.list_commands(click.Context(cli.program))


def cellflow(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own; warnings are errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "cellflow", *map(str, arguments)],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that `cellflow fit` wrote."""
    folder = tmp_path_factory.mktemp("cli")
    make_cells().write_h5ad(folder / "cells.h5ad")
    done = cellflow(
        "fit",
        folder / "cells.h5ad",
        "--time-key",
        "hours",
        "--out",
        folder / "fitted.h5ad",
        "--seed",
        3,
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["seed"] == 3
    return folder / "fitted.h5ad"


def test_fit_writes_a_model_and_keeps_the_cells(fitted: Path) -> None:
    adata, before = ad.read_h5ad(fitted), ad.read_h5ad(fitted.with_name("cells.h5ad"))
    assert adata.uns["cellflow"]["params"]["random_state"] == 3
    assert list(adata.obs_names) == list(before.obs_names)
    np.testing.assert_array_equal(adata.obsm["X_pca"], before.obsm["X_pca"])


def run(*arguments: object) -> int:
    """Run the program in this process, which is quicker."""
    return cli.main(list(map(str, arguments)))


def test_annotate_adds_velocities_and_trajectories(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("annotate", fitted, "--out", tmp_path / "out.h5ad", "--n-times", 5) == 0
    out, err = capsys.readouterr()
    assert not out
    assert "out.h5ad: 90 cells" in err
    adata = ad.read_h5ad(tmp_path / "out.h5ad")
    assert {"velocity_pca", "velocity_umap", "cf_trajectory"} <= set(adata.obsm)
    assert adata.obsm["cf_trajectory"].shape == (90, 20)


def test_predicted_cells_get_labels(fitted: Path, tmp_path: Path) -> None:
    adata = ad.read_h5ad(fitted)
    adata.obs["kind"] = np.where(adata.obsm["X_pca"][:, 1] > 0, "a", "b")
    adata.write_h5ad(tmp_path / "in.h5ad")
    words = ["--time", 36, "--n-obs", 20, "--cluster-key", "kind", "--out", tmp_path / "out.h5ad"]
    assert run("predict", tmp_path / "in.h5ad", *words) == 0
    later = ad.read_h5ad(tmp_path / "out.h5ad")
    assert set(later.obs["kind"]) <= {"a", "b"}
    assert later.obs["cf_label_confidence"].between(0.5, 1.0).all()


def test_predict_writes_a_population_that_the_seed_decides(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seed, time in (("a", 5, 36), ("b", 5, "1.5 days"), ("c", 6, "36h")):
        out = tmp_path / f"{name}.h5ad"
        assert (
            run(
                "predict",
                fitted,
                "--time",
                time,
                "--n-obs",
                25,
                "--seed",
                seed,
                "--out",
                out,
                "--json",
            )
            == 0
        )
    said = json.loads(capsys.readouterr().out.partition("}")[0] + "}")
    assert (said["command"], said["time"], said["n_obs"]) == ("predict", 36.0, 25)
    a, b, c = (ad.read_h5ad(tmp_path / f"{name}.h5ad").obsm["X_pca"] for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert len(a) == 25
    assert not np.array_equal(a, c)


def test_the_output_may_be_the_input(fitted: Path, tmp_path: Path) -> None:
    file = tmp_path / "same.h5ad"
    file.write_bytes(fitted.read_bytes())
    assert run("annotate", file, "--n-times", 3, "--out", file) == 0
    assert "cf_trajectory" in ad.read_h5ad(file).obsm
    assert [p.name for p in tmp_path.iterdir()] == ["same.h5ad"]


def test_bench_prints_a_table_and_a_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_cells().write_h5ad(tmp_path / "cells.h5ad")
    arguments = [
        "bench",
        tmp_path / "cells.h5ad",
        "--time-key",
        "hours",
        "--methods",
        "ot-cfm",
        "i-cfm",
        "--cache",
        tmp_path / "c",
    ]
    page = tmp_path / "report.html"
    assert run(*arguments, "--out", tmp_path / "out.h5ad", "--report", page) == 0
    out, err = capsys.readouterr()
    assert "noise floor" in page.read_text(encoding="utf-8")
    assert run(*arguments, "--report", tmp_path / "none" / "report.html") == 3
    assert run(*arguments, "--report", page, "--cluster-key", "cell_tpye") == 4
    assert "cell_tpye" in capsys.readouterr().err
    for name in (
        "OT interpolation",
        "previous snapshot",
        "noise floor",
        "i-cfm (two-sided)",
        "By P1",
        "without a model, over",
    ):
        assert name in out
    assert "without the held-out cells" in err
    assert "i-cfm (two-sided)" in ad.read_h5ad(tmp_path / "out.h5ad").uns["cf_holdout"]["verdict"]
    assert run(*arguments, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert {row["method"] for row in said["table"]} > {"ot-cfm", "i-cfm", "noise floor"}
    assert said["seeds"] == [0]
    assert said["verdict"].splitlines()[0] in out


def test_bench_of_the_literature(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day, rng = np.repeat([2, 3, 4, 7], 40), np.random.default_rng(0)
    cells = ad.AnnData(obs={"day": day}, obsm={"X_pca": rng.normal(size=(160, 6)) + day[:, None]})
    cells.obs_names = [f"c{i}" for i in range(160)]
    cells.write_h5ad(tmp_path / "op_cite_inputs_0.h5ad")
    assert (
        run(
            "bench",
            "--literature",
            "cite",
            "--data",
            tmp_path,
            "--methods",
            "ot-cfm",
            "--seeds",
            42,
            "--times",
            1,
        )
        == 0
    )
    out, err = capsys.readouterr()
    for name in (
        "OT-MFM",
        "2405.14780",
        "w1 at 1 (day 3)",
        "metric parameters set per held-out time",
    ):
        assert name in out
    assert "standardised over all cells" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bench"], "give IN.h5ad and --time-key, or --literature"),
        (["bench", "in.h5ad"], "give IN.h5ad and --time-key"),
        (
            ["bench", "in.h5ad", "--time-key", "t", "--dims", "5"],
            "--dims goes with --literature only",
        ),
        (
            ["bench", "in.h5ad", "--literature", "eb"],
            "an input file goes without --literature only",
        ),
        (
            ["bench", "--literature", "eb", "--time-key", "t"],
            "--time-key goes without --literature only",
        ),
        (["bench", "--literature", "ebb"], "'ebb' is not one of"),
    ],
)
def test_wrong_usage_of_bench(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "said"),
    [(["--times", "13"], "inner times [12.0]"), (["--methods", "ot-cmf"], "did you mean")],
)
def test_bench_of_what_cannot_be(
    option: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_cells().write_h5ad(tmp_path / "cells.h5ad")
    assert run("bench", tmp_path / "cells.h5ad", "--time-key", "hours", *option) == 4
    assert said in capsys.readouterr().err


# Usage: 2 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing command"),
        (["ft"], "did you mean 'fit'"),
        (
            ["fit", "in.h5ad", "--tiem-key", "hours", "--out", "o.h5ad"],
            "no option --tiem-key (did you mean '--time-key'",
        ),
        (["fit", "in.h5ad", "--time-key=hours"], "--out"),
        (["fit", "in.h5ad", "--time-key=hours", "--out=o.h5ad", "--seed=-1"], "non-negative"),
        (["predict", "in.h5ad", "--out=o.h5ad", "--time", "noon"], "noon"),
        (["--versio"], "did you mean '--version'"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert said in err
    assert "--help" in err


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_and_version_are_data(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command, "--help"]) == 0
    assert "Usage: cellflow" in capsys.readouterr().out
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("cellflow ")


# Environment: 3, input data: 4, numerical: 5 ------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "is not an h5ad"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "could not be read as an h5ad"),
        (None, "is not a file"),
    ],
    ids=["empty", "html", "truncated", "missing"],
)
def test_a_file_that_is_no_h5ad(
    content: bytes | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cells.h5ad"
    if content is not None:
        file.write_bytes(content)
    assert (
        cli.main(["fit", str(file), "--time-key", "hours", "--out", str(tmp_path / "out.h5ad")])
        == 4
    )
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.h5ad").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--time-key": "hour"}, "did you mean 'hours'"),
        ({"--use-rep": "X_pac"}, "did you mean 'X_pca'"),
        ({"--n-dims": "99"}, "n_dims"),
        ({"--method": "ot-cmf"}, "did you mean 'ot-cfm'"),
    ],
)
def test_data_that_cannot_be_used(
    change: dict[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_cells().write_h5ad(tmp_path / "cells.h5ad")
    before = (tmp_path / "cells.h5ad").read_bytes()
    options = {"--time-key": "hours", "--out": str(tmp_path / "cells.h5ad")} | change
    assert (
        cli.main(
            [
                "fit",
                str(tmp_path / "cells.h5ad"),
                *(word for pair in options.items() for word in pair),
            ]
        )
        == 4
    )
    assert said in capsys.readouterr().err
    assert (tmp_path / "cells.h5ad").read_bytes() == before


def test_cells_without_a_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_cells().write_h5ad(tmp_path / "cells.h5ad")
    assert (
        cli.main(
            [
                "predict",
                str(tmp_path / "cells.h5ad"),
                "--time",
                "3",
                "--out",
                str(tmp_path / "out.h5ad"),
            ]
        )
        == 4
    )
    assert "cf.tl.flow" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["missing/out.h5ad", "out.csv", "."])
def test_a_place_that_cannot_be_written_is_said_before_any_work(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        cli.main(["fit", "no such file", "--time-key", "hours", "--out", str(tmp_path / out)]) == 3
    )
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SetupError("x"), 3),
        (errors.ModelFileError("x"), 4),
        (errors.MissingKeyError("x"), 4),
        (errors.CouplingError("x"), 5),
        (errors.IntegrationError("x"), 5),
        (errors.TrainingError("x"), 5),
        (errors.CellFlowError("x"), 1),
        (MemoryError("x"), 3),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_every_class_of_error_has_its_code(
    error: BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(arguments: object) -> None:
        raise error

    monkeypatch.setattr(fit, "run", fail)
    assert cli.main(["fit", "in.h5ad", "--time-key", "hours", "--out", "out.h5ad"]) == code
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("cellflow: ")


def test_every_error_of_the_package_has_a_code() -> None:
    kinds = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]
    assert all(any(issubclass(kind, known) for known, _ in cli._CODES) for kind in kinds)


# Signals and pipes --------------------------------------------------------------------------------

# A parent without job control starts its children deaf to Ctrl-C; what is tested here is a program
# at a terminal.
HANGING = (
    "import signal, sys, time; from cellflow import cli\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # tests may run where hang-ups are ignored
    "from cellflow.cli.fit import fit\n"
    "def work(options): print('working', flush=True); time.sleep(60)\n"
    "fit.run = work; sys.exit(cli.main(['fit', 'a', '--time-key', 'b', '--out', 'c']))"
)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_signals_end_with_their_code(number: signal.Signals, code: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HANGING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in err


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_leaves_early_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "cellflow", "--help"]
        done = subprocess.run(
            command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


class Refusing(io.StringIO):
    """A stream on a full disk."""

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


@pytest.mark.skipif(os.name != "posix", reason="streams of POSIX")
@pytest.mark.parametrize("command", ["--version", "fit --help", "fit"])
@pytest.mark.parametrize(
    "streams", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "> /dev/full", "2> /dev/full"]
)
def test_streams_that_are_closed_or_full(command: str, streams: str) -> None:
    line = f"{sys.executable} -m cellflow {command} {streams}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    usage = 2 if command == "fit" else 0
    lost = streams == "> /dev/full" and usage == 0
    assert done.returncode == (3 if lost else usage)
    assert "Traceback" not in done.stderr
    assert ("cannot be printed" in done.stderr) == lost


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("stream", [Refusing(), None], ids=["full", "closed"])
def test_a_result_that_cannot_be_printed_is_said(
    options: list[str],
    stream: io.StringIO | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 3, because a program that waits for the result has to know.

    What was written is said before.
    """
    result = Result({"a": 1}, "wrote out.h5ad", "a table")
    monkeypatch.setattr(fit, "run", lambda _: result)
    monkeypatch.setattr(sys, "stdout", stream)
    assert cli.main(["fit", "a", "--time-key", "b", "--out", "c", *options]) == 3
    err = capsys.readouterr().err
    assert err.index("wrote out.h5ad") < err.index("cannot be printed")
    assert sys.stdout is stream


@pytest.mark.filterwarnings("default")
def test_what_cannot_be_said_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(_: object) -> Result:
        warnings.warn("careful", UserWarning, stacklevel=1)
        logging.getLogger("cellflow").info("working")
        return Result({}, "done", "a table")

    monkeypatch.setattr(fit, "run", work)
    for stream in (Refusing(), None):
        monkeypatch.setattr(sys, "stderr", stream)
        assert cli.main(["fit", "a", "--time-key", "b", "--out", "c"]) == 0
        assert capsys.readouterr().out == "a table\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_names_that_a_terminal_cannot_show_are_escaped(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(fit, "run", lambda _: Result({}, "\udcff", "細胞 \udcff"))
    monkeypatch.setattr(sys, "stdout", shown)
    assert cli.main(["fit", "a", "--time-key", "b", "--out", "c"]) == 0
    assert b"\\udcff" in shown.buffer.getvalue()  # type: ignore[attr-defined] # a BytesIO


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_what_was_ignored_at_the_start_stays_ignored() -> None:
    """As `nohup` does with the end of a terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with process_settings():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is terminate
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    "command",
    ["fit a.h5ad --time-key t --out b.h5ad", "annotate a.h5ad --out b.h5ad", "demo", "bench"],
)
def test_without_docstrings_it_says_so(command: str) -> None:
    line = [sys.executable, "-OO", "-m", "cellflow", *command.split()]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "-OO" in done.stderr
    assert "Traceback" not in done.stderr


# Contents that cannot be stored -------------------------------------------------------------------


def test_missing_values_in_text_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellflow.tl.flow", lambda *_, **__: None)
    cells = make_cells()
    cells.obs["donor"] = pd.array(["a", None, "b"] * 30, dtype="string")
    cells.obs["a/b"] = 1.0
    with ad.settings.override(allow_write_nullable_strings=True), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        cells.write_h5ad(tmp_path / "in.h5ad")
    assert (
        run("fit", tmp_path / "in.h5ad", "--time-key", "hours", "--out", tmp_path / "out.h5ad") == 0
    )
    again = ad.read_h5ad(tmp_path / "out.h5ad")
    assert again.obs["donor"].isna().sum() == 30
    assert again.obs["donor"].dropna().tolist() == ["a", "b"] * 30
    assert (again.obs["a/b"] == 1.0).all()


@pytest.mark.parametrize("command", ["fit", "annotate", "predict", "bench"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda cells: cells.obs.insert(0, "date", pd.Timestamp("2020-01-01")),
        lambda cells: cells.uns.update({"x": (1, 2)}),
        lambda cells: cells.uns.update({"a/b": 1}),
        lambda cells: cells.var.insert(0, "mixed", [1, "a"] * 6),
    ],
    ids=["dates", "tuple", "slash", "mixed"],
)
def test_what_cannot_be_stored_is_said_before_any_work(
    command: str,
    spoil: Callable[[ad.AnnData], object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import cellflow.adapter.read

    cells = make_cells()
    spoil(cells)
    monkeypatch.setattr(cellflow.adapter.read, "read_h5ad", lambda _: cells)
    for module, name in (
        ("tl", "flow"),
        ("tl", "velocity"),
        ("tl", "predict"),
        ("bench", "holdout"),
    ):
        monkeypatch.setattr(
            f"cellflow.{module}.{name}", lambda *_, **__: pytest.fail("work before the check")
        )
    more = {
        "fit": ["--time-key", "hours"],
        "predict": ["--time", 3],
        "bench": ["--time-key", "hours"],
    }.get(command, [])
    assert run(command, "in.h5ad", *more, "--out", tmp_path / "out.h5ad") == 4
    assert "cannot be stored as an h5ad" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# Times outside the measured ones ------------------------------------------------------------------


@pytest.mark.parametrize("time", [-5, -0.001, 48.001, 60, 1e9, "-1h", "day 5", "3 weeks"])
def test_a_time_outside_the_measured_ones_has_to_be_asked_for(
    fitted: Path, time: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", fitted, f"--time={time}", "--out", tmp_path / "out.h5ad") == 4
    assert "--extrapolate goes beyond" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("time", ["inf", "-inf", "nan", "E8.5"])
def test_what_is_no_time_of_the_fit_is_refused(
    fitted: Path, time: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", fitted, f"--time={time}", "--out", tmp_path / "out.h5ad") == 4
    assert f"--time={time}" in capsys.readouterr().err.replace("'", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("time", [-5, 60])
def test_a_time_outside_is_answered_on_request(
    fitted: Path, time: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run("predict", fitted, "--time", time, "--extrapolate", "--out", tmp_path / "out.h5ad") == 0
    )
    assert "extrapolated" in capsys.readouterr().err
    assert ad.read_h5ad(tmp_path / "out.h5ad").uns["cf_prediction"]["extrapolated"]


def test_the_callers_process_is_left_as_it_was() -> None:
    import logging
    import warnings

    before = (
        signal.getsignal(signal.SIGTERM),
        warnings.showwarning,
        list(logging.getLogger("cellflow").handlers),
    )
    assert cli.main(["--version"]) == 0
    assert (
        signal.getsignal(signal.SIGTERM),
        warnings.showwarning,
        logging.getLogger("cellflow").handlers,
    ) == before


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, 0), (errors.InputError("x"), 4), (KeyboardInterrupt(), 130)],
    ids=repr,
)
def test_the_callers_environment_is_left_as_it_was(
    error: BaseException | None, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables for a server without a writable home are removed; the caller's are kept."""
    for variable in ("MPLBACKEND", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MPLCONFIGDIR", "mine")
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before, seen = dict(os.environ), {}

    def look(options: object) -> Result:
        seen.update(os.environ)
        assert Path(seen["NUMBA_CACHE_DIR"]).is_dir()
        if error is not None:
            raise error
        return Result({}, "done")

    monkeypatch.setattr(fit, "run", look)
    assert cli.main(["fit", "a", "--time-key", "b", "--out", "c"]) == code
    assert (seen["MPLBACKEND"], seen["MPLCONFIGDIR"]) == ("agg", "mine")
    assert not list(tmp_path.iterdir())
    assert dict(os.environ) == before


# The demo -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_demo_runs_within_its_budget_and_writes_what_it_says(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="the module is POSIX's")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = cellflow("demo", "--out", tmp_path / "demo", "--json")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    # A minute on two cores, and 2 GB; processor time, since others may be running.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2 * 60
    assert after.ru_maxrss * (1 if sys.platform == "darwin" else 1024) < 2e9
    said = json.loads(done.stdout)
    assert {p.name for p in (tmp_path / "demo").iterdir()} == set(said["files"])
    w1 = said["w1"]
    assert set(w1) == {
        "previous snapshot",
        "OT interpolation",
        "curved-cfm",
        "curved-cfm, two-sided",
        "noise floor",
    }
    assert w1["curved-cfm"]["mean"] < 0.85 * w1["previous snapshot"]["mean"]
    assert "without a model" in said["verdict"]
    adata = ad.read_h5ad(tmp_path / "demo" / "myoblasts.h5ad")
    assert {"velocity_umap", "cf_trajectory"} <= set(adata.obsm)
