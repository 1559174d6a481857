"""Findings about the data, as values: errors, warnings, log and `pp.check` are made from them."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, TypeVar

from cellflow.core._warn import warn
from cellflow.errors import InputError, InputWarning

__all__ = ["Examination", "Finding", "Severity", "by_severity", "settle"]

_log = logging.getLogger("cellflow")
T = TypeVar("T")

#: How serious a finding is.
Severity: TypeAlias = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One finding about the data.

    Parameters
    ----------
    key
        Where: `"adata.obs['hours']"`.
    found, expected, remedy
        What is there, what should be, and what to do about it.
    severity
        An `"error"` stops the run, a `"warning"` lets it go on, a `"note"` is only logged.
    kind
        The class that an error is raised as.
    argument
        Argument of the call that the remedy names, if it names one. A call without it gives another
        remedy.
    """

    key: str
    found: str
    expected: str
    remedy: str
    severity: Severity = "error"
    kind: type[InputError] = InputError
    argument: str = ""

    @property
    def message(self) -> str:
        """The sentences that a user reads."""
        return f"{self.key} {self.found}. Expected {self.expected}. {self.remedy}"


#: A check: yields what it finds, and returns what it read, or None where an error made that
#: impossible.
Examination: TypeAlias = Generator[Finding, None, T]


def settle(examination: Examination[T | None], *, again: bool = False, instead: str = "") -> T:
    """Run a check; raise its first error, warn, log its notes, and return what it read.

    Warnings and notes come after the whole check has passed, so that an error comes alone. Where
    data are read `again` after a fit, they are left out, because the fit gave them. A call that
    lacks the argument of a remedy gives the remedy `instead`.

    Raises
    ------
    InputError
        The class that the first error names.
    """
    later: list[Finding] = []
    while True:
        try:
            problem = next(examination)
        except StopIteration as end:
            result: T = end.value  # None only after an error, which was raised
            break
        if instead and problem.argument:
            problem = replace(problem, remedy=instead)
        if problem.severity == "error":
            raise problem.kind(problem.message)
        later.append(problem)
    for problem in [] if again else later:
        if problem.severity == "warning":
            warn(problem.message, InputWarning)
        else:
            _log.info(problem.message)
    return result


def by_severity(examination: Iterable[Finding]) -> Iterator[Finding]:
    """All findings of a check, errors first."""
    order = ("error", "warning", "note")
    return iter(sorted(examination, key=lambda problem: order.index(problem.severity)))
