"""Whether a hub is there, and what went wrong with it, in words."""

from __future__ import annotations

import os
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .parsing import object_at
from .problems import TrainerFailure

DEFAULT_ENDPOINT = "https://huggingface.co"
REFUSED = (401, 403)
REASON_CHARACTERS_MAX = 600
# What huggingface_hub raises where it may not ask, or could not, and the cache has nothing.
UNASKED = ("OfflineModeIsEnabled", "LocalEntryNotFoundError")
HUB_PACKAGES = ("huggingface_hub", "httpx2")
ASKED_TIMES = 3
ASK_SECONDS = 3.0
ASK_AGAIN_SECONDS = 1.0

# Why nothing answers at the hub's address, once that has been found out.
_unreachable: str | None = None


def endpoint() -> str:
    """The hub that this process asks."""
    return os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT


def names_hub(job: dict[str, Any]) -> bool:
    """Whether a job names anything that a hub has: by an id, where a folder would be an absolute path."""
    training, evaluation = object_at(job, "training_config"), object_at(job, "evaluation")
    base, values = object_at(training, "base_model"), object_at(training, "hyperparameters")
    sources = object_at(job, "data_config").get("sources") or []
    trained = [base.get("model_id"), base.get("tokenizer_id"), values.get("reward_model")]
    named = [evaluation.get("model"), evaluation.get("base")] if evaluation else trained
    return any(name and not Path(name).is_absolute() for name in named) or any(source.get("type") == "huggingface" for source in sources)


def leave_unreachable_hub() -> None:
    """
    Where nothing answers at the hub's address: only the cache is used. huggingface_hub would try each file for half a minute.
    To be called before it is imported.
    """
    global _unreachable
    address = urlsplit(endpoint())
    if os.environ.get("HF_HUB_OFFLINE") or address.hostname is None or _has_proxy(address.scheme, address.hostname):
        return
    port = address.port or (80 if address.scheme == "http" else 443)
    for time_left in reversed(range(ASKED_TIMES)):
        try:
            socket.create_connection((address.hostname, port), timeout=ASK_SECONDS).close()
            return
        except OSError as error:
            _unreachable = f"{error.strerror or error}; it is not in the cache either"
        if time_left:
            time.sleep(ASK_AGAIN_SECONDS)
    os.environ["HF_HUB_OFFLINE"] = "1"


def _has_proxy(scheme: str, host: str) -> bool:
    proxies = urllib.request.getproxies()
    return bool(proxies.get(scheme) or proxies.get("all")) and not urllib.request.proxy_bypass(host)


@contextmanager
def fetching(what: str, name: str, field: str) -> Iterator[None]:
    """Raises TrainerFailure where what is read inside, by its `name` on a hub, cannot be fetched. A folder's errors stay as they are."""
    try:
        yield
    except Exception as error:
        is_of_hub = any(type(one).__module__.split(".")[0] in HUB_PACKAGES for one in _chain(error))
        # transformers tells in errors without a number what a model lacks; those of this machine have one, as of a full disk.
        is_of_hub = is_of_hub or isinstance(error, OSError)
        if Path(name).is_absolute() or getattr(error, "errno", None) is not None or not is_of_hub:
            raise
        raise hub_failure(f"{what} {name}", error, field) from error


def hub_failure(what: str, error: BaseException, field: str) -> TrainerFailure:
    """Says which hub could not give what, and why: AUTH where it asked for a token that allows it, else DATA."""
    chain = _chain(error)
    reason = " ".join(str(error).split())[:REASON_CHARACTERS_MAX].rstrip(".")
    is_unasked = _is_unasked(error)
    if is_unasked and _unreachable:
        reason = _unreachable
    message = f"{what} cannot be fetched from {endpoint()}: {reason or type(error).__name__}."
    is_refused = any(getattr(getattr(one, "response", None), "status_code", None) in REFUSED for one in chain)
    if is_refused or "gated" in reason.lower():
        return TrainerFailure("AUTH", message, field=field, hint="Give a token that may read it: HF_TOKEN in training_config.environment.")
    hint = None
    if is_unasked and _unreachable:
        hint = "Let the machine reach it, name another hub (HF_ENDPOINT, or the operator's SCAIMIND_HF_ENDPOINT), or give a folder, ./ or / before it."
    elif is_unasked and os.environ.get("HF_HUB_OFFLINE"):
        hint = "HF_HUB_OFFLINE is set, so only what is in the cache can be used."
    return TrainerFailure("DATA", message, field=field, hint=hint)


def _is_unasked(error: BaseException) -> bool:
    return any(type(one).__name__ in UNASKED for one in _chain(error)) or UNASKED[0] in str(error)


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
