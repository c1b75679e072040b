"""How does the simulated respondent reason, and so what is the truth about it?

A trace is a Markov chain with one step a token: the respondent searches, finds the right answer, holds it, may lose it
again, and may stop. What a sweep estimates of it is known exactly (`Simulation.held`).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat
from scipy.special import ndtri

from anytime_lib.config.groups import MethodName

Floats = NDArray[np.float64]
SEARCHING, HOLDING, STOPPED_HOLDING, STOPPED_SEARCHING = range(4)


class Simulation(BaseModel):
    """The parameters of a simulated respondent: the config's `simulated`. Rates are chances per token; `solve` is a
    hazard, so that a token finds the answer with the chance 1 - exp(-hazard)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    solve: float = Field(0.01, gt=0, description="hazard of finding the answer, on a problem of middling difficulty")
    spread: float = Field(1.0, ge=0, description="standard deviation of the log of that hazard between problems")
    shape: Literal["normal", "uniform", "two_groups"] = Field("normal", description="distribution of the log hazard")
    doubt: float = Field(0.001, ge=0, lt=1, description="chance to doubt a held answer and lose it")
    stop: float = Field(0.002, ge=0, lt=1, description="chance to stop by itself while an answer is held")
    give_up: float = Field(0.0, ge=0, lt=1, description="chance to stop by itself while searching")
    guess: float = Field(0.1, ge=0, le=1, description="chance that an answer forced while searching is right")
    unread: float = Field(0.02, ge=0, le=1, description="share of answers that no grader can read")
    effects: dict[MethodName, PositiveFloat] = Field({}, description="method -> what it multiplies the hazard by")
    judge_accuracy: float = Field(0.75, ge=0, le=1, description="share of pairs whose better attempt it prefers")
    position_bias: float = Field(0.3, description="log-odds (nats) in favour of the attempt shown first")

    def log_ease(self, u: ArrayLike) -> Floats:
        """(...) log of the hazard relative to `solve`, at quantiles (...) in (0, 1) of difficulty, small ones hard."""
        at = np.asarray(u, dtype=float)
        if self.shape == "normal":
            return np.asarray(self.spread * ndtri(at))
        return self.spread * (np.sqrt(12) * (at - 0.5) if self.shape == "uniform" else np.where(at < 0.5, -1.0, 1.0))

    def chances(self, u: ArrayLike, effect: float = 1.0) -> Floats:
        """(...) chance that one token finds the answer, on problems at quantiles u."""
        return np.asarray(-np.expm1(-self.solve * effect * np.exp(self.log_ease(u))))

    def transitions(self, u: ArrayLike, effect: float = 1.0) -> Floats:
        """(..., 4, 4) chances to go from state to state in a token, which finds or loses the answer, then may stop."""
        p = self.chances(u, effect)
        chain = np.zeros((*p.shape, 4, 4))
        for state, find in ((SEARCHING, p), (HOLDING, 1 - self.doubt)):
            chain[..., state, HOLDING] = find * (1 - self.stop)
            chain[..., state, STOPPED_HOLDING] = find * self.stop
            chain[..., state, SEARCHING] = (1 - find) * (1 - self.give_up)
            chain[..., state, STOPPED_SEARCHING] = (1 - find) * self.give_up
        chain[..., STOPPED_HOLDING, STOPPED_HOLDING] = chain[..., STOPPED_SEARCHING, STOPPED_SEARCHING] = 1.0
        return chain

    def held(self, budgets: Sequence[int], u: ArrayLike, effect: float = 1.0) -> Floats:
        """(..., T) exact chance that the right answer is held when a trace is cut at each budget."""
        chain = self.transitions(u, effect)
        reached = [np.linalg.matrix_power(chain, budget)[..., SEARCHING, :] for budget in budgets]
        return np.stack([state[..., HOLDING] + state[..., STOPPED_HOLDING] for state in reached], axis=-1)

    def quality(self, budgets: Sequence[int], u: ArrayLike, effect: float = 1.0) -> Floats:
        """(..., T) chance that an answer forced at each budget is right: what a right-or-wrong task measures."""
        held = self.held(budgets, u, effect)
        return (1 - self.unread) * (held + (1 - held) * self.guess)

    def draw(
        self, budgets: Sequence[int], u: ArrayLike, n_samples: int, rng: np.random.Generator, effect: float = 1.0
    ) -> Floats:
        """(P, n_samples, T) of 0 and 1: answers of traces on problems at (P,) quantiles u, without writing a word."""
        chain = self.transitions(u, effect)
        state = np.full((len(chain), n_samples), SEARCHING)
        right, at = [np.zeros(state.shape, bool)], 0
        for budget in budgets:
            reach = np.linalg.matrix_power(chain, budget - at).cumsum(axis=-1)  # (P, from, to)
            here = np.take_along_axis(reach, state[..., None], axis=1)  # (P, S, to)
            ended = state >= STOPPED_HOLDING  # its answer was asked for once, and is carried on
            state = np.minimum((rng.random(state.shape)[..., None] >= here).sum(axis=-1), STOPPED_SEARCHING)
            holding = (state == HOLDING) | (state == STOPPED_HOLDING)
            luck, read = rng.random(state.shape) < self.guess, rng.random(state.shape) >= self.unread
            right.append(np.where(ended, right[-1], (holding | luck) & read))
            at = budget
        return np.stack(right[1:], axis=-1).astype(float)

    def walk(self, chance: float, uniforms: Floats, holding: bool = False) -> tuple[list[tuple[int, bool]], int, bool]:
        """One trace by (n, 2) draws in [0, 1), more of which extend it; `chance` is that of a token to find the answer.

        Returns:
            The tokens at which the answer was found (True) or lost (False); how many tokens there are; and whether
            the trace stopped by itself.
        """
        turns: list[tuple[int, bool]] = []
        for token, (turn, end) in enumerate(uniforms.tolist()):
            if turn < (self.doubt if holding else chance):
                holding = not holding
                turns.append((token, holding))
            if end < (self.stop if holding else self.give_up):
                return turns, token + 1, True
        return turns, len(uniforms), False
