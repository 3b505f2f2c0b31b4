"""How one value of the configuration is read, and what is valid for it.

A setting's rule stands in its annotation (`settings.py`), so that name, type, default, rule and
explanation are in one place. Rules read scalars; `config_shapes.py` has what is built from them.
"""

import math
import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from domain.secret import Secret
from entrypoints.config.reading.document import Scalar, number_in

_SIZE = re.compile(r"([0-9]{1,12}) ?(B|kB|KB|KiB|MB|MiB|GB|GiB)")
_UNITS = {
    "B": 1,
    **{"kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9},
    **{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30},
}
_SERVICE_LINK = re.compile(r"(?:tcp|udp)://[^\s/]+:([0-9]{1,5})")
_TRUE = frozenset(("true", "yes", "on", "1"))
_FALSE = frozenset(("false", "no", "off", "0"))


class Refused(Exception):
    """The value is not valid. `str(error)` is what to do about it, without the value; often empty."""


class Rule(Struct, frozen=True):
    """Reads one scalar. `valid` completes "valid: ..."; values of a `secret` rule are never shown."""

    @property
    @abstractmethod
    def valid(self) -> str:
        """What may stand there."""

    @property
    def secret(self) -> bool:
        return False

    @abstractmethod
    def read(self, given: Scalar) -> Any:
        """The setting's value. Raises `Refused`."""


class Whole(Rule, frozen=True):
    """A whole number from `low` to `high`."""

    low: int
    high: int
    hint: str = ""  # what to write instead of a fraction

    @property
    def valid(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def read(self, given: Scalar) -> int:
        number = _number(given)
        if not isinstance(number, int):
            raise Refused(self.hint)
        if not self.low <= number <= self.high:
            raise Refused
        return number


class Number(Rule, frozen=True):
    """A finite number; `low` itself is valid only with `from_low`."""

    low: float
    high: float
    unit: str = ""
    from_low: bool = False
    below_high: bool = False

    @property
    def valid(self) -> str:
        lower = f"from {self.low:.12g}" if self.from_low else f"above {self.low:.12g}"
        upper = f"below {self.high:.12g}" if self.below_high else f"up to {self.high:.12g}"
        return f"a number{self.unit and ' of ' + self.unit} {lower} {upper}"

    def read(self, given: Scalar) -> float:
        number = float(_number(given))
        is_low = number > self.low or (self.from_low and number == self.low)
        is_high = number < self.high or (not self.below_high and number == self.high)
        if not math.isfinite(number) or not is_low or not is_high:
            raise Refused
        return number


class Switch(Rule, frozen=True):
    """true or false; a variable may also say yes, no, on, off, 1 or 0."""

    @property
    def valid(self) -> str:
        return "true or false"

    def read(self, given: Scalar) -> bool:
        if isinstance(given.value, bool):
            return given.value
        word = given.text.lower()
        if given.variable is not None and word in _TRUE | _FALSE:
            return word in _TRUE
        if isinstance(given.value, str) and word in ("true", "false"):
            raise Refused(f"write {word} without quotes")
        raise Refused


class Text(Rule, frozen=True):
    """A text that `pattern` matches as a whole; `what` describes it."""

    what: str
    pattern: str = r"[^\x00-\x1f\x7f]+"

    @property
    def valid(self) -> str:
        return self.what

    def read(self, given: Scalar) -> Any:
        return self.text_of(given)

    def text_of(self, given: Scalar) -> str:
        """The text, if it is one and matches."""
        if not isinstance(given.value, str):
            raise Refused("" if given.value is None else "write it in quotes")
        if not re.fullmatch(self.pattern, given.value):
            raise Refused
        return given.value


class Hidden(Text, frozen=True):
    """A text that is never shown; read as a `Secret`."""

    is_key: bool = False
    """An API key: what no key looks like is refused."""
    is_free: bool = False
    """A password or a header: hardly any text is certainly wrong."""

    @property
    def secret(self) -> bool:
        return True

    def read(self, given: Scalar) -> Secret:
        return Secret(self.text_of(given))


class Choice(Rule, frozen=True):
    """One of `names`, in any case; `synonyms` are read as what they mean (lower case)."""

    names: tuple[str, ...]
    synonyms: Mapping[str, str] = {}

    @property
    def valid(self) -> str:
        return " or ".join(self.names)

    def read(self, given: Scalar) -> str:
        word = given.text.lower() if isinstance(given.value, str) else ""
        word = self.synonyms.get(word, word)
        if word not in self.names:
            raise Refused
        return word


class ChoiceWithSwitch(Choice, frozen=True):
    """Among the names are `on` and `off`, for which YAML reads true and false."""

    def read(self, given: Scalar) -> str:
        if isinstance(given.value, bool):
            return "on" if given.value else "off"
        return super().read(given)


class Size(Rule, frozen=True):
    """A number of bytes, plain or as "32MiB"; read as bytes."""

    low: int
    high: int

    @property
    def valid(self) -> str:
        return f'bytes from {self.low} to {self.high}, as a whole number or as a text such as "32MiB"'

    def read(self, given: Scalar) -> int:
        size = self._bytes(given)
        if not self.low <= size <= self.high:
            raise Refused
        return size

    def _bytes(self, given: Scalar) -> int:
        if isinstance(given.value, str) and not number_in(given.text):
            match = _SIZE.fullmatch(given.text)
            if match is None:
                raise Refused
            return int(match[1]) * _UNITS[match[2]]
        number = _number(given)
        if not isinstance(number, int):
            raise Refused
        return number


class Workers(Whole, frozen=True):
    """A number of processes, or auto."""

    @property
    def valid(self) -> str:
        return f"a whole number from {self.low} to {self.high}, or auto"

    def read(self, given: Scalar) -> Any:
        return "auto" if given.text.lower() == "auto" else super().read(given)


class Port(Whole, frozen=True):
    """A TCP port."""

    def read(self, given: Scalar) -> int:
        link = _SERVICE_LINK.fullmatch(given.text)
        if link is None:
            return super().read(given)
        where = f"{given.variable} is set by" if given.variable is not None else "this is what is set by"
        raise Refused(
            f"{where} Kubernetes and docker's links for a service of that name; write {link[1]} here, another "
            "variable's name, or enableServiceLinks: false in the pod"
        )


class Converted(Rule, frozen=True):
    """A text, or a number, date or switch taken as the text that stands in the file: 2024-10-21."""

    @property
    def valid(self) -> str:
        return "a text, a number, a date, true or false"

    def read(self, given: Scalar) -> str:
        if given.value is None or not re.fullmatch(r"[^\x00-\x1f\x7f]+", given.text):
            raise Refused
        if isinstance(given.value, bool):
            return "true" if given.value else "false"
        return given.text


def _number(given: Scalar) -> int | float:
    """The number that `given` is, or that its variable holds."""
    if given.variable is not None:
        number = number_in(given.text)
        if number is None:
            raise Refused
        return number
    if isinstance(given.value, int | float) and not isinstance(given.value, bool):
        return given.value
    if isinstance(given.value, str):
        bare = re.match(r"[-+]?[0-9.]{1,12}", given.value)
        if bare is not None and number_in(bare.group()) is not None:
            rest = given.value[bare.end() :]
            if not rest:
                raise Refused(f'write {bare.group()}, not "{bare.group()}"')
            if rest.strip().isalpha():
                raise Refused("write the number without a unit")
    raise Refused


DAY_S = 86_400
SECONDS = Number(0, DAY_S, "seconds")
SECONDS_OR_OFF = Number(0, DAY_S, "seconds", from_low=True)
LONG_SECONDS = Number(0, 3650 * DAY_S, "seconds")
PORT = Port(1, 65_535)
NAME = Text(
    "a name of 1 to 200 printable ASCII characters, without a space at its ends",
    r"[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?",
)
KEY = Hidden(
    "a text of printable ASCII characters without spaces, best as os.environ/NAME", r"[\x21-\x7e]+", is_key=True
)
PASSWORD = Hidden("a text that is not empty, best as os.environ/NAME", is_free=True)
