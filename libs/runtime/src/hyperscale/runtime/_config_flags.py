"""Command-line flags made from configuration fields."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from hyperscale.runtime._config_fields import ConfigField
from hyperscale.runtime.errors import FieldViolation

_CONFIG_FILE = "config"


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line said."""

    config_file: str | None
    values: tuple[tuple[ConfigField, str | bool], ...]
    violations: tuple[FieldViolation, ...]


def parse_flags(fields: Sequence[ConfigField], argv: Sequence[str], prog: str, description: str) -> Flags:
    """Read the arguments; ``--help`` prints and exits, faults are returned."""
    parser = _parser(fields, prog, description)
    try:
        namespace, unknown = parser.parse_known_args(list(argv))
    except argparse.ArgumentError as error:
        return Flags(None, (), (FieldViolation(error.argument_name or "arguments", error.message),))
    given = vars(namespace)
    values = tuple((each, given[_destination(each)]) for each in fields if _destination(each) in given)
    violations = tuple(FieldViolation(argument, "no such flag") for argument in unknown)
    return Flags(given.get(_CONFIG_FILE), values, violations)


def _parser(fields: Sequence[ConfigField], prog: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description.partition("\n")[0],
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        exit_on_error=False,
    )
    parser.add_argument(
        "--config", dest=_CONFIG_FILE, metavar="FILE", help="YAML, JSON or TOML file with any of the fields below."
    )
    for each in fields:
        _add_flag(parser, each)
    return parser


def _add_flag(parser: argparse.ArgumentParser, config_field: ConfigField) -> None:
    help_text = config_field.help.replace("%", "%%")
    destination = _destination(config_field)
    if config_field.is_switch:
        action = argparse.BooleanOptionalAction
        parser.add_argument(config_field.flag, dest=destination, action=action, help=help_text)
        return
    metavar = config_field.path[-1].rpartition("_")[2].upper()
    parser.add_argument(config_field.flag, dest=destination, metavar=metavar, help=help_text)


def _destination(config_field: ConfigField) -> str:
    # Never equal to the destination of --config, whatever the field is called.
    return "field:" + ".".join(config_field.path)
