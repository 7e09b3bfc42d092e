"""What each mode promises beyond being a dict: which track is touched, and what happens when one fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine import files, kept_values
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.objects.cache import CacheSettings
from dualtrack.engine.objects.drain import draft_reader
from dualtrack.engine.objects.errors import BucketNotEmpty, InvalidKey, NoSuchKey, Unavailable
from dualtrack.engine.objects.kv_track import KvTrack
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Attributes, Settings
from dualtrack.engine.rows import Generation, Row, RowOrigin, RowState
from dualtrack.engine.stores.protocol import Batch, Put
from dualtrack.engine.stores.transaction import ROWS
from dualtrack.errors import MarkerError, StoreError, StoreFullError, StoreLockedError
from layers import Body, Figures, mark, mode_of, new_drive, opened, sweep

LATER = bytes(100_000)
FILES_ANSWER = ["fs/0", "fs/1", "kv_primary/1/true"]


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A drive with one bucket, migrated: `small` is inline, `large` has a data directory."""
    drive = new_drive(tmp_path / "drive")
    with opened(drive, "fs/1") as layer:
        layer.create_bucket("bucket")
        put(layer, "small", b"small")
        put(layer, "large", bytes(200_000))
        layer.drain()
        sweep(layer)
    return drive


def put(layer: ObjectLayer, key: str, content: bytes) -> None:
    layer.put("bucket", key, Body(content), Attributes())


def get(layer: ObjectLayer, key: str) -> bytes:
    return b"".join(layer.read("bucket", key)[1])


def keys(layer: ObjectLayer) -> list[str]:
    return [each.key for each in layer.list_objects("bucket", "", "", "", 1000).objects]


def tree(drive: Path) -> set[tuple[str, int]]:
    """Every name below the bucket with its inode: a rename or a rewrite changes it."""
    return {(str(path), path.lstat().st_ino) for path in (drive / "bucket").rglob("*")}


def row(layer: ObjectLayer, key: str) -> Row:
    assert layer.opened.owner is not None
    found = layer.opened.owner.get("bucket", key)
    assert found is not None
    return found


def store_row(layer: ObjectLayer, changed: Row, summary: bytes = b"") -> None:
    owner = layer.opened.owner
    assert owner is not None
    owner.commit(Batch(puts=(Put(changed, summary, "any"),)))


def remade(
    old: Row, generation: Generation, *, state: RowState | None = None, data: bytes | None = None
) -> Row:
    return replace(
        old, generation=generation, state=state or old.state, data=old.data if data is None else data
    )


# -- kv_only -------------------------------------------------------------------------------------------------


def test_in_kv_only_an_inline_put_touches_no_path(drive: Path) -> None:
    with opened(drive, "kv_only") as layer:
        before = tree(drive)
        put(layer, "new/key", b"inline")
        put(layer, "small", b"overwritten")
        layer.delete("bucket", "new/key")
        assert tree(drive) == before
        assert get(layer, "small") == b"overwritten"


def test_in_kv_only_no_file_is_believed(drive: Path) -> None:
    with opened(drive, "kv_only") as layer:
        files.unlink(str(drive / "bucket/small/xl.meta"))
        assert get(layer, "small") == b"small"
        layer.delete("bucket", "large")
        with pytest.raises(NoSuchKey):
            layer.stat("bucket", "large")
        assert keys(layer) == ["small"]
        assert row(layer, "large").state is RowState.TOMBSTONE
        assert row(layer, "large").mtime_ns > row(layer, "small").mtime_ns  # cleanup goes by it


def test_in_kv_only_a_row_says_that_no_file_holds_it(drive: Path) -> None:
    with opened(drive, "kv_only") as layer:
        put(layer, "new", b"1")
        put(layer, "big", bytes(200_000))
        assert row(layer, "new").origin is RowOrigin.KV
        assert not (drive / "bucket/big/xl.meta").exists()
        assert len(list((drive / "bucket/big").glob("*/part.1"))) == 1
        layer.delete("bucket", "big")
        assert not (drive / "bucket/big").exists()


def test_in_kv_only_a_missing_row_is_unknown_until_a_sweep_of_the_epoch_is_through(drive: Path) -> None:
    with opened(drive, "kv_only") as layer:
        assert layer.opened.owner is not None
        layer.opened.owner.commit(Batch(meta={"swept_epoch": None}))
        assert get(layer, "small") == b"small"
        for question in (lambda: layer.stat("bucket", "nothing"), lambda: keys(layer)):
            with pytest.raises(Unavailable):
                question()


@pytest.mark.parametrize("mode", ["kv_only", "returning"])
def test_a_row_below_the_trust_floor_is_unavailable_where_no_file_can_answer(drive: Path, mode: str) -> None:
    with opened(drive, mode) as layer:
        owner = layer.opened.owner
        assert owner is not None
        owner.commit(Batch(meta={"trust_floor": Generation(1 << 30, 0).pack()}))
        with pytest.raises(Unavailable):
            layer.stat("bucket", "small")
        with pytest.raises(Unavailable):
            put(layer, "small", b"would lose versions")


def test_a_key_that_stays_in_its_file_is_read_and_written_there(drive: Path) -> None:
    with opened(drive, "kv_only") as layer:
        owner = layer.opened.owner
        assert owner is not None
        resident = remade(row(layer, "small"), owner.next_generation(), state=RowState.FS_RESIDENT)
        store_row(layer, resident)
        assert get(layer, "small") == b"small"
        put(layer, "small", b"still in the file")
        assert get(layer, "small") == b"still in the file"
        assert row(layer, "small").state is RowState.FS_RESIDENT
        files.unlink(str(drive / "bucket/small/xl.meta"))
        with pytest.raises(NoSuchKey):
            layer.stat("bucket", "small")


def test_a_bucket_with_rows_but_no_files_is_not_empty(drive: Path) -> None:
    with opened(drive, "kv_only") as layer:
        layer.create_bucket("other")
        layer.put("other", "key", Body(b"1"), Attributes())
        with pytest.raises(BucketNotEmpty):
            layer.delete_bucket("other")
        layer.delete("other", "key")
        layer.delete_bucket("other")
        assert not (drive / "other").exists()


def test_files_of_deleted_objects_do_not_keep_a_bucket_but_others_do(drive: Path) -> None:
    with opened(drive, "kv_only") as layer:
        put(layer, "keep", b"1")
        layer.delete("bucket", "keep")
        layer.delete("bucket", "large")
        layer.delete("bucket", "small")
        assert (drive / "bucket/small/xl.meta").exists()
        stranger = drive / "bucket/stranger"
        stranger.mkdir()
        (stranger / "xl.meta").write_bytes(b"not known to the store")
        with pytest.raises(BucketNotEmpty):
            layer.delete_bucket("bucket")
        files.unlink(str(stranger / "xl.meta"))
        layer.delete_bucket("bucket")
        assert not (drive / "bucket").exists()


def test_on_the_way_back_a_write_leaves_a_file_and_a_row_that_names_it(drive: Path) -> None:
    with opened(drive, "kv_only") as layer:
        put(layer, "only-row", b"1")
    with opened(drive, "returning") as layer:
        put(layer, "both", b"2")
        assert row(layer, "both").origin is RowOrigin.FS
        file = layer.opened.fs.read("bucket", "both")
        assert file is not None
        assert row(layer, "both").fingerprint == file.fingerprint
        assert row(layer, "both").data == file.data
        assert get(layer, "only-row") == b"1"
        layer.delete("bucket", "both")
        assert not (drive / "bucket/both").exists()


@pytest.mark.parametrize("mode", ["fs/1", "kv_primary/1/true"])
def test_after_the_way_back_a_marked_file_wins_over_a_row_of_kv_only(
    drive: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(drive, "returning") as layer:
        layer.delete("bucket", "small")
        assert row(layer, "small").origin is RowOrigin.KV
    with opened(drive, mode) as layer:
        with monkeypatch.context() as failing:
            failing.setattr(KvTrack, "put", unavailable)
            put(layer, "small", b"written again")
        assert layer.drain() == 1
        assert row(layer, "small").present
        assert get(layer, "small") == b"written again"


def unavailable(*_: object) -> None:
    raise StoreError("injected")


def test_a_marked_key_that_has_lost_its_file_is_deleted_and_its_row_kept(
    drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From `KvOnly` on, before any file was taken: a deletion that was cut off and a loss look the same."""
    with opened(drive, "returning") as layer:
        owner = layer.opened.owner
        assert owner is not None
        before = {key: row(layer, key) for key in ("small", "large")}
        assert all(found.origin is RowOrigin.FS for found in before.values())
        for key in before:
            owner.mark("bucket", key)
            files.unlink(str(drive / f"bucket/{key}/xl.meta"))

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "injected")

        with monkeypatch.context() as failing:
            failing.setattr(kept_values, "keep", full)
            assert layer.drain() == 0
        assert [row(layer, key) for key in before] == list(before.values())
        assert owner.info().journal_depth == 2
        assert layer.drain() == 2
        assert not any(row(layer, key).present for key in before)
    kept = {found.key: found.data for _, found in kept_values.kept(str(drive))}
    assert kept == {key: found.data for key, found in before.items()}


@pytest.mark.parametrize("lost", [False, True])
def test_a_marked_key_whose_row_is_damaged_stays_dirty_and_stops_no_other(drive: Path, lost: bool) -> None:
    """From `KvOnly` on nobody can tell whether its row is later than its file."""
    with opened(drive, "returning") as layer:
        owner = layer.opened.owner
        assert owner is not None
        for key in ("large", "small"):
            owner.mark("bucket", key)
        if lost:
            files.unlink(str(drive / "bucket/large/xl.meta"))
        with owner.store._write() as txn:  # type: ignore[attr-defined]
            value = bytes(txn.get(ROWS, b"bucket\0large"))
            damaged = value[:-1] + bytes((value[-1] ^ 1,))
            txn.put(ROWS, b"bucket\0large", damaged)
        assert layer.drain() == 1
        assert owner.dirty_places(10) == [("bucket", "large")]
        with owner.store._read() as txn:  # type: ignore[attr-defined]
            assert bytes(txn.get(ROWS, b"bucket\0large")) == damaged


@pytest.mark.parametrize("mode", ["kv_only", "returning"])
def test_rows_alone_take_no_two_keys_that_one_drive_could_not_hold(drive: Path, mode: str) -> None:
    with opened(drive, mode) as layer:
        files.unlink(str(drive / "bucket/small/xl.meta"))  # as a hold does
        for key in ("small/xl.meta", "small/xl.meta/below"):
            with pytest.raises(InvalidKey):
                put(layer, key, b"1")
        put(layer, "odd/xl.meta", b"1")
        put(layer, "even/xl.meta/below", b"2")
        put(layer, "plain/xl.meta-not/x", b"3")
        for key in ("odd", "even"):
            with pytest.raises(InvalidKey):
                put(layer, key, b"1")
        put(layer, "plain", b"4")
        put(layer, "odd/xl.meta", b"again")
        assert get(layer, "odd/xl.meta") == b"again"
        layer.delete("bucket", "odd/xl.meta")
        put(layer, "odd", b"now it has room")
        assert keys(layer) == ["even/xl.meta/below", "large", "odd", "plain", "plain/xl.meta-not/x", "small"]


@pytest.mark.parametrize("mode", ["kv_only", "kv_primary/1/true"])
def test_a_server_that_starts_beside_a_living_one_leaves_its_uploads_alone(drive: Path, mode: str) -> None:
    class Meanwhile(Body):
        def chunks(self) -> Iterator[bytes]:
            yield bytes(200_000)
            with suppress(StoreLockedError), opened(drive, mode):
                pass
            yield bytes(200_000)

    with opened(drive, mode) as layer:
        layer.put("bucket", "upload", Meanwhile(b""), Attributes())
        assert get(layer, "upload") == bytes(400_000)


# -- kv_primary ----------------------------------------------------------------------------------------------


def test_in_kv_primary_both_tracks_hold_a_write_before_the_answer(drive: Path) -> None:
    with opened(drive, "kv_primary/1/true") as layer:
        put(layer, "new", b"1")
        file = layer.opened.fs.read("bucket", "new")
        assert file is not None
        assert (row(layer, "new").data, row(layer, "new").fingerprint) == (file.data, file.fingerprint)
        assert layer.drain() == 0


def test_in_kv_primary_the_row_answers_and_a_dirty_key_is_read_from_its_file(drive: Path) -> None:
    with opened(drive, "kv_primary/1/true") as layer:
        owner = layer.opened.owner
        assert owner is not None
        other = row(layer, "large")
        store_row(layer, remade(row(layer, "small"), owner.next_generation(), data=other.data))
        assert layer.stat("bucket", "small").size == 200_000
        owner.mark("bucket", "small")
        assert layer.stat("bucket", "small").size == 5
        assert keys(layer) == ["large", "small"]


def test_in_kv_primary_an_old_row_and_a_missing_row_are_read_from_the_file(drive: Path) -> None:
    with opened(drive, "kv_primary/1/true") as layer:
        owner = layer.opened.owner
        assert owner is not None
        store_row(layer, remade(row(layer, "small"), owner.next_generation(), data=row(layer, "large").data))
        owner.commit(Batch(meta={"trust_floor": Generation(1 << 30, 0).pack()}))
        assert layer.stat("bucket", "small").size == 5


@contextmanager
def full_store(drive: Path, mode: str, figures: Figures, *, drain: bool = False) -> Iterator[ObjectLayer]:
    """The layer on a store whose map has no room left."""
    with opened(drive, mode, figures=figures, map_size=1 << 20, drain=drain) as layer:
        fill(layer)
        yield layer


def fill(layer: ObjectLayer) -> None:
    """Commit rows of 20 kB until the store refuses for good: pages that one transaction frees serve the next
    but one. Whatever needs as much is refused from then on."""
    owner = layer.opened.owner
    assert owner is not None
    filler = remade(row(layer, "small"), owner.next_generation(), data=bytes(20_000))
    refused = 0
    for number in count():
        try:
            store_row(layer, replace(filler, bucket="zz", key=f"filler-{number}"))
            refused = 0
        except StoreFullError:
            refused += 1
            if refused == 10:
                return


def test_with_fallback_a_full_store_fails_no_write_and_the_gap_heals(drive: Path) -> None:
    figures = Figures()
    with full_store(drive, "kv_primary/1/true", figures, drain=True) as layer:
        put(layer, "small", LATER)
        put(layer, "new", LATER)
        layer.delete("bucket", "large")
        assert get(layer, "small") == LATER
        assert keys(layer) == ["new", "small"]
    assert figures.gauges["rustfs_kv_degraded"] == 1
    with opened(drive, "kv_primary/1/true", figures=figures) as layer:
        assert get(layer, "small") == LATER
        layer.drain()
        assert row(layer, "small").data == (drive / "bucket/small/xl.meta").read_bytes()
        assert row(layer, "large").state is RowState.TOMBSTONE
        assert figures.gauges["rustfs_kv_degraded"] == 0


def test_without_fallback_a_full_store_fails_the_write(drive: Path) -> None:
    with full_store(drive, "kv_primary/1/false", Figures()) as layer, pytest.raises(Unavailable):
        put(layer, "small", LATER)


def test_in_kv_only_a_full_store_fails_the_write_and_changes_nothing(drive: Path) -> None:
    with full_store(drive, "kv_only", Figures()) as layer:
        before = tree(drive)
        with pytest.raises(Unavailable):
            put(layer, "small", LATER)
        assert get(layer, "small") == b"small"
        assert {name for name in tree(drive) - before if name[0].endswith("xl.meta")} == set()


def test_what_a_failing_store_left_dirty_before_the_cut_over_is_settled_before_kv_only_serves(
    drive: Path,
) -> None:
    with full_store(drive, "kv_primary/1/true", Figures()) as layer:
        put(layer, "small", LATER)
        layer.delete("bucket", "large")
        layer.keeping.drain = None
    with opened(drive, "kv_only") as layer:
        assert get(layer, "small") == LATER
        assert keys(layer) == ["small"]
        put(layer, "small", b"only a row")
    with opened(drive, "kv_only") as layer:
        owner = layer.opened.owner
        assert owner is not None
        owner.mark("bucket", "small")
    with opened(drive, "kv_only") as layer:
        assert get(layer, "small") == b"only a row"
        assert layer.acknowledgement()["drives"][0]["journalDepth"] == 0  # type: ignore[index]


def test_kv_only_does_not_start_while_a_dirty_key_cannot_be_read(drive: Path) -> None:
    with opened(drive, "fs/1") as layer:
        owner = layer.opened.owner
        assert owner is not None
        owner.mark("bucket", "small")
        files.unlink(str(drive / "bucket/small/xl.meta"))
        (drive / "bucket/small/xl.meta").symlink_to("nowhere")
    with pytest.raises(StoreError), opened(drive, "kv_only"):
        pass
    with opened(drive, "fs/1") as layer:
        assert layer.acknowledgement()["drives"][0]["journalDepth"] == 1  # type: ignore[index]


# -- fs with a ratio -----------------------------------------------------------------------------------------


def test_rows_follow_files_through_the_journal_also_after_a_restart(drive: Path) -> None:
    figures = Figures()
    with opened(drive, "fs/1") as layer:
        put(layer, "small", b"not drained")
        put(layer, "new", b"2")
        layer.delete("bucket", "large")
        assert layer.acknowledgement()["drives"][0]["journalDepth"] == 3  # type: ignore[index]
        layer.keeping.drain = None
    with opened(drive, "fs/1", figures=figures) as layer:
        assert figures.gauges["rustfs_dual_track_journal_depth"] == 3
        assert layer.drain() == 3
        assert row(layer, "small").data == (drive / "bucket/small/xl.meta").read_bytes()
        assert row(layer, "large").state is RowState.TOMBSTONE


def test_the_drain_runs_by_itself(drive: Path) -> None:
    with opened(drive, "fs/1", drain=True) as layer:
        for number in range(20):
            put(layer, f"key-{number}", b"1")
    with opened(drive, "fs/1") as layer:
        assert layer.drain() == 0
        assert row(layer, "key-19").present


def test_keys_outside_the_ratio_get_no_row(drive: Path) -> None:
    mode = mode_of("fs/0.5")
    names = [f"key-{number}" for number in range(40)]
    with opened(drive, "fs/0.5") as layer:
        for name in names:
            put(layer, name, b"1")
        layer.drain()
        owner = layer.opened.owner
        assert owner is not None
        held = {name for name in names if owner.get("bucket", name)}
        assert held == {name for name in names if mode.dual("bucket", name)}
        assert {layer.track("bucket", name) for name in held} == {"dual"}


def test_a_planted_difference_is_counted_once_a_read_and_named(
    drive: Path, caplog: pytest.LogCaptureFixture
) -> None:
    figures = Figures()
    with opened(drive, "fs/1", figures=figures) as layer:
        owner = layer.opened.owner
        assert owner is not None
        layer.stat("bucket", "large")
        assert figures.counts["rustfs_consistency_checks_total"] == 1
        store_row(layer, remade(row(layer, "small"), owner.next_generation(), data=row(layer, "large").data))
        assert get(layer, "small") == b"small"
        assert figures.counts["rustfs_consistency_checks_total"] == 2
        assert figures.counts["rustfs_consistency_errors_total"] == 1
        assert "bucket=bucket key='small'" in caplog.text


def test_a_row_that_answers_in_kv_primary_is_compared_with_its_file(drive: Path) -> None:
    figures = Figures()
    with opened(drive, "kv_primary/1/true", figures=figures) as layer:
        layer.stat("bucket", "large")
        assert figures.counts["rustfs_consistency_checks_total"] == 1
        assert figures.counts["rustfs_consistency_errors_total"] == 0
        layer.opened.fs.write("bucket", "small", (drive / "bucket/large/xl.meta").read_bytes())
        layer.stat("bucket", "small")
        assert figures.counts["rustfs_consistency_errors_total"] == 1


@pytest.mark.parametrize("plant", ["other-summary", "no-entry", "entry-of-a-deleted-object"])
def test_a_row_that_answers_in_kv_only_is_compared_with_the_index(drive: Path, plant: str) -> None:
    figures = Figures()
    with opened(drive, "kv_only", figures=figures) as layer:
        owner = layer.opened.owner
        assert owner is not None
        layer.stat("bucket", "large")
        with pytest.raises(NoSuchKey):
            layer.stat("bucket", "never-there")
        assert figures.counts["rustfs_consistency_checks_total"] == 2
        assert figures.counts["rustfs_consistency_errors_total"] == 0
        listed = dict(owner.scan_index("bucket", "", None, 10))
        found = {"other-summary": {"small": listed["large"]}, "no-entry": {}}.get(
            plant, {"gone": listed["large"]}
        )
        key = "gone" if plant == "entry-of-a-deleted-object" else "small"
        layer.opened.kv.keeper = IndexOf(owner, found)
        with suppress(NoSuchKey):
            layer.stat("bucket", key)
        assert figures.counts["rustfs_consistency_errors_total"] == 1


class IndexOf:
    """The store's owner with another index: as if the two tables had come apart on disk."""

    def __init__(self, owner: Any, entries: dict[str, bytes]) -> None:
        self._owner, self._entries = owner, entries

    def __getattr__(self, name: str) -> Any:
        return getattr(self._owner, name)

    def scan_index(self, bucket: str, prefix: str, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        return [(key, entry) for key, entry in sorted(self._entries.items()) if key.startswith(prefix)][
            :limit
        ]


@pytest.mark.parametrize(
    ("plant", "errors"),
    [
        ("dirty", 0),
        ("below-the-floor", 0),
        ("no-row-before-the-sweep", 0),
        ("no-row-after-the-sweep", 1),
        ("tombstone", 1),
        ("row-without-file", 1),
    ],
)
def test_only_what_can_be_judged_is_compared(drive: Path, plant: str, errors: int) -> None:
    figures = Figures()
    epoch = 2 if plant == "no-row-before-the-sweep" else 1
    with opened(drive, "fs/1", figures=figures, epoch=epoch) as layer:
        owner = layer.opened.owner
        assert owner is not None
        key = "small"
        if plant in ("dirty", "below-the-floor"):
            store_row(layer, remade(row(layer, key), owner.next_generation(), data=row(layer, "large").data))
        if plant == "dirty":
            owner.mark("bucket", key)
        elif plant == "below-the-floor":
            owner.commit(Batch(meta={"trust_floor": Generation(1 << 30, 0).pack()}))
        elif plant.startswith("no-row"):
            key = "behind-our-back"
            layer.opened.fs.write("bucket", key, (drive / "bucket/small/xl.meta").read_bytes())
        elif plant == "tombstone":
            store_row(layer, Row.tombstone("bucket", key, owner.next_generation()))
        else:
            layer.opened.fs.remove("bucket", key)
            with pytest.raises(NoSuchKey):
                layer.stat("bucket", key)
        if plant != "row-without-file":
            layer.stat("bucket", key)
        assert figures.counts["rustfs_consistency_errors_total"] == errors
        assert figures.counts["rustfs_consistency_checks_total"] == errors


def test_shadow_reads_can_be_switched_off(drive: Path) -> None:
    figures = Figures()
    with opened(drive, "fs/1", figures=figures, shadow_ratio=0.0) as layer:
        layer.stat("bucket", "small")
    assert figures.counts["rustfs_consistency_checks_total"] == 0


def test_a_journal_that_cannot_be_written_breaks_the_epoch_and_fails_no_write(drive: Path) -> None:
    with opened(drive, "kv_primary/1/true") as layer:
        owner = layer.opened.owner
        assert owner is not None
        break_journal(owner)
        put(layer, "small", b"journal not writable")
        assert get(layer, "small") == b"journal not writable"
        assert layer.acknowledgement()["degraded"] is True
        floor = owner.trust_floor()
    with opened(drive, "kv_primary/1/true") as layer:
        assert layer.opened.owner is not None
        assert layer.opened.owner.trust_floor() > floor
        assert get(layer, "small") == b"journal not writable"


def break_journal(owner: object) -> None:
    """Make the journal's descriptor one that can only be read, as on a file system gone read-only."""
    journal = owner._journal  # type: ignore[attr-defined]
    readonly = os.open(f"/proc/self/fd/{journal._descriptor}", os.O_RDONLY)
    os.dup2(readonly, journal._descriptor)
    os.close(readonly)


# -- starting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", FILES_ANSWER)
def test_a_locked_store_leaves_a_server_ready_but_degraded(drive: Path, mode: str) -> None:
    figures = Figures()
    with opened(drive, "fs/1"), opened(drive, mode, figures=figures) as layer:
        assert figures.gauges["rustfs_kv_degraded"] == 1
        assert layer.acknowledgement()["degraded"] is True
        put(layer, "small", b"without a store")
        assert get(layer, "small") == b"without a store"
        assert keys(layer) == ["large", "small"]
    with opened(drive, "kv_primary/1/true") as layer:
        assert get(layer, "small") == b"without a store"
        assert keys(layer) == ["large", "small"]


@pytest.mark.parametrize("mode", ["kv_primary/1/false", "kv_only", "returning"])
def test_without_files_to_answer_a_locked_store_stops_the_start(drive: Path, mode: str) -> None:
    with opened(drive, "fs/1"), pytest.raises(StoreLockedError), opened(drive, mode):
        pass


def test_files_that_change_while_their_store_is_locked_end_its_trust(drive: Path) -> None:
    lock = files.lock_file(str(drive / ".dualtrack/store/owner.lock"))
    assert lock is not None
    with opened(drive, "fs/0") as layer:
        assert layer.opened.owner is None
        put(layer, "small", b"nobody marks this")
    os.close(lock)
    with opened(drive, "fs/1") as layer:
        assert layer.opened.owner is not None
        assert row(layer, "small").generation < layer.opened.owner.trust_floor()


def test_a_damaged_store_leaves_a_server_with_fallback_degraded(drive: Path) -> None:
    data = drive / ".dualtrack/store/data.mdb"
    data.write_bytes(b"\xff" * data.stat().st_size)
    figures = Figures()
    with opened(drive, "kv_primary/1/true", figures=figures) as layer:
        assert get(layer, "small") == b"small"
    assert figures.gauges["rustfs_kv_degraded"] == 1


def test_a_mode_weaker_than_the_marker_stops_the_start(drive: Path) -> None:
    mark(drive, MarkerState.KV_ONLY)
    with pytest.raises(MarkerError):
        ObjectLayer.open(str(drive), mode_of("fs/0"), Settings(), Figures())


def test_bucket_metadata_stay_in_files_and_get_a_row_as_backup(drive: Path) -> None:
    with opened(drive, "kv_only") as layer:
        layer.set_versioning("bucket", "Enabled")
        path = drive / ".minio.sys/buckets/bucket/.metadata.bin/xl.meta"
        owner = layer.opened.owner
        assert owner is not None
        backup = owner.get(".minio.sys", "buckets/bucket/.metadata.bin")
        assert backup is not None
        assert backup.data == path.read_bytes()
        assert layer.list_buckets()[0].name == "bucket"
    with opened(drive, "kv_only") as layer:
        assert layer.versioning("bucket") == "Enabled"


def test_a_damaged_file_is_drained_as_a_key_that_stays_in_its_file(drive: Path) -> None:
    with opened(drive, "fs/1") as layer:
        owner = layer.opened.owner
        assert owner is not None
        owner.mark("bucket", "small")
        (drive / "bucket/small/xl.meta").write_bytes(b"XL2 rubbish")
        layer.drain()
        assert row(layer, "small").state is RowState.FS_RESIDENT
        with pytest.raises(Unavailable):
            layer.stat("bucket", "small")
        with pytest.raises(Unavailable):
            put(layer, "small", b"must not replace what cannot be read")
        assert keys(layer) == ["large"]
        assert draft_reader(layer.opened.fs)("bucket", "small") is not None


# -- the cache -----------------------------------------------------------------------------------------------


def test_the_cache_is_warm_after_a_restart_with_the_keys_used_last(drive: Path) -> None:
    with opened(drive, "kv_only") as layer:
        put(layer, "new", b"1")
        assert get(layer, "small") == b"small"
        assert get(layer, "new") == b"1"
    figures = Figures()
    with opened(drive, "kv_only", figures=figures, cache=CacheSettings(warmup=1)) as layer:
        assert layer.keeping.warm() == 1
        misses = figures.counts["rustfs_metadata_cache_misses_total"]
        assert get(layer, "new") == b"1"
        assert figures.counts["rustfs_metadata_cache_misses_total"] == misses
        assert get(layer, "small") == b"small"
        assert figures.counts["rustfs_metadata_cache_misses_total"] > misses
        layer.keeping.report(False)
        assert figures.gauges["rustfs_metadata_cache_entries"] == 2
    (drive / ".dualtrack/warm.json").write_bytes(b"\x00damaged")
    with opened(drive, "kv_only") as layer:
        assert layer.keeping.warm() == 0
        assert get(layer, "small") == b"small"


def test_without_capacity_and_where_files_answer_nothing_is_cached(drive: Path) -> None:
    with opened(drive, "kv_only", cache=CacheSettings(capacity=0)) as layer:
        assert layer.opened.kv is not None
        assert layer.opened.kv.cache is None
        assert layer.keeping.warm() == 0


# -- forward, back, and forward again ------------------------------------------------------------------------


def test_a_key_that_was_deleted_before_a_way_back_can_be_read_and_written_after_the_next_sweep(
    drive: Path,
) -> None:
    """The tombstone lies below the trust floor of the second way forward until the sweep confirms it."""
    with opened(drive, "kv_primary/1/true", epoch=2) as layer:
        layer.delete("bucket", "small")
    with opened(drive, "fs/1", epoch=3) as layer:
        sweep(layer)
    with opened(drive, "kv_only", epoch=3) as layer:
        with pytest.raises(NoSuchKey):
            layer.stat("bucket", "small")
        put(layer, "small", b"again")
        assert get(layer, "small") == b"again"
