"""The simulated provider's batches, uploads, vector stores and their like, and what is heard and seen."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.account import Account
from simulator.calls import Request, understand
from simulator.protocol.reply import Reply
from simulator.protocol.thing_families import FAMILIES, place_of
from simulator.settings import ProviderSettings

FORM = b"multipart/form-data; boundary=b"


class Provider:
    def __init__(self) -> None:
        self.account = Account(ProviderSettings())

    def reply(self, method: str, path: str, body: bytes = b"", content_type: bytes = b"application/json") -> Reply:
        request = Request(method, path, [(b"content-type", content_type)], body)
        return self.account.answer(understand(request), 0.0, 1000.0)

    def say(self, method: str, path: str, **fields: Any) -> dict[str, Any]:
        answered = self.reply(method, f"/v1/{path}", msgspec.json.encode(fields) if method == "POST" else b"")
        return {"status_code": answered.status, **msgspec.json.decode(answered.body)}


def form(**fields: bytes) -> bytes:
    parts = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
        % (name.encode(), b'; filename="f"' if name in ("data", "file", "image") else b"", value)
        for name, value in fields.items()
    )
    return parts + b"--b--\r\n"


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.mark.parametrize("path", [path for path in FAMILIES if len(path) <= 2])
def test_a_thing_is_made_listed_shown_changed_and_deleted(provider: Provider, path: tuple[str, ...]) -> None:
    shelf = "/".join(path)
    made = provider.say("POST", shelf, name="x")
    shown = provider.say("GET", f"{shelf}/{made['id']}")
    changed = provider.say("POST", f"{shelf}/{made['id']}", name="y")
    listed = provider.say("GET", shelf)
    deleted = provider.say("DELETE", f"{shelf}/{made['id']}")
    gone = provider.say("GET", f"{shelf}/{made['id']}")

    assert made["id"].startswith(FAMILIES[path].prefix)
    assert (shown["name"], changed["name"], [thing["name"] for thing in listed["data"]]) == ("x", "y", ["y"])
    assert (deleted["deleted"], gone["status_code"]) == (True, 404)


def test_what_stands_below_a_thing_stands_below_that_alone(provider: Provider) -> None:
    one, other = (provider.say("POST", "vector_stores")["id"] for _ in range(2))
    kept = provider.say("POST", f"vector_stores/{one}/files", file_id="file-1")

    assert (kept["id"], kept["vector_store_id"]) == ("file-1", one)
    assert provider.say("GET", f"vector_stores/{one}/files/file-1")["status_code"] == 200
    assert provider.say("GET", f"vector_stores/{other}/files/file-1")["status_code"] == 404
    assert provider.say("GET", f"vector_stores/{other}/files")["data"] == []
    assert provider.say("POST", "vector_stores/vs_unknown/files", file_id="file-1")["status_code"] == 404


@pytest.mark.parametrize(
    ("shelf", "action", "status"), [("batches", "cancel", "cancelled"), ("fine_tuning/jobs", "pause", "paused")]
)
def test_what_is_done_to_a_thing_shows_in_its_status(provider: Provider, shelf: str, action: str, status: str) -> None:
    made = provider.say("POST", shelf)["id"]

    assert provider.say("POST", f"{shelf}/{made}/{action}")["status"] == status
    assert provider.say("GET", f"{shelf}/{made}")["status"] == status


def test_an_upload_comes_to_a_file(provider: Provider) -> None:
    upload = provider.say("POST", "uploads", filename="a.txt", purpose="batch", bytes=6)["id"]
    parts = [
        msgspec.json.decode(provider.reply("POST", f"/v1/uploads/{upload}/parts", form(data=text), FORM).body)["id"]
        for text in (b"abc", b"\xff\x00f")
    ]
    done = provider.say("POST", f"uploads/{upload}/complete", part_ids=parts)

    assert (done["status"], done["file"]["filename"], done["file"]["bytes"]) == ("completed", "a.txt", 6)
    assert provider.reply("GET", f"/v1/files/{done['file']['id']}/content").body == b"abc\xff\x00f"
    assert provider.say("POST", f"uploads/{upload}/complete", part_ids=["part_no"])["status_code"] == 400


def test_a_thread_has_its_messages_and_a_run_adds_one(provider: Provider) -> None:
    thread = provider.say("POST", "threads", messages=[{"role": "user", "content": "hi"}])["id"]
    run = provider.say("POST", f"threads/{thread}/runs", assistant_id="asst_1")
    messages = provider.say("GET", f"threads/{thread}/messages")["data"]

    assert (run["status"], run["thread_id"]) == ("completed", thread)
    assert [message["role"] for message in messages] == ["assistant", "user"]
    assert messages[1]["content"][0]["text"]["value"] == "hi"


@pytest.mark.parametrize("path", ["nothing", "batches/1/2/3", "vector_stores/1/files/2/content/3", "uploads/1/x/2/3"])
def test_other_paths_are_nothing(path: str) -> None:
    assert place_of(path.split("/")) is None


def test_a_body_that_is_no_object_is_refused(provider: Provider) -> None:
    assert provider.reply("POST", "/v1/batches", b"[1]").status == 400
    assert provider.reply("POST", "/v1/batches", b'{"id": "mine"}').status == 400


def test_speech_is_sound_and_longer_for_more_words(provider: Provider) -> None:
    short, long = (
        provider.reply("POST", "/v1/audio/speech", msgspec.json.encode({"model": "m", "input": text}))
        for text in ("a", "a b c")
    )

    assert (short.content_type, short.body[:2]) == (b"audio/mpeg", b"\xff\xfb")
    assert len(long.body) == 3 * len(short.body)


@pytest.mark.parametrize("path", ["audio/transcriptions", "audio/translations"])
def test_what_was_said_comes_as_it_is_asked_for(provider: Provider, path: str) -> None:
    def ask(**fields: bytes) -> Reply:
        return provider.reply("POST", f"/v1/{path}", form(file=b"RIFF", model=b"m", **fields), FORM)

    plain, text, stream = ask(), ask(response_format=b"text"), ask(stream=b"true")

    assert msgspec.json.decode(plain.body)["text"].startswith("provider/")
    assert text.content_type.startswith(b"text/plain")
    assert stream.events is not None
    assert b"transcript.text.done" in list(stream.events.frames())[-1]
    assert provider.reply("POST", f"/v1/{path}", form(file=b"RIFF"), FORM).status == 400


@pytest.mark.parametrize("path", ["images/generations", "images/edits", "images/variations"])
def test_pictures_come_as_many_as_asked_for(provider: Provider, path: str) -> None:
    json = provider.reply("POST", f"/v1/{path}", b'{"prompt":"x","n":2}')
    posted = provider.reply("POST", f"/v1/{path}", form(image=b"\x89PNG", prompt=b"x", n=b"3"), FORM)

    assert [len(msgspec.json.decode(reply.body)["data"]) for reply in (json, posted)] == [2, 3]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content"]), inner),
    max_leaves=5,
)
FIELDS = [
    "messages",
    "part_ids",
    "file_id",
    "filename",
    "purpose",
    "object",
    "created_at",
    "content",
    "query",
    "status",
]


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4), st.data())
def test_whatever_fields_hold_it_is_answered(fields: dict[str, Any], data: st.DataObject) -> None:
    provider = Provider()
    shelf = "/".join(data.draw(st.sampled_from([path for path in FAMILIES if len(path) <= 2])))
    made = provider.say("POST", shelf, **fields)
    if made["status_code"] == 200:
        thing = f"{shelf}/{made['id']}"
        for path in (thing, f"{thing}/complete", f"{thing}/messages", f"{thing}/files", f"{thing}/search"):
            provider.say("POST", path, **fields)
        provider.say("GET", shelf)
        provider.say("GET", thing)
        provider.say("DELETE", thing)
    else:
        assert made["status_code"] == 400
        assert made["error"]["param"] in fields


def test_a_message_that_is_no_object_is_refused(provider: Provider) -> None:
    refused = provider.say("POST", "threads", messages=["hello"])

    assert (refused["status_code"], refused["error"]["param"]) == (400, "messages")
