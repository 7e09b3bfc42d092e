"""How much is enough: exact one-sided bounds on a failure rate, and the two questions asked of them.

A gate says "at most one in ten thousand". Whether `bad` out of `samples` shows that is a question about a
binomial proportion, and the answer must be exact where it matters most: with no bad event, or one. So the
bounds are Clopper and Pearson's (`dualtrack/proportions.py`).
"""

from __future__ import annotations

from dualtrack.proportions import check_count, incomplete_beta, lower_bound, upper_bound

__all__ = [
    "incomplete_beta",
    "judgement_due",
    "lower_bound",
    "samples_for_pass",
    "shown_above",
    "shown_at_most",
    "upper_bound",
]


def samples_for_pass(bad: int, limit: float, confidence: float) -> int:
    """The fewest samples with which `bad` bad ones still show a rate of at most `limit`."""
    if not 0.0 < limit < 1.0:
        raise ValueError(f"a limit between 0 and 1 is needed to reckon evidence, not {limit}")
    low, high = bad, max(bad * 2, 16)
    while not shown_at_most(bad, high, limit, confidence):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if shown_at_most(bad, middle, limit, confidence):
            high = middle
        else:
            low = middle
    return high


def shown_at_most(bad: int, samples: int, limit: float, confidence: float) -> bool:
    """The question *pass*: is the upper bound at or under the limit? Asked without solving for the bound."""
    check_count(bad, samples)
    if bad >= samples:
        return False
    return incomplete_beta(bad + 1.0, float(samples - bad), limit) >= confidence


def shown_above(bad: int, samples: int, limit: float, confidence: float, minimum_bad: int) -> bool:
    """The question *trip*: enough bad events, and a lower bound over the limit?"""
    if bad < max(1, minimum_bad):
        return False
    return lower_bound(bad, samples, confidence) > limit


def judgement_due(samples: int, judged: int) -> bool:
    """Judging at every look would pass by chance sooner or later: again only when the sample grew by half."""
    return judged <= 0 or 2 * samples >= 3 * judged
