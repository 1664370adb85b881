"""Decoding: draws worked by hand, draws against a full sort, and constraints."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.arrays import BoolArray, Float32Array, Int64Array
from adloom.sequences.decoding import Draw, DrawnSequences, Task, draw_one, run_tasks, sample_tokens

LOGITS = np.log(np.array([[0.2, 0.5, 0.3]], np.float32))
ALL = np.ones((1, 3), np.bool_)


def draw(uniform: float, temperature: float = 1.0, top_p: float = 1.0, allowed: np.ndarray = ALL) -> int:
    return int(sample_tokens(LOGITS, allowed, np.array([uniform]), temperature, top_p)[0])


@pytest.mark.parametrize(("uniform", "token"), [(0.0, 1), (0.49, 1), (0.51, 2), (0.79, 2), (0.81, 0), (0.999999, 0)])
def test_a_draw_inverts_the_distribution_of_the_likeliest_first(uniform: float, token: int) -> None:
    assert draw(uniform) == token


@pytest.mark.parametrize(
    ("top_p", "uniform", "token"), [(0.4, 0.99, 1), (0.6, 0.62, 1), (0.6, 0.63, 2), (0.6, 0.99, 2)]
)
def test_the_nucleus_is_the_fewest_tokens_that_reach_top_p(top_p: float, uniform: float, token: int) -> None:
    assert draw(uniform, top_p=top_p) == token  # 0.5 / 0.8 = 0.625


def test_temperature_sharpens_and_flattens() -> None:
    squared = 0.25 / (0.25 + 0.09 + 0.04)
    assert draw(squared - 0.01, temperature=0.5) == 1
    assert draw(squared + 0.01, temperature=0.5) == 2
    assert draw(0.4, temperature=100) == 2  # nearly a third each


def test_forbidden_tokens_are_never_drawn() -> None:
    allowed = np.array([[True, False, True]])
    assert [draw(u, allowed=allowed) for u in (0.0, 0.59, 0.61)] == [2, 2, 0]


@given(st.integers(0, 10**6), st.sampled_from([0.3, 1.0, 3.0]), st.sampled_from([0.4, 0.9, 1.0]), st.booleans())
def test_a_draw_is_the_one_of_a_full_sort(seed: int, temperature: float, top_p: float, ties: bool) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (4, 500)).astype(np.float32)
    if ties:
        logits = logits.round()
    uniform = random.random(4)
    drawn = sample_tokens(logits, np.ones(logits.shape, np.bool_), uniform, temperature, top_p)
    for row, u, token in zip(logits, uniform, drawn, strict=True):
        odds = np.exp(row.astype(np.float64) / temperature)
        order = np.argsort(-odds, kind="stable")
        reached = np.cumsum(odds[order]) / odds.sum()
        nucleus = int((np.append(0.0, reached[:-1]) < top_p).sum())
        assert token == order[min(int((reached[:nucleus] <= u * reached[nucleus - 1]).sum()), nucleus - 1)]


class Counter:
    """Continues token i with token i + 1; token 3 is the end."""

    def start(self, batch: int) -> None:
        return None

    def __call__(self, token: Int64Array, state: None) -> tuple[Float32Array, None]:
        return np.where(np.arange(4) == token[..., None] + 1, 0.0, -1e9).astype(np.float32), None


class StopRows:
    """Forbids no token, and stops some rows after one token."""

    def __init__(self, stopped: set[int]) -> None:
        self.stopped = stopped

    def allowed(self, rows: Int64Array) -> BoolArray:
        return np.ones((len(rows), 4), np.bool_)

    def update(self, rows: Int64Array, tokens: Int64Array) -> BoolArray:
        return np.array([int(row) not in self.stopped for row in rows])


@pytest.mark.parametrize(
    ("max_tokens", "stopped", "sequences", "steps"),
    [(5, set(), [[1, 2], [1, 2]], 3), (5, {0}, [[1, 2]], 3), (5, {0, 1}, [], 1), (2, set(), [], 2)],
)
def test_only_sequences_that_end_are_returned(
    max_tokens: int, stopped: set[int], sequences: list[list[int]], steps: int
) -> None:
    random = np.random.default_rng(0)
    draw = Draw(2, StopRows(stopped), random, prefix=0, end=3, max_tokens=max_tokens)
    assert run_tasks(Counter(), [draw_one(draw)]) == [(sequences, steps)]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 6), st.sampled_from([0.0, 1.5])), min_size=1, max_size=5))
def test_draws_together_are_the_draws_alone(sizes: list[tuple[int, int, float]]) -> None:
    def tasks() -> list[Task[DrawnSequences]]:
        return [
            draw_one(
                Draw(
                    batch,
                    StopRows(set()),
                    np.random.default_rng(number),
                    prefix=1,
                    end=3,
                    max_tokens=steps,
                    temperature=1 + number,
                    top_p=1 - number / 10,
                    guidance=guidance,
                )
            )
            for number, (batch, steps, guidance) in enumerate(sizes)
        ]

    together = run_tasks(Summing(), tasks())
    assert together == [run_tasks(Summing(), [task])[0] for task in tasks()]
    assert [drawn.steps <= steps for drawn, (_, steps, _) in zip(together, sizes, strict=True)] == [True] * len(sizes)


@dataclass(frozen=True)
class Sums:
    """The sums of the tokens of each row."""

    total: Int64Array  # (1, batch)


class Summing:
    """Predicts by the sum of the tokens that it has read."""

    def start(self, batch: int) -> Sums:
        return Sums(np.zeros((1, batch), np.int64))

    def __call__(self, token: Int64Array, state: Sums) -> tuple[Float32Array, Sums]:
        total = state.total + token.T
        return np.cos(total.T[..., None] + np.arange(4)).astype(np.float32), Sums(total)
