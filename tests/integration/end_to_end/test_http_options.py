"""What a job says about HTTP reaches every engine of the cluster, and its phases come back in the result."""

import ssl
from pathlib import Path

import trustme

from tests.support.jobs import workflow, write_job
from tests.support.local_cluster import LocalCluster
from tests.support.recording_target import Reaction, SeenRequest, recording_target


def entrance(request: SeenRequest) -> Reaction:
    """Sends visitors on, with a cookie."""
    if request.path == "/":
        return Reaction(status=302, headers={"Location": "/inside", "Set-Cookie": "pass=1; Secure"})
    return Reaction()


def test_secure_targets_redirects_and_cookies_over_two_datacenters(cluster: LocalCluster, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("shop.test").configure_cert(context)
    trusted = {"ca_certificates": authority.cert_pem.bytes().decode(), "server_name": "shop.test"}
    load = workflow(shared_iterations={"vus": 4, "iterations": 20})
    with recording_target(entrance, tls=context) as target:
        job_file = write_job(tmp_path, target.url, load, distribution="split", http_options=trusted)
        result = cluster.completed(job_file)
        assert result["errors"] == {}
        metrics = result["metrics"]
        assert metrics["http_reqs"]["count"] == len(target.seen) == 40
        passes = [seen.headers.get("Cookie") for seen in target.seen if seen.path == "/inside"]
        assert passes == ["pass=1"] * 20
        assert metrics["http_req_tls_handshaking"]["max"] > 0
        assert metrics["http_req_waiting"]["max"] <= metrics["http_req_duration"]["max"]
        assert {"http_req_blocked", "http_req_connecting", "http_req_sending", "http_req_receiving"} <= metrics.keys()
        job_file = write_job(tmp_path, target.url, load, distribution="split")
        stranger = cluster.completed(job_file)
    assert stranger["errors"] == {"tls": 20}
