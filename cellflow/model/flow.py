"""A fitted flow: what can be asked of it, and how it is kept."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cellflow import fields as networks
from cellflow.core._devices import choose_device
from cellflow.core._drawing import Drawing
from cellflow.core._files import (
    as_path,
    folder_lock,
    is_temporary,
    make_folder,
    output_errors,
    resolved,
    synced,
    write_bytes,
)
from cellflow.core._numbers import as_array, as_count, as_number, is_integer
from cellflow.core._random import as_seed, stream
from cellflow.core._rows import Rows
from cellflow.core._settings import guarded
from cellflow.core._stored import Stored, require_weights
from cellflow.core._threads import torch_threads
from cellflow.core._typing import FloatArray, IntArray, RandomState
from cellflow.core._version import __version__
from cellflow.core.decoder import Decoder
from cellflow.core.frame import Frame
from cellflow.core.population import Clock
from cellflow.errors import InputError, IntegrationError, ModelFileError, OutputError, naming_cells
from cellflow.fields import AtNoise, NoiseConditional
from cellflow.fields.base import Builder
from cellflow.fields.dynamics import Dynamics
from cellflow.fields.ladder import Ladder, Moments
from cellflow.simulation import (
    Method,
    Scheme,
    Trajectories,
    annealed_langevin,
    integrate,
    integrate_sde,
)
from cellflow.simulation.langevin import LevelScore
from cellflow.simulation.trajectories import joined
from cellflow.training import History

__all__ = ["Flow"]

#: Number of the layout that `Flow.state` returns; grows when the layout changes.
FORMAT = 2
#: Steps of a fixed-step solver per mean interval between snapshots.
_STEPS_PER_UNIT = 20
#: Of a stochastic one.
_NOISY_STEPS_PER_UNIT = 25
_WEIGHTS = "dynamics."
_HISTORY = "history."
_DECODER = "decoder."
_CONFIG_FILE = "flow.json"
_ARRAY_FILE = "flow.safetensors"
#: Context features of a stored flow at most; their weights are compared with the file before there
#: is memory for them.
_MOST_CONTEXT = 10**6


@dataclass(frozen=True, eq=False)
class Flow:
    """A fitted dynamics: what `fit` returns, and what every question is asked of.

    Positions and velocities that go in and come out are in data coordinates, times in the
    experiment's own units.

    Parameters
    ----------
    dynamics
        The learned field, in model coordinates.
    frame
        Change of coordinates between the data and the model.
    clock
        Span and unit of time.
    times
        Times of the training snapshots, shape `(k,)`.
    recipe
        How it was made, as plain values.
    plans
        Summary of each interval's plan, keyed `"0.0_to_24.0"`.
    history
        What training did, arrays by name.
    seed, threads, seconds
        Of the run.
    version
        Version of cellflow that fitted it.
    decoder
        From the representation to genes, where genes are known.
    n_context
        Number of context features that the dynamics is conditional on.
    """

    dynamics: Dynamics
    frame: Frame
    clock: Clock
    times: FloatArray
    recipe: Mapping[str, Any]
    plans: Mapping[str, Mapping[str, Any]]
    history: History
    seed: int
    threads: int
    seconds: float
    version: str = __version__
    decoder: Decoder | None = None
    n_context: int = 0

    @property
    def n_dims(self) -> int:
        """Dimension of the representation."""
        return len(self.frame.shift)

    @property
    def generates(self) -> bool:
        """Whether it makes cells from noise, in an artificial time from 0 to 1, instead of moving them; see `recipes.fm`."""
        return bool(self.recipe["path"].get("type") == "FromNoise")

    @property
    def step(self) -> float:
        """Step of the fixed-step solvers, in units of time: a twentieth of the mean interval."""
        return self.clock.unit / _STEPS_PER_UNIT

    @property
    def spread(self) -> float | None:
        """Root mean square distance of the data from their mean, in model coordinates; None where they are the data's own."""
        unscaled = not self.frame.shift.any() and bool((self.frame.scale == 1.0).all())
        return None if unscaled else math.sqrt(self.n_dims)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.dynamics.parameters()).device

    @property
    def score_network(self) -> NoiseConditional:
        """The score, in model coordinates.

        Raises
        ------
        InputError
            The flow was fitted without one.
        """
        if self.dynamics.score is None:
            msg = (
                f"The flow was fitted without a score (method {self.recipe['name']!r}); fit with"
                " score=True, or method='sf2m'."
            )
            raise InputError(msg)
        return self.dynamics.score  # type: ignore[return-value] # what `Dynamics.built` made

    @property
    def sigma(self) -> float:
        """Diffusion in model coordinates, per square root of time: the bridge's own, or else half a unit per median gap."""
        return self.dynamics.sigma or self.clock.sigma

    @guarded
    def velocity(
        self, x: FloatArray, t: float | FloatArray, *, context: FloatArray | None = None
    ) -> FloatArray:
        """Velocity of cells, in data coordinates per unit of time.

        Parameters
        ----------
        x
            Positions, shape `(n, d)`.
        t
            One time, or one per cell `(n,)`.
        context
            Features of the cells' condition, shape `(n, c)`, or `(c,)` for all; of a flow that was
            fitted with conditions.

        Returns
        -------
        Shape `(n, d)`, float64.
        """
        return self.frame.velocity_to_data(self._evaluated(self.dynamics, x, t, context))

    @guarded
    def drift(
        self,
        x: FloatArray,
        t: float | FloatArray,
        *,
        sigma: float | None = None,
        context: FloatArray | None = None,
    ) -> FloatArray:
        r"""Drift of single cells, :math:`v + \tfrac{\sigma^2}{2} \nabla \log p_t`, in data coordinates per unit of time.

        The velocity says how the population moves. A cell that diffuses moves by the drift on
        average, and noise makes up the difference: in a population at rest the velocity is zero,
        and the drift holds the cells together against the noise.

        Parameters
        ----------
        x, t, context
            As of `velocity`.
        sigma
            Diffusion per square root of time, in model coordinates, positive. Snapshots do not
            determine it: it is an assumption, `Flow.sigma` by default. The second term grows with
            its square.

        Returns
        -------
        Shape `(n, d)`, float64.

        Raises
        ------
        InputError
            No score, or a `sigma` that is not positive.

        References
        ----------
        Tong et al., Simulation-free Schrödinger bridges via score and flow matching, AISTATS 2024, section 3.
        """
        self.score_network  # noqa: B018 (raises where there is none)
        width = self.sigma if sigma is None else as_number("sigma", sigma, above=0.0)
        field = partial(self.dynamics.drift, sigma=width)
        return self.frame.velocity_to_data(self._evaluated(field, x, t, context))

    @guarded
    def score(
        self,
        x: FloatArray,
        t: float | FloatArray,
        *,
        noise: float = 0.0,
        context: FloatArray | None = None,
    ) -> FloatArray:
        r"""Score of cells, :math:`\nabla \log p_t(x)`, in data coordinates.

        Parameters
        ----------
        x, t, context
            As of `velocity`.
        noise
            Level of the ladder in model coordinates; 0 for the score of the population itself.

        Returns
        -------
        Shape `(n, d)`, float64.
        """
        level = as_number("noise", noise)
        if level < 0:
            msg = f"noise={noise!r}; expected a level of at least 0, in model coordinates."
            raise InputError(msg)
        return self.frame.score_to_data(
            self._evaluated(AtNoise(self.score_network, level), x, t, context)
        )

    def _evaluated(
        self,
        field: Callable[..., Tensor],
        x: FloatArray,
        t: float | FloatArray,
        context: FloatArray | None,
    ) -> FloatArray:
        """A field's values at cells in data coordinates, in model coordinates."""
        z = self._checked(x)
        t = as_array("t", t)
        if t.shape not in ((), (len(z),)):
            msg = f"t has shape {t.shape}; expected one time, or one per cell ({len(z)},)."
            raise InputError(msg)
        rows = Rows.of(z, self._features(context, len(z)), np.broadcast_to(t, len(z)))
        with torch_threads(self.threads), torch.no_grad():
            found = rows.to(self.device, torch.float32).evaluate(lambda chunk: chunk.values(field))
        return found.numpy()

    @guarded
    def simulate(
        self,
        x: FloatArray,
        t0: float,
        times: FloatArray | Sequence[float],
        *,
        method: Method = "rk4",
        step: float | None = None,
        context: FloatArray | None = None,
    ) -> Trajectories:
        """Move cells from one time to others, before or after it.

        Parameters
        ----------
        x
            Positions at `t0`, shape `(n, d)`.
        t0
            Time of the start.
        times
            Times to report, shape `(T,)`, in any order.
        method, step
            See `cellflow.simulation.integrate`; the step is a twentieth of the mean interval
            between snapshots by default.
        context
            Features of the cells' condition, shape `(n, c)` or `(c,)`.

        Returns
        -------
        `Trajectories` in data coordinates.

        Raises
        ------
        IntegrationError
            Where a state stops being finite.
        """
        z = self._checked(x)
        with torch_threads(self.threads), self._in_data_coordinates():
            moved = integrate(
                self.dynamics,
                z,
                t0,
                np.atleast_1d(as_array("times", times)),
                step=self.step if step is None else step,
                method=method,
                context=self._features(context, len(z)),
                device=self.device,
                spread=self.spread,
            )
        return replace(moved, x=self.frame.to_data(moved.x))

    @contextmanager
    def _in_data_coordinates(self) -> Iterator[None]:
        """Let the trajectories of an error be in data coordinates, as all that comes out of a flow."""
        try:
            yield
        except IntegrationError as error:
            if error.partial is not None:
                error.partial = replace(error.partial, x=self.frame.to_data(error.partial.x))
            raise

    @guarded
    def diffuse(
        self,
        x: FloatArray,
        t0: float,
        times: FloatArray | Sequence[float],
        *,
        sigma: float | None = None,
        n_rep: int = 1,
        random_state: RandomState = 0,
        scheme: Scheme = "heun",
        step: float | None = None,
        keys: IntArray | None = None,
        replicate: IntArray | None = None,
        context: FloatArray | None = None,
    ) -> Trajectories:
        r"""Move cells by a diffusion that has the marginals of the flow: forward, or reversed in time.

        Later times are reached by :math:`dX = (v + \tfrac{\sigma^2}{2} s) dt + \sigma dW`, earlier
        ones by its time reversal. A cell's paths depend on the seed and its key, not on the cells
        that are asked with it.

        Parameters
        ----------
        x
            Positions at `t0`, shape `(n, d)`.
        t0
            Time of the start.
        times
            Times to report, shape `(T,)`, in any order.
        sigma
            Diffusion per square root of time, in model coordinates; any positive number. By default
            `Flow.sigma`: that of the bridge it was fitted with, or `0.5 / sqrt(median gap)`.
        n_rep
            Paths of each cell.
        random_state
            Seed of the noise.
        scheme, step
            See `cellflow.simulation.integrate_sde`; the step is 1/25 of the mean interval between
            snapshots by default.
        keys
            What finds the noise of each cell: non-negative integers, shape `(n,)`; the row numbers
            by default.
        replicate
            Which of its paths each cell is to follow, shape `(n,)`, with `n_rep=1`; the first by
            default.
        context
            Features of the cells' condition, shape `(n, c)` or `(c,)`.

        Returns
        -------
        `Trajectories` in data coordinates with `n * n_rep` paths, those of one cell together; `source` tells whose they are.

        Raises
        ------
        InputError
            No score, or a `sigma` that is not positive.
        IntegrationError
            Where a state stops being finite.

        References
        ----------
        Tong et al., Simulation-free Schrödinger bridges via score and flow matching, AISTATS 2024.
        """
        self.score_network  # noqa: B018 (raises where there is none)
        seed = as_seed(random_state)
        z = self._checked(x)
        # Noise and states of every path at every time, and the key of its noise.
        n_rep = as_count("n_rep", n_rep, each=8 * z.size * max(1, np.size(times)) + 64 * len(z))
        rows = np.repeat(np.arange(len(z)), n_rep)
        names = np.arange(len(z)) if keys is None else np.asarray(keys)
        paths = np.tile(np.arange(n_rep), len(z)) if replicate is None else np.asarray(replicate)
        if len(paths) != len(rows):
            msg = (
                f"replicate has {len(paths)} entries for {len(z)} cells and n_rep={n_rep}; expected"
                " one per cell, and n_rep=1."
            )
            raise InputError(msg)
        features = self._features(context, len(z))
        t0 = as_number("t0", t0)
        times = np.atleast_1d(as_array("times", times)).astype(np.float64)
        width = self.sigma if sigma is None else as_number("sigma", sigma)
        parts = []
        with torch_threads(self.threads), self._in_data_coordinates(), naming_cells(rows):
            for direction, side in ((1, times >= t0), (-1, times < t0)):
                if side.any() or direction == 1:
                    part = integrate_sde(
                        partial(self.dynamics.drift, sigma=width, direction=direction),
                        z[rows],
                        t0,
                        times[side],
                        sigma=width,
                        step=self.clock.unit / _NOISY_STEPS_PER_UNIT if step is None else step,
                        seed=seed,
                        scheme=scheme,
                        keys=[
                            (int(names[r]), int(p), (1 - direction) // 2)
                            for r, p in zip(rows, paths, strict=True)
                        ],
                        context=None if features is None else features[rows],
                        device=self.device,
                    )
                    parts.append((side, replace(part, source=rows, x=self.frame.to_data(part.x))))
        return joined(times, parts)

    @guarded
    def sample(
        self,
        n: int,
        t: float,
        *,
        n_steps: int = 10,
        random_state: RandomState = 0,
        context: FloatArray | None = None,
    ) -> FloatArray:
        """Draw cells of the population at a time from its score alone, by annealed Langevin dynamics.

        Independent of the velocity, and so a check of it.

        Parameters
        ----------
        n
            How many.
        t
            The time.
        n_steps
            Steps per noise level.
        random_state
            Seed.
        context
            Features of the population's condition, shape `(c,)`.

        Returns
        -------
        Positions in data coordinates, shape `(n, d)`.

        Raises
        ------
        InputError
            No score.

        References
        ----------
        Song and Ermon, Generative modeling by estimating gradients of the data distribution, NeurIPS 2019.
        """
        ladder = self.score_network.ladder
        seed = as_seed(random_state)
        n = as_count("n", n, each=8 * self.n_dims)
        t = as_number("t", t)
        z = torch.from_numpy(stream(seed).standard_normal((n, self.n_dims))).to(self.device)
        start = (
            self.score_network.starting_points(torch.tensor(t, device=self.device), z).cpu().numpy()
        )
        with torch_threads(self.threads):
            drawn = annealed_langevin(
                self.at_level(t, context),
                ladder,
                start,
                n_steps=n_steps,
                seed=seed,
                device=self.device,
            )
        return self.frame.to_data(drawn)

    def at_level(self, t: float, context: FloatArray | None = None) -> LevelScore:
        """The score at one time, `(x, noise) -> (n, d)`, in model coordinates; `context (c,)` of all cells."""
        network = self.score_network
        time = torch.tensor(as_number("t", t), dtype=torch.float64, device=self.device)
        features = self._features(context, 1)
        row = (
            None if features is None else torch.from_numpy(features.copy()).float().to(self.device)
        )
        return lambda x, noise: network(
            time, x, noise, None if row is None else row.expand(len(x), -1)
        )

    def _features(self, context: FloatArray | None, n: int) -> FloatArray | None:
        """Features of `n` cells, `(n, c)`, from one row each or one for all."""
        if context is None and self.n_context == 0:
            return None
        found = () if context is None else np.shape(context)
        if found not in ((self.n_context,), (n, self.n_context)) or self.n_context == 0:
            expected = f"({n}, {self.n_context})" if self.n_context else "none"
            msg = (
                f"context has shape {found}; the flow was fitted with {self.n_context} features:"
                f" expected {expected}."
            )
            raise InputError(msg)
        return np.broadcast_to(as_array("context", context).astype(np.float64), (n, self.n_context))

    def _checked(self, x: FloatArray) -> FloatArray:
        x = as_array("x", x).astype(np.float64)
        if x.ndim != 2 or x.shape[1] != self.n_dims or len(x) == 0:
            msg = f"The flow moves cells of shape (n, {self.n_dims}); found {x.shape}."
            raise InputError(msg)
        return self.frame.to_model(x)

    def with_decoder(self, decoder: Decoder | None) -> Flow:
        """Return the same flow with another decoder."""
        return replace(self, decoder=decoder)

    @guarded
    def to(self, device: torch.device | str) -> Flow:
        """Return the same flow on another device; `self` stays where it is."""
        return replace(self, dynamics=copy.deepcopy(self.dynamics).to(choose_device(device)))

    # --- as plain values, for files and for AnnData ---------------------------------------------------------------------

    @guarded
    def state(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Return configuration (JSON-able plain values) and arrays by name: all that `from_state` needs."""
        decoder = self.decoder
        config = {
            "format": FORMAT,
            "version": self.version,
            "n_dims": self.n_dims,
            "clock": asdict(self.clock),
            "sigma": self.dynamics.sigma,
            "n_context": self.n_context,
            "ladder": (
                asdict(self.score_network.ladder) if self.dynamics.score is not None else None
            ),
            "recipe": dict(self.recipe),
            "plans": {key: dict(value) for key, value in self.plans.items()},
            "seed": self.seed,
            "threads": self.threads,
            "seconds": self.seconds,
            "decoder": (
                decoder
                and {"genes": decoder.genes.tolist(), "kind": decoder.kind, "r2": decoder.r2}
            ),
        }
        arrays = {
            "times": self.times,
            "frame.shift": self.frame.shift,
            "frame.scale": self.frame.scale,
        }
        arrays |= {
            _WEIGHTS + k: v.detach().cpu().numpy() for k, v in self.dynamics.state_dict().items()
        }
        arrays |= {_HISTORY + k: v for k, v in self.history.items()}
        if decoder is not None:
            arrays |= {_DECODER + "mean": decoder.mean, _DECODER + "loadings": decoder.loadings}
            arrays |= {} if decoder.gene_r2 is None else {_DECODER + "gene_r2": decoder.gene_r2}
        return config, {
            k: np.array(v, order="C") for k, v in arrays.items()
        }  # nothing is shared with the flow

    @classmethod
    @guarded
    def from_state(
        cls,
        config: Mapping[str, Any],
        arrays: Mapping[str, FloatArray],
        *,
        fields: Mapping[str, type[nn.Module]] | None = None,
    ) -> Flow:
        """Rebuild a flow from its `state`.

        Parameters
        ----------
        config, arrays
            As `state` returned them, this version's or an older one's.
        fields
            Network classes of your own by name, for a flow that was fitted with one.

        Raises
        ------
        ModelFileError
            A newer format, a network of unknown name, or arrays that do not fit.
        """
        state = Stored("model", config, {})
        layout = state.count("format", state.value("format"), least=1)
        if layout > FORMAT:
            msg = (
                f"The model was written by cellflow {config.get('version')} (format {layout}); this"
                f" is {__version__}, which reads up to format {FORMAT}. Upgrade"
                " cellflow-trajectory."
            )
            raise ModelFileError(msg)
        try:
            return cls._from_checked(Stored("model", config, arrays), fields or {})
        except ModelFileError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError) as cause:
            state.fail(cause)

    @classmethod
    def _from_checked(cls, state: Stored, fields: Mapping[str, type[nn.Module]]) -> Flow:
        """Rebuild a flow from values that are looked at one by one, sizes before anything of that size is made."""
        shift = state.array("frame.shift", (None,))
        n_dims = state.count("n_dims", state.value("n_dims"), least=1, most=len(shift))
        shift = state.array("frame.shift", (n_dims,))
        scale = state.array("frame.scale", (n_dims,), positive=True)
        times = state.array("times", (None,), increasing=True)
        clock = _stored_clock(state)
        dynamics = _stored_dynamics(state, clock, fields)
        recipe = state.mapping("recipe", state.value("recipe"))
        state.text("recipe.name", recipe.get("name"))
        state.mapping("recipe.path", recipe.get("path"))
        plans = state.mapping("plans", state.value("plans"))
        decoder = state.value("decoder")
        if decoder is not None:
            decoder = _stored_decoder(state, n_dims)
        return cls(
            dynamics=dynamics,
            frame=Frame(shift, scale),
            clock=clock,
            times=times,
            recipe=recipe,
            plans={name: state.mapping(f"plans.{name}", plan) for name, plan in plans.items()},
            history={
                name: state.array(_HISTORY + name, (len(found),), finite=False)
                for name, found in state.under(_HISTORY).items()
            },
            seed=state.count("seed", state.value("seed")),
            threads=state.count("threads", state.value("threads"), least=1),
            seconds=state.number("seconds", state.value("seconds"), least=0.0),
            version=state.text("version", state.value("version")),
            decoder=decoder,
            n_context=state.count("n_context", state.config.get("n_context", 0)),
        )

    @guarded
    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the flow into a folder as safetensors and JSON with checksums; never a pickle.

        At every instant the folder holds the older flow or the new one, whole.

        Parameters
        ----------
        folder
            Made where missing; an existing one must be empty or hold a flow.

        Raises
        ------
        ModelFileError
            When the path is a file, or a folder with other things in it.
        OutputError
            The folder cannot be made or written to, or the disk is full; an older flow is as it
            was.
        """
        from safetensors.numpy import save

        config, arrays = self.state()
        blob = save(arrays)
        sums = {_ARRAY_FILE: _sha256(blob), "config": _sha256(_canonical(config))}
        _replace_model(
            as_path(folder, "folder"),
            blob,
            json.dumps({"config": config, "sha256": sums}, indent=1).encode(),
        )

    @classmethod
    @guarded
    def load(
        cls, folder: str | os.PathLike[str], *, fields: Mapping[str, type[nn.Module]] | None = None
    ) -> Flow:
        """Read a flow that `save` wrote.

        Parameters
        ----------
        folder
            Where it was written.
        fields
            Network classes of your own by name, for a flow that was fitted with one.

        Raises
        ------
        ModelFileError
            A missing or damaged file, or a newer format.
        """
        place = as_path(folder, "folder")
        config, blob, file = _read_model(place)
        return cls.from_state(config, _opened_arrays(blob, file), fields=fields)


def _replace_model(place: FilePath, blob: bytes, seal: bytes) -> None:
    """Write the two files of a model.

    The arrays come first, under a name with their checksum, then the JSON with that checksum, which
    makes them the model; at last they take their usual name. `_read_model` finds them under either.
    """
    target = resolved(place)
    with output_errors(place):
        names = set(os.listdir(target)) if target.is_dir() else set()  # noqa: PTH208 (names only)
        foreign = sorted(name for name in names if not _is_model_file(name))
        if foreign or (target.exists() and not target.is_dir()):
            more = f" (it holds {foreign[0]!r})" if foreign else ""
            msg = (
                f"{place} exists and is not the folder of a saved flow{more}; choose another, or"
                " empty it."
            )
            raise ModelFileError(msg)
        if place.is_symlink() and not target.exists():
            msg = (
                f"{place} is a link to {target}, which does not exist. Make it, or remove the link."
            )
            raise OutputError(msg)
    made = make_folder(target)
    staged = made / _staged_name(blob)
    usual = made / _ARRAY_FILE
    with folder_lock(made), output_errors(place):
        try:
            write_bytes(staged, blob, like=usual)
            write_bytes(made / _CONFIG_FILE, seal)
        except OutputError:
            # An older model stands, and these arrays belong to none. An interruption may come after
            # the JSON has taken its place, and leaves them to the next call.
            staged.unlink(missing_ok=True)
            if not names:
                with suppress(OSError):
                    made.rmdir()
            raise
        staged.replace(usual)
        for orphan in made.iterdir():
            if _is_staged(orphan.name):
                orphan.unlink(missing_ok=True)
        synced(made)


def _read_model(place: FilePath) -> tuple[Mapping[str, Any], bytes, FilePath]:
    """Read configuration and arrays, compared with their checksums; and the name of the arrays' file."""
    seen = None
    while True:
        text = _read_file(place, _CONFIG_FILE)
        config, sums = _opened_seal(place, text)
        file = place / _ARRAY_FILE
        blob = _read_file(place, _ARRAY_FILE, missing=b"")
        if (
            _sha256(blob) != sums[_ARRAY_FILE]
            and (place / f"flow-{sums[_ARRAY_FILE][:16]}.safetensors").is_file()
        ):
            file = place / f"flow-{sums[_ARRAY_FILE][:16]}.safetensors"
            blob = _read_file(place, file.name, missing=b"")
        whole = _sha256(blob) == sums[_ARRAY_FILE]
        # Another process may have saved between the two reads; then the JSON is another one now.
        if whole or text == seen:
            break
        seen = text
    if not blob and not file.exists():
        msg = (
            f"{place} does not hold a saved flow: {_ARRAY_FILE} is missing. Restore it from a copy,"
            " or fit again."
        )
        raise ModelFileError(msg)
    for name, right in (
        (file, whole),
        (place / _CONFIG_FILE, _sha256(_canonical(config)) == sums["config"]),
    ):
        if not right:
            msg = (
                f"{name} is damaged: its checksum is not the recorded one. Restore it from a copy,"
                " or fit again."
            )
            raise ModelFileError(msg)
    return config, blob, file


def _read_file(place: FilePath, name: str, *, missing: bytes | None = None) -> bytes:
    """Content of a file of a model."""
    file = place / name
    try:
        # A pipe or a device would be waited for.
        if file.exists() and not file.is_file():
            msg = f"{place} does not hold a saved flow: {name} is not a regular file."
            raise ModelFileError(msg)
        return file.read_bytes()
    except FileNotFoundError as cause:
        if missing is not None:
            return missing
        msg = (
            f"{place} does not hold a saved flow ({_CONFIG_FILE} and {_ARRAY_FILE}): {name} is"
            " missing."
        )
        raise ModelFileError(msg) from cause
    except ModelFileError:
        raise
    except (OSError, ValueError) as cause:
        msg = f"{place} does not hold a saved flow ({_CONFIG_FILE} and {_ARRAY_FILE}): {cause}"
        raise ModelFileError(msg) from cause


def _opened_seal(place: FilePath, text: bytes) -> tuple[Mapping[str, Any], dict[str, str]]:
    """The configuration and the checksums, out of a model's JSON."""
    try:
        seal = json.loads(text)
        config = seal["config"]
        sums = {name: str(seal["sha256"][name]) for name in (_ARRAY_FILE, "config")}
        _canonical(config)
    except (ValueError, KeyError, TypeError, RecursionError) as cause:
        why = f"{cause} is missing" if isinstance(cause, KeyError) else cause
        msg = (
            f"{place} does not hold a saved flow: {_CONFIG_FILE} is not what Flow.save writes"
            f" ({why})."
        )
        raise ModelFileError(msg) from cause
    return config, sums


def _opened_arrays(blob: bytes, file: FilePath) -> dict[str, FloatArray]:
    """Arrays by name, out of a model's safetensors, which gives no size that the content does not have."""
    from safetensors.numpy import load

    try:
        return load(blob)
    except (
        Exception
    ) as cause:  # of the library: its own class, KeyError for a type that numpy lacks, and more
        msg = (
            f"{file} cannot be read as safetensors ({type(cause).__name__}: {cause}). Restore it,"
            " or fit again."
        )
        raise ModelFileError(msg) from cause


def _staged_name(blob: bytes) -> str:
    return f"flow-{_sha256(blob)[:16]}.safetensors"


def _is_staged(name: str) -> bool:
    return re.fullmatch(r"flow-[0-9a-f]{16}\.safetensors", name) is not None


def _is_model_file(name: str) -> bool:
    """Whether `Flow.save` makes files of this name."""
    return name in {_CONFIG_FILE, _ARRAY_FILE} or _is_staged(name) or is_temporary(name)


def _canonical(config: Mapping[str, Any]) -> bytes:
    return json.dumps(config, sort_keys=True, separators=(",", ":")).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _stored_clock(state: Stored) -> Clock:
    found = state.mapping("clock", state.value("clock"))
    numbers = {
        name: state.number(
            f"clock.{name}",
            found.get(name),
            above=0.0 if name in {"unit", "median_gap"} else -math.inf,
        )
        for name in ("start", "stop", "unit", "median_gap")
    }
    if not numbers["start"] < numbers["stop"]:
        state.fail(
            f"clock.stop is {numbers['stop']:g}, expected a number above clock.start,"
            f" {numbers['start']:g}"
        )
    return Clock(**numbers)


def _stored_decoder(state: Stored, n_dims: int) -> Decoder:
    decoder = state.mapping("decoder", state.value("decoder"))
    genes = decoder.get("genes")
    if not isinstance(genes, list) or not all(isinstance(gene, str) for gene in genes):
        state.fail("decoder.genes is no list of names")
    state.array(_DECODER + "mean", (len(genes),))
    state.array(_DECODER + "loadings", (len(genes), n_dims))
    return Decoder.from_state(decoder, state.under(_DECODER))


def _stored_dynamics(state: Stored, clock: Clock, own: Mapping[str, type[nn.Module]]) -> Dynamics:
    """The networks of a stored flow with their weights; format 1 knew neither score nor context."""
    recipe = state.mapping("recipe", state.value("recipe"))
    found = state.config.get("ladder")
    specs: dict[str, Any] = {"field": recipe.get("field")}
    if found is not None:
        specs["score"] = recipe.get("score")
    names = {
        name for key, spec in specs.items() for name in _networks(state, f"recipe.{key}", spec)
    }
    weights = state.under(_WEIGHTS)
    ladder = None
    if found is not None:
        levels = state.mapping("ladder", found).get("levels")
        ladder = Ladder(
            tuple(state.number("ladder.levels", level, above=0.0) for level in levels or ())
        )
        n_times = len(state.arrays["times"])
        n_dims = state.config["n_dims"]
        state.array(f"{_WEIGHTS}score.knots", (n_times,), increasing=True)
        state.array(f"{_WEIGHTS}score.variance", (n_times, n_dims), positive=True)
        state.array(f"{_WEIGHTS}score.axes", (n_dims, n_dims))
    # Networks of our own are made without memory for their weights, which are put in afterwards. So
    # no size in the file can ask for more than its arrays take, and nothing is drawn. A class of
    # the user's may need real numbers when it is made; what it draws and does not store is as in
    # the fit.
    light = not names & set(own)
    n_weights = sum(array.size for array in weights.values())
    seed = state.count("seed", state.value("seed"), most=2**63 - 1)
    with torch.device("meta") if light else Drawing(seed):
        built = {key: _builder(state, spec, own, n_weights) for key, spec in specs.items()}
        dynamics = Dynamics.built(
            state.config["n_dims"],
            clock,
            field=built["field"],
            score=built.get("score"),
            ladder=ladder,
            moments=(
                Moments.blank(len(state.arrays["times"]), state.config["n_dims"])
                if ladder
                else None
            ),
            n_context=state.count(
                "n_context", state.config.get("n_context", 0), most=_MOST_CONTEXT
            ),
            sigma=state.number("sigma", state.value("sigma"), least=0.0),
        )
    kinds = {
        name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in dynamics.state_dict().items()
    }
    require_weights(
        state,
        _WEIGHTS,
        {name: (shape, kind.is_floating_point) for name, (kind, shape) in kinds.items()},
    )
    tensors = {name: torch.from_numpy(array).to(kinds[name][0]) for name, array in weights.items()}
    dynamics.load_state_dict(tensors, assign=light)
    return dynamics.eval()


def _networks(state: Stored, where: str, spec: object) -> Iterator[str]:
    """Names of the networks that a description is made of."""
    described = state.mapping(where, spec)
    yield state.text(f"{where}.type", described.get("type"))
    for key, value in described.items():
        if isinstance(value, Mapping):
            yield from _networks(state, f"{where}.{key}", value)


def _builder(
    state: Stored, spec: Mapping[str, Any], own: Mapping[str, type[nn.Module]], n_weights: int
) -> Builder:
    """Turn a described network back into its builder."""
    name = spec["type"]
    if name not in own and name not in networks.__all__:
        msg = (
            f"The flow was fitted with a network {name!r} that cellflow does not have; pass"
            f" fields={{{name!r}: YourClass}}."
        )
        raise ModelFileError(msg)
    options = {}
    for key, value in spec.items():
        if is_integer(value) and name not in own:
            # Widths, depths and numbers of features all are below the number of weights.
            state.count(f"{name}.{key}", value, most=n_weights)
        if key != "type":
            options[key] = (
                _builder(state, value, own, n_weights) if isinstance(value, Mapping) else value
            )
    return partial(own[name] if name in own else getattr(networks, name), **options)
