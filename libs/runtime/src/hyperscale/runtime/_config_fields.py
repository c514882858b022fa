"""The fields of a configuration model as they appear outside: flag, environment variable, path in a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_COLLECTIONS = (list, tuple, set, frozenset)


@dataclass(frozen=True, slots=True)
class ConfigField:
    """One field; ``path`` has several names when it belongs to a nested model."""

    path: tuple[str, ...]
    flag: str
    variable: str
    info: FieldInfo

    @property
    def is_switch(self) -> bool:
        """Whether the flag needs no value."""
        return self.info.annotation is bool

    @property
    def help(self) -> str:
        """Meaning, choices, default and environment variable."""
        parts = [self.info.description or "", *self._choices(), self._default(), f"Environment: {self.variable}."]
        return " ".join(part for part in parts if part)

    def split(self, value: Any) -> Any:
        """Comma-separated text as a list, where the field is one; anything else as it is."""
        if not isinstance(value, str) or not _is_collection(self.info.annotation):
            return value
        return [part.strip() for part in value.split(",") if part.strip()]

    def _choices(self) -> Iterator[str]:
        annotation = self.info.annotation
        if isinstance(annotation, type) and issubclass(annotation, Enum):
            yield f"One of {', '.join(str(member.value) for member in annotation)}."

    def _default(self) -> str:
        if self.info.is_required():
            return "Required."
        if self.info.default_factory is not None:
            return ""
        default = self.info.default
        if default is None or default in ("", ()):
            return "Default: none."
        text = ",".join(map(str, default)) if isinstance(default, _COLLECTIONS) else str(default)
        return f"Default: {text}."


def config_fields(model: type[BaseModel], env_prefix: str, above: tuple[str, ...] = ()) -> Iterator[ConfigField]:
    """Every field of a model, those of nested models included."""
    for name, info in model.model_fields.items():
        path = (*above, name)
        nested = info.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            yield from config_fields(nested, env_prefix, path)
            continue
        joined = "_".join(path)
        yield ConfigField(path, f"--{joined.replace('_', '-')}", f"{env_prefix}{joined.upper()}", info)


def _is_collection(annotation: Any) -> bool:
    if (get_origin(annotation) or annotation) in _COLLECTIONS:
        return True
    return any(_is_collection(argument) for argument in get_args(annotation))
