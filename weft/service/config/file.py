"""The service's configuration: read from one YAML file, and compared for a reload."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from weft.backends.kinds import specs
from weft.config_file import ConfigFile, Place, read
from weft.errors import UsageError
from weft.parts.importing import absolute, load
from weft.parts.spec import from_folder
from weft.service.config.api_key import HASH, SHORTEST, hash_key
from weft.service.config.engine_settings import EngineConfig
from weft.service.config.settings import ServiceConfig

__all__ = ["Changes", "Options", "ServiceConfig", "changed", "load_config", "schema"]

Options = Mapping[str, tuple[Place, Any]]
"""Options of the command line by name, such as `--port`: the place that each sets, and to what."""

_VARIABLE = re.compile(r"(\$?)\$\{([^}]*)(\}?)")
_PATHS: tuple[Place, ...] = (("policy",), ("store",), ("local", "model"))


def load_config(path: Path | None, options: Options | None = None) -> ServiceConfig:
    """Read and check a configuration.

    Args:
        path: the YAML file; None for none.
        options: what the command line says, which counts more.

    Raises:
        ConfigError: naming the line, the field and the remedy.
    """
    file = ConfigFile(None, {}, {})
    if path is not None:
        file = read(path, "configuration", "engines: [http://127.0.0.1:8000]")
        # Options first: what they replace need not make sense.
        file = _with_options(file, options or {})
        file = replace(file, data=_resolved(_filled(file, file.data, ()), path.parent, file))
    else:
        file = _with_options(file, options or {})
    _import(file)
    config = file.check(ServiceConfig)
    for place, reason in _problems(config):
        raise file.error(place, reason)
    return config


def schema() -> dict[str, Any]:
    """The JSON schema of the file, for editors and for checks."""
    found = ServiceConfig.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between two configurations, for a reload.

    Attributes:
        applies: sections that can be changed while the service runs.
        added: engines that are new; one whose fields changed is removed and added.
        removed: engines that are not there any more.
        restart: for each section that can't be changed, a sentence that says so.
    """

    applies: tuple[str, ...]
    added: tuple[EngineConfig, ...]
    removed: tuple[EngineConfig, ...]
    restart: tuple[str, ...]


_FIXED = {
    "listen": "it listens where it did",
    "imports": "what was imported stays as it was",
    "local": "the replicas on this machine stay as they are",
    "policy": "the scheduler keeps its policy",
    "roles": "roles keep their models",
    "store": "it keeps its store",
    "telemetry": "logs and traces go on as before",
    "health": "engines are watched as before",
}

_FIXED_LIMITS = {
    "header_bytes": "heads of requests are limited as before",
    "lease_seconds": "leases last as long as before",
    "outage_seconds": "requests wait for lost engines as before",
    "standstill_seconds": "requests that the policy keeps out of idle engines wait as before",
}


def changed(old: ServiceConfig, new: ServiceConfig) -> Changes:
    """What a reload can apply, and what needs a restart."""
    differ = [f for f in ServiceConfig.model_fields if getattr(old, f) != getattr(new, f)]
    restart = [
        f"{ServiceConfig.model_fields[name].alias or name} has changed, but {_FIXED[name]} until "
        "the service is restarted"
        for name in differ
        if name in _FIXED
    ]
    restart += [
        f"limits.{name} has changed, but {how} until the service is restarted"
        for name, how in _FIXED_LIMITS.items()
        if getattr(old.limits, name) != getattr(new.limits, name)
    ]
    return Changes(
        applies=tuple(name for name in differ if name not in _FIXED),
        added=tuple(e for e in new.engines if e not in old.engines),
        removed=tuple(e for e in old.engines if e not in new.engines),
        restart=tuple(restart),
    )


def _with_options(file: ConfigFile, options: Options) -> ConfigFile:
    data: dict[str, Any] = dict(file.data)
    for name, (place, value) in options.items():
        section: dict[Any, Any] = data
        for key in place[:-1]:
            inner: Any = section.get(str(key))
            if inner is not None and not isinstance(inner, Mapping):
                raise file.error(place[:-1], f"must have fields, for {name} to set one")
            section[str(key)] = dict(cast("Mapping[str, Any]", inner or {}))
            section = section[str(key)]
        section[str(place[-1])] = value
    return replace(file, data=data, options={place: n for n, (place, _) in options.items()})


def _filled(file: ConfigFile, value: Any, place: Place) -> Any:
    """A value with the environment's variables; keys in it become hashes at once."""
    if place in file.options:
        return value
    if isinstance(value, Mapping):
        found = cast("Mapping[Any, Any]", value)
        return {k: _filled(file, v, (*place, k)) for k, v in found.items()}
    if isinstance(value, list):
        return [_filled(file, v, (*place, i)) for i, v in enumerate(cast("list[Any]", value))]
    if not isinstance(value, str) or "${" not in value:
        return value
    text = _VARIABLE.sub(lambda found: _variable(file, place, found), value)
    if place[-2:-1] == ("keys",) and not HASH.fullmatch(text):
        if len(text.strip()) < SHORTEST:
            raise file.error(
                place,
                f"the key in {value} has fewer than {SHORTEST} letters; make one by `weft key new`",
            )
        return hash_key(text.strip())
    return text


def _variable(file: ConfigFile, place: Place, found: re.Match[str]) -> str:
    escaped, name, end = found.groups()
    if escaped:
        return found[0][1:]
    if not end or not name:
        raise file.error(place, "${ must be followed by a name and }; write $${ for the letters")
    if not (value := os.environ.get(name, "")):
        state = "is empty" if name in os.environ else "is not set"
        raise file.error(
            place, f"{name} {state} in the environment; set it, or write the value here"
        )
    return value


def _resolved(data: dict[str, Any], folder: Path, file: ConfigFile) -> dict[str, Any]:
    """The same with paths that hold from any folder."""
    _found_from(folder, data, file)
    for place in _PATHS:
        if place in file.options:
            continue
        section: dict[Any, Any] = data
        for key in place[:-1]:
            inner: object = section.get(key)
            section = cast("dict[Any, Any]", inner) if isinstance(inner, dict) else {}
        text = section.get(place[-1])
        if isinstance(text, str) and _is_path(place, text):
            section[place[-1]] = str(folder / Path(text).expanduser())
    return data


def _found_from(folder: Path, data: dict[str, Any], file: ConfigFile) -> None:
    """Have relative Python files found in the configuration's folder."""
    for place in (("import",), ("policy",)):
        if place in file.options or place[0] not in data:
            continue
        value = data[place[0]]
        if place == ("policy",):
            data["policy"] = from_folder(value, folder)
        elif isinstance(value, str):
            data["import"] = absolute(value, folder)
        elif isinstance(value, list):
            listed = cast("list[Any]", value)
            data["import"] = [absolute(v, folder) if isinstance(v, str) else v for v in listed]
    engines: Any = data.get("engines")
    if isinstance(engines, list) and ("engines",) not in file.options:
        listed = cast("list[Any]", engines)
        data["engines"] = [_engine_from(folder, one) for one in listed]
    section: Any = data.get("strategies")
    models: Any = cast("dict[str, Any]", section).get("models") if isinstance(section, dict) else []
    for model in cast("list[Any]", models) if isinstance(models, list) else []:
        if isinstance(model, dict):
            fields = cast("dict[str, Any]", model)
            for name in ("strategy", "reader"):
                if name in fields:
                    fields[name] = from_folder(fields[name], folder)


def _engine_from(folder: Path, engine: Any) -> Any:
    if isinstance(engine, dict) and "spec" in engine:
        fields = cast("dict[str, Any]", engine)
        return {**fields, "spec": specs.from_folder(fields["spec"], folder)}
    return specs.from_folder(engine, folder)


def _import(file: ConfigFile) -> None:
    """Import what the configuration names, before the specs that need it are checked."""
    given: Any = file.data.get("import")
    listed: list[Any] = cast("list[Any]", given) if isinstance(given, list) else [given]
    for i, source in enumerate(listed):  # what is no text, the check refuses
        if isinstance(source, str):
            try:
                load(source)
            except UsageError as e:
                raise file.error(("import", i), str(e)) from None


def _is_path(place: Place, text: str) -> bool:
    if place == ("policy",):
        return text.endswith((".yaml", ".yml"))
    if place == ("store",):
        return "://" not in text
    return text.startswith((".", "~", "/"))


def _problems(config: ServiceConfig) -> Iterator[tuple[Place, str]]:
    """What is wrong though each field for itself is right."""
    if not config.engines and config.local is None:
        yield (
            ("engines",),
            "there is none; name servers such as http://127.0.0.1:8000 (--engine), or let the "
            "service start replicas by local: {replicas: 2} (--local 2)",
        )
    if not config.listen.loopback and not config.tenants and not config.listen.allow_open:
        yield (
            ("listen", "host"),
            f"{config.listen.host} can be reached from other machines, and without tenants there "
            "are no keys; add tenants (`weft key new` makes keys), or allow it by "
            "listen.allow_open: true or --allow-open",
        )
    for i, model in enumerate(config.strategies.models):
        if model.name is None and model.model is None:
            yield ("strategies", "models", i), "needs a model that it runs on, or a name"
    yield from _twice(("engines",), [e.title for e in config.engines])
    yield from _twice(("strategies", "models"), [m.title for m in config.strategies.models])
    yield from _twice(("tenants",), [t.name for t in config.tenants])
    seen: dict[str, str] = {}
    for i, tenant in enumerate(config.tenants):
        for j, key in enumerate(tenant.keys):
            if key in seen:
                yield (
                    ("tenants", i, "keys", j),
                    f"{seen[key]} has this key already; each key belongs to one tenant",
                )
            seen[key] = tenant.name


def _twice(section: Place, names: list[str]) -> Iterator[tuple[Place, str]]:
    for i, name in enumerate(names):
        if name in names[:i]:
            yield (*section, i), f"{name!r} is there twice; give each a name of its own"
