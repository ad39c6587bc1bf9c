import pytest

from weft import Pool, ScriptedEngine, run_sync
from weft.backends.openai import OpenAIEngine
from weft.errors import UsageError
from weft.testing import forbid_engines


async def nothing() -> None: ...


async def test_a_pool_with_a_real_engine_does_not_open():
    real = OpenAIEngine("M", "http://127.0.0.1:9/v1", api_key="k", name="hosted")
    with forbid_engines(), forbid_engines():
        for engines in ((real,), (ScriptedEngine("x"), real)):
            with pytest.raises(UsageError, match=r"hosted is forbidden .* ScriptedEngine"):
                await Pool(*engines).open()
        with pytest.raises(UsageError, match=r"http://127.0.0.1:9 is forbidden"):
            await Pool("http://127.0.0.1:9").open()
        async with Pool(ScriptedEngine("x")):
            pass
    with pytest.raises(Exception, match=r"127.0.0.1:9"):  # allowed, but nobody is there
        await Pool("http://127.0.0.1:9").open()


def test_so_says_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WEFT_FORBID_ENGINES", "1")
    with pytest.raises(UsageError, match="WEFT_FORBID_ENGINES"):
        run_sync(nothing, pool="http://127.0.0.1:9")
    monkeypatch.setenv("WEFT_FORBID_ENGINES", "0")
    assert run_sync(nothing, pool=ScriptedEngine("x")).value is None
