"""Commands and their options: one file each, named as the calls that they stand for."""

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import click
import numpy as np
import pytest

import cellflow as cf
from cellflow import cli
from cellflow.cli._program import Command
from conftest import make_cells, quick_recipe

CONTEXT = click.Context(cli.program)
COMMANDS = cli.program.list_commands(CONTEXT)
#: Calls that each command stands for.
CALLS: dict[str, tuple[Callable, ...]] = {
    "annotate": (cf.tl.velocity, cf.tl.trajectories),
    "bench": (cf.bench.holdout, cf.bench.literature),
    "check": (cf.pp.check,),
    "compare": (cf.tl.compare,),
    "diagnose": (cf.tl.diagnose,),
    "drivers": (cf.tl.drivers,),
    "fates": (cf.tl.fates,),
    "fit": (cf.tl.flow,),
    "generate": (cf.tl.generate,),
    "growth": (cf.tl.growth, cf.get.growth),
    "perturb": (cf.tl.perturb,),
    "predict": (cf.tl.predict,),
    "screen": (cf.tl.screen,),
    "translate": (cf.tl.translate,),
    "trends": (cf.tl.trends, cf.get.trends),
}
#: What a call may read or write, and a command has to let choose.
OPTIONS = (
    "layer",
    "weight_key",
    "mass_key",
    "growth_key",
    "sample_key",
    "condition",
    "genes",
    "n_obs",
)
#: Options of the command line alone.
OWN = {"as_given", "backward", "file", "json", "literature", "out", "report", "seed", "top"}

#: Options whose default is chosen when the command runs.
AT_RUN = {"dims", "growth", "key_added", "protocol", "seeds", "time_key", "to"}


def command(name: str) -> Command:
    found = cli.program.get_command(CONTEXT, name)
    assert isinstance(found, Command)
    return found


def run(*arguments: object) -> int:
    return cli.main(list(map(str, arguments)))


def test_a_command_is_a_file() -> None:
    files = {p.stem for p in Path(cli.__file__).parent.glob("*.py") if not p.stem.startswith("_")}
    assert set(COMMANDS) == files == {*CALLS, "demo", "selftest"}
    assert all(command(name).name == name and command(name).help for name in COMMANDS)


@pytest.mark.parametrize("name", CALLS)
def test_options_are_named_as_the_arguments_of_the_calls(name: str) -> None:
    known = {p for call in CALLS[name] for p in inspect.signature(call).parameters}
    given = {p.name for p in command(name).params}
    assert given <= known | OWN
    assert {p for p in OPTIONS if p in known} <= given
    where = {p.name: p.opts for p in command(name).params}
    if {"key", "key_added"} & known:
        assert where["key_added" if "key_added" in known else "key"] == ["--key"]


@pytest.mark.parametrize("name", CALLS)
def test_defaults_are_those_of_the_calls(name: str) -> None:
    needed = [p.opts[0] for p in command(name).params if p.required and p.opts[0].startswith("--")]
    words = ["in.h5ad", *(word for option in needed for word in (option, "1"))]
    given = command(name).make_context(name, words).params
    for call in CALLS[name]:
        defaults = {n: p.default for n, p in inspect.signature(call).parameters.items()}
        for argument in defaults.keys() & given.keys() - AT_RUN:
            required = defaults[argument] is inspect.Parameter.empty
            assert required == (f"--{argument.replace('_', '-')}" in needed), argument
            assert required or (given[argument] or None) == (defaults[argument] or None), argument


@pytest.mark.parametrize(
    ("words", "genes", "out"),
    [
        ("--genes a b --out o", ["a", "b"], "o"),
        ("--genes a --genes b --out o", ["a", "b"], "o"),
        ("--genes=a --out o", ["a"], "o"),
        ("--out o --genes -1 -.5", ["-1", "-.5"], "o"),
        ("--out o", None, "o"),
    ],
)
def test_an_option_may_take_several_words(words: str, genes: list[str] | None, out: str) -> None:
    context = command("annotate").make_context("annotate", ["in.h5ad", *words.split()])
    assert (context.params["genes"], context.params["out"]) == (genes, out)


def test_an_option_without_its_value_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("annotate", "in.h5ad", "--out", "o", "--genes") == 2
    assert "--genes" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="shells of POSIX")
@pytest.mark.parametrize(
    ("words", "found"),
    [("cellflow ge", "generate"), ("cellflow bench --lit", "--literature"), ("cellflow ", "fit")],
)
def test_a_shell_completes_commands_and_options(words: str, found: str) -> None:
    count = len(words.split()) - (not words.endswith(" "))
    asked = {"_CELLFLOW_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    done = subprocess.run(
        [sys.executable, "-m", "cellflow"], capture_output=True, text=True, check=False,
        env=os.environ | asked,
    )  # fmt: skip
    assert found in [line.partition(",")[2] for line in done.stdout.splitlines()]
    assert not done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_help_says_how_to_get_completion(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--help") == 0
    assert f"_CELLFLOW_COMPLETE={shell}_source cellflow" in capsys.readouterr().out


# Commands that stand for one call -----------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells with two conditions and a dose: fitted to move (`moves`), and to generate (`makes`)."""
    folder = tmp_path_factory.mktemp("commands")
    cells = make_cells()
    rng = np.random.default_rng(0)
    cells.obs["drug"] = rng.choice(["a", "b"], cells.n_obs)
    cells.obs["dose"] = rng.uniform(0, 2, cells.n_obs)
    cells.write_h5ad(folder / "cells.h5ad")
    fm = cf.recipes.fm(training=quick_recipe().training)
    for name, method in (("moves", quick_recipe()), ("makes", fm)):
        fitted = cells.copy()
        columns = ["drug", "dose"] if name == "makes" else ["drug"]
        cf.tl.flow(fitted, "hours", method=method, condition_key=columns, key_added="mine")
        fitted.write_h5ad(folder / f"{name}.h5ad")
    return folder


def test_generate_is_the_call(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.h5ad"
    asked = ["--time", 12, "--n-obs", 7, "--key", "mine", "--seed", 3, "--genes", "none"]
    asked += ["--condition", "drug=b", "dose=1.5", "--out", out, "--json"]
    assert run("generate", files / "makes.h5ad", *asked) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["command"], said["time"], said["n_obs"], said["seed"]) == ("generate", 12.0, 7, 3)
    made = cf.tl.generate(
        ad.read_h5ad(files / "makes.h5ad"), time=12, n_obs=7, key="mine", genes=[],
        condition={"drug": "b", "dose": 1.5}, random_state=3,
    )  # fmt: skip
    np.testing.assert_array_equal(ad.read_h5ad(out).obsm["X_pca"], made.obsm["X_pca"])
    assert run("generate", files / "makes.h5ad", "--time", 60, *asked[2:]) == 4
    assert "--extrapolate goes beyond" in capsys.readouterr().err


def test_predict_of_a_condition_is_the_call(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5ad"
    asked = ["--time", 24, "--key", "mine", "--condition", "b", "--out", out]
    assert run("predict", files / "moves.h5ad", *asked) == 0
    later = cf.tl.predict(
        ad.read_h5ad(files / "moves.h5ad"), time=24, key="mine", condition="b", random_state=0
    )
    np.testing.assert_array_equal(ad.read_h5ad(out).obsm["X_pca"], later.obsm["X_pca"])


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (["drug=b", "dose"], "names no column"),
        (["drug=b", "dose=much"], "a finite number"),
        (["drug=c", "dose=1"], "has not seen"),
        (["durg=b", "dose=1"], "did you mean 'drug'"),
    ],
)
def test_a_condition_that_is_none_is_refused(
    condition: list[str],
    said: str,
    files: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["--time", 12, "--n-obs", 7, "--key", "mine", "--condition", *condition]
    assert run("generate", files / "makes.h5ad", *asked, "--out", tmp_path / "o.h5ad") == 4
    assert said in capsys.readouterr().err


def test_translate_is_the_call(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a call that records its arguments, because three fits take long."""
    seen = {}

    def translate(adata: ad.AnnData, **arguments: object) -> ad.AnnData:
        seen.update(arguments)
        return adata

    monkeypatch.setattr("cellflow.tl.translate", translate)
    asked = ["--groupby", "drug", "--source", "a", "--target", "b", "--genes", "none", "--seed", 2]
    assert run("translate", files / "cells.h5ad", *asked, "--out", tmp_path / "out.h5ad") == 0
    wanted = {"groupby": "drug", "source": "a", "target": "b", "genes": [], "random_state": 2}
    assert wanted.items() <= seen.items()
    inspect.signature(cf.tl.translate).bind(None, **seen)
    assert (tmp_path / "out.h5ad").exists()


@pytest.mark.filterwarnings("default")
def test_diagnose_prints_the_table_and_the_verdict(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["diagnose", files / "moves.h5ad", "--key", "mine", "--n-cells", 10]
    assert run(*asked, "--out", tmp_path / "out.h5ad") == 0
    out, _ = capsys.readouterr()
    table = cf.get.diagnosis(ad.read_h5ad(tmp_path / "out.h5ad"), key="mine")
    assert table.attrs["verdict"] in out
    assert all(re.search(rf"^{column}\b", out, re.MULTILINE) for column in table)
    assert run(*asked, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["verdict"] == table.attrs["verdict"]
    assert [row["time"] for row in said["table"]] == table["time"].tolist()


def test_growth_prints_the_table_and_what_was_assumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_cells().write_h5ad(tmp_path / "cells.h5ad")
    fit = ["fit", tmp_path / "cells.h5ad", "--time-key", "hours", "--growth", "learn"]
    assert run(*fit, "--method", "ot-cfm", "--out", tmp_path / "fit.h5ad") == 0
    out = tmp_path / "out.h5ad"
    asked = ["growth", tmp_path / "fit.h5ad", "--groupby", "hours", "--seed", 3]
    capsys.readouterr()
    assert run(*asked, "--out", out, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    table = cf.get.growth(ad.read_h5ad(out), "hours")
    assert [row["group"] for row in said["table"]] == table["group"].tolist()
    np.testing.assert_allclose([row["growth"] for row in said["table"]], table["growth"], atol=1e-6)
    assert said["assumptions"] == table.attrs["assumptions"]
    assert run(*asked) == 0
    assert "rates are relative" in capsys.readouterr().out


def test_drivers_prints_the_first_genes_and_writes_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = make_cells()
    cells.obs["type"] = np.where(cells.obsm["X_pca"][:, 2] > 0, "a", "b")
    cf.tl.flow(cells, "hours", method=quick_recipe())
    cf.tl.fates(cells, "type")
    cells.write_h5ad(tmp_path / "fates.h5ad")
    out = tmp_path / "out.h5ad"
    asked = ["drivers", tmp_path / "fates.h5ad", "--fate", "a", "--window", 0, 12, "--top", 3]
    capsys.readouterr()
    assert run(*asked, "--out", out, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    table = cf.get.drivers(ad.read_h5ad(out), "a")
    assert len(table) == cells.n_vars
    assert [row["gene"] for row in said["table"]] == table["gene"].tolist()[:3]
    assert said["words"] == table.attrs["words"]["a"]
    assert run(*asked) == 0
    assert "in all cells of the times 0 (" in capsys.readouterr().out


@pytest.fixture(scope="module")
def fates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with fates of two types."""
    cells = make_cells()
    cells.obs["type"] = np.where(cells.obsm["X_pca"][:, 2] > 0, "a", "b")
    cf.tl.flow(cells, "hours", method=quick_recipe())
    cf.tl.fates(cells, "type")
    path = tmp_path_factory.mktemp("fates") / "fates.h5ad"
    cells.write_h5ad(path)
    return path


def test_perturb_prints_the_effects_of_the_edits(
    fates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.h5ad"
    asked = ["perturb", fates, "--edits", "gene1=+1sd", "gene2=-0.5sd", "--n-null", 2]
    capsys.readouterr()
    assert run(*asked, "--no-hold", "--time", 12, "--out", out, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    table = cf.get.perturbation(ad.read_h5ad(out))
    assert table["perturbation"].unique().tolist() == ["gene1=+1sd, gene2=-0.5sd"]
    np.testing.assert_allclose([row["effect"] for row in said["table"]], table["effect"], atol=1e-5)
    assert "edited at the start only" in said["words"]
    assert run("perturb", out, "--edits", "gene3=0", "--n-null", 0) == 0
    assert "gene3=0 (mean" in capsys.readouterr().out
    for wrong in ("gene1", "=2", "gene1="):
        assert run("perturb", fates, "--edits", wrong) == 2
        assert "give GENE=VALUE" in capsys.readouterr().err
    assert run("perturb", fates, "--edits", "gene1=0", "gene1=1") == 2
    assert "more than once" in capsys.readouterr().err


def test_screen_prints_the_first_genes_and_writes_all(
    fates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.h5ad"
    asked = ["screen", fates, "--to", "-1sd", "--n-simulated", 2, "--top", 3]
    capsys.readouterr()
    assert run(*asked, "--out", out, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    table = cf.get.screen(ad.read_h5ad(out))
    assert len(table) == 24
    assert [row["gene"] for row in said["table"]] == table["gene"].tolist()[:3]
    assert run(*asked, "--fate", "a", "--genes", "gene1", "gene2") == 0
    assert "2 genes edited to -1sd one by one, held" in capsys.readouterr().out


def test_trends_prints_them_at_the_snapshots_and_when_they_part(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.h5ad"
    asked = ["trends", files / "moves.h5ad", "--genes", "gene3", "gene1", "--key", "mine"]
    asked += ["--n-times", 5, "--min-cells", 5]
    assert run(*asked, "--condition", "a", "b", "--out", out, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    table = cf.get.trends(ad.read_h5ad(out), key="mine")
    assert [row["condition"] for row in said["table"]] == table["condition"].tolist()
    np.testing.assert_allclose([row["mean"] for row in said["table"]], table["mean"], atol=1e-5)
    assert [row["gene"] for row in said["parting"]] == ["gene3", "gene1"]
    assert run(*asked, "--condition", "drug=b") == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r"^ *gene[13] ", printed, re.MULTILINE)) == 6
    assert "A single flow has no standard errors" in printed


def test_compare_prints_the_effects_and_says_by_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = make_cells()
    cells.obs["arm"] = np.where(np.arange(90) % 2, "drug", "control")
    cf.tl.flow(cells, "hours", method=quick_recipe(), condition_key="arm")
    cells.write_h5ad(tmp_path / "fit.h5ad")
    asked = ["compare", tmp_path / "fit.h5ad", "--condition-key", "arm", "--n-perm", 50]
    assert run(*asked) == 4
    assert "cells of one sample are no replicates" in capsys.readouterr().err
    out = tmp_path / "out.h5ad"
    asked += ["--by", "cell", "--reference", "drug", "--seed", 3, "--out", out]
    assert run(*asked, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    table = cf.get.comparison(ad.read_h5ad(out))
    assert [row["quantity"] for row in said["table"]] == table["quantity"].tolist()
    assert {row["condition"] for row in said["table"]} == {"control"}
    assert said["words"] == table.attrs["words"]
    assert run(*asked) == 0
    printed = capsys.readouterr().out
    assert "speed" in printed
    assert "Cells are no replicates" in printed


def test_check_lists_findings_and_says_whether_a_fit_would_stop(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", files / "cells.h5ad", "--time-key", "hours") == 0
    assert "0 of them errors" in capsys.readouterr().err
    assert run("check", files / "cells.h5ad", "--time-key", "hour", "--json") == 4
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert findings[0]["severity"] == "error"
    assert run("check", files / "cells.h5ad", "--time-key", "hour") == 4
    assert capsys.readouterr().out.startswith("error: ")


def test_fates_prints_the_means_of_groups(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "fates.h5ad"
    asked = ["fates", files / "moves.h5ad", "--key", "mine", "--groupby", "drug", "--out", out]
    assert run(*asked) == 0
    table = capsys.readouterr().out.split()
    assert {"a", "b"} <= set(table)
    written = ad.read_h5ad(out)
    np.testing.assert_allclose(written.obsm["mine_lineages_fwd"].sum(axis=1), 1.0)
    assert run(*asked, "--backward", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["at"] == 0.0
    assert {row["group"] for row in answer["table"]} == {"a", "b"}
    assert run(*asked[:-4], "--groupby", "dru", "--out", out) == 4
    assert "obs['dru'] is missing" in capsys.readouterr().err
