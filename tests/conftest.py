"""For all tests: how long an example of a property test takes says something about the machine, and nothing else."""

from hypothesis import settings

settings.register_profile("llmproxy", deadline=None)
settings.load_profile("llmproxy")
