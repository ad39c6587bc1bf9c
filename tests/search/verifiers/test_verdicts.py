"""What a verifier's yes and no are, on tokenizers as models have them."""

from __future__ import annotations

import logging
import math

import pytest

from bpe_server import chances
from strategy_specs import VERIFYING, checking
from weft import Pool, Prompt, ScriptedEngine, run
from weft.programs.calls.score import pool_texts
from weft.search import Question
from weft.search.verifiers import NO_TOKENS, read_verifier, verify
from weft.search.verifiers.verdicts import VERDICTS

QUESTION = Question(
    prompt=Prompt.user("solve"),
    answer=lambda text: text,
    complete=lambda text: False,
    verify=lambda text: Prompt.user(f"Is {text} right?"),
)


@pytest.mark.loops("asyncio")
@pytest.mark.parametrize(
    ("shares", "score", "mass"),
    [
        ({"Yes": 0.5, "No": 0.1, " yes": 0.2, " no": 0.1, "The": 0.1}, 7 / 9, 0.9),
        ({" Yes": 0.9, " No": 0.05}, 0.9 / 0.95, 0.95),
        ({"Yes": 0.004, "No": 0.016, "The": 0.98}, 0.2, 0.02),
        ({"The": 1.0}, 0.5, 0.0),
    ],
)
async def test_case_and_space_do_not_matter(serve, caplog, shares, score, mass) -> None:
    model, url = serve({})
    model.likely = chances(model, shares)
    async with Pool(url):
        with caplog.at_level(logging.WARNING):
            found = await verify(QUESTION, "it", "verifier")
            assert found.score == pytest.approx(score)
            assert found.mass == pytest.approx(mass)
            for _ in range(3):
                assert await read_verifier("model").score(QUESTION, "it", NO_TOKENS) == found.score
    warned = [r.getMessage() for r in caplog.records if "its scores mean little" in r.getMessage()]
    assert len(warned) == (1 if mass < 0.1 else 0)
    if warned:
        assert "verifier bpe" in warned[0]
        assert f"{100 * mass:.1f}%" in warned[0]
    # All first tokens are asked about at once, and nothing unlikely is followed.
    assert len(model.sent()) == 4


@pytest.mark.loops("asyncio")
async def test_verdicts_of_one_meaning_are_never_opposite(serve) -> None:
    """Whichever form of the words a model prefers, the verdict is the same."""
    scores = []
    for yes, no in (("Yes", "No"), (" Yes", " No"), (" yes", " no"), ("Yes", " no")):
        model, url = serve({})
        model.likely = chances(model, {yes: 0.6, no: 0.2})
        async with Pool(url):
            scores.append((await verify(QUESTION, "it", "verifier")).score)
    assert scores == [pytest.approx(0.75)] * 4


async def test_words_of_several_tokens_are_followed_while_likely() -> None:
    """Where every character is a token, as where every byte is one."""
    shares = {"Yes": 0.5, "No": 0.25, "Not so": 0.05, "You": 0.15}
    engine = ScriptedEngine(scores=shares)
    async with Pool(engine):
        found = await pool_texts(Prompt.user("q"), VERDICTS)
    # What goes on from a word is counted with it.
    assert found == pytest.approx({"yes": 0.5, "no": 0.3})
    assert len(engine.requests) == 4  # "", "Y", "N", "Ye"


async def test_engines_of_texts_are_asked_about_all_forms() -> None:
    engine = ScriptedEngine(scores={"Yes": 0.5, "yes": 0.2, "NO": 0.1}, takes_tokens=False)
    async with Pool(engine):
        found = await verify(QUESTION, "it", "verifier")
    assert (found.score, found.mass) == (pytest.approx(0.7 / 0.8), pytest.approx(0.8))


async def test_a_word_behind_a_newline_is_the_word_too(serve) -> None:
    """SentencePiece puts a space before a text alone: ids of `yes` are found behind a newline."""
    from weft.backends.scripted.vocabulary import CHARACTERS

    class Spacing(ScriptedEngine):
        async def tokenize(self, text: str) -> tuple[int, ...]:
            return CHARACTERS.encode(" " + text)

    engine = Spacing(scores={"yes": 0.4, "no": 0.4, " yes": 0.1})
    async with Pool(engine):
        found = await pool_texts(Prompt.user("q"), VERDICTS)
    assert found == pytest.approx({"yes": 0.5, "no": 0.4})
    assert math.isclose(sum(found.values()), 0.9)


@pytest.mark.parametrize("spec", VERIFYING)
async def test_answers_say_how_much_of_the_model_its_verdicts_rest_on(
    spec: str, question, player
) -> None:
    def half(request) -> dict[str, float]:
        return {text: p / 2 for text, p in likely(request).items()}

    likely = player().scores
    async with Pool(player(scores=half)) as pool:
        answer = (await run(checking(spec, "model"), question, pool=pool)).value
        assert answer.details["verdict_mass"] == pytest.approx(0.4)
        exact = checking(spec)
        assert "verdict_mass" not in (await run(exact, question, pool=pool)).value.details
