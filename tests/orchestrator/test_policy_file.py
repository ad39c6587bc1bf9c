from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import ConfigError, UnknownName, UsageError
from weft.orchestrator.policy import parse_policy, policies
from weft.orchestrator.policy_file import dump_policy, load_policy
from weft.orchestrator.pool import Pool


@pytest.mark.parametrize("name", sorted(policies()))
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    file = tmp_path / "found"
    file.write_text(dump_policy(parse_policy(name), {"trials": 3}))
    assert load_policy(str(file)) == parse_policy(name)
    written = yaml.safe_load(file.read_text())
    assert written["found"] == {"trials": 3}
    assert set(written["policy"][name]) == {p.name for p in policies()[name].parameters()}


def test_specs_and_policies_are_taken_as_they_are(tmp_path: Path) -> None:
    policy = parse_policy("cap(k=3)")
    assert load_policy(policy) is policy
    assert load_policy("cap(k=3)") == policy
    (tmp_path / "p.yaml").write_text("policy: cap(k=3)\n")
    assert load_policy(str(tmp_path / "p.yaml")) == policy


def test_a_pool_takes_a_file(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("policy: {cap: {k: 3}}\n")
    assert Pool(ScriptedEngine("x"), policy=str(tmp_path / "p.yaml"))._policy.spec == "cap(k=3)"
    with pytest.raises(UnknownName, match="unknown policy 'capp'; did you mean cap"):
        Pool(ScriptedEngine("x"), policy="capp")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("policy: [", "not valid YAML"),
        ("- cap", "needs a field `policy`"),
        ("policies: cap", "needs a field `policy`"),
        ("policy: 3", "needs a field `policy`"),
        ("policy: {cap: {k: 0}}", r"p\.yaml: policy: k=0 of cap must be at least 1"),
        ("policy: {capp: {}}", r"p\.yaml: policy: unknown policy 'capp'; did you mean cap"),
        ("policy: {cap: {l: 1}}", "unknown parameter of cap 'l'"),
    ],
)
def test_a_bad_file(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_policy(str(tmp_path / "p.yaml"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't read policy .*none\.yaml: No such file"):
        load_policy(str(tmp_path / "none.yaml"))
    with pytest.raises(UsageError, match="expected"):
        load_policy("cap(k=")
