"""A fitted flow: what can be asked of it, and how it is kept."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cellflow import __version__
from cellflow import fields as networks
from cellflow._devices import choose_device
from cellflow._numbers import as_count, as_number
from cellflow._random import as_seed, stream
from cellflow._threads import torch_threads
from cellflow._typing import FloatArray, IntArray, RandomState
from cellflow.decoder import Decoder
from cellflow.dynamics import Dynamics
from cellflow.errors import InputError, ModelFileError
from cellflow.fields import AtNoise, NoiseConditional
from cellflow.fields.base import Builder, padded_chunks
from cellflow.frame import Frame
from cellflow.ladder import Ladder, Moments
from cellflow.population import Clock
from cellflow.simulation import Method, Scheme, Trajectories, annealed_langevin, integrate, integrate_sde
from cellflow.simulation.langevin import LevelScore
from cellflow.simulation.ode import bound, with_context
from cellflow.training import History

__all__ = ["Flow"]

#: Number of the layout that `Flow.state` returns; grows when the layout changes.
FORMAT = 2
#: Steps of a fixed-step solver per mean interval between snapshots.
_STEPS_PER_UNIT = 20
#: Of a stochastic one.
_NOISY_STEPS_PER_UNIT = 25
_WEIGHTS, _HISTORY, _DECODER = "dynamics.", "history.", "decoder."
_CONFIG_FILE, _ARRAY_FILE = "flow.json", "flow.safetensors"


@dataclass(frozen=True, eq=False)
class Flow:
    """A fitted dynamics: what `fit` returns, and what every question is asked of.

    Positions and velocities that go in and come out are in data coordinates, times in the experiment's own units.

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
                f"The flow was fitted without a score (method {self.recipe['name']!r}); fit with score=True, or method='sf2m'."
            )
            raise InputError(msg)
        return self.dynamics.score  # type: ignore[return-value] # what `Dynamics.built` made

    @property
    def sigma(self) -> float:
        """Diffusion in model coordinates, per square root of time: the bridge's own, or else half a unit per median gap."""
        return self.dynamics.sigma or self.clock.sigma

    def velocity(self, x: FloatArray, t: float | FloatArray, *, context: FloatArray | None = None) -> FloatArray:
        """Velocity of cells, in data coordinates per unit of time.

        Parameters
        ----------
        x
            Positions, shape `(n, d)`.
        t
            One time, or one per cell `(n,)`.
        context
            Features of the cells' condition, shape `(n, c)`, or `(c,)` for all; of a flow that was fitted with conditions.

        Returns
        -------
        Shape `(n, d)`, float64.
        """
        return self.frame.velocity_to_data(self._evaluated(self.dynamics, x, t, context))

    def score(
        self, x: FloatArray, t: float | FloatArray, *, noise: float = 0.0, context: FloatArray | None = None
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
        return self.frame.score_to_data(self._evaluated(AtNoise(self.score_network, level), x, t, context))

    def _evaluated(
        self, field: Callable[..., Tensor], x: FloatArray, t: float | FloatArray, context: FloatArray | None
    ) -> FloatArray:
        """A field's values at cells in data coordinates, in model coordinates."""
        z, t = self._checked(x), np.asarray(t, dtype=np.float64)
        if t.shape not in ((), (len(z),)):
            msg = f"t has shape {t.shape}; expected one time, or one per cell ({len(z)},)."
            raise InputError(msg)
        # Time travels as an extra column, so that chunks keep everything together.
        rows = with_context(np.column_stack([np.broadcast_to(t, len(z)), z]), self._features(context, len(z)))
        end = 1 + self.n_dims
        with torch_threads(self.threads), torch.no_grad():
            parts = [
                bound(field, chunk[:, 1:].float(), self.n_dims)(chunk[:, 0], chunk[:, 1:end].float())[:n].cpu()
                for chunk, n in padded_chunks(rows.to(self.device))
            ]
        return torch.cat(parts).numpy()

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
            See `cellflow.simulation.integrate`; the step is a twentieth of the mean interval between snapshots by default.
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
        with torch_threads(self.threads):
            moved = integrate(
                self.dynamics,
                z,
                float(t0),
                np.asarray(times, dtype=np.float64),
                step=self.step if step is None else step,
                method=method,
                context=self._features(context, len(z)),
                device=self.device,
            )
        return replace(moved, x=self.frame.to_data(moved.x))

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

        Later times are reached by :math:`dX = (v + \tfrac{\sigma^2}{2} s) dt + \sigma dW`, earlier ones by its time reversal.
        A cell's paths depend on the seed and its key, not on the cells that are asked with it.

        Parameters
        ----------
        x
            Positions at `t0`, shape `(n, d)`.
        t0
            Time of the start.
        times
            Times to report, shape `(T,)`, in any order.
        sigma
            Diffusion per square root of time, in model coordinates; any positive number. By default `Flow.sigma`: that of the
            bridge it was fitted with, or `0.5 / sqrt(median gap)`.
        n_rep
            Paths of each cell.
        random_state
            Seed of the noise.
        scheme, step
            See `cellflow.simulation.integrate_sde`; the step is 1/25 of the mean interval between snapshots by default.
        keys
            What finds the noise of each cell: non-negative integers, shape `(n,)`; the row numbers by default.
        replicate
            Which of its paths each cell is to follow, shape `(n,)`, with `n_rep=1`; the first by default.
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
        seed, n_rep, z = as_seed(random_state), as_count("n_rep", n_rep), self._checked(x)
        rows = np.repeat(np.arange(len(z)), n_rep)
        names = np.arange(len(z)) if keys is None else np.asarray(keys)
        paths = np.tile(np.arange(n_rep), len(z)) if replicate is None else np.asarray(replicate)
        if len(paths) != len(rows):
            msg = (
                f"replicate has {len(paths)} entries for {len(z)} cells and n_rep={n_rep}; expected one per cell, and n_rep=1."
            )
            raise InputError(msg)
        features, times = self._features(context, len(z)), np.atleast_1d(np.asarray(times, dtype=np.float64))
        if not (np.isfinite(times).all() and np.isfinite(t0)):
            msg = f"Times to move cells to must be finite; found {times[~np.isfinite(times)].tolist()} (start {t0})."
            raise InputError(msg)
        width = self.sigma if sigma is None else as_number("sigma", sigma)
        states = np.empty((len(times), len(rows), self.n_dims), dtype=np.float32)
        with torch_threads(self.threads):
            for direction, side in ((1, times >= t0), (-1, times < t0)):
                if side.any():
                    states[side] = integrate_sde(
                        partial(self.dynamics.drift, sigma=width, direction=direction),
                        z[rows],
                        float(t0),
                        times[side],
                        sigma=width,
                        step=self.clock.unit / _NOISY_STEPS_PER_UNIT if step is None else step,
                        seed=seed,
                        scheme=scheme,
                        keys=[(int(names[r]), int(p), (1 - direction) // 2) for r, p in zip(rows, paths, strict=True)],
                        context=None if features is None else features[rows],
                        device=self.device,
                    ).x
        return Trajectories(times, self.frame.to_data(states), np.zeros(states.shape[:2]), rows)

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
        ladder, seed = self.score_network.ladder, as_seed(random_state)
        z = torch.from_numpy(stream(seed).standard_normal((as_count("n", n), self.n_dims))).to(self.device)
        start = self.score_network.starting_points(torch.tensor(float(t), device=self.device), z).cpu().numpy()
        with torch_threads(self.threads):
            drawn = annealed_langevin(self.at_level(t, context), ladder, start, n_steps=n_steps, seed=seed, device=self.device)
        return self.frame.to_data(drawn)

    def at_level(self, t: float, context: FloatArray | None = None) -> LevelScore:
        """The score at one time, `(x, noise) -> (n, d)`, in model coordinates; `context (c,)` of all cells."""
        network, time = self.score_network, torch.tensor(float(t), dtype=torch.float64, device=self.device)
        features = self._features(context, 1)
        row = None if features is None else torch.from_numpy(features.copy()).float().to(self.device)
        return lambda x, noise: network(time, x, noise, None if row is None else row.expand(len(x), -1))

    def _features(self, context: FloatArray | None, n: int) -> FloatArray | None:
        """Features of `n` cells, `(n, c)`, from one row each or one for all."""
        if context is None and self.n_context == 0:
            return None
        found = () if context is None else np.shape(context)
        if found not in ((self.n_context,), (n, self.n_context)) or self.n_context == 0:
            expected = f"({n}, {self.n_context})" if self.n_context else "none"
            msg = f"context has shape {found}; the flow was fitted with {self.n_context} features: expected {expected}."
            raise InputError(msg)
        return np.broadcast_to(np.asarray(context, dtype=np.float64), (n, self.n_context))

    def _checked(self, x: FloatArray) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self.n_dims or len(x) == 0:
            msg = f"The flow moves cells of shape (n, {self.n_dims}); found {x.shape}."
            raise InputError(msg)
        return self.frame.to_model(x)

    def with_decoder(self, decoder: Decoder | None) -> Flow:
        """Return the same flow with another decoder."""
        return replace(self, decoder=decoder)

    def to(self, device: torch.device | str) -> Flow:
        """Return the same flow on another device; `self` stays where it is."""
        return replace(self, dynamics=copy.deepcopy(self.dynamics).to(choose_device(device)))

    # --- as plain values, for files and for AnnData ---------------------------------------------------------------------

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
            "ladder": asdict(self.score_network.ladder) if self.dynamics.score is not None else None,
            "recipe": dict(self.recipe),
            "plans": {key: dict(value) for key, value in self.plans.items()},
            "seed": self.seed,
            "threads": self.threads,
            "seconds": self.seconds,
            "decoder": decoder and {"genes": decoder.genes.tolist(), "kind": decoder.kind, "r2": decoder.r2},
        }
        arrays = {"times": self.times, "frame.shift": self.frame.shift, "frame.scale": self.frame.scale}
        arrays |= {_WEIGHTS + k: v.detach().cpu().numpy() for k, v in self.dynamics.state_dict().items()}
        arrays |= {_HISTORY + k: v for k, v in self.history.items()}
        if decoder is not None:
            arrays |= {_DECODER + "mean": decoder.mean, _DECODER + "loadings": decoder.loadings}
        return config, {k: np.ascontiguousarray(v) for k, v in arrays.items()}

    @classmethod
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
        if config.get("format", 0) > FORMAT:
            msg = (
                f"The model was written by cellflow {config.get('version')} (format {config['format']}); this is "
                f"{__version__}, which reads up to format {FORMAT}. Upgrade cellflow-trajectory."
            )
            raise ModelFileError(msg)
        try:
            clock = Clock(**config["clock"])
            dynamics = _untrained(config, clock, len(arrays["times"]), fields or {})
            weights = {
                k.removeprefix(_WEIGHTS): torch.from_numpy(np.array(v)) for k, v in arrays.items() if k.startswith(_WEIGHTS)
            }
            dynamics.load_state_dict(weights)
            decoder = config["decoder"] and Decoder.from_state(
                config["decoder"], {k.removeprefix(_DECODER): v for k, v in arrays.items() if k.startswith(_DECODER)}
            )
            return cls(
                dynamics=dynamics,
                frame=Frame(arrays["frame.shift"], arrays["frame.scale"]),
                clock=clock,
                times=arrays["times"],
                recipe=config["recipe"],
                plans=config["plans"],
                history=_under(_HISTORY, arrays),
                seed=config["seed"],
                threads=config["threads"],
                seconds=config["seconds"],
                version=config["version"],
                decoder=decoder,
                n_context=config.get("n_context", 0),
            )
        except (KeyError, TypeError, RuntimeError) as cause:
            msg = f"The model's configuration and arrays do not fit together ({cause}); fit it again or restore the file."
            raise ModelFileError(msg) from cause

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the flow into a folder as safetensors and JSON with checksums; never a pickle.

        The folder is replaced as a whole: until it is complete, an older one stays as it was.

        Parameters
        ----------
        folder
            Made where missing; an existing one must be empty or hold a flow.

        Raises
        ------
        ModelFileError
            When the path is a file, or a folder with other things in it.
        """
        from safetensors.numpy import save

        target = FilePath(folder)
        if target.exists() and (not target.is_dir() or {p.name for p in target.iterdir()} - {_CONFIG_FILE, _ARRAY_FILE}):
            msg = f"{target} exists and is not the folder of a saved flow; choose another, or empty it."
            raise ModelFileError(msg)
        config, arrays = self.state()
        blob = save(arrays)
        seal = {"config": config, "sha256": {_ARRAY_FILE: _sha256(blob), "config": _sha256(_canonical(config))}}
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = FilePath(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            for name, content in ((_ARRAY_FILE, blob), (_CONFIG_FILE, json.dumps(seal, indent=1).encode())):
                with (staging / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            if target.exists():
                for name in (_ARRAY_FILE, _CONFIG_FILE):
                    (staging / name).replace(target / name)
            else:
                staging.replace(target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, fields: Mapping[str, type[nn.Module]] | None = None) -> Flow:
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
        from safetensors.numpy import load

        folder = FilePath(folder)
        try:
            seal = json.loads((folder / _CONFIG_FILE).read_text())
            blob = (folder / _ARRAY_FILE).read_bytes()
            config, sums = seal["config"], seal["sha256"]
        except (OSError, ValueError, KeyError, TypeError) as cause:
            msg = f"{folder} does not hold a saved flow ({_CONFIG_FILE} and {_ARRAY_FILE}): {cause}"
            raise ModelFileError(msg) from cause
        for name, found in ((_ARRAY_FILE, _sha256(blob)), ("config", _sha256(_canonical(config)))):
            if sums.get(name) != found:
                damaged = folder / (_ARRAY_FILE if name == _ARRAY_FILE else _CONFIG_FILE)
                msg = f"{damaged} is damaged: its checksum is not the recorded one. Restore it from a copy, or fit again."
                raise ModelFileError(msg)
        return cls.from_state(config, load(blob), fields=fields)


def _under(prefix: str, arrays: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Arrays whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _canonical(config: Mapping[str, Any]) -> bytes:
    return json.dumps(config, sort_keys=True, separators=(",", ":")).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _untrained(config: Mapping[str, Any], clock: Clock, n_times: int, own: Mapping[str, type[nn.Module]]) -> Dynamics:
    """The networks of a stored flow; format 1 knew neither score nor context."""
    recipe, ladder = config["recipe"], config.get("ladder")
    # Initial weights are overwritten; the user's generator must not notice.
    with torch.random.fork_rng(devices=[]):
        return Dynamics.built(
            config["n_dims"],
            clock,
            field=_builder(recipe["field"], own),
            score=_builder(recipe["score"], own) if ladder else None,
            ladder=Ladder(tuple(ladder["levels"])) if ladder else None,
            moments=Moments.blank(n_times, config["n_dims"]) if ladder else None,
            n_context=config.get("n_context", 0),
            sigma=config["sigma"],
        ).eval()


def _builder(spec: Mapping[str, Any], own: Mapping[str, type[nn.Module]]) -> Builder:
    """Turn a described network back into its builder."""
    options = {k: _builder(v, own) if isinstance(v, Mapping) else v for k, v in spec.items() if k != "type"}
    name = spec["type"]
    if name not in own and name not in networks.__all__:
        msg = f"The flow was fitted with a network {name!r} that cellflow does not have; pass fields={{{name!r}: YourClass}}."
        raise ModelFileError(msg)
    return partial(own[name] if name in own else getattr(networks, name), **options)
