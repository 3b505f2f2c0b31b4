"""Types of single settings: what msgspec checks, in the words that a message completes "valid: ..." with."""

import re
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from domain.secret import Secret
from entrypoints.config.reading.schema import Form, Refused

DAY_S = 86_400
_UNITS = {
    "B": 1,
    **{"kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9},
    **{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30},
}


def _size(text: str) -> int | str:
    """The bytes that a text such as "32MiB" means; other texts are left to msgspec."""
    match = re.fullmatch(r"([0-9]{1,12}) ?([A-Za-z]{1,3})", text)
    if match is None:
        return text
    if match[2] not in _UNITS:
        raise Refused(fix=f"write one of the units {', '.join(_UNITS)}")
    return int(match[1]) * _UNITS[match[2]]


def _port(text: str) -> str:
    """Refuses what Kubernetes and docker make of a service's name."""
    link = re.fullmatch(r"(?:tcp|udp)://[^\s/]+:([0-9]{1,5})", text)
    if link is None:
        return text
    raise Refused(
        "this is what Kubernetes and docker's links set for a service of that name",
        f"write {link[1]} here, another variable's name, or enableServiceLinks: false in the pod",
    )


TIME = Form(is_seconds=True)
Seconds = Annotated[float, Meta(gt=0, le=DAY_S, description="a number of seconds"), TIME]
FewSeconds = Annotated[float, Meta(gt=0, le=10, description="a number of seconds"), TIME]
SecondsOrZero = Annotated[float, Meta(ge=0, le=DAY_S, description="a number of seconds"), TIME]
Amount = Annotated[float, Meta(ge=0, le=1e9)]
MOST_OUTPUT_RATIO = 100
OutputRatio = Annotated[float, Meta(ge=1, le=MOST_OUTPUT_RATIO)]
LongSeconds = Annotated[float, Meta(gt=0, le=3650 * DAY_S, description="a number of seconds"), TIME]
SIZE = Form(_size, number_texts=rf"[0-9]{{1,12}} ?({'|'.join(_UNITS)})")
A_SIZE = 'a text such as "32MiB" or a whole number of bytes'
Port = Annotated[int, Meta(ge=1, le=65_535), Form(_port)]
Name = Annotated[
    str,
    Meta(
        pattern="^[!-~]([ -~]{0,198}[!-~])?$",
        description="a name of 1 to 200 printable ASCII characters, without a space at its ends",
    ),
]
Id = Annotated[str, Meta(pattern="^[A-Za-z0-9._-]{1,64}$", description="1 to 64 letters, digits, . _ or -")]
UserName = Annotated[str, Meta(description="a user name that is not empty")]
PemFile = Annotated[Path, Meta(description="the path of a PEM file with certificates, seen from this file")]
ApiKey = Annotated[
    Secret,
    Meta(description="a text of printable ASCII characters without spaces, best as os.environ/NAME or file:/path"),
    Form(pattern=r"[\x21-\x7e]+", is_key=True),
]
Password = Annotated[
    Secret, Meta(description="a text that is not empty, best as os.environ/NAME or file:/path"), Form(is_free=True)
]
HeaderValue = Annotated[
    Secret,
    Meta(description="a text of printable ASCII characters"),
    Form(pattern=r"[!-~]([ -~\t]*[!-~])?", is_free=True),
]
QueryName = Annotated[str, Meta(pattern="^[!-~]+$")]
QueryValue = Annotated[
    str, Meta(description="a text, a number, a date, true or false"), Form(is_free=True, takes_any=True)
]
