"""A simulated OpenAI / Azure OpenAI provider: real HTTP on a real socket, with full control over the wire.

For trying a configuration, for the demo, for tests and benchmarks. `SimulatedProvider` is all that others need.
"""

from adapters.provider.faults import Rule
from adapters.provider.records import Counts, Record
from adapters.provider.server import SimulatedProvider
from adapters.provider.settings import ProviderSettings

__all__ = ["Counts", "ProviderSettings", "Record", "Rule", "SimulatedProvider"]
