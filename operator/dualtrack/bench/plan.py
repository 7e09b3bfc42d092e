"""In which order systems take their turns. Pure.

A noisy machine is quick for a minute and slow for the next. Where each system does a part of its work in each
round, close to the others, both times hit all of them; and since every second round runs backwards, what
drifts in one direction through all of them does not favour the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    """A system's share of the work in one round."""

    round: int
    system: str
    names: tuple[str, ...]


def turns(systems: Sequence[str], names: Sequence[str], rounds: int) -> Iterator[Turn]:
    """Every system does all of `names`, in as many parts as there are rounds: A B, B A, A B, …"""
    for number in range(rounds):
        share = tuple(names[len(names) * number // rounds : len(names) * (number + 1) // rounds])
        if not share:
            continue
        for system in systems if number % 2 == 0 else reversed(systems):
            yield Turn(number, system, share)
