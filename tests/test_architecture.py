"""The layers of the package, read from its folders: who may import whom, what stays light, how public functions look.

The order of the layers is the list in ARCHITECTURE.md; there is no other copy of it.
"""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

#: Families: their members are alternatives to each other, and share nothing but their `base`.
FAMILIES = {"couplings", "densities", "fields", "metrics", "objectives", "paths", "synthetic"}

#: Files of a family that are no alternatives to each other: what all of them are made of, or what joins them.
SHARED = {"base", "chain", "dynamics", "ladder"}
#: Members that choose among others, or wrap one.
CHOOSERS = {"auto", "dynamics", "minibatch"}

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
MODULES = sorted(PACKAGE.rglob("*.py"))
#: Entries at the top of the package, folders and files.
ENTRIES = sorted({path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES})


def listed_layers() -> list[list[list[str]]]:
    """Rows of the list in ARCHITECTURE.md; each row is steps from left to right, each step is siblings."""
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
    """One imported name: the module, the line, whether only type checkers see it, whether it waits inside a function."""

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
    """Whether the table lets `importer` import `target`; both are full names of modules of the package."""
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
    """Names that remain when everything without a dependency has been taken away, again and again."""
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


# The table ----------------------------------------------------------------------------------------------------------


def test_the_list_in_architecture_md_is_that_of_the_folders() -> None:
    assert sorted(RANK) == ENTRIES


def test_the_top_of_the_package_is_short_and_without_helpers() -> None:
    assert len(ENTRIES) <= 27
    assert [name for name in ENTRIES if name.startswith("_")] == ["__init__", "__main__"]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_obey_the_table(path: Path) -> None:
    importer = name_of(path)
    wrong = [
        f"{importer}, line {i.line}: imports {i.target}"
        for i in imports(path)
        if i.target.split(".")[0] == "cellflow"
        and not allowed(importer, i.target, for_types=i.for_types)
    ]
    assert not wrong


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


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_foreign_packages_stay_where_they_belong(path: Path) -> None:
    module = name_of(path)
    roots = {i.target.split(".")[0]: i for i in imports(path)}
    assert not {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"} & set(roots), (
        "no pickle (promise P6)"
    )
    if unit(module) not in ON_ANNDATA_FOLDERS:
        assert not {"anndata", "scanpy"} & set(roots), (
            "AnnData is known to the adapter and the folders above it only"
        )
    # `_text` only asks which fonts there are.
    drawing = {"cellflow.core._text", "cellflow.cli._demo", "cellflow.report.pictures"}
    if unit(module) != "pl" and module not in drawing:
        assert not {"matplotlib", "seaborn"} & set(roots), "only cellflow.pl and the report draw"
    if module != "cellflow.simulation.ode":
        assert "torchdiffeq" not in roots, (
            "cellflow.simulation.ode is the only importer of torchdiffeq"
        )


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
    "torch.set_default_dtype",
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


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_p8_nothing_touches_global_state(path: Path) -> None:
    """No global generators, warning filters, rcParams, precisions or threads, and no printing outside the command line."""
    module = name_of(path)
    calls = [
        (ast.unparse(n.func), {k.arg for k in n.keywords})
        for n in ast.walk(tree(path))
        if isinstance(n, ast.Call)
    ]
    names = {name for name, _ in calls}
    assert not names & GLOBAL_STATE - (
        {"torch.set_default_dtype"} if module == "cellflow.core._settings" else set()
    )
    assert not {name for name in names if re.fullmatch(r"np\.random\.\w+", name)} - NUMPY_RANDOM
    assert not [
        name for name, keywords in calls if name in TORCH_RANDOM and "generator" not in keywords
    ]
    assert "torch.set_num_threads" not in names or module == "cellflow.core._threads"
    assert "print" not in names or module == "cellflow.cli"
    # Filters belong to the process: one module changes them, one thread at a time. The command line
    # has its process alone.
    filters = {"warnings.catch_warnings", "warnings.filterwarnings", "warnings.simplefilter"}
    assert not names & filters or module in {
        "cellflow.core._settings",
        "cellflow.core._warn",
        "cellflow.cli",
    }
    # The line that a warning names is found by `_warn`, and a benchmark collects what is said that
    # way.
    assert "warnings.warn" not in names or module in {
        "cellflow.core._warn",
        "cellflow.core._namesake",
    }
    changed = [
        n.targets[0] if isinstance(n, ast.Assign) else n.target
        for n in ast.walk(tree(path))
        if is_assignment(n)
    ]
    assert not [t for t in changed if "rcParams" in ast.unparse(t)]


def is_assignment(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign | ast.AugAssign)


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


# Laziness -----------------------------------------------------------------------------------------------------------

HEAVY = ["anndata", "matplotlib", "numba", "ot", "pandas", "scanpy", "scipy", "sklearn", "torch"]


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("cellflow", [*HEAVY, "numpy"]),
        ("cellflow.errors", [*HEAVY, "numpy"]),
        ("cellflow.core.population", HEAVY),
        ("cellflow.core.plan", HEAVY),
        ("cellflow.couplings", ["anndata", "matplotlib", "scanpy", "torch"]),
        ("cellflow.paths", ["anndata", "matplotlib", "scanpy"]),
        ("cellflow.model.flow", ["anndata", "matplotlib", "scanpy"]),
        ("cellflow.adapter", ["matplotlib", "scanpy", "torch"]),
        ("cellflow.bench", ["matplotlib", "scanpy", "torch"]),
        ("cellflow.datasets", ["matplotlib", "scanpy", "torch"]),
        ("cellflow.pl", ["matplotlib", "scanpy", "torch"]),
        ("cellflow.tl", ["matplotlib", "scanpy", "torch"]),
        ("cellflow.cli", [*HEAVY, "numpy"]),
    ],
)
def test_laziness(module: str, unwanted: list[str]) -> None:
    loaded = run(f"import sys, {module}; print(*(m for m in {unwanted} if m in sys.modules))")
    assert not loaded, f"import {module} loads {loaded}"


@pytest.mark.parametrize("module", ["adapter", "datasets", "get", "pl", "pp"])
def test_the_door_and_the_pictures_work_without_torch(module: str) -> None:
    run(
        "import sys; sys.modules['torch'] = None\n"
        f"import cellflow.{module} as module\n"
        "[getattr(module, name) for name in getattr(module, '__all__', ())]"
    )


# Public conventions -------------------------------------------------------------------------------------------------


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
ON_ANNDATA = [
    (family, name)
    for family in ("bench", "get", "pl", "pp", "tl")
    for name in functions(family)
    if (family, name) not in ON_NO_ANNDATA
]


@pytest.mark.parametrize(("family", "name"), ON_ANNDATA)
def test_functions_on_anndata_look_alike(family: str, name: str) -> None:
    """`adata` first, at most two positional, the rest after `*`; a key to tell two fits apart; nothing passed through."""
    definition = functions(family)[name]
    positional = [a.arg for a in (*definition.args.posonlyargs, *definition.args.args)]
    named = [a.arg for a in definition.args.kwonlyargs]
    assert positional[0] == "adata"
    assert len(positional) <= 2
    assert definition.args.vararg is None
    assert definition.args.kwarg is None
    if family in {"bench", "tl", "get"}:
        assert {"key", "key_added"} & set(named), "which fit is meant, or where the result goes"
    if family == "pl":
        assert "ax" in named
        assert ast.unparse(definition.returns or ast.Constant(None)).strip("'\"") == "Axes"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_everything_is_annotated_and_nothing_passes_kwargs_on(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        where = f"{name_of(path)}.{node.name}"
        assert node.returns is not None or node.name == "__init__", (
            f"{where} has no return annotation"
        )
        bare = [
            a.arg
            for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            if a.annotation is None
        ]
        assert not set(bare) - {"self", "cls"}, f"{where}: {bare}"
        passed = {
            ast.unparse(k.value)
            for call in ast.walk(node)
            if isinstance(call, ast.Call)
            for k in call.keywords
            if not k.arg
        }
        # These decorators have the signature of the function that they decorate.
        through = node.args.kwarg is not None and node.args.kwarg.arg in passed
        decorators = {"cellflow.core._settings.call", "cellflow.core._deprecated.call"}
        assert not through or where in decorators, f"{where} passes **{passed} on"


def isort_style(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_all_is_sorted_and_true(path: Path) -> None:
    module = import_module(name_of(path))
    declared = getattr(module, "__all__", None)
    if declared is None:
        assert not any(
            isinstance(n, ast.ClassDef | ast.FunctionDef) and not n.name.startswith("_")
            for n in tree(path).body
        )
        return
    assert list(declared) == sorted(declared, key=isort_style)
    assert not [name for name in declared if not hasattr(module, name)]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_public_function_is_documented(path: Path) -> None:
    assert ast.get_docstring(tree(path)) or not tree(path).body, "a file says what its one idea is"
    module = import_module(name_of(path))
    public = [getattr(module, name) for name in getattr(module, "__all__", ())]
    silent = [
        f.__name__
        for f in public
        if (inspect.isfunction(f) or inspect.isclass(f)) and not inspect.getdoc(f)
    ]
    assert not silent
