from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.programs.group import CallGroup
from weft.orchestrator.programs.program import Program
from weft.programs.figures.stages import learned_graph


def test_what_was_learned_is_drawn() -> None:
    profiles = Profiles()
    for again in (False, True):
        p = Program("p", "fix")
        for stage, width, away in [
            ("draw", 3, 0.0),
            ("judge", 1, 20.0),
            *[("draw", 3, 0.0)] * again,
        ]:
            group = CallGroup(width, width) if width > 1 else None
            p.tool = "pytest" if away else ""
            for _ in range(width):
                p.trail.call(p, stage, group, away)
            p.calls, p.computed, p.critical = (
                p.calls + width,
                p.computed + 100 * width,
                p.critical + 2,
            )
        profiles.learn_run(p)
    for _ in range(5):
        profiles.learn_answer("fix", "judge", 7)
    graph = learned_graph("fix", profiles)
    assert graph is not None
    labels = [data["label"].split("\n") for _, data in graph.nodes(data=True)]
    assert labels == [
        ["fix", "2 runs, in the mean", "5.5 calls, 550 tokens, 25 s"],
        ["draw x 3, 1.5 times a run", "3 calls, 300 tokens, 2 s", "then pytest for 20 s (67%)"],
        ["judge", "1 call, 100 tokens, 2 s", "answers of 7 tokens"],
        ["end"],
    ]
    edges = [(a, b.strip(), label) for a, b, label in graph.edges(data="label")]
    assert edges == [
        ("", "draw", ""), ("draw", "judge", "67%"), ("draw", "end", "33%"),
        ("judge", "end", "50%"), ("judge", "draw", "50%"),
    ]  # fmt: skip
    assert learned_graph("other", profiles) is None
