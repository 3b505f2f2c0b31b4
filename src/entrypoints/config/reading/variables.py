"""`os.environ/NAME`, and what else was meant to be replaced by a value: foreign ways to write an environment variable,
quotes that nobody took off, placeholders.

What is certainly wrong is refused. A password or a header may hold any text, so that some of it is only doubtful there.
"""

import re
from collections.abc import Mapping

from msgspec.structs import replace

from entrypoints.config.reading.document import Node
from entrypoints.config.reading.schema import Kind, Refused
from entrypoints.config.reading.shown import may_be_credential

_PREFIX = "os.environ/"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USUAL_NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")  # as long and as full of digits as a key, yet none
# Shells and docker compose, Azure DevOps; GitHub Actions, Helm, Jinja; Kubernetes; ERB; Python; Symfony; Caddy.
_BRACED = re.compile(
    r"[$#]\{[^}]*\}#?|\$?\{\{[^{}]*\}\}|\$\([^)]*\)|<%.*%>|(?i:os\.(?:env|environ|getenv))\b.*"
    r"|%env\(.*\)%|\{(?:env[:.]|\$)[A-Za-z_]\w*\}",
    re.DOTALL,
)
# Shells and PowerShell; Windows; Portkey, BAML and other gateways; Python, JavaScript, Ruby; YAML tags in quotes.
_NAMED = re.compile(
    r"\$(?:env:)?(?P<a>[A-Z]\w*)|%(?P<b>[A-Z]\w*)%|\{(?-i:(?P<d>[A-Z][A-Z0-9_]*))\}"
    r"|(?:env|environ|secrets?|vault)[./:](?P<c>[A-Z]\w*)"
    r"|(?:environ|getenv|env)[\[(].*|environ\.get\(.*|(?:process|import\.meta)\.env\b.*|!(?:env|secret|vault)\b.*",
    re.IGNORECASE | re.DOTALL,
)
# Where secrets are kept: 1Password, Vault, files and other URLs, which no key is; AWS, Azure App Service, docker.
_KEPT = re.compile(
    r"[a-z][a-z0-9+.-]*://.*|vault:[^:]*/.*|arn:aws[a-z-]*:.*|@Microsoft\.KeyVault\(.*|/run/secrets/.*|file:.*"
)
_BRACED_INSIDE = re.compile(r"\$\{[A-Za-z_][^{}]*\}|\$?\{\{[^{}]*\}\}|\$\([A-Z_]\w+\)")
_NAMED_INSIDE = re.compile(r"(?<![A-Za-z0-9])\$(?P<a>[A-Z][A-Z0-9_]{2,})\b|%(?P<b>[A-Z][A-Z0-9_]{2,})%")
_SCHEME_WORD = re.compile(r"(?:authorization: *)?(?:bearer|basic|token|api-?key) +", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"(export )?[A-Z][A-Z0-9]*_[A-Z0-9_]*=[^=]")  # a line of a .env file
_PLACEHOLDER = re.compile(r"<.*>|.*(?:\.\.\.|…|\*\*\*).*|\[[A-Za-z _-]+\]|bearer|basic", re.IGNORECASE)
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’"}
_PLACEHOLDER_WORDS = re.compile(
    r"(?:sk-)?(?:your|insert|replace|paste|enter|put)[-_ ].*|(?:sk-)?x{3,}|change[-_]?(?:me|it)"
    r"|.*(?:key|token)[-_]here",
    re.IGNORECASE,
)
_NO_NAMES = ("ENV", "ENVIRON", "OS", "BEARER")
_MAX_SEARCHED = 4096  # characters; Entra tokens are long, references are not


def is_empty(given: Node, environ: Mapping[str, str]) -> bool:
    """Whether `given` is a variable that is set, but to nothing."""
    text = str(given.value)
    return text.startswith(_PREFIX) and not environ.get(text.removeprefix(_PREFIX), "not set").strip()


def resolve(given: Node, environ: Mapping[str, str]) -> Node:
    """`given`, or the variable's value where `given` is `os.environ/NAME`. Raises `Refused` when the variable is not
    set, or empty, or the reference is malformed.

    White space around the value is dropped: a key read from a mounted file often ends in a newline.
    """
    if not isinstance(given.value, str) or not given.value.startswith(_PREFIX):
        return given
    name = given.value.removeprefix(_PREFIX)
    is_doubtful = name not in environ and not _USUAL_NAME.fullmatch(name) and may_be_credential(name)
    if not _NAME.fullmatch(name) or is_doubtful:
        fix = "write the name of a variable, not its value"
        raise Refused(problem="os.environ/ is not followed by a variable's name", valid="os.environ/NAME", fix=fix)
    value = environ.get(name, "").strip()
    if not value:
        state = "empty, which counts as not set" if name in environ else "not set"
        fix = f"export {name}=... before starting, or remove it here or write another value"
        raise Refused(problem=f"the environment variable {name} is {state}", fix=fix)
    return replace(given, value=value, text=value, variable=name)


def refuse_lookalike(given: Node, kind: Kind, environ: Mapping[str, str]) -> str | None:
    """Raises `Refused` for what cannot be meant; returns a warning about what is doubtful. Looked up already."""
    text = given.text
    if not isinstance(given.value, str) or not 2 <= len(text) <= _MAX_SEARCHED:
        return None
    scheme = _SCHEME_WORD.match(text) if kind.is_secret else None
    is_certain = _is_reference(text[scheme.end() :] if scheme else text, kind, environ, is_alone=scheme is None)
    if is_certain or _PREFIX in text:
        raise _reference(given, is_bearer=scheme is not None)
    if _QUOTES.get(text[0]) == text[-1]:
        refused = _quoted(given)
        if kind.form.is_free and len(text) > 2:
            return f"{refused.problem}: {refused.fix}"
        raise refused
    if is_certain is False:
        return "looks like a variable that nobody replaces, and is used as it stands; a variable is os.environ/NAME"
    return _about_a_key(text, scheme) if kind.form.is_key else None


def _is_reference(text: str, kind: Kind, environ: Mapping[str, str], *, is_alone: bool) -> bool | None:
    """True for a text that certainly refers to a variable, False where it is doubtful, None where it does not."""
    is_free = kind.is_secret and kind.form.is_free and is_alone
    if _BRACED.fullmatch(text) or (kind.form.is_key and _KEPT.fullmatch(text)):
        return True
    if _BRACED_INSIDE.search(text):
        return not is_free
    if found := _NAMED.fullmatch(text):
        name = found["a"] or found["b"] or found["c"] or found["d"]
        is_known = name is None or name in environ
        # env/PROD may be a model, and $ecret a key that somebody made up; neither is a variable's usual name.
        is_usual = name is not None and name.isupper() and (kind.is_secret or not found["c"])
        return not is_free and (is_known or is_usual)
    if found := _NAMED_INSIDE.search(text):
        return not is_free and (not kind.is_secret or (found["a"] or found["b"]) in environ)
    return None


def _reference(given: Node, *, is_bearer: bool) -> Refused:
    if given.source:
        problem = f"{given.source} holds a reference to another one, which nobody replaced"
        fix = f"{given.mend('the value itself' if given.file else 'with the value itself')}, or name another"
        return Refused(problem=problem, fix=f"{fix} variable as os.environ/NAME")
    if given.text.startswith("/"):
        return Refused(problem="is the name of a file", valid="file:/path", fix=f"write file:{given.text[:200]}")
    names = re.findall(r"\b[A-Z][A-Z0-9_]*\b", given.text)
    name = next((name for name in names if name not in _NO_NAMES and not may_be_credential(name)), "NAME")
    bearer = " as api_key, which is sent as Bearer" if is_bearer else ""
    problem = "an environment variable is written as the whole value, without anything before or after it"
    return Refused(problem=problem, valid="os.environ/NAME", fix=f"write os.environ/{name}{bearer}")


def _quoted(given: Node) -> Refused:
    if not given.source:
        return Refused(problem="has quotes inside its quotes", fix="write one pair of quotes, which YAML takes off")
    if given.file is not None:
        problem = f"the file {given.file} has quotes around the secret, which would belong to it"
        return Refused(problem=problem, fix=given.mend("the secret without quotes"))
    problem = (
        f"the environment variable {given.variable} has quotes around its value, which belong to it as they would with "
        "docker's --env-file"
    )
    return Refused(problem=problem, fix=f"export {given.variable}=... without quotes")


def _about_a_key(text: str, scheme: re.Match[str] | None) -> str | None:
    alone = "write the key alone"
    if scheme is not None and scheme.end() < len(text):
        problem = "begins with the name of a scheme"
        raise Refused(problem=problem, fix=f"{alone}, as the proxy adds Bearer or sends it in api-key")
    if _ASSIGNMENT.match(text):
        raise Refused(problem="begins with the name of a variable", fix=f"{alone}, without NAME= before it")
    if text[0] in _QUOTES or text[-1] in _QUOTES.values():
        raise Refused(problem="begins or ends with a quote that is no part of a key", fix=alone)
    if _PLACEHOLDER.fullmatch(text):
        problem = "is a placeholder or a key that was masked"
        raise Refused(problem=problem, fix="write the key itself, best as os.environ/NAME")
    if _PLACEHOLDER_WORDS.fullmatch(text):
        return "looks like a placeholder; the key itself belongs here, best as os.environ/NAME"
    return None
