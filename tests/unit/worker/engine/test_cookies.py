"""Cookies come back where RFC 6265 says, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperscale.worker.engine.cookies import MAX_COOKIES, CookieJar
from hyperscale.worker.engine.models.plan import Origin

NOW = 1_700_000_000.0
SHOP = Origin("www.shop.test", 443, tls=True)
PLAIN = Origin("www.shop.test", 80, tls=False)


def jar_with(*fields: str, origin: Origin = SHOP, path: str = "/a/b") -> CookieJar:
    jar = CookieJar()
    for field in fields:
        jar.store(field.encode(), origin, path, NOW)
    return jar


@pytest.mark.parametrize(
    ("field", "origin", "path", "sent"),
    [
        ("a=1", SHOP, "/a/b/c", "a=1"),
        ("a=1", SHOP, "/b", ""),
        ("a=1", SHOP, "/a/c", "a=1"),
        ("a=1", SHOP, "/a", "a=1"),
        ("a=1", SHOP, "/ab", ""),
        ("a=1; Path=/", SHOP, "/", "a=1"),
        ("a=1; Path=nonsense", SHOP, "/a/x", "a=1"),
        ("a=1; Path=/x", SHOP, "/x/y", "a=1"),
        ("a=1; Path=/x", SHOP, "/xy", ""),
        ("a=1; Path=/", Origin("shop.test", 443, tls=True), "/", ""),
        ("a=1; Path=/; Domain=shop.test", Origin("shop.test", 443, tls=True), "/", "a=1"),
        ("a=1; Path=/; Domain=.SHOP.test", Origin("api.shop.test", 443, tls=True), "/", "a=1"),
        ("a=1; Path=/; Domain=shop.test", Origin("evilshop.test", 443, tls=True), "/", ""),
        ("a=1; Path=/; Domain=test", SHOP, "/", ""),
        ("a=1; Path=/; Domain=other.test", SHOP, "/", ""),
        ("a=1; Path=/", Origin("www.shop.test", 8443, tls=True), "/", "a=1"),
        ("a=1; Path=/; Secure", SHOP, "/", "a=1"),
        ("a=1; Path=/; Secure", PLAIN, "/", ""),
        ("a=1; Path=/", PLAIN, "/", "a=1"),
        ('a="quoted; Path=/', SHOP, "/", 'a="quoted'),
        ("a=x=y; Path=/; HttpOnly; SameSite=Lax", SHOP, "/", "a=x=y"),
        ("a=; Path=/", SHOP, "/", "a="),
        ("nonsense", SHOP, "/", ""),
        ("=1; Path=/", SHOP, "/", ""),
        ("a=1\x00; Path=/", SHOP, "/", ""),
        ("a=" + "x" * 5000 + "; Path=/", SHOP, "/", ""),
        ("a=1; Path=/; Max-Age=0", SHOP, "/", ""),
        ("a=1; Path=/; Max-Age=-5", SHOP, "/", ""),
        ("a=1; Path=/; Max-Age=soon", SHOP, "/", "a=1"),
        ("a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", SHOP, "/", ""),
        ("a=1; Path=/; Expires=Wed, 21-Oct-2099 07:28:00 GMT", SHOP, "/", "a=1"),
        ("a=1; Path=/; Expires=never", SHOP, "/", "a=1"),
        ("a=1; Path=/; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", SHOP, "/", "a=1"),
    ],
)
def test_a_cookie_is_sent_where_it_belongs(field: str, origin: Origin, path: str, sent: str) -> None:
    assert jar_with(field).header(origin, path, NOW) == sent


def test_secure_cookies_are_not_taken_from_plain_connections() -> None:
    assert jar_with("a=1; Path=/; Secure", origin=PLAIN).header(SHOP, "/", NOW) == ""


def test_addresses_have_no_domains() -> None:
    origin = Origin("127.0.0.1", 80, tls=False)
    assert jar_with("a=1; Path=/; Domain=0.0.1", origin=origin).header(origin, "/", NOW) == ""
    assert jar_with("a=1; Path=/; Domain=127.0.0.1", origin=origin).header(origin, "/", NOW) == "a=1"


def test_longer_paths_come_first_then_older_cookies() -> None:
    jar = jar_with("b=1; Path=/", "c=1; Path=/", "a=1; Path=/a", "b=2; Path=/")
    assert jar.header(SHOP, "/a", NOW) == "a=1; b=2; c=1"


def test_a_cookie_is_changed_expires_and_is_deleted() -> None:
    jar = jar_with("a=1; Path=/; Max-Age=10", "b=1; Path=/")
    assert jar.next_expiry == NOW + 10
    assert jar.header(SHOP, "/", NOW + 9) == "a=1; b=1"
    assert jar.header(SHOP, "/", NOW + 10) == "b=1"
    version = jar.version
    jar.store(b"b=1; Path=/; Max-Age=0", SHOP, "/", NOW)
    assert jar.version != version
    assert jar.header(SHOP, "/", NOW + 10) == ""


def test_the_same_cookie_again_changes_nothing() -> None:
    jar = jar_with("a=1; Path=/")
    version = jar.version
    jar.store(b"a=1; Path=/", SHOP, "/", NOW)
    assert jar.version == version


def test_a_user_keeps_a_bounded_number() -> None:
    jar = jar_with(*(f"c{number}=1; Path=/" for number in range(MAX_COOKIES + 5)))
    assert len(jar.header(SHOP, "/", NOW).split("; ")) == MAX_COOKIES


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_no_field_breaks_a_jar_or_the_header(fields: list[bytes]) -> None:
    jar = CookieJar()
    for field in fields:
        jar.store(field, SHOP, "/", NOW)
    header = jar.header(SHOP, "/", NOW)
    assert "\r" not in header
    assert "\n" not in header
