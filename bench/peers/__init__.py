"""The same work through nginx, LiteLLM and Portkey, through gateways that are given by their command, and through other
commits, beside LLMProxy, in one run."""
