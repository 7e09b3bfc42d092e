"""CSV and Parquet say what the JSON lines say, field by field, and files are whole or not there."""

from __future__ import annotations

import base64
import csv
import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from dualtrack.cli.main import main
from dualtrack.engine import export
from dualtrack.engine.columnar import COLUMNS
from smalldrive import BUCKET, small_bench
from sweepbench import Bench

Output = pytest.CaptureFixture[str]
Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def store(minio_drive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("columnar")
    subprocess.run(["cp", "--archive", str(minio_drive), str(folder / "d1")], check=True)
    Bench(folder / "d1", folder / "kv").migrate()
    return folder / "kv"


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row of either table as its JSON line would be."""
    made = {**row, "userMetadata": json.loads(row["userMetadata"]), "tags": json.loads(row["tags"])}
    if made.pop("keyEncoding"):
        made["key"] = {"base64": made["key"]}
    return made


def exported(store: Path, capsys: Output) -> Lines:
    capsys.readouterr()
    assert main(["engine", "export", "--store", str(store)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_csv_is_the_export(store: Path, capsys: Output) -> None:
    assert main(["engine", "export", "--store", str(store), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    wanted = exported(store, capsys)
    assert len(rows) == len(wanted) > 2_000
    for row, line in zip(rows, wanted, strict=True):
        made = as_json(row)
        for name, value in line.items():
            match value:
                case None:
                    assert made[name] == ""
                case bool():
                    assert made[name] == str(value).lower()
                case int():
                    assert made[name] == str(value)
                case _:
                    assert made[name] == value


def test_parquet_is_the_export(store: Path, tmp_path: Path, capsys: Output) -> None:
    out = tmp_path / "versions.parquet"
    assert main(["engine", "export", "--store", str(store), "--format", "parquet", "--out", str(out)]) == 0
    table = pyarrow.parquet.read_table(out)
    assert tuple(table.column_names) == COLUMNS
    times = table["lastModified"].cast("int64").to_pylist()
    rows = table.drop_columns(["lastModified"]).to_pylist()
    wanted = exported(store, capsys)
    for line in wanted:
        line.pop("lastModified")
    assert [as_json(row) for row in rows] == wanted
    assert any(time % 1_000 for time in times)
    assert [path.name for path in tmp_path.iterdir()] == ["versions.parquet"]


def test_jsonl_in_a_file_is_jsonl(store: Path, tmp_path: Path, capsys: Output) -> None:
    out = tmp_path / "v.jsonl"
    assert main(["engine", "export", "--store", str(store), "--out", str(out)]) == 0
    assert [json.loads(line) for line in out.read_text().splitlines()] == exported(store, capsys)


def test_inventory_has_them_too(minio_drive: Path, tmp_path: Path) -> None:
    for form in ("csv", "parquet"):
        out = tmp_path / form
        words = ["--drive", str(minio_drive), "--bucket", "versioned", "--format", form, "--out", str(out)]
        assert main(["engine", "inventory", *words]) == 0
    keys = pyarrow.parquet.read_table(tmp_path / "parquet")["key"].to_pylist()
    assert keys == [row["key"] for row in csv.DictReader(io.StringIO((tmp_path / "csv").read_text()))]
    assert len(keys) > 50


def test_a_key_that_is_no_utf8_survives_both(minio_drive: Path, tmp_path: Path) -> None:
    bench = small_bench(minio_drive, tmp_path, 3)
    (bench.drive / BUCKET / "01").rename(bench.drive / BUCKET / 'a\udcff,"\n')
    bench.migrate()
    for form in ("csv", "parquet"):
        words = ["--store", str(bench.store), "--format", form, "--out", str(tmp_path / form)]
        assert main(["engine", "export", *words]) == 0
    table = pyarrow.parquet.read_table(tmp_path / "parquet").select(["key", "keyEncoding"]).to_pylist()
    rows = [
        {"key": row["key"], "keyEncoding": row["keyEncoding"]}
        for row in csv.DictReader(io.StringIO((tmp_path / "csv").read_text(), newline=""))
    ]
    odd = {"key": base64.b64encode(b'a\xff,"\n').decode(), "keyEncoding": "base64"}
    assert rows == table
    assert odd in rows


def test_an_empty_store_gives_an_empty_table(minio_drive: Path, tmp_path: Path) -> None:
    bench = small_bench(minio_drive, tmp_path, 0)
    bench.migrate()
    for form in ("csv", "parquet"):
        words = ["--store", str(bench.store), "--format", form, "--out", str(tmp_path / form)]
        assert main(["engine", "export", *words]) == 0
    assert (tmp_path / "csv").read_text() == ",".join(COLUMNS) + "\n"
    assert pyarrow.parquet.read_table(tmp_path / "parquet").num_rows == 0


def test_without_the_extra_its_name_is_told(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "dualtrack.engine.parquet", raising=False)
    out = tmp_path / "x"
    assert main(["engine", "export", "--store", str(store), "--format", "parquet", "--out", str(out)]) == 2
    assert "rustfs-dualtrack[parquet]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_finished_leaves_no_file(
    store: Path, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["engine", "export", "--store", str(store), "--out", str(tmp_path / "no" / "x")]) == 2
    assert "No such file" in capsys.readouterr().err

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export.envelope, "unpack_row", interrupted)
    out = tmp_path / "x.csv"
    words = ["engine", "export", "--store", str(store), "--format", "csv", "--out", str(out)]
    assert main(words) == 128 + signal.SIGINT
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_one_sound_row_gives_an_empty_table_and_its_error(
    store: Path, tmp_path: Path, capsys: Output
) -> None:
    damaged = tmp_path / "kv"
    damaged.mkdir()
    data = (store / "data.mdb").read_bytes()
    # One bit of every row's payload.
    (damaged / "data.mdb").write_bytes(data.replace(b"XL2 ", b"XL2!"))
    assert main(["engine", "export", "--store", str(damaged), "--format", "csv"]) == 32
    told = capsys.readouterr()
    assert told.out.splitlines() == [",".join(COLUMNS)]
    assert "rows of" in told.err
