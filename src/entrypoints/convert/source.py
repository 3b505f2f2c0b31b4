"""A configuration of LiteLLM as it was written: each value with its file, its line and its path."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

VARIABLE = "os.environ/"
_MOST_VALUES = 50_000
_TYPED = tuple(f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "null"))


class Node(Struct, frozen=True, eq=False):
    path: str  # such as `model_list[0].litellm_params.api_key`
    file: str
    line: int
    value: Any
    """A text, number, bool or None; or a tuple of nodes; or a dict of nodes. Dates are texts, as they were written."""

    @property
    def is_variable(self) -> bool:
        return isinstance(self.value, str) and self.value.startswith(VARIABLE)

    def texts(self) -> list[str]:
        """The texts of a list, or the one text there is; what is neither is left out."""
        items = self.value if isinstance(self.value, tuple) else (self,)
        return [each.value for each in items if isinstance(each.value, str)]


class SourceError(Exception):
    """The file cannot be read. `str(error)` says where and why."""


class Source(Struct, frozen=True):
    root: dict[str, Node]
    replaced: list[tuple[Node, str]]  # what was written and does not count, as LiteLLM reads it, and why


def read_source(path: Path) -> Source:
    """Reads the file and the ones that its `include` names, and merges them as LiteLLM does: lists are added, anything
    else of an included file takes the place of what was there. Raises `SourceError`."""
    replaced: list[tuple[Node, str]] = []
    root = _read_file(path, path.name, replaced)
    names = root["include"].texts() if "include" in root else []
    done = {path.resolve()}
    while names:
        name = names.pop(0)
        if (file := path.parent / name).resolve() in done:
            continue
        done.add(file.resolve())
        for key, node in _read_file(file, name, replaced).items():
            if key == "include":
                names += node.texts()
            present = root.get(key)
            if present is not None and isinstance(present.value, tuple) and isinstance(node.value, tuple):
                root[key] = Node(present.path, present.file, present.line, present.value + node.value)
                continue
            if present is not None:
                replaced.append((present, f"{name} is included and says it too, which is what counts for LiteLLM"))
            root[key] = node
    return Source(root, replaced)


def _read_file(path: Path, name: str, replaced: list[tuple[Node, str]]) -> dict[str, Node]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        loader = yaml.SafeLoader(text)
        document = loader.get_single_node()
        root = _Tree(loader, name, replaced).node(document, "") if document is not None else None
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # PyYAML quotes the line, in which a key may stand.
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark is not None else str(path)
        raise SourceError(
            f"{where}: not valid YAML: {getattr(error, 'problem', None) or type(error).__name__}"
        ) from error
    if root is None or not isinstance(root.value, dict):
        raise SourceError(f"{path}: not a mapping with keys such as model_list")
    return root.value


class _Tree:
    def __init__(self, loader: yaml.SafeLoader, file: str, replaced: list[tuple[Node, str]]) -> None:
        self._loader = loader
        self._file = file
        self._replaced = replaced
        self._count = 0
        self._open: set[int] = set()
        self._merged: dict[int, int] = {}

    def node(self, given: yaml.Node, path: str) -> Node:
        self._count += 1
        if self._count > _MOST_VALUES or id(given) in self._open:
            raise SourceError(f"{self._file}:{given.start_mark.line + 1}: its anchors make it too large")
        self._open.add(id(given))
        value: Any
        if isinstance(given, yaml.MappingNode):
            value = self._mapping(given, path)
        elif isinstance(given, yaml.SequenceNode):
            value = tuple(self.node(each, f"{path}[{number}]") for number, each in enumerate(given.value))
        else:
            value = self._loader.construct_object(given) if given.tag in _TYPED else given.value
        self._open.discard(id(given))
        return Node(path, self._file, given.start_mark.line + 1, value)

    def _mapping(self, given: yaml.MappingNode, path: str) -> dict[str, Node]:
        if id(given) not in self._merged:  # where anchors lead here again, it has been done
            own = sum(key.tag != "tag:yaml.org,2002:merge" for key, _ in given.value)
            self._loader.flatten_mapping(given)
            self._merged[id(given)] = len(given.value) - own
        found: dict[str, Node] = {}
        own_names: set[str] = set()
        for number, (key, value) in enumerate(given.value):
            if not isinstance(key, yaml.ScalarNode):
                raise SourceError(f"{self._file}:{key.start_mark.line + 1}: a key that is a list or a mapping")
            name = str(key.value)
            node = self.node(value, f"{path}.{name}" if path else name)
            if name in own_names:
                self._replaced.append((found[name], "stands twice; the last one counts"))
            if number >= self._merged[id(given)]:
                own_names.add(name)
            found[name] = Node(node.path, node.file, key.start_mark.line + 1, node.value)
        return found


def variables(node: Node) -> Iterator[str]:
    if node.is_variable:
        yield node.value.removeprefix(VARIABLE)
    items = node.value.values() if isinstance(node.value, dict) else node.value
    for each in items if isinstance(node.value, dict | tuple) else ():
        yield from variables(each)
