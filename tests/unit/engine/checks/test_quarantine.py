"""Quarantined objects, by name: told, tried again, copied, and waived as they are."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine.drive import Drive
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.quarantine import all_quarantined
from dualtrack.engine.quarantine_report import export, report
from dualtrack.engine.retrying import retry
from dualtrack.engine.rows import RowState
from dualtrack.engine.waiving import Waiver, all_waivers, waive, withdraw
from dualtrack.errors import IncompleteError, MarkerError, RefusedError
from layers import mark
from sweepbench import Bench

Place = tuple[str, str]
BROKEN = b"XL2 nothing"


@pytest.fixture
def sound(bench: Bench, some: Place) -> bytes:
    """The bytes of `some` before it was broken and swept into the quarantine."""
    data = bench.file(*some).read_bytes()
    bench.file(*some).write_bytes(BROKEN)
    bench.migrate()
    return data


def waiver(place: Place, data: bytes = BROKEN) -> Waiver:
    return Waiver(*place, sha256(data).hexdigest(), "an import that never finished")


def test_what_reads_well_again_becomes_a_row_and_leaves(bench: Bench, some: Place, sound: bytes) -> None:
    bench.file(*some).write_bytes(sound)
    with bench.owner() as owner:
        task = bench.task(owner)
        retry(task)
        row = owner.get(*some)
        assert row is not None
        assert (row.state, row.data) == (RowState.PRESENT, sound)
        assert list(all_quarantined(owner)) == []
    assert (task.counts["mended"], task.committed) == (1, 1)
    bench.verify()


def test_what_does_not_is_counted_as_one_more_attempt(bench: Bench, some: Place, sound: bytes) -> None:
    with bench.owner() as owner:
        before = next(all_quarantined(owner))
        for _ in range(2):
            with pytest.raises(IncompleteError, match=some[1]):
                retry(bench.task(owner))
        after = next(all_quarantined(owner))
    assert (before.attempts, after.attempts) == (1, 3)
    assert (after.first_seen, after.reason) == (before.first_seen, before.reason)


def test_a_file_that_is_gone_is_left_to_the_sweep(bench: Bench, some: Place, sound: bytes) -> None:
    bench.file(*some).unlink()
    with bench.owner() as owner:
        with pytest.raises(IncompleteError, match="has no file any more; run migrate"):
            retry(bench.task(owner))
        assert len(list(all_quarantined(owner))) == 1
        row = owner.get(*some)
        assert row is not None
        assert row.state is RowState.FS_RESIDENT


def test_a_dry_run_of_a_retry_changes_nothing(bench: Bench, some: Place, sound: bytes) -> None:
    bench.file(*some).write_bytes(sound)
    with bench.owner() as owner:
        task = bench.task(owner, dry_run=True)
        retry(task)
        assert task.counts["mended"] == 1
        assert len(list(all_quarantined(owner))) == 1


def test_it_refuses_where_rows_lead_and_what_is_not_quarantined(
    bench: Bench, some: Place, sound: bytes
) -> None:
    with bench.owner() as owner:
        with pytest.raises(RefusedError, match="no/such is not in quarantine"):
            retry(bench.task(owner), [("no", "such")])
        mark(bench.drive, MarkerState.KV_ONLY)
        with pytest.raises(MarkerError, match="restore first"):
            retry(bench.task(owner))
        assert next(all_quarantined(owner)).attempts == 1


def test_a_waived_object_lets_a_verification_pass_until_its_file_changes(
    bench: Bench, some: Place, sound: bytes
) -> None:
    with pytest.raises(IncompleteError):
        bench.verify()
    with bench.owner() as owner:
        waive(bench.task(owner), [waiver(some)])
        (told,) = report(Drive.open(bench.drive), owner)
        assert told.standing == "waived"
    assert bench.verify().counts["quarantined"] == 1
    bench.file(*some).write_bytes(BROKEN + b"!")
    with pytest.raises(IncompleteError, match="not in the store"):
        bench.verify()
    with bench.owner() as owner:
        (told,) = report(Drive.open(bench.drive), owner)
    assert (told.standing, told.sha256) == ("void", sha256(BROKEN + b"!").hexdigest())


def test_a_waiver_in_the_store_is_none_of_a_jobs(bench: Bench, some: Place, sound: bytes) -> None:
    """In the cluster the MetadataMigration says what is waived, and nothing else does."""
    with bench.owner() as owner:
        waive(bench.task(owner), [waiver(some)])
    assert bench.verify(strict=False).counts["unwaived"] == 1


def test_a_waiver_of_another_content_or_object_is_refused_whole(
    bench: Bench, some: Place, sound: bytes
) -> None:
    with bench.owner() as owner:
        for wrong in (waiver(some, b"other"), waiver(("no", "such"))):
            with pytest.raises(RefusedError, match="nothing was recorded"):
                waive(bench.task(owner), [waiver(some), wrong])
        assert list(all_waivers(owner)) == []


def test_a_waiver_can_be_taken_back(bench: Bench, some: Place, sound: bytes) -> None:
    with bench.owner() as owner:
        waive(bench.task(owner), [waiver(some)])
        withdraw(bench.task(owner), [some])
        assert list(all_waivers(owner)) == []
    with pytest.raises(IncompleteError):
        bench.verify()


def test_an_export_copies_what_lies_there_and_overwrites_nothing(
    bench: Bench, some: Place, sound: bytes, tmp_path: Path
) -> None:
    target = tmp_path / "away"
    drive = Drive.open(bench.drive)
    with bench.owner() as owner:
        for _ in range(2):
            assert export(drive, owner, str(target)) == 1
        with pytest.raises(RefusedError, match="lies on the drive"):
            export(drive, owner, str(bench.drive / "copies"))
    (line,) = (target / "quarantine.jsonl").read_text().splitlines()
    fields = json.loads(line)
    assert (fields["bucket"], fields["key"], fields["attempts"]) == (*some, 1)
    assert (target / fields["file"]).read_bytes() == BROKEN
    assert not (bench.drive / "copies").exists()


def test_the_command_lists_waives_and_takes_back(
    bench: Bench, some: Place, sound: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "/".join(some)
    where = ["--drive", str(bench.drive), "--store", str(bench.store)]
    digest = sha256(BROKEN).hexdigest()

    def run(step: str, *options: str) -> int:
        return main(["engine", "quarantine", step, *where, *options])

    def standing() -> str:
        assert run("list", "--format", "jsonl") == 0
        fields = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (fields["bucket"], fields["key"], fields["sha256"]) == (*some, digest)
        return str(fields["waiver"])

    assert standing() == "open"
    assert run("waive", "--object", name) == 2
    assert run("waive", "--object", name, "--sha256", "0" * 64, "--reason", "known") == 40
    assert run("waive", "--object", name, "--sha256", digest, "--reason", "known", "--dry-run") == 0
    assert standing() == "open"
    assert run("waive", "--object", name, "--sha256", digest, "--reason", "known") == 0
    assert standing() == "waived"
    assert run("waive", "--object", name, "--withdraw") == 0
    assert standing() == "open"
    assert run("retry", "--object", name) == 50
    assert run("list") == 0
    assert f"{name}  " in capsys.readouterr().out


def test_a_look_does_not_end_a_run_that_is_at_work(bench: Bench, some: Place, sound: bytes) -> None:
    with bench.owner() as owner:
        before = owner.info().fence
    assert (
        main(["engine", "quarantine", "list", "--drive", str(bench.drive), "--store", str(bench.store)]) == 0
    )
    with bench.owner() as owner:
        assert owner.info().fence == before


def test_thousands_of_quarantined_objects_are_judged_by_the_whole_list(bench: Bench, some: Place) -> None:
    """A result names ten; what it is judged by is the digest of all."""
    broken = [(some[0], f"broken/{number:04d}") for number in range(300)]
    for place in broken:
        path = bench.file(*place)
        path.parent.mkdir(parents=True)
        path.write_bytes(BROKEN)
    bench.migrate()
    accepted = [waiver(place) for place in broken]
    task = bench.verify(strict=False, waived=frozenset(each.id for each in accepted))
    assert (task.counts["quarantined"], task.counts["unwaived"]) == (300, 0)
    task = bench.verify(strict=False, waived=frozenset(each.id for each in accepted[1:]))
    assert (task.counts["unwaived"], len(task.names)) == (1, 1)
