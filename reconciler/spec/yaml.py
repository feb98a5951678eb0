"""YAML text to a tree with places. Knows YAML, not Compose.

Stands on the event stream of PyYAML (libyaml when it is there), because events, unlike PyYAML's composer, show tags
and aliases as they were written and let us stop at a limit. Scalars follow YAML 1.2: `no` and `22:22` are text.
Anchors, aliases and merge keys work, as Compose users expect, within a budget of visited nodes. Tags, duplicate keys
and keys that are no text are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import yaml as pyyaml

from reconciler.core.document import Place
from reconciler.errors import Problem, SpecError
from reconciler.spec.tree import MAX_DEPTH, MAX_NODES, Path, Scalar, Tree, number

_LOADER: Final = getattr(pyyaml, "CBaseLoader", pyyaml.BaseLoader)
_WORDS: Final[dict[str, Scalar]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def load(name: str, text: str) -> Tree:
    """The one document in `text`. Raises SpecError with every problem found."""
    reader = _Reader(name)
    try:
        root = reader.document(pyyaml.parse(text, Loader=_LOADER))
    except pyyaml.YAMLError as error:
        raise SpecError(*reader.problems, _syntax(name, text, error)) from None
    if reader.problems:
        raise SpecError(*reader.problems)
    return _Flattener(name).tree(root)


def scalar(text: str) -> Scalar:
    """A plain scalar by the core schema of YAML 1.2, but for numbers that would not print the same again."""
    return _WORDS[text] if text in _WORDS else number(text)


@dataclass(frozen=True, slots=True)
class _Key:
    text: str
    at: Place


@dataclass(frozen=True, slots=True)
class _Node:
    at: Place
    value: Scalar | list[_Node] | dict[str, tuple[_Key, _Node]]


def _syntax(name: str, text: str, error: pyyaml.YAMLError) -> Problem:
    if isinstance(error, pyyaml.reader.ReaderError):
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
        return Problem(name, line, column, "cannot read YAML: the text has a control character")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    said = getattr(error, "problem", None) or "the text is not YAML"
    return Problem(name, line, column, f"cannot read YAML: {said}")


def _place(event: pyyaml.Event) -> Place:
    mark = event.start_mark
    assert mark, "events of a parsed text have marks"
    return Place(mark.line + 1, mark.column + 1)


@dataclass(slots=True)
class _Reader:
    """Events to nodes. An alias is the node of its anchor; nothing can contain itself."""

    name: str
    problems: list[Problem] = field(default_factory=list)
    anchors: dict[str, _Node] = field(default_factory=dict)
    merged: int = 0

    def document(self, events: Iterator[pyyaml.Event]) -> _Node:
        root = _Node(Place(1, 1), None)
        documents = 0
        for event in events:
            if isinstance(event, pyyaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._stop(event, "cannot use a second document: a file is one spec")
            elif not isinstance(event, pyyaml.StreamStartEvent | pyyaml.DocumentEndEvent | pyyaml.StreamEndEvent):
                root = self._node(event, events, 1)
        return root

    def _node(self, event: pyyaml.Event, events: Iterator[pyyaml.Event], depth: int) -> _Node:
        at = _place(event)
        if depth > MAX_DEPTH:
            raise self._stop(event, f"cannot read the value: it is nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, pyyaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise self._stop(event, f"cannot use alias '*{event.anchor}': no finished anchor of that name")
            return self.anchors[event.anchor]
        assert isinstance(event, pyyaml.ScalarEvent | pyyaml.CollectionStartEvent)
        if event.tag is not None:
            self._report(at, f"cannot use tag '{event.tag}': tags are not supported")
        if isinstance(event, pyyaml.ScalarEvent):
            plain = event.style is None or event.style == ""
            node = _Node(at, scalar(event.value) if plain else event.value)
        elif isinstance(event, pyyaml.SequenceStartEvent):
            node = _Node(at, list(self._items(events, depth)))
        else:
            node = _Node(at, self._entries(events, depth))
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _items(self, events: Iterator[pyyaml.Event], depth: int) -> Iterator[_Node]:
        for event in events:
            if isinstance(event, pyyaml.SequenceEndEvent):
                return
            yield self._node(event, events, depth + 1)

    def _entries(self, events: Iterator[pyyaml.Event], depth: int) -> dict[str, tuple[_Key, _Node]]:
        entries: dict[str, tuple[_Key, _Node]] = {}
        merges: list[_Node] = []
        for event in events:
            if isinstance(event, pyyaml.MappingEndEvent):
                break
            merge = isinstance(event, pyyaml.ScalarEvent) and event.value == "<<" and not event.style
            key = _Key("<<", _place(event)) if merge else self._key(event, events, depth)
            value = self._node(next(events), events, depth + 1)
            if merge:
                merges.append(value)
            elif key.text in entries:
                first = entries[key.text][0].at.line
                self._report(key.at, f"cannot use key '{key.text}' twice: it stands in line {first} already")
            else:
                entries[key.text] = (key, value)
        for value in merges:
            self._merge(entries, value)
        return entries

    def _key(self, event: pyyaml.Event, events: Iterator[pyyaml.Event], depth: int) -> _Key:
        node = self._node(event, events, depth + 1)
        if isinstance(node.value, str):
            return _Key(node.value, _place(event))
        written = getattr(event, "value", None)
        shown = f"'{written}'" if isinstance(written, str) else "this"
        self._report(_place(event), f"cannot use {shown} as a key: a key must be a text, so put it in quotes")
        return _Key(f"\0{len(self.problems)}", _place(event))

    def _merge(self, entries: dict[str, tuple[_Key, _Node]], value: _Node) -> None:
        for source in value.value if isinstance(value.value, list) else [value]:
            if not isinstance(source.value, dict):
                self._report(source.at, "cannot merge with '<<': only a mapping or a list of mappings can be merged")
                continue
            self.merged += len(source.value)
            if self.merged > MAX_NODES:
                problem = f"cannot merge with '<<': more than {MAX_NODES} entries are merged in this file"
                raise SpecError(*self.problems, Problem(self.name, *source.at, problem))
            for key, entry in source.value.items():
                entries.setdefault(key, entry)

    def _report(self, at: Place, message: str) -> None:
        self.problems.append(Problem(self.name, *at, message))

    def _stop(self, event: pyyaml.Event, message: str) -> SpecError:
        return SpecError(*self.problems, Problem(self.name, *_place(event), message))


@dataclass(slots=True)
class _Flattener:
    """Nodes to plain data and places, each alias spelled out, within the budget."""

    name: str
    values: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)

    def tree(self, root: _Node) -> Tree:
        return Tree(self._plain(root, ()), self.values, self.keys)

    def _plain(self, node: _Node, path: Path) -> object:
        self.values[path] = node.at
        if len(self.values) > MAX_NODES:
            problem = f"cannot expand the aliases: they come to more than {MAX_NODES} values"
            raise SpecError(Problem(self.name, *node.at, problem))
        if len(path) > MAX_DEPTH:
            problem = f"cannot expand the aliases: they nest deeper than {MAX_DEPTH} levels"
            raise SpecError(Problem(self.name, *node.at, problem))
        if isinstance(node.value, list):
            return [self._plain(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node.value, dict):
            return {text: self._entry(key, item, (*path, text)) for text, (key, item) in node.value.items()}
        return node.value

    def _entry(self, key: _Key, node: _Node, path: Path) -> object:
        self.keys[path] = key.at
        return self._plain(node, path)
