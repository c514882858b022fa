"""TLS and proxies against real servers, with certificates made for the test."""

import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest
import trustme

from hyperscale.v1.workflow_pb2 import HttpOptions
from tests.integration.engine.engine_process import Outcome, http_step, running_engine, shared_iterations
from tests.integration.engine.test_failures import closed_port
from tests.integration.engine.web_servers import forward_proxy, redirect, response, step_of, values, web


@dataclass(frozen=True, slots=True)
class Trust:
    """An authority that nobody knows, and a server that it vouches for."""

    authority: trustme.CA
    server: ssl.SSLContext

    @property
    def pem(self) -> str:
        return self.authority.cert_pem.bytes().decode()


def trust(*names: str) -> Trust:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return Trust(authority, context)


async def run_against(url: str, options: HttpOptions, timeout_seconds: float = 5.0) -> Outcome:
    steps = [http_step(name, f"/{name}", timeout_seconds=timeout_seconds) for name in ("a", "b")]
    async with running_engine() as engine:
        return await engine.run(shared_iterations(*steps, vus=2, iterations=4), url, options=options)


@pytest.mark.parametrize(
    ("names", "options", "failures"),
    [
        pytest.param(["localhost"], HttpOptions(), {"TLS": 8}, id="unknown authority"),
        pytest.param(["localhost"], HttpOptions(ca_certificates="x"), {}, id="trusted"),
        pytest.param(["other.test"], HttpOptions(ca_certificates="x"), {"TLS": 8}, id="another name"),
        pytest.param(["other.test"], HttpOptions(ca_certificates="x", server_name="other.test"), {}, id="name given"),
        pytest.param(["other.test"], HttpOptions(insecure_skip_verify=True), {}, id="not verified"),
    ],
)
async def test_certificates_are_verified(names: list[str], options: HttpOptions, failures: dict[str, int]) -> None:
    known = trust(*names)
    asked_names: list[str | None] = []
    known.server.sni_callback = lambda _, name, __: asked_names.append(name)
    chosen = HttpOptions()
    chosen.CopyFrom(options)
    if chosen.ca_certificates:
        chosen.ca_certificates = known.pem
    async with web(lambda _: response(), tls=known.server, name="localhost") as server:
        outcome = await run_against(server.url, chosen)
    assert (outcome.failures, outcome.total) == (failures, 8)
    assert len(server.asked) == (0 if failures else 8)
    assert set(asked_names) == {options.server_name or "localhost"}
    if not failures:
        assert server.connections == 2
        steps = outcome.last.totals.steps
        handshakes = [step.tls_handshaking_ms for step in steps]
        assert sum(values(histogram) for histogram in handshakes) == 8
        assert sum(sum(histogram.counts) for histogram in handshakes) == 2


async def test_versions_before_1_2_are_refused() -> None:
    known = trust("localhost")
    known.server.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        known.server.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        known.server.maximum_version = ssl.TLSVersion.TLSv1_1
    async with web(lambda _: response(), tls=known.server, name="localhost") as server:
        outcome = await run_against(server.url, HttpOptions(ca_certificates=known.pem))
    assert outcome.failures == {"TLS": 8}


async def test_targets_can_ask_for_a_certificate() -> None:
    known, clients = trust("localhost"), trustme.CA()
    known.server.verify_mode = ssl.CERT_REQUIRED
    clients.configure_trust(known.server)
    shown = clients.issue_cert("user@shop.test")
    options = HttpOptions(
        ca_certificates=f"# Főtanúsítvány\n{known.pem}",
        client_certificate="# ügyfél\n".join(["", *(pem.bytes().decode() for pem in shown.cert_chain_pems)]),
        client_key=f"# kulcs: ű\n{shown.private_key_pem.bytes().decode()}",
    )
    async with web(lambda _: response(), tls=known.server, name="localhost") as server:
        outcome = await run_against(server.url, options)
    assert (outcome.failures, outcome.total) == ({}, 8)
    with refusing(known.server) as url:
        without = await run_against(url, HttpOptions(ca_certificates=known.pem))
    assert without.failures == {"TLS": 8}


@contextmanager
def refusing(context: ssl.SSLContext) -> Iterator[str]:
    """A server that tells its reason for ending a handshake, as OpenSSL does and asyncio does not."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as threads:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    accepted, _ = listening.accept()
                    with accepted, suppress(OSError):
                        context.wrap_socket(accepted, server_side=True).close()

        serving = threads.submit(serve)
        yield f"https://localhost:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        serving.result(timeout=30)


async def test_certificates_that_cannot_be_used_fail_the_run() -> None:
    options = HttpOptions(client_certificate="nonsense", client_key="nonsense")
    outcome = await run_against("https://localhost:1", options)
    assert "http_options" in outcome.last.error


@pytest.mark.parametrize("credentials", ["", "user:pass"])
async def test_proxies_carry_plain_and_secure_requests(credentials: str) -> None:
    known = trust("localhost")
    async with (
        forward_proxy(credentials) as proxy,
        web(lambda _: response(), tls=known.server, name="localhost") as secure,
        web(lambda asked: redirect(f"{secure.url}/end") if asked.target.endswith("/a") else response()) as plain,
    ):
        options = HttpOptions(proxy=proxy.url, ca_certificates=known.pem)
        outcome = await run_against(plain.url, options)
    assert (outcome.failures, outcome.total) == ({}, 12)
    assert plain.targets == {f"{plain.url}/a": 4, f"{plain.url}/b": 4}
    assert secure.targets == {"/end": 4}
    assert all("proxy-authorization" not in asked.fields for asked in secure.asked)
    assert sorted(line.split(" ")[0] for line in proxy.lines) == ["CONNECT"] * 2 + ["GET"] * 2


@pytest.mark.parametrize("is_tls", [False, True])
async def test_data_is_what_the_target_gets_and_gives_whatever_is_said_to_a_proxy(*, is_tls: bool) -> None:
    known = trust("localhost")
    tls = known.server if is_tls else None
    async with forward_proxy("user:pass") as proxy, web(lambda _: response(), tls=tls, name="localhost") as server:
        direct = await run_against(server.url, HttpOptions(ca_certificates=known.pem))
        relayed = await run_against(server.url, HttpOptions(ca_certificates=known.pem, proxy=proxy.url))
    sizes = [[(step.bytes_sent, step.bytes_received) for step in run.last.totals.steps] for run in (direct, relayed)]
    assert sizes[0] == sizes[1]
    assert all(size > 0 for sent_and_received in sizes[0] for size in sent_and_received)


async def test_a_proxy_that_fails_is_told_from_a_target_that_fails() -> None:
    known = trust("localhost")
    async with forward_proxy("user:pass") as proxy, web(lambda _: response(), tls=known.server) as server:
        nobody = HttpOptions(proxy=proxy.url.replace("user:pass@", ""))
        tunnel = await run_against(server.url, nobody)
        plain = await run_against("http://shop.test:80", nobody)
    gone = await run_against(server.url, HttpOptions(proxy=f"http://127.0.0.1:{closed_port()}"))
    unknown = await run_against(server.url, HttpOptions(proxy="http://no-such-host.invalid:80"))
    assert [set(outcome.failures) for outcome in (tunnel, plain, gone, unknown)] == [{"PROXY"}] * 4
    assert not server.asked


async def test_phases_of_secure_requests_add_up() -> None:
    known = trust("localhost")
    async with web(lambda _: response(), tls=known.server, name="localhost", delay_seconds=0.05) as server:
        outcome = await run_against(server.url, HttpOptions(ca_certificates=known.pem))
    step = step_of(outcome, "a")
    assert step.waiting_ms.min >= 50
    assert step.blocked_ms.max >= max(step.connecting_ms.max, step.tls_handshaking_ms.max) > 0
    assert values(step.blocked_ms) == values(step.connecting_ms) == step.total_count
