"""Every error that DualTrack raises on purpose, in one tree, with the exit code that the CLI ends with.

    DualTrackError                     1
    ├── UsageError                     2   the command, a setting or an environment variable is wrong
    ├── InvalidResourceError           3   a MetadataMigration that cannot be accepted
    ├── FormatError                   10   bytes on a drive that are not what they claim to be
    │   ├── CorruptError                   damaged: CRC, lengths, counts (quarantined, never a row)
    │   └── UnsupportedFormatError         sound as far as it can be told, but a form this build cannot read
    ├── DriveError                    20   a drive is not what it has to be (format.json, id, not writable)
    ├── StoreError                    30   the key-value store failed
    │   ├── StoreLockedError          31   another owner holds it
    │   ├── StoreCorruptError         32   an envelope, an index entry or the file itself is damaged
    │   ├── StoreFullError            33   the map or the disk is full
    │   └── StoreVersionError         34   written by a newer build, or the store of another drive
    ├── RefusedError                  40   a safety rule forbids the step; nothing was changed
    │   ├── MarkerError               41   the drive's marker does not allow the mode or the step
    │   ├── FencedError               42   a newer owner, Job or attempt has taken over
    │   └── OwnerError                43   the store's owner does not answer, or answers something else
    ├── IncompleteError               50   the work ended before it was whole (unreadable, interrupted)
    │   └── OutputError                    standard output takes no more: it is full, or nobody reads it
    ├── DifferenceError               51   verification found a difference
    └── UnavailableError              60   a peer (API server, Prometheus, gateway) could not be reached

An error says what happened, to which object, and what to do next. Callers branch on the class, never on
the message.
"""

from __future__ import annotations

from typing import ClassVar


class DualTrackError(Exception):
    """The root of the tree above."""

    exit_code: ClassVar[int] = 1


class UsageError(DualTrackError):
    exit_code = 2


class InvalidResourceError(DualTrackError):
    exit_code = 3


class FormatError(DualTrackError):
    exit_code = 10


class CorruptError(FormatError):
    """Damaged bytes. `reason` is the stable class that the quarantine names (`crc`, `truncated`, …)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnsupportedFormatError(FormatError):
    """A form that this build does not read. `reason` is the stable class that the quarantine names."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class DriveError(DualTrackError):
    exit_code = 20


class StoreError(DualTrackError):
    exit_code = 30


class StoreLockedError(StoreError):
    exit_code = 31


class StoreCorruptError(StoreError):
    exit_code = 32


class StoreFullError(StoreError):
    exit_code = 33


class StoreVersionError(StoreError):
    exit_code = 34


class RefusedError(DualTrackError):
    exit_code = 40


class MarkerError(RefusedError):
    exit_code = 41


class FencedError(RefusedError):
    exit_code = 42


class OwnerError(RefusedError):
    exit_code = 43


class IncompleteError(DualTrackError):
    exit_code = 50


class OutputError(IncompleteError):
    """`reader_gone`: whoever read it had enough, as in `| head`."""

    def __init__(self, message: str, *, reader_gone: bool) -> None:
        super().__init__(message)
        self.reader_gone = reader_gone


class DifferenceError(DualTrackError):
    exit_code = 51


class UnavailableError(DualTrackError):
    exit_code = 60
