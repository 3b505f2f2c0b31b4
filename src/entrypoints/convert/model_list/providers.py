"""Which of LiteLLM's providers speak OpenAI's API themselves, and where.

Sources: LiteLLM's `get_llm_provider_logic.py` and its pages on providers. Addresses that are missing there are
those of the providers' own documentation.
"""

from collections.abc import Mapping

from msgspec import Struct


class Provider(Struct, frozen=True):
    base_url: str | None = None  # where it is, if the file does not say; None = the file must say it
    key: str | None = None  # the variable in which LiteLLM looks for its key; None = it wants none
    is_translated: bool = True  # whether LiteLLM changes requests for it, which come to it as they are here


_OPENAI = Provider("https://api.openai.com/v1", "OPENAI_API_KEY", is_translated=False)
_OWN_SERVER = Provider(is_translated=False)

PROVIDERS: Mapping[str, Provider] = {
    "openai": _OPENAI,
    "text-completion-openai": _OPENAI,
    "azure": Provider(None, "AZURE_API_KEY", is_translated=False),
    "azure_text": Provider(None, "AZURE_API_KEY", is_translated=False),
    "azure_ai": Provider(None, "AZURE_AI_API_KEY"),
    **dict.fromkeys(
        ("custom_openai", "openai_like", "aiohttp_openai", "hosted_vllm", "vllm", "llamafile"), _OWN_SERVER
    ),
    **dict.fromkeys(("lm_studio", "docker_model_runner", "xinference", "lemonade"), _OWN_SERVER),
    "litellm_proxy": Provider(None, "LITELLM_PROXY_API_KEY", is_translated=False),
    "ollama": Provider("http://localhost:11434/v1"),
    "ollama_chat": Provider("http://localhost:11434/v1"),
    "cerebras": Provider("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "deepinfra": Provider("https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    "deepseek": Provider("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "fireworks_ai": Provider("https://api.fireworks.ai/inference/v1", "FIREWORKS_AI_API_KEY"),
    "gemini": Provider("https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    "groq": Provider("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "hyperbolic": Provider("https://api.hyperbolic.xyz/v1", "HYPERBOLIC_API_KEY"),
    "meta_llama": Provider("https://api.llama.com/compat/v1", "LLAMA_API_KEY"),
    "mistral": Provider("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "moonshot": Provider("https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    "nvidia_nim": Provider("https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
    "openrouter": Provider("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "perplexity": Provider("https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    "sambanova": Provider("https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    "together_ai": Provider("https://api.together.xyz/v1", "TOGETHERAI_API_KEY"),
    "xai": Provider("https://api.x.ai/v1", "XAI_API_KEY"),
}

_NAMES = """
    a2a aiml ai21 ai21_chat aleph_alpha anthropic anthropic_text anyscale aws_polly baseten bedrock bedrock_converse
    black_forest_labs bytez chatgpt clarifai cloudflare codestral cohere cohere_chat custom databricks datarobot
    deepgram elevenlabs fal_ai friendliai galadriel gigachat github github_copilot gradient_ai huggingface
    infinity jina_ai langgraph maritalk nlp_cloud oci petals predibase ragflow recraft replicate runwayml sagemaker
    sagemaker_chat sap snowflake stability topaz triton vertex_ai vertex_ai_beta volcengine voyage watsonx
    watsonx_text
"""
_TRANSLATED_ONLY = frozenset(_NAMES.split())
_OTHERS = "claude gemini command mistral mixtral llama deepseek grok amazon. anthropic."
_OTHERS_MODELS = tuple(_OTHERS.split())
_ROUTES = ("responses/", "o_series/", "gpt5_series/", "chat/")  # between provider and model, for LiteLLM alone


class Resolved(Struct, frozen=True):
    """What LiteLLM's name of a model means."""

    name: str  # the provider, as LiteLLM calls it
    provider: Provider
    model: str  # the name by which the provider knows the model
    is_guess: bool  # whether the input did not name the provider


def resolve(model: str, custom: str | None, *, has_address: bool) -> Resolved | str:
    """The provider behind `model` (`azure/my-deployment`), or why there is none; `custom`: `custom_llm_provider`."""
    prefix, slash, rest = model.partition("/")
    name = custom or (prefix if slash and (prefix in PROVIDERS or prefix in _TRANSLATED_ONLY) else None)
    if slash and prefix == name:
        model = rest
    if name is None:
        if has_address:
            return Resolved("openai", PROVIDERS["openai"], model, is_guess=True)
        if slash or model.startswith(_OTHERS_MODELS):
            return (
                "LiteLLM would have to find out what provider this is; if it speaks OpenAI's API, write an endpoint "
                "with its base_url and api_key"
            )
        return Resolved(
            "openai", PROVIDERS["openai"], model, is_guess=not model.startswith(("gpt", "text-", "o1", "o3"))
        )
    provider = PROVIDERS.get(name) or (_OWN_SERVER if has_address and name not in _TRANSLATED_ONLY else None)
    if provider is None or (name.startswith("azure") and "claude" in model):
        known = name if name in PROVIDERS or name in _TRANSLATED_ONLY else "it"  # else it may be anything, even a key
        return (
            f"LiteLLM translates for {known}, and this proxy changes no request; where that provider has an address "
            "that speaks OpenAI's API, write an endpoint with its base_url"
        )
    for route in _ROUTES:
        if name.startswith(("azure", "openai")) and model.startswith(route):
            model = model.removeprefix(route)
    return Resolved(name, provider, model, is_guess=False)
