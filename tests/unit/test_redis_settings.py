"""A password that was not written with its escapes never ends up in what is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.stores.redis.settings import RedisSettings
from domain.secret import Secret

CANARY = "hunter2"
SCHEMES = ["redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster"]


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:1/{CANARY}@h:6379/0",
        f"redis://u:1?{CANARY}@h:6379/0",
        f"redis://u:1?db={CANARY}@h",
        f"redis+sentinel://u:1/{CANARY}@h:26379/m/0",
        f"redis+sentinel://h/{CANARY}@/0",
        f"redis+sentinel://h/m?sentinel_password={CANARY}@",
        f"redis+cluster://:1/{CANARY}@h",
        f"unix://u:p/{CANARY}@/run/redis.sock",
        f"unix:///{CANARY}@/run/redis.sock",
        f"unix:///run/redis.sock?db={CANARY}@",
    ],
)
def test_an_at_sign_after_the_hosts_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="an @ comes after a / or a \\?; in a password write those as %2F") as refused:
        RedisSettings.of_url(Secret(url))

    assert CANARY not in str(refused.value)


@given(st.sampled_from(SCHEMES), st.text("/?:@,&=%2F1", max_size=12), st.sampled_from(["h/m", "h/0", "/run/s", "h"]))
def test_what_stands_before_an_at_sign_is_never_shown(scheme: str, password: str, rest: str) -> None:
    try:
        settings = RedisSettings.of_url(Secret(f"{scheme}://u:{password}{CANARY}@{rest}"))
    except ValueError as refused:
        assert CANARY not in str(refused)
    else:
        assert CANARY not in settings.described


@pytest.mark.parametrize(
    ("url", "described"),
    [
        ("redis://:p%2F%3F%40@h", "redis://h:6379/0"),
        ("redis://:p@q@h", "redis://h:6379/0"),
        ("unix:///run/a%40b.sock", "unix:///run/a@b.sock?db=0"),
        ("redis+sentinel://h/a%40b?sentinel_password=c%40d", "redis+sentinel://h:26379/a@b/0"),
    ],
)
def test_an_at_sign_that_is_escaped_or_before_the_hosts_is_taken(url: str, described: str) -> None:
    assert RedisSettings.of_url(Secret(url)).described == described
