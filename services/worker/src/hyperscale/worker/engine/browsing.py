"""What one user of the web remembers between requests: its cookies, and the redirects it follows."""

from __future__ import annotations

from dataclasses import replace
from time import time

from hyperscale.worker.engine.cookies import CookieJar
from hyperscale.worker.engine.models.http import Answer
from hyperscale.worker.engine.models.plan import EncodedStep
from hyperscale.worker.engine.origins import OriginConnectors
from hyperscale.worker.engine.requests import path_of, redirected, with_cookies


class RedirectError(ValueError):
    """A redirect cannot be followed."""


class Browsing:
    """The memory of one user. Nothing is remembered, and nothing costs time, before a response gives a reason."""

    __slots__ = ("_dressed", "_expires_at", "_hop", "_hops", "_jar", "_jar_version", "_origins")

    def __init__(self, origins: OriginConnectors) -> None:
        self._origins = origins
        self._jar = CookieJar()
        self._expires_at = 0.0
        self._jar_version = 0
        self._dressed: dict[int, tuple[bytes, EncodedStep]] = {}
        # The request that follows a redirect, without cookies, while it is under way.
        self._hop: EncodedStep | None = None
        self._hops = 0

    def dress(self, request: EncodedStep) -> EncodedStep:
        """The request with the cookies that belong to it."""
        if not self._jar.version:
            # No cookie was ever set.
            return request
        now = time()
        if now >= self._expires_at:
            self._jar.forget_expired(now)
        if self._jar.version != self._jar_version:
            self._jar_version, self._expires_at = self._jar.version, self._jar.next_expiry
            self._dressed.clear()
        known = self._dressed.get(request.index)
        if known is not None and known[0] is request.payload:
            return known[1]
        cookies = self._jar.header(self._origins.origin(request.origin_index), path_of(request.payload), now)
        dressed = replace(request, payload=with_cookies(request.payload, cookies)) if cookies else request
        self._dressed[request.index] = request.payload, dressed
        return dressed

    def learn(self, answer: Answer) -> None:
        """Keep the cookies of a response."""
        origin, path, now = self._origins.origin(answer.request.origin_index), path_of(answer.request.payload), time()
        for field in answer.values_of(b"set-cookie"):
            self._jar.store(field, origin, path, now)

    def follow(self, answer: Answer, location: bytes, request: EncodedStep) -> EncodedStep:
        """The request that a redirect asks for.

        Parameters
        ----------
        request
            What the step had sent at first, without cookies.

        Raises RedirectError when there were too many, or none can go there.
        """
        request = self._hop or request
        self._hops += 1
        if self._hops > request.max_redirects:
            raise RedirectError(f"more than {request.max_redirects} redirects")
        origin = self._origins.origin(request.origin_index)
        try:
            target = redirected(request.payload, origin, answer.status, location)
            index = self._origins.index_of(target.origin)
        except ValueError as error:
            raise RedirectError(str(error)) from error
        self._hop = replace(request, payload=target.payload, origin_index=index, is_head=target.is_head, is_usual=False)
        return self._hop

    def arrive(self) -> None:
        """The step has ended: the next redirect is the first one of another."""
        self._hop = None
        self._hops = 0
