"""Several drives together list what their own server listed: every version, in its order, with its fields."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine.drive import Drive
from dualtrack.engine.entries import Entry
from dualtrack.engine.inventory import Tally
from dualtrack.engine.sets.merge import Deviation
from dualtrack.engine.sets.topology import group
from dualtrack.engine.sets.view import DriveSource, SetView
from dualtrack.errors import DriveError
from told import LEFT_OUT, assert_as_told, told, unlisted

Pristine = Callable[[str], Path]
Oracle = Callable[[str], dict[str, Any]]

CASES = ["minio-8d-2sets", "minio-4d-stale", "rustfs-4d"]


def view_of(paths: Sequence[Path]) -> SetView:
    drives = [Drive.open(path) for path in paths]
    return SetView(group(drives), [DriveSource.of(drive) for drive in drives])


def listed(view: SetView) -> tuple[list[Entry], Tally]:
    tally = Tally()
    found = [entry for bucket in view.buckets() for entry in view.entries(bucket, tally)]
    return [entry for entry in found if entry.bucket != LEFT_OUT], tally


def paths(pristine: Pristine, case: str) -> list[Path]:
    return sorted(pristine(case).glob("d?"))


@pytest.mark.parametrize("case", CASES)
def test_every_version_is_there_with_what_the_api_says(case: str, pristine: Pristine, oracle: Oracle) -> None:
    view = view_of(paths(pristine, case))
    found, tally = listed(view)
    assert tally.problems == []
    entries = {(entry.bucket, entry.key, entry.version_id): entry for entry in found}
    assert len(entries) == len(found)
    expected, hidden = told(oracle(case)), unlisted(oracle(case))
    assert set(entries) - hidden == set(expected) - hidden
    assert hidden <= set(entries)
    assert {bucket for bucket in view.buckets() if bucket != LEFT_OUT} == set(oracle(case)["buckets"]) - {
        LEFT_OUT
    }
    places = [
        (bucket, os.fsencode(key), -entry.last_modified_ns) for (bucket, key, _), entry in entries.items()
    ]
    assert places == sorted(places)
    for identity, version in expected.items():
        assert_as_told(identity, entries[identity], version)


def test_the_order_of_the_drives_does_not_matter(pristine: Pristine) -> None:
    ordered = paths(pristine, "minio-8d-2sets")
    shuffled = [ordered[place] for place in (5, 0, 7, 2, 4, 1, 6, 3)]
    identity = [(e.bucket, e.key, e.version_id, e.etag, e.is_latest) for e in listed(view_of(ordered))[0]]
    assert identity == [
        (e.bucket, e.key, e.version_id, e.etag, e.is_latest) for e in listed(view_of(shuffled))[0]
    ]


def test_a_drive_that_was_away_is_told_from_one_that_is_not_named(pristine: Pristine) -> None:
    stale = view_of(paths(pristine, "minio-4d-stale"))
    listed(stale)
    away = {path for path, _ in stale.deviations.counts}
    assert {Path(path).name for path in away} == {"d4"}
    assert all(stale.deviations.of(each) for each in (Deviation.MISSING, Deviation.STALE, Deviation.EXTRA))
    assert list(stale.deployment.missing()) == []

    without = view_of(paths(pristine, "minio-4d-stale")[:3])
    found, tally = listed(without)
    assert len(list(without.deployment.missing())) == 1
    assert [e.to_json() for e in found] == [e.to_json() for e in listed(stale)[0]]
    assert tally.problems == []


def test_half_of_a_set_cannot_decide_what_only_one_of_them_has(pristine: Pristine) -> None:
    """Of EC 2+2 a good and a stale drive: each write that only one of them has is named, none is guessed."""
    chosen = paths(pristine, "minio-4d-stale")[2:]
    found, tally = listed(view_of(chosen))
    undecided = {(problem.bucket, problem.key) for problem in tally.problems}
    assert {problem.reason for problem in tally.problems} == {"no-quorum"}
    whole = {
        (e.bucket, e.key, e.version_id): e for e in listed(view_of(paths(pristine, "minio-4d-stale")))[0]
    }
    for entry in found:
        known = whole.get((entry.bucket, entry.key, entry.version_id))
        assert (entry.bucket, entry.key) in undecided or (known is not None and known.etag == entry.etag)
    assert {(bucket, key) for bucket, key, _ in whole} <= undecided | {(e.bucket, e.key) for e in found}


def test_drives_of_two_servers_and_one_drive_twice_are_refused(pristine: Pristine) -> None:
    one, other = pristine("minio-4d-stale") / "d1", pristine("rustfs-4d") / "d1"
    with pytest.raises(DriveError, match="deployment"):
        view_of([one, other])
    with pytest.raises(DriveError, match="named twice"):
        view_of([one, one])


def test_what_single_drives_cannot_read_the_others_decide(drives: Callable[[str], Path]) -> None:
    chosen = sorted(drives("minio-4d-stale").glob("d?"))
    before = [entry.to_json() for entry in listed(view_of(chosen))[0]]
    broken = chosen[0] / "unv/new/xl.meta"
    assert broken.is_file()
    broken.write_bytes(b"XL2 damaged" + broken.read_bytes()[11:])
    link = next(path for path in sorted((chosen[1] / "ver").rglob("xl.meta")))
    link.unlink()
    link.symlink_to("/etc/passwd")
    view = view_of(chosen)
    found, tally = listed(view)
    assert [entry.to_json() for entry in found] == before
    assert tally.problems == []
    assert view.deviations.counts[str(chosen[0]), Deviation.DAMAGED] == 1
    assert view.deviations.counts[str(chosen[1]), Deviation.DAMAGED] == 1


def test_what_too_many_drives_cannot_read_is_named(drives: Callable[[str], Path]) -> None:
    chosen = sorted(drives("minio-4d-stale").glob("d?"))
    for drive in chosen[:3]:
        (drive / "unv/new/xl.meta").write_bytes(b"XL2 damaged")
    found, tally = listed(view_of(chosen))
    assert ("unv", "new") not in {(entry.bucket, entry.key) for entry in found}
    assert [(problem.key, problem.reason) for problem in tally.problems] == [("new", "no-quorum")]


def test_the_command_names_what_deviates_and_ends_well(pristine: Pristine) -> None:
    options = [word for path in paths(pristine, "minio-4d-stale") for word in ("--drive", str(path))]
    code = "import sys; from dualtrack.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "engine", "inventory", *options, "--format", "jsonl"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) == 36
    assert "18 missing" in ended.stderr
    assert "bgone" in ended.stderr
