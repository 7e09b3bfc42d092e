"""A migration that goes round and round while its processes are killed, and a file that knows the truth.

As RocksDB's `db_crashtest.py` does it: what was answered is put down outside the system under test, at once,
and after each kill everything is read and compared with it. A write that was not answered may have happened
or not, but nothing else may. Verbs run as real command lines, beside the data plane or without it, and are
killed as well, then run again to their end.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import soak_writer
from dualtrack.engine.objects.errors import NoSuchKey
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.errors import DifferenceError
from layers import new_drive

Contents = dict[str, bytes]
BOUND_SECONDS = 240
_MAIN = "import sys; from dualtrack.cli.main import main; sys.exit(main())"
DURATION_SECONDS = (0.2, 2.0)


@dataclass
class Expected:
    """The external expected-state file: the number of the first write that nobody was told of."""

    path: Path
    seed: int
    next: int = 0

    def answered(self, number: int) -> None:
        self.next = number + 1
        with self.path.open("a") as file:
            file.write(json.dumps({"answered": number}) + "\n")

    def cut_off(self, happened: bool) -> None:
        """What became of the write that was not answered; from here on it is the truth."""
        with self.path.open("a") as file:
            file.write(json.dumps({"unanswered": self.next, "happened": happened}) + "\n")
        self.next += 1

    def contents(self) -> Contents:
        state: Contents = {}
        for line in self.path.read_text().splitlines():
            said = json.loads(line)
            if said.get("happened", True):
                number = said.get("answered", said.get("unanswered"))
                apply(state, *soak_writer.write_of(self.seed, number))
        return state


def apply(state: Contents, key: str, content: bytes | None) -> None:
    if content is None:
        state.pop(key, None)
    else:
        state[key] = content


@dataclass
class Soak:
    home: Path
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    epoch: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.drive = new_drive(self.home / "drive")
        (self.drive / soak_writer.BUCKET).mkdir()
        self.store = self.drive / ".dualtrack" / "store"
        self.expected = Expected(self.home / "expected.jsonl", self.seed)
        self.expected.path.touch()

    def run(self, seconds: float) -> None:
        """Whole rounds of the way, until the time is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._round()
            self.counts["rounds"] += 1

    def _round(self) -> None:
        self.epoch += 1
        self._step("fs/0.5")
        self.epoch += 1
        self._step("fs/1", self._verb("migrate"), self._verb("verify"))
        self._step("kv_primary/1/true", self._verb("verify"))
        self._step("kv_primary/1/false", self._verb("verify"))
        snapshot = str(self.home / "snapshot")
        self._step(
            "kv_only",
            self._verb("verify", "--final"),
            self._verb("cleanup", "hold"),
            self._verb("snapshot", "--to", snapshot),
            self._verb("cleanup", "purge", "--accept-same-device", "--snapshot", snapshot),
            self._verb("cleanup", "directories"),
        )
        self._step("returning", self._verb("restore"))
        self._step("kv_primary/1/true", self._verb("verify"))

    # -- the data plane -----------------------------------------------------------------------------------

    def _step(self, mode: str, *verbs: Callable[[str], None]) -> None:
        """The data plane in `mode`, killed now and then; the verbs in turn beside it, killed as well."""
        for _ in range(self.rng.randrange(1, 3)):
            self._serve(mode, None)
        for verb in verbs:
            self._serve(mode, verb)

    def _serve(self, mode: str, verb: Callable[[str], None] | None) -> None:
        program = [sys.executable, soak_writer.__file__, str(self.drive), mode, str(self.epoch)]
        arguments = [str(self.expected.next), str(self.seed)]
        with subprocess.Popen([*program, *arguments], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", f"the data plane in {mode} did not start"
            reader = threading.Thread(target=self._note, args=(process.stdout,))
            reader.start()
            try:
                if verb is None:
                    time.sleep(self.rng.uniform(*DURATION_SECONDS))
                else:
                    verb(mode)
            finally:
                process.send_signal(signal.SIGKILL)
                reader.join()
                process.wait()
        assert process.returncode == -signal.SIGKILL, f"the data plane in {mode} ended by itself"
        self.counts["kills of the data plane"] += 1
        self._compare(mode)

    def _note(self, lines: object) -> None:
        for line in lines:  # type: ignore[attr-defined]
            if line.endswith("\n"):
                self.expected.answered(int(line))
                self.counts["answered writes"] += 1

    def _compare(self, mode: str) -> None:
        """All that can be read is what was answered, the write that was cut off apart."""
        layer = soak_writer.opened(self.drive, mode, self.epoch)
        try:
            found = contents(layer)
        finally:
            layer.close()
        wanted = self.expected.contents()
        if found == wanted:
            self.expected.cut_off(False)
            return
        apply(wanted, *soak_writer.write_of(self.seed, self.expected.next))
        differing = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
        assert not differing, f"seed {self.seed}, {mode}, write {self.expected.next}: {differing}"
        self.expected.cut_off(True)

    # -- the verbs ----------------------------------------------------------------------------------------

    def _verb(self, *words: str) -> Callable[[str], None]:
        """Run it as a Job does; kill it at random, and then again until it ends well. Nobody plants a
        difference here, so one that a verification tells is a write that was half lost, or a false alarm."""

        def run(mode: str) -> None:
            command = [
                *(sys.executable, "-c", _MAIN, "engine", *words, "--client-only"),
                *("--drive", str(self.drive), "--store", str(self.store)),
            ]
            end = time.monotonic() + BOUND_SECONDS
            kill = self.rng.random() < 0.6
            while True:
                code, error = self._once(command, self.rng.uniform(0.1, 1.5) if kill else None)
                kill = kill and self.rng.random() < 0.4
                if code == 0:
                    self.counts[f"{words[0]} whole"] += 1
                    return
                if code == -signal.SIGKILL:
                    self.counts["kills of verbs"] += 1
                else:
                    self.counts[f"{' '.join(words[:2])} refused: {code}"] += 1
                    assert code != DifferenceError.exit_code, f"seed {self.seed}, {words} in {mode}: {error}"
                assert time.monotonic() < end, f"seed {self.seed}, {words} in {mode}: {error}"

        return run

    def _once(self, command: list[str], seconds: float | None) -> tuple[int, str]:
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                _, error = process.communicate(timeout=seconds or BOUND_SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                _, error = process.communicate()
        return process.returncode, error


def contents(layer: ObjectLayer) -> Contents:
    """Every object, by the listing and by GET."""
    found: Contents = {}
    after = ""
    while True:
        page = layer.list_objects(soak_writer.BUCKET, "", "", after, 1000)
        for entry in page.objects:
            try:
                _, chunks = layer.read(soak_writer.BUCKET, entry.key)
            except NoSuchKey as error:
                raise AssertionError(f"{entry.key} is listed and cannot be read") from error
            found[entry.key] = b"".join(chunks)
        if not page.truncated:
            return found
        after = page.next_after


def soak(home: Path, seed: int, seconds: float) -> Counter[str]:
    """Run it in `home`; answers what happened. AssertionError where anything was lost."""
    running = Soak(home, seed)
    running.run(seconds)
    return running.counts
