"""Report code that nothing uses: vulture, told what the protocol uses by name.

A field that is set on a message is read in another process, a method named as an RPC is called by gRPC, and a member of an
enumeration is reached by its value. Examples count as use; what they define themselves is for their readers.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2
from vulture import Vulture
from vulture.config import make_config
from vulture.core import Item

ROOT = Path(__file__).resolve().parent.parent
_FIELD = re.compile(r"^\s*(?:optional |repeated )?(?:map<[^>]*>|[\w.]+) (?P<name>\w+) = \d+", re.MULTILINE)
_RPC = re.compile(r"^\s*rpc (?P<name>\w+)\(", re.MULTILINE)


def protocol_names() -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of all fields, and of all RPCs."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "proto").rglob("*.proto")]
    known = (timestamp_pb2.DESCRIPTOR, duration_pb2.DESCRIPTOR, struct_pb2.DESCRIPTOR)
    well_known = {
        field.name for file in known for message in file.message_types_by_name.values() for field in message.fields
    }
    fields = {name for text in texts for name in _FIELD.findall(text)}
    return frozenset(fields | well_known), frozenset(name for text in texts for name in _RPC.findall(text))


def _is_enumeration_member(item: Item) -> bool:
    tree = ast.parse(Path(item.filename).read_text(encoding="utf-8"))
    enumerations = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith(("Enum", "Flag")) for base in node.bases)
    ]
    return any(node.lineno <= item.first_lineno <= (node.end_lineno or 0) for node in enumerations)


def find_dead_code() -> list[Item]:
    """Return what is defined in libs, services, tools, tests, examples or bench and used in none of them."""
    config = make_config([])
    vulture = Vulture(ignore_names=config["ignore_names"], ignore_decorators=config["ignore_decorators"])
    vulture.scavenge([path for path in config["paths"] if Path(path).exists()], exclude=config["exclude"])
    fields, rpcs = protocol_names()
    used = {"attribute": fields, "method": rpcs}
    unused: list[Item] = vulture.get_unused_code(min_confidence=config["min_confidence"])
    return [
        item
        for item in unused
        if item.name not in used.get(item.typ, ())
        and not (item.typ == "variable" and _is_enumeration_member(item))
        and not Path(item.filename).is_relative_to(ROOT / "examples")
    ]


if __name__ == "__main__":
    dead = find_dead_code()
    for item in dead:
        print(f"{Path(item.filename).relative_to(ROOT)}:{item.first_lineno}: unused {item.typ} {item.name!r}")
    sys.exit(bool(dead))
