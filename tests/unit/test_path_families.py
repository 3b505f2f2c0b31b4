"""What a path is about, also where it is spelt as somebody would who wants to hide it."""

import pytest

from application.state.path_families import Place, asks_a_model, is_administration, place_of


@pytest.mark.parametrize(
    "path",
    [
        "/organization", "/organization/users", "/projects/p/roles", "/Organization/users", "/ORGANIZATION",
        "/organiz%61tion/users", "/%6frganization/users", "/%256frganization/users", "//organization/users",
        "/organization;v=1/users", "/organization%2Fusers", "/%2Forganization/users", "/\\organization/users",
        "/%5Corganization", "/./organization/users", "/fine_tuning/checkpoints/x/permissions",
    ],
)  # fmt: skip
def test_the_administration_of_the_account_is_known_in_every_spelling(path: str) -> None:
    assert is_administration(path)


@pytest.mark.parametrize(
    "path", ["/files", "/organizations-of-mine/x", "/fine_tuning/jobs", "/project", "/files/organization", "/"]
)
def test_other_paths_are_not_taken_for_it(path: str) -> None:
    assert not is_administration(path)


@pytest.mark.parametrize("path", ["/chat/completions", "/responses", "/audio/speech", "/files", "/threads/runs"])
def test_calls_and_what_makes_a_thing_are_about_nobodys_things(path: str) -> None:
    assert place_of("POST", path) == Place()


@pytest.mark.parametrize(
    ("method", "path", "root"),
    [
        ("GET", "/files/file-1", "file-1"),
        ("GET", "/files/file%2D1/content", "file-1"),
        ("POST", "/vector_stores/vs_1/files", "vs_1"),
        ("DELETE", "/conversations/conv_1/items/msg_1", "conv_1"),
        ("POST", "/chat/completions/chatcmpl-1", "chatcmpl-1"),
        ("GET", "/responses/input_tokens", "input_tokens"),
        ("POST", "/fine_tuning/jobs/ftjob-1/cancel", "ftjob-1"),
        ("DELETE", "/models/ft:a/b", "ft:a/b"),
        ("GET", "/files/a%2Fb", "a/b"),
        ("GET", "/files/file%252D1", "file%2D1"),
    ],
)
def test_below_a_shelf_it_is_about_the_thing_of_that_id(method: str, path: str, root: str) -> None:
    assert place_of(method, path) == Place(root=root)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/files", "/files/", "/responses", "/chat/completions", "/conversations", "/videos"])
def test_a_shelf_itself_is_everybodys(method: str, path: str) -> None:
    assert place_of(method, path) == Place(is_told_apart=False, is_list=True)


@pytest.mark.parametrize(
    "path",
    ["/Files/file-1", "/files%2Ffile-1", "/organization/users", "/agents/x", "/fine_tuning/alpha/x", "/new", "/"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_of_all_else_nobody_knows_whose_affair_it_is(method: str, path: str) -> None:
    assert not place_of(method, path).is_told_apart


def test_a_slash_too_many_names_nothing() -> None:
    assert not place_of("GET", "/files//file-1").is_told_apart


@pytest.mark.parametrize("path", ["/audio/speech", "/images/generations", "/videos", "/assistants", "/rerank"])
def test_what_asks_a_model_is_told_from_ways_to_what_is_kept(path: str) -> None:
    assert asks_a_model("POST", path)
    assert not asks_a_model("GET", path)
    for kept in ("/files", "/Files/x", "/vector_stores/vs_1", "/f%69les", "/videos/video_1/remix", "/assistants/a"):
        assert not asks_a_model("POST", kept)
