"""Finds in any text the ids of what only one provider account knows: responses, conversations, items, files, and the
encrypted reasoning that only its maker can read.

Ids are looked for by their prefixes (OpenAI API reference), wherever they stand as a whole JSON string or a part of a
path: a new field with an id in it needs no new code here.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice

from domain.elided import elide_long_strings

_ROOTS = ("resp_", "conv_")  # of what dialogues go on from: nobody else's words begin so
_PREFIXES = (
    "rs_", "cmp_", "fc_", "ctc_", "ws_", "fs_", "ci_", "ig_", "mcp_", "mcpl_", "cu_", "pmpt_", "chatcmpl-", "file-",
    "assistant-", "vs_", "vsfb_", "cntr_", "cfile_", "batch_", "ftjob-", "ftckpt_", "asst_", "evalrun_", "rtc_",
)  # fmt: skip
_WORDS = (
    "item_", "msg_", "audio_", "file_", "upload_", "thread_", "run_", "step_", "video_", "eval_", "skill_",
)  # fmt: skip
"""These begin other names as well, so what follows must be long."""
# A digit is what tells an id from a word such as file_search_call.
_WITH_DIGIT = rb"(?=[A-Za-z_.\-]*[0-9])[A-Za-z0-9_.\-]"
_IDS = re.compile(
    rb'"((?:%b)[A-Za-z0-9_.\-]{1,200}|(?:%b)%b{1,200}|(?:%b)%b{6,200})"'
    % ("|".join(_ROOTS).encode(), "|".join(_PREFIXES).encode(), _WITH_DIGIT, "|".join(_WORDS).encode(), _WITH_DIGIT)
)
# Other providers make ids of other shapes. What stands in these fields is one, whatever it looks like.
_ID = rb'"([^"\\\x00-\x1f]{1,200})"'
_IN_FIELDS = re.compile(
    rb'"(?:previous_response_id|file_id|container_id)"\s*:\s*%b'
    rb'|"conversation"\s*:\s*(?:\{\s*"id"\s*:\s*)?%b'
    rb'|"item_reference"\s*,\s*"id"\s*:\s*%b|"id"\s*:\s*%b\s*,\s*"type"\s*:\s*"item_reference"' % (_ID, _ID, _ID, _ID)
)
_MADE = re.compile(rb'"id"\s*:\s*%b' % _ID)
# Possessive: nothing is remembered of each letter of what may be megabytes.
_ENCRYPTED = re.compile(rb'"encrypted_content"\s*+:\s*+("[^"\\]*+(?:\\.[^"\\]*+)*+")')
_SHORT = 16  # bytes of an encrypted content that is none
MAX_FOUND = 10_000  # so many ids, equal or not, are looked at in one text


def state_ids(text: bytes) -> Sequence[str]:
    """Each once, in the order of the text; encrypted contents as digests, after the ids."""
    short = elide_long_strings(text)
    found = dict.fromkeys(match[1].decode() for match in islice(_IDS.finditer(short), MAX_FOUND))
    for match in islice(_IN_FIELDS.finditer(short), MAX_FOUND):
        found[next(filter(None, match.groups())).decode("utf-8", "replace")] = None
    if b'"encrypted_content"' in short:
        for literal in (match[1] for match in islice(_ENCRYPTED.finditer(text), MAX_FOUND)):
            if len(literal) < _SHORT + 2:
                continue
            # Decoded, because a client may escape other letters of it than the provider did.
            with suppress(ValueError):
                content = json.loads(literal).encode("utf-8", "surrogatepass")
                found[f"enc_{hashlib.blake2b(content, digest_size=16).hexdigest()}"] = None
    return tuple(found)


def made_ids(text: bytes) -> Sequence[str]:
    """What a reply calls the things in it, whatever their ids look like, and all that `state_ids` finds."""
    made = (match[1].decode("utf-8", "replace") for match in islice(_MADE.finditer(text), MAX_FOUND))
    return tuple(dict.fromkeys((*state_ids(text), *made)))
