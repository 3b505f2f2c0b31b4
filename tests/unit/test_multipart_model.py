"""The model in a form: found where it stands plainly, replaced without touching another byte, never guessed."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.http.bodies.multipart_model import boundary_of, find_model

FILE = ("a.wav", b"\r\n--b\r\nRIFF\x00\xff" * 50, "audio/wav")


def form(data: dict[str, str], files: dict[str, object]) -> tuple[bytes, bytes]:
    """As httpx, and so the SDK, writes it: (body, boundary)."""
    request = httpx.Request("POST", "http://a", data=data, files=files)  # type: ignore[arg-type]
    boundary = boundary_of(request.headers["content-type"].encode())
    assert boundary is not None
    return request.read(), boundary


def part(fields: str, value: bytes = b"gpt") -> bytes:
    return b"--b\r\n" + fields.encode() + b"\r\n\r\n" + value + b"\r\n"


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'Multipart/Form-Data; charset=utf-8; Boundary="a b=c"; x=y', b"a b=c"),
        (b"multipart/form-data", None),
        (b'multipart/form-data; boundary=""', None),
        (b"multipart/form-data; boundary=" + b"x" * 71, None),
        (b"multipart/mixed; boundary=abc", None),
        (b"application/json; boundary=abc", None),
        (b"", None),
    ],
)
def test_the_boundary_of_a_form(content_type: bytes, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("order", ["first", "last"])
def test_the_model_is_found_before_and_after_a_file(order: str) -> None:
    files: dict[str, object] = {"file": FILE}
    data = {"language": "de"}
    if order == "first":
        data["model"] = "whisper"
    else:
        files["model"] = (None, b"whisper")
    body, boundary = form(data, files)

    field = find_model(body, boundary)

    assert field is not None
    assert (field.name, body[field.begin : field.end]) == ("whisper", b"whisper")


@given(st.integers(min_value=0))
def test_a_form_that_is_cut_anywhere_says_the_same_or_nothing(cut: int) -> None:
    body, boundary = form({"prompt": "x", "model": "whisper"}, {"file": FILE})
    whole = find_model(body, boundary)

    assert find_model(body[: cut % len(body)], boundary) in (None, whole)
    assert whole is not None


def test_another_name_changes_no_other_byte() -> None:
    body, boundary = form({"model": "whisper"}, {"file": FILE})
    field = find_model(body, boundary)
    assert field is not None

    assert field.renamed(body, "größer/1") == body.replace(b"whisper", "größer/1".encode(), 1)
    assert field.renamed(body, "whisper") == body


@pytest.mark.parametrize("model", ["a\r\n--b", "a\nb", "\r"])
def test_a_name_that_would_break_the_form_is_not_put_into_it(model: str) -> None:
    body, boundary = form({"model": "whisper"}, {"file": FILE})
    field = find_model(body, boundary)
    assert field is not None

    assert field.renamed(body, model) == body


@pytest.mark.parametrize(
    "body",
    [
        part("content-disposition: form-data; name=model") + b"--b--\r\n",
        part('Content-Type: text/plain\r\nCONTENT-DISPOSITION:form-data;name="model"') + b"--b--",
        b"preamble\r\n" + part('Content-Disposition: form-data; name="model"') + b"--b--",
        part("", b"no headers") + part('Content-Disposition: form-data; name="model"') + b"--b \t\r\n",
    ],
)
def test_other_ways_to_write_it(body: bytes) -> None:
    field = find_model(body, b"b")

    assert field is not None
    assert field.name == "gpt"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b",
        b"--b--\r\n",
        b"no form at all",
        part('Content-Disposition: form-data; name="model"'),
        part('Content-Disposition: form-data; name="model"; filename="m"') + b"--b--",
        part('Content-Disposition: form-data; name="my model"') + b"--b--",
        part('Content-Disposition: attachment; name="model"') + b"--b--",
        part('Content-Disposition: form-data; name="model"', b"") + b"--b--",
        part('Content-Disposition: form-data; name="model"', b"\xff") + b"--b--",
        part('Content-Disposition: form-data; name="model"', b"a\nb") + b"--b--",
        part('Content-Disposition: form-data; name="model"', b"x" * 257) + b"--b--",
        b"--bc\r\n" + part('Content-Disposition: form-data; name="model"') + b"--b--",
        part('Content-Disposition: form-data; name="model"').replace(b"\r\n", b"\n") + b"--b--",
    ],
)
def test_what_is_cut_or_odd_names_no_model(body: bytes) -> None:
    assert find_model(body, b"b") is None


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_no_bytes_are_too_odd(before: bytes, after: bytes) -> None:
    field = find_model(before + part('Content-Disposition: form-data; name="model"') + after, b"b")

    assert field is None or field.name
