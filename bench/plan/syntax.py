"""YAML text as JSON values, each with its line, and all mistakes of the text.

ruamel.yaml reads the syntax; this module makes the values and limits their number.

Scalars mean what YAML 1.2's core schema says: `on` and `yes` are text, `1:30` is text, dates are text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None
Location = tuple[str | int, ...]

MOST_BYTES = 1_000_000  # a larger file is a data file, given by mistake
MOST_VALUES = 10_000  # values behind aliases count every time
DEEPEST = 50  # levels of nesting
LARGEST_INTEGER, SMALLEST_INTEGER = 2**64 - 1, -(2**63)  # what JSON libraries hold
_LONG_TAG = re.compile(r"!{300}")  # the time to read a tag grows with the square of its length

_CORE = "tag:yaml.org,2002:"
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_LEADING_ZERO = re.compile(r"([-+]?)0+(?=[0-9])")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(slots=True)
class Syntax:
    """The content of a text."""

    value: Json = None
    lines: dict[Location, int] = field(default_factory=dict)  # from 1
    problems: list[tuple[int | None, str]] = field(default_factory=list)  # line and sentence
    spoiled: set[Location] = field(default_factory=set)  # places that have no value because of a problem


@dataclass(frozen=True, slots=True)
class _Node:
    """A node of the text, as it is written."""

    line: int
    tag: str | None  # as given; None if none is given
    text: str = ""  # of a scalar
    plain: bool = False  # a scalar without quotes
    items: list[_Node] | None = None  # of a list
    pairs: list[tuple[_Node, _Node]] | None = None  # of a mapping


class _Refusal(Exception):  # noqa: N818 - not an error of ours
    """A mistake after which nothing can be read: line and sentence."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def read_yaml(text: str) -> Syntax:
    """The values of a text. No text makes it raise, hang, or return a value that JSON cannot have."""
    found = Syntax()
    if (tag := _LONG_TAG.search(text)) is not None:
        found.problems.append((text.count("\n", 0, tag.start()) + 1, "holds 300 exclamation marks in a row"))
        return found
    try:
        node = _Tree(text).root()
    except _Refusal as refusal:
        found.problems.append((refusal.line, str(refusal)))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.context, error.problem) if part)
        found.problems.append((None if mark is None else mark.line + 1, f"not YAML: {problem}"))
    except YAMLError as error:  # of ruamel's reader: a character that YAML does not allow
        position = getattr(error, "position", 0)
        code = ord(text[position])
        problem = f"the character U+{code:04X} is not allowed in YAML; in double quotes write \\x{code:02x}"
        found.problems.append((text.count("\n", 0, position) + 1, f"not YAML: {problem}"))
    except (ValueError, OverflowError) as error:  # an escape beyond Unicode, in a tag or in quotes
        found.problems.append((None, f"not YAML: {error}"))
    else:
        if node is not None:
            found.value = _Builder(found).value(node, ())
    return found


def yaml_text(value: object) -> str:
    """JSON values as YAML for people: the innermost keys and lists on one line. `read_yaml` gives the values back."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.allow_unicode = True
    yaml.width = 100
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel types it as None alone
    out = io.StringIO()
    yaml.dump(value, out)
    return out.getvalue()


class _Tree:
    """Nodes from ruamel's events, within limits."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[Event] = YAML(typ="safe", pure=True).parse(text)
        self._anchors: dict[str, _Node] = {}
        self._count = 0

    def root(self) -> _Node | None:
        """The one document of the text; None if there is none."""
        root, documents = None, 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _Refusal(_line(event), "a second document begins; one is expected")
                root = self._node(next(self._events), 0)
        return root

    def _node(self, event: Event, depth: int) -> _Node:
        self._count += 1
        if self._count > MOST_VALUES:
            raise _Refusal(_line(event), f"holds more than {MOST_VALUES:,} values; this is not a scenario")
        if depth > DEEPEST:
            raise _Refusal(_line(event), f"values are nested deeper than {DEEPEST} levels")
        if isinstance(event, AliasEvent):
            if (known := self._anchors.get(event.anchor)) is None:
                raise _Refusal(
                    _line(event),
                    f"not YAML: *{event.anchor} is an alias, but no complete value above it has that anchor",
                )
            return known
        assert isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent)
        node = self._filled(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _filled(self, event: ScalarEvent | SequenceStartEvent | MappingStartEvent, depth: int) -> _Node:
        line, tag = _line(event), event.tag
        if isinstance(event, SequenceStartEvent):
            items = []
            while not isinstance(following := next(self._events), SequenceEndEvent):
                items.append(self._node(following, depth + 1))
            return _Node(line, tag, items=items)
        if isinstance(event, MappingStartEvent):
            pairs = []
            while not isinstance(following := next(self._events), MappingEndEvent):
                key = self._node(following, depth + 1)
                pairs.append((key, self._node(next(self._events), depth + 1)))
            return _Node(line, tag, pairs=pairs)
        return _Node(line, tag, text=event.value, plain=event.style is None)


def _line(event: Event) -> int:
    return int(event.start_mark.line) + 1


class _Builder:
    """Makes values from nodes, and adds their problems to a Syntax."""

    def __init__(self, found: Syntax) -> None:
        self._found = found
        self._count = 0

    def value(self, node: _Node, location: Location) -> Json:
        """The value of a node; None if it has none (a problem is added)."""
        self._count += 1
        if self._count > MOST_VALUES:
            if self._count == MOST_VALUES + 1:
                self._blame(
                    node, location, f"aliases make more than {MOST_VALUES:,} values of it; this is not a scenario"
                )
            return None
        self._found.lines.setdefault(location, node.line)
        if node.items is not None:
            self._expect_tag(node, location, "seq")
            return [self.value(item, (*location, index)) for index, item in enumerate(node.items)]
        if node.pairs is not None:
            self._expect_tag(node, location, "map")
            return self._mapping(node, location)
        return self._scalar(node, location)

    def _mapping(self, node: _Node, location: Location) -> dict[str, Json]:
        made: dict[str, Json] = {}
        first: dict[str, int] = {}
        for key, value in node.pairs or ():
            if key.plain and key.text == "<<" and key.tag is None:
                for name, item in self._merged(value, location).items():
                    made.setdefault(name, item)
                continue
            if (name_of := self._key(key, location)) is None:
                continue
            if name_of in first:
                self._blame(
                    key, (*location, name_of), f"{name_of} is given twice; the first is in line {first[name_of]}"
                )
            first[name_of] = key.line
            self._found.lines[(*location, name_of)] = key.line
            made[name_of] = self.value(value, (*location, name_of))
        return made

    def _key(self, key: _Node, above: Location) -> str | None:
        """The text of a key; None if it is no text (a problem is added)."""
        if key.items is not None or key.pairs is not None:
            self._blame(key, above, "a list or mapping is in the place of a key; a text is expected")
            return None
        value = self._scalar(key, (*above, key.text))
        if not isinstance(value, str):
            shown = "an empty key" if key.text == "" else f"the key {_cut(key.text)}"
            self._blame(key, (*above, key.text), f"{shown} is not text; put it in quotes: '{_cut(key.text)}'")
            return None
        return value

    def _merged(self, node: _Node, location: Location) -> dict[str, Json]:
        """The values that `<<` merges in. The first of several wins, and keys written beside it win over all."""
        given: dict[str, Json] = {}
        for one in node.items if node.items is not None else [node]:
            value = self.value(one, location)
            if isinstance(value, dict):
                given = value | given
            else:
                self._blame(one, location, "<< needs an alias of keys and values, such as <<: *base")
        return given

    def _scalar(self, node: _Node, location: Location) -> Json:
        if _SURROGATE.search(node.text):
            self._blame(
                node, location, "a text has half of a surrogate pair, which is not a character; write it as \\U0001F600"
            )
            return ""
        if node.tag is None or node.tag == "!":
            return self._plain(node, location) if node.plain and node.tag is None else node.text
        kind = node.tag.removeprefix(_CORE)
        if kind == "str" and node.tag != kind:
            return node.text
        value = self._plain(node, location)
        known = {"null": type(None), "bool": bool, "int": int, "float": float}
        if kind in known and node.tag != kind and type(value) is known[kind]:
            return value
        self._blame(
            node,
            location,
            f"the tag {_tag(node)} is not known here; write a number, text, true, false or null",
        )
        return None

    def _plain(self, node: _Node, location: Location) -> Json:
        """What a scalar without quotes means, by the core schema."""
        text = node.text
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if _LEADING_ZERO.match(text) and _FLOAT.fullmatch(text):
            without = _LEADING_ZERO.sub(r"\1", text)
            quoted = f"'{_cut(text)}' where text is meant"
            self._blame(node, location, f"{_cut(text)} has a leading zero; write {_cut(without)}, or {quoted}")
            return 0
        if _INT.fullmatch(text):
            return self._bounded(node, location, int(text) if len(text) < 100 else LARGEST_INTEGER + 1)
        if _BASED.fullmatch(text):
            return self._bounded(node, location, int(text, 0) if len(text) < 100 else LARGEST_INTEGER + 1)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if abs(number) != float("inf"):
                return number
        elif not _NOT_FINITE.fullmatch(text):
            return text
        self._blame(node, location, f"{_cut(text)} is not finite; a finite number is expected, or text in quotes")
        return 0.0

    def _bounded(self, node: _Node, location: Location, number: int) -> int:
        if SMALLEST_INTEGER <= number <= LARGEST_INTEGER:
            return number
        self._blame(
            node, location, f"{_cut(node.text)} has more than 64 bits; write a smaller number, or text in quotes"
        )
        return 0

    def _expect_tag(self, node: _Node, location: Location, kind: str) -> None:
        if node.tag not in (None, "!", _CORE + kind):
            self._blame(
                node, location, f"the tag {_tag(node)} is not known here; plain lists, keys and values are expected"
            )

    def _blame(self, node: _Node, location: Location, message: str) -> None:
        self._found.spoiled.add(location)
        self._found.problems.append((node.line, message))


def _tag(node: _Node) -> str:
    """A tag as people write it."""
    tag = node.tag or ""
    return _cut(f"!!{tag.removeprefix(_CORE)}" if tag.startswith(_CORE) else tag)


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:20]}…{text[-5:]}"
