"""JSON held against a JSON Schema: the few keywords that this package's own schemas use.

A general validator would be one more thing to install on the device. A keyword that is not known here
is a fault of ours and raises; tests hold the outcome against the jsonschema package.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
}
_ANNOTATIONS = {"$schema", "$defs", "title", "description"}
_NESTED = {"properties", "additionalProperties", "items"}
_JOINED = {"allOf", "if", "then"}


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that is off."""

    found: str
    """Where, and what stands there."""
    expected: str


def is_number(value: Any) -> bool:
    """Whether it is one, as JSON and TOML have them: a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def finite(value: Any) -> bool:
    """Whether it is a number that a float holds; whole numbers of JSON and TOML have no end."""
    return is_number(value) and abs(value) <= sys.float_info.max


def first_fault(value: Any, schema: dict[str, Any]) -> Fault | None:
    """Hold a value, as ``json.loads`` gave it, against a schema; None where it conforms.

    Raises
    ------
    ValueError
        If the schema has a keyword that is not known here.
    """
    return _fault(value, schema, schema.get("$defs", {}), "")


def _fault(value: Any, rule: dict[str, Any], shared: dict[str, Any], where: str) -> Fault | None:
    if "$ref" in rule:
        rule = shared[rule["$ref"].removeprefix("#/$defs/")]
    place = where or "the whole"
    for keyword, limit in rule.items():
        if keyword not in _ANNOTATIONS | _NESTED | _JOINED and (expected := _broken(keyword, value, limit)):
            shown = f"is a {type(value).__name__}" if isinstance(value, dict | list) else f"is {value!r:.60}"
            return Fault(f"{place} {shown}", expected)
    for further in _further(value, rule, shared):
        if fault := _fault(value, further, shared, where):
            return fault
    for name, item, inner in _parts(value, rule):
        inside = f"{where}.{name}" if where else name
        if inner is False:
            return Fault(f"{inside} is not a key that is known", f"only {sorted(rule['properties'])}")
        if isinstance(inner, dict) and (fault := _fault(item, inner, shared, inside)):
            return fault
    return None


def _further(value: Any, rule: dict[str, Any], shared: dict[str, Any]) -> list[dict[str, Any]]:
    """Rules for the same value: those of ``allOf``, and ``then`` where ``if`` holds."""
    out = list(rule.get("allOf", []))
    if "if" in rule and _fault(value, rule["if"], shared, "") is None:
        out.append(rule["then"])
    return out


def _parts(value: Any, rule: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """What a value is made of, each part with its name and its own rule."""
    if isinstance(value, dict):
        known, other = rule.get("properties", {}), rule.get("additionalProperties", True)
        return [(key, item, known.get(key, other)) for key, item in value.items()]
    if isinstance(value, list):
        return [(str(k), item, rule.get("items", True)) for k, item in enumerate(value)]
    return []


def _broken(keyword: str, value: Any, limit: Any) -> str:
    """What one keyword asks for and the value does not give; empty where it holds."""
    number = is_number(value)
    if keyword == "type":
        fits = isinstance(value, _TYPES[limit]) and not isinstance(value, bool)
        return "" if fits and (finite(value) or not number) else f"{limit}"
    if keyword == "const":
        return "" if value == limit and type(value) is type(limit) else f"{limit!r}"
    if keyword == "enum":
        return "" if value in limit else f"one of {limit}"
    if keyword == "pattern":
        # In JSON Schema $ is the very end; in Python it is also before a newline there.
        at_end = limit.replace("$", r"\Z")
        return "" if not isinstance(value, str) or re.search(at_end, value) else f"text like {limit}"
    if keyword == "required":
        absent = [key for key in limit if key not in value] if isinstance(value, dict) else []
        return f"the keys {absent} in it" if absent else ""
    if keyword in ("minItems", "minProperties"):
        return "" if not isinstance(value, dict | list) or len(value) >= limit else f"{limit} or more in it"
    if keyword == "maxItems":
        return "" if not isinstance(value, list) or len(value) <= limit else f"{limit} or fewer in it"
    if keyword == "minimum":
        return "" if not number or value >= limit else f"{limit} or more"
    if keyword == "maximum":
        return "" if not number or value <= limit else f"{limit} or less"
    if keyword == "exclusiveMinimum":
        return "" if not number or value > limit else f"more than {limit}"
    raise ValueError(f"keyword {keyword!r} of a schema is not known here")
