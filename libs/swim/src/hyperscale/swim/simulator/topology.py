"""Networks whose round trips are known: what coordinates and simulations are measured against.

A matrix has the round trip between each two nodes in seconds; it is symmetric, with zeros on its diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import repeat

from hyperscale.swim.ports import RandomSource

RttMatrix = tuple[tuple[float, ...], ...]
SMALLEST_SECONDS = 1e-4

REGIONS = (
    "us-west-2",
    "us-east-1",
    "ap-south-1",
    "ap-northeast-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
)
_REGION_RTT_MS = (
    (1, 81, 216, 126, 165, 138, 97, 64, 164, 131, 141),
    (81, 1, 182, 181, 232, 195, 167, 13, 88, 80, 75),
    (216, 182, 1, 152, 62, 223, 123, 194, 111, 122, 113),
    (126, 181, 152, 1, 97, 133, 35, 184, 259, 254, 264),
    (165, 232, 62, 97, 1, 169, 69, 218, 162, 174, 171),
    (138, 195, 223, 133, 169, 1, 105, 210, 282, 269, 271),
    (97, 167, 123, 35, 69, 105, 1, 156, 235, 222, 234),
    (64, 13, 194, 184, 218, 210, 156, 1, 101, 78, 87),
    (164, 88, 111, 259, 162, 282, 235, 101, 1, 24, 13),
    (131, 80, 122, 254, 174, 269, 222, 78, 24, 1, 12),
    (141, 75, 113, 264, 171, 271, 234, 87, 13, 12, 1),
)
"""Public figures of round trips between the regions of a large cloud, in milliseconds; 1 within a region."""


def matrix(nodes: int, rtt_seconds: Callable[[int, int], float]) -> RttMatrix:
    """The matrix whose entry for two nodes, the lower one first, is what the function says."""
    return tuple(
        tuple(0.0 if i == j else rtt_seconds(min(i, j), max(i, j)) for j in range(nodes)) for i in range(nodes)
    )


def line(nodes: int = 10, spacing_seconds: float = 0.01) -> RttMatrix:
    """Nodes on a line, evenly spaced."""
    return matrix(nodes, lambda i, j: (j - i) * spacing_seconds)


def grid(nodes: int = 25, spacing_seconds: float = 0.01) -> RttMatrix:
    """Nodes on a square, evenly spaced."""
    side = math.isqrt(nodes)
    return matrix(nodes, lambda i, j: spacing_seconds * math.hypot(i % side - j % side, i // side - j // side))


def split(nodes: int = 25, near_seconds: float = 0.001, across_seconds: float = 0.01) -> RttMatrix:
    """Two sites: the same small round trip within each, and so much more between them."""
    middle = nodes // 2
    return matrix(nodes, lambda i, j: near_seconds + (across_seconds if i <= middle < j else 0.0))


def circle(nodes: int = 25, radius_seconds: float = 0.1) -> RttMatrix:
    """Node 0 in the middle at twice the radius from all others, which only a height can say; the others on the circle."""

    def rtt(i: int, j: int) -> float:
        if i == 0:
            return 2 * radius_seconds
        return 2 * radius_seconds * abs(math.sin(math.pi * (i - j) / nodes))

    return matrix(nodes, rtt)


def scattered(
    rng: RandomSource, nodes: int = 25, mean_seconds: float = 0.1, deviation_seconds: float = 0.01
) -> RttMatrix:
    """Normally distributed round trips: no space has them, so that no coordinates fit well."""
    drawn = {
        (i, j): max(SMALLEST_SECONDS, rng.gauss(mean_seconds, deviation_seconds))
        for i in range(nodes)
        for j in range(nodes)
    }
    return matrix(nodes, lambda i, j: drawn[i, j])


def regions(per_region: int = 1) -> RttMatrix:
    """So many nodes in each of eleven regions, as far apart as regions are; node n is in region n // per_region."""
    return matrix(len(REGIONS) * per_region, lambda i, j: _REGION_RTT_MS[i // per_region][j // per_region] / 1000)


def moved(truth: RttMatrix, node: int, more_seconds: float) -> RttMatrix:
    """The same network after one node has moved away from all others by so much."""
    return matrix(len(truth), lambda i, j: truth[i][j] + (more_seconds if node in (i, j) else 0.0))


def uniform(nodes: int, rtt_seconds: float) -> RttMatrix:
    """The same round trip between all: one datacenter. Rows share their memory, so that thousands of nodes are cheap."""
    return tuple(repeat(tuple(repeat(rtt_seconds, nodes)), nodes))
