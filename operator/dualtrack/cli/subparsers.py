"""What a verb's `add_parser` is given: `argparse` has a public name for it in no version."""

from __future__ import annotations

import argparse
from typing import TypeAlias

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
