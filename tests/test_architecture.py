"""The layers of the package, read from its folders: who may import whom, what stays light, how
public functions look.

The order of the layers is the list in ARCHITECTURE.md; there is no other copy of it.
"""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple

import pytest

#: Families: their members are alternatives to each other, and share nothing but their `base`.
FAMILIES = {"couplings", "densities", "fields", "metrics", "objectives", "paths", "synthetic"}

#: Files of a family that are no alternatives to each other: what all of them are made of, or what
#: joins them.
SHARED = {"base", "chain", "dynamics", "ladder"}
#: Members that choose among others, or wrap one.
CHOOSERS = {"auto", "dynamics", "lineage", "minibatch"}

#: Only these know what an AnnData is.
ON_ANNDATA_FOLDERS = {
    "adapter",
    "bench",
    "cli",
    "datasets",
    "get",
    "interop",
    "pl",
    "pp",
    "report",
    "tl",
}

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cellflow"
#: What the examples of docstrings are run with is no part of the package.
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "conftest.py")
#: Entries at the top of the package, folders and files.
ENTRIES = sorted({path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES})


def listed_layers() -> list[list[list[str]]]:
    """Rows of the list in ARCHITECTURE.md; each row is steps from left to right, each step is
    siblings.
    """
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    block = re.search(r"^## Layers\n.*?^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block, "ARCHITECTURE.md has a section `Layers` with the list as its first block"
    return [
        [re.findall(r"\w+", step) for step in row.split("->")]
        for row in block[1].strip().splitlines()
    ]


RANK = {
    name: (number, place)
    for number, row in enumerate(listed_layers())
    for place, siblings in enumerate(row)
    for name in siblings
}


class Import(NamedTuple):
    """One imported name: the module, the line, whether only type checkers see it, whether it waits
    inside a function.
    """

    target: str
    line: int
    for_types: bool
    inside: bool


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def unit(module: str) -> str:
    """The name that the table knows a module by: `cellflow.paths.bridge` -> `paths`."""
    return module.split(".")[1] if "." in module else "__init__"


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def imports(path: Path) -> tuple[Import, ...]:
    return tuple(_imports(tree(path), for_types=False, inside=False))


def _imports(node: ast.AST, *, for_types: bool, inside: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        typed = for_types or (
            isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        )
        deeper = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, typed, deeper) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, (
                f"relative import in line {child.lineno}: the table is about full names"
            )
            for alias in child.names:
                if (child.module, alias.name) == ("cellflow", "__version__"):
                    continue
                full = f"{child.module}.{alias.name}"
                file = ROOT.joinpath(*full.split("."))
                is_module = file.is_dir() or file.with_suffix(".py").exists()
                yield Import(full if is_module else str(child.module), child.lineno, typed, deeper)
        else:
            yield from _imports(child, for_types=typed, inside=deeper)


def allowed(importer: str, target: str, *, for_types: bool = False) -> bool:
    """Whether the table lets `importer` import `target`; both are full names of modules of the
    package.
    """
    here, there = unit(importer), unit(target)
    if here == there:
        # A folder's __init__ gathers its files.
        member = target.removeprefix(f"cellflow.{here}").lstrip(".")
        shared = member in SHARED or member.startswith("_")
        shared |= importer.rpartition(".")[2] in CHOOSERS
        return importer == f"cellflow.{here}" or here not in FAMILIES or shared
    (floor, step), (below, before) = RANK[here], RANK[there]
    # What only a type checker reads is no dependency, so siblings may name each other's types; a
    # higher floor they may not.
    return below < floor or (below == floor and (before < step or for_types))


def cycles(graph: dict[str, set[str]]) -> set[str]:
    """Names that remain when everything without a dependency is taken away, again and again."""
    while free := {name for name, needs in graph.items() if not needs & set(graph)}:
        graph = {name: needs for name, needs in graph.items() if name not in free}
    return set(graph)


def run(code: str) -> str:
    """Run `code` in a fresh interpreter; warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def listed(offenders: list[str]) -> str:
    """One offender a line, for the message of a failed assertion."""
    return f"{len(offenders)} in all:\n" + "\n".join(offenders)


# The table ----------------------------------------------------------------------------------------


def test_the_list_in_architecture_md_is_that_of_the_folders() -> None:
    assert sorted(RANK) == ENTRIES


def test_the_top_of_the_package_is_short_and_without_helpers() -> None:
    assert len(ENTRIES) <= 27
    assert [name for name in ENTRIES if name.startswith("_")] == ["__init__", "__main__"]


def test_imports_obey_the_table() -> None:
    wrong = [
        f"{name_of(path)}, line {i.line}: imports {i.target}"
        for path in MODULES
        for i in imports(path)
        if i.target.split(".")[0] == "cellflow"
        and not allowed(name_of(path), i.target, for_types=i.for_types)
    ]
    assert not wrong, listed(wrong)


@pytest.mark.parametrize(
    ("importer", "target", "for_types", "verdict"),
    [
        ("cellflow.paths.bridge", "cellflow.core.population", False, True),
        ("cellflow.core.population", "cellflow.paths.bridge", False, False),
        ("cellflow.paths.bridge", "cellflow.paths.base", False, True),
        ("cellflow.paths.bridge", "cellflow.paths.linear", False, False),
        ("cellflow.paths", "cellflow.paths.linear", False, True),
        ("cellflow.paths.linear", "cellflow.paths", False, False),
        ("cellflow.couplings.sparse", "cellflow.transport.pricing", False, True),
        ("cellflow.couplings.auto", "cellflow.couplings.exact", False, True),
        ("cellflow.paths.bridge", "cellflow.couplings", False, False),
        ("cellflow.model.flow", "cellflow.model.recipes", False, True),
        ("cellflow.analysis.prediction", "cellflow.model.flow", False, True),
        ("cellflow.model.flow", "cellflow.analysis.prediction", True, False),
        ("cellflow.training.loop", "cellflow.simulation", False, False),
        ("cellflow.training.loop", "cellflow.simulation", True, True),
        ("cellflow.analysis.prediction", "cellflow.adapter.keys", True, False),
        ("cellflow.cli", "cellflow.cli._demo", False, True),
    ],
)
def test_the_table_says_what_it_should(
    importer: str, target: str, for_types: bool, verdict: bool
) -> None:
    assert allowed(importer, target, for_types=for_types) is verdict


def test_no_import_goes_in_circles() -> None:
    graph = {
        name_of(p): {i.target for i in imports(p) if not i.for_types} - {name_of(p)}
        for p in MODULES
    }
    assert not cycles(graph)
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == {"a", "b", "c"}


#: Modules that draw beside `cellflow.pl` and the report; `_text` only asks which fonts are
#: installed.
DRAWING = {"cellflow.core._text", "cellflow.cli._demo"}
#: Packages, the modules that may import them, and the reason.
FOREIGN: list[tuple[set[str], Callable[[str], bool], str]] = [
    (
        {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"},
        lambda module: False,
        "no pickle (promise P6)",
    ),
    (
        {"anndata", "scanpy"},
        lambda module: unit(module) in ON_ANNDATA_FOLDERS,
        "only the adapter and the folders above it know AnnData",
    ),
    (
        {"matplotlib", "seaborn"},
        lambda module: unit(module) in {"pl", "report"} or module in DRAWING,
        "only cellflow.pl and the report draw",
    ),
    (
        {"torchdiffeq"},
        lambda module: module == "cellflow.simulation.ode",
        "cellflow.simulation.ode is the only importer of torchdiffeq",
    ),
]


def test_foreign_packages_stay_where_they_belong() -> None:
    wrong = [
        f"{name_of(path)}, line {i.line}: imports {i.target}; {reason}"
        for path in MODULES
        for i in imports(path)
        for packages, may, reason in FOREIGN
        if i.target.split(".")[0] in packages and not may(name_of(path))
    ]
    assert not wrong, listed(wrong)


GLOBAL_STATE = {
    "matplotlib.use",
    "np.random.seed",
    "plt.style.use",
    "plt.switch_backend",
    "random.seed",
    "sc.set_figure_params",
    "torch.manual_seed",
    "torch.random.fork_rng",
    "torch.seed",
    "torch.use_deterministic_algorithms",
}
#: What draws from numpy's own generator is a method of it; what is allowed of the module makes one.
NUMPY_RANDOM = {
    "np.random.default_rng",
    "np.random.Generator",
    "np.random.SeedSequence",
    "np.random.PCG64",
}
TORCH_RANDOM = {
    "torch.bernoulli",
    "torch.multinomial",
    "torch.rand",
    "torch.randint",
    "torch.randn",
    "torch.randperm",
}


#: Calls that change or use what belongs to the whole process, and the modules that may make them.
PROCESS_WIDE = {
    "torch.set_default_dtype": {"cellflow.core._settings"},
    "torch.set_num_threads": {"cellflow.core._threads"},
    # One module changes filters, one thread at a time. The command line has its process alone.
    "warnings.catch_warnings": {
        "cellflow.core._settings",
        "cellflow.core._warn",
        "cellflow.cli._process",
    },
    "warnings.filterwarnings": {
        "cellflow.core._settings",
        "cellflow.core._warn",
        "cellflow.cli._process",
    },
    "warnings.simplefilter": {
        "cellflow.core._settings",
        "cellflow.core._warn",
        "cellflow.cli._process",
    },
    # `_warn` finds the line that a warning names.
    "warnings.warn": {"cellflow.core._warn", "cellflow.core._namesake"},
}


def touches_global_state(module: str, call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    if name in PROCESS_WIDE:
        return module not in PROCESS_WIDE[name]
    if name == "print":
        return unit(module) != "cli"
    if name in TORCH_RANDOM:
        return "generator" not in {k.arg for k in call.keywords}
    if re.fullmatch(r"np\.random\.\w+", name):
        return name not in NUMPY_RANDOM
    return name in GLOBAL_STATE


def test_p8_nothing_touches_global_state() -> None:
    """No global generators, warning filters, rcParams, precisions or threads, and no printing
    outside the command line.
    """
    wrong = []
    for path in MODULES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                bad = touches_global_state(name_of(path), node)
            elif isinstance(node, ast.Assign | ast.AugAssign):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                bad = "rcParams" in ast.unparse(target)
            else:
                bad = False
            if bad:
                wrong.append(f"{name_of(path)}, line {node.lineno}: {ast.unparse(node)[:60]}")
    assert not wrong, listed(wrong)


@pytest.mark.parametrize(
    ("module", "code", "bad"),
    [
        ("cellflow.paths.linear", "torch.randn(3)", True),
        ("cellflow.paths.linear", "torch.randn(3, generator=generator)", False),
        ("cellflow.paths.linear", "np.random.normal()", True),
        ("cellflow.paths.linear", "np.random.default_rng(0)", False),
        ("cellflow.paths.linear", "torch.manual_seed(0)", True),
        ("cellflow.paths.linear", "warnings.warn('x')", True),
        ("cellflow.core._warn", "warnings.warn('x')", False),
        ("cellflow.paths.linear", "print('x')", True),
        ("cellflow.cli", "print('x')", False),
    ],
)
def test_the_search_for_global_state_finds_it(module: str, code: str, bad: bool) -> None:
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    assert touches_global_state(module, call) is bad


def test_no_paths_of_a_machine() -> None:
    tracked = [
        *MODULES,
        *sorted((ROOT / "tests").rglob("*.py")),
        *ROOT.glob("*.md"),
        *ROOT.glob("*.toml"),
    ]
    pattern = re.compile(r"(?<![\w.<])/(?:work|tmp|home|root|Users|mnt)/\w")
    assert not [
        f"{p.name}: {m.group()}"
        for p in tracked
        for m in pattern.finditer(p.read_text(encoding="utf-8"))
    ]


# Laziness -----------------------------------------------------------------------------------------

HEAVY = ["anndata", "matplotlib", "numba", "ot", "pandas", "scanpy", "scipy", "sklearn", "torch"]


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("cellflow", [*HEAVY, "numpy"]),
        ("cellflow.errors", [*HEAVY, "numpy"]),
        ("cellflow.core.population", HEAVY),
        ("cellflow.core.plans", HEAVY),
        ("cellflow.couplings", ["anndata", "matplotlib", "scanpy", "torch"]),
        ("cellflow.paths", ["anndata", "matplotlib", "scanpy"]),
        ("cellflow.model.flow", ["anndata", "matplotlib", "scanpy"]),
        ("cellflow.adapter", ["matplotlib", "scanpy", "torch"]),
        ("cellflow.bench", ["matplotlib", "scanpy", "torch"]),
        ("cellflow.datasets", ["matplotlib", "scanpy", "torch"]),
        ("cellflow.interop", ["matplotlib", "scanpy", "torch"]),
        ("cellflow.pl", ["matplotlib", "scanpy", "torch"]),
        ("cellflow.tl", ["matplotlib", "scanpy", "torch"]),
        ("cellflow.cli", [*HEAVY, "numpy"]),
    ],
)
def test_laziness(module: str, unwanted: list[str]) -> None:
    loaded = run(f"import sys, {module}; print(*(m for m in {unwanted} if m in sys.modules))")
    assert not loaded, f"import {module} loads {loaded}"


@pytest.mark.parametrize("module", ["adapter", "datasets", "get", "interop", "pl", "pp"])
def test_the_door_and_the_pictures_work_without_torch(module: str) -> None:
    run(
        "import sys; sys.modules['torch'] = None\n"
        f"import cellflow.{module} as module\n"
        "[getattr(module, name) for name in getattr(module, '__all__', ())]"
    )


# Public conventions -------------------------------------------------------------------------------


def functions(family: str) -> dict[str, ast.FunctionDef]:
    """Definitions of the public functions of `cellflow.<family>`, by name."""
    home = PACKAGE / family
    files = sorted(home.glob("*.py")) if home.is_dir() else [home.with_suffix(".py")]
    defined = {
        node.name: node
        for path in files
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef)
    }
    return {
        name: defined[name]
        for name in import_module(f"cellflow.{family}").__all__
        if name in defined
    }


#: What is asked of the literature's data, not of the caller's.
ON_NO_ANNDATA = {("bench", "literature")}
#: What is about two things of one kind: regulators and targets.
TWO_SUBJECTS = {("tl", "jacobian"), ("tl", "least_action_path")}
#: What a figure returns: its Axes, a list of them where there are several panels.
AXES = {"Axes", "list[Axes]", "Axes | list[Axes]"}
#: Other figures: with the table that is drawn, and a moving one or its file.
AXES |= {"tuple[Axes, pd.DataFrame]", "FuncAnimation | Path"}
ON_ANNDATA = [
    (family, name, definition)
    for family in ("bench", "get", "interop", "pl", "pp", "tl")
    for name, definition in functions(family).items()
    if (family, name) not in ON_NO_ANNDATA
]


def unlike_the_others(family: str, definition: ast.FunctionDef) -> Iterator[str]:
    """What is unusual in the signature of a function on AnnData."""
    positional = [a.arg for a in (*definition.args.posonlyargs, *definition.args.args)]
    named = {a.arg for a in definition.args.kwonlyargs}
    if positional[0] != "adata":
        yield "`adata` is not the first argument"
    if len(positional) > 2 + ((family, definition.name) in TWO_SUBJECTS):
        yield "more than two positional arguments"
    if definition.args.vararg or definition.args.kwarg:
        yield "passes arguments through"
    if family in {"bench", "tl", "get"} and not {"key", "key_added"} & named:
        yield "neither key= (which fit is meant) nor key_added= (where the result goes)"
    if family == "pl" and "ax" not in named:
        yield "no ax="
    returns = ast.unparse(definition.returns or ast.Constant(None)).strip("'\"")
    if family == "pl" and returns not in AXES:
        yield f"returns {returns} instead of one of {sorted(AXES)}"


def test_functions_on_anndata_look_alike() -> None:
    """`adata` first, at most two positional, the rest after `*`; a key to tell two fits apart;
    nothing passed through.
    """
    wrong = [
        f"cellflow.{family}.{name}: {what}"
        for family, name, definition in ON_ANNDATA
        for what in unlike_the_others(family, definition)
    ]
    assert not wrong, listed(wrong)
    assert len(ON_ANNDATA) > 20


def unannotated(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """What lacks an annotation in a definition, and what it passes on unread."""
    if node.returns is None and node.name != "__init__":
        yield "no return annotation"
    every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    bare = {a.arg for a in every if a.annotation is None} - {"self", "cls"}
    if bare:
        yield f"no annotation of {sorted(bare)}"
    calls = [call for call in ast.walk(node) if isinstance(call, ast.Call)]
    passed = {ast.unparse(k.value) for call in calls for k in call.keywords if not k.arg}
    if node.args.kwarg is not None and node.args.kwarg.arg in passed:
        yield f"passes **{node.args.kwarg.arg} on"


#: Decorators of public functions, which have the signature of the function that they decorate.
DECORATORS = {"cellflow.core._settings.call", "cellflow.core._deprecated.call"}


def test_everything_is_annotated_and_nothing_passes_kwargs_on() -> None:
    wrong = [
        f"{name_of(path)}.{node.name}, line {node.lineno}: {what}"
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and f"{name_of(path)}.{node.name}" not in DECORATORS
        for what in unannotated(node)
    ]
    assert not wrong, listed(wrong)


def isort_style(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


def test_all_is_sorted_and_true() -> None:
    wrong = []
    for path in MODULES:
        module = import_module(name_of(path))
        declared = getattr(module, "__all__", None)
        if declared is None:
            wrong += [
                f"{name_of(path)}: {node.name} is public, and the module has no __all__"
                for node in tree(path).body
                if isinstance(node, ast.ClassDef | ast.FunctionDef)
                and not node.name.startswith("_")
            ]
            continue
        if list(declared) != sorted(declared, key=isort_style):
            wrong.append(f"{name_of(path)}: __all__ is not sorted")
        wrong += [
            f"{name_of(path)}: {name!r} of __all__ is missing"
            for name in declared
            if not hasattr(module, name)
        ]
    assert not wrong, listed(wrong)


def test_every_public_function_is_documented() -> None:
    wrong = [
        f"{name_of(path)}: no docstring"
        for path in MODULES
        if tree(path).body and not ast.get_docstring(tree(path))
    ]
    for path in MODULES:
        module = import_module(name_of(path))
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if (inspect.isfunction(value) or inspect.isclass(value)) and not inspect.getdoc(value):
                wrong.append(f"{name_of(path)}.{name}: no docstring")
    assert not wrong, listed(wrong)


# Sizes and words ----------------------------------------------------------------------------------

#: Modules above 300 lines, with the reason.
LONG_MODULES: dict[str, str] = {}
#: Functions whose body is above 40 lines, with the reason.
LONG_FUNCTIONS = {
    "cellflow.transport.auction._bid": "a compiled loop, which takes a fifth longer in pieces",
}
#: Modules with lines above 100 characters, with the reason.
LONG_LINES: dict[str, str] = {}
#: Modules that assign a tuple of expressions to a tuple of names, with the reason.
TUPLES: dict[str, str] = {}
#: Modules with a word that is not plain, with the reason.
UNPLAIN = {
    "cellflow.paths": "an old public name that still works, with a warning",
}

#: Words that the package does not use, and what it says instead.
WORDS = {
    "house": "package",
    "room": "folder",
    "rooms": "folders",
    "door": "entrance, or the function's name",
    "doors": "entrances, or the functions' names",
    "told": "given",
    "surveyed": "prepared",
    "somebody": "the caller, or the passive voice",
    "nobody": "the passive voice",
    "anybody": "the passive voice",
    "whoever": "who, or the passive voice",
}


def judge(found: dict[str, str], exceptions: dict[str, str]) -> None:
    """Fail for what breaks a law without being an exception, and for exceptions that are not
    needed.
    """
    wrong = [f"{name}: {what}" for name, what in found.items() if name not in exceptions]
    assert not wrong, listed(wrong)
    unneeded = sorted(set(exceptions) - set(found))
    assert not unneeded, f"remove these exceptions: {unneeded}"


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body without its docstring."""
    assert node.end_lineno is not None
    if ast.get_docstring(node) is None:
        return node.end_lineno - node.body[0].lineno + 1
    assert node.body[0].end_lineno is not None
    return node.end_lineno - node.body[0].end_lineno


def definitions(kind: type | UnionType) -> Iterator[tuple[str, Any]]:
    """Full names and nodes of all definitions of a kind, nested ones too."""
    for path in MODULES:
        for node in ast.walk(tree(path)):
            if isinstance(node, kind):
                yield f"{name_of(path)}.{node.name}", node


def by_module(test: Callable[[str], object]) -> dict[str, str]:
    """Numbers of the lines that `test` is true of, by module."""
    found = {
        name_of(path): [
            str(number)
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            if test(line)
        ]
        for path in MODULES
    }
    return {name: "lines " + ", ".join(lines) for name, lines in found.items() if lines}


def test_no_module_is_long() -> None:
    lengths = {name_of(path): path.read_text(encoding="utf-8").count("\n") for path in MODULES}
    judge({name: f"{n} lines" for name, n in lengths.items() if n > 300}, LONG_MODULES)


#: Lines that these may have; they are read and changed more often than others.
SHORTER = {"cellflow.model.fitting.fit": 30, "cellflow.model.flow.Flow": 250}


def test_no_function_is_long() -> None:
    lengths = [
        (name, body_lines(node))
        for name, node in definitions(ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    judge({name: f"{n} lines" for name, n in lengths if n > SHORTER.get(name, 40)}, LONG_FUNCTIONS)


def test_flow_is_short() -> None:
    flow = dict(definitions(ast.ClassDef))["cellflow.model.flow.Flow"]
    assert flow.end_lineno - flow.lineno < SHORTER["cellflow.model.flow.Flow"]


def test_no_line_is_long() -> None:
    """As the formatter counts: without a comment that only a tool reads."""
    bare = re.compile(r"  # (noqa|type: ignore|fmt: skip).*")
    judge(by_module(lambda line: len(bare.sub("", line)) > 100), LONG_LINES)


def test_one_statement_a_line() -> None:
    """No `a, b = f(x), g(y)`: a swap or an unpacking is one thing, two computations are two."""
    found: dict[str, str] = {}
    for path in MODULES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Assign) and is_pair_of_expressions(node):
                found[name_of(path)] = f"line {node.lineno}: {ast.unparse(node)[:60]}"
    judge(found, TUPLES)


def is_pair_of_expressions(node: ast.Assign) -> bool:
    return isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)


def test_words_are_plain() -> None:
    pattern = re.compile(rf"\b({'|'.join(WORDS)})\b", re.IGNORECASE)
    found = by_module(pattern.search)
    judge({name: f"{where}: one of {sorted(WORDS)}" for name, where in found.items()}, UNPLAIN)


# Tests --------------------------------------------------------------------------------------------

#: Private names that tests replace, with the reason why no public argument can do it.
PATCHED = {
    # Sizes of blocks and tiles: results must not depend on them, and no user chooses them.
    **dict.fromkeys(
        ["_BLOCK", "_CHUNK", "_KEPT_PAIRS", "_PRODUCTS", "_TARGETS", "_TILE"],
        "the data of a test would fit into one block",
    ),
    # Limits of memory, of gigabytes.
    **dict.fromkeys(
        ["_DENSE_LIMIT", "_LIMIT", "_MAX_BYTES"],
        "what is refused would not fit into the memory of a test",
    ),
    # Limits of solvers, beyond which another method takes over or an error is raised.
    **dict.fromkeys(
        ["_LARGE", "_MAX_PIVOTS", "_MAX_RELAXATION", "_ROUNDS", "_WIDE"],
        "a problem that reaches the limit takes minutes",
    ),
    "_TIMEOUT_SECONDS": "a server that does not answer would be waited for",
    "_WAITS": "a folder that stays locked would be waited for",
    "_DPI": "pictures of the full size take most of the time of a report",
    "_ORACLES": "the self-test has no argument for its own checks",
    "_check": "behind the check, an assignment has to fail in the middle of a commit",
    "_checksum": "a record of 0.1.0 is made from one of today",
    "_write": "the position in the file is watched",
}


def patched(path: Path) -> Iterator[str]:
    """Private names that a test file replaces by `setattr(object, "name", value)`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".setattr"):
            for argument in node.args[:2]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    name = argument.value.rpartition(".")[2]
                    if name.startswith("_") and not name.startswith("__"):
                        yield name


def test_tests_replace_public_names_only() -> None:
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    found = {name: path.name for path in files for name in patched(path)}
    judge({name: f"is replaced in {file}" for name, file in found.items()}, PATCHED)
