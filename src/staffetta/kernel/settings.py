"""Settings: each room has one frozen dataclass of documented defaults; a TOML section may set its fields."""

import dataclasses
import tomllib
import types
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from staffetta.kernel.errors import InvalidInput

Section = TypeVar("Section")


class InvalidSettings(InvalidInput):
    """The settings file is not TOML, or has a key or type that no room knows."""

    code = "invalid-settings"


def load_section(cls: type[Section], path: Path | None, section: str) -> Section:
    """Return ``cls`` with its defaults, overlaid by ``[section]`` of the TOML file at ``path`` if there is one.

    Raises ``InvalidSettings`` naming file, section and key for an unknown key or a wrong type.
    """
    if path is None or not path.exists():
        return cls()
    try:
        table = tomllib.loads(path.read_text("utf-8")).get(section, {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"{path} is not readable as TOML: {error}.") from None
    if not isinstance(table, dict):
        raise InvalidSettings(f"{path}: [{section}] must be a table.")
    hints = get_type_hints(cls)
    known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key, value in table.items():
        if key not in known:
            raise InvalidSettings(f"{path}: [{section}] has no setting {key!r}; known: {', '.join(sorted(known))}.")
        if not _fits(value, hints[key]):
            raise InvalidSettings(f"{path}: [{section}] {key} must be of type {hints[key]}, not {value!r}.")
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is types.UnionType:
        return any(_fits(value, part) for part in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, list) and all(_fits(item, get_args(hint)[0]) for item in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)
