"""A real nginx on a free loopback port, whose stub_status says how many requests it has taken."""

import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CONSTANT_ANSWER = r'return 200 "hello\n";'
CONFIGURATION = """
worker_processes 1;
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests {keepalive_requests};
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        {listeners}
        location = /stub_status {{ stub_status; }}
        location / {{ {page} }}
    }}
}}
"""


@dataclass(slots=True)
class Nginx:
    """A running nginx.

    Its counter includes the polls themselves, so they are counted here and left out.
    """

    port: int
    pid: int
    http2_port: int
    """With prior knowledge."""
    tls_port: int
    """HTTP/2 or HTTP/1.1, as the client asks; 0: without a certificate there is none."""
    _polls: int = field(default=0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def http2_url(self) -> str:
        return f"http://127.0.0.1:{self.http2_port}"

    @property
    def tls_url(self) -> str:
        return f"https://127.0.0.1:{self.tls_port}"

    def requests(self) -> int:
        """Requests taken so far from anybody but this counter."""
        self._polls += 1
        with urllib.request.urlopen(f"{self.url}/stub_status", timeout=30) as response:
            text = response.read().decode()
        found = re.search(r"\n\s*\d+\s+\d+\s+(\d+)", text)
        assert found, f"not a stub_status page: {text!r}"
        return int(found.group(1)) - self._polls


@contextmanager
def running_nginx(
    *,
    keepalive_requests: int = 1000,
    connections: int = 4096,
    page: str = CONSTANT_ANSWER,
    certificate: Path | None = None,
) -> Iterator[Nginx]:
    """Run nginx for the length of the block; `page` is what it does with a request.

    `certificate`: a file with the key too.
    """
    directory = Path(tempfile.mkdtemp(prefix="nginx-"))
    port, http2_port, tls_port = _free_port(), _free_port(), _free_port()
    listeners = [f"listen 127.0.0.1:{http2_port} http2;"]
    if certificate is not None:
        listeners += [f"listen 127.0.0.1:{tls_port} ssl http2;", f"ssl_certificate {certificate};"]
        listeners += [f"ssl_certificate_key {certificate};"]
    configuration = directory / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            directory=directory,
            port=port,
            keepalive_requests=keepalive_requests,
            connections=connections,
            page=page,
            listeners=" ".join(listeners),
        )
    )
    process = subprocess.Popen(["nginx", "-p", str(directory), "-c", str(configuration)], stderr=subprocess.PIPE)
    try:
        _await_port(port, process)
        yield Nginx(port, process.pid, http2_port, tls_port if certificate is not None else 0)
    finally:
        process.terminate()
        process.communicate(timeout=60)
        shutil.rmtree(directory)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"nginx did not start: {process.communicate()[1].decode()}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.01)
    raise TimeoutError("nginx did not listen within 10 s")
