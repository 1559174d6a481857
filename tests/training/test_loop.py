"""The training loop."""

import json
from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch

from cellflow.core.plans import EdgePlan
from cellflow.core.population import Population, Snapshots
from cellflow.errors import InputError, TrainingError
from cellflow.fields import MLP
from cellflow.fields.dynamics import Dynamics
from cellflow.objectives import velocity_matching
from cellflow.paths import Linear
from cellflow.training import PopulationStream, State, Stream, Training, train

OBJECTIVES = {"velocity": velocity_matching}


@pytest.fixture
def snapshots():
    """A cloud that moves by (1, -2) from time 0 to 2: the velocity is (0.5, -1) everywhere."""
    x = np.random.default_rng(0).normal(size=(200, 2))
    return Snapshots((Population(x, 0.0), Population(x + [1.0, -2.0], 2.0)))


def run(snapshots, training, **options):
    plan = EdgePlan((200, 200), np.arange(200), np.arange(200), np.ones(200), cost=5.0)
    stream = Stream(
        snapshots,
        [plan],
        Linear(0.1),
        batch_size=training.batch_size,
        validation=training.validation,
        seed=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dynamics = Dynamics(MLP(2, snapshots.clock, width=16), unit=snapshots.clock.unit)
    return train(dynamics, stream, OBJECTIVES, training, **options)


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "constant"])
def test_learns_a_translation(snapshots, schedule):
    trained, history = run(
        snapshots, Training(steps=300, batch_size=128, schedule=schedule, ema=0.95)
    )
    velocity = trained(torch.tensor(1.0), torch.zeros(1, 2)).detach()
    np.testing.assert_allclose(velocity.numpy(), [[0.5, -1.0]], atol=0.05)
    assert history["loss"][-1] < 0.01 * history["loss"][0]
    assert history["val_loss"][-1] < 0.01
    assert history["best_val_loss"] == history["val_loss"].min()
    assert history["step"].tolist() == [50.0, 100.0, 150.0, 200.0, 250.0, 300.0]


def test_two_runs_of_one_seed_are_identical(snapshots):
    first, second = (run(snapshots, Training(steps=60))[0].state_dict() for _ in range(2))
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=0)


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_schedules_rise_to_the_peak_and_end_at_nothing(schedule):
    factors = np.array([Training(steps=1000, schedule=schedule).lr_factor(k) for k in range(1000)])
    assert factors.max() == pytest.approx(1.0, abs=1e-3)
    assert factors[0] < 0.05
    assert factors[-1] < 1e-3
    peak = int(factors.argmax())
    assert (np.diff(factors[: peak + 1]) >= 0).all()
    assert (np.diff(factors[peak:]) <= 0).all()


def test_patience_stops_and_returns_the_best(snapshots):
    # At this rate the loss stops improving at once, long before the last step.
    training = Training(
        steps=5000, schedule="constant", lr=0.03, patience=3, record_every=20, ema=0.0
    )
    trained, history = run(snapshots, training)
    assert history["step"][-1] < 5000
    assert history["step"][-1] - history["best_step"][0] == 3 * 20
    with torch.no_grad():
        loss = float(velocity_matching(trained, _held_out(snapshots, training)))
    assert loss == pytest.approx(history["best_val_loss"][0], rel=1e-6)


def _held_out(snapshots, training):
    plan = EdgePlan((200, 200), np.arange(200), np.arange(200), np.ones(200), cost=5.0)
    return Stream(
        snapshots, [plan], Linear(0.1), batch_size=64, validation=training.validation, seed=0
    ).validation()


def test_a_loss_that_is_not_finite_stops_with_step_and_rate(snapshots):
    calls = []

    def poisoned(dynamics, sample):
        calls.append(None)
        return velocity_matching(dynamics, sample) * (float("nan") if len(calls) == 8 else 1.0)

    plan = EdgePlan((200, 200), np.arange(200), np.arange(200), np.ones(200), cost=5.0)
    stream = Stream(snapshots, [plan], Linear(0.1), batch_size=32, validation=0.0, seed=0)
    dynamics = Dynamics(MLP(2, snapshots.clock, width=8))
    with pytest.raises(TrainingError, match=r"step 7 on \(learning rate"):
        train(
            dynamics,
            stream,
            {"poisoned": poisoned},
            Training(steps=100, record_every=10, validation=0.0),
        )


def test_several_objectives_are_recorded_by_name(snapshots):
    plan = EdgePlan((200, 200), np.arange(200), np.arange(200), np.ones(200), cost=5.0)
    stream = Stream(snapshots, [plan], Linear(0.1), batch_size=32, validation=0.0, seed=0)
    both = {"velocity": velocity_matching, "again": velocity_matching}
    _, history = train(
        Dynamics(MLP(2, snapshots.clock, width=8)),
        stream,
        both,
        Training(steps=20, record_every=10),
    )
    np.testing.assert_allclose(history["loss_velocity"] + history["loss_again"], history["loss"])


def test_callback_sees_every_record(snapshots):
    seen = []
    _, history = run(
        snapshots,
        Training(steps=120, record_every=50),
        callback=lambda step, loss: seen.append((step, loss)),
    )
    assert seen == [(int(s), v) for s, v in zip(history["step"], history["loss"], strict=True)]
    assert [s for s, _ in seen] == [50, 100, 120]


class Dropped(torch.nn.Module):
    """A field that draws random numbers while it is trained."""

    def __init__(self, clock):
        super().__init__()
        self.net = MLP(2, clock, width=16)

    def forward(self, t, x):
        return self.net(t, torch.nn.functional.dropout(x, 0.2, self.training))


@pytest.mark.parametrize("field", [Dropped, partial(MLP, 2, width=16)], ids=["dropout", "mlp"])
@pytest.mark.parametrize(
    "training",
    [
        Training(steps=90, record_every=20),
        Training(steps=200, record_every=20, schedule="constant", patience=2, lr=0.03),
        Training(steps=50, record_every=20, ema=0.0, weight_decay=0.1, validation=0.0),
    ],
    ids=["cosine", "patience", "last"],
)
def test_going_on_from_a_checkpoint_gives_the_same_to_the_last_bit(snapshots, training, field):
    """Through plain values and arrays, in a new module."""

    def run(**options):
        plan = EdgePlan((200, 200), np.arange(200), np.arange(200), np.ones(200), cost=5.0)
        source = Stream(
            snapshots, [plan], Linear(0.1), batch_size=64, validation=training.validation, seed=0
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            dynamics = Dynamics(field(clock=snapshots.clock), unit=snapshots.clock.unit)
        return train(dynamics, source, OBJECTIVES, training, seed=4, **options)

    kept = []
    whole, history = run(checkpoint=lambda state: kept.append(state.state()))
    for config, arrays in (kept[0], kept[-1]):
        state = State.from_state(json.loads(json.dumps(config)), arrays)
        again, longer = run(state=state)
        assert longer.keys() == history.keys()
        for name, values in history.items():
            np.testing.assert_array_equal(longer[name], values)
        for name, value in whole.state_dict().items():
            assert torch.equal(value, again.state_dict()[name]), name


@pytest.mark.parametrize("first", [1, 7, 64, 200])
def test_batches_are_found_by_number(snapshots, first):
    plan = EdgePlan((200, 200), np.arange(200), np.arange(200), np.ones(200), cost=5.0)
    points = Stream(snapshots, [plan], Linear(0.1), batch_size=32, validation=0.0, seed=0)
    cells = PopulationStream(snapshots.populations[0], batch_size=32, validation=0.1, seed=0)
    for source in (points, cells):
        expected = next(islice(source.batches(), first, None))
        found = next(source.batches(first))
        assert torch.equal(found.x, expected.x)


def test_silent_unless_asked(snapshots, capfd):
    run(snapshots, Training(steps=10))
    assert capfd.readouterr() == ("", "")
    run(snapshots, Training(steps=10), progress=True)
    assert "loss=" in capfd.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"steps": 2.5},
        {"batch_size": 0},
        {"lr": float("inf")},
        {"lr": float("nan")},
        {"ema": 1.0},
        {"clip": 0.0},
        {"validation": 0.9},
        {"schedule": "cosin"},
        {"patience": 3},
        {"patience": 3, "schedule": "constant", "validation": 0.0},
    ],
)
def test_options_that_cannot_train_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        Training(**options)
