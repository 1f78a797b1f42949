"""What went wrong with a hub, in words."""

from __future__ import annotations

import os

from .problems import TrainerFailure

DEFAULT_ENDPOINT = "https://huggingface.co"
REFUSED = (401, 403)
REASON_CHARACTERS_MAX = 600


def endpoint() -> str:
    """The hub that this process asks."""
    return os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT


def hub_failure(what: str, error: BaseException, field: str) -> TrainerFailure:
    """Says which hub could not give what, and why: AUTH where it asked for a token that allows it, else DATA."""
    chain = _chain(error)
    reason = " ".join(str(error).split())[:REASON_CHARACTERS_MAX].rstrip(".")
    message = f"{what} cannot be fetched from {endpoint()}: {reason or type(error).__name__}."
    is_refused = any(getattr(getattr(one, "response", None), "status_code", None) in REFUSED for one in chain)
    if is_refused or "gated" in reason.lower():
        return TrainerFailure("AUTH", message, field=field, hint="Give a token that may read it: HF_TOKEN in training_config.environment.")
    if any(type(one).__name__ == "OfflineModeIsEnabled" for one in chain):
        hint = "HF_HUB_OFFLINE is set, so only what is in the cache can be used."
        return TrainerFailure("DATA", message, field=field, hint=hint)
    return TrainerFailure("DATA", message, field=field)


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
