"""What the source says about the fields of a class: the texts that stand below them, which Python itself forgets."""

import ast
import inspect
import re
from collections.abc import Mapping
from functools import cache
from itertools import pairwise

_LINK = r"\[([^]]*)\]\([^)]*\)"


@cache
def field_docs(owner: type) -> Mapping[str, str]:
    """The text below each field of `owner` that has one, as `for_users` puts it."""
    (definition,) = ast.parse(inspect.getsource(owner)).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    return {
        field.target.id: for_users(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def for_users(text: str) -> str:
    """A docstring in the words of people who write the file: None is what is left out; loading is not named."""
    line = re.sub(r"\s+", " ", text).strip()
    line = re.sub(r" ?\bAfter loading [^.]*\.", "", line)
    line = re.sub(r"(^|[.] )None\b", r"\1Left out", line)
    return re.sub(r"\bNone\b", "left out", line)


def plain(markdown: str) -> str:
    """Without Markdown. A link that only says where more is goes with its clause; of others the words stay."""
    told = re.sub(rf": {_LINK}| \({_LINK}\)|(?<=[.]) {_LINK}[.]", "", markdown)
    return re.sub(_LINK, r"\1", told).replace("`", "").replace("**", "")
