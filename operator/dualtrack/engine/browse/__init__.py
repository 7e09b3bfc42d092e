"""Looking around in a store: `ls`, `du` and `find`, from the index alone wherever it suffices.

`keys` walks the index in S3's order, `usage` sums it up by prefix, `predicates` says what `find` looks for,
`together` looks into the stores of a set as into one.
Nothing here opens a store or prints; every function streams and holds no more than a page.
"""
