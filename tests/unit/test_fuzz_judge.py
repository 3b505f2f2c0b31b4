"""The judge of `make fuzz` would notice: what nobody sent, what is another's, 5xx, replies that do not add up."""

import gzip
import json
import random

import pytest

from bench.fuzz.cases import Case, case_of
from bench.fuzz.drafts import COUNT, draft_of, token_of
from bench.fuzz.judge import Judge, Talk
from bench.fuzz.reading import Odd, replies_of, sent_of
from simulator.calls import Request

TOKEN, OTHER = token_of(1, 0), token_of(1, 1)
BODY = b'{"model": "gpt", "user": "%b"}' % TOKEN
SENT = b"POST /v1/files HTTP/1.1\r\nhost: x\r\nx-fuzz: %b\r\ncontent-length: %d\r\n\r\n%b" % (TOKEN, len(BODY), BODY)
REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-llmproxy-request-id: r\r\nx-llmproxy-attempts: 1\r\n\r\n{}"


def case(sent: bytes = SENT, number: int = 0) -> Case:
    return Case(number, token_of(1, number), sent, (), 1, ())


def request(target: str = "/v1/files", body: bytes = BODY, token: bytes = TOKEN) -> Request:
    return Request("POST", target, [(b"host", b"up"), (b"authorization", b"Bearer own"), (b"x-fuzz", token)], body)


def judged(*requests: Request, reply: bytes = REPLY, sent: bytes = SENT, end: str = "end") -> dict[str, int]:
    """What is found where that arrives at the provider, and that at the client."""
    judge = Judge()
    judge.own.update({b"host": [b"up"], b"authorization": [b"Bearer own"]})
    judge.began(case(sent))
    judge.began(case(b"GET / HTTP/1.1\r\n\r\n", 1))
    for each in requests:
        judge.received(each)
    judge.ended(case(sent), Talk(reply, end))
    return dict(judge.kinds)


def test_what_was_sent_and_answered_is_good() -> None:
    assert judged(request()) == {}


@pytest.mark.parametrize(
    ("arrived", "kind"),
    [
        (request("/v1/smuggled"), "never sent"),
        (request("/v1/files?key=1"), "never sent"),
        (request(body=b"{}x"), "never sent"),
        (request(body=BODY + OTHER), "mixed"),
        (Request("PATCH", "/v1/files", [(b"x-fuzz", TOKEN)], BODY), "never sent"),
        (Request("POST", "/v1/files", [(b"x-fuzz", TOKEN), (b"authorization", b"Bearer x")], BODY), "never sent"),
        (Request("POST", "/v1/files", [(b"x-fuzz", TOKEN), (b"x-admin", b"x")], BODY), "never sent"),
        (Request("POST", "/v1/nobodys", [], b""), "never sent"),
    ],
)  # fmt: skip
def test_what_nobody_sent_is_found(arrived: Request, kind: str) -> None:
    assert kind in judged(arrived)


def test_a_body_may_lose_its_chunks_and_codings_and_have_its_model_renamed() -> None:
    head = b"POST /v1/files HTTP/1.1\r\nx-fuzz: %b\r\n" % TOKEN
    packed = gzip.compress(BODY)
    in_chunks = head + b"transfer-encoding: chunked\r\n\r\n5;a=b\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (
        packed[:5], len(packed) - 5, packed[5:],
    )  # fmt: skip
    renamed = json.dumps({"model": "upstream", "user": TOKEN.decode()}).encode()

    assert judged(request(), sent=in_chunks) == {}
    assert judged(request(body=renamed)) == {}


@pytest.mark.parametrize(
    ("reply", "end", "kind"),
    [
        (REPLY.replace(b"200 OK", b"502 Bad"), "end", "5xx"),
        (REPLY.replace(b"x-llmproxy-request-id: r", b"x-fuzz-seen: " + OTHER), "end", "another's reply"),
        (REPLY.replace(b"attempts: 1", b"attempts: 2"), "end", "calls"),
        (REPLY[:-1], "end", "cut reply"),
        (REPLY + REPLY, "end", "more replies"),
        (REPLY.replace(b"content-length: 2", b"x: y"), "end", "odd reply"),
        (REPLY.replace(b"200 OK", b"400 Bad").replace(b"attempts: 1", b"attempts: 0"), "end", "no error"),
    ],
)
def test_an_answer_that_must_not_be_is_found(reply: bytes, end: str, kind: str) -> None:
    assert kind in judged(request(), reply=reply, end=end)


def test_a_client_that_asked_for_the_end_gets_it() -> None:
    asking = SENT.replace(b"host: x", b"host: x\r\nconnection: close")

    assert judged(request(), sent=asking, end="silence") == {"no end": 1}
    assert judged(request(), end="silence") == {}
    assert judged(request(), end="reset") == {"reset": 1}


def test_what_a_client_asked_for_that_has_left_may_still_arrive() -> None:
    judge = Judge()
    judge.began(case(b"POST /v1/files HTTP/1.1\r\n\r\nnonsense"))
    judge.ended(case(b"POST /v1/files HTTP/1.1\r\n\r\nnonsense"), Talk(b"", "silence"))

    judge.received(Request("POST", "/v1/files", [], b""))
    assert judge.findings == []
    judge.received(Request("POST", "/v1/others", [], b""))
    assert [finding.kind for finding in judge.findings] == ["never sent"]


def test_replies_are_told_apart() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
    chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"

    found = replies_of(head + chunks + REPLY, [b"HEAD", b"POST", b"POST"])

    assert [reply.body for reply in found.whole] == [b"", b"ab", b"{}"]
    assert not replies_of(REPLY[:-1], [b"POST"]).is_whole
    with pytest.raises(Odd):
        replies_of(chunks + b"junk\r\n\r\n", [b"POST"])


def test_cases_are_the_same_each_time_and_drafts_are_good_requests() -> None:
    assert [case_of(3, number) for number in range(50)] == [case_of(3, number) for number in range(50)]
    for number in range(COUNT):
        sent = sent_of(draft_of(number, TOKEN).written(random.Random(number)))
        assert sent.is_whole and len(sent.requests) == 1, number
