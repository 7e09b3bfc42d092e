"""Orphans: data directories that no version names, left where a write or a deletion in `kv_only` was cut off.

`finding` walks and judges (its rule is a pure function), `collecting` moves what is old enough aside, and
`keeping` takes a collection back or, a week later, removes what it holds. `records` is what all of them write
down first. Nothing is removed that was not out of everybody's way for that week.
"""
