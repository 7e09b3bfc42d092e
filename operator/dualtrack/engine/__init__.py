"""The engine: a drive's metadata in a store, moved there, proved, repaired, taken away and brought back.

It knows drives, stores and files, and nothing of Kubernetes or HTTP. Where to begin, by question:

- What is a row, a generation, a key on disk? `rows`, `naming`, `summary`; `formats/` for the bytes of files.
- How is a drive read? `drive`, `listing`, `metafile`; `walk` in a sweep's order, `pairing` in key order;
  `sealing` and `native/` do it in C.
- Who writes a store? `owner`, with `storelock`, `writer` and `stripes`; for other processes `server` and
  `client`, and `session`, which finds out which; `stores/` is below them.
- What if a file changes meanwhile? `journal`, `marks`, `draining`; `trust` says which rows may be served.
- How does a migration go? `migrate`, with `batches`, `sweepstate`, `departed`, `mending`, `quarantine`;
  `pace` is how fast, and what it heeds.
- How is it proved? `verify`, with `bulk`, `judging`, `confirming`; `sampled`, `validation`, `scrub`; `proof/`
  for reports.
- What stops a wrong step? `marker`, `marking`, `lock`, `authority`, `preflight`; `audit` says who did what.
- How do files go, and come back? `cleanup/`, `snapshot`, `rehearse`, `restore`.
- What if a store is lost? `rebuild` makes it from the drive, `restore_store` from a snapshot and `rowlog/`.
- What is undone or made good? `repair/`, `deleted`, `orphans/`, `waiving`.
- What do several drives hold together? `sets/`.
- What does an S3 server ask for? `objects/`.
- How does one look around? `inventory`, `export`, `browse/`, `look`.

Files are named, renamed and removed by `files` alone.
"""
