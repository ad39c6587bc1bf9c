"""Chat templates in the form of those of widespread models, and the tokens that they write.

They differ in what matters to a caller that keeps token ids: whether thinking stays in
earlier turns, whether text is trimmed, what the generation prompt holds, which turns are
refused.
"""
# ruff: noqa: SIM905

LLAMA = """{{- '<|begin_of_text|>' -}}
{%- if tools -%}
{{- '<|start_header_id|>system<|end_header_id|>\n\nTools: ' + tools | tojson + '<|eot_id|>' -}}
{%- endif -%}
{%- for m in messages -%}
{%- set role = 'ipython' if m.role == 'tool' else m.role -%}
{{- '<|start_header_id|>' + role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
{%- endif -%}"""

QWEN = """{%- set at = namespace(query=-1) -%}
{%- if tools -%}
{{- '<|im_start|>system\n<tools>\n' + tools | tojson + '\n</tools><|im_end|>\n' -}}
{%- endif -%}
{%- for m in messages -%}
{%- if m.role == 'user' -%}{%- set at.query = loop.index0 -%}{%- endif -%}
{%- endfor -%}
{%- for m in messages -%}
{%- if m.role == 'tool' -%}
{{- '<|im_start|>user\n<tool_response>\n' + m.content + '\n</tool_response><|im_end|>\n' -}}
{%- elif m.role == 'assistant' and '</think>' in m.content -%}
{%- set said = m.content.split('</think>')[-1].lstrip('\n') -%}
{%- set thought = m.content.split('</think>')[0].split('<think>')[-1].strip('\n') -%}
{%- if loop.index0 > at.query -%}
{{- '<|im_start|>assistant\n<think>\n' + thought + '\n</think>\n\n' + said + '<|im_end|>\n' -}}
{%- else -%}
{{- '<|im_start|>assistant\n' + said + '<|im_end|>\n' -}}
{%- endif -%}
{%- elif m.tool_calls -%}
{{- '<|im_start|>assistant\n' + (m.content or '') -}}
{%- for call in m.tool_calls -%}
{{- '\n<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' -}}
{{- call.function.arguments + '}\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\n' -}}
{%- else -%}
{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"""

R1 = """{{- '<|begin_of_text|>' -}}
{%- for m in messages -%}
{%- if m.role == 'system' -%}{{- m.content -}}
{%- elif m.role == 'user' -%}{{- '<|User|>' + m.content -}}
{%- elif m.role == 'tool' -%}{{- '<|tool|>' + m.content + '<|tool_end|>' -}}
{%- else -%}
{{- '<|Assistant|>' + m.content.split('</think>')[-1] + '<|end_of_sentence|>' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|Assistant|><think>\n' -}}{%- endif -%}"""

HARMONY = """{{- '<|start|>system<|message|>Reasoning: low<|end|>' -}}
{%- for m in messages -%}
{%- if m.role == 'system' -%}{{- '<|start|>developer<|message|>' + m.content + '<|end|>' -}}
{%- elif m.role == 'tool' -%}
{{- '<|start|>functions.tool to=assistant<|channel|>commentary<|message|>' + m.content -}}
{{- '<|end|>' -}}
{%- elif m.role == 'assistant' -%}
{{- '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|end|>' -}}
{%- else -%}{{- '<|start|>user<|message|>' + m.content + '<|end|>' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start|>assistant' -}}{%- endif -%}"""

MISTRAL = """{{- '<s>' -}}
{%- if tools -%}
{{- '[AVAILABLE_TOOLS]' + tools | tojson + '[/AVAILABLE_TOOLS]' -}}
{%- endif -%}
{%- for m in messages -%}
{%- if m.role == 'system' -%}
{%- if not loop.first -%}{{- raise_exception('a system turn must come first') -}}{%- endif -%}
{{- '[SYSTEM_PROMPT]' + m.content + '[/SYSTEM_PROMPT]' -}}
{%- elif m.role == 'user' -%}
{%- if loop.index0 and messages[loop.index0 - 1].role == 'user' -%}
{{- raise_exception('user and assistant must take turns') -}}
{%- endif -%}
{{- '[INST]' + m.content + '[/INST]' -}}
{%- elif m.role == 'tool' -%}{{- '[TOOL_RESULTS]' + m.content + '[/TOOL_RESULTS]' -}}
{%- else -%}{{- m.content | trim + '</s>' -}}{%- endif -%}
{%- endfor -%}"""

GLM = """{%- set at = namespace(query=-1) -%}
{%- for m in messages -%}
{%- if m.role == 'user' -%}{%- set at.query = loop.index0 -%}{%- endif -%}
{%- endfor -%}
{{- '[gMASK]<sop>' -}}
{%- for m in messages -%}
{%- if m.role == 'tool' -%}
{{- '<|observation|>\n<tool_response>\n' + m.content + '\n</tool_response>' -}}
{%- elif m.role == 'assistant' -%}
{%- set thought, said = '', m.content -%}
{%- if '</think>' in said -%}
{%- set thought = said.split('</think>')[0].split('<think>')[-1].strip() -%}
{%- set said = said.split('</think>')[-1] -%}
{%- endif -%}
{{- '<|assistant|>\n<think>' + (thought if loop.index0 > at.query else '') + '</think>' -}}
{{- '\n' + said.strip() if said.strip() else '' -}}
{%- else -%}{{- '<|' + m.role + '|>\n' + m.content -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"""

GEMMA = """{%- if messages[0].role == 'system' -%}
{%- set head, turns = messages[0].content + '\n\n', messages[1:] -%}
{%- else -%}{%- set head, turns = '', messages -%}{%- endif -%}
{{- '<bos>' -}}
{%- for m in turns -%}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}
{{- raise_exception('roles must alternate user/assistant') -}}
{%- endif -%}
{{- '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' -}}
{{- (head if loop.first else '') + m.content | trim + '<end_of_turn>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\n' -}}{%- endif -%}"""

TEMPLATES = {
    "llama": LLAMA,
    "qwen": QWEN,
    "r1": R1,
    "harmony": HARMONY,
    "mistral": MISTRAL,
    "glm": GLM,
    "gemma": GEMMA,
}

ENDS = {
    "llama": "<|eot_id|>",
    "qwen": "<|im_end|>",
    "r1": "<|end_of_sentence|>",
    "harmony": "<|return|>",
    "mistral": "</s>",
    "glm": "<|user|>",
    "gemma": "<end_of_turn>",
}
"""What ends an answer under each."""

SPECIAL = """
<|begin_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|> <|im_start|> <|im_end|>
<|User|> <|Assistant|> <|tool|> <|tool_end|> <|end_of_sentence|> <|start|> <|end|> <|message|>
<|channel|> <|return|> <s> </s> [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [INST] [/INST] [TOOL_RESULTS]
[/TOOL_RESULTS] [gMASK] <sop> <|system|> <|user|> <|assistant|> <|observation|> <bos>
<start_of_turn> <end_of_turn> <|python_tag|> [TOOL_CALLS] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS]
""".split()
"""Tokens that are no text."""

ADDED = [
    *("<think>", "</think>", "<tool_response>", "</tool_response>"),
    *("<tool_call>", "</tool_call>"),
]
"""Tokens of their own that are text all the same."""
