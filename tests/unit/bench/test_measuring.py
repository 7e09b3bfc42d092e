"""The clock and the checks, on a system in memory whose every answer the test decides."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from dualtrack.bench import report
from dualtrack.bench.measuring import MAX_FAILURES, Bench
from dualtrack.bench.system import OperationFailed
from dualtrack.bench.workloads import Payload, Sizes, Workload
from dualtrack.errors import DifferenceError, IncompleteError, RefusedError, UnavailableError

SIZES = Sizes(objects=20, size=64, large_objects=4, large_size=128, listings=1, rounds=2)
EVERYTHING = tuple(Workload)


class Memory:
    """A system, its place and its sessions in one: objects in a dictionary. `known` says whether it takes
    uploads of known content; hooks see each operation before it happens."""

    told = "in memory"

    def __init__(self, name: str, *, known: bool = True) -> None:
        self.name = name
        self.objects: dict[str, bytes] = {}
        self.opened = self.removed = 0
        self.known = known
        self.before: Callable[[str, str], None] = lambda operation, key: None
        self.answer: Callable[[str, bytes], bytes] = lambda key, data: data
        self.listed: Callable[[list[str]], list[str]] = lambda keys: keys
        self.left: list[str] = []

    def open(self, workload: Workload) -> Memory:
        self.before("open", workload)
        self.opened += 1
        return self

    @contextmanager
    def session(self) -> Iterator[Memory]:
        self.before("session", "")
        yield self

    def put(self, key: str, payload: Payload) -> None:
        self.before("put", key)
        self.objects[key] = payload.data

    def put_known(self, key: str, payload: Payload) -> bool:
        if self.known and payload.data in self.objects.values():
            self.objects[key] = payload.data
            return True
        return False

    def get(self, key: str) -> bytes:
        self.before("get", key)
        return self.answer(key, self.objects[key])

    def page(self, prefix: str, after: str) -> tuple[list[str], str]:
        self.before("list", prefix)
        keys = self.listed(sorted(key for key in self.objects if key.startswith(prefix) and key > after))
        return keys[:7], keys[6] if len(keys) > 7 else ""

    def settle(self) -> None:
        return

    def remove(self) -> list[str]:
        self.before("remove", "")
        self.removed += 1
        self.objects.clear()
        return self.left


def bench(*systems: Memory, clients: int = 1) -> Bench:
    ticks = itertools.count()
    return Bench(systems, SIZES, 7, clients, clock=lambda: next(ticks) / 1000)


@pytest.mark.parametrize("clients", [1, 3])
def test_every_operation_of_every_system_is_measured_and_its_place_removed(clients: int) -> None:
    one, two = Memory("one"), Memory("two")
    run = bench(one, two, clients=clients)

    run.run(EVERYTHING)

    counts = {key: sum(map(len, each.times.values())) for key, each in run.measured.items()}
    operations = {operation: 0 for operation, _ in counts}
    assert list(operations)[:4] == ["write 64 B", "read 64 B", "write 128 B", "read 128 B"]
    assert counts["write 64 B", "one"] == counts["read 64 B", "two"] == 20
    assert counts["upload known 128 B", "one"] == 4
    assert counts["list 20 keys, depth 0", "two"] == 2
    assert (run.failures, run.left) == ([], [])
    assert one.opened == one.removed == two.removed == len(EVERYTHING)


def test_what_is_not_known_is_sent_and_said_to_be() -> None:
    run = bench(Memory("fs", known=False), Memory("kv"))

    run.run([Workload.INSTANT])

    assert run.measured["upload known 128 B", "fs"].sent == 4
    assert run.measured["upload known 128 B", "kv"].sent == 0


def test_a_wrong_byte_ends_the_run_and_names_system_key_and_place() -> None:
    good, bad = Memory("good"), Memory("bad")
    bad.answer = lambda key, data: data[:10] + bytes([data[10] ^ 1]) + data[11:]

    with pytest.raises(DifferenceError, match=r"^bad answered small/\d+ with 64 bytes .* byte 10;"):
        bench(good, bad).run([Workload.SMALL])

    assert good.removed == bad.removed == 1


def test_a_short_answer_is_a_wrong_one() -> None:
    bad = Memory("bad")
    bad.answer = lambda key, data: data[:-1]

    with pytest.raises(
        DifferenceError, match="with 63 bytes that differ from the 64 written, first at byte 63"
    ):
        bench(bad).run([Workload.SMALL])


@pytest.mark.parametrize(
    "listed",
    [
        lambda keys: keys[1:],
        lambda keys: [*keys, "stranger"],
        lambda keys: keys[::-1],
        lambda keys: [*keys[:1], *keys],
    ],
    ids=["one missing", "one too many", "out of order", "one twice"],
)
def test_a_wrong_listing_ends_the_run(listed: Callable[[list[str]], list[str]]) -> None:
    bad = Memory("bad")
    bad.listed = listed

    with pytest.raises(DifferenceError, match="bad lists"):
        bench(bad).run([Workload.LIST])

    assert bad.removed == 1


def test_a_failed_operation_is_counted_and_named_and_is_no_figure() -> None:
    system = Memory("flaky")

    def fail(operation: str, key: str) -> None:
        if operation == "put" and key.endswith("3"):
            raise OperationFailed(f"{key}: 503")

    system.before = fail
    run = bench(system)
    run.run([Workload.SMALL])

    written, read = run.measured["write 64 B", "flaky"], run.measured["read 64 B", "flaky"]
    assert (written.failed, sum(map(len, written.times.values()))) == (2, 18)
    assert (read.failed, sum(map(len, read.times.values()))) == (0, 18)
    assert run.failures == ["flaky: write small/00000003: 503", "flaky: write small/00000013: 503"]


def test_a_key_whose_write_failed_may_be_listed_or_not() -> None:
    system = Memory("torn")

    def fail(operation: str, key: str) -> None:
        if operation == "put" and key.endswith("3"):
            system.objects[key] = b"there all the same"
            raise OperationFailed(f"{key}: no answer")

    system.before = fail
    run = bench(system)
    run.run([Workload.LIST])

    assert sum(map(len, run.measured["list 20 keys, depth 0", "torn"].times.values())) == 2


def test_with_too_many_failures_the_run_ends() -> None:
    system = Memory("broken")

    def fail(operation: str, key: str) -> None:
        if operation in ("put", "get"):
            raise OperationFailed(f"{key}: 503")

    system.before = fail
    with pytest.raises(IncompleteError, match=rf"broken: {MAX_FAILURES} operations of small failed.*503"):
        bench(system).run([Workload.SMALL])

    assert system.removed == 1


def test_a_system_that_takes_no_client_ends_the_run() -> None:
    system = Memory("gone")

    def refuse(operation: str, key: str) -> None:
        if operation == "session":
            raise OperationFailed("connection refused")

    system.before = refuse
    with pytest.raises(UnavailableError, match="gone: connection refused; see to"):
        bench(system).run([Workload.SMALL])

    assert system.removed == 1


def test_a_removal_that_is_cut_off_says_what_stays_and_the_others_are_removed() -> None:
    first, second = Memory("first"), Memory("second")

    def cut(operation: str, key: str) -> None:
        if operation == "remove":
            raise KeyboardInterrupt

    second.before = cut
    run = bench(first, second)
    with pytest.raises(KeyboardInterrupt):
        run.run([Workload.SMALL])

    assert run.left == ["in memory (its removal was cut off)"]
    assert first.removed == 1


def test_a_system_that_refuses_to_open_leaves_the_others_removed() -> None:
    first, second = Memory("first"), Memory("second")

    def refuse(operation: str, key: str) -> None:
        if operation == "open":
            raise RefusedError("not empty")

    second.before = refuse
    with pytest.raises(RefusedError):
        bench(first, second).run([Workload.SMALL])

    assert (first.removed, second.removed) == (1, 0)


def test_a_run_that_is_ended_stops_at_the_next_operation_and_removes() -> None:
    system = Memory("slow")
    asked = threading.Event()

    def ask(operation: str, key: str) -> None:
        if key == "small/00000005":
            asked.set()

    system.before = ask
    run = bench(system)
    run.stop = asked.is_set
    with pytest.raises(IncompleteError, match="interrupted"):
        run.run([Workload.SMALL])

    assert sum(map(len, run.measured["write 64 B", "slow"].times.values())) == 6
    assert system.removed == 1


def told(run: Bench) -> report.Report:
    names = {system.name: system.told for system in run.systems}
    found = report.lines(run.measured, 1, run.systems[0].name)
    return report.Report("id", "2026-11-26", "a machine", 7, 1, SIZES, names, found, run.failures, run.left)


def test_the_table_lines_up_and_the_first_system_is_the_yardstick() -> None:
    run = bench(Memory("one"), Memory("another-name", known=False))
    run.run(EVERYTHING)

    text = report.table(told(run)).split("\n\n")
    heads, *rows = text[1].splitlines()

    assert "seed 7" in text[0]
    assert len(rows) == len(run.measured)
    ends = [heads.index(f" {head} ") + len(head) + 1 for head in ("n", "failed", "p50", "max", "ops/s")]
    assert all(row[end - 1] != " " and row[end : end + 1].strip() == "" for row in rows for end in ends)
    assert [row.endswith(")") for row in rows] == [False, True] * (len(rows) // 2)
    assert "upload known 128 B, another-name: 4 of 4 were sent in full, unknown there" in text[2]


def test_the_document_says_what_the_table_says() -> None:
    run = bench(Memory("one"), Memory("two"))
    run.run([Workload.SMALL])
    run.left.append("a/b")

    document = report.document(told(run))
    results = document["results"]
    assert isinstance(results, list)

    assert (document["seed"], document["left"]) == (7, ["a/b"])
    assert [(each["operation"], each["system"], each["count"]) for each in results] == [
        (operation, system, 20) for operation in ("write 64 B", "read 64 B") for system in ("one", "two")
    ]
    # The clock ticks once a call, so every operation takes a millisecond.
    assert results[0]["milliseconds"] == dict.fromkeys(("min", "p50", "mean", "p99", "max"), 1.0)
    assert (results[0]["operationsPerSecond"], results[0]["bytesPerSecond"]) == (1000, 64_000)
    assert "timesAsFast" not in results[0]
    assert results[1]["timesAsFast"] == pytest.approx({"median": 1, "min": 1, "max": 1})


def test_the_chart_has_a_dot_for_each_round_and_one_scale_an_operation() -> None:
    run = bench(Memory("one"), Memory("two"))
    run.run([Workload.SMALL])

    assert report.drawn(told(run)).count("<circle") == len(run.measured) * SIZES.rounds
