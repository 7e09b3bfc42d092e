"""Adding and removing versions, against a dictionary that does the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dualtrack.engine.formats import xlmeta
from dualtrack.engine.formats.changes import add_version, remove_version, update_version
from dualtrack.engine.formats.versions import Version
from dualtrack.engine.summary import Summary, summary
from version_strategies import ids, metadata, versions

additions = st.tuples(versions(), st.none() | st.binary(max_size=40))
steps = st.lists(additions | ids, max_size=12)


@given(steps)
def test_versions_and_inline_content_are_those_of_the_model(
    steps: list[tuple[Version, bytes | None] | bytes],
) -> None:
    meta = xlmeta.empty()
    model: dict[bytes, tuple[Version, bytes | None]] = {}
    for step in steps:
        if isinstance(step, tuple):
            meta = add_version(meta, *step)
            model[step[0].version_id] = step
        elif step in model:
            meta = remove_version(meta, step)
            del model[step]
    read = xlmeta.decode(xlmeta.encode(meta))
    assert read == meta
    assert {version.version_id: version for version in read.versions} == {i: v for i, (v, _) in model.items()}
    assert dict(read.inline) == {v.version_key: data for v, data in model.values() if data is not None}
    keys = [version.sort_key for version in read.versions]
    assert keys == sorted(keys, reverse=True)
    assert [version.body for version in read.versions] == [version.body for version in meta.versions]


@given(versions(), metadata)
def test_an_update_is_undone_by_the_update_back(version: Version, user: dict[str, str]) -> None:
    meta = add_version(xlmeta.empty(), version)
    before = getattr(version.body, "meta_user", {})
    changed = update_version(meta, version.version_id, meta_sys={"x": b"y"})
    if before or hasattr(version.body, "meta_user"):
        changed = update_version(changed, version.version_id, meta_user=user)
        changed = update_version(changed, version.version_id, meta_user=before)
    back = update_version(changed, version.version_id, meta_sys=version.body.meta_sys)
    assert xlmeta.encode(back) == xlmeta.encode(meta)


@given(st.lists(versions(), max_size=4))
def test_a_summary_survives_packing(added: list[Version]) -> None:
    meta = xlmeta.empty()
    for version in added:
        meta = add_version(meta, version)
    found = summary(meta)
    assert Summary.unpack(found.pack()) == found
    assert found.version_count == len({version.version_id for version in added})
