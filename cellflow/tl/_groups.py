"""Groups of cells in a column of `obs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from cellflow.adapter.columns import column_of
from cellflow.adapter.findings import settle
from cellflow.core._typing import FloatArray, IntArray
from cellflow.errors import InputError, closest

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Groups"]

#: Groups that a message lists.
_LISTED = 10


@dataclass(frozen=True, eq=False)
class Groups:
    """The group of each cell.

    Parameters
    ----------
    column
        The column of `obs`.
    of_cells
        Groups as text, empty for cells without one, shape `(n,)`.
    """

    column: str
    of_cells: np.ndarray

    @classmethod
    def read(cls, adata: AnnData, column: str) -> Self:
        """Read a column.

        Raises
        ------
        MissingKeyError
            There is no such column.
        InputError
            Several columns have this name.
        """
        values = settle(column_of(adata, column, "groupby"))
        names = values.astype(object).map(cls.name).to_numpy(dtype=object)
        return cls(column, np.where(values.isna().to_numpy(), "", names).astype(object))

    @staticmethod
    def name(group: object) -> str:
        """A group as text; numbers by their value, so that 24 and 24.0 are one group."""
        if isinstance(group, float | np.floating) and group.is_integer():
            return str(int(group))
        return str(group)

    def rows(self, group: str, argument: str) -> IntArray:
        """Rows of a group.

        Raises
        ------
        InputError
            No cell has it; the message names the argument.
        """
        rows: IntArray = np.flatnonzero(self.of_cells == group)
        if len(rows) == 0:
            known = self._names()
            more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
            msg = (
                f"{argument}={group!r} is no group of adata.obs[{self.column!r}]. Expected one of"
                f" {known[:_LISTED]}{more}{closest(group, known)}."
            )
            raise InputError(msg)
        return rows

    def others(self, x: FloatArray, *groups: str) -> dict[str, FloatArray]:
        """Positions of the cells of all other groups, by group."""
        return {name: x[self.of_cells == name] for name in self._names() if name not in groups}

    def _names(self) -> list[str]:
        return sorted(set(self.of_cells[self.of_cells != ""]))
