"""Others' agents over a Pool: pydantic-ai, LangGraph and the OpenAI Agents SDK, in this process.

Called by users' programs, who import a framework's model from its own file: none of them is loaded
otherwise. All of them speak OpenAI's chat completions by the `openai` package, so one transport in
place of HTTP (`transport`) carries all: tools, streams and typed answers stay the framework's own.
Calls belong to the run around them, as those of `generate` do. To add a framework that takes an
`openai.AsyncOpenAI`, give it `pool_client()`. Trades away: requests go through JSON as they do over
HTTP, and of OpenAI's protocols only chat completions are there.
"""
