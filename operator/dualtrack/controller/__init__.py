"""The controller: observe → decide → act → report, by kopf. It decides nothing itself.

`loop` is the life of one migration, `reconcile` one pass of it: `observe` looks, `act` does, `report` writes.
"""
