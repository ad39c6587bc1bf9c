"""What is read from the metrics of a vLLM server."""

from __future__ import annotations

from weft.backends.vllm.metrics import gauge, labelled

_TEXT = """\
# HELP vllm:num_requests_running Number of requests that run.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a b {x} y"} 2.0
vllm:num_requests_running_ever{engine="0"} 7.0
vllm:num_requests_running{engine="1",model_name="m"} 3.0
process_start_time_seconds 1.5e9"""


def test_a_gauge_is_summed_over_its_labels_alone() -> None:
    assert gauge(_TEXT, "vllm:num_requests_running") == 5
    assert gauge(_TEXT, "process_start_time_seconds") == 1.5e9
    assert gauge(_TEXT, "vllm:num_requests") == 0
    assert gauge("calls 4 1395066363000\n", "calls") == 4  # with its time
    assert gauge("", "calls") == gauge("calls", "calls") == 0
    odd = 'calls \ncalls{a="1" 3\ncalls{a="2"} many\ncalls{a="3"} NaN\ncalls{a="4"} +Inf\ncalls 2'
    assert gauge(odd, "calls") == 2


def test_labels_are_those_of_the_first_line() -> None:
    assert labelled(_TEXT, "vllm:num_requests_running") == {
        "engine": "0",
        "model_name": "a b {x} y",
    }
    assert labelled(_TEXT, "process_start_time_seconds") == labelled(_TEXT, "other") == {}
