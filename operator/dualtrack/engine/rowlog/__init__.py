"""The row log: every committed change of a store, on another device, from its last snapshot on.

From `KvOnly` on rows are the only metadata, and a snapshot is as old as its last run. Snapshot and log
together give the store as it was at its last acknowledged commit (`restore-store`).

`records` is the format, pure; `segments` reads a log and says where it ends or why it cannot be believed;
`appending` writes one; `noting` has the drive remember how far it is; `replaying` lays it over a store. An
owner goes on with its log by `opening`, and `keeper` is what it does with one otherwise.
"""
