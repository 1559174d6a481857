"""Laws of sampling with a score; the classical picture of two modes of unequal weight."""

import numpy as np
import pytest
import torch

from cellflow.errors import InputError, IntegrationError
from cellflow.fields.ladder import Ladder
from cellflow.simulation import annealed_langevin, denoise, langevin
from cellflow.simulation.langevin import relative_step

MODES, SHARES = torch.tensor([[-5.0, -5.0], [5.0, 5.0]]), torch.tensor([0.2, 0.8])
LADDER = Ladder.between(0.1, 60.0, n_dims=2)


def starting_points(n):
    return np.hypot(5, LADDER.largest) * np.random.default_rng(1).normal(size=(n, 2))


def two_modes(x, noise):
    """Exact score of the mixture of Song and Ermon (2019, section 3.2.2), one fifth and four
    fifths, under noise.
    """
    variance = 1 + noise**2
    to_mode = MODES - x[:, None]
    share = torch.softmax(SHARES.log() - 0.5 * to_mode.square().sum(dim=2) / variance, dim=1)
    return (share[..., None] * to_mode).sum(dim=1) / variance


def normal(x, noise):
    return -x / (1 + noise**2)


def first_share(x):
    return float((x.sum(axis=1) < 0).mean())


def test_plain_langevin_gets_the_weights_wrong_and_annealed_right():
    start = np.random.default_rng(0).uniform(-8, 8, (4000, 2))
    plain = langevin(two_modes, start, noise=0.0, step=0.05, n_steps=300, random_state=1)
    annealed = annealed_langevin(
        two_modes, LADDER, starting_points(4000), n_steps=20, random_state=1
    )
    assert first_share(plain) > 0.4  # half, as it started: no path leads from mode to mode
    assert first_share(annealed) == pytest.approx(0.2, abs=0.01)  # 5 % of it
    for sign in (-1, 1):
        mode = annealed[np.sign(annealed.sum(axis=1)) == sign]
        np.testing.assert_allclose(mode.mean(axis=0), 5 * sign, atol=0.15)
        np.testing.assert_allclose(np.cov(mode.T), np.eye(2), atol=0.15)


def test_the_published_method_alone_gets_them_less_right():
    start = starting_points(4000)
    published = annealed_langevin(
        two_modes, LADDER, start, n_steps=20, random_state=1, predictor=False
    )
    assert first_share(published) > 0.23


def test_langevin_keeps_the_distribution():
    # With a constant score ratio the stationary variance of the chain is known: 1 / (1 - step / 2).
    start = np.random.default_rng(0).normal(size=(20_000, 1))
    step = 0.2
    x = langevin(normal, start, noise=0.0, step=step, n_steps=60, random_state=0)
    assert x.var() == pytest.approx(1 / (1 - step / 2), rel=0.04)


def test_denoising_gives_back_the_distribution_cell_by_cell():
    # Data of variance 4: the flow from noise 3 scales every cell by 2 / sqrt(13), exactly.
    score = lambda x, noise: -x / (4 + noise**2)
    noisy = np.sqrt(13) * np.random.default_rng(0).normal(size=(500, 3))
    clean = denoise(score, LADDER, noisy, noise=3.0)
    np.testing.assert_allclose(clean, noisy * 2 / np.sqrt(13), rtol=5e-3)


def test_denoising_brings_a_sheet_back():
    # A plane in three dimensions: what stands off it goes, what lies in it stays.
    score = lambda x, noise: torch.cat([0 * x[:, :2], -x[:, 2:] / noise**2], dim=1)
    x = np.random.default_rng(0).normal(size=(100, 3))
    clean = denoise(score, LADDER, x, noise=1.0)
    np.testing.assert_allclose(clean[:, :2], x[:, :2], rtol=1e-5)
    assert np.abs(clean[:, 2]).max() < 0.1 * np.abs(x[:, 2]).max()


@pytest.mark.parametrize("ratio", [1.2, 2.0])
@pytest.mark.parametrize("n_steps", [1, 5, 100])
def test_the_relative_step_brings_the_variance_of_a_point_nearest_to_one(ratio, n_steps):
    def variance(r):
        # Langevin steps on the score of a point under unit noise, from variance ratio^2.
        v = ratio**2
        for _ in range(n_steps):
            v = (1 - r) ** 2 * v + 2 * r
        return v

    r = relative_step(ratio, n_steps)
    assert (
        abs(variance(r) - 1) <= min(abs(variance(s) - 1) for s in np.geomspace(1e-3, 1, 50)) + 1e-4
    )


def test_a_cells_way_is_its_own():
    start = np.random.default_rng(0).normal(size=(1100, 2))
    keys = [(k,) for k in range(1100)]
    whole = annealed_langevin(two_modes, LADDER, start, n_steps=2, random_state=0, keys=keys)
    rows = [1050, 2]
    np.testing.assert_array_equal(
        annealed_langevin(
            two_modes, LADDER, start[rows], n_steps=2, random_state=0, keys=[keys[r] for r in rows]
        ),
        whole[rows],
    )


def test_bad_input():
    x = np.zeros((3, 2))
    with pytest.raises(InputError, match="step"):
        langevin(normal, x, noise=0.0, step=0.0, n_steps=1, random_state=0)
    with pytest.raises(InputError, match="positive integer"):
        annealed_langevin(normal, LADDER, x, n_steps=0, random_state=0)
    with pytest.raises(InputError, match="levels 0 to"):
        annealed_langevin(normal, LADDER, x, first=99, random_state=0)
    for noise in (0.0, -1.0, 1e3, np.nan):
        with pytest.raises(InputError, match="noise"):
            denoise(normal, LADDER, x, noise=noise)
    with pytest.raises(IntegrationError, match="Cell 0"):
        langevin(lambda x, noise: x**3, x + 1e6, noise=0.0, step=1.0, n_steps=20, random_state=0)
