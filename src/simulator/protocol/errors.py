"""Refusals in each provider's own words.

Wording and shapes: OpenAI error-codes guide, openai-python#937, vanderschaarlab/climb#1, icereed/paperless-gpt#814,
microsoft/agent-framework#6419, BerriAI/litellm#18094, home-assistant/core#150251 and Microsoft's Azure OpenAI
troubleshooting page. Conversations, completions and files that do not exist are worded like responses: nobody has
published what the provider says of them.
"""

from typing import Any

from simulator.protocol.reply import Reply, json_reply
from simulator.protocol.routes import Route


def openai_error(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
    **more: Any,
) -> Reply:
    """`{"error": {message, type, param, code}}`, all four always present."""
    return json_reply(status, {"error": {"message": message, "type": kind, "param": param, "code": code}}, **more)


def azure_error(status: int, code: str, message: str, **more: Any) -> Reply:
    """`{"error": {code, message}}`: what Azure's gateway says before a model is reached."""
    return json_reply(status, {"error": {"code": code, "message": message}}, **more)


def missing_key() -> Reply:
    return openai_error(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
        "auth (i.e. Authorization: Bearer YOUR_KEY).",
    )


def wrong_key(key: str) -> Reply:
    """Echoes the ends of the key, as JSON under `text/plain`: both as OpenAI does."""
    return openai_error(
        401,
        f"Incorrect API key provided: {_masked(key)}. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        code="invalid_api_key",
        content_type=b"text/plain; charset=utf-8",
    )


def _masked(key: str) -> str:
    return f"{key[:5]}***{key[-4:]}" if len(key) > 12 else f"{key[:2]}***"


def azure_denied() -> Reply:
    return azure_error(
        401,
        "401",
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for "
        "an active subscription and use a correct regional API endpoint for your resource.",
    )


def route_refused(route: Route) -> Reply:
    """The path, the method or the api-version does not exist."""
    if route.fault == "api_version_refused":
        return azure_error(400, "BadRequest", "API version not supported")
    if route.fault == "api_version_not_allowed":
        return azure_error(400, "BadRequest", "api-version query parameter is not allowed when using /v1 path")
    if route.is_azure:
        return azure_error(404, "404", "Resource not found")
    if route.fault == "no_such_method":
        return openai_error(
            405,
            f"Not allowed to {route.method} on {route.path}. (HINT: Perhaps you meant to use a different HTTP method?)",
            code="method_not_supported",
        )
    return openai_error(404, f"Invalid URL ({route.method} {route.path})")


def not_json() -> Reply:
    return openai_error(
        400,
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
        "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)",
    )


def missing_parameter(name: str) -> Reply:
    if name == "model":
        return openai_error(400, "you must provide a model parameter")
    return openai_error(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def invalid_parameter(name: str | None, reason: str) -> Reply:
    return openai_error(400, f"Invalid value: {reason}", param=name, code="invalid_value")


def context_too_long(tokens: int, most: int) -> Reply:
    return openai_error(
        400,
        f"This model's maximum context length is {most} tokens. However, your messages resulted in {tokens} tokens. "
        "Please reduce the length of the messages.",
        param="messages",
        code="context_length_exceeded",
    )


def unknown_model(model: str, route: Route) -> Reply:
    if route.is_azure:
        return azure_error(
            404,
            "DeploymentNotFound",
            "The API deployment for this resource does not exist. If you created the deployment within the last 5 "
            "minutes, please wait a moment and try again.",
        )
    return openai_error(
        404, f"The model `{model}` does not exist or you do not have access to it.", code="model_not_found"
    )


def unknown(kind: str, thing_id: str) -> Reply:
    """A response, a conversation or whatever else is kept does not exist here."""
    return openai_error(404, f"{kind} with id '{thing_id}' not found.")


def unknown_item(item_id: str) -> Reply:
    """The input refers to an item that does not exist here."""
    return openai_error(
        404,
        f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false. Try again with "
        "`store` set to true, or remove this item from your input.",
        param="input",
    )


def unknown_previous_response(response_id: str) -> Reply:
    return openai_error(
        400,
        f"Previous response with id '{response_id}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def foreign_encrypted_content(content: str) -> Reply:
    return openai_error(
        400,
        f"The encrypted content {content[:4]}...{content[-4:]} could not be verified.",
        code="invalid_encrypted_content",
    )


def two_pasts() -> Reply:
    return openai_error(
        400,
        "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. Ensure you are only providing one "
        "of them.",
        param="previous_response_id",
        code="mutually_exclusive_parameters",
    )


def not_cancellable() -> Reply:
    return openai_error(400, "Only responses with the parameter 'background' set to true can be cancelled.")
