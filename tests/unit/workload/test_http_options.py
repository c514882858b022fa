"""How a job speaks HTTP: read from files as people write them, every fault told at its path."""

import json

import pytest
import trustme

from hyperscale.v1.job_pb2 import JobSubmission
from hyperscale.v1.workflow_pb2 import HttpOptions, HttpRequest
from hyperscale.workload import defaults
from hyperscale.workload.documents import DocumentFormat
from hyperscale.workload.jobfile import JobFileError, parse_job
from hyperscale.workload.pem import pem_blocks
from hyperscale.workload.validation import validate_submission

AUTHORITY = trustme.CA()
SHOWN = AUTHORITY.issue_cert("client.test")
CA = AUTHORITY.cert_pem.bytes().decode()
CERTIFICATE = SHOWN.cert_chain_pems[0].bytes().decode()
KEY = SHOWN.private_key_pem.bytes().decode()


def parsed(options: dict[str, object], **http: object) -> JobSubmission:
    step = {"name": "s", "http": {"url": "/", **http}}
    load = {"vus": 1, "duration": "1s"}
    workflow = {"name": "w", "constant_vus": load, "steps": [step]}
    job = {"target": "https://shop.test", "workflows": [workflow], "http_options": options}
    return parse_job(json.dumps(job), DocumentFormat.JSON)


def test_everything_is_read() -> None:
    job = parsed(
        {
            "insecure_skip_verify": True,
            "ca_certificates": CA,
            "client_certificate": CERTIFICATE,
            "client_key": KEY,
            "server_name": "inner.shop.test",
            "disable_cookies": True,
            "proxy": "http://user:pass@proxy.test:3128",
            "max_connections_per_origin": 10,
            "dns_ttl": "5s",
        },
        max_redirects=0,
        connect_timeout="1s",
        tls_timeout="2s",
        first_byte_timeout="90s",
        timeout="70s",
        chunked=True,
    )
    assert validate_submission(job) == []
    http = job.workflows[0].steps[0].http
    assert http.chunked
    assert defaults.max_redirects(http) == 0
    assert defaults.connect_timeout_seconds(http) == 1
    assert defaults.tls_timeout_seconds(http) == 2
    assert defaults.first_byte_timeout_seconds(http) == 70
    assert defaults.dns_ttl_seconds(job.http_options) == 5


def test_defaults() -> None:
    http = HttpRequest(url="/")
    assert defaults.max_redirects(http) == 10
    assert defaults.connect_timeout_seconds(http) == defaults.request_timeout_seconds(http) == 60
    assert defaults.dns_ttl_seconds(HttpOptions()) == 60


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"insecure_skip_verify": "yes"}, "insecure_skip_verify"),
        ({"insecure_skip_verify": 1}, "insecure_skip_verify"),
        ({"ca_certificates": "/etc/ssl/ca.pem"}, "ca_certificates"),
        ({"ca_certificates": KEY}, "ca_certificates"),
        ({"ca_certificates": "-----BEGIN CERTIFICATE-----\n" * 1000}, "ca_certificates"),
        ({"ca_certificates": CA * 1000}, "ca_certificates"),
        ({"client_certificate": CERTIFICATE}, "client_key"),
        ({"client_key": KEY}, "client_key"),
        ({"client_certificate": CERTIFICATE, "client_key": "secret"}, "client_key"),
        (
            {"client_certificate": CERTIFICATE, "client_key": KEY.replace("PRIVATE", "ENCRYPTED PRIVATE")},
            "client_key",
        ),
        ({"server_name": "a b"}, "server_name"),
        ({"proxy": "proxy.test:3128"}, "proxy"),
        ({"proxy": "socks5://proxy.test:1080"}, "proxy"),
        ({"proxy": "https://proxy.test:1080"}, "proxy"),
        ({"proxy": "http://proxy.test"}, "proxy"),
        ({"proxy": "http://proxy.test:99999"}, "proxy"),
        ({"proxy": "http://proxy.test:3128/path"}, "proxy"),
        ({"proxy": "http://pro xy:3128"}, "proxy"),
        ({"proxy": "http://:3128"}, "proxy"),
        ({"max_connections_per_origin": 2_000_000}, "max_connections_per_origin"),
        ({"dns_ttl": "100ms"}, "dns_ttl"),
        ({"dns_ttl": "25h"}, "dns_ttl"),
    ],
)
def test_a_fault_is_told_at_its_path(options: dict[str, object], path: str) -> None:
    with pytest.raises(JobFileError) as caught:
        parsed(options)
    assert [fault.path for fault in caught.value.faults] == [f"http_options.{path}"]
    assert not any("PRIVATE" in str(fault) for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_redirects", 51), ("connect_timeout", "11m"), ("tls_timeout", "0s"), ("first_byte_timeout", "-1s")],
)
def test_a_faulty_request_is_told_at_its_path(field: str, value: object) -> None:
    with pytest.raises(JobFileError) as caught:
        parsed({}, **{field: value})
    assert [fault.path for fault in caught.value.faults] == [f"workflows[0].steps[0].http.{field}"]


@pytest.mark.parametrize(
    ("options", "http", "path"),
    [
        ({"max_connections_per_origin": 5}, {"version": "http_2"}, "version"),
        ({}, {"version": "http_3"}, "version"),
        ({}, {"version": 7}, "version"),
        ({}, {"version": "http_2", "headers": {"Upgrade": "h3"}}, "headers['Upgrade']"),
    ],
)
def test_http2_is_refused_where_it_cannot_be_spoken(
    options: dict[str, object], http: dict[str, object], path: str
) -> None:
    with pytest.raises(JobFileError) as caught:
        parsed(options, **http)
    assert [fault.path for fault in caught.value.faults] == [f"workflows[0].steps[0].http.{path}"]


def test_http2_is_accepted_where_it_can() -> None:
    assert validate_submission(parsed({}, version="http_2")) == []
    assert (
        validate_submission(parsed({"max_connections_per_origin": 5}, version="http_1_1", headers={"TE": "gzip"})) == []
    )


def test_comments_around_certificates_are_nobodys_business() -> None:
    options: dict[str, object] = {
        "ca_certificates": f"# Főtanúsítvány\n{CA}\n# vége",
        "client_certificate": f"Subject: CN=Zoë\n{CERTIFICATE}",
        "client_key": f"clé privée\n{KEY}",
    }
    assert validate_submission(parsed(options)) == []
    assert pem_blocks(f"Zoë\n{CA}\nŐ\n{KEY}") == f"{CA.strip()}\n{KEY.strip()}\n"
    assert pem_blocks("-----BEGIN A-----\nx\n-----END B-----") == ""
