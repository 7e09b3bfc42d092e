"""The five modes of a data plane, from its environment, and what each marker allows."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.engine.marker import Marker, MarkerState
from dualtrack.engine.mode import Engine, Mode, share
from dualtrack.errors import MarkerError, UsageError


def env(engine: str, ratio: str, fallback: str, epoch: str = "0") -> dict[str, str]:
    return {
        "RUSTFS_METADATA_ENGINE": engine,
        "RUSTFS_DUAL_TRACK_RATIO": ratio,
        "RUSTFS_FALLBACK_TO_FS": fallback,
        "RUSTFS_DUAL_TRACK_EPOCH": epoch,
    }


def test_without_variables_nothing_is_dual() -> None:
    mode = Mode.from_env({})
    assert str(mode) == "fs/0/true"
    assert not mode.dual("b", "k")


ALLOWED = {
    ("fs", "0", "true"),
    ("fs", "0.05", "true"),
    ("fs", "1", "true"),
    ("kv_primary", "1", "true"),
    ("kv_primary", "1", "false"),
    ("kv_only", "1", "false"),
}


@pytest.mark.parametrize(
    "combination", list(product(["fs", "kv_primary", "kv_only"], ["0", "0.05", "1"], ["true", "false"]))
)
def test_only_the_table_of_modes_is_accepted(combination: tuple[str, str, str]) -> None:
    if combination in ALLOWED:
        assert str(Mode.from_env(env(*combination))) == "/".join(combination)
    else:
        with pytest.raises(UsageError, match="RUSTFS_METADATA_ENGINE"):
            Mode.from_env(env(*combination))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RUSTFS_METADATA_ENGINE", "kv"),
        ("RUSTFS_DUAL_TRACK_RATIO", "5%"),
        ("RUSTFS_DUAL_TRACK_RATIO", "NaN"),
        ("RUSTFS_DUAL_TRACK_RATIO", "Infinity"),
        ("RUSTFS_DUAL_TRACK_RATIO", "1.01"),
        ("RUSTFS_DUAL_TRACK_RATIO", "-0.1"),
        ("RUSTFS_FALLBACK_TO_FS", "yes"),
        ("RUSTFS_DUAL_TRACK_EPOCH", "-1"),
        ("RUSTFS_DUAL_TRACK_EPOCH", "²"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name):
        Mode.from_env({name: value})


@pytest.mark.parametrize(("text", "shown"), [("1.0", "1"), ("0.050", "0.05"), ("0E0", "0"), ("1E-2", "0.01")])
def test_a_ratio_is_shown_plainly(text: str, shown: str) -> None:
    assert Mode.from_env(env("fs", text, "true")).ratio_text == shown


MODES = [Mode.from_env(env(*combination)) for combination in sorted(ALLOWED)]
BY_MARKER = {
    MarkerState.FS_AUTHORITATIVE: {"fs/0/true"},
    MarkerState.DUAL_WRITE: {"fs/0/true", "fs/0.05/true", "fs/1/true"},
    MarkerState.KV_PRIMARY: {"kv_primary/1/true", "kv_primary/1/false"},
    MarkerState.KV_ONLY: {"kv_only/1/false", "kv_primary/1/false"},
    MarkerState.PURGED: {"kv_only/1/false", "kv_primary/1/false"},
}


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("state", MarkerState)
def test_a_marker_allows_its_modes_and_no_others(state: MarkerState, mode: Mode) -> None:
    if str(mode) in BY_MARKER[state]:
        mode.check(Marker(state))
    else:
        with pytest.raises(MarkerError, match=state):
            mode.check(Marker(state))


@given(st.text(min_size=1), st.text(min_size=1), st.decimals(0, 1, places=4), st.decimals(0, 1, places=4))
def test_a_larger_ratio_holds_every_key_of_a_smaller_one(
    bucket: str, key: str, one: Decimal, other: Decimal
) -> None:
    bucket, key = (
        text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape") for text in (bucket, key)
    )
    small, large = (Mode(Engine.FS, ratio) for ratio in sorted((one, other)))
    assert not small.dual(bucket, key) or large.dual(bucket, key)


def test_a_ratio_holds_its_share_of_keys() -> None:
    mode = Mode(Engine.FS, Decimal("0.05"))
    held = sum(mode.dual("bucket", f"key-{i}") for i in range(100_000))
    assert 4_700 < held < 5_300
    assert all(Mode(Engine.FS, Decimal(1)).dual("bucket", f"key-{i}") for i in range(100))


def test_the_place_of_a_key_is_fixed() -> None:
    assert share("bucket", "key") == 0xCF42EB429226825
