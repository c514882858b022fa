"""A redirect is followed as browsers follow it, and gives no secrets away."""

import pytest

from hyperscale.worker.engine.models.plan import Origin
from hyperscale.worker.engine.proxy import Proxy
from hyperscale.worker.engine.requests import path_of, redirected, with_cookies

HERE = Origin("shop.test", 80, tls=False)
POST = (
    b"POST /cart/add?x=1 HTTP/1.1\r\nHost: shop.test\r\nAuthorization: Basic eDp5\r\nCookie: own=1\r\n"
    b"Content-Type: text/plain\r\nX-Kept: yes\r\nContent-Length: 4\r\n\r\nbody"
)
GET = b"GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n"


@pytest.mark.parametrize(
    ("location", "origin", "target"),
    [
        (b"/done", HERE, b"/done"),
        (b"done", HERE, b"/cart/done"),
        (b"?y=2", HERE, b"/cart/add?y=2"),
        (b"../x#part", HERE, b"/x"),
        (b"//other.test/x", Origin("other.test", 80, tls=False), b"/x"),
        (b"https://shop.test/x", Origin("shop.test", 443, tls=True), b"/x"),
        (b"HTTP://shop.test:8080", Origin("shop.test", 8080, tls=False), b"/"),
        ("/ü ß".encode(), HERE, b"/%C3%BC%20%C3%9F"),
        (b"/\xfc", HERE, b"/%C3%BC"),
        (b"/a b\tc", HERE, b"/a%20bc"),
    ],
)
def test_location_is_resolved(location: bytes, origin: Origin, target: bytes) -> None:
    request = redirected(POST, HERE, 302, location)
    assert request.origin == origin
    assert request.payload.split(b"\r\n")[0] == b"GET %s HTTP/1.1" % target


@pytest.mark.parametrize("location", [b"ftp://x/", b"http://[::1", b"http://h:99999/", b"http://u:p@h/"])
def test_location_where_no_request_can_go(location: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        redirected(GET, HERE, 302, location)


@pytest.mark.parametrize(
    ("status", "method"), [(301, b"GET"), (302, b"GET"), (303, b"GET"), (307, b"POST"), (308, b"POST")]
)
def test_method_and_body_follow_the_status(status: int, method: bytes) -> None:
    payload = redirected(POST, HERE, status, b"/x").payload
    assert payload.startswith(method)
    assert payload.endswith(b"\r\n\r\nbody") == (method == b"POST")
    for field in (b"Content-Length: 4", b"Content-Type"):
        assert (field in payload) == (method == b"POST")
    assert b"X-Kept: yes" in payload


def test_head_stays_head() -> None:
    request = redirected(GET.replace(b"GET", b"HEAD"), HERE, 303, b"/x")
    assert request.is_head
    assert request.payload.startswith(b"HEAD /x ")


@pytest.mark.parametrize(
    ("location", "is_kept"),
    [(b"/x", True), (b"http://other.test/", False), (b"https://shop.test/", False), (b"http://shop.test:81/", False)],
)
def test_credentials_stay_at_their_origin(location: bytes, is_kept: bool) -> None:
    payload = redirected(POST, HERE, 307, location).payload
    assert (b"Authorization" in payload) == is_kept
    assert (b"Cookie" in payload) == is_kept


def test_cookies_join_those_of_the_request() -> None:
    assert b"\r\nCookie: a=1; b=2\r\n\r\n" in with_cookies(GET, "a=1; b=2")
    joined = with_cookies(POST, "a=1")
    assert joined.count(b"Cookie:") == 1
    assert b"\r\nCookie: own=1; a=1\r\n\r\nbody" in joined


def test_proxies_get_the_whole_url() -> None:
    proxy = Proxy.of("http://us%40er:pass@proxy.test:3128")
    assert proxy is not None
    assert (proxy.host, proxy.port) == ("proxy.test", 3128)
    payload = proxy.addressed(POST, HERE)
    assert payload.startswith(
        b"POST http://shop.test/cart/add?x=1 HTTP/1.1\r\nProxy-Authorization: Basic dXNAZXI6cGFzcw==\r\n"
    )
    assert payload.endswith(POST.partition(b"\r\n")[2])
    assert path_of(payload) == path_of(POST) == "/cart/add"
    onward = redirected(payload, HERE, 307, b"https://other.test/x").payload
    assert onward.startswith(b"POST /x HTTP/1.1")
    assert b"Proxy-Authorization" not in onward
    assert Proxy.of("") is None
