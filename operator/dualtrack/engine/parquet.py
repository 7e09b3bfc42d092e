"""Versions as a Parquet file: the only module that imports pyarrow, which is the extra `parquet`.

Row groups are written as they fill, so memory does not grow with the bucket. Times keep their nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import BinaryIO

from dualtrack.engine.columnar import COLUMNS, Cell, cells
from dualtrack.engine.entries import Entry
from dualtrack.errors import UsageError

try:
    import pyarrow
    import pyarrow.parquet
except ImportError as _error:
    raise UsageError(
        "--format parquet needs an extra: install rustfs-dualtrack[parquet] (missing: pyarrow)"
    ) from _error

ROW_GROUP = 65_536

_SCHEMA = pyarrow.schema(
    [
        pyarrow.field(
            name,
            {
                "isLatest": pyarrow.bool_(),
                "etagSealed": pyarrow.bool_(),
                "inline": pyarrow.bool_(),
                "size": pyarrow.int64(),
                "parts": pyarrow.int32(),
                "lastModified": pyarrow.timestamp("ns", "UTC"),
            }.get(name, pyarrow.string()),
        )
        for name in COLUMNS
    ]
)


def write(entries: Iterable[Entry], target: BinaryIO) -> None:
    """The whole file. Half of one has no footer, and no reader takes it for a whole."""
    with pyarrow.parquet.ParquetWriter(target, _SCHEMA, compression="zstd") as writer:
        for group in _groups(iter(entries)):
            columns = zip(*group, strict=True)
            arrays = [
                pyarrow.array(list(values), field.type)
                for values, field in zip(columns, _SCHEMA, strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=_SCHEMA))


def _groups(entries: Iterator[Entry]) -> Iterator[Sequence[tuple[Cell, ...]]]:
    while group := [cells(entry) for entry in islice(entries, ROW_GROUP)]:
        yield group
