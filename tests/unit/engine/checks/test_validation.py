"""The guide's two questions: what each answers, and that a sample is drawn from all there is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.owner import Owner
from dualtrack.engine.summary import summary
from dualtrack.engine.validation import Diverged, FsOnly, InSync, KvOnly, Missing, Stats, Validator
from dualtrack.errors import IncompleteError, StoreCorruptError
from planting import PLANTS
from sweepbench import Bench

Place = tuple[str, str]
pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def validator(bench: Bench, owner: Owner) -> Validator:
    return Validator(bench.task(owner))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("missing row", FsOnly),
        ("extra row", KvOnly),
        ("resurrected tombstone", FsOnly),
        ("stale row", Diverged),
        ("wrong index", Diverged),
    ],
)
def test_each_finding(
    bench: Bench, owner: Owner, validator: Validator, some: Place, kind: str, expected: type
) -> None:
    assert validator.validate_object(*some) == InSync()
    assert validator.validate_object(some[0], "no such key") == Missing()
    PLANTS[kind][0](bench.drive, owner, some)
    key = some[1] + (".new" if kind == "missing row" else "")
    assert isinstance(validator.validate_object(some[0], key), expected)


def test_a_divergence_says_what_each_track_has(
    bench: Bench, owner: Owner, validator: Validator, some: Place
) -> None:
    row = owner.get(*some)
    assert row is not None
    PLANTS["row of another key"][0](bench.drive, owner, some)
    other = owner.get(*some)
    assert other is not None
    file, kv = (summary(xlmeta.decode(each.data)) for each in (row, other))
    found = validator.validate_object(*some)
    assert found == Diverged(kv.etag, file.etag, kv.size, file.size, "content")


def test_more_than_etag_and_size_is_compared(
    bench: Bench, owner: Owner, validator: Validator, some: Place
) -> None:
    """The guide compares these two alone, and would call this in sync."""
    PLANTS["flipped byte"][0](bench.drive, owner, some)
    found = validator.validate_object(*some)
    assert isinstance(found, Diverged)
    assert (found.kv_etag, found.kv_size) == (found.fs_etag, found.fs_size)


def test_a_damaged_row_is_an_error_not_a_finding(bench: Bench, some: Place) -> None:
    bench.migrate()
    path = bench.store / "data.mdb"
    data = bench.file(*some).read_bytes()
    path.write_bytes(path.read_bytes().replace(data, data[:-1] + bytes((data[-1] ^ 1,))))
    with bench.owner() as owner:
        validator = Validator(bench.task(owner))
        with pytest.raises(StoreCorruptError, match=some[1]):
            validator.validate_object(*some)
        assert validator.validate_bucket_sample(some[0], 1_000_000).errors == 1


def test_what_is_being_written_is_not_judged(
    bench: Bench, owner: Owner, validator: Validator, some: Place
) -> None:
    owner.mark(*some)
    with pytest.raises(IncompleteError, match="is being written"):
        validator.validate_object(*some)


def test_a_sample_of_all_counts_every_object_of_both_tracks(
    bench: Bench, owner: Owner, validator: Validator, some: Place
) -> None:
    objects = owner.stats().objects[some[0]]
    assert validator.validate_bucket_sample(some[0], 1_000_000) == Stats(objects, objects)
    PLANTS["missing row"][0](bench.drive, owner, some)
    PLANTS["extra row"][0](bench.drive, owner, some)
    stats = validator.validate_bucket_sample(some[0], 1_000_000)
    assert (stats.checked, stats.in_sync) == (objects + 1, objects - 1)
    assert (stats.kv_only, stats.fs_only) == (1, 1)


def test_a_sample_has_the_size_that_was_asked_for_and_its_seed_decides_which(
    bench: Bench, owner: Owner, validator: Validator, some: Place
) -> None:
    """Each object is drawn by about as many seeds as any other."""
    objects = owner.stats().objects[some[0]]
    count = objects // 4
    met: dict[Place, int] = {}
    for seed in range(40):
        drawn = validator._draw(some[0], count, str(seed))
        assert len(set(drawn)) == count
        assert drawn == validator._draw(some[0], count, str(seed))
        for place in drawn:
            met[place] = met.get(place, 0) + 1
    assert len(met) == objects
    assert max(met.values()) <= 25


def test_the_command_ends_with_what_it_found(
    bench: Bench, some: Place, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bench.migrate()
    result = tmp_path / "result"
    where = ["--drive", str(bench.drive), "--store", str(bench.store), "--result-file", str(result)]

    def ends(*words: str) -> int:
        return main(["engine", "validate", "--bucket", some[0], *words, *where])

    with bench.owner() as owner:
        fence = owner.info().fence
    assert ends("--key", some[1]) == 0
    assert "InSync" in capsys.readouterr().out
    assert ends("--key", "no such key") == 0
    assert ends("--sample", "3") == 0
    assert json.loads(result.read_text())["counts"]["in_sync"] == 3
    with bench.owner() as owner:
        assert owner.info().fence == fence, "a look does not end a run that is at work"
        PLANTS["stale row"][0](bench.drive, owner, some)
    assert ends("--key", some[1]) == 51
    assert json.loads(result.read_text())["finding"]["kind"] == "Diverged"
    assert ends("--sample", "1000000") == 51
    bench.file(*some).unlink()
    assert ends("--key", some[1]) == 51


@pytest.mark.parametrize("words", [[], ["--key", "any"]])
def test_a_bucket_that_nobody_has_is_no_success(
    bench: Bench, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    bench.migrate()
    where = ["--drive", str(bench.drive), "--store", str(bench.store)]
    assert main(["engine", "validate", "--bucket", "no-such-bucket", *words, *where]) == 2
    assert "--bucket no-such-bucket: there is no such bucket" in capsys.readouterr().err
