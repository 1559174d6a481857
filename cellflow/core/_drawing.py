"""Random numbers of torch from a generator of our own, also in code that uses the global one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["Drawing"]

#: Functions and methods of torch, `torch.nn.init` included, that take a generator.
_GIVEN_ONE = frozenset(
    """
    bernoulli bernoulli_ binomial cauchy_ exponential_ geometric_ kaiming_normal_
    kaiming_uniform_ log_normal_ multinomial normal normal_ orthogonal_ poisson rand randint
    randn random_ randperm sparse_ trunc_normal_ uniform_ xavier_normal_ xavier_uniform_
    """.split()  # noqa: SIM905 (one name a line would take forty)
)
#: Functions that draw from torch's global generator and take no other.
_GIVEN_NONE = frozenset(
    """
    _standard_gamma alpha_dropout alpha_dropout_ dropout dropout1d dropout2d dropout3d dropout_
    feature_alpha_dropout feature_alpha_dropout_ feature_dropout feature_dropout_
    fractional_max_pool2d fractional_max_pool3d gumbel_softmax multi_head_attention_forward
    native_dropout rand_like randint_like randn_like rrelu rrelu_ scaled_dot_product_attention
    """.split()  # noqa: SIM905 (one name a line would take forty)
)
#: Held while the global generator has the state of ours.
_LENT = threading.Lock()


class Drawing(TorchFunctionMode):
    """Block in which torch draws random numbers on the CPU from a generator of the block.

    Networks initialise their weights from the global generator. In this block and thread they use
    the block's generator instead, and the global one does not change. Functions that take no
    generator use the global one, which has the state of ours during the call.

    Parameters
    ----------
    seed
        Of the generator, from 0 to 2**63 - 1.

    Examples
    --------
    >>> before = torch.get_rng_state()
    >>> with Drawing(7):
    ...     first = torch.nn.Linear(2, 3)
    >>> with Drawing(7):
    ...     second = torch.nn.Linear(2, 3)
    >>> bool((first.weight == second.weight).all()), torch.equal(before, torch.get_rng_state())
    (True, True)
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator("cpu")
        self.generator.manual_seed(seed)
        #: Whether anything was drawn.
        self.used = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, with our generator if it draws."""
        options = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _GIVEN_ONE and options.get("generator") is None:
            self.used = True
            return func(*args, **options | {"generator": self.generator})
        if name in _GIVEN_NONE:
            self.used = True
            return self._lent(func, args, options)
        return func(*args, **options)

    def _lent(
        self, func: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        shared = torch.default_generator
        with _LENT:
            before = shared.get_state()
            shared.set_state(self.generator.get_state())
            try:
                return func(*args, **options)
            finally:
                self.generator.set_state(shared.get_state())
                shared.set_state(before)
