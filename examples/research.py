"""A research agent that outlives its process: killed, it goes on where it was, and pays once.

    weft run examples/research.py -a topic=bees -e ENGINE --store runs.db --id bees
    weft runs list --store runs.db             # waits: Publish this?
    weft answer bees yes --store runs.db       # by anybody, also while no process runs
    weft run examples/research.py -a topic=bees -e ENGINE --store runs.db --id bees

The last command is for a run whose process has died: model calls, look-ups and the person's
answer come from the store.
"""

from pathlib import Path

from weft import Prompt, ask_person, gather, generate, node, once, program


@once
async def look_up(query: str) -> str:
    """What a paid search gives; each query is paid once, however often the run is begun."""
    return f"Sources on {query!r} agree."  # here a search engine would be asked


@once
async def publish(text: str, folder: str, *, key: str) -> str:
    """Publish under a key: done again behind a crash, it is the same file."""
    path = Path(folder) / f"{key}.md"
    path.write_text(text)
    return path.name


@node
async def note(question: str) -> str:
    """What the sources say to a question."""
    found = await look_up(question)
    said = await generate(Prompt.user(f"{question}\n\n{found}\n\nA note of two sentences."))
    return said.text


@program
async def research(topic: str, folder: str = ".") -> str:
    """A report, published if a person says so."""
    asked = Prompt.user(f"What would one have to know of {topic}? Three questions.")
    questions = (await generate(asked, returns=list[str], retries=1, max_tokens=300)).value
    notes = await gather(note, questions[:3], limit=3)
    wanted = "\n".join([f"A report on {topic} from these notes:", *notes])
    report = await generate(Prompt.user(wanted))
    if not await ask_person("Publish this?", report.text, returns=bool):
        return "not published"
    return await publish(report.text, folder)
