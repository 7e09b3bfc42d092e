"""Two pools of one server, each with a drive that was away: one key in both, in either, with other versions.

The second pool is the first one's tree under drives of its own, changed since: a quarter of its keys is gone,
a quarter has a delete marker on top, a quarter a newer version (of the same id where it is the null one), and
one key is deeper and there alone.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dualtrack.cli.main import main
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.formats.changes import Part, add_version, new_delete_marker, new_object_version
from dualtrack.engine.formats.xlmeta import XlMeta
from sets import engine, metas, state

INCOMPLETE = 50
FORMAT = ".minio.sys/format.json"
LATER = 1_900_000_000_000_000_000
CONTENT = b"h" * 32 + b"12345"
Output = pytest.CaptureFixture[str]
Lines = list[dict[str, Any]]


@pytest.fixture
def pools(pristine: Callable[[str], Path], tmp_path: Path) -> tuple[list[Path], list[Path]]:
    made = []
    for name in ("first", "second"):
        subprocess.run(["cp", "--archive", str(pristine("minio-4d-stale")), str(tmp_path / name)], check=True)
        made.append(sorted((tmp_path / name).glob("d?")))
    first, second = made
    rename(second)
    keys = sorted({file.relative_to(drive) for drive in second for file in metas([drive])})
    for number, key in enumerate(keys):
        for drive in second:
            if (drive / key).exists():
                change(drive / key, number)
    alone = new_version(bytes(16), 5_000_000_000, "0" * 32)
    for drive in second:
        folder = drive / "bnew/only/in/pool/two"
        folder.mkdir(parents=True)
        (folder / "xl.meta").write_bytes(xlmeta.encode(add_version(xlmeta.empty(), alone, CONTENT)))
    return first, second


def rename(drives: Sequence[Path]) -> None:
    """Drive ids of its own, as a pool has that was added later; the deployment stays the same."""
    documents = [json.loads((drive / FORMAT).read_text()) for drive in drives]
    others = {each["xl"]["this"]: str(uuid.uuid4()) for each in documents}
    for drive, document in zip(drives, documents, strict=True):
        xl = document["xl"]
        xl["this"] = others[xl["this"]]
        xl["sets"] = [[others[each] for each in ids] for ids in xl["sets"]]
        (drive / FORMAT).write_text(json.dumps(document))


def change(file: Path, number: int) -> None:
    meta: XlMeta = xlmeta.decode(file.read_bytes())
    match number % 4:
        case 1:
            file.unlink()
            return
        case 2:
            marker = new_delete_marker(version_id=uuid.UUID(int=number).bytes, mod_time_ns=LATER + number)
            meta = add_version(meta, marker)
        case 3:
            version_id = bytes(16) if number % 8 == 3 else uuid.UUID(int=number).bytes
            meta = add_version(meta, new_version(version_id, LATER + number, f"{number:032x}"), CONTENT)
    file.write_bytes(xlmeta.encode(meta))


def new_version(version_id: bytes, time: int, etag: str) -> Any:
    return new_object_version(
        version_id=version_id,
        data_dir=uuid.UUID(int=time).bytes,
        mod_time_ns=time,
        parts=[Part(1, 5, 5)],
        meta_user={"etag": etag},
        inline=True,
    )


def exported(capsys: Output, drives: Sequence[Path], code: int = 0) -> Lines:
    capsys.readouterr()
    named = [word for drive in drives for word in ("--store", f"{drive}/.dualtrack/store")]
    assert main(["engine", "export", *named]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def united(*pools: Lines) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Of one version id the newest, whichever pool has it."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for line in (line for pool in pools for line in pool):
        place = line["bucket"], line["key"], line["versionId"]
        if place not in found or found[place]["lastModified"] < line["lastModified"]:
            found[place] = {name: value for name, value in line.items() if name != "isLatest"}
    return found


def test_two_pools_are_seen_as_one_and_go_all_the_way(
    pools: tuple[list[Path], list[Path]], tmp_path: Path, capsys: Output
) -> None:
    first, second = pools
    drives = [*first, *second]
    before = [state(drive) for drive in drives]
    assert engine("migrate", drives) == 0
    assert engine("verify", drives, "--accept-deviations") == 0

    whole = exported(capsys, drives)
    parts = exported(capsys, first), exported(capsys, second)
    assert united(whole) == united(*parts)
    assert len(united(whole)) == len(whole) > max(map(len, parts))
    in_order = [(line["bucket"].encode(), line["key"].encode()) for line in whole]
    assert in_order == sorted(in_order)
    latest: dict[tuple[str, str], str] = {}
    for line in whole:
        place = line["bucket"], line["key"]
        assert line["isLatest"] is (place not in latest)
        assert line["lastModified"] <= latest.get(place, line["lastModified"])
        latest[place] = line["lastModified"]

    assert exported(capsys, drives[1:], INCOMPLETE) == whole  # some versions are named as undecided
    assert len(exported(capsys, [*first, *second[2:]], INCOMPLETE)) < len(whole)

    assert engine("cleanup hold", drives, "--server-stopped") == 0
    assert metas(drives) == []
    copies = str(tmp_path / "copies")
    assert engine("snapshot", drives, "--to", copies) == 0
    where = ("--snapshot", copies, "--accept-same-device")
    assert engine("cleanup purge", drives, "--server-stopped", *where) == 0
    assert engine("cleanup directories", drives, "--server-stopped") == 0
    assert exported(capsys, drives) == whole
    assert engine("restore", drives) == 0
    assert [state(drive) for drive in drives] == before
