"""The table `[trust]` of the settings file: a rule for each scope. Strict: what is not understood is refused.

[trust]
default = "require-digest"
"docker.io/library" = "accept"
"registry.example/team" = { policy = "signed", key = "/etc/reconciler/team.pub" }
"""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

from reconciler.core.trust import check_scope
from reconciler.settings import TrustPolicy, TrustRule

_POLICIES = get_args(TrustPolicy)


def read_trust(value: object) -> tuple[TrustRule, ...]:
    """The rules in `value`, as it stands in the file. Raises ValueError with the reason."""
    if not isinstance(value, dict):
        raise ValueError("it must be a table of scopes")
    return tuple(_rule(check_scope(scope), entry) for scope, entry in value.items())


def _rule(scope: str, entry: object) -> TrustRule:
    table = entry if isinstance(entry, dict) else {"policy": entry}
    unknown = sorted(table.keys() - {"policy", "key"})
    if unknown:
        raise ValueError(f"'{unknown[0]}' of {scope} is not known; there are policy and key")
    policy, key = table.get("policy"), table.get("key")
    if policy not in _POLICIES:
        raise ValueError(f"the policy of {scope} must be one of {', '.join(_POLICIES)}")
    if (policy == "signed") != (key is not None):
        raise ValueError(f"the key of {scope} belongs to the policy signed, and that needs one")
    if key is not None and not (isinstance(key, str) and key.startswith("/") and "\0" not in key):
        raise ValueError(f"the key of {scope} must be the absolute path of a public key")
    return TrustRule(scope=scope, policy=cast("TrustPolicy", policy), key=Path(key) if key else None)
