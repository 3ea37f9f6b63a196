"""Parses what the command line says about films: settings, and members of the cast."""

import click
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError

from evergreen.v1.film_pb2 import FilmSettings, Transition

_FIELDS = FilmSettings.DESCRIPTOR.fields_by_name
_KIND = Transition.DESCRIPTOR.fields_by_name["kind"]


def setting(settings: FilmSettings, text: str) -> None:
    """Sets what `KEY=VALUE` says, such as `aspect=9:16`, `speech=in_clip`, `transition=dissolve:0.5`.

    `profiles=wide,tall` names known profiles. Raises BadParameter.
    """
    name, found, value = text.partition("=")
    field = _FIELDS.get(name)
    if not found or field is None:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE, with KEY one of {', '.join(_FIELDS)}", param_hint="--set")
    given: object = value
    if name == "profiles":
        given = [{"name": each} for each in value.split(",")]
    elif name == "transition":
        kind, _, seconds = value.partition(":")
        given = {"kind": _constant(_KIND, kind), "seconds": seconds or "0"}
    elif field.enum_type is not None:
        given = _constant(field, value)
    try:
        ParseDict({name: given}, settings)
    except ParseError as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint="--set") from None


def member(text: str) -> tuple[str, str]:
    """Parses `NAME=PICTURE`. Raises BadParameter."""
    name, _, picture = text.partition("=")
    if not (name and picture):
        raise click.BadParameter(f"{text!r} is not NAME=PICTURE", param_hint="--cast")
    return name, picture


def _constant(field: FieldDescriptor, value: str) -> str:
    """Returns the name of an enum's value in the contract."""
    assert field.enum_type is not None
    names = [each.name for each in field.enum_type.values]
    prefix = names[0].removesuffix("UNSPECIFIED")
    if prefix + value.upper() not in names[1:]:
        known = ", ".join(each.removeprefix(prefix).lower() for each in names[1:])
        raise click.BadParameter(f"{value!r} is not one of {known}", param_hint="--set")
    return prefix + value.upper()
