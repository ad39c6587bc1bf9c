"""What the configuration says of strategies: their temperature, and who plays their roles."""

from __future__ import annotations

from typing import Any

import pytest

from live_service import serving
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import UsageError
from weft.service.config.file import ServiceConfig

pytestmark = pytest.mark.loops("asyncio")

BEST = {"name": "best", "strategy": "best_of_n(n=2)", "model": "m"}
NINE = BEST | {"strategy": "majority(n=9)", "budget": {"tokens": 1000}}
LOST = "'judge', which no engine serves"


async def test_a_default_temperature_that_is_written_down_holds() -> None:
    engine = ScriptedEngine("Answer: 1", model="m")
    models = [
        {"name": "hot", "strategy": " majority(n=1, temperature=1.0) ", "model": "m"},
        {"strategy": "majority(n=1)", "model": "m"},
    ]
    with mock.running(engine) as url:
        async with serving(url, strategies={"models": models}) as service:
            listed = (await service.http.get("/v1/models")).json()["data"]
            assert [one["id"] for one in listed] == ["m", "hot", "m:majority(n=1)"]
            for name in ("hot", "m:majority(n=1)"):
                answer = await service.post(model=name, temperature=0.25)
                assert answer.status_code == 200, answer.text
    assert [request.sampling.temperature for request in engine.requests] == [1.0, 0.25]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"roles": {"verifier": "judge"}}, f"roles.verifier is {LOST}; name one of m"),
        (
            {"strategies": {"models": [BEST | {"model": "judge"}]}},
            "strategies.models: best can't run: unknown model 'judge'",
        ),
        (
            {"strategies": {"models": [BEST | {"strategy": "best_of_n(verifier=role:critic)"}]}},
            "strategies.models: best can't run: unknown role 'critic'; did you mean",
        ),
        (
            {"strategies": {"models": [NINE], "budget": {"calls": 8}}},
            "strategies.models: best can't run: n=9 of majority is more than the 8 calls",
        ),
    ],
)
async def test_what_can_never_work_is_told_at_the_start_and_by_a_reload(
    fields: dict[str, Any], says: str
) -> None:
    with mock.running(ScriptedEngine("x", model="m")) as url:
        with pytest.raises(UsageError) as error:
            async with serving(url, **fields):
                pass
        assert str(error.value).startswith(says)
        if "roles" in fields:  # which a reload leaves as they are
            return
        new = ServiceConfig.model_validate({"engines": [url], **fields})
        async with serving(url, reread=lambda: new) as service:
            done = (await service.http.post("/admin/reload")).json()["done"]
    assert sum(sentence.startswith(says) for sentence in done) == 1


async def test_a_role_that_nobody_plays_is_the_requests_error_where_engines_are_missing() -> None:
    nowhere = "http://127.0.0.1:9"  # so nobody knows which models there will be
    with mock.running(ScriptedEngine("x", model="m")) as url:
        roles = {"roles": {"verifier": "judge"}, "strategies": {"models": [BEST]}}
        async with serving(url, nowhere, **roles) as service:
            for name in ("best", "m:best_of_n(n=2)", "m:beam(n=4)"):
                answer = await service.post(model=name)
                assert answer.status_code == 400
                said = answer.json()["error"]["message"]
                assert f"the role 'verifier' is played by {LOST}; use another" in said
            answer = await service.post(model="m:best_of_n(verifier=role:critic)")
            assert answer.status_code == 400
            assert "unknown role 'critic'" in answer.json()["error"]["message"]
            # Others do not need it.
            assert (await service.post(model="m:majority(n=2)")).status_code == 200
            answer = await service.post(model="m:best_of_n(n=2, verifier=logprob)")
            assert answer.status_code == 200


async def test_two_models_answer_together() -> None:
    """The role says which model is the small one; its answer is taken where it is sure."""
    small = ScriptedEngine("Answer: 5", model="small")
    large = ScriptedEngine("Answer: 6", scores={"9": 1.0}, model="large")
    with mock.running(small) as first, mock.running(large) as second:
        async with serving(first, second, roles={"draft": "small"}) as service:
            for spec, text in (
                ("specreason", "Answer: 5"),
                ("specreason(accept=10)", "Answer: 6"),
                ("glimprouter", "Answer: 5"),
                ("nudging", "Answer: 6"),
                ("atts(n=2)", "Answer: 5"),
            ):
                answer = await service.post(model=f"large:{spec}")
                assert answer.status_code == 200, answer.text
                assert answer.json()["choices"][0]["message"]["content"] == text
