"""What calls to a datacenter have taken, learnt from their answers.

Laws: the latest samples count most; a few of them are not trusted yet, and old ones not any more.
"""

from __future__ import annotations

from dataclasses import dataclass

_ALPHA = 0.2
_SAMPLES_FOR_CONFIDENCE = 10
_CAP_MS = 60_000.0


@dataclass(frozen=True, slots=True)
class ObservedLatency:
    """Moving average of the samples of one datacenter; `at_seconds` is when the last one came."""

    mean_ms: float
    samples: int
    at_seconds: float


def learn(known: ObservedLatency | None, sample_ms: float, now_seconds: float) -> ObservedLatency:
    """Take a sample in."""
    sample_ms = min(max(sample_ms, 0.0), _CAP_MS)
    if known is None:
        return ObservedLatency(sample_ms, 1, now_seconds)
    mean_ms = known.mean_ms + _ALPHA * (sample_ms - known.mean_ms)
    return ObservedLatency(mean_ms, known.samples + 1, now_seconds)


def confidence(known: ObservedLatency, now_seconds: float, memory_seconds: float) -> float:
    """0: not to be trusted; 1: ten samples, the last of them just now. Falls linearly to 0 over `memory_seconds`."""
    freshness = 1.0 - (now_seconds - known.at_seconds) / memory_seconds if memory_seconds else 0.0
    return min(1.0, known.samples / _SAMPLES_FOR_CONFIDENCE) * min(1.0, max(0.0, freshness))


def blended_ms(known: ObservedLatency | None, predicted_ms: float, now_seconds: float, memory_seconds: float) -> float:
    """What to expect of a call: what was observed, as far as it is trusted, and the prediction for the rest."""
    if known is None:
        return min(predicted_ms, _CAP_MS)
    trust = confidence(known, now_seconds, memory_seconds)
    return min(trust * known.mean_ms + (1.0 - trust) * predicted_ms, _CAP_MS)
