"""`make test-long`: run the long suites, and record what they did in docs/internals/test-long.md.

Three lanes side by side, which end at about the same time (the page has each suite's): the soak, which runs
for an hour of the clock; the state machine and what follows it; all others. The page is a record of the last
full run, so it is written only when every suite ran: arguments go to pytest and make a partial run in one
lane, which records nothing.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUITES = ROOT / "tests" / "long"
PAGE = ROOT / "docs" / "internals" / "test-long.md"
MARK = "<!-- written by make test-long -->"
MOST_LINES = 12
NAMED_LANES = (
    ("test_soak.py",),
    ("test_state_machine.py", "test_levels_and_kills.py", "test_write_crash_states.py"),
)


def main(arguments: list[str]) -> int:
    """Run; 0 only if every suite passed."""
    os.environ.setdefault("DUALTRACK_SEED", str(random.SystemRandom().randrange(1 << 32)))
    if arguments:
        return subprocess.run([sys.executable, "-m", "pytest", str(SUITES), *arguments], cwd=ROOT).returncode
    begun, started = datetime.now(UTC), time.monotonic()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    running = [start(number, suites) for number, suites in enumerate(lanes())]
    failed = [run.wait() for run, _ in running]
    reports = [report for _, report in running]
    if not all(report.exists() for report in reports):
        print(
            "a lane was ended from outside: this was no full run, and the record stays as it was",
            file=sys.stderr,
        )
        return 1
    record(reports, commit, begun, time.monotonic() - started)
    return max(failed)


def lanes() -> list[list[Path]]:
    """Every suite in one lane; the last takes what no other names, so that a new suite is never left out."""
    named = [[SUITES / suite for suite in lane] for lane in NAMED_LANES]
    return [*named, sorted(set(SUITES.glob("test_*.py")) - {suite for lane in named for suite in lane})]


def start(lane: int, suites: list[Path]) -> tuple[subprocess.Popen[bytes], Path]:
    """One pytest over these suites; it and the report that it will write."""
    report = ROOT / ".cache" / f"test-long-{lane}.xml"
    report.parent.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    # A folder of its own: pytest removes old ones of the shared place, and two that begin at once meet there.
    home = tempfile.mkdtemp(prefix=f"dualtrack-long-{lane}-")
    options = ["-v", "-o", "junit_family=xunit1", f"--junitxml={report}", f"--basetemp={home}"]
    command = [sys.executable, "-m", "pytest", *options, *map(str, suites)]
    return subprocess.Popen(command, cwd=ROOT), report


def record(reports: list[Path], commit: str, begun: datetime, seconds: float) -> None:
    """Replace the page's record by this run's: a line for each test with all its cases."""
    cases: dict[str, list[ET.Element]] = {}
    for report in reports:
        for case in ET.parse(report).iter("testcase"):
            cases.setdefault(name(case), []).append(case)
    rows = "\n".join(row(test, found) for test, found in cases.items())
    told = "\n".join(line for test, found in cases.items() for line in said(test, found))
    text = (
        f"{MARK}\n\nRun of {begun:%Y-%m-%d %H:%M} UTC at commit `{commit}`, {seconds / 60:.0f} minutes, "
        f"seed {os.environ['DUALTRACK_SEED']}.\n\n| test | cases | time | result |\n|---|---|---|---|\n"
        f"{rows}\n\n{told}\n"
    )
    head = PAGE.read_text().split(MARK)[0]
    PAGE.write_text(head + text)


def name(case: ET.Element) -> str:
    """A test's name as the page has it, without the case's parameters."""
    return f"{case.get('classname', '').rsplit('.', 1)[-1]}::{case.get('name', '').split('[')[0]}"


def row(test: str, cases: list[ET.Element]) -> str:
    """Its line of the table; a case that did not pass is named."""
    seconds = sum(float(case.get("time", 0)) for case in cases)
    wrong = [f"{result(case)}: {case.get('name')}" for case in cases if result(case) != "passed"]
    return f"| {test} | {len(cases)} | {seconds:.0f} s | {'; '.join(wrong) or 'passed'} |"


def said(test: str, cases: list[ET.Element]) -> list[str]:
    """What its cases told; of those that tell a line for each of hundreds of steps, how many."""
    lines = [
        str(line.get("value"))
        for case in cases
        for line in case.iter("property")
        if line.get("name") == "told"
    ]
    if len(lines) > MOST_LINES:
        return [f"- {test}: {len(lines)} lines, in the run's output"]
    return [f"- {line}" for line in lines]


def result(case: ET.Element) -> str:
    """What became of it, as pytest wrote it down."""
    return next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
