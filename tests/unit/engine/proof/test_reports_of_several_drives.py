"""One report of a server's drives is proven by all of them, and names the drive that is not as recorded."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualtrack.cli.main import main
from dualtrack.engine.drive import Drive
from dualtrack.engine.proof import leaves
from sets import engine, metas

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def made(pristine: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four drives of a RustFS, each with its store on it, and a report of all four."""
    folder = tmp_path_factory.mktemp("reported")
    drives = [folder / f"d{number}" for number in range(1, 5)]
    for drive in drives:
        subprocess.run(["cp", "--archive", str(pristine("rustfs-4d") / drive.name), str(drive)], check=True)
    assert engine("migrate", drives) == 0
    assert engine("report", drives, "--out", str(folder / "r.json")) == 0
    return folder


@pytest.fixture
def drives(made: Path) -> list[Path]:
    """To be read only; whoever changes one takes `spoiled`."""
    return [made / f"d{number}" for number in range(1, 5)]


@pytest.fixture
def spoiled(drives: list[Path], tmp_path: Path) -> tuple[list[Path], Path]:
    """The same drives, but for a copy of the third, of which one file has another mode; and that file."""
    copy = tmp_path / "d3"
    subprocess.run(["cp", "--archive", str(drives[2]), str(copy)], check=True)
    target = metas([copy])[0]
    target.chmod(0o600)
    return [*drives[:2], copy, drives[3]], target


@pytest.fixture
def file(made: Path, tmp_path: Path) -> Path:
    """A copy of the report, which may be changed."""
    return Path(shutil.copy(made / "r.json", tmp_path))


def store_of(drive: Path) -> str:
    return str(drive / ".dualtrack/store")


def check(file: Path, *words: str | Path) -> int:
    return main(["engine", "report", "check", str(file), *map(str, words)])


def named(option: str, places: list[Any]) -> list[str]:
    return [word for place in places for word in (option, str(place))]


def fields_of(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text()))


def test_all_drives_and_all_stores_prove_it_under_one_root(
    drives: list[Path], file: Path, capsys: Output
) -> None:
    root = fields_of(file)["root"]
    stores = named("--store", [store_of(drive) for drive in drives])
    for sides in (named("--drive", drives), stores, [*named("--drive", drives), *stores]):
        assert check(file, *sides, "--root", root) == 0
        told = capsys.readouterr().out
        assert f"proven: {file}, root {root}" in told
        assert all(Drive.open(drive).drive_id in told for drive in drives)


def test_the_order_of_the_drives_is_free(drives: list[Path], file: Path) -> None:
    turned = drives[::-1]
    assert check(file, *named("--drive", turned), *named("--store", [store_of(each) for each in turned])) == 0


def test_the_drive_that_differs_is_named(
    spoiled: tuple[list[Path], Path], file: Path, capsys: Output
) -> None:
    drives, target = spoiled
    assert check(file, *named("--drive", drives)) == 51
    told = capsys.readouterr()
    drive_id = Drive.open(drives[2]).drive_id
    key = target.parent.relative_to(drives[2])
    (line,) = (line for line in told.out.splitlines() if line.startswith("REFUTED"))
    assert line.startswith(f"REFUTED: drive {drive_id} of set 1: drive: range ")
    assert f"{key} is not as recorded" in line
    assert f"on drive {drive_id} of set 1" in told.err
    assert told.out.count("ranges as recorded") == 3


def test_a_drive_of_which_nothing_was_named_is_unproven(
    drives: list[Path], file: Path, capsys: Output
) -> None:
    assert check(file, *named("--drive", drives[:3])) == 50
    whose = f"drive {Drive.open(drives[3]).drive_id} of set 1"
    assert f"unproven: {whose}: neither the drive nor its store was named" in capsys.readouterr().out


def test_a_part_is_a_report_of_its_drive(drives: list[Path], file: Path, tmp_path: Path) -> None:
    for drive, part in zip(drives, fields_of(file)["parts"], strict=True):
        alone = tmp_path / "alone.json"
        alone.write_text(json.dumps(part))
        assert check(alone, "--drive", drive, "--store", store_of(drive), "--root", part["root"]) == 0


def _forget_a_part(fields: dict[str, Any]) -> None:
    fields["parts"].pop()
    fields["drives"].pop()


def _turn_the_parts(fields: dict[str, Any]) -> None:
    fields["parts"].reverse()
    fields["drives"].reverse()


def _change_a_part(fields: dict[str, Any]) -> None:
    fields["parts"][1]["counts"]["forged"] = 1


def _change_a_part_with_its_root(fields: dict[str, Any]) -> None:
    part = fields["parts"][1]
    part["counts"]["forged"] = 1
    head = {name: value for name, value in part.items() if name not in ("root", "signature", "ranges")}
    part["root"] = leaves.root(head, part["ranges"])


def _change_the_head(fields: dict[str, Any]) -> None:
    fields["time"] = "2020-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "forge", [_forget_a_part, _turn_the_parts, _change_a_part, _change_a_part_with_its_root, _change_the_head]
)
def test_nothing_can_be_altered(
    drives: list[Path], file: Path, forge: Callable[[dict[str, Any]], None], capsys: Output
) -> None:
    fields = fields_of(file)
    forge(fields)
    file.write_text(json.dumps(fields))
    assert check(file, *named("--drive", drives)) == 51
    assert "does not have the root that it states" in capsys.readouterr().err


@pytest.mark.parametrize(
    "spoil",
    [
        lambda fields: fields.update(parts=[]),
        lambda fields: fields.update(parts=3),
        lambda fields: fields["parts"].append(fields["parts"][0]),
        lambda fields: fields["drives"].pop(),
        lambda fields: fields.pop("root"),
        lambda fields: fields["parts"][0].pop("ranges"),
        lambda fields: fields["parts"].__setitem__(0, "part"),
    ],
)
def test_what_is_no_report_is_refused(
    drives: list[Path], file: Path, spoil: Callable[[dict[str, Any]], object]
) -> None:
    fields = fields_of(file)
    spoil(fields)
    file.write_text(json.dumps(fields))
    assert check(file, *named("--drive", drives)) == 10


def test_the_root_can_be_computed_by_the_documented_steps_alone(file: Path) -> None:
    """`docs/reports.md`, followed with the standard library: nothing of ours is used."""
    from hashlib import blake2b

    fields = fields_of(file)
    stated, parts = fields.pop("root"), fields.pop("parts")
    del fields["signature"]

    def digest(*given: bytes) -> bytes:
        return blake2b(b"".join(given), digest_size=32, person=b"dualtrack-rep-1").digest()

    def text(value: object) -> bytes:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    one, two, three, four = (digest(b"\0", text(part["root"])) for part in parts)
    tree = digest(b"\1", digest(b"\1", one, two), digest(b"\1", three, four))
    assert "blake2b:" + digest(b"\2", digest(b"\3", text(fields)), tree).hex() == stated


def test_one_signature_is_over_all_drives(drives: list[Path], tmp_path: Path, capsys: Output) -> None:
    private, public, out = tmp_path / "key.pem", tmp_path / "pub.pem", tmp_path / "signed.json"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    assert engine("report", drives, "--out", str(out), "--sign-key", str(private)) == 0
    assert check(out, *named("--drive", drives), "--public-key", public) == 0
    assert "signed by sha256:" in capsys.readouterr().out
    assert all(part["signature"] is None for part in fields_of(out)["parts"])


def test_a_drive_that_differs_when_it_is_made_is_the_verdict_of_all(
    spoiled: tuple[list[Path], Path], tmp_path: Path, capsys: Output
) -> None:
    drives, _ = spoiled
    out = tmp_path / "r.json"
    assert engine("report", drives, "--out", str(out)) == 51
    assert "1 objects differ between files and rows" in capsys.readouterr().err
    fields = fields_of(out)
    assert fields["verdict"] == "Different"
    assert [part["verdict"] for part in fields["parts"]] == ["Equal", "Equal", "Different", "Equal"]
    stores = named("--store", [store_of(drive) for drive in drives])
    assert check(out, *stores) == 51
    assert f"{Drive.open(drives[2]).drive_id} of set 1: the report itself says Different" in (
        capsys.readouterr().out
    )


def test_drives_that_were_not_named_are_told(drives: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    assert engine("report", drives[:3], "--out", str(out)) == 0
    drive_id = Drive.open(drives[3]).drive_id
    assert fields_of(out)["missing"] == [f"drive {drive_id} of set 1"]
    assert drive_id in out.with_suffix(".html").read_text()


def test_another_drive_and_stores_out_of_order_are_refused(
    drives: list[Path], file: Path, minio_drive: Path, capsys: Output
) -> None:
    assert check(file, "--drive", minio_drive) == 20
    assert "name one of these drives" in capsys.readouterr().err
    stores = [store_of(drive) for drive in drives]
    assert check(file, *named("--store", stores[::-1])) == 34
    assert check(file, *named("--store", stores[:2])) == 2
    assert "give the store of each in the report's order" in capsys.readouterr().err
    assert check(file, *named("--drive", drives), *named("--store", stores[:2])) == 2
    assert check(file, *named("--drive", [drives[0], drives[0]])) == 20


def test_a_lost_drive_is_proven_from_a_copy_of_its_store(
    drives: list[Path], file: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(store_of(drives[3]), kept)
    assert check(file, *named("--store", [*map(store_of, drives[:3]), str(kept)])) == 0


def test_the_result_has_the_root(drives: list[Path], tmp_path: Path, capsys: Output) -> None:
    out, result = tmp_path / "r.json", tmp_path / "result"
    assert engine("report", drives, "--out", str(out), "--result-file", str(result)) == 0
    root = fields_of(out)["root"]
    assert fields_of(result)["root"] == root
    assert f"report: Equal on 4 drives, root {root}" in capsys.readouterr().out


def test_the_page_has_a_line_for_each_drive_and_loads_nothing(drives: list[Path], made: Path) -> None:
    text = (made / "r.html").read_text()
    assert all(text.count(Drive.open(drive).drive_id) >= 1 for drive in drives)
    assert not re.search(r"<script|<link|<img|@import|url\(|https?://|src=", text)
    assert "$" not in text
