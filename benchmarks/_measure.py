"""How things are measured: interleaved, in many short rounds, as medians of paired ratios.

A machine gets slower and faster while one looks at it, and other people's processes come and go. So what is measured
and its floor take turns, a few milliseconds each, and each round gives one ratio: a slow moment hits both sides of
it. The median of these ratios is the figure; half their interquartile range is reported as its noise.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

__all__ = [
    "CASES",
    "Bench",
    "Case",
    "Function",
    "Row",
    "Skip",
    "case",
    "compare",
    "compare_speed",
    "interleave",
    "spread",
]

Function: TypeAlias = Callable[[], Any]

_TURN = 0.005
"""Seconds that a fast function runs before the other one has its turn."""


@dataclass(frozen=True)
class Bench:
    """The setting of a run, as a case gets it.

    Attributes
    ----------
    folder : Path
        An empty folder of the case's own, removed after it.
    quick : bool
        Whether only to see that the case runs: tiny sizes and two rounds, figures that mean nothing.
    """

    folder: Path
    quick: bool = False

    def rounds(self, full: int) -> int:
        """Return how many rounds to measure."""
        return 2 if self.quick else full

    def size(self, full: int) -> int:
        """Return how large to make something."""
        return max(full // 1000, 1) if self.quick else full


@dataclass(frozen=True)
class Row:
    """What a case found.

    Attributes
    ----------
    measured : float
        The figure, in `unit`.
    reach : float
        What it must be: at most that, or at least that if `at_least`.
    unit : str
        Of both; ``x`` followed by the floor's name for a ratio.
    noise : float
        Half the interquartile range of the figure over the rounds, in `unit`.
    times : mapping of str to sequence of float
        Name -> seconds per call, round by round, of everything that was timed; the table shows minimum and median.
    note : str
        A further figure for people.
    """

    measured: float
    reach: float
    unit: str
    noise: float = 0.0
    at_least: bool = False
    times: Mapping[str, Sequence[float]] = field(default_factory=dict)
    note: str = ""

    @property
    def reached(self) -> bool:
        """Whether the figure is what it must be."""
        return self.measured >= self.reach if self.at_least else self.measured <= self.reach


class Skip(Exception):
    """A case that cannot run on this machine, and why."""


class Case(NamedTuple):
    """A case: its name on the command line, what it says in the table, and how it is measured."""

    name: str
    title: str
    measure: Callable[[Bench], Row]


CASES: dict[str, Case] = {}
"""Every case, by name, in the order of the table."""


def case(name: str, title: str) -> Callable[[Callable[[Bench], Row]], Callable[[Bench], Row]]:
    """Enter the decorated function into :data:`CASES`."""

    def enter(measure: Callable[[Bench], Row]) -> Callable[[Bench], Row]:
        CASES[name] = Case(name, title, measure)
        return measure

    return enter


def interleave(functions: Sequence[Function], rounds: int, *, before: Function | None = None) -> list[list[float]]:
    """Return, per function, seconds per call of each round.

    Parameters
    ----------
    functions : sequence of callables
        Take turns; who begins changes from round to round. Each is called once beforehand, to warm up.
    rounds : int
        How many.
    before : callable, optional
        Called, off the clock, before every single call; for slow functions that need a clean slate.
    """
    counts = [_calls_per_turn(function, before) for function in functions]
    times: list[list[float]] = [[] for _ in functions]
    order = list(range(len(functions)))
    for _ in range(rounds):
        for index in order:
            times[index].append(_turn(functions[index], counts[index], before))
        order.reverse()
    return times


def _calls_per_turn(function: Function, before: Function | None) -> int:
    once = _turn(function, 1, before)
    if before is not None or once > _TURN:
        return 1
    few = _turn(function, 3, None)  # warm by now
    return max(1, round(_TURN / few))


def _turn(function: Function, calls: int, before: Function | None) -> float:
    if before is not None:
        before()
    gc.collect()
    gc.disable()
    try:
        if calls == 1:
            start = perf_counter()
            result = function()
            seconds = perf_counter() - start
            del result  # off the clock: to give back a gigabyte takes a while, and is nobody's load time
            return seconds
        start = perf_counter()
        for _ in repeat(None, calls):
            function()
        return (perf_counter() - start) / calls
    finally:
        gc.enable()


def spread(values: Sequence[float]) -> float:
    """Return half the interquartile range of `values`."""
    if len(values) < 2:
        return 0.0
    low, _, high = quantiles(values, n=4, method="inclusive")
    return (high - low) / 2


def compare(
    ours: Function,
    floor: Function,
    *,
    name: str,
    reach: float,
    rounds: int,
    before: Function | None = None,
    note: str = "",
) -> Row:
    """Return the row of how many times as long as `floor`, which goes by `name`, `ours` takes."""
    ours_times, floor_times = interleave([ours, floor], rounds, before=before)
    ratios = [mine / its for mine, its in zip(ours_times, floor_times, strict=True)]
    times = {"ours": ours_times, name: floor_times}
    return Row(median(ratios), reach, f"x {name}", spread(ratios), times=times, note=note)


def compare_speed(ours: Function, floor: Function, *, name: str, reach: float, rounds: int, before: Function) -> Row:
    """Return the row of what part of the speed of `floor`, which goes by `name`, `ours` has: at least `reach`."""
    ours_times, floor_times = interleave([ours, floor], rounds, before=before)
    ratios = [its / mine for mine, its in zip(ours_times, floor_times, strict=True)]
    times = {"ours": ours_times, name: floor_times}
    return Row(median(ratios), reach, f"x speed of {name}", spread(ratios), at_least=True, times=times)
