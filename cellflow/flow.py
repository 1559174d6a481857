"""A fitted flow: what can be asked of it, and how it is kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import torch
from torch import nn

from cellflow import __version__
from cellflow import fields as networks
from cellflow._devices import choose_device
from cellflow._threads import torch_threads
from cellflow._typing import FloatArray
from cellflow.decoder import Decoder
from cellflow.dynamics import Dynamics
from cellflow.errors import InputError, ModelFileError
from cellflow.fields.base import Builder, padded_chunks
from cellflow.frame import Frame
from cellflow.population import Clock
from cellflow.simulation import Method, Trajectories, integrate
from cellflow.training import History

__all__ = ["Flow"]

#: Number of the layout that `Flow.state` returns; grows when the layout changes.
FORMAT = 1
#: Steps of a fixed-step solver per mean interval between snapshots.
_STEPS_PER_UNIT = 10
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

    @property
    def n_dims(self) -> int:
        """Dimension of the representation."""
        return len(self.frame.shift)

    @property
    def step(self) -> float:
        """Step of the fixed-step solvers, in units of time: a tenth of the mean interval."""
        return self.clock.unit / _STEPS_PER_UNIT

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.dynamics.parameters()).device

    def velocity(self, x: FloatArray, t: float | FloatArray) -> FloatArray:
        """Velocity of cells, in data coordinates per unit of time.

        Parameters
        ----------
        x
            Positions, shape `(n, d)`.
        t
            One time, or one per cell `(n,)`.

        Returns
        -------
        Shape `(n, d)`, float64.
        """
        z, t = self._checked(x), np.asarray(t, dtype=np.float64)
        if t.shape not in ((), (len(z),)):
            msg = f"t has shape {t.shape}; expected one time, or one per cell ({len(z)},)."
            raise InputError(msg)
        # Time travels as an extra column, so that chunks keep both together.
        rows = torch.from_numpy(np.column_stack([np.broadcast_to(t, len(z)), z]))
        with torch_threads(self.threads), torch.no_grad():
            parts = [
                self.dynamics(chunk[:, 0].to(self.device), chunk[:, 1:].float().to(self.device))[:n].cpu()
                for chunk, n in padded_chunks(rows)
            ]
        return self.frame.velocity_to_data(torch.cat(parts).numpy())

    def simulate(
        self,
        x: FloatArray,
        t0: float,
        times: FloatArray | Sequence[float],
        *,
        method: Method = "rk4",
        step: float | None = None,
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
            See `cellflow.simulation.integrate`; the step is a tenth of the mean interval between snapshots by default.

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
                device=self.device,
            )
        return replace(moved, x=self.frame.to_data(moved.x))

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
        dynamics = self._fresh(self.recipe["field"], self.n_dims, self.clock, self.dynamics.sigma, {})
        dynamics.load_state_dict(self.dynamics.state_dict())
        return replace(self, dynamics=dynamics.to(choose_device(device)))

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
            dynamics = cls._fresh(config["recipe"]["field"], config["n_dims"], clock, config["sigma"], fields or {})
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
            )
        except (KeyError, TypeError, RuntimeError) as cause:
            msg = f"The model's configuration and arrays do not fit together ({cause}); fit it again or restore the file."
            raise ModelFileError(msg) from cause

    @staticmethod
    def _fresh(spec: Mapping[str, Any], dim: int, clock: Clock, sigma: float, own: Mapping[str, type[nn.Module]]) -> Dynamics:
        # Initial weights are overwritten; the user's generator must not notice.
        with torch.random.fork_rng(devices=[]):
            return Dynamics(_builder(spec, own)(dim, clock), unit=clock.unit, sigma=sigma).eval()

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


def _builder(spec: Mapping[str, Any], own: Mapping[str, type[nn.Module]]) -> Builder:
    """Turn a described network back into its builder."""
    options = {k: _builder(v, own) if isinstance(v, Mapping) else v for k, v in spec.items() if k != "type"}
    name = spec["type"]
    if name not in own and name not in networks.__all__:
        msg = f"The flow was fitted with a network {name!r} that cellflow does not have; pass fields={{{name!r}: YourClass}}."
        raise ModelFileError(msg)
    return partial(own[name] if name in own else getattr(networks, name), **options)
