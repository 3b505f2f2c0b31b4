"""In which ratios the kinds of clients come."""

from collections.abc import Awaitable, Callable, Mapping

from bench.soak.departures import (
    leaves_before_headers,
    leaves_mid_body,
    leaves_mid_stream,
    leaves_mid_upload,
    slow_reader,
)
from bench.soak.kinds import (
    all_broken,
    bad_request,
    broken_stream,
    chat_chopped,
    chat_stream,
    chat_stream_new,
    chat_stream_popular,
    chat_whole,
    chat_whole_popular,
    dialogue,
    embedding,
    failover_stream,
    failover_whole,
    limited,
    new_address,
    own_key,
    pass_through,
    response_stream,
    unknown_path,
    upload,
)
from bench.soak.questions import Dice
from bench.wire import Client

Kind = Callable[[Client, Dice], Awaitable[str]]
"""Returns a short word for what happened; raises `Unexpected`."""

FILLING: Mapping[Kind, int] = {unknown_path: 1_200, new_address: 300}
"""What comes first, and how much of it: the framework remembers the routes of the last 1,024 paths, the proxy about as
many clients, the upstream adapter 256 addresses. At the rate of the mix these take long to come, and their filling
would look like a leak."""

MIX: Mapping[Kind, int] = {
    chat_stream: 404,
    chat_stream_popular: 90,
    chat_stream_new: 60,
    response_stream: 60,
    failover_stream: 25,
    chat_chopped: 15,
    broken_stream: 16,
    slow_reader: 4,
    leaves_mid_stream: 20,
    leaves_before_headers: 15,
    leaves_mid_body: 8,
    leaves_mid_upload: 7,
    chat_whole: 75,
    chat_whole_popular: 60,
    embedding: 60,
    dialogue: 15,
    failover_whole: 20,
    own_key: 10,
    limited: 8,
    all_broken: 5,
    upload: 5,
    bad_request: 8,
    pass_through: 10,
}
"""Of a thousand arrivals. About 70 % are streams, 5 % leave early, 5 % meet an error or are one."""
