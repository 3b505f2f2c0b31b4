"""A simulated OpenAI / Azure OpenAI provider: real HTTP on a real socket, with full control over the wire.

For trying a configuration, for the demo, for tests and benchmarks. `SimulatedProvider` is all that others need.
"""

from simulator.faults.rules import Rule
from simulator.records import Counts, Record
from simulator.server import SimulatedProvider
from simulator.settings import ProviderSettings

__all__ = ["Counts", "ProviderSettings", "Record", "Rule", "SimulatedProvider"]
