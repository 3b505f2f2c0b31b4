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

_PREFIXES = (
    "resp_", "conv_", "item_", "msg_", "rs_", "cmp_", "fc_", "ctc_", "ws_", "fs_", "ci_", "ig_", "mcp_", "mcpl_", "cu_",
    "pmpt_", "chatcmpl-", "audio_", "file-", "file_", "assistant-", "vs_", "vsfb_", "cntr_", "cfile_", "batch_",
    "upload_", "ftjob-", "ftckpt_", "thread_", "asst_", "run_", "step_", "video_", "eval_", "evalrun_", "skill_",
)  # fmt: skip
# A digit is what tells an id from a word such as file_search_call.
_IDS = re.compile(rb'"((?:' + "|".join(_PREFIXES).encode() + rb')(?=[A-Za-z_.\-]*[0-9])[A-Za-z0-9_.\-]{6,200})"')
_ENCRYPTED = re.compile(rb'"encrypted_content"\s*:\s*("(?:[^"\\]|\\.){16,}")')


def state_ids(text: bytes) -> Sequence[str]:
    """Each once, in the order of the text; encrypted contents as digests, after the ids."""
    found = dict.fromkeys(match.decode() for match in _IDS.findall(text))
    if b'"encrypted_content"' in text:
        for literal in _ENCRYPTED.findall(text):
            # Decoded, because a client may escape other letters of it than the provider did.
            with suppress(ValueError):
                content = json.loads(literal).encode("utf-8", "surrogatepass")
                found[f"enc_{hashlib.blake2b(content, digest_size=16).hexdigest()}"] = None
    return tuple(found)
