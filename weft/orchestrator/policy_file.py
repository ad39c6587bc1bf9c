"""Policies in files, as `weft tune` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from weft.errors import ConfigError, WeftError
from weft.orchestrator.policy import Policy, parse_policy


def load_policy(policy: Policy | str) -> Policy:
    """A policy by its spec, or by the path of a YAML file whose field `policy` holds one.

    Raises:
        UnknownName: there is no such policy or parameter.
        UsageError: the spec is malformed, or a value is not allowed.
        ConfigError: the file can't be read, or does not say a policy.
    """
    if isinstance(policy, Policy):
        return policy
    if not policy.endswith((".yaml", ".yml")) and not Path(policy).is_file():
        return parse_policy(policy)
    import yaml

    try:
        read: object = yaml.safe_load(Path(policy).read_text(encoding="utf-8"))
    except OSError as e:
        raise ConfigError(f"can't read policy {policy}: {e.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as e:
        reason = " ".join(str(e).split())
        raise ConfigError(f"{policy}: not valid YAML: {reason}") from None
    found = cast("dict[str, Any]", read).get("policy") if isinstance(read, dict) else None
    if not isinstance(found, str | Mapping):
        raise ConfigError(f"{policy} needs a field `policy`, such as `policy: {{cap: {{k: 8}}}}`")
    try:
        return parse_policy(cast("str | Mapping[str, Any]", found))
    except WeftError as e:
        raise ConfigError(f"{policy}: policy: {e}") from None


def dump_policy(policy: Policy, found: Mapping[str, Any]) -> str:
    """A policy with all its parameters as YAML for `load_policy`.

    Args:
        policy: what to keep.
        found: how it was found, for people; plain data.
    """
    import yaml

    values = {p.name: getattr(policy, p.name) for p in policy.parameters()}
    return yaml.safe_dump({"policy": {policy.name: values}, "found": dict(found)}, sort_keys=False)
