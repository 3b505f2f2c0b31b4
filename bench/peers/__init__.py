"""The same work through nginx, LiteLLM and Portkey, beside LLMProxy, in one run."""

from bench.peers.rows import PLANS
from bench.servers.children import DidNotStart

TROUBLE = (DidNotStart,)
"""What a peer may raise when it cannot be measured."""

__all__ = ["PLANS", "TROUBLE"]
