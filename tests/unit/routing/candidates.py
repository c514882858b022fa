"""Datacenters to decide between."""

from typing import Any

from hyperscale.routing.models.candidates import (
    DatacenterCandidate,
    DatacenterCapacity,
    DatacenterStaff,
    RoundTrip,
)


def near(name: str, rtt_ms: float | None = 10.0, free: int = 8, total: int = 8, **fields: Any) -> DatacenterCandidate:
    queue = fields.pop("queue", 0)
    staff = {key: fields.pop(key) for key in tuple(fields) if key in DatacenterStaff.__slots__}
    return DatacenterCandidate(
        name,
        staff=DatacenterStaff(**staff),
        capacity=DatacenterCapacity(total, free, queue),
        round_trip=None if rtt_ms is None else RoundTrip(rtt_ms),
        **fields,
    )
