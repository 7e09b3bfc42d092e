"""Several drives of one server, seen together: the S3 view that its quorum gives.

`topology.py` says which drives belong together, `merge.py` decides per object what the set holds (pure),
`view.py` streams both over whole drives or stores, `across.py` compares the drives of a set with each other.
Every row still belongs to one drive; nothing here writes to a drive or a store.
"""
