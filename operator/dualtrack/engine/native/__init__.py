"""The optional native reader: the sweep's inner loop in C, with the result of the Python one to the byte.

The C sources lie beside this file and are compiled when the package is built, where a compiler is
(`hatch_build.py`); everything works without. `DUALTRACK_NATIVE=0` leaves it unused.
"""
