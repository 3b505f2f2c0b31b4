"""router_settings, litellm_settings and general_settings become our general_settings."""

from typing import Any

from entrypoints.convert.counterparts import GENERAL, LITELLM, ROUTER, UNKNOWN
from entrypoints.convert.literals import Literals
from entrypoints.convert.model_list.endpoints import first_byte_timeout
from entrypoints.convert.notes import Section, is_variable
from entrypoints.convert.source import Node

_STRATEGY = (
    "is another way to choose: here weights share the requests, an endpoint is left before its rate limit is used up, "
    "and one that fails rests"
)


class Settings:
    """The three sections of LiteLLM that say what holds for the whole proxy, and what is made of them."""

    def __init__(self, router: Section, litellm: Section, general: Section, literals: Literals) -> None:
        self.result: dict[str, Any] = {}
        self._router = router
        self._litellm = litellm
        self._general = general
        self._literals = literals

    def take(self, key: str) -> Node | None:
        """What router_settings says, else litellm_settings, as LiteLLM has it."""
        first, second = self._router.take(key), self._litellm.take(key)
        if first is not None and second is not None:
            self._litellm.notes.left(second, "router_settings says it too, and that counts")
        return second if first is None else first

    def convert(self) -> None:
        """Carries what can be carried but for the cache, and tells all else."""
        self._retries()
        self._timeouts()
        self._redis()
        self._who_may_call()
        self._logging()
        if (size := self._general.number("max_request_size_mb", 0.001, 1024)) is not None:
            self.result["max_body_bytes"] = size[1] if is_variable(size[1]) else f"{max(1, round(float(size[1])))}MiB"
            if is_variable(size[1]):
                self._general.notes.differs(size[0], "that variable has to have a unit here, such as 32MiB")

    def leave_rest(self) -> None:
        self._router.leave_rest(ROUTER, UNKNOWN)
        self._litellm.leave_rest(LITELLM, UNKNOWN)
        self._general.leave_rest(GENERAL, UNKNOWN)

    def _retries(self) -> None:
        chosen = self.take("routing_strategy")
        if chosen is not None and chosen.value != "simple-shuffle":
            self._router.notes.left(chosen, _STRATEGY)
        self._carry("num_retries", 0, 20, whole=True)
        for section in self._by_rank("allowed_fails"):
            if (found := section.number("allowed_fails", 0, 999, whole=True)) is not None:
                node, fails = found
                self.result["allowed_fails"] = fails if is_variable(fails) else int(fails) + 1
                section.notes.differs(
                    node,
                    "LiteLLM lets an endpoint rest after more failures than that in a minute, this proxy after as many "
                    "as it says in a row; so it is one more here",
                )
        self._carry("cooldown_time", 0.001, 86_400)

    def _carry(self, key: str, low: float, high: float, *, whole: bool = False) -> None:
        for section in self._by_rank(key):
            if (found := section.number(key, low, high, whole=whole)) is not None:
                self.result[key] = found[1]

    def _by_rank(self, key: str) -> tuple[Section, ...]:
        """Where the key is looked for, what counts last; what does not count is told."""
        if self._router.has(key):
            self._litellm.leave(key, "router_settings says it too, and that counts")
        return self._litellm, self._router

    def _timeouts(self) -> None:
        if not self._router.has("timeout"):
            self._router.rename(self._litellm, "request_timeout", "timeout")
        self.result |= first_byte_timeout(self._router)

    def _redis(self) -> None:
        router, result = self._router, self.result
        if (url := router.secret("redis_url")) is not None:
            result["redis_url"] = self._literals.put(url, "REDIS_URL")
            for key in ("redis_host", "redis_port", "redis_password", "redis_username"):
                router.leave(key, "redis_url says it already")
            return
        if (host := router.text("redis_host")) is None:
            for key in ("redis_port", "redis_password", "redis_username"):
                router.leave(key, "there is no redis_host; LiteLLM would look into REDIS_HOST, so write it by hand")
            return
        result["redis_host"] = host
        if (port := router.number("redis_port", 1, 65_535, whole=True)) is not None:
            result["redis_port"] = port[1]
        if (name := router.text("redis_username")) is not None:
            result["redis_username"] = name
        if (password := router.secret("redis_password")) is not None:
            result["redis_password"] = self._literals.put(password, "REDIS_PASSWORD")

    def _who_may_call(self) -> None:
        if (key := self._general.secret("master_key")) is not None:
            self.result["api_keys"] = [self._literals.put(key, "PROXY_KEY")]
            self._general.notes.differs(
                key, "is one of api_keys, no more: there are no virtual keys to make with it, and no administration"
            )

    def _logging(self) -> None:
        if (json := self._litellm.flag("json_logs")) is not None:
            self.result["log_format"] = "text" if json[1] is False else "json"
        if (verbose := self._litellm.flag("set_verbose")) is not None and verbose[1] is not False:
            self.result["log_level"] = "debug"
        self._router.leave("set_verbose", "write log_level: debug in general_settings")
