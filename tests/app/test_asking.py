"""Ask me: somebody with a taste is led to what they like best, surer with every answer."""

import numpy as np
import pytest

from app.analysis.asking import QUESTIONS, Interview, Reply
from tests.app.test_limits import made


def answered(interview: Interview, weights: np.ndarray, count: int) -> list[Reply]:
    """The answers of somebody whose utility has these weights."""
    replies: list[Reply] = []
    for _ in range(count):
        pair = interview.question(replies)
        first, second = interview.scaled(np.array(pair)) @ weights
        replies.append(Reply(*(pair if first >= second else pair[::-1])))
    return replies


@pytest.mark.parametrize("num_tasks", [2, 3])
@pytest.mark.parametrize("taste", [(9.0, 1.0, 1.0), (1.0, 9.0, 2.0), (5.0, 5.0, 5.0)])
def test_a_taste_is_found(num_tasks, taste):
    front, columns = made(num_tasks, parts=10, seed=1)
    interview, weights = Interview(front, columns), np.array(taste[:num_tasks])
    utility = interview.scaled(interview.at) @ weights
    replies = answered(interview, weights, QUESTIONS)
    there = interview.scaled(np.array([interview.liking(replies).preference])) @ weights
    worst, best = utility.min(), utility.max()
    assert (best - there[0]) / (best - worst) < 0.06, "nearly all that there is to like"


def test_every_answer_makes_it_surer():
    front, columns = made(2, parts=10)
    interview = Interview(front, columns)
    replies = answered(interview, np.array([6.0, 2.0]), QUESTIONS)
    spreads = [interview.liking(replies[:n]).spread[0] for n in (0, 4, QUESTIONS)]
    assert spreads[2] < spreads[0] and spreads[2] <= spreads[1]


def test_no_question_is_asked_twice_and_all_are_on_the_simplex():
    front, columns = made(3)
    interview = Interview(front, columns)
    replies = answered(interview, np.array([3.0, 1.0, 2.0]), QUESTIONS)
    assert len({frozenset((r.chosen, r.other)) for r in replies}) == QUESTIONS
    for reply in replies:
        for preference in (reply.chosen, reply.other):
            assert min(preference) >= 0 and sum(preference) == pytest.approx(1, abs=1e-3)


def test_not_minding_pulls_towards_equal_liking():
    front, columns = made(2, parts=10)
    interview = Interview(front, columns)
    ends = ((1.0, 0.0), (0.0, 1.0))
    weights = interview.draws([Reply(*ends, same=True)] * 10).mean(0)
    first, second = interview.scaled(np.array(ends)) @ weights
    assert abs(first - second) < 0.6
    liked = interview.draws([Reply(*ends)] * 10).mean(0)
    first, second = interview.scaled(np.array(ends)) @ liked
    assert first - second > 1.5
