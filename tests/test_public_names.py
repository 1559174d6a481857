"""What is public: names that `dir` shows, and examples in every docstring."""

import doctest
import inspect
import re
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import cellflow as cf

MODULES = {name: value for name in cf.__all__ if isinstance(value := getattr(cf, name), ModuleType)}


@pytest.mark.parametrize("name", MODULES)
def test_dir_shows_public_names_only(name):
    module = MODULES[name]
    assert dir(module) == sorted(module.__all__)
    assert not [shown for shown in dir(module) if shown.startswith("_")]
    assert all(hasattr(module, shown) for shown in dir(module))


def test_dir_of_the_package():
    assert dir(cf) == sorted(cf.__all__)
    assert len(MODULES) > 15


# Examples -----------------------------------------------------------------------------------------

#: Folders and modules whose public names have an example each, which is run by pytest.
WITH_EXAMPLES = [
    "bench", "couplings", "datasets", "densities", "fields", "get", "interop", "metrics",
    "objectives", "paths", "pl", "pp", "simulation", "synthetic", "tl",
]  # fmt: skip
#: What is not run, with the reason.
NOT_RUN = {
    "bench.literature": "downloads published cells and fits them for minutes",
    **dict.fromkeys(
        ["datasets.cite", "datasets.embryoid_body", "datasets.larry", "datasets.multi"],
        "downloads a file",
    ),
    **dict.fromkeys(
        ["interop.from_moscot", "interop.to_moscot", "interop.to_cellrank", "interop.from_scvi"],
        "needs a package that lives in an environment of its own, see tests/interop",
    ),
}
#: Classes that a function of the same folder returns; its example shows them.
RETURNED = {
    "densities.GaussianMixture": "fit_density",
    "densities.KernelDensity": "fit_density",
    "paths.PathSample": "sample",
}
#: Methods of `cellflow.Flow` with an example each.
QUERIES = [
    "diffuse", "divergence", "drift", "from_state", "head", "jacobian", "load", "sample", "save",
    "score", "sensitivity", "simulate", "state", "to", "velocity", "with_decoder",
]  # fmt: skip
PARSER = doctest.DocTestParser()


def examples(value):
    return PARSER.get_examples(inspect.getdoc(value) or "")


def documented():
    """Public functions and classes by the name that a user types after `cf.`."""
    for family in WITH_EXAMPLES:
        for name in MODULES[family].__all__:
            value = getattr(MODULES[family], name)
            if isinstance(value, FunctionType | type):
                yield f"{family}.{name}", value
    for name in ("fit", "fit_score", "Ensemble", "Flow", "Ladder", "Population", "Snapshots"):
        yield name, getattr(cf, name)
    for name in QUERIES:
        yield f"Flow.{name}", getattr(cf.Flow, name)


def test_every_public_name_has_an_example_that_is_run():
    wrong = []
    for name, value in documented():
        if name in RETURNED:
            continue
        lines = examples(value)
        run = [line for line in lines if not line.options.get(doctest.SKIP)]
        if name in NOT_RUN:
            assert lines, name
            assert not run, name
        elif not run:
            wrong.append(name)
    assert not wrong
    assert set(NOT_RUN) | set(RETURNED) <= {name for name, _ in documented()}


def test_what_returns_a_class_is_named_right():
    for name, function in RETURNED.items():
        assert examples(getattr(MODULES[name.split(".")[0]], function))


def test_nothing_else_is_skipped():
    """A line that is not run has a reason in the line before it."""
    package = Path(cf.__file__).parent
    for path in sorted(package.rglob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            skipped = r"doctest: *\+SKIP"
            if re.search(skipped, line):
                before = [above for above in lines[:number] if not re.search(skipped, above)][-1]
                assert re.match(r" *>>> # \w+", before), f"{path.name}: {line}"


def test_examples_are_the_lines_of_a_user():
    """They name the package as a user does, and do not import it or its test fixtures."""
    wrong = [
        f"{name}: {line.source.strip()}"
        for name, value in documented()
        for line in examples(value)
        if re.match(r"(import cellflow|from conftest|import pytest)", line.source)
    ]
    assert not wrong
