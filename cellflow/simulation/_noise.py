"""Noise of each cell, by the seed and the cell's key; other cells do not change it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from cellflow.errors import InputError

__all__ = ["Key", "normal_steps", "philox"]

#: Non-negative integers, the key of one cell's noise.
Key: TypeAlias = "tuple[int, ...]"
#: Multipliers and increments of the keys of Philox 4x32, and its rounds.
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_INCREMENTS = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_PHILOX_ROUNDS = 10
_WORD = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
#: Numbers of one block.
_BLOCK_WORDS = 4


def normal_steps(
    seed: int, keys: Sequence[Key] | np.ndarray, width: int, n_steps: int, n_dims: int
) -> Iterator[Tensor]:
    """Standard normal numbers of each step, shape `(width, n_dims)`; rows beyond the keys zero.

    Numbers are a function of seed, key, step and dimension (Philox, and the transform of Box and
    Muller), so that the noise of many cells takes no longer than a pass over an array.

    Parameters
    ----------
    seed
        Below 2**63.
    keys
        One for each row, all of one length: tuples of non-negative integers below 2**64, or an
        array of them, shape `(n, m)`.
    width, n_steps, n_dims
        Numbers of rows, steps and dimensions.

    References
    ----------
    Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011.
    """
    named = _hashed(keys)
    key = (named & _WORD, named >> _HALF)
    blocks = np.arange(-(-n_dims // _BLOCK_WORDS), dtype=np.uint64)
    origin = (np.uint64(seed) & _WORD, np.uint64(seed) >> _HALF)
    shape = (len(named), len(blocks))
    for step in range(n_steps):
        counter = (
            np.broadcast_to(blocks, shape),
            np.full(shape, step, dtype=np.uint64),
            *(np.full(shape, word) for word in origin),
        )
        drawn = _normal(philox(counter, (key[0][:, None], key[1][:, None])))
        noise = np.zeros((width, n_dims), dtype=np.float32)
        noise[: len(named)] = drawn[:, :n_dims]
        yield torch.from_numpy(noise)


def philox(counter: Sequence[np.ndarray], key: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Four words of 32 random bits each, of a counter of four words and a key of two.

    Words are held as uint64, so that products do not overflow.
    """
    a, b, c, d = counter
    low, high = key
    for _ in range(_PHILOX_ROUNDS):
        first = _MULTIPLIERS[0] * a
        second = _MULTIPLIERS[1] * c
        a = (second >> _HALF) ^ b ^ low
        b = second & _WORD
        c = (first >> _HALF) ^ d ^ high
        d = first & _WORD
        low = (low + _INCREMENTS[0]) & _WORD
        high = (high + _INCREMENTS[1]) & _WORD
    return [a, b, c, d]


def _normal(words: Sequence[np.ndarray]) -> np.ndarray:
    """Standard normal numbers of random words, each `(n, b)`, as float32 of shape `(n, 4 b)`."""
    uniform = [((word + 0.5) * 2.0**-32).astype(np.float32) for word in words]
    found = np.empty((*uniform[0].shape, _BLOCK_WORDS), dtype=np.float32)
    for place in (0, 2):
        radius = np.sqrt(np.float32(-2.0) * np.log(uniform[place]))
        angle = np.float32(2.0 * np.pi) * uniform[place + 1]
        found[..., place] = radius * np.cos(angle)
        found[..., place + 1] = radius * np.sin(angle)
    return found.reshape(len(found), -1)


def _hashed(keys: Sequence[Key] | np.ndarray) -> np.ndarray:
    """One number of 64 bits for each key, shape `(n,)`.

    Raises
    ------
    InputError
        Keys that are no non-negative integers, or of several lengths.
    """
    expected = "expected one tuple of non-negative integers for each cell, all of one length."
    try:
        columns = np.asarray(keys if len(keys) else np.empty((0, 1)), dtype=np.uint64)
    except (TypeError, ValueError, OverflowError) as cause:
        msg = f"keys cannot be read ({cause}); {expected}"
        raise InputError(msg) from cause
    if columns.ndim != 2:
        msg = f"keys have the shape {columns.shape}; {expected}"
        raise InputError(msg)
    named = np.zeros(len(columns), dtype=np.uint64)
    for column in columns.T:
        named = _mixed((named + np.uint64(0x9E3779B97F4A7C15)) ^ _mixed(column))
    return named


def _mixed(x: np.ndarray) -> np.ndarray:
    """Mix the bits of numbers (the finalizer of SplitMix64, a bijection)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
