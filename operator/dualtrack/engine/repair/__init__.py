"""Repair: making file and row of an object agree again, by a person's word on which of the two is right.

`strategies` decides for one object and is pure; `plan` finds what differs and refuses too much of it; `apply`
changes, `records` writes down beforehand what an undo needs, `undo` takes a run back. Nothing here is ever
run by the operator: a repair that nobody ordered hides the fault that made it necessary.
"""
