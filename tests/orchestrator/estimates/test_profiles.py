import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.errors import StoreError, UsageError
from weft.orchestrator.estimates.profiles import Profiles
from weft.store.store import Store


def test_without_experience_a_stated_prior() -> None:
    profiles = Profiles()
    answer = profiles.answer_tokens("swe", "plan")
    assert (answer.value, answer.source) == (256, "no experience: 256")
    assert profiles.answer_tokens("swe", "plan", 900).value == 900
    assert profiles.further_calls("swe", 3).value == 11
    assert "no experience" in profiles.further_calls("swe", 3).source
    assert "no experience" in profiles.tool("swe", "grep").source
    assert profiles.calls("swe") is None


def test_the_most_special_with_enough_samples_answers() -> None:
    profiles = Profiles(enough=5)
    for tokens in (100, 100, 100, 100):
        profiles.learn_answer("swe", "plan", tokens)
    profiles.learn_answer("swe", "code", 200)
    assert profiles.answer_tokens("swe", "plan").source == "5 answers of swe"
    assert profiles.answer_tokens("swe", "plan").value == pytest.approx(120, rel=0.01)
    assert profiles.answer_tokens("web", "plan").source == "5 answers of all programs"
    for _ in range(2):
        profiles.learn_answer("swe", "plan", 100)
    found = profiles.answer_tokens("swe", "plan")
    assert (found.value, found.source) == (pytest.approx(100), "6 answers of plan in swe")


def test_tools_and_calls() -> None:
    profiles = Profiles()
    for _ in range(20):
        profiles.learn_tool("swe", "grep", 2.0)
        profiles.learn_tool("swe", "test", 60.0)
        profiles.learn_calls("swe", 4)
    assert profiles.tool("swe", "grep").quantile(0.9) == 2
    assert profiles.tool("swe", "make").quantile(0.9) == 60
    calls = profiles.calls("swe")
    assert calls is not None
    assert calls.mean == pytest.approx(4)
    assert profiles.further_calls("swe", 3).value == pytest.approx(1, rel=0.3)
    assert profiles.further_calls("swe", 1).value == pytest.approx(3, rel=0.1)
    # One that runs on far beyond all others is expected to go on for long.
    assert profiles.further_calls("swe", 40).value == pytest.approx(44)


def test_how_many_come_back_after_a_first_call() -> None:
    profiles = Profiles()
    assert profiles.returns("swe") == 1  # until something is known
    for back in (True, False, False, False):
        profiles.learn_return("swe", back)
    assert profiles.returns("swe") == 1
    profiles.learn_return("swe", False)
    assert profiles.returns("swe") == pytest.approx(0.2, rel=0.05)


def test_a_program_without_calls_teaches_nothing() -> None:
    profiles = Profiles()
    profiles.learn_calls("swe", 0)
    assert len(profiles) == 0


def test_a_restart_knows_them(tmp_path) -> None:
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        profiles = Profiles(store)
        for i in range(30):
            profiles.learn_answer("swe", 'a "stage"', 100 + i)
            profiles.learn_tool("swe", "grep", 0.5)
            profiles.learn_calls("swe", 7)
        profiles.save()
        wanted = profiles.answer_tokens("swe", 'a "stage"')
    with Store(path) as store:
        profiles = Profiles(store)
        assert profiles.answer_tokens("swe", 'a "stage"') == wanted
        assert profiles.tool("swe", "grep").source == "30 uses of grep in swe"
        assert profiles.further_calls("swe", 6).source == "30 finished runs of swe"
        for _ in range(30):
            profiles.learn_tool("swe", "grep", 5.0)
        profiles.save()
    with Store(path) as store:
        assert Profiles(store).tool("swe", "grep").source == "60 uses of grep in swe"


def test_only_what_changed_is_written() -> None:
    with Store() as store:
        profiles = Profiles(store)
        profiles.learn_answer("swe", "plan", 5)
        profiles.learn_tool("swe", "grep", 5)
        profiles.save()
        store.keep_profiles({}, list(store.profiles()))
        profiles.save()
        assert store.profiles() == {}
        profiles.learn_tool("swe", "grep", 5)
        profiles.save()
        assert {key.split('"')[1] for key in store.profiles()} == {"tools"}


def test_profiles_that_cannot_be_read_are_one_clear_sentence() -> None:
    for key, kept in (("x", "{}"), ('["answers"]', "no JSON"), ('["answers"]', '{"a": 1}')):
        with Store() as store:
            store.keep_profiles({key: kept})
            with pytest.raises(StoreError, match="can't be read"):
                Profiles(store)


def test_those_not_used_for_longest_go_from_the_store_too() -> None:
    with Store() as store:
        profiles = Profiles(store, most=9, enough=1)
        for i in range(20):
            profiles.learn_answer(f"program {i}", "plan", 10 + i)
            profiles.answer_tokens("program 0", "plan")  # stays in use
            profiles.save()
            assert len(profiles) <= 9
        assert len(store.profiles()) == len(profiles) == 9
        again = Profiles(store, enough=1)
        assert again.answer_tokens("program 0", "plan").source == "1 answers of plan in program 0"
        assert again.answer_tokens("program 19", "plan").source == "1 answers of plan in program 19"
        assert again.answer_tokens("program 5", "plan").source == "20 answers of all programs"
    with pytest.raises(UsageError, match="most=1"):
        Profiles(most=1)


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from("uvwxyz"), st.integers(0, 10**6)),
        max_size=80,
    ),
    st.integers(9, 30),
)
def test_what_is_saved_is_what_is_known(seen: list[tuple[str, str, int]], most: int) -> None:
    with Store() as store:
        profiles = Profiles(store, most=most)
        for i, (name, stage, value) in enumerate(seen):
            profiles.learn_answer(name, stage, value)
            profiles.learn_tool(name, stage, value / 7)
            profiles.learn_calls(name, value)
            if i % 11 == 0:
                profiles.save()
        profiles.save()
        assert len(profiles) <= most
        again = Profiles(store, most=most)
        assert len(again) == len(profiles)
        for name in "abcdef":
            for stage in "uvwxyz":
                one, other = (p.answer_tokens(name, stage) for p in (profiles, again))
                assert one.source == other.source
                assert one.value == pytest.approx(other.value)


def test_the_chance_of_another_call_is_learned_from_those_that_fell_silent() -> None:
    profiles = Profiles()
    assert profiles.goes_on("swe", 2) == pytest.approx(0.9)
    for calls in (5, 10) * 50:
        profiles.fell_silent("swe", calls)
    found = [profiles.goes_on("swe", done) for done in (2, 4, 5, 9, 10)]
    assert found == pytest.approx([1, 1, 0.5, 1, 0], abs=0.05)
    assert profiles.goes_on("swe", 1) > 0.95
    for _ in range(5):
        profiles.learn_return("swe", False)
    assert profiles.goes_on("swe", 1) == 0
