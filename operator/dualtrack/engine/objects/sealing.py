"""Content that another server transformed: why this build does not give it out.

None of these is undone here. Reading such a version is refused by name, while everything else about the
object stays visible and its metadata migrates like any other.
"""

from __future__ import annotations

from dualtrack.engine import attributes
from dualtrack.engine.formats.bodies import Form, ObjectBody


def why_undecodable(body: ObjectBody) -> str | None:
    """What keeps this build from giving out the content, in words; None if nothing does."""
    kind = attributes.encryption(body)
    if kind is not attributes.Encryption.NONE:
        return f"it is encrypted ({kind.value}) by another server"
    if attributes.compressed(body):
        return "it is compressed by another server"
    if attributes.internal(body, "transition-status") == b"complete":
        return "it was moved to another tier"
    if body.form is Form.V1:
        return "its content lies in the form from before versions, which only an old MinIO reads whole"
    if body.ec_m != 1:
        return f"it is spread over {body.ec_m} drives"
    return None
