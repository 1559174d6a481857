"""Print which layer imports which, and the number of import arrows between them.

    python tools/imports.py [PACKAGE] [--table]

A layer is an entry at the top of the package. An arrow is an ordered pair of layers, of which the
first imports something from the second; imports for type checkers count too. With `--table`, one
line for each layer names what it imports.
"""

from __future__ import annotations

import argparse
import ast
from collections import defaultdict
from pathlib import Path


def imported(path: Path, package: str) -> set[str]:
    """Full names of everything that a file imports from the package."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith(f"{package}.")}


def arrows(root: Path) -> dict[str, set[str]]:
    """Entries at the top of the package that each of them imports from."""
    entries = {path.stem for path in root.glob("*.py")} | {
        path.name for path in root.iterdir() if path.is_dir()
    }
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(root.rglob("*.py")):
        entry = path.relative_to(root).parts[0].removesuffix(".py")
        targets = {name.split(".")[1] for name in imported(path, root.name)}
        found[entry] |= (targets & entries) - {entry}
    return dict(found)


def main() -> None:
    """Print the number of arrows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "package", nargs="?", default=Path(__file__).parents[1] / "cellflow", type=Path
    )
    parser.add_argument("--table", action="store_true", help="also what each entry imports")
    options = parser.parse_args()
    found = arrows(options.package.resolve())
    if options.table:
        for entry, targets in sorted(found.items()):
            print(f"{entry:12s} {' '.join(sorted(targets))}")
    print(f"{len(found)} entries, {sum(map(len, found.values()))} arrows")


if __name__ == "__main__":
    main()
