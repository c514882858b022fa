"""Recordings of other tools become job files that are valid and mean the same; what is lost is told."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from hyperscale.client.cli import run_command_line
from hyperscale.client.conversion import har
from hyperscale.client.exit_codes import ExitCode
from hyperscale.workload.templates import QuotedText, Slot, parse_template

URL = "https://shop.example.com/items?page=2"


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    return tmp_path / "job.yaml"


def convert_curl(command: str, job_file: Path, *options: str) -> dict[str, Any]:
    """The document of a job that `hyperscale validate` takes."""
    assert run_command_line(["convert", "curl", command, "-o", str(job_file), *options]) == ExitCode.PASSED
    return valid_document(job_file)


def valid_document(job_file: Path) -> dict[str, Any]:
    assert run_command_line(["validate", str(job_file)]) == ExitCode.PASSED
    document: dict[str, Any] = yaml.safe_load(job_file.read_text())
    return document


def https_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [step["http"] for step in document["workflows"][0]["steps"]]


def har_entry(url: str, method: str = "GET", **request: Any) -> dict[str, Any]:
    return {"request": {"method": method, "url": url, "headers": [], **request}, "response": {"status": 200}}


def write_har(directory: Path, *entries: Any) -> Path:
    path = directory / "recorded.har"
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": list(entries)}}))
    return path


def literal(text: str) -> str:
    """What a text with templates for literal braces is sent as."""
    expressions = [part.expression if isinstance(part, Slot) else QuotedText(part) for part in parse_template(text)]
    assert all(isinstance(expression, QuotedText) for expression in expressions)
    return "".join(expression.text for expression in expressions if isinstance(expression, QuotedText))


def test_a_command_as_browsers_copy_it(job_file: Path) -> None:
    command = f"""curl '{URL}' \\
      -X POST -H 'Host: shop.example.com' -H 'Content-Length: 9' -H "Accept: */*" \\
      -H 'content-type: application/json' --data-raw $'{{"it\\'s": "\\u00e9", "n": [1, null]}}' --compressed -sSL"""
    document = convert_curl(command, job_file, "--vus", "7", "--duration", "1m30s")
    assert document["target"] == "https://shop.example.com"
    assert document["workflows"][0]["constant_vus"] == {"vus": 7, "duration": "1m30s"}
    assert https_of(document) == [
        {
            "method": "post",
            "url": "/items?page=2",
            "headers": {"Accept": "*/*", "Accept-Encoding": "gzip, deflate"},
            "json": {"it's": "é", "n": [1, None]},
            "max_redirects": 50,
        }
    ]


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ("--http2", {"version": "http_2"}),
        ("", {}),
        ("-I", {"method": "head"}),
        ("-XDELETE", {"method": "delete"}),
        ("-u user:secret", {"headers": {"Authorization": "Basic dXNlcjpzZWNyZXQ="}}),
        ("-b a=1 -b b=2", {"headers": {"Cookie": "a=1; b=2"}}),
        ("-m 2.5", {"timeout": "2.500s"}),
        ("-G -d q=1 --data-urlencode 'r=a b'", {"url": "/items?page=2&q=1&r=a%20b"}),
        (
            "-d a=1 -d b=2",
            {"method": "post", "text": "a=1&b=2", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        ),
        ("--json '[1]'", {"method": "post", "json": [1], "headers": {"Accept": "application/json"}}),
    ],
)
def test_options_of_curl(options: str, fields: dict[str, Any], job_file: Path) -> None:
    plain = {"url": "/items?page=2", "max_redirects": 0}
    assert https_of(convert_curl(f"curl {options} '{URL}'", job_file)) == [plain | fields]


def test_http2_without_tls_is_for_those_who_know(job_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = URL.replace("https", "http")
    assert https_of(convert_curl(f"curl --http2-prior-knowledge {plain}", job_file))[0]["version"] == "http_2"
    assert "version" not in https_of(convert_curl(f"curl --http2 {plain}", job_file))[0]
    assert "--http2-prior-knowledge is possible" in capsys.readouterr().err


def test_options_for_the_whole_job(job_file: Path) -> None:
    document = convert_curl(f"curl -k -x proxy.example.com:3128 '{URL}'", job_file)
    assert document["http_options"] == {"insecure_skip_verify": True, "proxy": "http://proxy.example.com:3128"}


def test_json_that_a_job_file_would_change_stays_text(job_file: Path) -> None:
    for body in ('{"id": 12345678901234567890}', '{"x": 1e400}', '{"a": 1, "a": 2}', "not json", "[" * 60 + "]" * 60):
        http = https_of(convert_curl(f"curl --json '{body}' {URL}", job_file))[0]
        assert http["text"] == body
        assert http["headers"]["Content-Type"] == "application/json"


@pytest.mark.parametrize("text", ["{{", "{{{{x}}", "a {{user.name}} {{{ b", "{{{"])
def test_braces_are_sent_as_they_were(text: str, job_file: Path) -> None:
    http = https_of(convert_curl(f"curl -H 'X-Text: {text}' -d '{text}' {URL}", job_file))[0]
    assert literal(http["headers"]["X-Text"]) == literal(http["text"]) == text
    http = https_of(convert_curl(f"""curl --json '["{text}"]' {URL}""", job_file))[0]
    assert literal(http["json"][0]) == text


def test_multipart(job_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    http = https_of(convert_curl(f"curl -F name=alice -F 'photo=@me.png' {URL}", job_file))[0]
    assert http["headers"]["Content-Type"].startswith("multipart/form-data; boundary=")
    assert "alice" in http["text"]
    told = capsys.readouterr().err
    assert "file uploads cannot be represented: the field 'photo' is left out" in told


def test_what_is_lost_is_told(job_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert_curl(f'curl --cert me.pem -H "Authorization: $TOKEN" -d @body.json {URL} | jq .', job_file)
    told = capsys.readouterr().err
    assert all(part in told for part in ("--cert", "$TOKEN", "@body.json", "'|'"))


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("wget x", "begins with curl"),
        ("curl", "has no URL"),
        (f"curl '{URL}", "a quote is not closed"),
        (f"curl --frobnicate {URL}", "--frobnicate: is not an option"),
        (f"curl {URL} -H", "-H: needs a value"),
        (f"curl -m soon {URL}", "-m: has no use for 'soon'"),
        (f"curl -X TRACE {URL}", "there is no method 'TRACE'"),
        ("curl ftp://example.com/", "must begin with http:// or https://"),
        ("curl 'http://[::1'", "is not a URL"),
    ],
)
def test_faulty_commands(command: str, fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["convert", "curl", command]) == ExitCode.BAD_CONFIGURATION
    output = capsys.readouterr()
    assert fault in output.err
    assert output.out == ""


def test_a_faulty_load(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["convert", "curl", f"curl {URL}", "--duration", "soon"]) == ExitCode.BAD_CONFIGURATION
    assert "constant_vus.duration" in capsys.readouterr().err


def test_standard_input_and_output(
    job_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(f"curl {URL}\n"))
    assert run_command_line(["convert", "curl"]) == ExitCode.PASSED
    job_file.write_text(capsys.readouterr().out)
    assert https_of(valid_document(job_file))[0]["url"] == "/items?page=2"


def test_har(tmp_path: Path, job_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = "https://shop.example.com"
    recorded = write_har(
        tmp_path,
        har_entry("https://cdn.example.com/app.js"),
        har_entry(f"{shop}/über uns#top", headers=[{"name": ":authority", "value": "shop.example.com"}]),
        har_entry(f"{shop}/login", "POST", postData={"mimeType": "application/json", "text": '{"user": "alice"}'}),
        har_entry(f"{shop}/form", "POST", postData={"mimeType": "text/x", "params": [{"name": "a", "value": "b c"}]}),
        har_entry(
            f"{shop}/upload", "POST", postData={"mimeType": "multipart/form-data", "params": [{"fileName": "me.png"}]}
        ),
        har_entry("wss://shop.example.com/live"),
        har_entry(f"{shop}/dav", "PROPFIND"),
        har_entry(f"{shop}/login", "POST"),
    )
    assert run_command_line(["convert", "har", str(recorded), "-o", str(job_file)]) == ExitCode.PASSED
    told = capsys.readouterr().err
    assert all(f"entries[{index}]" in told for index in (4, 5, 6))
    document = valid_document(job_file)
    assert document["target"] == shop
    assert [http["url"] for http in https_of(document)] == [
        "https://cdn.example.com/app.js",
        "/%C3%BCber%20uns",
        "/login",
        "/form",
        "/upload",
        "/login",
    ]
    assert https_of(document)[2] == {"method": "post", "url": "/login", "json": {"user": "alice"}}
    assert https_of(document)[3]["text"] == "a=b+c"
    assert [step["name"] for step in document["workflows"][0]["steps"]][-1] == "post-login_2"


def test_har_with_more_requests_than_a_workflow_has(
    tmp_path: Path, job_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = write_har(tmp_path, *[har_entry(f"{URL}&n={number}") for number in range(130)])
    assert run_command_line(["convert", "har", str(recorded), "-o", str(job_file)]) == ExitCode.PASSED
    assert "entries[100]: left out, with all that follow" in capsys.readouterr().err
    assert len(https_of(valid_document(job_file))) == 100


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "log.entries"),
        ('{"log": {"entries": []}}', "has no request"),
        ('{"log": {"entries": [7]}}', "entries[0].request"),
        ('{"log": {"entries": [{"request": {"method": 1}}]}}', "must have a method and a url"),
    ],
)
def test_faulty_har(content: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "recorded.har"
    path.write_text(content)
    assert run_command_line(["convert", "har", str(path)]) == ExitCode.BAD_CONFIGURATION
    assert fault in capsys.readouterr().err


def test_har_has_a_largest_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(har, "MAX_HAR_BYTES", 100)
    recorded = write_har(tmp_path, har_entry(URL), har_entry(URL))
    assert run_command_line(["convert", "har", str(recorded)]) == ExitCode.BAD_CONFIGURATION
    assert "has more than 100 bytes" in capsys.readouterr().err
    assert run_command_line(["convert", "har", str(tmp_path / "absent.har")]) == ExitCode.BAD_CONFIGURATION
