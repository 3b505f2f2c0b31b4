"""What replicas know of endpoints, in one Redis hash: a field for each replica, with its stamp and its report.

Only Redis' clock counts. Its own `TIME` stamps what is put down, and the ages are worked out against its `TIME` again,
so that it does not matter how far apart the replicas' clocks are. Scripts may read the clock and then write since they
are replicated by their effects (Redis 5, "Scripting with Lua"). Each uses one key, as a cluster wants it.
"""

import hashlib
from collections.abc import Iterator, Sequence

from redis.exceptions import NoScriptError

from adapters.stores.redis.clients import RedisClient
from adapters.stores.redis.gate import RedisGate
from adapters.stores.report_codec import MAX_REPORT_BYTES, decode_report, encode_report
from application.store_ports import HeardReport
from domain.replica_report import ReplicaReport

_STAMP_DIGITS = 17  # microseconds since 1970 take 16 until the year 2286

_PUT = """
local time = redis.call('TIME')
local now, keep = time[1] * 1000000 + time[2], tonumber(ARGV[3])
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('UNLINK', KEYS[1]) end
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local stamp = tonumber(string.match(string.sub(fields[i + 1], 1, 18), '^(%d+):'))
  if not stamp or math.abs(now - stamp) > keep then redis.call('HDEL', KEYS[1], fields[i]) end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f:', now) .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', keep / 1000))
"""

_READ = """
local time = redis.call('TIME')
local reply = {string.format('%.0f', time[1] * 1000000 + time[2])}
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return reply end
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  if fields[i] ~= ARGV[1] and #fields[i + 1] <= tonumber(ARGV[2]) then
    reply[#reply + 1] = fields[i]
    reply[#reply + 1] = fields[i + 1]
  end
end
return reply
"""


async def _run(client: RedisClient, script: str, key: str, *arguments: str | bytes | int) -> list[bytes]:
    """Call a Lua script by its digest, on one key.

    Where a Redis does not know it (new, restarted, flushed), the call is made anew with the text, on the node that has
    the key. redis-py's own `Script` would send the text to every primary of a cluster first, and fail if one is away.
    """
    digest = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
    try:
        reply: list[bytes] = await client.evalsha(digest, 1, key, *arguments)
    except NoScriptError:
        reply = await client.eval(script, 1, key, *arguments)
    return reply


class RedisEndpointStateStore:
    """An `EndpointStateStore`. Reports older than `keep_s` seconds by Redis' clock are gone."""

    def __init__(self, gate: RedisGate, namespace: str, keep_s: float) -> None:
        self._gate = gate
        self._key = f"{namespace}:state"
        self._keep_us = int(keep_s * 1_000_000)
        self._read: dict[str, tuple[bytes, ReplicaReport | None]] = {}  # as last found: only changes are decoded again

    async def put(self, replica: str, report: ReplicaReport) -> None:
        """Drops what is too old as well. One that is too large changes nothing. Raises `StoreUnavailable`."""
        packed = encode_report(report)
        if packed is not None:
            await self._gate.write(lambda client: _run(client, _PUT, self._key, replica, packed, self._keep_us))

    async def others(self, replica: str) -> Sequence[HeardReport]:
        """Writes nothing, so it works on a replica and on a full Redis as well. Raises `StoreUnavailable`."""
        longest = _STAMP_DIGITS + 1 + MAX_REPORT_BYTES
        now_us, *fields = await self._gate.read(lambda client: _run(client, _READ, self._key, replica, longest))
        before, self._read = self._read, {}
        heard = []
        for name, stamp_us, packed in _stamped(fields):
            age_us = int(now_us) - stamp_us
            if abs(age_us) > self._keep_us:
                continue
            known = before.get(name)
            report = known[1] if known and known[0] == packed else decode_report(packed)
            self._read[name] = (packed, report)
            if report is not None:
                # Redis' own clock may have been set back since.
                heard.append(HeardReport(name, max(0, age_us) / 1_000_000, report))
        return heard


def _stamped(fields: Sequence[bytes]) -> Iterator[tuple[str, int, bytes]]:
    for name, value in zip(fields[::2], fields[1::2], strict=True):
        stamp, colon, packed = value.partition(b":")
        if colon and stamp.isdigit() and len(stamp) <= _STAMP_DIGITS:
            try:
                yield name.decode(), int(stamp), packed
            except UnicodeDecodeError:
                continue
