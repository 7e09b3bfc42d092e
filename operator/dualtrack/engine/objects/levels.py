"""The consistency levels: how closely the row of a key that is on both tracks follows its file.

| level | write (fs with a ratio) | row | read |
|---|---|---|---|
| eventual | mark, file, answer | by the drain, at once | the mode's track |
| strong | intent, file, row, answer | before the answer | both tracks, compared |
| lazy | mark, file, answer | when it is read or verified, or the window is half over | the mode's track |

In `kv_primary` the row is committed before the answer at every level; `strong` adds the intent and the
compared read, `lazy` the loading of rows that no sweep has come to yet. In `kv_only` there is one track, and
no level.
What each step leaves to a crash is in docs/internals/write-path.md.
"""

from __future__ import annotations

from enum import StrEnum


class Level(StrEnum):
    EVENTUAL = "eventual"
    STRONG = "strong"
    LAZY = "lazy"
