"""Random numbers of torch from a generator of their own, also where code of others asks for none in particular."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["Drawing"]

#: Functions and methods of torch, `torch.nn.init` included, that take a generator.
_GIVEN_ONE = frozenset(
    {
        "bernoulli",
        "bernoulli_",
        "binomial",
        "cauchy_",
        "exponential_",
        "geometric_",
        "kaiming_normal_",
        "kaiming_uniform_",
        "log_normal_",
        "multinomial",
        "normal",
        "normal_",
        "orthogonal_",
        "poisson",
        "rand",
        "randint",
        "randn",
        "random_",
        "randperm",
        "sparse_",
        "trunc_normal_",
        "uniform_",
        "xavier_normal_",
        "xavier_uniform_",
    }
)
#: Those that draw from torch's global generator and cannot be given another one.
_GIVEN_NONE = frozenset(
    {
        "_standard_gamma",
        "alpha_dropout",
        "alpha_dropout_",
        "dropout",
        "dropout1d",
        "dropout2d",
        "dropout3d",
        "dropout_",
        "feature_alpha_dropout",
        "feature_alpha_dropout_",
        "feature_dropout",
        "feature_dropout_",
        "fractional_max_pool2d",
        "fractional_max_pool3d",
        "gumbel_softmax",
        "multi_head_attention_forward",
        "native_dropout",
        "rand_like",
        "randint_like",
        "randn_like",
        "rrelu",
        "rrelu_",
        "scaled_dot_product_attention",
    }
)
#: The global generator is lent to one thread at a time.
_LENT = threading.Lock()


class Drawing(TorchFunctionMode):
    """In this block and thread, whatever torch draws on the CPU comes from a generator of this block.

    Networks, those of users and of other packages too, initialise their weights without naming a
    generator. This block names it for them, so that the global generator neither moves nor decides.
    The few functions that take none get the global one with the state of ours, for the length of
    the call.

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
