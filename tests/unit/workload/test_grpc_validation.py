import base64
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import any_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from hyperscale.workload.documents import DocumentFormat
from hyperscale.workload.grpc_methods import GrpcDescriptions, GrpcRequestError, GrpcResponseError
from hyperscale.workload.grpc_targets import GrpcOrigin, grpc_origin
from hyperscale.workload.jobfile import JobFileError, load_job_file, parse_job
from tests.support.grpc_shop import FILES, SERVICE
from tests.support.jobs import workflow

PLACE = f"{SERVICE}/Place"
DESCRIBED = base64.b64encode(FILES.SerializeToString()).decode()


def faults_of(call: dict[str, Any], descriptor_set: str = "", **job: Any) -> dict[str, str]:
    """Faults by path, from the call on."""
    flow = workflow("w", steps=[{"name": "a", "grpc": call}])
    if descriptor_set:
        flow["descriptor_set"] = descriptor_set
    try:
        parse_job(json.dumps({"target": "http://target.test", "workflows": [flow], **job}), DocumentFormat.JSON)
    except JobFileError as error:
        return {fault.path.removeprefix("workflows[0].steps[0].grpc."): fault.message for fault in error.faults}
    return {}


@pytest.mark.parametrize("descriptor_set", ["", DESCRIBED])
def test_whole_calls_are_valid(descriptor_set: str) -> None:
    call = {
        "target": "grpcs://shop.test:8443",
        "method": PLACE,
        "request": {"item": "{{uuid}}", "count": 3, "at": "2024-01-01T00:00:00Z"},
        "metadata": {"authorization": "Bearer {{vu}}", "x-key-bin": "AAE="},
        "timeout": "2s",
        "expected_statuses": [0, 5],
    }
    assert faults_of(call, descriptor_set) == {}
    assert faults_of({"method": f"{SERVICE}/Talk", "request": [{"item": "a"}, {}]}, descriptor_set) == {}
    assert faults_of({"method": f"{SERVICE}/Upload"}, descriptor_set) == {}


@pytest.mark.parametrize(
    ("call", "path", "reason"),
    [
        ({}, "method", "full name of a method"),
        ({"method": "Place"}, "method", "full name of a method"),
        ({"method": "/shop.Orders/Place"}, "method", "full name of a method"),
        ({"target": "http://a.test"}, "target", "must be grpc://host:port"),
        ({"target": "grpc://"}, "target", "no valid host"),
        ({"target": "grpc://me@a.test:1"}, "target", "no valid host"),
        ({"target": "grpc://a.test:70000"}, "target", "no valid port"),
        ({"target": "grpc://{{vu}}:1"}, "target", "no valid host"),
        ({"request": [{}] * 10_001}, "request", "at most 10000"),
        ({"request": {"item": "{{nobody}}"}}, "request.item", "no earlier step extracts"),
        ({"metadata": {"X-Who": "me"}}, "metadata['X-Who']", "lower-case"),
        ({"metadata": {"grpc-timeout": "1S"}}, "metadata['grpc-timeout']", "set by the engine"),
        ({"metadata": {"x": "a\nb"}}, "metadata['x']", "printable ASCII"),
        ({"metadata": {"x-bin": "not base64"}}, "metadata['x-bin']", "must be base64"),
        ({"metadata": {"x": "{{nobody}}"}}, "metadata['x']", "no earlier step extracts"),
        ({"timeout": "11m"}, "timeout", "at most 10m"),
        ({"expected_statuses": [17]}, "expected_statuses[0]", "0 to 16"),
        ({"expected_statuses": [0, 0]}, "expected_statuses[1]", "is there already"),
    ],
)
def test_faults_of_calls(call: dict[str, Any], path: str, reason: str) -> None:
    faults = faults_of({"method": PLACE, **call} if call else call)
    assert list(faults) == [path]
    assert reason in faults[path]


@pytest.mark.parametrize(
    ("call", "path", "reason"),
    [
        ({"method": "other.Shop/Place"}, "method", f"no service 'other.Shop'; there are {SERVICE}"),
        ({"method": f"{SERVICE}/Buy"}, "method", "has no method 'Buy'; there are Place, Talk, Upload, Watch"),
        ({"request": {"itm": "tea"}}, "request", 'no field named "itm"'),
        ({"request": {"count": "many"}}, "request", "is not a test.shop.v1.Order"),
        ({"request": 7}, "request", "must be a mapping"),
        ({"request": [{}]}, "request", "must be a mapping"),
        ({"method": f"{SERVICE}/Talk", "request": {}}, "request", "must be a list of messages"),
        ({"method": f"{SERVICE}/Talk", "request": [{}, {"itm": 1}]}, "request", 'no field named "itm"'),
    ],
)
def test_what_a_description_tells_beforehand(call: dict[str, Any], path: str, reason: str) -> None:
    faults = faults_of({"method": PLACE, **call}, DESCRIBED)
    assert list(faults) == [path]
    assert reason in faults[path]
    assert "\n" not in faults[path]


def test_descriptions_that_cannot_be_used() -> None:
    def fault(content: bytes) -> str:
        return faults_of({"method": PLACE}, base64.b64encode(content).decode())["workflows[0].descriptor_set"]

    assert "not a FileDescriptorSet" in fault(b"\xff\xff")
    assert "at most 1,048,576 bytes" in fault(bytes(1_048_577))
    lonely = type(FILES)(file=[FILES.file[1]])
    lonely.file[0].dependency.append("google/api/annotations.proto")
    assert "lacks google/api/annotations.proto" in fault(lonely.SerializeToString())
    circle = type(FILES)()
    circle.file.add(name="a", dependency=["b"])
    circle.file.add(name="b", dependency=["a"])
    assert "import each other" in fault(circle.SerializeToString())


def test_well_known_files_need_not_be_described() -> None:
    described = GrpcDescriptions(file for file in FILES.file if not file.name.startswith("google/"))
    method = described.method(PLACE)
    data = method.encode({"item": "tea", "at": "2024-01-01T00:00:00Z"})
    assert len(data) > 5
    assert method.decode(b"") == {"totalCount": 0, "items": []}
    with pytest.raises(GrpcRequestError, match="mapping"):
        method.encode("tea")
    with pytest.raises(GrpcResponseError, match="is not a test"):
        method.decode(b"\xff")


def test_a_response_that_json_cannot_express() -> None:
    file = FileDescriptorProto(name="a.proto", package="a", syntax="proto3", dependency=["google/protobuf/any.proto"])
    message = file.message_type.add(name="M")
    message.field.add(name="any", number=1, type=11, label=1, type_name=".google.protobuf.Any")
    file.service.add(name="S").method.add(name="Call", input_type=".a.M", output_type=".a.M")
    method = GrpcDescriptions([file]).method("a.S/Call")
    packed = any_pb2.Any(type_url="type.test/unknown.Type", value=b"a").SerializeToString()
    with pytest.raises(GrpcResponseError, match="in JSON"):
        method.decode(b"\x0a" + bytes([len(packed)]) + packed)


def test_a_description_is_for_grpc_steps() -> None:
    flow = workflow("w", steps=[{"name": "a", "http": {"url": "/"}}]) | {"descriptor_set": DESCRIBED}
    with pytest.raises(JobFileError, match="used by no step"):
        parse_job(json.dumps({"target": "http://a.test", "workflows": [flow]}), DocumentFormat.JSON)


def test_certificates_are_always_verified() -> None:
    options: dict[str, Any] = {"http_options": {"insecure_skip_verify": True}}
    assert "gRPC always verifies" in faults_of({"method": PLACE, "target": "grpcs://a.test:1"}, **options)["target"]
    assert faults_of({"method": PLACE}, **options) == {}


def test_a_call_needs_a_target() -> None:
    assert "is required" in faults_of({"method": PLACE}, target="")["target"]
    assert faults_of({"method": PLACE, "target": "grpc://a.test:1"}, target="") == {}


@pytest.mark.parametrize(
    ("job", "own", "origin"),
    [
        ("http://a.test:8000/base", "", GrpcOrigin("a.test:8000", tls=False)),
        ("https://a.test", "", GrpcOrigin("a.test:443", tls=True)),
        ("http://a.test", "grpcs://[::1]:9", GrpcOrigin("[::1]:9", tls=True)),
        ("", "GRPC://b.test:50051/", GrpcOrigin("b.test:50051", tls=False)),
    ],
)
def test_where_calls_go(job: str, own: str, origin: GrpcOrigin) -> None:
    assert grpc_origin(job, own) == origin


def test_job_files_name_the_file_that_describes(tmp_path: Path) -> None:
    (tmp_path / "protos").mkdir()
    (tmp_path / "protos" / "shop.binpb").write_bytes(FILES.SerializeToString())
    flow = workflow("w", steps=[{"name": "a", "grpc": {"method": PLACE}}])
    job: dict[str, Any] = {"target": "http://a.test", "workflows": [flow | {"descriptor_set": "protos/shop.binpb"}]}
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job))
    assert load_job_file(path).workflows[0].descriptor_set == FILES.SerializeToString()
    job["workflows"] = [flow | {"descriptorSet": "shop.binpb"}, 7]
    path.write_text(json.dumps(job))
    with pytest.raises(JobFileError) as caught:
        load_job_file(path)
    faults = {fault.path: fault.message for fault in caught.value.faults}
    assert faults["workflows[0].descriptor_set"] == "'shop.binpb' cannot be read: No such file or directory"
    assert "workflows[1]" in faults
