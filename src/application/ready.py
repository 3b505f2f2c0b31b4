"""What is here already, for whoever may have to wait: handing it over takes neither a coroutine nor the loop."""

from collections.abc import Generator
from typing import Any, Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Ready(Struct, Generic[T], frozen=True):
    """An awaitable whose `value` is there. Whoever knows that it is one need not await it."""

    value: T

    def __await__(self) -> Generator[Any, None, T]:
        yield from ()
        return self.value
