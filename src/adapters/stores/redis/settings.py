"""Where a Redis is: one server, a master found through Sentinels, or a cluster; and how that is written as a URL.

The forms of redis-py and redis-cli for one server (redis://, rediss://, unix://); for the others those of Lettuce and
go-redis: redis+sentinel://host,host/service/db and redis+cluster://host,host.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from msgspec import Struct

from domain.secret import Secret

Kind = Literal["single", "sentinel", "cluster"]

_SCHEMES: Mapping[str, tuple[Kind, bool]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_PORTS: Mapping[Kind, int] = {"single": 6379, "sentinel": 26379, "cluster": 6379}
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\#]|[^\x00-\x7f]")
_NODE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@/?]+)(?::([0-9]{1,5}))?")
_DB = re.compile(r"[0-9]{1,4}")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class RedisSettings(Struct, frozen=True):
    """The address of a Redis, and the credentials for it."""

    kind: Kind = "single"
    nodes: tuple[tuple[str, int], ...] = ()  # of the server, the Sentinels or some nodes; empty with `unix_path`
    unix_path: str | None = None  # the path of its socket; None = TCP
    db: int = 0
    username: str | None = None  # the ACL user; None = Redis' default user
    password: Secret | None = None
    ssl: bool = False  # TLS to every server and Sentinel, verified
    ca_bundle: Path | None = None  # certificates to trust besides the system's; None = the system's alone
    service: str = ""  # the name by which the Sentinels know the master
    sentinel_username: str | None = None  # for the Sentinels themselves; None = they ask for none
    sentinel_password: Secret | None = None

    @classmethod
    def of_url(cls, url: Secret, ca_bundle: Path | None = None) -> "RedisSettings":
        """What a URL says. Raises `ValueError`, whose text says what is wrong without showing any of the URL."""
        text = url.reveal()
        if _UNSAFE.search(text):
            raise ValueError("it holds a space, a backslash, a # or a character that is not ASCII; write those as %XX")
        scheme, _, rest = text.partition("://")
        rest, _, query = rest.partition("?")
        if "@" in rest.partition("/")[2] or "@" in query:
            # The password may end there, and what was read as host and path be parts of it.
            raise ValueError(
                "an @ comes after a / or a ?; in a password write those as %2F and %3F, elsewhere @ as %40"
            )
        if scheme == "unix":
            return _unix(rest, _fields(query, ("db",)), ca_bundle)
        # Some write redis-sentinel:// and redis-cluster://.
        kind, is_tls = _SCHEMES.get(scheme.replace("-", "+"), (None, False))
        if kind is None or "://" not in text:
            raise ValueError("it does not begin with redis://, rediss:// or another of the valid schemes")
        authority, _, path = rest.partition("/")
        username, password, hosts = _credentials(authority)
        nodes = tuple(_node(node, _PORTS[kind]) for node in hosts.split(","))
        if kind == "single" and len(nodes) > 1:
            raise ValueError("several hosts are a redis+sentinel:// or a redis+cluster://")
        names = {"single": ("db",), "sentinel": ("db", "sentinel_username", "sentinel_password"), "cluster": ()}[kind]
        fields = _fields(query, names)
        service, db = _service_and_db(kind, path, fields)
        secret = fields.get("sentinel_password")
        return cls(
            kind=kind,
            nodes=nodes,
            db=db,
            username=username,
            password=password,
            ssl=is_tls,
            ca_bundle=ca_bundle,
            service=service,
            sentinel_username=fields.get("sentinel_username"),
            sentinel_password=None if secret is None else Secret(secret),
        )

    @property
    def described(self) -> str:
        """Where it is, as a URL without user and password: for people."""
        if self.unix_path is not None:
            return f"unix://{self.unix_path}?db={self.db}"
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.nodes)
        scheme = ("rediss" if self.ssl else "redis") + ("" if self.kind == "single" else f"+{self.kind}")
        end = {"single": f"/{self.db}", "sentinel": f"/{self.service}/{self.db}", "cluster": ""}[self.kind]
        return f"{scheme}://{hosts}{end}"


def _unix(rest: str, fields: Mapping[str, str], ca_bundle: Path | None) -> RedisSettings:
    authority, slash, path = rest.partition("/")
    username, password, host = _credentials(authority) if "@" in authority else (None, None, authority)
    if host or not slash or not path:
        raise ValueError("the path of the socket is missing: unix:///path")
    return RedisSettings(
        unix_path=_decoded(f"/{path}"),
        db=_db(fields.get("db", "0")),
        username=username,
        password=password,
        ca_bundle=ca_bundle,
    )


def _credentials(authority: str) -> tuple[str | None, Secret | None, str]:
    login, at, hosts = authority.rpartition("@")
    if not at:
        return None, None, authority
    username, colon, password = login.partition(":")
    if not username and not password:
        raise ValueError("there is an @, but neither user nor password before it")
    return _decoded(username) or None, Secret(_decoded(password)) if colon and password else None, hosts


def _node(text: str, default_port: int) -> tuple[str, int]:
    match = _NODE.fullmatch(text)
    if match is None:
        raise ValueError("a host is missing, or its port is no number")
    port = int(match[2]) if match[2] else default_port
    if not 1 <= port <= 65535:
        raise ValueError("the port is not from 1 to 65535")
    return match[1].strip("[]"), port


def _service_and_db(kind: Kind, path: str, fields: Mapping[str, str]) -> tuple[str, int]:
    service, number = "", path
    if kind == "sentinel":
        service, _, number = path.partition("/")
        if not service:
            raise ValueError("the name of the master is missing: redis+sentinel://host:26379/name")
    if kind == "cluster" and number not in ("", "0"):
        raise ValueError("a cluster has no databases; leave out what comes after the hosts")
    if number and "db" in fields:
        raise ValueError("the database number is given twice")
    return _decoded(service), _db(fields.get("db", number or "0"))


def _db(text: str) -> int:
    if not _DB.fullmatch(text):
        raise ValueError("the database is not a number from 0 to 9999")
    return int(text)


def _fields(query: str, names: tuple[str, ...]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        if name not in names:
            valid = f"valid: {', '.join(names)}" if names else "this form has none"
            raise ValueError(f"it has an unknown query parameter; {valid}")
        if name in fields or not value:
            raise ValueError(f"the query parameter {name} is empty or given twice")
        fields[name] = _decoded(value)
    return fields


def _decoded(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise ValueError("a % is not followed by two hexadecimal digits; write % itself as %25")
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        # Not chained: its text would show a part of the URL.
        raise ValueError("a %XX is no UTF-8") from None
    if re.search(r"[\x00-\x1f\x7f]", decoded):
        raise ValueError("it holds a control character")
    return decoded
