"""`ls`, `du` and `find` say of a store what its export says, in S3's order, and change nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.cli.main import main
from dualtrack.engine.browse.keys import CommonPrefix, Key, keys
from dualtrack.engine.browse.predicates import matching, moment, name, path, size
from dualtrack.engine.browse.usage import usage
from dualtrack.engine.entries import Summary
from dualtrack.engine.formats.versions import Kind
from sweepbench import Bench

Output = pytest.CaptureFixture[str]
Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def store(minio_drive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of a real drive's rows."""
    folder = tmp_path_factory.mktemp("browsing")
    subprocess.run(["cp", "--archive", str(minio_drive), str(folder / "d1")], check=True)
    Bench(folder / "d1", folder / "kv").migrate()
    return folder / "kv"


def run(*words: str | Path, code: int = 0) -> None:
    assert main(["engine", *map(str, words)]) == code


@pytest.fixture
def exported(store: Path, capsys: Output) -> Lines:
    run("export", "--store", store)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def printed(capsys: Output) -> list[str]:
    return capsys.readouterr().out.splitlines()


def latest(exported: Lines, bucket: str) -> Lines:
    return [
        each
        for each in exported
        if each["bucket"] == bucket and each["isLatest"] and each["kind"] == "object"
    ]


def test_buckets_with_their_counts(store: Path, exported: Lines, capsys: Output) -> None:
    run("ls", "--store", store, "--format", "jsonl")
    found = [json.loads(line) for line in printed(capsys)]
    assert {each["bucket"] for each in found} >= {each["bucket"] for each in exported}
    assert sum(each["versions"] for each in found) == len(exported)


@pytest.mark.parametrize("bucket", ["many-objects", "odd-keys", "versioned", "plain"])
def test_a_recursive_listing_is_the_latest_of_the_export(
    store: Path, exported: Lines, bucket: str, capsys: Output
) -> None:
    run("ls", bucket, "--store", store, "-r", "--format", "jsonl")
    found = [json.loads(line) for line in printed(capsys)]
    fields = ("key", "size", "lastModified", "etag", "storageClass", "inline")
    assert [[each[name] for name in fields] for each in found] == [
        [each[name] for name in fields] for each in latest(exported, bucket)
    ]


def test_versions_are_the_exports_lines(store: Path, exported: Lines, capsys: Output) -> None:
    run("ls", "versioned", "--store", store, "-r", "--versions", "--format", "jsonl")
    assert [json.loads(line) for line in printed(capsys)] == [
        each for each in exported if each["bucket"] == "versioned"
    ]


def test_a_level_shows_common_prefixes_once_and_in_order(store: Path, capsys: Output) -> None:
    run("ls", "many-objects", "--store", store)
    top = printed(capsys)
    assert top == sorted(set(top))
    assert all(each.endswith("/") for each in top)
    run("ls", f"many-objects/{top[0]}", "--store", store, "--prefix", "q0")
    assert all(each.startswith(f"{top[0]}q0") for each in printed(capsys))


def test_the_usage_of_every_level_adds_up(store: Path, exported: Lines, capsys: Output) -> None:
    run("du", "many-objects", "--store", store, "--depth", "2", "--format", "jsonl")
    found = [json.loads(line) for line in printed(capsys)]
    wanted = latest(exported, "many-objects")
    for each in found:
        below = [one for one in wanted if one["key"].startswith(each["prefix"])]
        assert (each["objects"], each["bytes"]) == (len(below), sum(one["size"] for one in below))
    assert found[-1]["prefix"] == ""
    assert len(found) > 20


def test_the_largest_come_first(store: Path, exported: Lines, capsys: Output) -> None:
    run("du", "--store", store, "--sort", "bytes", "--top", "3", "--versions", "--format", "jsonl")
    found = [json.loads(line) for line in printed(capsys)]
    totals: dict[str, int] = {}
    for each in exported:
        totals[each["bucket"]] = totals.get(each["bucket"], 0) + each["size"]
    assert [each["bytes"] for each in found] == sorted(totals.values(), reverse=True)[:3]


FOUND: list[tuple[list[str], Any]] = [
    (["--name", "*.dat"], lambda e: e["key"].rpartition("/")[2].endswith(".dat")),
    (
        ["--path", "p0[0-2]/*7.dat"],
        lambda e: e["key"][:3] in ("p00", "p01", "p02") and e["key"].endswith("7.dat"),
    ),
    (["--regex", "p0[^/]/q03/"], lambda e: e["key"].startswith("p0") and e["key"][3:8] == "/q03/"),
    (["--larger", "1k", "--smaller", "1M"], lambda e: 1024 < e["size"] < 2**20),
    (["--smaller", "1"], lambda e: e["size"] == 0),
    (["--inline", "no"], lambda e: not e["inline"]),
    (["--storage-class", "REDUCED_REDUNDANCY"], lambda e: e["storageClass"] == "REDUCED_REDUNDANCY"),
    (["--tag", "project"], lambda e: "project" in e["tags"]),
    (["--newer", "2020-01-01"], lambda e: True),
    (["--older", "2020-01-01"], lambda e: False),
]


@pytest.mark.parametrize(("words", "wanted"), FOUND, ids=[" ".join(words) for words, _ in FOUND])
def test_find_finds_what_the_export_has(
    store: Path, exported: Lines, words: list[str], wanted: Any, capsys: Output
) -> None:
    run("find", "--store", store, "--format", "jsonl", *words)
    found = [json.loads(line) for line in printed(capsys)]
    assert found == [
        each for each in exported if each["isLatest"] and each["kind"] == "object" and wanted(each)
    ]
    run("find", "--store", store, "--format", "jsonl", "--all-versions", *words)
    found = [json.loads(line) for line in printed(capsys)]
    assert found == [each for each in exported if wanted(each)]


def test_user_metadata_and_tags_are_compared(store: Path, exported: Lines, capsys: Output) -> None:
    some = next(each for each in exported if each["isLatest"] and each["userMetadata"])
    key, value = next((k, v) for k, v in some["userMetadata"].items() if isinstance(v, str))
    run("find", "--store", store, "--metadata", f"{key}={value}", "--format", "jsonl")
    found = [json.loads(line) for line in printed(capsys)]
    assert some in found
    assert all(each["userMetadata"][key] == value for each in found)


def test_delete_markers_and_counts_of_versions(store: Path, exported: Lines, capsys: Output) -> None:
    run("find", "--store", store, "--deleted", "yes", "--format", "jsonl")
    assert [json.loads(line) for line in printed(capsys)] == [
        each for each in exported if each["isLatest"] and each["kind"] == "deleteMarker"
    ]
    run("find", "versioned", "--store", store, "--min-versions", "3")
    counts: dict[str, int] = {}
    for each in exported:
        if each["bucket"] == "versioned":
            counts[each["key"]] = counts.get(each["key"], 0) + 1
    assert {line.partition("/")[2] for line in printed(capsys)} <= {k for k, n in counts.items() if n >= 3}


def test_print0_gives_exact_bytes(store: Path, exported: Lines) -> None:
    code = "import sys; from dualtrack.cli.main import main; sys.exit(main())"
    words = ["engine", "find", "odd-keys", "--store", str(store), "-0"]
    ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, check=True)
    wanted = [os.fsencode(f"odd-keys/{each['key']}") for each in latest(exported, "odd-keys")]
    assert ended.stdout.split(b"\0")[:-1] == wanted


def test_a_reader_that_goes_away_is_no_error(store: Path) -> None:
    code = "import sys; from dualtrack.cli.main import main; sys.exit(main())"
    words = ["engine", "find", "many-objects", "--store", str(store), "--format", "jsonl"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 0


def test_no_name_moves_the_cursor(store: Path, capsys: Output) -> None:
    run("find", "odd-keys", "--store", store)
    assert all(line.isprintable() for line in printed(capsys))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ls", "no-such"], "is no bucket of this store"),
        (["find", "--larger", "big"], "is no size"),
        (["find", "--older", "soon"], "is no time"),
        (["find", "--regex", "("], "is no regular expression"),
        (["find", "--tag", "=x"], "is no NAME"),
    ],
)
def test_what_cannot_be_meant_is_told(store: Path, words: list[str], told: str, capsys: Output) -> None:
    run(*words, "--store", store, code=2)
    assert told in capsys.readouterr().err


def test_nothing_is_made_where_no_store_is(tmp_path: Path) -> None:
    for verb in ("ls", "du", "find"):
        run(verb, "--store", tmp_path / "none", code=2)
    assert not (tmp_path / "none").exists()


class Ordered:
    """An index of these keys; counts how many entries it gave."""

    def __init__(self, names: list[str]) -> None:
        self.names = sorted(set(names), key=os.fsencode)
        self.given = 0

    def list_index(
        self, bucket: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, Summary]]:
        start = os.fsencode(after) if after is not None else b""
        found = [
            each
            for each in self.names
            if os.fsencode(each).startswith(os.fsencode(prefix))
            and (after is None or os.fsencode(each) > start)
        ][:limit]
        self.given += len(found)
        return [(each, SUMMARY) for each in found]


SUMMARY = Summary(Kind.OBJECT, 1, 0, 1, "", "STANDARD", False)
names = st.lists(st.text("ab/\udcff", min_size=1, max_size=6), max_size=30)


def by_definition(found: list[str], prefix: str) -> Iterator[str]:
    """A listing with the delimiter "/", as the S3 documentation defines it."""
    told: set[str] = set()
    for each in found:
        if each.startswith(prefix):
            head, slash, _ = each[len(prefix) :].partition("/")
            shown = prefix + head + slash if slash else each
            if shown not in told or not slash:
                yield shown
            told.add(shown)


@given(given_names=names, prefix=st.text("ab/", max_size=2))
def test_a_listing_with_a_delimiter_is_s3s(given_names: list[str], prefix: str) -> None:
    index = Ordered(given_names)
    found = [
        each.prefix if isinstance(each, CommonPrefix) else each.key
        for each in keys(index, "b", prefix, "/")  # type: ignore[arg-type]
    ]
    assert found == list(by_definition(index.names, prefix))


@given(given_names=names, depth=st.integers(0, 3))
def test_usage_counts_each_key_once_a_level(given_names: list[str], depth: int) -> None:
    index = Ordered(given_names)
    counted = [(each, 1, 1, len(each)) for each in index.names]
    found = list(usage("b", "", counted, depth))
    for each in found:
        below = [one for one in index.names if one.startswith(each.prefix)]
        assert (each.objects, each.bytes) == (len(below), sum(map(len, below)))
    wanted = {""} | {
        each[: place + 1]
        for each in index.names
        for number, place in enumerate([n for n, c in enumerate(each) if c == "/"])
        if number < depth
    }
    assert {each.prefix for each in found} == wanted
    assert len(found) == len(wanted)


def test_a_level_of_a_large_bucket_reads_a_page_a_prefix() -> None:
    index = Ordered([f"{top}/{number:05}" for top in "abc" for number in range(5_000)])
    assert len(list(keys(index, "b", "", "/"))) == 3  # type: ignore[arg-type]
    assert index.given <= 3 * 32


@pytest.mark.parametrize(
    ("expression", "hits", "misses"),
    [
        (name("*.jpg"), ["a.jpg", "x/y/a.jpg"], ["a.jpg/b", "a.jpeg"]),
        (name("a?c"), ["abc", "x/abc", "abc/"], ["abbc", "x/abc/d", "a/c"]),
        (name("[!a]*"), ["b", "a/b"], ["a", "b/a"]),
        (path("a/*.jpg"), ["a/b/c.jpg"], ["b/a/c.jpg", "a/b"]),
        (path("a["), ["a["], ["a"]),
    ],
)
def test_globs(expression: str, hits: list[str], misses: list[str]) -> None:
    test = matching(expression)
    for each in (*hits, *misses):
        key = Key("b", each, SUMMARY)
        assert test(key) == (each in hits), each


def test_ages_and_sizes() -> None:
    now = datetime(2026, 11, 26, 12, tzinfo=UTC)
    day = 86_400 * 10**9
    assert moment("2d", now) == int(now.timestamp()) * 10**9 - 2 * day
    assert moment("2026-11-26T12:00:00.5+00:00", now) == int(now.timestamp()) * 10**9 + 5 * 10**8
    with pytest.raises(ValueError, match="is no size"):
        size("10X")
