"""A report is proven by what it was made from, and refuted, to the key, by anything else."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine.drive import Drive
from dualtrack.engine.proof import leaves
from dualtrack.engine.proof.check import Check
from dualtrack.engine.proof.deployment import decode
from dualtrack.engine.proof.document import Report
from dualtrack.engine.snapshot import put_of, snapshot
from dualtrack.engine.stores.lmdb import LmdbStore
from dualtrack.engine.stores.protocol import Batch
from dualtrack.errors import DifferenceError
from planting import PLANTS
from smalldrive import BUCKET, small_bench
from sweepbench import Bench

Output = pytest.CaptureFixture[str]


@pytest.fixture
def bench(minio_drive: Path, tmp_path: Path) -> Bench:
    made = small_bench(minio_drive, tmp_path, 24)
    made.migrate()
    return made


@pytest.fixture
def file(bench: Bench, tmp_path: Path) -> Path:
    """A report of the drive in ranges of five objects."""
    assert report(bench, tmp_path / "r.json", "--range-size", "5") == 0
    return tmp_path / "r.json"


def report(bench: Bench, out: Path, *more: str) -> int:
    return main(
        [
            "engine",
            "report",
            "--drive",
            str(bench.drive),
            "--store",
            str(bench.store),
            "--out",
            str(out),
            *more,
        ]
    )


def check(file: Path, *more: str | Path) -> int:
    return main(["engine", "report", "check", str(file), *map(str, more)])


def on_drive(bench: Bench, file: Path) -> int:
    return check(file, "--drive", bench.drive)


def in_store(bench: Bench, file: Path) -> int:
    return check(file, "--store", bench.store)


def test_drive_store_and_snapshot_each_prove_it(
    bench: Bench, file: Path, tmp_path: Path, capsys: Output
) -> None:
    with bench.owner() as owner:
        snapshot(bench.task(owner), str(tmp_path / "away"))
    for side in (
        ("--drive", bench.drive),
        ("--store", bench.store),
        ("--store", tmp_path / "away"),
        ("--drive", bench.drive, "--store", bench.store),
    ):
        assert check(file, *side) == 0
        assert json.loads(file.read_text())["root"] in capsys.readouterr().out


def test_a_look_leaves_the_store_as_it_was(bench: Bench, file: Path) -> None:
    before = (bench.store / "data.mdb").read_bytes()
    assert in_store(bench, file) == 0
    assert (bench.store / "data.mdb").read_bytes() == before


def test_two_reports_of_the_same_state_have_the_same_ranges(bench: Bench, file: Path, tmp_path: Path) -> None:
    report(bench, tmp_path / "again.json", "--range-size", "5")
    first, second = (json.loads(each.read_text()) for each in (file, tmp_path / "again.json"))
    assert first["ranges"] == second["ranges"]
    assert [each["objects"] for each in first["ranges"] if each["bucket"] == BUCKET] == [5, 5, 5, 5, 4]


@pytest.mark.parametrize("key", ["00", "04", "07", "23"])
def test_a_file_that_is_gone_is_placed_between_its_neighbours(
    bench: Bench, file: Path, key: str, capsys: Output
) -> None:
    bench.file(BUCKET, key).unlink()
    assert on_drive(bench, file) == 51
    told = capsys.readouterr().out
    if key == "07":
        assert f"between {BUCKET}/06 and {BUCKET}/08 is missing" in told
    else:
        assert f"{BUCKET}/{key} is missing" in told
    assert told.count("REFUTED") == 1


def test_content_and_mode_of_a_file_are_covered(bench: Bench, file: Path, capsys: Output) -> None:
    bench.file(BUCKET, "11").chmod(0o600)
    target = bench.file(BUCKET, "12")
    target.write_bytes(target.read_bytes()[:-1] + b"\0")
    assert on_drive(bench, file) == 51
    told = capsys.readouterr().out
    assert re.findall(r"\S+ is not as recorded", told) == [
        f"{BUCKET}/11 is not as recorded",
        f"{BUCKET}/12 is not as recorded",
    ]


def test_a_new_object_and_a_new_bucket_are_named(bench: Bench, file: Path, capsys: Output) -> None:
    for bucket, key in ((BUCKET, "07.new"), ("another", "x")):
        target = bench.file(bucket, key)
        target.parent.mkdir(parents=True)
        target.write_bytes(bench.file(BUCKET, "00").read_bytes())
    assert on_drive(bench, file) == 51
    told = capsys.readouterr().out
    assert f"{BUCKET}/07.new was not there" in told
    assert "another/x is not in the report" in told
    assert told.count("REFUTED") == 2


def test_without_leaves_the_range_is_named(bench: Bench, tmp_path: Path, capsys: Output) -> None:
    out = tmp_path / "short.json"
    report(bench, out, "--range-size", "5", "--detail", "ranges")
    assert on_drive(bench, out) == 0
    bench.file(BUCKET, "07").chmod(0o600)
    assert on_drive(bench, out) == 51
    assert f"({BUCKET}/05 … 09): differs" in capsys.readouterr().out


def test_what_was_written_since_is_neither_proven_nor_refuted(
    bench: Bench, file: Path, capsys: Output
) -> None:
    with bench.owner() as owner:
        PLANTS["flipped byte"][0](bench.drive, owner, (BUCKET, "07"))
        PLANTS["resurrected tombstone"][0](bench.drive, owner, (BUCKET, "13"))
    assert in_store(bench, file) == 50
    told = capsys.readouterr().out
    assert f"{BUCKET}/07 is not as recorded, written since the report" in told
    assert f"between {BUCKET}/12 and {BUCKET}/14 is missing, written since the report" in told
    assert "REFUTED" not in told
    assert on_drive(bench, file) == 0


def test_a_row_changed_at_its_old_generation_is_refuted(
    bench: Bench, file: Path, tmp_path: Path, capsys: Output
) -> None:
    """A copy in which one row has the bytes of another: no write since explains it."""
    with (
        bench.owner() as owner,
        closing(LmdbStore.open(str(tmp_path / "copy"), owner.store.drive_id)) as copy,
    ):
        copy.open_term()
        copy.commit(Batch(meta={"store_uuid": owner.meta("store_uuid")}))
        other = owner.get(BUCKET, "08")
        assert other is not None
        for row in owner.scan(None, 500):
            kept = row if row.key != "07" else replace(row, data=other.data)
            copy.commit(Batch(puts=(put_of(kept),)))
    assert check(file, "--store", tmp_path / "copy") == 51
    told = capsys.readouterr().out
    number = next(n for n, each in enumerate(json.loads(file.read_text())["ranges"]) if each["first"] == "05")
    assert f"REFUTED: store: range {number} ({BUCKET}/05 … 09): {BUCKET}/07 is not as recorded" in told
    assert told.count("REFUTED") == 1


def test_a_report_of_a_drive_that_differs_says_so(bench: Bench, tmp_path: Path, capsys: Output) -> None:
    bench.file(BUCKET, "07").chmod(0o600)
    out = tmp_path / "different.json"
    assert report(bench, out) == 51
    told = json.loads(out.read_text())
    assert told["verdict"] == "Different"
    assert told["differences"] == [{"bucket": BUCKET, "key": "07", "what": "attributes"}]
    assert "Different" in out.with_suffix(".html").read_text()
    assert in_store(bench, out) == 51
    assert "the report itself says Different" in capsys.readouterr().out


def test_another_store_or_drive_is_refused(
    bench: Bench, file: Path, minio_drive: Path, tmp_path: Path
) -> None:
    other = small_bench(minio_drive, tmp_path / "other", 3)
    other.migrate()
    assert check(file, "--drive", minio_drive) == 20
    assert check(file, "--store", other.store) == 34


def test_a_quarantined_object_is_held_to_its_hash(bench: Bench, tmp_path: Path, capsys: Output) -> None:
    bench.file(BUCKET, "07").write_bytes(b"no xl.meta at all")
    bench.migrate()
    out = tmp_path / "r.json"
    assert report(bench, out) == 0
    told = json.loads(out.read_text())
    assert [each["key"] for each in told["quarantine"]] == ["07"]
    assert on_drive(bench, out) == 0
    bench.file(BUCKET, "07").write_bytes(b"still none")
    assert on_drive(bench, out) == 51
    assert f"quarantined {BUCKET}/07 has SHA-256" in capsys.readouterr().out


def _altered(file: Path, name: str) -> str:
    """The report with one field changed, in a way that leaves it a report."""
    fields = json.loads(file.read_text())
    match fields[name]:
        case str(text):
            fields[name] = text[:-1] + ("0" if text[-1] != "0" else "1")
        case int(number):
            fields[name] = number + 1
        case dict(inner):
            inner["forged"] = 1
        case list(entries):
            entries.append({**entries[0]} if entries else {"bucket": "x", "key": "y", "sha256": ""})
    return json.dumps(fields)


def test_no_field_can_be_altered(file: Path) -> None:
    fields = set(json.loads(file.read_text())) - {"schema", "signature"}
    assert len(fields) == 16
    for name in fields:
        forged = decode(_altered(file, name).encode(), name)
        with pytest.raises(DifferenceError, match="does not have the root that it states"):
            Check(forged).itself()


def test_leaves_that_match_beside_a_digest_that_does_not_prove_nothing(
    bench: Bench, file: Path, tmp_path: Path, capsys: Output
) -> None:
    made = decode(file.read_bytes(), "r.json")
    forged = replace(made.ranges[2], digest=made.ranges[1].digest)
    again = Report.of(made.head, (*made.ranges[:2], forged, *made.ranges[3:]))
    (tmp_path / "forged.json").write_bytes(again.encode())
    for side in (on_drive, in_store):
        assert side(bench, tmp_path / "forged.json") == 51
        assert "range 2 " in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 1.5}', '{"schema": "dualtrack.rustfs.com/report/v1"}']
)
def test_what_is_no_report_is_refused(bench: Bench, tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    assert on_drive(bench, tmp_path / "r.json") == 10


def test_the_published_root_is_compared(bench: Bench, file: Path) -> None:
    root = json.loads(file.read_text())["root"]
    assert check(file, "--drive", bench.drive, "--root", root) == 0
    assert check(file, "--drive", bench.drive, "--root", root[:-1] + "x") == 51


def test_the_root_can_be_computed_by_the_documented_steps_alone(file: Path) -> None:
    """`docs/reports.md`, followed with the standard library: nothing of ours is used."""
    from hashlib import blake2b

    fields = json.loads(file.read_text())
    stated, ranges = fields.pop("root"), fields.pop("ranges")
    del fields["signature"]

    def digest(*parts: bytes) -> bytes:
        return blake2b(b"".join(parts), digest_size=32, person=b"dualtrack-rep-1").digest()

    def text(value: object) -> bytes:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    level = [digest(b"\0", text(each)) for each in ranges]
    while len(level) > 1:
        level = [
            digest(b"\1", *level[at : at + 2]) if at + 1 < len(level) else level[at]
            for at in range(0, len(level), 2)
        ]
    assert "blake2b:" + digest(b"\2", digest(b"\3", text(fields)), level[0]).hex() == stated


def _key(folder: Path, name: str, algorithm: str = "ed25519") -> tuple[Path, Path]:
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", algorithm, "-out", private], check=True, capture_output=True
    )
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    return private, public


def test_a_signature_is_the_keys_and_no_others(bench: Bench, tmp_path: Path, capsys: Output) -> None:
    private, public = _key(tmp_path, "mine")
    _, other = _key(tmp_path, "other")
    out = tmp_path / "signed.json"
    assert report(bench, out, "--sign-key", str(private)) == 0
    assert check(out, "--drive", bench.drive, "--public-key", public) == 0
    assert "signed by sha256:" in capsys.readouterr().out
    assert check(out, "--drive", bench.drive, "--public-key", other) == 51

    # Made anew by somebody without the key, root and all, with the old signature put in.
    fields = json.loads(out.read_text())
    fields["time"] = "2020-01-01T00:00:00+00:00"
    head = {name: value for name, value in fields.items() if name not in ("root", "signature", "ranges")}
    fields["root"] = leaves.root(head, fields["ranges"])
    out.write_text(json.dumps(fields))
    assert check(out, "--drive", bench.drive) == 0
    assert check(out, "--drive", bench.drive, "--public-key", public) == 51


def test_a_missing_signature_and_a_wrong_key_are_told(
    bench: Bench, file: Path, tmp_path: Path, capsys: Output
) -> None:
    _, public = _key(tmp_path, "mine")
    x25519, _ = _key(tmp_path, "x", "x25519")
    assert check(file, "--drive", bench.drive, "--public-key", public) == 51
    assert report(bench, file, "--sign-key", str(tmp_path / "none.pem")) == 2
    assert report(bench, file, "--sign-key", str(x25519)) == 2
    assert capsys.readouterr().err.count("dualtrack:") == 3


def test_a_name_that_is_no_utf8_is_kept(minio_drive: Path, tmp_path: Path, capsys: Output) -> None:
    bench = small_bench(minio_drive, tmp_path, 3)
    odd = bench.drive / BUCKET / "odd\udcff<b>"
    (bench.drive / BUCKET / "01").rename(odd)
    bench.migrate()
    assert report(bench, tmp_path / "r.json") == 0
    assert on_drive(bench, tmp_path / "r.json") == 0
    (odd / "xl.meta").unlink()
    assert on_drive(bench, tmp_path / "r.json") == 51
    assert rf"{BUCKET}/odd\xff<b> is missing" in capsys.readouterr().out


def test_the_page_loads_nothing_and_escapes_names(minio_drive: Path, tmp_path: Path) -> None:
    bench = small_bench(minio_drive, tmp_path, 3)
    (bench.drive / BUCKET / "01").rename(bench.drive / BUCKET / "<script>alert(1)<")
    bench.migrate()
    assert report(bench, tmp_path / "r.json") == 0
    text = (tmp_path / "r.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;" in text
    assert not re.search(r"<script|<link|<img|@import|url\(|https?://|src=", text)
    assert text.count("<svg") == 2
    assert "$" not in re.sub(r"\$ ", "", text)


def test_both_say_what_is_missing_from_the_command(bench: Bench, file: Path, tmp_path: Path) -> None:
    assert main(["engine", "report", "--drive", str(bench.drive), "--store", str(bench.store)]) == 2
    assert report(bench, file, "--drive", str(bench.drive)) == 20
    assert check(file) == 2
    assert check(tmp_path / "none.json", "--drive", bench.drive) == 2
    assert check(file, "--store", tmp_path / "none") == 2


def test_after_the_purge_the_store_and_the_snapshot_prove_it(
    bench: Bench, tmp_path: Path, capsys: Output
) -> None:
    where = ["--drive", str(bench.drive), "--store", str(bench.store)]
    assert main(["engine", "verify", *where]) == 0
    assert report(bench, tmp_path / "before.json") == 0
    assert main(["engine", "cleanup", "hold", *where, "--server-stopped"]) == 0
    assert main(["engine", "snapshot", *where, "--to", str(tmp_path / "away")]) == 0
    purge = ["purge", "--accept-same-device", "--snapshot", str(tmp_path / "away")]
    assert main(["engine", "cleanup", *purge, *where, "--server-stopped"]) == 0
    assert report(bench, tmp_path / "after.json") == 0
    before, after = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("before", "after"))
    assert before["ranges"] == after["ranges"]
    assert after["marker"]["state"] == "Purged"
    assert Drive.open(bench.drive).held
    for name in ("before.json", "after.json"):
        assert check(tmp_path / name, "--store", tmp_path / "away") == 0
        assert check(tmp_path / name, *where) == 0
        capsys.readouterr()
        assert on_drive(bench, tmp_path / name) == 50
        assert "give --store" in capsys.readouterr().out
