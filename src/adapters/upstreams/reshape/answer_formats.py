"""What the cache must know about answers: whether they ended well, and how they look in another shape.

A conversion is made only where its outcome is what the provider itself would have sent, but for how the text is cut
into pieces; everything else is a miss, which costs one upstream call and is never wrong.
"""

from collections.abc import Mapping

from adapters.upstreams.reshape.chat_formats import CHAT
from adapters.upstreams.reshape.completions_formats import COMPLETIONS
from adapters.upstreams.reshape.list_formats import EMBEDDINGS, MODERATIONS
from adapters.upstreams.reshape.reshaping import AnswerFormat
from adapters.upstreams.reshape.responses_formats import RESPONSES
from application.body.narrowed import ALL_MARKS, LARGE_BYTES, is_heavy
from application.messages import Api
from application.store_ports import CachedAnswer, Shape

_UNREADABLE = (ValueError, RecursionError)


_FORMATS: Mapping[Api, AnswerFormat] = {
    Api.CHAT: CHAT,
    Api.RESPONSES: RESPONSES,
    Api.COMPLETIONS: COMPLETIONS,
    Api.EMBEDDINGS: EMBEDDINGS,
    Api.MODERATIONS: MODERATIONS,
}
_MARKS = {Api.EMBEDDINGS: (b"{",), Api.MODERATIONS: (b"{",)}  # before the values, where not all are decoded


class OpenAIAnswerFormats:
    """See `application.store_ports.AnswerFormats`. Of other APIs than these it knows nothing.

    The padding called obfuscation is never made up. A client that asks for it by name gets none of our streams but a
    recorded one that was asked for with it; one that says nothing about it may get a stream without: what it hides, how
    long each piece is, a stream with all text in one piece does not show.
    """

    def ended_well(self, api: Api, answer: CachedAnswer) -> bool:
        """Whole, without an error or a content coding, the model was done, and not of more values than are decoded."""
        form = _FORMATS.get(api)
        try:
            return form is not None and _is_readable(api, answer) and form.ended_well(answer)
        except _UNREADABLE:
            return False

    def reshaped(self, api: Api, answer: CachedAnswer, shape: Shape) -> CachedAnswer | None:
        """The very answer if the shape is equal. None = a field is not understood, something would be missing, or the
        client asks for options that are unknown here."""
        if shape == answer.shape:
            return answer
        form = _FORMATS.get(api)
        if form is None or not _is_readable(api, answer):
            return None
        try:
            return form.reshaped(answer, shape)
        except _UNREADABLE:
            return None


def _is_readable(api: Api, answer: CachedAnswer) -> bool:
    marks = _MARKS.get(api, ALL_MARKS)
    is_light = not any(len(chunk) > LARGE_BYTES and is_heavy(chunk, marks) for chunk in answer.chunks)
    codings = [value.strip().lower() for name, value in answer.headers if name == "content-encoding"]
    return is_light and all(coding in ("", "identity") for coding in codings)
