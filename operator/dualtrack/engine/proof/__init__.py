"""Reports: what a drive and its store held at one moment, in a form that somebody else can check.

`leaves` defines the digests, `document` the file, `deployment` the file of several drives, `build` makes one,
`check` proves or refutes one, `signing` anchors it to a key, `page` shows it to people. The format is
specified in `docs/reports.md`.
"""
