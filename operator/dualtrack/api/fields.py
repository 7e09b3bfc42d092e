"""The field types that the API is made of: bounded strings and integers, decimals as text, times.

Kubernetes' conventions forbid floats and ask for bounds on everything, and the API server's cost estimate
for CEL rules needs them. So no model names `int` or `str` bare: it takes a type from this page, and the
bound is seen once. The generated CRD carries every bound (`crdgen.py`), and a contract test looks for gaps.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StrictInt,
)
from pydantic.alias_generators import to_camel

MESSAGE_LIMIT: Final = 2048
YEAR_SECONDS: Final = 31_536_000
_LARGEST: Final = 2**53 - 1  # the largest integer that every JSON reader keeps exactly
_DNS_LABEL: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_DNS_NAME: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"


class SpecModel(BaseModel):
    """A part of `spec`: unknown fields are refused, because a misspelt wish must not be ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )


class StatusModel(BaseModel):
    """A part of `status`: unknown fields are dropped, so that an older operator can follow a newer one.

    For the same reason a status field that takes one of a few words is a plain bounded string; the words
    are the `StrEnum`s beside it.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )


def keyed(*keys: str, **extra: Any) -> dict[str, Any]:
    """`json_schema_extra` of a list of named objects: the API server merges by key and refuses doubles."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys), **extra}


ATOMIC: Final[dict[str, Any]] = {"x-kubernetes-list-type": "atomic"}
SET: Final[dict[str, Any]] = {"x-kubernetes-list-type": "set"}


def truncate(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """`text` cut to `limit` characters, with a mark where something is missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _truncated(value: object) -> object:
    return truncate(value) if isinstance(value, str) else value


def _rfc3339(value: datetime) -> str:
    moment = value.astimezone(UTC)
    precision: Literal["milliseconds", "seconds"] = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


# ---- strings
ObjectName: TypeAlias = Annotated[str, Field(min_length=1, max_length=253, pattern=_DNS_NAME)]
LabelName: TypeAlias = Annotated[str, Field(min_length=1, max_length=63, pattern=_DNS_LABEL)]
PhaseName: TypeAlias = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[A-Z][A-Za-z0-9]*$")]
Word: TypeAlias = Annotated[str, Field(max_length=64)]
Line: TypeAlias = Annotated[str, Field(max_length=256)]
Message: TypeAlias = Annotated[str, BeforeValidator(_truncated), Field(max_length=MESSAGE_LIMIT)]
"""Text for people. Too long is cut, because a status write must not fail for its wording."""
Url: TypeAlias = Annotated[
    str,
    Field(
        min_length=8,
        max_length=512,
        pattern=r"^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~%/-]*)?$",
    ),
]
Quantity: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=24, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")
]
DecimalText: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=24, pattern=r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,12})?$")
]
Measured: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$")
]
Time: TypeAlias = Annotated[AwareDatetime, PlainSerializer(_rfc3339, return_type=str, when_used="always")]

# ---- integers
_INT64: Final[dict[str, Any]] = {"format": "int64"}
Count: TypeAlias = Annotated[StrictInt, Field(ge=0, le=_LARGEST, json_schema_extra=_INT64)]
PositiveCount: TypeAlias = Annotated[StrictInt, Field(ge=1, le=_LARGEST, json_schema_extra=_INT64)]
Attempt: TypeAlias = Annotated[StrictInt, Field(ge=1, le=1_000_000)]
Seconds: TypeAlias = Annotated[StrictInt, Field(ge=1, le=YEAR_SECONDS)]
ZeroOrSeconds: TypeAlias = Annotated[StrictInt, Field(ge=0, le=YEAR_SECONDS)]
Percent: TypeAlias = Annotated[StrictInt, Field(ge=0, le=100)]
RatioPercent: TypeAlias = Annotated[StrictInt, Field(ge=1, le=100)]
Flag: TypeAlias = StrictBool


def decimal(text: str) -> Decimal:
    """The exact value of a `DecimalText` or `Measured`."""
    return Decimal(text)
