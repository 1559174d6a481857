"""Old spellings of public calls, which stay valid for one version and give a FutureWarning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any, ParamSpec, TypeVar

from cellflow.core._warn import warn
from cellflow.errors import InputTypeError

__all__ = ["Elsewhere", "Moved", "Renamed", "accepts"]

P = ParamSpec("P")
R = TypeVar("R")

_UNTIL = "The old spelling is valid until the next version."


@dataclass(frozen=True)
class Renamed:
    """A keyword with a new name.

    Parameters
    ----------
    name
        The new name.
    """

    name: str

    def __call__(self, old: str, value: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the call in their new spelling."""
        if self.name in arguments:
            msg = (
                f"{old}= and {self.name}= were both passed; {self.name}= is the new name of"
                f" {old}=. Pass {self.name}= only."
            )
            raise InputTypeError(msg)
        return {**arguments, self.name: value}

    def instead(self, call: str) -> str:
        """What to write now."""
        return f"{call}({self.name}=...)"


@dataclass(frozen=True)
class Moved:
    """A keyword that no longer exists, because its value belongs to another argument.

    Parameters
    ----------
    to
        What to pass now, as code: `"method=recipe.with_scale(...)"`.
    move
        `(value, arguments) -> arguments`: the arguments of the call in their new spelling.
    """

    to: str
    move: Callable[[Any, dict[str, Any]], dict[str, Any]]

    def __call__(self, _old: str, value: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the call in their new spelling."""
        return self.move(value, arguments)

    def instead(self, call: str) -> str:
        """What to write now."""
        return f"{call}({self.to})"


@dataclass(frozen=True)
class Elsewhere:
    """A keyword that made a call do what another function does now; None stands for its absence.

    Parameters
    ----------
    call
        The new call, as code: `"cf.tl.simulate(adata, cells=...)"`.
    function
        The other function, which takes the same arguments.
    without
        Arguments that it does not take, and that had no effect beside this keyword.
    """

    call: str
    function: Callable[..., Any]
    without: tuple[str, ...] = ()

    def instead(self, _call: str) -> str:
        """What to write now."""
        return self.call


def accepts(
    *, positional: tuple[str, ...] = (), **old: Renamed | Moved | Elsewhere
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a public function accept old spellings of its arguments, each with a FutureWarning.

    The warning names the new spelling and the line of the caller. The signature and the annotations
    of the function stay those of the new spelling.

    Parameters
    ----------
    positional
        Names of keyword-only arguments that could be passed by position, after those that still
        can, in their order.
    old
        By the name of an old keyword: what it is now.

    Examples
    --------
    >>> import warnings
    >>> @accepts(color=Renamed("colour"))
    ... def draw(*, colour: str = "black") -> str:
    ...     return colour
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     draw(color="red")
    'red'
    >>> str(caught[0].message)
    'draw(color=...) is now draw(colour=...). The old spelling is valid until the next version.'
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        allowed = sum(
            p.kind is Parameter.POSITIONAL_OR_KEYWORD
            for p in signature(function).parameters.values()
        )

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if len(args) <= allowed and not old.keys() & kwargs.keys():
                return function(*args, **kwargs)
            chosen, arguments = _respelled(function, args, kwargs, allowed, positional, old)
            result: R = chosen(**arguments)
            return result

        # `wraps` does not copy them, and `guarded` does.
        kwdefaults = getattr(function, "__kwdefaults__", None)
        call.__kwdefaults__ = kwdefaults  # type: ignore[attr-defined]
        return call

    return decorated


def _respelled(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    allowed: int,
    positional: tuple[str, ...],
    old: dict[str, Renamed | Moved | Elsewhere],
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The function that a call in an old spelling means, with its arguments by name."""
    name = function.__name__
    rest = {key: value for key, value in kwargs.items() if key not in old}
    beyond = args[allowed:]
    moved = dict(zip(positional, beyond, strict=False))
    given = dict(zip(signature(function).parameters, args[:allowed], strict=False)) | moved
    if len(beyond) > len(positional) or rest.keys() & given.keys():
        function(*args, **kwargs)  # raises the TypeError of Python
    arguments = given | rest
    if moved:
        before = ", ".join(["...", *moved])
        now = ", ".join(["...", *(f"{key}=..." for key in moved)])
        warn(f"{name}({before}) is now {name}({now}). {_UNTIL}", FutureWarning)
    chosen = function
    for key in old.keys() & kwargs.keys():
        change = old[key]
        warn(f"{name}({key}=...) is now {change.instead(name)}. {_UNTIL}", FutureWarning)
        if not isinstance(change, Elsewhere):
            arguments = change(key, kwargs[key], arguments)
        elif kwargs[key] is not None:
            chosen = change.function
            kept = {name: v for name, v in arguments.items() if name not in change.without}
            arguments = kept | {key: kwargs[key]}
    return chosen, arguments
