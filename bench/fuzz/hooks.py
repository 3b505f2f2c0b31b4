"""Schemathesis' own checks, and one of ours; loaded by it, in an environment of its own (`bench.fuzz.surface`)."""

from typing import Any

import schemathesis


@schemathesis.check
def own_errors_are_in_the_document(ctx: Any, response: Any, case: Any) -> None:  # noqa: ARG001 - its arguments
    """What the proxy refuses without asking anybody has the shape, the status and the code that the document has."""
    if response.status_code < 400 or response.headers.get("x-llmproxy-attempts", ["0"])[0] != "0":
        return
    if case.method.upper() == "HEAD":
        return
    error = response.json()["error"]
    responses = case.operation.schema.raw_schema["components"]["responses"]
    told = responses[f"Own{response.status_code}"]["description"]
    if set(error) != {"message", "type", "param", "code"} or f"`{error['code']}`" not in told:
        raise AssertionError(f"{error} is not in the document, which has: {told}")
