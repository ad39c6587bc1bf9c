from __future__ import annotations

import json

import pytest

from weft.service.protocols.answers.answer_text import StreamEnd, text_of


def events(*values: object) -> bytes:
    return b"".join([b"data: %b\n\n" % json.dumps(value).encode() for value in values])


STREAMS = {
    "chat": events(
        {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"delta": {"reasoning_content": "hm"}}]},
        {"choices": [{"delta": {"content": "One\n"}}]},
        {"choices": [{"delta": {"content": "two"}}]},
        {"choices": [], "usage": {"prompt_tokens": 1}},
    )
    + b"data: [DONE]\n\n",
    "messages": events(
        {"type": "message_start", "message": {"content": []}},
        {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "One\n"}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "two"}},
        {"type": "message_stop"},
    ),
    "responses": events(
        {"type": "response.created", "response": {"id": "r"}},
        {"type": "response.reasoning_text.delta", "delta": "hm"},
        {"type": "response.output_text.delta", "delta": "One\n"},
        {"type": "response.output_text.delta", "delta": "two"},
        {"type": "response.output_text.done", "text": "One\ntwo"},
    ),
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=list(STREAMS))
@pytest.mark.parametrize("size", [1, 50, 100_000])
def test_the_text_of_a_stream(stream: bytes, size: int) -> None:
    end = StreamEnd()
    for at in range(0, len(stream), size):
        end.take(stream[at : at + size])
    assert end.text() == "One\ntwo"


@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_only_the_end_of_it_is_kept(size: int) -> None:
    stream = events(*[{"choices": [{"delta": {"content": f"{n}\n"}}]} for n in range(10_000)])
    end = StreamEnd()
    for at in range(0, len(stream), size):
        end.take(stream[at : at + size])
    lines = end.text().splitlines()
    assert lines[-100:] == [str(n) for n in range(9_900, 10_000)]
    assert len(lines) < 5000


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": [{"message": {"content": "Hi", "reasoning_content": "hm"}}]},
        {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}]},
        {
            "output": [
                {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
                {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
            ]
        },
    ],
)
def test_the_text_of_a_whole_answer(answer: dict[str, object]) -> None:
    assert text_of(answer) == "Hi"


@pytest.mark.parametrize("answer", [{}, {"choices": None}, {"output": [1, {"type": "message"}]}])
def test_there_may_be_none(answer: dict[str, object]) -> None:
    assert text_of(answer) == ""
