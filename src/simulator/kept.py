"""Everything one provider account keeps and nobody else knows: responses, conversations, completions, files."""

import secrets
from typing import cast

from simulator.calls import Call
from simulator.content.answers import chat_reply
from simulator.content.compaction import compaction_reply, input_tokens_reply
from simulator.content.questions import ChatQuestion, ResponsesQuestion, ThingsQuestion
from simulator.content.text import Turn
from simulator.protocol import errors
from simulator.protocol.reply import Reply
from simulator.settings import ProviderSettings
from simulator.storage.completion_store import CompletionStore
from simulator.storage.conversation_store import ConversationStore
from simulator.storage.file_store import FileStore
from simulator.storage.response_store import ResponseStore
from simulator.storage.thing_store import ThingStore

_NOTHING = ThingsQuestion()


class Kept:
    """Creates what is to be kept, and answers every request for it."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(6)
        self._serial = 0
        self._conversations = ConversationStore(self.unique)
        self._responses = ResponseStore(self._token, self._conversations)
        self._completions = CompletionStore()
        self._files = FileStore(self.unique)
        self._things = ThingStore(self.unique, self._files)

    def unique(self) -> str:
        """Makes ids; never the same twice, nor the same as another account's."""
        self._serial += 1
        return f"{self._token}{self._serial:08x}"

    def respond(
        self, call: Call, question: ResponsesQuestion, turn: Turn, now_s: float, how: ProviderSettings
    ) -> Reply:
        """POST responses and responses/compact."""
        refusal = self._responses.refusal(question)
        if refusal is not None:
            return refusal
        if call.route.operation == "compact":
            return compaction_reply(question, turn, self._token)
        return self._responses.create(question, turn, now_s, how)

    def keep_completion(self, question: ChatQuestion, turn: Turn) -> None:
        """The answer to a question with `store: true`."""
        self._completions.keep(question, chat_reply(question, turn))

    def answer(self, call: Call, now_s: float, now_unix_s: float) -> Reply:
        """Everything that names something kept, or makes it without a model."""
        route, method = call.route, call.request.method
        question = call.question if isinstance(call.question, ThingsQuestion) else _NOTHING
        match route.operation:
            case "response":
                return (
                    self._responses.delete(route.resource_id)
                    if method == "DELETE"
                    else self._responses.get(route, now_s)
                )
            case "response_cancel":
                return self._responses.cancel(route.resource_id, now_s)
            case "response_input_items":
                return self._responses.input_items(route)
            case "input_tokens":
                refusal = self._responses.refusal(cast("ResponsesQuestion", call.question))
                return refusal or input_tokens_reply(len(call.request.body))
            case "conversations":
                return self._conversations.create(question, now_unix_s)
            case "conversation" | "conversation_items" | "conversation_item":
                return self._conversations.answer(method, route, question)
            case "stored_completions":
                return self._completions.list(route)
            case "stored_completion" | "stored_completion_messages":
                return self._completions.answer(method, route, question)
            case "files" if method == "POST":
                content_type = call.request.header(b"content-type") or ""
                return self._files.create(content_type, call.request.body, now_unix_s)
            case "files":
                return self._files.list(route)
            case "file" | "file_content":
                return self._files.answer(method, route)
            case "thing":
                content_type = call.request.header(b"content-type") or ""
                return self._things.answer(method, route, content_type, call.request.body, now_unix_s)
        return errors.route_refused(route)
