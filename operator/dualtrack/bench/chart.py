"""Draws a benchmark's figures as an SVG: a strip a figure, a dot a sample, a bar at the median, a line at the
target. Every strip has a scale of its own from zero, so that seconds and ratios stand side by side, unless it
says where its scale ends, to be held against others; and what a chart shows is the scatter as well as the
middle.

Pure: figures in, text out. Plain SVG by hand, because nothing here is worth a plotting library; colours that
can be read on white and on dark pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Protocol

WIDTH, LEFT, RIGHT, TOP, STRIP = 960, 330, 250, 64, 44
_SCALE = WIDTH - LEFT - RIGHT
_GOOD, _MISSED, _PLAIN, _TEXT = "#2e8b57", "#d2691e", "#4a7ebb", "#808080"


class Strip(Protocol):
    """What a chart needs of a figure."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> float: ...
    @property
    def unit(self) -> str: ...
    @property
    def target(self) -> float | None: ...
    @property
    def better(self) -> str: ...
    @property
    def ceiling(self) -> float | None: ...
    @property
    def samples(self) -> Sequence[float]: ...
    @property
    def reached(self) -> bool | None: ...


def draw(title: str, told: str, strips: Sequence[Strip]) -> str:
    """The chart. `told` says below the title where and when it was measured."""
    height = TOP + STRIP * len(strips) + 12
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="13" fill="{_TEXT}">',
        f'<text x="12" y="24" font-size="17" font-weight="bold">{escape(title)}</text>',
        f'<text x="12" y="44" font-size="12">{escape(told)}</text>',
    ]
    for number, strip in enumerate(strips):
        lines += _strip(strip, TOP + STRIP * number)
    return "\n".join([*lines, "</svg>", ""])


def _strip(strip: Strip, top: int) -> list[str]:
    middle = top + STRIP // 2
    samples = strip.samples or (strip.value,)
    most = 1.1 * max(*samples, strip.value, strip.target or 0.0, strip.ceiling or 0.0) or 1.0
    colour = {True: _GOOD, False: _MISSED, None: _PLAIN}[strip.reached]

    def at(value: float) -> str:
        return f"{LEFT + _SCALE * value / most:.1f}"

    lines = [
        f'<text x="12" y="{middle + 4}">{escape(strip.name)}</text>',
        f'<line x1="{LEFT}" y1="{middle}" x2="{WIDTH - RIGHT}" y2="{middle}" stroke="{_TEXT}" '
        'stroke-opacity="0.3"/>',
    ]
    if strip.target is not None:
        lines.append(
            f'<line x1="{at(strip.target)}" y1="{top + 4}" x2="{at(strip.target)}" y2="{top + STRIP - 4}" '
            f'stroke="{_TEXT}" stroke-dasharray="4 3"/>'
        )
    lines += [
        f'<circle cx="{at(sample)}" cy="{middle}" r="4" fill="{colour}" fill-opacity="0.4"/>'
        for sample in samples
    ]
    lines += [
        f'<line x1="{at(strip.value)}" y1="{middle - 10}" x2="{at(strip.value)}" y2="{middle + 10}" '
        f'stroke="{colour}" stroke-width="3"/>',
        f'<text x="{WIDTH - RIGHT + 14}" y="{middle + 4}">{escape(_told(strip))}</text>',
    ]
    return lines


def _told(strip: Strip) -> str:
    target = ""
    if strip.target is not None:
        target = f", target {'≥' if strip.better == 'higher' else '≤'} {number(strip.target)}"
    return f"{number(strip.value)} {strip.unit}{target}"


def number(value: float) -> str:
    """Three digits that say something, or all of a large number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
