"""Conversations over WebSockets while endpoints fail: none is lost. `make conversations` has more of them."""

from bench.conversations import run


class TestConversations:
    """On the loop that workers run, and on asyncio's."""

    on_both_loops = True

    async def test_no_conversation_is_lost_while_accounts_fail(self) -> None:
        assert await run(count=24, seed=3) == 0
