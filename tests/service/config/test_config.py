from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from weft.errors import ConfigError
from weft.service.config.api_key import hash_key, new_key
from weft.service.config.file import ServiceConfig, changed, load_config, schema

EXAMPLE = Path(__file__).parents[3] / "docs" / "serve.yaml"
HASH = hash_key("a key for tests that is long")
OTHER = hash_key("another key for tests")


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def written(text: str) -> Path:
        path = tmp_path / "weft.yaml"
        path.write_text(text)
        return path

    return written


def config(**fields: Any) -> ServiceConfig:
    return ServiceConfig.model_validate({"engines": ["http://127.0.0.1:1"], **fields})


def test_the_example_says_all_fields_and_true_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key()
    for name in ("VLLM_KEY", "BLUE_KEY", "ADMIN_KEY", "WEFT_SECRET"):
        monkeypatch.setenv(name, key + name)
    loaded = load_config(EXAMPLE)
    assert loaded.model_fields_set == set(ServiceConfig.model_fields) - {"local"}
    for section in ("listen", "limits", "health"):
        given: BaseModel = getattr(loaded, section)
        assert given == type(given)(), f"{section} in the example are the defaults"
        assert given.model_fields_set == set(type(given).model_fields)
    assert loaded.strategies.budget == ServiceConfig().strategies.budget
    assert [e.title for e in loaded.engines[:2]] == [
        "http://10.0.0.11:8000",
        "http://10.0.0.12:8000",
    ]
    engine = loaded.engines[2]
    assert engine.api_key is not None
    assert engine.api_key.get_secret_value() == key + "VLLM_KEY"
    assert loaded.tenants[1].keys == [hash_key(key + "BLUE_KEY")]
    assert loaded.admin.keys == [hash_key(key + "ADMIN_KEY")]
    assert loaded.store == str(EXAMPLE.parent / "weft.db")
    assert [m.title for m in loaded.strategies.models] == ["qwen3-coder:majority(n=8)", "careful"]
    assert key not in repr(loaded)


def test_secrets_of_the_environment_are_not_in_errors(
    monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    monkeypatch.setenv("KEY", "secret-secret-secret")
    for text in (
        "engines: [{spec: 'http://h:1', api_key: ['${KEY}']}]",
        "engines: ['${KEY}x://']\n",
        "tenants: [{name: a, keys: '${KEY}'}]\nengines: [http://h]",
        "secret: {a: '${KEY}'}\nengines: [http://h]",
    ):
        with pytest.raises(ConfigError) as error:
            load_config(write(text))
        if "x://" not in text:
            assert "secret-secret" not in str(error.value)


def test_every_field_is_described() -> None:
    found = schema()
    models = [found, *found["$defs"].values()]
    for model in models:
        assert model["additionalProperties"] is False
        assert model["description"]
        for name, described in model["properties"].items():
            # What only repeats the description of its section is left out.
            section = described.get("$ref", "").rpartition("/")[2]
            said = described if section == "" else {**found["$defs"][section], **described}
            assert said.get("description"), f"{name} of {model['title']}"
    items = found["properties"]["engines"]["items"]
    assert {"type": "string"} in items["anyOf"], "an engine may be a text"


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", ":1:", "must have fields, such as `engines:"),
        ("engines: [http://h\n", ":2:", "not valid YAML"),
        ("listen: {port: 1}\n", ":1: engines:", "there is none; name servers"),
        ("engines: []\n", ":1: engines:", "there is none"),
        ("engines: [h:1]\n", ":1: engines.0:", "unknown engine 'h:1'; write one of"),
        ("engines:\n- spec: http://\n", ":2: engines.0.spec:", "names no host"),
        ("engines:\n- spec: http://h\n  key: 1\n", ":3: engines.0.key:", "the fields are spec"),
        ("engines:\n- spec: http://h\n  omit: seed\n", ":2: engines.0:", "not for vllm engines"),
        (
            "engines:\n- spec: openai:m?omit=seed\n  omit: [top_k]\n",
            ":2: engines.0:",
            "omit is in the spec too; say it once",
        ),
        ("engines:\n- spec: openai:m\n  model: n\n", ":2: engines.0:", "model is in the spec"),
        ("engines:\n- spec: http://h?key=K\n  api_key: k\n", ":2: engines.0:", "api_key is in"),
        ("engines:\n- spec: local:m\n  api_key: k\n", ":2: engines.0:", "not for local engines"),
        ("engines:\n- 3\n", ":2: engines.0:", "must have fields, some of spec, name"),
        ("engines:\n- name: a\n", ":2: engines.0.spec:", "the field is missing"),
        ("engines: [http://h, http://h]\n", ":1: engines.1:", "'http://h' is there twice"),
        ("engines: [http://h]\nport: 1\n", ":2: port:", "the fields are listen, import, engines"),
        ("engines: [http://h]\nlisten: {port: 0}\n", ":2: listen.port:", "greater than or equal"),
        ("engines: [http://h]\nlisten:\n  prt: 0\n", ":3: listen.prt:", "host, port, allow_open"),
        ("engines: [http://h]\nlisten: 80\n", ":2: listen:", "must have fields, some of host"),
        ("engines: [http://h]\nlisten: {host: 0.0.0.0}\n", ":2: listen.host:", "--allow-open"),
        ("engines: [http://h]\nlisten: {host: box}\n", ":2: listen.host:", "other machines"),
        ("engines: [http://h]\npolicy: wft\n", ":2: policy:", "did you mean weft"),
        ("engines: [http://h]\npolicy: p.yaml\n", ":2: policy:", "can't read policy /"),
        ("engines: [http://h]\nlimits: {body_bytes: 9ells}\n", ":2: limits.body_bytes:", "byte"),
        ("engines: [http://h]\nlimits: {queue_seconds: 0}\n", ":2: limits.queue_sec", "than 0"),
        ("engines: [http://h]\nlimits: {lease_seconds: .inf}\n", ":2: limits.lease", "finite"),
        ("engines: [http://h]\nlimits: {retries: 99}\n", ":2: limits.retries:", "equal to 10"),
        (
            "engines: [http://h]\nstrategies:\n  models:\n  - strategy: majority(n=8)\n",
            ":4: strategies.models.0:",
            "needs a model that it runs on, or a name",
        ),
        (
            "engines: [http://h]\nstrategies: {models: [{name: a, strategy: majorty}]}\n",
            ":2: strategies.models.0.strategy:",
            "did you mean majority",
        ),
        (
            "engines: [http://h]\nstrategies: {budget: {call: 1}}\n",
            ":2: strategies.budget.call:",
            "the fields are tokens, calls",
        ),
        ("engines: [http://h]\ntenants: [{name: a}]\n", ":2: tenants.0.keys:", "missing"),
        ("engines: [http://h]\ntenants: [{name: a/b, keys: []}]\n", ":2: tenants.0.name:", "match"),
        (
            "engines: [http://h]\ntenants:\n- name: a\n  keys: [weft-plainkeyplainkeyplainkey]\n",
            ":4: tenants.0.keys.0:",
            "must be the hash of a key, sha256:HEX as `weft key new` prints it, or ${NAME}",
        ),
        (
            f"engines: [http://h]\ntenants:\n- {{name: a, keys: ['{HASH}']}}\n"
            f"- {{name: b, keys: ['{HASH}']}}\n",
            ":4: tenants.1.keys.0:",
            "a has this key already",
        ),
        (
            f"engines: [http://h]\ntenants: [{{name: a, keys: ['{HASH}'], cache_salt: 5}}]\n",
            ":2: tenants.0.cache_salt:",
            "valid",
        ),
        ("engines: [http://h]\nsecret: short\n", ":2: secret:", "at least 16"),
        ("engines: [http://h]\nsecret: '${UNSET}'\n", ":2: secret:", "UNSET is not set in the env"),
        ("engines: [http://h]\nsecret: '${EMPTY}'\n", ":2: secret:", "EMPTY is empty in the env"),
        ("engines: [http://h]\nsecret: '${EMPTY'\n", ":2: secret:", "followed by a name and }"),
        ("engines: [http://h]\nadmin: {keys: ['${WEAK}']}\n", ":2: admin.keys.0:", "${WEAK} has"),
    ],
)  # fmt: skip
def test_errors_name_line_field_and_remedy(
    write: Any, monkeypatch: pytest.MonkeyPatch, text: str, where: str, what: str
) -> None:
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("WEAK", "password")
    path = write(text)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    message = str(error.value)
    assert message.startswith(str(path) + where)
    assert what in message
    assert "\n" not in message
    for secret in ("plainkey", "password", "short"):
        assert secret not in message


def test_a_file_that_refers_to_itself(write: Any) -> None:
    with pytest.raises(ConfigError, match="refers to itself"):
        load_config(write("engines: &a [*a]\n"))


def test_variables(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "10.1.2.3")
    monkeypatch.setenv("PORT", "81")
    path = write(
        "engines: ['http://${HOST}:${PORT}']\nlisten: {port: '${PORT}'}\n"
        "roles: {keys: '${HOST}', plain: $HOST, letters: '$${HOST}'}\n"
    )
    loaded = load_config(path)
    assert loaded.engines[0].spec == "http://10.1.2.3:81"
    assert loaded.listen.port == 81
    assert loaded.roles == {"keys": "10.1.2.3", "plain": "$HOST", "letters": "${HOST}"}


def test_a_hash_may_come_from_the_environment(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHED", HASH)
    loaded = load_config(write("engines: [http://h]\nadmin: {keys: ['${HASHED}']}\n"))
    assert loaded.admin.keys == [HASH]


def test_paths_are_relative_to_the_file(write: Any, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("policy: {cap: {k: 3}}")
    loaded = load_config(
        write("local: {model: ./mine}\npolicy: p.yaml\nstore: s.db\n"),
        {"--port": (("listen", "port"), 9)},
    )
    assert loaded.policy == str(tmp_path / "p.yaml")
    assert loaded.store == str(tmp_path / "s.db")
    assert loaded.local is not None
    assert loaded.local.model == str(tmp_path / "mine")
    plain = load_config(write("local: {}\nstore: postgresql://u:p@h/d\n"))
    assert plain.local is not None
    assert plain.local.model == "countdown"
    assert plain.store == "postgresql://u:p@h/d"


def test_options_count_more_than_the_file(write: Any) -> None:
    path = write("engines: ['${UNSET}']\nlocal: {model: m}\nlisten: {host: 0.0.0.0, port: 1}\n")
    loaded = load_config(
        path,
        {
            "--engine": (("engines",), [{"spec": "http://h:2"}]),
            "--local": (("local", "replicas"), 3),
            "--host": (("listen", "host"), "127.0.0.2"),
            "--store": (("store",), "s.db"),
        },
    )
    assert [e.spec for e in loaded.engines] == ["http://h:2"]
    assert loaded.local is not None
    assert (loaded.local.model, loaded.local.replicas) == ("m", 3)
    assert (loaded.listen.host, loaded.listen.port) == ("127.0.0.2", 1)
    assert loaded.store == "s.db", "relative to where the command runs"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"--host": (("listen", "host"), "::")}, "--host: :: can be reached from other machines"),
        ({"--port": (("listen", "port"), 70000)}, "--port: input should be less than"),
        ({"--engine": (("engines",), [{"spec": "x"}])}, "--engine: unknown engine 'x'"),
        ({"--engine": (("engines",), [])}, "--engine: there is none"),
        ({"--policy": (("policy",), "wft")}, "--policy: unknown policy 'wft'"),
    ],
)
def test_errors_name_the_option(options: Any, what: str) -> None:
    engine = {"--engine": (("engines",), [{"spec": "http://h:2"}])}
    with pytest.raises(ConfigError) as error:
        load_config(None, {**engine, **options})
    assert str(error.value).startswith(what)


def test_an_option_for_a_section_that_is_none(write: Any) -> None:
    with pytest.raises(ConfigError, match=r":1: listen: must have fields, for --port to set one"):
        load_config(write("listen: 80\n"), {"--port": (("listen", "port"), 1)})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    options = {
        "--engine": (("engines",), [{"spec": "http://h:2"}]),
        "--host": (("listen", "host"), host),
    }
    assert load_config(None, options).listen.loopback


def test_beyond_loopback_with_keys_or_when_told_so(write: Any) -> None:
    keys = f"engines: [http://h]\ntenants: [{{name: a, keys: ['{HASH}']}}]\n"
    assert not load_config(write(keys + "listen: {host: 0.0.0.0}\n")).listen.loopback
    told = "engines: [http://h]\nlisten: {host: 0.0.0.0, allow_open: true}\n"
    assert load_config(write(told)).listen.url == "http://127.0.0.1:8080"


def test_what_a_reload_can_apply() -> None:
    old = config(tenants=[{"name": "a", "keys": [HASH]}])
    assert changed(old, old) == changed(config(), config())
    new = config(
        engines=["http://127.0.0.1:2", {"spec": "http://127.0.0.1:1"}],
        tenants=[{"name": "a", "keys": [HASH], "concurrency": 2}],
        limits={"queue": 5},
        strategies={"any": False},
    )
    changes = changed(old, new)
    assert changes.applies == ("engines", "strategies", "tenants", "limits")
    assert [e.spec for e in changes.added] == ["http://127.0.0.1:2"]
    assert changes.removed == ()
    assert changes.restart == ()


def test_a_changed_engine_is_removed_and_added() -> None:
    changes = changed(
        config(engines=[{"spec": "http://h", "api_key": "a"}]),
        config(engines=[{"spec": "http://h", "api_key": "b"}]),
    )
    assert len(changes.added) == len(changes.removed) == 1
    assert changes.added[0].api_key is not None
    assert changes.added[0].api_key.get_secret_value() == "b"


def test_what_needs_a_restart() -> None:
    changes = changed(
        config(),
        config(
            listen={"port": 9},
            store="postgresql://u:password@h/d",
            limits={"header_bytes": 2048, "queue": 4},
        ),
    )
    assert changes.applies == ("limits",)
    assert [sentence.split(" has changed, but ")[0] for sentence in changes.restart] == [
        "listen",
        "store",
        "limits.header_bytes",
    ]
    assert "password" not in str(changes.restart)
