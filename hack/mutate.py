"""Take each guard out of a copy of the package, and see that its test turns red.

    hack/mutate.py [HAZARD …]

Each line of the table (`mutations.py`) is a change that removes one guard, and the test that must then fail.
A change that no longer fits the source is an error as well, so the table follows the code. The product itself
is never touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutations import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[1]
AT_ONCE = 2
BOUND_SECONDS = 600


def main(wanted: Sequence[str]) -> int:
    """0 if every mutation of the wanted hazards was noticed."""
    known = {each.hazard.split()[0] for each in MUTATIONS}
    if unknown := set(wanted) - known:
        print(f"no guard is named {sorted(unknown)}; there are {sorted(known)}", file=sys.stderr)
        return 2
    chosen = [each for each in MUTATIONS if not wanted or each.hazard.split()[0] in wanted]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
    started = time.monotonic()
    require_green({each.test for each in chosen})
    with ThreadPoolExecutor(AT_ONCE) as pool:
        noticed = list(pool.map(tried, chosen))
    print(
        f"{len(chosen)} guards taken out, {sum(noticed)} noticed; "
        f"{time.monotonic() - started:.0f} s, commit {commit.stdout.strip()}"
    )
    return 0 if all(noticed) else 1


def tried(mutation: Mutation) -> bool:
    """One line of the result, as soon as it is known."""
    started = time.monotonic()
    noticed = is_noticed(mutation)
    print(
        f"{mutation.hazard:20} {'red' if noticed else 'SURVIVED':9} {time.monotonic() - started:5.0f} s  "
        f"{mutation.file}: {mutation.test}",
        flush=True,
    )
    return noticed


def require_green(tests: Collection[str]) -> None:
    """With every guard in place, since a test that fails anyway notices nothing."""
    done = pytest(ROOT / "operator", sorted(tests), BOUND_SECONDS * AT_ONCE)
    if done.returncode != 0:
        raise SystemExit(f"the tests fail with nothing taken out\n{done.stdout[-2000:]}{done.stderr[-1000:]}")


def pytest(package: Path, tests: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def is_noticed(mutation: Mutation) -> bool:
    """Whether the test fails on a package without the guard."""
    with tempfile.TemporaryDirectory(prefix="dualtrack-mutant-") as home:
        package = Path(home) / "operator"
        shutil.copytree(ROOT / "operator", package, ignore=shutil.ignore_patterns("__pycache__"))
        path = package / "dualtrack" / "engine" / mutation.file
        source = path.read_text()
        if source.count(mutation.old) != 1:
            raise SystemExit(
                f"{mutation.hazard}: {mutation.file} holds the guard {source.count(mutation.old)} times, not "
                "once; the table in hack/mutate.py is out of date"
            )
        path.write_text(source.replace(mutation.old, mutation.new))
        try:
            done = pytest(package, [mutation.test], BOUND_SECONDS)
        except subprocess.TimeoutExpired:
            return True  # a guard may also be what ends a loop
    if done.returncode < 0:
        return True  # the signal that the guard was there to prevent
    if done.returncode not in (0, 1):
        raise SystemExit(
            f"{mutation.hazard}: pytest itself failed\n{done.stdout[-2000:]}{done.stderr[-1000:]}"
        )
    return done.returncode == 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
