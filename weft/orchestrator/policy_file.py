"""Policies in files, as `weft tune` writes them.

import: [mine.py]            # what marks the policy, if it is not weft's or a package's
policy: {brisk: {most: 2}}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from weft.errors import ConfigError, WeftError
from weft.orchestrator.policy import POLICIES, Policy, parse_policy
from weft.parts.importing import load
from weft.parts.spec import from_folder


def load_policy(policy: Policy | str) -> Policy:
    """A policy by its spec, or by the path of a YAML file whose field `policy` holds one.

    Raises:
        UnknownName: there is no such policy or parameter.
        UsageError: the spec is malformed, or a value is not allowed.
        ConfigError: the file can't be read, or does not say a policy.
    """
    if isinstance(policy, Policy):
        return policy
    if not policy.endswith((".yaml", ".yml")) and (
        policy.endswith(".py") or not Path(policy).is_file()
    ):
        return parse_policy(policy)
    import yaml

    try:
        read: object = yaml.safe_load(Path(policy).read_text(encoding="utf-8"))
    except OSError as e:
        raise ConfigError(f"can't read policy {policy}: {e.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as e:
        reason = " ".join(str(e).split())
        raise ConfigError(f"{policy}: not valid YAML: {reason}") from None
    fields = cast("dict[str, Any]", read) if isinstance(read, dict) else {}
    found = fields.get("policy")
    if not isinstance(found, str | Mapping):
        raise ConfigError(f"{policy} needs a field `policy`, such as `policy: {{cap: {{k: 8}}}}`")
    folder = Path(policy).absolute().parent
    for source in _imports(policy, fields.get("import")):
        try:
            load(source, folder)
        except WeftError as e:
            raise ConfigError(f"{policy}: import: {e}") from e
    try:
        return parse_policy(from_folder(cast("str | Mapping[str, Any]", found), folder))
    except WeftError as e:
        raise ConfigError(f"{policy}: policy: {e}") from None


def _imports(policy: str, given: object) -> list[str]:
    listed: list[Any] = cast("list[Any]", given) if isinstance(given, list) else [given]
    if given is None:
        return []
    if not all(isinstance(one, str) for one in listed):
        raise ConfigError(f"{policy}: import: must be a Python file or a module, or a list of them")
    return listed


def dump_policy(policy: Policy, found: Mapping[str, Any]) -> str:
    """A policy with all its parameters as YAML for `load_policy`.

    Args:
        policy: what to keep.
        found: how it was found, for people; plain data.
    """
    import yaml

    values = {p.name: getattr(policy, p.name) for p in policy.parameters()}
    source = POLICIES.source(type(policy))
    fields = {"import": [source]} if source is not None else {}
    fields |= {"policy": {policy.name: values}, "found": dict(found)}
    return yaml.safe_dump(fields, sort_keys=False)
