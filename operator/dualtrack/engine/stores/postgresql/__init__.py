"""Rows in PostgreSQL: the only room that imports `psycopg`, which is an extra.

One schema a drive, three tables of `bytea` (which sorts by bytes, whatever the collation). `store` is the
store, `transaction` and `statements` are what it does, `schemas` is how a rebuild puts a new one in place,
`connection` is what all of them speak through.

Safe because:

- The owner holds a session advisory lock on its one writing connection. When that connection is lost, so is
  the ownership: nothing is retried, the owner has to be opened again, under a new term.
- Each write transaction first locks the row of the term `FOR UPDATE`, so that two owners never overlap, and a
  row is only ever replaced by one of a higher generation, which the statement itself demands.
- A server that may lose what it acknowledged (`fsync`, `full_page_writes` or `synchronous_commit` off, an
  unlogged table, a standby) is refused.
- Serialisation failures and deadlocks, where nothing was written, are tried again; all else that goes wrong
  is an error. After a lost connection a commit may or may not have taken effect, and the error says so.

Limits: a key of 2,600 bytes (an index entry must fit a third of a page; S3 ends keys at 1,024), a value of 1
GB, of which a statement needs several copies in memory on both sides.
"""
