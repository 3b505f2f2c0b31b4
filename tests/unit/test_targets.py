"""URLs and headers as the official clients would make them (openai-python `_base_client.py`, `lib/azure.py`)."""

from adapters.upstreams.openai.azure_target import azure_target
from adapters.upstreams.openai.target import openai_target
from domain.secret import Secret

KEY = Secret("sk-1")


def test_an_openai_endpoint_gets_its_bearer_organization_and_project() -> None:
    target = openai_target("https://api.openai.com/v1/", KEY, organization="org", project="proj")

    assert target.url("/chat/completions", "") == "https://api.openai.com/v1/chat/completions"
    assert target.headers((("x-a", "1"),), (("authorization", "Bearer client"),)) == (
        ("x-a", "1"),
        ("authorization", "Bearer sk-1"),
        ("openai-organization", "org"),
        ("openai-project", "proj"),
    )


def test_without_a_key_the_clients_credentials_go_on() -> None:
    credentials = (("authorization", "Bearer client"), ("openai-project", "p"))

    assert openai_target("https://h/v1", None).headers((), credentials) == credentials


def test_a_client_key_goes_on_beside_a_configured_organization() -> None:
    target = openai_target("https://h/v1", None, organization="org-1")
    credentials = (("authorization", "Bearer client"), ("openai-organization", "theirs"), ("openai-project", "p"))

    assert target.headers((), credentials) == (
        ("openai-organization", "org-1"),
        ("authorization", "Bearer client"),
        ("openai-project", "p"),
    )


def test_a_default_query_is_added_and_the_clients_own_query_kept_but_for_api_version() -> None:
    target = openai_target("https://h/v1", KEY, default_query=[("api-version", "preview"), ("x y", "a&b")])

    assert target.url("/p", "") == "https://h/v1/p?api-version=preview&x%20y=a%26b"
    assert (
        target.url("/p", "a=%2F&api-version=2024-10-21&b") == "https://h/v1/p?api-version=preview&x%20y=a%26b&a=%2F&b"
    )
    for spelled in ("api-version=1", "api%2dversion=1", "%61pi-version=1&api-%76ersion", "api-version"):
        assert openai_target("https://h/v1", KEY).url("/p", spelled) == "https://h/v1/p"


def test_default_headers_give_way_to_the_clients_and_a_credential_among_them_replaces_the_key() -> None:
    target = openai_target(
        "https://h/v1", KEY, default_headers=[("X-A", Secret("config")), ("Authorization", Secret("Basic x"))]
    )

    assert target.headers((("x-a", "client"),), ()) == (("x-a", "client"), ("authorization", "Basic x"))
    assert target.headers((), ()) == (("authorization", "Basic x"), ("x-a", "config"))


def test_azure_puts_the_deployment_into_the_path_of_some_routes_and_the_key_into_api_key() -> None:
    target = azure_target("https://r.openai.azure.com/", "my dep", "2024-10-21", api_key=KEY)

    assert target.url("/chat/completions", "api-version=client") == (
        "https://r.openai.azure.com/openai/deployments/my%20dep/chat/completions?api-version=2024-10-21"
    )
    assert target.url("/responses", "") == "https://r.openai.azure.com/openai/responses?api-version=2024-10-21"
    assert target.headers((), ()) == (("api-key", "sk-1"),)


def test_an_entra_token_travels_as_bearer() -> None:
    target = azure_target("https://r.openai.azure.com", "d", "v", ad_token=Secret("t"))

    assert target.headers((), ()) == (("authorization", "Bearer t"),)


def test_a_target_does_not_show_what_it_holds() -> None:
    assert "sk-1" not in repr(openai_target("https://h/v1", KEY))


def test_an_azure_endpoint_of_the_v1_api_has_its_routes_right_below() -> None:
    target = azure_target("https://r.openai.azure.com/openai/v1", "d", None, api_key=KEY)

    assert target.url("/chat/completions", "") == "https://r.openai.azure.com/openai/v1/chat/completions"
    assert target.headers((), ()) == (("api-key", "sk-1"),)


def test_only_posts_go_below_azures_deployment() -> None:
    target = azure_target("https://r.openai.azure.com", "d", "2024-10-21", api_key=KEY)

    assert target.url("/chat/completions", "", "POST").startswith("https://r.openai.azure.com/openai/deployments/d/")
    assert target.url("/chat/completions", "", "GET").startswith("https://r.openai.azure.com/openai/chat/completions?")
