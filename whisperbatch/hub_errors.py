"""Explain why the model hub gave nothing, from the errors that its client raises."""

import os
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

HUB = "https://huggingface.co"  # the client's own, when the environment names no other
UNKNOWN, TOO_MANY = (401, 403, 404), 429


def is_unknown(error: BaseException) -> bool:
    """True if the hub answered that it has no such model, or none that we may see."""
    return _status(error) in UNKNOWN


def fault(error: BaseException) -> str:
    """Describe what is wrong: the network, the hub, or the local disk."""
    host = urlsplit(os.environ.get("HF_ENDPOINT") or HUB).netloc
    status = _status(error)
    if status is not None:
        more = "refuses more requests for now" if status == TOO_MANY else "answers with an error"
        return f"{host} {more} (HTTP {status})"
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return f"the hub cannot be reached: the name {host} cannot be resolved"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the hub cannot be reached: the certificate of {host} is not trusted ({cause.args[-1]})"
        if isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__:
            return f"the hub cannot be reached: {host} does not answer in time"
    if any("Offline" in type(cause).__name__ for cause in causes):
        return "HF_HUB_OFFLINE forbids it"
    refusal = next((one for one in causes if isinstance(one, OSError) and one.errno and one.strerror), None)
    if refusal is None:
        return f"the hub cannot be reached: {type(error).__name__} from {host}"
    reason = (refusal.strerror or "").lower()
    if isinstance(refusal, ConnectionError) or not refusal.filename:
        return f"the hub cannot be reached: {reason} ({host})"
    return f"{refusal.filename}: {reason}"


def _status(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__
