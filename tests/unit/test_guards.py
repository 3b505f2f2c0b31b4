"""Who is let in."""

import pytest

from adapters.http.access.guards import Guard, NotAllowed, WrongKey, check_json
from adapters.http.server.error_body import status_of
from application.errors import InvalidRequest

OPEN = Guard("127.0.0.1", allowed_hosts=("proxy.internal", "proxy.lan:8080"), allowed_origins=("https://app.example",))
KEYED = Guard("0.0.0.0", api_keys=("secret-1", "secret-2"))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:4000",
        "127.0.0.1:4000",
        "[::1]:4000",
        "[::1]",
        "LOCALHOST",
        "proxy.internal:1",
        "proxy.lan:8080",
    ],
)
def test_loopback_names_the_bind_address_and_listed_hosts_are_let_in(host: str) -> None:
    OPEN.check({b"host": host.encode()})


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil",
        "0.0.0.0:4000",
        "proxy.lan:81",
        "[::2]:4000",
        "localhostx",
        "localhost:80@evil",
        "localhost:evil",
        "localhost:80:80",
        "localhost:123456",
    ],
)
def test_any_other_host_is_refused(host: str) -> None:
    with pytest.raises(NotAllowed, match="allowed_hosts"):
        OPEN.check({b"host": host.encode()})


def test_web_pages_are_refused_unless_listed() -> None:
    OPEN.check({b"host": b"localhost", b"origin": b"https://app.example"})
    for origin in (b"https://evil.example", b"null", b"http://localhost:4000", b""):
        with pytest.raises(NotAllowed, match="allowed_origins"):
            OPEN.check({b"host": b"localhost", b"origin": origin})


@pytest.mark.parametrize(
    "headers",
    [{b"authorization": b"Bearer secret-1"}, {b"authorization": b"bearer  secret-2"}, {b"api-key": b"secret-1"}],
)
def test_with_keys_a_client_shows_one_and_may_call_the_proxy_by_any_name(headers: dict[bytes, bytes]) -> None:
    KEYED.check({b"host": b"anything.example", **headers})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"authorization": b"Bearer "},
        {b"authorization": b"Bearer secret"},
        {b"authorization": b"Basic secret-1"},
        {b"api-key": b"secret-11"},
    ],
)
def test_without_a_right_key_it_is_a_401_except_where_none_is_needed(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(WrongKey):
        KEYED.check(headers)
    KEYED.check(headers, key=False)


def test_whose_key_it_is_says_its_name_and_what_its_things_are_kept_under() -> None:
    guard = Guard("0.0.0.0", api_keys=("secret-1", ("team-a", "secret-2"), ("team-b", "secret-3")))
    named = guard.check({b"authorization": b"Bearer secret-2"})
    bare = guard.check({b"api-key": b"secret-1"})

    assert (named.name, named.tenant) == ("team-a", "name team-a")
    assert guard.check({b"api-key": b"secret-2"}) == named
    assert guard.check({b"authorization": b"Bearer wrong", b"api-key": b"secret-2"}) == named
    assert bare.name == ""
    assert "secret" not in bare.tenant
    replaced = Guard("0.0.0.0", api_keys=(("team-a", "another"), "secret-4"))
    assert replaced.check({b"api-key": b"another"}) == named
    assert replaced.check({b"api-key": b"secret-4"}).tenant not in ("", bare.tenant)
    assert OPEN.check({b"host": b"localhost"}).tenant == ""


def test_only_json_is_taken() -> None:
    check_json({b"content-type": b"application/json; charset=utf-8"})
    for headers in (
        {},
        {b"content-type": b"text/plain"},
        {b"content-type": b"application/x-www-form-urlencoded"},
    ):
        with pytest.raises(InvalidRequest) as refused:
            check_json(headers)
        assert status_of(refused.value) == 415


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
def test_what_is_for_this_machine_is_shown_to_clients_on_it(address: str) -> None:
    for guard in (OPEN, KEYED):
        guard.check_local({b"host": b"localhost:4000"}, (address, 5000))


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.2", "::2", "fe80::1%eth0", "::ffff:10.0.0.1", "", "unix:"])
def test_what_is_for_this_machine_is_not_shown_to_others(address: str) -> None:
    for client in ((address, 5000), None):
        with pytest.raises(NotAllowed, match="metrics: keys"):
            OPEN.check_local({b"host": b"localhost"}, client)


def test_a_page_that_reaches_this_machine_by_a_name_of_its_own_is_not_shown_it_either() -> None:
    for guard in (OPEN, KEYED):
        with pytest.raises(NotAllowed, match="allowed_hosts"):
            guard.check_local({b"host": b"evil.example"}, ("127.0.0.1", 5000))
