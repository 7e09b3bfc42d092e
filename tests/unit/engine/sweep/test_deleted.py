"""What a sweep takes for deleted: how much of it it may, that it is kept before, and how it comes back."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import departed, kept_values
from dualtrack.engine.departed import Accepted
from dualtrack.engine.history import history
from dualtrack.engine.put_back import Staged, Writer
from dualtrack.engine.rows import Row, RowState
from dualtrack.errors import IncompleteError, StoreCorruptError, UsageError
from layers import days_pass
from smalldrive import BUCKET, small_bench
from sweepbench import Bench

NOW = datetime(2026, 11, 26, 7, tzinfo=UTC)


@pytest.fixture
def ten(minio_drive: Path, tmp_path: Path) -> Bench:
    """Ten objects in one bucket, swept."""
    bench = small_bench(minio_drive, tmp_path, 10)
    bench.migrate()
    return bench


def lose(bench: Bench, *keys: str) -> dict[str, bytes]:
    """Objects vanish as a lost directory does; answers what their files were."""
    lost = {key: bench.file(BUCKET, key).read_bytes() for key in keys}
    for key in keys:
        shutil.rmtree(bench.file(BUCKET, key).parent)
    return lost


def states(bench: Bench) -> dict[str, RowState]:
    with bench.owner() as owner:
        return {row.key: row.state for row in owner.scan(None, 1_000) if row.bucket == BUCKET}


def kept(bench: Bench) -> dict[str, bytes]:
    return {row.key: row.data for _, row in kept_values.kept(str(bench.drive))}


def numbered(*numbers: int) -> list[str]:
    return [f"{number:02d}" for number in numbers]


@pytest.mark.parametrize("lost", [6, 10])
def test_a_small_bucket_that_lost_more_than_half_stops_the_sweep(ten: Bench, lost: int) -> None:
    lose(ten, *numbered(*range(lost)))
    with pytest.raises(IncompleteError, match=f"{lost} of 10 rows of bucket {BUCKET}.*accept-deletions"):
        ten.migrate()
    assert set(states(ten).values()) == {RowState.PRESENT}
    assert kept(ten) == {}
    ten.migrate(accepted=Accepted(everything=True))
    assert sum(state is RowState.TOMBSTONE for state in states(ten).values()) == len(kept(ten)) == lost


def test_what_is_accepted_is_accepted_of_one_bucket_and_up_to_a_number(ten: Bench) -> None:
    lose(ten, *numbered(*range(6)))
    lost = f"6 of 10 rows of bucket {BUCKET} have no file any more, more than 5"
    for other in ({BUCKET: 5}, {"another": 6}):
        with pytest.raises(IncompleteError, match=lost):
            ten.migrate(accepted=Accepted(of=other))
    ten.migrate(accepted=Accepted(of={BUCKET: 6}))
    assert sum(state is RowState.TOMBSTONE for state in states(ten).values()) == len(kept(ten)) == 6


@pytest.mark.parametrize("word", ["photos", "=3", "photos=", "photos=-1", "photos=many"])
def test_a_word_that_names_no_bucket_and_number_is_refused(word: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["engine", "migrate", "--drive", "d", "--store", "s", "--accept-deletions-of", word])
    assert "BUCKET=N" in capsys.readouterr().err


def migrated(bench: Bench, *more: str) -> int:
    return main(["engine", "migrate", "--drive", str(bench.drive), "--store", str(bench.store), *more])


def test_a_bucket_that_never_was_is_named_as_perhaps_mistyped(
    ten: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "result"
    options = ["--accept-deletions-of", "nobucket=3", "--accept-deletions-of", f"{BUCKET}=3"]
    assert migrated(ten, *options, "--result-file", str(result)) == 0
    told = f"--accept-deletions-of nobucket=…: {ten.drive} has no bucket of that name, and never had"
    assert told in capsys.readouterr().err
    assert told in json.loads(result.read_text())["warning"]


def test_what_was_accepted_may_be_said_again_when_nothing_is_left_to_delete(
    ten: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(ten.drive / BUCKET)
    for _ in range(2):
        assert migrated(ten, "--accept-deletions-of", f"{BUCKET}=10") == 0
        assert "warning" not in capsys.readouterr().err
    assert set(states(ten).values()) == {RowState.TOMBSTONE}


def test_two_numbers_for_one_bucket_are_refused(ten: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--accept-deletions-of", f"{BUCKET}=3", "--accept-deletions-of", f"{BUCKET}=4"]
    assert migrated(ten, *options) == UsageError.exit_code
    assert f"--accept-deletions-of {BUCKET}: 3 or 4?" in capsys.readouterr().err


def test_the_only_object_of_a_bucket_is_not_buried_unasked(minio_drive: Path, tmp_path: Path) -> None:
    bench = small_bench(minio_drive, tmp_path, 1)
    bench.migrate()
    lose(bench, "00")
    with pytest.raises(IncompleteError, match="1 of 1 rows"):
        bench.migrate()


def test_who_accepted_too_few_is_told_of_the_number_that_was_accepted(
    ten: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departed, "FEW", 1)
    lose(ten, *numbered(*range(6)))
    with pytest.raises(IncompleteError, match=f"6 of 10 rows of bucket {BUCKET} .*, more than 3;"):
        ten.migrate(accepted=Accepted(of={BUCKET: 3}))
    monkeypatch.setattr(departed, "MOST", 2)
    with pytest.raises(IncompleteError, match=rf"6 of the first 10 rows of bucket {BUCKET} .*, more than 3;"):
        ten.migrate(accepted=Accepted(of={BUCKET: 3}))
    assert kept(ten) == {}


def test_many_small_buckets_together_stop_the_sweep(ten: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departed, "FEW", 4)
    for number in range(1, 3):
        shutil.copytree(ten.drive / BUCKET, ten.drive / f"{BUCKET}{number}")
    ten.migrate()
    for bucket in (BUCKET, f"{BUCKET}1", f"{BUCKET}2"):
        for key in ("00", "01"):
            shutil.rmtree(ten.drive / bucket / key)
    with pytest.raises(IncompleteError, match=r"6 of \d+ rows of all buckets"):
        ten.migrate()
    assert kept(ten) == {}


def test_nothing_is_buried_that_cannot_be_kept(ten: Bench) -> None:
    lost = lose(ten, "00", "01")

    def failing(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as full:
        full.setattr(kept_values, "keep", failing)
        with pytest.raises(OSError, match="No space"):
            ten.migrate()
    assert set(states(ten).values()) == {RowState.PRESENT}
    task = ten.migrate()
    assert kept(ten) == lost
    assert "deleted give-back" in str(task.notes["undo"])


def test_a_deleted_object_comes_back_as_it_was(ten: Bench, tmp_path: Path) -> None:
    lost = lose(ten, "00", "01", "02")
    before = states(ten)
    ten.migrate()
    ten.file(BUCKET, "02").parent.mkdir()
    ten.file(BUCKET, "02").write_bytes(ten.file(BUCKET, "05").read_bytes())  # written anew meanwhile
    where = ["--drive", str(ten.drive), "--store", str(ten.store)]
    objects = [word for key in ("00", "01", "02") for word in ("--object", f"{BUCKET}/{key}")]
    give = ["engine", "deleted", "give-back", *where, *objects]
    assert main([*give, "--dry-run"]) == 51
    assert not ten.file(BUCKET, "00").exists()
    assert main(give) == 51, "one of them is there, and stays"
    assert {key: ten.file(BUCKET, key).read_bytes() for key in ("00", "01")} == {
        key: lost[key] for key in ("00", "01")
    }
    assert ten.file(BUCKET, "02").read_bytes() != lost["02"]
    ten.migrate()
    assert states(ten) == before
    ten.verify()
    assert [each.begun["verb"] for each in history(str(ten.drive)).steps][-2:] == [
        "tombstone",
        "give back deleted",
    ]
    assert main(["engine", "deleted", "give-back", *where, "--object", f"{BUCKET}/07"]) == 2


def test_what_a_row_said_is_kept_when_its_file_has_become_unreadable(ten: Bench, tmp_path: Path) -> None:
    """The row goes out of service, because the file may have been newer; yet it may be all that is left."""
    file = ten.file(BUCKET, "04")
    sound = file.read_bytes()
    file.write_bytes(sound[:40] + bytes([sound[40] ^ 1]) + sound[41:])
    task = ten.migrate()
    assert task.counts["kept"] == 1
    assert states(ten)["04"] is RowState.FS_RESIDENT
    assert kept(ten) == {"04": sound}
    assert ten.migrate().counts["kept"] == 0, "of a row that says nothing there is nothing to keep"

    where = ["--drive", str(ten.drive), "--store", str(ten.store)]
    give = ["engine", "deleted", "give-back", *where, "--object", f"{BUCKET}/04"]
    assert main(give) == 51, "the file that is there is somebody's, whatever is in it"
    file.rename(tmp_path / "unreadable")
    assert main(give) == 0
    assert file.read_bytes() == sound
    ten.migrate()
    ten.verify()


def test_a_row_is_not_replaced_before_what_it_said_is_kept(
    ten: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ten.file(BUCKET, "04").write_bytes(b"XL2 and no more")

    def failing(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept_values, "keep", failing)
    with pytest.raises(OSError, match="No space"):
        ten.migrate()
    assert set(states(ten).values()) == {RowState.PRESENT}


def test_list_tells_them_without_a_store(ten: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    lost = lose(ten, "03")
    ten.migrate(now=lambda: NOW)
    assert main(["engine", "deleted", "list", "--drive", str(ten.drive), "--format", "jsonl"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"day": "20261126", "bucket": BUCKET, "key": "03", "bytes": len(lost["03"])}


def test_they_go_after_thirty_days_and_not_before(ten: Bench) -> None:
    lose(ten, "00")
    ten.migrate(now=lambda: NOW)
    days_pass(ten.drive, NOW, 31)
    lose(ten, "01")
    ten.migrate(now=lambda: NOW + timedelta(days=30, hours=16))
    assert sorted(kept(ten)) == ["00", "01"]
    lose(ten, "02")
    ten.migrate(now=lambda: NOW + timedelta(days=31, hours=17), dry_run=True)
    assert sorted(kept(ten)) == ["00", "01"], "a dry run removes nothing"
    task = ten.migrate(now=lambda: NOW + timedelta(days=31, hours=17))
    assert task.counts["expired"] == 1
    assert sorted(kept(ten)) == ["01", "02"]


def test_a_clock_that_is_weeks_ahead_ends_nothing_early(ten: Bench) -> None:
    """However often it is asked, and also for what was kept under a date of long ago."""
    days_pass(ten.drive, NOW - timedelta(days=100), 99)
    lose(ten, "00")
    ten.migrate(now=lambda: datetime(1970, 1, 1, tzinfo=UTC))
    ten.migrate(now=lambda: NOW)
    lose(ten, "01")
    ten.migrate(now=lambda: NOW)
    for number in (2, 3):
        lose(ten, f"{number:02d}")
        task = ten.migrate(now=lambda: NOW + timedelta(days=90))
        assert task.counts["expired"] == 0
    assert sorted(kept(ten)) == numbered(0, 1, 2, 3)


@pytest.mark.parametrize("swept", [False, True])
def test_what_was_written_again_since_is_not_given_back_over(ten: Bench, swept: bool) -> None:
    """Its file may be gone once more: then its row alone has what was written last."""
    first = lose(ten, "00")["00"]
    ten.migrate()
    again = ten.file(BUCKET, "05").read_bytes()
    ten.file(BUCKET, "00").parent.mkdir()
    ten.file(BUCKET, "00").write_bytes(again)
    if swept:
        ten.migrate()
        ten.file(BUCKET, "00").unlink()
    where = ["--drive", str(ten.drive), "--store", str(ten.store)]
    assert main(["engine", "deleted", "give-back", *where, "--object", f"{BUCKET}/00"]) == 51
    if swept:
        with ten.owner() as owner:
            row = owner.get(BUCKET, "00")
        assert row is not None
        assert (row.data, ten.file(BUCKET, "00").exists()) == (again, False)
        ten.migrate()
        assert kept(ten)["00"] == again != first, "which the next sweep keeps in its turn"
    else:
        assert ten.file(BUCKET, "00").read_bytes() == again


def test_a_server_that_writes_it_in_the_last_moment_is_not_written_over(
    ten: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(ten, "00")
    ten.migrate()
    again = ten.file(BUCKET, "05").read_bytes()
    real = Writer.stage

    def writing(writer: Writer, rows: list[Row]) -> list[Staged]:
        ten.file(BUCKET, "00").parent.mkdir()
        ten.file(BUCKET, "00").write_bytes(again)
        return real(writer, rows)

    monkeypatch.setattr(Writer, "stage", writing)
    where = ["--drive", str(ten.drive), "--store", str(ten.store)]
    assert main(["engine", "deleted", "give-back", *where, "--object", f"{BUCKET}/00"]) == 51
    assert ten.file(BUCKET, "00").read_bytes() == again
    assert list((ten.drive / ".dualtrack/tmp").iterdir()) == []


def test_a_torn_end_is_passed_over_and_damage_is_not(ten: Bench) -> None:
    lost = lose(ten, "00", "01")
    ten.migrate()
    (path,) = (ten.drive / ".dualtrack" / "deleted").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert kept(ten) == {"00": lost["00"]}
    path.write_bytes(whole[:40] + bytes((whole[40] ^ 1,)) + whole[41:])
    with pytest.raises(StoreCorruptError):
        kept(ten)


def test_a_damaged_value_hides_no_other(ten: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    lost = lose(ten, "00", "01")
    ten.migrate()
    (path,) = (ten.drive / ".dualtrack" / "deleted").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + bytes((whole[40] ^ 1,)) + whole[41:])
    capsys.readouterr()
    assert main(["engine", "deleted", "list", "--drive", str(ten.drive)]) == 32
    told = capsys.readouterr()
    assert [line.split("\t")[-1] for line in told.out.splitlines()] == [f"{BUCKET}/01"]
    assert f"1 kept values are damaged and not listed, all others are: {path}, byte 4" in told.err
    where = ["--drive", str(ten.drive), "--store", str(ten.store)]
    assert main(["engine", "deleted", "give-back", *where, "--object", f"{BUCKET}/01"]) == 0
    assert "may not be the latest" in capsys.readouterr().err
    assert ten.file(BUCKET, "01").read_bytes() == lost["01"]
    # With a length that cannot be, nobody knows where the next row begins.
    path.write_bytes(b"\xff" * 4 + whole[4:])
    assert main(["engine", "deleted", "list", "--drive", str(ten.drive)]) == 32
    assert capsys.readouterr().out == ""


def test_what_is_kept_after_a_torn_end_can_be_read_and_the_latest_counts(ten: Bench) -> None:
    """A Job's pod that is started again has the same fence; a fence of more digits is later."""
    drive = str(ten.drive)
    with ten.owner() as owner:
        first, second = owner.get_many([(BUCKET, "00"), (BUCKET, "01")])
    assert first is not None
    assert second is not None
    kept_values.keep(drive, NOW, 9, [first])
    (path,) = (ten.drive / ".dualtrack" / "deleted").iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    kept_values.keep(drive, NOW, 9, [second])
    kept_values.keep(drive, NOW, 10, [first])
    assert [row for _, row in kept_values.kept(drive)] == [second, first]


def test_a_row_says_no_more_than_it_did(ten: Bench) -> None:
    lose(ten, "00")
    with ten.owner() as owner:
        row = owner.get_many([(BUCKET, "00")])[0]
    ten.migrate()
    assert [found for _, found in kept_values.kept(str(ten.drive))] == [row]
