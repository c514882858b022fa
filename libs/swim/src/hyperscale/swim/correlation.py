"""Several datacenters failing together point to the network between them, not to the datacenters: then nobody is evicted yet.

A detector is told what is seen of each datacenter and judges how far the failures of the last half minute belong together.
Three weaker signs count as well, two of them as much as correlated failures: answers are slow, workers ask for more time, nodes
doubt their own health, each in half of the datacenters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class DatacenterCondition(StrEnum):
    """What a datacenter went through lately."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """Works, but answers slowly or doubts its own health."""
    FAILING = "failing"
    """Failed a moment ago; it may be nothing."""
    FAILED = "failed"
    RECOVERING = "recovering"
    """Works again, but not for long."""
    FLAPPING = "flapping"
    """Failed and recovered several times in short order."""


class CorrelationLevel(IntEnum):
    """How far failures belong together."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3


class SecondarySign(StrEnum):
    """What speaks for the network without a failure."""

    LATENCY = "latency"
    EXTENSIONS = "extensions"
    HEALTH_SCORES = "health_scores"


@dataclass(frozen=True, slots=True)
class CorrelationConfig:
    """When failures count as correlated. Wider windows and lower counts delay more evictions, rightly or not."""

    window_seconds: float = 30.0
    """Failures that began within so long of each other may belong together."""
    low_datacenters: int = 2
    """Failures, unconfirmed ones counted half, that are worth a remark."""
    medium_datacenters: int = 3
    """Confirmed failures and flapping datacenters that delay eviction."""
    high_datacenters: int = 4
    """As many, and at least `high_fraction` of all, are as good as certain."""
    high_fraction: float = 0.5
    backoff_seconds: float = 60.0
    """How long eviction stays delayed after failures were last correlated. 0: not at all."""
    failure_confirm_seconds: float = 5.0
    """A failure that lasts so long is confirmed."""
    recovery_confirm_seconds: float = 30.0
    """A datacenter that has worked for so long has recovered."""
    flaps: int = 3
    """Failures within `flap_window_seconds` that make a datacenter flapping."""
    flap_window_seconds: float = 120.0
    flap_cooldown_seconds: float = 300.0
    """A datacenter stays flapping so long after its latest failure."""
    failures_max: int = 100
    """Failures remembered per datacenter."""
    latency_elevated_seconds: float = 0.1
    """Mean answer time above which a datacenter is slow."""
    latency_samples: int = 3
    """Needed within `latency_window_seconds` for a judgement."""
    latency_window_seconds: float = 60.0
    extension_workers: int = 2
    """Workers of a datacenter that asked for more time within `extension_window_seconds`."""
    extension_window_seconds: float = 120.0
    health_score: int = 3
    """Health score from which on a datacenter doubts itself."""
    sign_fraction: float = 0.5
    """Share of the datacenters that must show a sign for it to count."""
    datacenters_max: int = 256
    """Datacenters watched; more are not."""

    def __post_init__(self) -> None:
        may_be_zero = {"backoff_seconds"}
        faults = [name for name in self.__slots__ if not getattr(self, name) > 0 and name not in may_be_zero]
        if faults or self.backoff_seconds < 0:
            raise ValueError(f"must be above 0: {', '.join(faults) or 'backoff_seconds'}")


@dataclass(frozen=True, slots=True)
class Correlation:
    """The judgement of one moment."""

    level: CorrelationLevel
    datacenters: tuple[str, ...]
    """Those that failed within the window, or flap."""
    signs: frozenset[SecondarySign]

    @property
    def delays_eviction(self) -> bool:
        """Whether nobody should be evicted for what is seen now."""
        return self.level >= CorrelationLevel.MEDIUM or len(self.signs) >= 2

    @property
    def is_likely_network(self) -> bool:
        """Whether the signs point to the links rather than to the nodes."""
        return SecondarySign.LATENCY in self.signs or self.signs >= {
            SecondarySign.EXTENSIONS,
            SecondarySign.HEALTH_SCORES,
        }


_SAMPLES_MAX = 64


@dataclass(slots=True)
class _History:
    failures: deque[float]
    failing_since: float | None = None
    recovered_at: float | None = None
    health_score: int = 0
    latencies: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_SAMPLES_MAX))
    extensions: dict[str, float] = field(default_factory=dict)


class CorrelationDetector:
    """Watches datacenters; whoever evicts asks it first."""

    def __init__(self, config: CorrelationConfig) -> None:
        self._config = config
        self._histories: dict[str, _History] = {}
        self._delayed_until = float("-inf")

    def watch(self, datacenter: str) -> None:
        """Count a datacenter among all; it is healthy until something else is said."""
        if datacenter not in self._histories and len(self._histories) < self._config.datacenters_max:
            self._histories[datacenter] = _History(deque(maxlen=self._config.failures_max))

    def unwatch(self, datacenter: str) -> None:
        """Forget a datacenter."""
        self._histories.pop(datacenter, None)

    def failed(self, datacenter: str, now: float) -> None:
        """Note that a datacenter does not answer; repetitions change nothing."""
        history = self._histories.get(datacenter)
        if history is not None and history.failing_since is None:
            history.failing_since, history.recovered_at = now, None
            history.failures.append(now)

    def recovered(self, datacenter: str, now: float) -> None:
        """Note that a datacenter answers again; repetitions change nothing."""
        history = self._histories.get(datacenter)
        if history is not None and history.failing_since is not None:
            history.failing_since, history.recovered_at = None, now

    def answered(self, datacenter: str, latency_seconds: float, now: float) -> None:
        """Note how long an answer took."""
        if (history := self._histories.get(datacenter)) is not None:
            history.latencies.append((now, latency_seconds))

    def extension_asked(self, datacenter: str, worker_id: str, now: float) -> None:
        """Note that a worker asked for more time."""
        history = self._histories.get(datacenter)
        if history is None:
            return
        history.extensions.pop(worker_id, None)
        history.extensions[worker_id] = now
        if len(history.extensions) > _SAMPLES_MAX:
            del history.extensions[next(iter(history.extensions))]

    def health_scored(self, datacenter: str, score: int) -> None:
        """Note the health score that a datacenter gives itself, 0 for healthy."""
        if (history := self._histories.get(datacenter)) is not None:
            history.health_score = score

    def condition(self, datacenter: str, now: float) -> DatacenterCondition:
        """What a watched datacenter went through lately."""
        history = self._histories[datacenter]
        if self._is_flapping(history, now):
            return DatacenterCondition.FLAPPING
        if history.failing_since is not None:
            is_confirmed = now - history.failing_since >= self._config.failure_confirm_seconds
            return DatacenterCondition.FAILED if is_confirmed else DatacenterCondition.FAILING
        if history.recovered_at is not None and now - history.recovered_at < self._config.recovery_confirm_seconds:
            return DatacenterCondition.RECOVERING
        if self._is_slow(history, now) or self._doubts_itself(history, now):
            return DatacenterCondition.DEGRADED
        return DatacenterCondition.HEALTHY

    def assess(self, now: float) -> Correlation:
        """Judge what is seen now."""
        involved = {
            name: condition
            for name in self._histories
            if (condition := self.condition(name, now)) in _INVOLVED and self._is_recent(name, condition, now)
        }
        unconfirmed = sum(condition is DatacenterCondition.FAILING for condition in involved.values())
        level = self._level(len(involved) - unconfirmed, unconfirmed)
        if level >= CorrelationLevel.MEDIUM:
            self._delayed_until = now + self._config.backoff_seconds
        elif now < self._delayed_until:
            level = CorrelationLevel.MEDIUM
        return Correlation(level, tuple(sorted(involved)), frozenset(self._signs(now)))

    def _level(self, certain: int, unconfirmed: int) -> CorrelationLevel:
        config = self._config
        if certain >= config.high_datacenters and certain >= config.high_fraction * len(self._histories):
            return CorrelationLevel.HIGH
        if certain >= config.medium_datacenters:
            return CorrelationLevel.MEDIUM
        return CorrelationLevel.LOW if certain + unconfirmed / 2 >= config.low_datacenters else CorrelationLevel.NONE

    def _is_recent(self, datacenter: str, condition: DatacenterCondition, now: float) -> bool:
        """Whether the failure began within the window; flapping is no single moment."""
        since = self._histories[datacenter].failing_since
        if condition is DatacenterCondition.FLAPPING or since is None:
            return True
        return now - since <= self._config.window_seconds + self._config.failure_confirm_seconds

    def _is_flapping(self, history: _History, now: float) -> bool:
        config = self._config
        if not history.failures or now - history.failures[-1] >= config.flap_cooldown_seconds:
            return False
        times = list(history.failures)
        last = now - config.flap_cooldown_seconds
        return any(
            end >= last and end - start <= config.flap_window_seconds
            for start, end in zip(times, times[config.flaps - 1 :], strict=False)
        )

    def _signs(self, now: float) -> Iterable[SecondarySign]:
        checks: dict[SecondarySign, Callable[[_History, float], bool]] = {
            SecondarySign.LATENCY: self._is_slow,
            SecondarySign.EXTENSIONS: self._asks_for_time,
            SecondarySign.HEALTH_SCORES: self._doubts_itself,
        }
        for sign, check in checks.items():
            showing = sum(check(history, now) for history in self._histories.values())
            if showing and showing >= self._config.sign_fraction * len(self._histories):
                yield sign

    def _is_slow(self, history: _History, now: float) -> bool:
        config = self._config
        recent = [latency for at, latency in history.latencies if now - at <= config.latency_window_seconds]
        return len(recent) >= config.latency_samples and sum(recent) / len(recent) >= config.latency_elevated_seconds

    def _asks_for_time(self, history: _History, now: float) -> bool:
        recent = sum(now - at <= self._config.extension_window_seconds for at in history.extensions.values())
        return recent >= self._config.extension_workers

    def _doubts_itself(self, history: _History, _now: float) -> bool:
        return history.health_score >= self._config.health_score


_INVOLVED = frozenset({DatacenterCondition.FAILING, DatacenterCondition.FAILED, DatacenterCondition.FLAPPING})
