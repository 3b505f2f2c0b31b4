"""What tiers and the cache save on public traces of LLM traffic, in virtual time, beside the least that it could be."""
