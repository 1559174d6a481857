"""The table of findings, which prints and shows itself in full."""

from __future__ import annotations

import pandas as pd

from cellflow.core._display import html_table, text_table

__all__ = ["COLUMNS", "Findings"]

#: Columns of the table, all text.
COLUMNS = ["severity", "key", "found", "expected", "remedy"]
_NOTHING = "No errors, warnings or notes."


class Findings(pd.DataFrame):
    """A DataFrame whose text and HTML have every row and word.

    Examples
    --------
    >>> Findings(columns=COLUMNS)
    No errors, warnings or notes.
    """

    @property
    def _constructor(self) -> type[Findings]:
        return Findings

    @property
    def _is_whole(self) -> bool:
        """Whether the columns are those of findings; of others, pandas makes the text."""
        return list(self.columns) == COLUMNS

    def __repr__(self) -> str:
        if not self._is_whole:
            return super().__repr__()
        if self.empty:
            return _NOTHING
        return text_table(COLUMNS, self.astype(str).to_numpy().tolist())

    def _repr_html_(self) -> str | None:
        if not self._is_whole:
            return pd.DataFrame(self)._repr_html_()  # type: ignore[operator,no-any-return]
        if self.empty:
            return f"<p>{_NOTHING}</p>"
        rows = self.astype(str).to_numpy().tolist()
        return html_table(COLUMNS, rows, bold="error")
