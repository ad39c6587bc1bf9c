from weft.orchestrator.programs.group import CallGroup
from weft.orchestrator.programs.program import Program


def steps(program: Program) -> list[tuple[str, int, int, int]]:
    return [(s.stage, s.visit, s.width, s.calls) for s in program.trail.steps]


def test_calls_of_a_fan_out_are_a_step_for_each_stage() -> None:
    program, group = Program("p"), CallGroup(2, 2)
    for stage in ("draw", "draw", "score", "draw", "score"):
        program.trail.call(program, stage, group, 0.0)
    program.trail.call(program, "draw", None, 0.0)
    program.trail.call(program, "draw", None, 0.0)
    program.trail.call(program, "draw", CallGroup(2, 2), 0.0)
    assert steps(program) == [
        ("draw", 1, 2, 3),
        ("score", 1, 2, 2),
        ("draw", 2, 1, 1),
        ("draw", 3, 1, 1),
        ("draw", 4, 2, 1),
    ]


def test_of_nested_fan_outs_the_outermost_counts() -> None:
    program, outer = Program("p"), CallGroup(4, 4)
    for _ in range(4):
        inner = CallGroup(8, 8, outer=outer)
        program.trail.call(program, "draw", CallGroup(2, 2, outer=inner), 0.0)
    assert steps(program) == [("draw", 1, 4, 4)]


def test_a_programs_own_place_in_a_fan_out_is_not_its_course() -> None:
    outer = CallGroup(4, 4)
    child = Program("p", group=outer)
    child.trail.call(child, "a", outer, 0.0)
    child.trail.call(child, "a", outer, 0.0)
    inner = CallGroup(3, 3, outer=outer)
    child.trail.call(child, "a", inner, 0.0)
    child.trail.call(child, "a", inner, 0.0)
    assert steps(child) == [("a", 1, 1, 1), ("a", 2, 1, 1), ("a", 3, 3, 2)]


def test_a_very_long_program_needs_no_more_room() -> None:
    program = Program("p")
    for _ in range(2500):
        program.trail.call(program, "agent", None, 0.0)
    assert len(program.trail.steps) == 2000
    assert sum(s.calls for s in program.trail.steps) == 2500
