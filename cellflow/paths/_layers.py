"""Prepares a path that corrects others from the inside out, with a progress bar."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

from cellflow.core._progress import is_shown
from cellflow.core.population import Pairs
from cellflow.paths.base import Path, Wrapper, as_path
from cellflow.paths.chain import Chains

__all__ = ["prepare"]


@dataclass(frozen=True, eq=False)
class _Ready(Path):
    """A path that is prepared already, in the place of the same path before."""

    path: Path

    @property
    def sigma(self) -> float | Literal["auto"]:
        return self.path.sigma

    @property
    def generates(self) -> bool:
        return self.path.generates

    def mean(self, t: Tensor, pairs: Pairs) -> Tensor:
        return self.path.mean(t, pairs)

    def std(self, t: Tensor, pairs: Pairs) -> Tensor:
        return self.path.std(t, pairs)

    def prepared(self, chains: Chains) -> Path:  # noqa: ARG002 (the protocol of every path)
        return self.path

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Path:
        return self.path.to(device, dtype)


def prepare(path: Path, chains: Chains, *, progress: bool | None = False) -> Path:
    """Prepare the innermost path first, then each correction on what it corrects.

    The result is that of `path.prepared(chains)`. The bar names the correction that is computed.

    Parameters
    ----------
    path
        Of a resolved recipe.
    chains
        The snapshots with their plans.
    progress
        Whether to show a bar; None shows it on a terminal or in a notebook only.
    """
    layers = [path]
    while isinstance(layers[-1], Wrapper):
        layers.append(layers[-1].inner)
    with tqdm(desc="paths", total=len(layers), unit="path", disable=not is_shown(progress)) as bar:
        made: Path | None = None
        for layer in reversed(layers):
            bar.set_postfix_str(type(layer).__name__)
            if made is not None and isinstance(layer, Wrapper):
                layer = replace(layer, path=_Ready(made))
            made = as_path(layer).prepared(chains)
            bar.update()
    assert made is not None
    return made
