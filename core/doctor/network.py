"""Is the Hub there, and is the token good?"""

from __future__ import annotations

from core.doctor.check import Check
from core.errors import TunedeckError


def check_hub() -> Check:
    """Reachability. Without the Hub everything local still works."""
    from huggingface_hub import constants

    from core.models.hub import check_reachable, is_offline

    if is_offline():
        return Check("hub", "skip", "switched off by HF_HUB_OFFLINE; models at hand still work")
    try:
        check_reachable()
    except TunedeckError as error:
        return Check("hub", "warn", f"{error.what}; models at hand still work", error.fix)
    return Check("hub", "ok", f"reachable at {constants.ENDPOINT}")


def check_token() -> Check:
    """Whether there is a token and whether the Hub takes it. The token itself is never shown."""
    from huggingface_hub import get_token

    from core.models.hub import api, check_reachable, hub_errors

    if not get_token():
        return Check("hub token", "skip", "none; needed for gated and private models only", "hf auth login")
    try:
        check_reachable()
        with hub_errors():
            who = api().whoami()
    except TunedeckError as error:
        return Check("hub token", "warn", f"there is one, and it could not be tried: {error.what}", error.fix)
    role = who.get("auth", {}).get("accessToken", {}).get("role", "")
    return Check("hub token", "ok", f"of {who.get('name', '?')}" + (f", may {role}" if role else ""))
