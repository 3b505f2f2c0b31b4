"""The fields of forms, where it matters whose things they name."""

import pytest

from adapters.http.bodies.form_fields import MAX_FIELDS, form_fields, names_nothing
from adapters.http.server.error_body import status_of
from application.errors import InvalidRequest


def form(*parts: str) -> bytes:
    return "".join(f"--b\r\n{part}\r\n" for part in parts).encode() + b"--b--\r\n"


def test_fields_are_read_and_files_are_not_but_where_their_name_says_that_they_are_ids() -> None:
    body = form(
        'Content-Disposition: form-data; name="prompt"\r\n\r\na\r\nb',
        'content-disposition: form-data; name=file; filename="x.png"\r\nContent-Type: image/png\r\n\r\n\x00',
        'Content-Disposition: form-data; name="file_id"; filename="x"\r\n\r\nfile-1',
        'Content-Disposition: form-data; name="ref[FILE_ID]"; filename=""\r\n\r\nfile-2',
    )

    assert form_fields(body, b"b") == (("prompt", "a\r\nb"), ("file_id", "file-1"), ("ref[FILE_ID]", "file-2"))
    assert form_fields(b"--b--\r\n", b"b") == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"preamble\r\n--b--\r\n",
        b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\nx',
        form('content-disposition: form-data; name="file%5Fid"\r\n\r\nx'),
        form('content-disposition: form-data; name="file\\_id"\r\n\r\nx'),
        form("content-disposition: form-data; name*=utf-8''file_id\r\n\r\nx"),
        form('content-disposition: form-data;\r\n name="file_id"\r\n\r\nx'),
        form('content-disposition : form-data; name="a"\r\n\r\nx'),
        form('content-disposition: form-data; name="a"\r\ncontent-disposition: form-data; name="file_id"\r\n\r\nx'),
        form('content-disposition: form-data; name="a"\r\ncontent-transfer-encoding: base64\r\n\r\nx'),
        form('content-disposition: form-data; name="a"; name="file_id"\r\n\r\nx'),
        form("x-nothing: 1\r\n\r\nx"),
        form('content-disposition: form-data; name="a"\n\nx'),
        form('content-disposition: form-data; name="a"\r\r\n\r\nx'),
        form('content-disposition: form-data; name="a"\r\ncontent-type: x\nb\r\n\r\nx'),
        form('content-disposition: form-data; name="a"\r\n\r\nx\n--b\ncontent-disposition: form-data; name="b"\n\ny'),
        form('content-disposition: form-data; name="a"; filename="f"\r\n\r\nx\r--b\r\n\r\ny'),
        form(*['content-disposition: form-data; name="a"\r\n\r\nx'] * (MAX_FIELDS + 1)),
        b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n\xff\r\n--b--\r\n',
    ],
)
def test_what_others_might_read_in_another_way_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        form_fields(body, b"b")
    assert (status_of(refused.value), refused.value.code) == (400, "invalid_form")


def test_forms_of_files_alone_need_not_be_read() -> None:
    for path in ("/files", "/uploads/upload_1/parts", "/audio/transcriptions", "/images/edits"):
        assert names_nothing(path)
    for path in ("/containers/c/files", "/videos", "/uploads/a/parts/b", "/files/x", "/skills"):
        assert not names_nothing(path)
