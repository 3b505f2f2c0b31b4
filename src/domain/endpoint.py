"""One place a request can be sent to."""

from msgspec import Struct

from domain.cost import Price


class Endpoint(Struct, frozen=True):
    """A model at one provider account, as the router sees it: no URL, no key.

    `bucket` and `account` are keyed digests, so that two endpoints can be seen to share a rate limit or a bill
    without anybody seeing the key.
    """

    id: str  # What people see in logs and headers: `group/1`, `group/2`, ... or the `id` of the config.
    model: str  # the upstream's own name of the model, or of the Azure deployment
    provider: str  # `openai` or `azure`: whose words the answers are in
    weight: int = 1  # share of the traffic within its tier; 0 = only when no endpoint with a weight can serve
    bucket: str = ""  # digest of host, key and model: endpoints that are equal here share one rate limit
    account: str = ""  # digest of host, key, organization and project: shares a bill, and what is stored
    identity: str = ""  # digest of host, path, model, api-version and key: the same on all replicas
    owns_credential: bool = True  # False = the client's own key is passed through; a 401 is the client's
    rpm: int | None = None  # requests a minute, where the configuration knows it; None = only replies tell
    tpm: int | None = None  # tokens a minute, likewise
    connect_timeout_s: float = 5.0
    first_byte_timeout_s: float = 120.0  # for streams: until the first event
    whole_reply_timeout_s: float = 600.0  # not streamed: the first byte comes when all is generated
    stream_idle_timeout_s: float = 300.0
    request_timeout_s: float = 600.0
    price: Price | None = None  # None = unknown
    baseline: Price | None = None  # what the same tokens are held against; None = the price itself, or nothing
    priority: int = 0  # the lower, the earlier its tier is used; of weight 0 it says nothing
    is_provisioned: bool = False  # is it provisioned capacity, whose limit is known by its 429s alone?
    output_token_ratio: float = 1.0  # of provisioned capacity: an output token counts for so many input tokens
