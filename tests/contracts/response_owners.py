"""What every `ResponseOwners` does: subclass `ResponseOwnersContract`, provide the fixtures."""

import asyncio
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from application.store_ports import ResponseOwners
from tests.contracts.response_cache import EACH_EXAMPLE_IS_ITS_OWN, PassTime


def new_id() -> str:
    """One that was never used."""
    return f"resp_{uuid4().hex}"


class ResponseOwnersContract:
    """The contract. Fixtures: `owners`, which remembers for `ttl_s` seconds, and `pass_time`, which lets so many
    seconds go by for it."""

    ttl_s = 60.0

    async def test_owners_come_in_the_order_of_the_ids_and_unknown_ones_as_none(self, owners: ResponseOwners) -> None:
        a, b, unknown = new_id(), new_id(), new_id()
        await owners.remember([a], "one")
        await owners.remember([b], "two")

        for ask in (owners.find, owners.look_up):
            assert list(await ask([b, unknown, a, b])) == ["two", None, "one", "two"]

    async def test_no_ids_are_no_error(self, owners: ResponseOwners) -> None:
        await owners.remember([], "one")

        assert list(await owners.find([])) == []

    async def test_many_ids_at_once_are_all_remembered(self, owners: ResponseOwners) -> None:
        ids = [new_id() for _ in range(700)]

        await owners.remember(ids, "one")

        assert list(await owners.find(ids)) == ["one"] * 700

    async def test_newer_owner_replaces_the_older(self, owners: ResponseOwners) -> None:
        a, b = new_id(), new_id()
        await owners.remember([a, b], "one")

        await owners.remember([a], "two")

        assert list(await owners.find([a, b])) == ["two", "one"]

    async def test_owner_is_forgotten_when_its_time_is_over(self, owners: ResponseOwners, pass_time: PassTime) -> None:
        a = new_id()
        await owners.remember([a], "one")

        await pass_time(self.ttl_s)

        assert list(await owners.find([a])) == [None]

    async def test_id_remembered_again_lives_on(self, owners: ResponseOwners, pass_time: PassTime) -> None:
        a, b = new_id(), new_id()
        await owners.remember([a, b], "one")
        await pass_time(self.ttl_s * 0.7)

        await owners.remember([a], "one")

        await pass_time(self.ttl_s * 0.6)
        assert list(await owners.find([a, b])) == ["one", None]

    @given(text=st.text(alphabet=st.characters(), max_size=40), owner=st.text(min_size=1, max_size=40))
    @settings(max_examples=50, deadline=None, suppress_health_check=EACH_EXAMPLE_IS_ITS_OWN)
    async def test_any_text_can_be_an_id(self, owners: ResponseOwners, text: str, owner: str) -> None:
        a, b = new_id() + text, new_id() + text

        await owners.remember([a], owner)

        assert list(await owners.find([a, b])) == [owner, None]

    async def test_many_at_once_find_what_each_of_them_remembered(self, owners: ResponseOwners) -> None:
        async def use(owner: str) -> None:
            ids = [new_id() for _ in range(5)]
            await owners.remember(ids, owner)
            assert list(await owners.find(ids)) == [owner] * 5

        await asyncio.gather(*(use(f"endpoint-{number}") for number in range(50)))
