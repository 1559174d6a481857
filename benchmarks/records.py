"""Rows of a benchmark in a file of JSON lines, from which a script resumes; tables in Markdown."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

Row = Mapping[str, Any]


class Records:
    """Rows that are kept in a file, if there is one.

    Parameters
    ----------
    path
        The file; rows that it holds are read. None keeps rows in memory only.
    key
        Fields that tell what was computed before.
    """

    def __init__(self, path: Path | None, key: Iterable[str] = ()) -> None:
        self.path = path
        self.key = tuple(key)
        there = path is not None and path.exists()
        self.rows: list[Row] = (
            [json.loads(line) for line in path.read_text().splitlines()] if path and there else []
        )

    def __contains__(self, values: tuple[Any, ...]) -> bool:
        """Whether there is a row with these values of the key."""
        return any(tuple(row.get(name) for name in self.key) == values for row in self.rows)

    def add(self, *rows: Row) -> None:
        """Keep rows, at once."""
        self.rows += rows
        if self.path is not None:
            with self.path.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)

    def frame(self, unique: Iterable[str] = ()) -> pd.DataFrame:
        """All rows as a table; of rows that agree in `unique`, the last one."""
        table = pd.DataFrame(self.rows)
        columns = list(unique)
        return table.drop_duplicates(columns, keep="last") if columns and len(table) else table


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose help keeps the lines of a script's docstring."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def markdown(table: pd.DataFrame) -> None:
    """Print a table with its index as the first column."""
    names = [
        " ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in table.index
    ]
    print("| |" + "|".join(map(str, table.columns)) + "|")
    print("|---" * (len(table.columns) + 1) + "|")
    for name, values in zip(names, table.to_numpy(), strict=True):
        print(f"| {name} | " + " | ".join("" if v != v else str(v) for v in values) + " |")
