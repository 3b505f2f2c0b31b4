"""Conversations over WebSockets while endpoints fail: none is lost. `make conversations` has more of them."""

import pytest

from bench.conversations import run


class TestConversations:
    """On the loop that workers run, and on asyncio's."""

    on_both_loops = True

    @pytest.mark.parametrize("mode", ["bridge", "native"])
    async def test_no_conversation_is_lost_while_accounts_fail(self, mode: str) -> None:
        assert await run(count=24, seed=3, mode=mode) == 0


@pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager")  # of the SDK, with websockets 17
@pytest.mark.parametrize("client", ["async", "sync"])
async def test_no_conversation_of_the_openai_sdk_is_lost_on_native_sockets(client: str) -> None:
    assert await run(count=16, seed=5, mode="native", client=client) == 0
