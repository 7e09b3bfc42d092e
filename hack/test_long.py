"""`make test-long`: run the long suites, and record what they did in docs/internals/test-long.md.

The page is a record of the last full run, so it is written only when every suite ran: arguments go to pytest
and make a partial run, which records nothing.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "internals" / "test-long.md"
MARK = "<!-- written by make test-long -->"


def main(arguments: list[str]) -> int:
    """Run; 0 only if every suite passed."""
    report = ROOT / ".cache" / "test-long.xml"
    report.parent.mkdir(exist_ok=True)
    begun, started = datetime.now(UTC), time.monotonic()
    command = [sys.executable, "-m", "pytest", "tests/long", f"--junitxml={report}", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        lines: list[str] = []
        for line in run.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip())
    if not arguments:
        record(report, begun, time.monotonic() - started, lines)
    return run.returncode


def record(report: Path, begun: datetime, seconds: float, lines: list[str]) -> None:
    """Replace the page's record by this run's."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    rows = "\n".join(f"| {name} | {seconds:.0f} s | {result} |" for name, seconds, result in cases(report))
    text = (
        f"{MARK}\n\nRun of {begun:%Y-%m-%d %H:%M} UTC at commit `{commit}`, {seconds / 60:.0f} minutes.\n\n"
        f"| test | time | result |\n|---|---|---|\n{rows}\n\n```\n{summary(lines)}\n```\n"
    )
    head = PAGE.read_text().split(MARK)[0]
    PAGE.write_text(head + text)


def cases(report: Path) -> list[tuple[str, float, str]]:
    """(test, seconds, result) of each, as pytest wrote them down."""
    found = []
    for case in ET.parse(report).iter("testcase"):
        result = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")
        name = f"{case.get('classname', '').rsplit('.', 1)[-1]}::{case.get('name')}"
        found.append((name, float(case.get("time", 0)), result))
    return found


def summary(lines: list[str]) -> str:
    """What the suites told of themselves: seeds and counts."""
    start = next((number for number, line in enumerate(lines) if re.search("- long suites -", line)), None)
    return "\n".join(lines[start + 1 :]) if start is not None else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
