"""Whole numbers on a command line, within bounds, and a message that names the bounds."""

from __future__ import annotations

import argparse
from collections.abc import Callable

MOST = 2**63 - 1
"""What a store, a wire format and Kubernetes hold alike."""


def whole(least: int = 0, most: int = MOST) -> Callable[[str], int]:
    """A `type=` for argparse."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            above = f"from {least}" if most == MOST else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number {above}")
        return number

    return parse
