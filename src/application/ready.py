"""What is here already, for whoever may have to wait: handing it over takes neither a coroutine nor the loop."""

from collections.abc import Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Ready(Generic[T]):
    """An awaitable whose `value` is there. Whoever knows that it is one need not await it."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, None, T]:
        yield from ()
        return self.value
