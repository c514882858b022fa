"""GraphQL operations as the HTTP requests that they are."""

from __future__ import annotations

from typing import Final

from hyperscale.v1 import workflow_pb2

_ACCEPT: Final = "application/graphql-response+json, application/json;q=0.9"


def http_request_of(step: workflow_pb2.Step) -> workflow_pb2.HttpRequest | None:
    """The HTTP request that a step sends; None when it speaks another protocol."""
    match step.WhichOneof("action"):
        case "http":
            return step.http
        case "graphql":
            return _operation(step.graphql)
        case _:
            return None


def envelope_of(graphql: workflow_pb2.GraphqlRequest) -> workflow_pb2.HttpRequest:
    """The HTTP request of an operation, without its body."""
    return workflow_pb2.HttpRequest(
        method=workflow_pb2.HTTP_METHOD_POST,
        url=graphql.url,
        headers=dict(graphql.headers),
        timeout=graphql.timeout if graphql.HasField("timeout") else None,
        version=graphql.version,
    )


def _operation(graphql: workflow_pb2.GraphqlRequest) -> workflow_pb2.HttpRequest:
    http = envelope_of(graphql)
    if not any(name.lower() == "accept" for name in graphql.headers):
        http.headers["Accept"] = _ACCEPT
    content = http.json.struct_value
    content["query"] = graphql.query
    if graphql.operation_name:
        content["operationName"] = graphql.operation_name
    if graphql.HasField("variables"):
        content.fields["variables"].CopyFrom(graphql.variables)
    return http
