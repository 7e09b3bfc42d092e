"""The commands. `engine_NAME.py` is `dualtrack engine NAME`: arguments in, one call, a result out.

`main` finds them, `tasks` runs those that work on a store, `reading` those that only look.
"""
