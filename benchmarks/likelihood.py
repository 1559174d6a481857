"""Held-out likelihood of the dynamics, of single densities, and of maximum-likelihood training.

    python benchmarks/likelihood.py [--sets eb myoblasts] [--cnf-steps 300] [--cnf-batch 128]
    [--seed 0]

A fifth of the cells of every snapshot is set aside. The rows: the dynamics learned by flow
matching; one density for each snapshot, which knows no dynamics; and what flow matching replaced
(Chen et al. 2018, Grathwohl et al. 2019, TrajectoryNet of Tong et al. 2020): a continuous
normalizing flow with the same network, whose likelihood is maximised by solving backward from every
snapshot to the first and differentiating through the solver. All share the density of the first
snapshot.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import records
import sets
from cellflow import recipes
from cellflow.analysis.density import EvolvingDensity
from cellflow.analysis.snapshots import snapshot_densities
from cellflow.core._random import stream
from cellflow.core.population import Snapshots
from cellflow.densities import NormalizingFlow
from cellflow.evaluation.likelihood import Likelihood, held_out_nll, split
from cellflow.fields import MLP
from cellflow.fields.dynamics import Dynamics
from cellflow.metrics import negative_log_likelihood
from cellflow.model.fitting import fit
from cellflow.model.flow import Flow

#: Steps of the solver in training, per interval between snapshots.
SOLVER_STEPS = 3


def derivative(
    field: Callable[[Tensor, Tensor], Tensor], t: Tensor, z: Tensor
) -> tuple[Tensor, Tensor]:
    """Velocity and its exact divergence, both differentiable in the weights."""
    velocity = field(t, z)
    trace = sum(
        torch.autograd.grad(velocity[:, i].sum(), z, create_graph=True)[0][:, i]
        for i in range(z.shape[1])
    )
    return velocity, trace


def solve(
    field: Callable[[Tensor, Tensor], Tensor], z: Tensor, start: float, stop: float
) -> tuple[Tensor, Tensor]:
    """States at `stop` and the integral of the divergence, by the classical Runge-Kutta method."""
    integral = torch.zeros(len(z))
    dt = (stop - start) / SOLVER_STEPS
    for k in range(SOLVER_STEPS):
        t = torch.tensor(start + k * dt, dtype=torch.float64)
        v1, d1 = derivative(field, t, z)
        v2, d2 = derivative(field, t + dt / 2, z + dt / 2 * v1)
        v3, d3 = derivative(field, t + dt / 2, z + dt / 2 * v2)
        v4, d4 = derivative(field, t + dt, z + dt * v3)
        z = z + dt / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
        integral = integral + dt / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
    return z, integral


def maximum_likelihood(
    train: Snapshots, source: NormalizingFlow, like: Flow, *, steps: int, batch: int, seed: int
) -> tuple[Dynamics, float]:
    """Train the network by maximum likelihood; returns it and the seconds of one step."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        dynamics = Dynamics(MLP(train.n_dims, train.clock), unit=like.clock.unit)
    shift = torch.from_numpy(like.frame.shift)
    scale = torch.from_numpy(like.frame.scale)
    cells = [torch.from_numpy(like.frame.to_model(p.x)).float() for p in train.populations]
    weights = [torch.from_numpy(p.weight) for p in train.populations]
    optimizer = torch.optim.AdamW(dynamics.parameters(), lr=5e-3, weight_decay=0.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    source.requires_grad_(requires_grad=False)
    begun = time.perf_counter()
    for _ in range(steps):
        # All cells are moved back to the first snapshot in one solve; those of each snapshot join
        # at its time.
        z = torch.empty(0, train.n_dims)
        integral = torch.empty(0)
        for k in range(len(cells) - 1, 0, -1):
            rows = torch.multinomial(weights[k], batch, replacement=True, generator=generator)
            z = torch.cat([z, cells[k][rows].requires_grad_()])
            integral = torch.cat([integral, torch.zeros(batch)])
            z, more = solve(dynamics, z, float(train.times[k]), float(train.times[k - 1]))
            integral = integral + more
        loss = -(source(z * scale + shift) + integral).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(dynamics.parameters(), 10.0)
        optimizer.step()
        scheduler.step()
    return dynamics.eval(), (time.perf_counter() - begun) / steps


def compared(snapshots: Snapshots, arguments: argparse.Namespace) -> tuple[pd.DataFrame, list[str]]:
    """The table of all methods on one set, and what training took."""
    rows = held_out_nll(snapshots, random_state=arguments.seed)
    # The same split again, and the same density of the first snapshot.
    train, test = split(snapshots, 0.2, stream(arguments.seed, 0))
    seeds = [int(stream(arguments.seed, key).integers(2**63)) for key in (1, 2)]
    first = float(train.times[0])
    source = snapshot_densities(Snapshots(train.populations[:1]), random_state=seeds[1])[first]
    flow = fit(train, recipes.ot_cfm(), random_state=seeds[0], progress=False)
    n_steps = len(flow.history["step"]) and int(flow.history["step"][-1])
    steps = arguments.cnf_steps
    dynamics, per_step = maximum_likelihood(
        train, source, flow, steps=steps, batch=arguments.cnf_batch, seed=arguments.seed
    )
    density = EvolvingDensity(replace(flow, dynamics=dynamics), source, first)
    for cells in test.populations:
        nll = negative_log_likelihood(
            density.log_prob(cells.x, cells.time), snapshots.n_dims, weight=cells.weight
        )
        rows.append(Likelihood(cells.time, "maximum likelihood", *nll, len(cells)))
    took = [
        f"held-out cells {[len(p) for p in test.populations]}",
        f"ot-cfm: {n_steps} steps, {flow.seconds:.1f} s with the plans,"
        f" {flow.seconds / n_steps:.4f} s per step",
        f"maximum likelihood: {steps} steps, {per_step * steps:.1f} s, {per_step:.4f} s per step",
    ]
    return pd.DataFrame([vars(row) for row in rows]), took


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--sets", nargs="+", default=["eb", "myoblasts"], choices=list(sets.SETS))
    parser.add_argument("--cnf-steps", type=int, default=300)
    parser.add_argument(
        "--cnf-batch", type=int, default=128, help="cells of each snapshot per step"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.sets:
        snapshots = sets.load(name)
        if snapshots is None:
            continue
        table, took = compared(snapshots, arguments)
        print(f"\n{name}: {snapshots.n_dims} dimensions")
        shown = table.pivot_table(index="method", columns="time", values="nll", sort=False)
        shown["mean"] = shown.mean(axis=1)
        print(shown.round(3).to_string())
        error = table.groupby("time")["standard_error"].max()
        print(f"standard errors up to {np.round(error.max(), 3)}")
        print("\n".join(took), flush=True)


if __name__ == "__main__":
    main()
