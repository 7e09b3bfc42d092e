"""A data plane that writes until it is killed, with a socket for verbs beside it.

    soak_writer.py DRIVE MODE EPOCH START SEED

One line on its output for each write, once it was answered: its number. What a write does follows from seed
and number alone, so whoever reads along knows what has to be there. The marker moves only where mode or epoch
are new, as the operator's Mark step does it.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from dualtrack.engine import marker
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Attributes, Settings
from layers import MAP_SIZE, STATES, Body, Figures, mark, mode_of

BUCKET = "live"
KEYS = 40


def write_of(seed: int, number: int) -> tuple[str, bytes | None]:
    """(key, content) of the write with this number; None where it deletes."""
    rng = random.Random(seed * 1_000_003 + number)
    key = f"d{rng.randrange(5)}/k{rng.randrange(KEYS)}"
    if rng.random() < 0.25:
        return key, None
    size = rng.choice((0, 9, 700, 20_000, 140_000))
    return key, f"{number}:".encode() + rng.randbytes(size)


def opened(drive: Path, name: str, epoch: int) -> ObjectLayer:
    """The layer in that mode; the marker is moved where it is another's."""
    found = marker.read(str(drive))
    purged = found.state is MarkerState.PURGED and STATES[name] is MarkerState.KV_ONLY
    if found.epoch != epoch or not (purged or found.state is STATES[name]):
        mark(drive, STATES[name], epoch)
    settings = Settings(map_size=MAP_SIZE, socket=True, drain=True, inventory=False)
    return ObjectLayer.open(str(drive), mode_of(name, epoch), settings, Figures())


def main(drive: str, mode: str, epoch: int, start: int, seed: int) -> None:
    layer = opened(Path(drive), mode, epoch)
    print("ready", flush=True)
    number = start
    while True:
        key, content = write_of(seed, number)
        if content is None:
            layer.delete(BUCKET, key)
        else:
            layer.put(BUCKET, key, Body(content), Attributes())
        print(number, flush=True)
        number += 1


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]))
