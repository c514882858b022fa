"""What the contract says outside the messages: protocol version, metadata keys, size limits."""

from typing import Final

PROTOCOL_MAJOR: Final = 1
"""Peers of another major version are refused by name."""

PROTOCOL_MINOR: Final = 0
"""Peers of another minor version work with the intersection of capabilities."""

CAPABILITIES: Final = frozenset(
    {"job_submission", "workflow_dispatch", "cancellation", "idempotency_keys", "watch_resume"}
)
"""Features this version speaks; sent by both sides in call metadata."""

PROTOCOL_METADATA_KEY: Final = "hyperscale-protocol"
"""Call metadata key that carries ``MAJOR.MINOR``."""

CAPABILITIES_METADATA_KEY: Final = "hyperscale-capabilities"
"""Call metadata key that carries the comma-separated capabilities."""

FORWARDED_METADATA_KEY: Final = "hyperscale-forwarded"
"""Set by a gate that passes a call on to a job's owner; a forwarded call is never forwarded again."""

JOB_ID_METADATA_KEY: Final = "hyperscale-job-id"
"""Identity of the job, in a submission that is passed on: the gate that took it from the client has chosen its owner by it."""

ERROR_DOMAIN: Final = "hyperscale"
"""``google.rpc.ErrorInfo.domain`` of every error this suite raises."""

MAX_SUBMISSION_BYTES: Final = 5 * 1024 * 1024
"""Largest serialized JobSubmission a gate accepts."""

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""gRPC receive limit: above the submission limit, so that an oversized job gets a typed answer."""
