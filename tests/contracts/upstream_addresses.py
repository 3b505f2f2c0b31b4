"""The upstream contract, part 11: link-local, cloud metadata and no-machine addresses are never connected to, whatever
name leads there and whenever it begins to."""

import pytest

from adapters.upstreams.outbound import never_called
from application.ports import Upstream
from domain.failure import Failure, FailureKind
from tests.contracts.scripted_server import ScriptedServer, answering, reply
from tests.contracts.upstream_calls import call, failure_of, fetch
from tests.contracts.upstream_ways import WaysContract

METADATA = [
    *("169.254.169.254", "169.254.170.2", "169.254.42.42", "169.254.0.23", "100.100.100.200", "168.63.129.16"),
    *("192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42"),
    *("fd00:a9fe:a9fe::1", "fd00:100::100:200", "fe80::1", "fe80::a9fe:a9fe%lo", "febf::1"),
    *("::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::ffff:100.100.100.200", "::169.254.169.254"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1", "::ffff:0:a9fe:a9fe"),
]
NO_MACHINE = ["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0", "224.0.0.1", "255.255.255.255", "ff02::1"]


def refused(failure: Failure, whose: str = "host") -> bool:
    """Is it a fault of the configuration that says what the matter is?"""
    says = f"{whose} leads to a link-local or cloud metadata address"
    return (failure.kind, failure.reason) == (FailureKind.MISCONFIGURED, says) and "resolves to" in str(failure.hint)


class AddressContract(WaysContract):
    async def test_a_name_that_leads_to_a_metadata_address_is_not_called(
        self, upstream: Upstream, where: dict[str, list[str]]
    ) -> None:
        failures = {}
        for number, address in enumerate(METADATA):
            where[f"h{number}.test"] = [address]
            failures[address] = await failure_of(fetch(upstream, call(f"http://h{number}.test/v1", connect_s=0.5)))

        assert {address: failure for address, failure in failures.items() if not refused(failure)} == {}

    async def test_a_name_that_leads_to_no_single_machine_is_not_called(
        self, upstream: Upstream, where: dict[str, list[str]]
    ) -> None:
        failures = {}
        for number, address in enumerate(NO_MACHINE):
            where[f"h{number}.test"] = [address]
            failures[address] = await failure_of(fetch(upstream, call(f"http://h{number}.test/v1", connect_s=0.5)))

        assert {(failure.kind, failure.reason) for failure in failures.values()} == {
            (FailureKind.MISCONFIGURED, "host leads to an address of no single machine")
        }

    async def test_of_several_addresses_only_those_that_may_be_called_are(
        self, upstream: Upstream, where: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # As if 127.0.0.2, where somebody answers, were one of them.
        networks = (*never_called._METADATA_NETWORKS, never_called.ipaddress.ip_network("127.0.0.2"))
        monkeypatch.setattr(never_called, "_METADATA_NETWORKS", networks)
        async with ScriptedServer(answering(reply(b"good"))) as good:
            where["h.test"] = ["127.0.0.2", "::ffff:127.0.0.2", "127.0.0.1", "169.254.169.254"]

            for _ in range(3):
                assert await fetch(upstream, call(f"http://h.test:{good.port}/v1")) == b"good"

    async def test_the_address_that_is_connected_to_is_the_one_that_was_looked_at_whenever_the_name_moves(
        self, upstream: Upstream, where: dict[str, list[str]]
    ) -> None:
        async with ScriptedServer(answering(reply(b"good", "connection: close"))) as server:
            url = f"http://h.test:{server.port}/v1"
            where["h.test"] = ["127.0.0.2"]  # nobody is there, so the next call asks anew
            assert (await failure_of(fetch(upstream, call(url)))).kind is FailureKind.CONNECT
            where["h.test"] = ["169.254.169.254"]
            assert refused(await failure_of(fetch(upstream, call(url, connect_s=0.5))))
            assert refused(await failure_of(fetch(upstream, call(url, connect_s=0.5))))
            where["h.test"] = ["127.0.0.1"]
            assert await fetch(upstream, call(url)) == b"good"
            where["h.test"] = ["169.254.169.254"]
            assert await fetch(upstream, call(url)) == b"good"  # at the address of the lookup before

            assert where["asked"] == ["h.test"] * 4

    async def test_an_address_in_the_url_is_looked_at_in_all_its_spellings(self, upstream: Upstream) -> None:
        hosts = ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:a9fe:a9fe]", "2852039166", "0xa9fea9fe", "169.16689662"]
        for host in hosts:
            failure = await failure_of(fetch(upstream, call(f"http://{host}/v1", connect_s=0.5)))

            assert failure.kind is FailureKind.MISCONFIGURED, (host, failure)

    async def test_neither_is_an_outbound_proxy_there(self, where: dict[str, list[str]]) -> None:
        where["proxy.test"] = ["169.254.169.254"]
        async with self.opened(outbound_proxy="http://proxy.test:3128") as upstream:
            for url in ("http://h.test/v1", "https://h.test/v1"):
                failure = await failure_of(fetch(upstream, call(url, connect_s=0.5)))

                assert refused(failure, "outbound proxy"), failure
