"""Form bodies."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

FORM_TYPE = "application/x-www-form-urlencoded"


def multipart_body(fields: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Content type and body of a multipart form without files; the same for the same fields."""
    digest = hashlib.sha256(repr(list(fields)).encode(errors="surrogatepass")).hexdigest()
    boundary = f"hyperscale-{digest[:24]}"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}\r\n'
        for name, value in fields
    ]
    return f"multipart/form-data; boundary={boundary}", "".join([*parts, f"--{boundary}--\r\n"])


def _quoted(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
