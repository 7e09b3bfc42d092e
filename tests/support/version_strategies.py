"""Hypothesis strategies for versions of an object, as both servers may write them."""

from __future__ import annotations

from hypothesis import strategies as st

from dualtrack.engine.formats.changes import Part, new_delete_marker, new_object_version
from dualtrack.engine.formats.versions import Version

ids = st.sampled_from([bytes(16), *(bytes([number]) * 16 for number in range(1, 6))])
# Few values, so that equal times and replaced ids are common.
times = st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1)
# A small alphabet: Hypothesis takes seconds to build its table of all characters, on every fresh machine.
texts = st.text("aZ0-\0é日😀", max_size=20) | st.binary(max_size=12).map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
)
metadata = st.dictionaries(texts, texts, max_size=4)
sizes = st.integers(0, 2**40)


@st.composite
def versions(draw: st.DrawFn) -> Version:
    version_id, time = draw(ids), draw(times)
    if draw(st.booleans()):
        return new_delete_marker(version_id=version_id, mod_time_ns=time)
    counts = draw(st.lists(sizes, max_size=3))
    return new_object_version(
        version_id=version_id,
        data_dir=draw(st.binary(min_size=16, max_size=16)),
        mod_time_ns=time,
        parts=[Part(number, size, size, draw(texts)) for number, size in enumerate(counts, 1)],
        meta_user=draw(metadata),
        meta_sys=draw(st.dictionaries(texts, st.binary(max_size=12), max_size=3)),
        inline=draw(st.booleans()),
    )
