"""rescore: kept texts are read and judged anew, without any call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from weft.errors import PartFailed, UsageError
from weft.evals.records import Folder, KeptText, Row
from weft.evals.results import Evaluation
from weft.evals.running.session import finish
from weft.evals.suites.suite import task_from
from weft.evals.tasks.guarded_task import GuardedTask
from weft.evals.tasks.registry import long_form, parse_task
from weft.evals.tasks.task import Sample
from weft.parts.spec import Spec, read_spec
from weft.search.answers.voting import tally
from weft.search.strategy import Answer, Question


@dataclass(slots=True)
class Rescored:
    """What scoring anew has changed.

    Attributes:
        rows: how many were scored.
        changed: how many say something else than before.
        righted: how many are right now, and were not.
        wronged: how many were right.
        left: how many had no text, and stay as they are.
        evaluation: as it is now.
    """

    rows: int = 0
    changed: int = 0
    righted: int = 0
    wronged: int = 0
    left: int = 0
    evaluation: Evaluation | None = field(default=None, repr=False)


def rescore(path: Path, task: str | None = None, **options: str | None) -> Rescored:
    """Read and judge all texts of an evaluation anew.

    A plain vote is counted anew with what its texts now say. Of other strategies the text that they
    chose is read again. Each row that changes keeps what it said at first in `before`.

    Args:
        path: the folder.
        task: the task that judges; the evaluation's own if None.
        **options: parameters of the task that are to be others, such as `reader`.

    Raises:
        UsageError: the task has no such parameter, or does not have the samples.
    """
    folder = Folder(path)
    with folder.writing():
        settings, session = folder.settings()
        home = Path(session.folder) if session.folder else Path.cwd()
        spec = task or task_from(home, session.task or settings.task)
        spec = _with({k: v for k, v in options.items() if v is not None}, spec)
        judge = GuardedTask(parse_task(spec))
        problems = session.problems or len({id for _, (id, _) in folder.row_keys()})
        samples = {s.id: s for s in judge.samples(problems, settings.seed)}
        found = Rescored()

        def anew(row: Row) -> Row:
            if row.text is None and not row.texts:
                found.left += 1
                return row
            if row.id not in samples:
                raise UsageError(f"{spec} has no sample {row.id!r}; name the task of {path}")
            return _scored(row, samples[row.id], judge, found)

        folder.rewrite(anew)
        session.task, session.folder = spec, str(Path.cwd())
        session.suite = session.suite | {"task": spec} if session.suite else {}
        folder.save(replace(settings, task=judge.spec, data=judge.fingerprint), session)
        found.evaluation = finish(folder)
    return found


def _with(options: Mapping[str, str], task: str) -> str:
    """A task's spec with other parameters."""
    task = long_form(task)
    if not options:
        return task
    spec = read_spec(task, "task")
    texts = {k: v for k, v in spec.texts.items() if k not in options}
    return Spec(spec.name, {**spec.values, **options}, texts).renamed(str)


def _scored(row: Row, sample: Sample, judge: GuardedTask, found: Rescored) -> Row:
    question = judge.question(sample, 0)
    asked = [m.content for m in question.prompt.messages][-1:]
    if row.question and [t["content"] for t in row.question][-1:] != asked:
        raise UsageError(
            f"sample {row.id!r} was asked {_short(row.question[-1]['content'])}, not "
            f"{_short(asked[0])}; run the task by weft eval run"
        )
    found.rows += 1
    new = _judged(_read(row, question), sample, judge)
    names = [n for n in ("answer", "correct", "credit") if getattr(new, n) != getattr(row, n)]
    if not names and new.text == row.text:
        return row if new.target == row.target else new
    found.changed += 1
    found.righted += bool(new.correct) and not row.correct
    found.wronged += bool(row.correct) and not new.correct
    return replace(new, before={n: getattr(row, n) for n in names} | row.before)


def _read(row: Row, question: Question) -> Row:
    """The row with its texts read anew, and a plain vote among them counted anew."""
    plain = _is_plain_vote(row)
    texts: list[KeptText] = []
    for text in row.texts:
        if text.after is None and not text.asked:
            finish = text.finish if text.whole else "length"
            text = replace(text, value=question.read_ended(text.text, finish), vote=None)
        texts.append(text)
    if plain:
        values = {i: t.value for i, t in enumerate(texts) if t.whole}
        count = tally(values, same=question.same)
        for cluster in count.clusters:
            for i in cluster.members:
                if texts[i].value != cluster.value:
                    texts[i] = replace(texts[i], vote=cluster.value)
        if count.winner is not None:
            # Texts stand in the order in which they ended, which is not that of equals.
            most = [c for c in count.clusters if c.weight == count.winner.weight]
            won = next((c for c in most if row.chosen in c.members), count.winner)
            chosen = won.members[0] if row.chosen not in won.members else row.chosen
            assert chosen is not None
            details = row.details | {"votes": {c.value: len(c.members) for c in count.clusters}}
            value, text = texts[chosen].value, texts[chosen].text
            return replace(
                row, texts=texts, chosen=chosen, answer=value, text=text,
                score=count.share, details=details, vote=None,
            )  # fmt: skip
    if row.text is None or row.abstained:
        return replace(row, texts=texts)
    ends = texts[row.chosen] if row.chosen is not None and row.chosen < len(texts) else None
    finish = "stop" if ends is None else ends.finish if ends.whole else "length"
    value = question.read_ended(row.text, finish)
    return replace(row, texts=texts, answer=value, vote=None)


def _is_plain_vote(row: Row) -> bool:
    """Whether the strategy counted the answers of all its whole texts, each once."""
    votes: Any = row.details.get("votes")
    counted = Counter(t.voted for t in row.texts if t.whole and t.voted is not None)
    return bool(row.texts) and isinstance(votes, Mapping) and dict(counted) == votes


def _judged(row: Row, sample: Sample, judge: GuardedTask) -> Row:
    """The row judged anew, as far as it has an answer."""
    row = replace(row, target=judge.target(sample))
    if row.error is not None and row.text is None:
        return row
    answer = Answer(row.text, row.answer, row.score, row.details)
    try:
        correct = judge.correct(sample, answer)
        credit = 1.0 if correct else judge.credit(sample, answer)
        details = row.details | judge.notes(sample, answer)
        right = row.right
        if row.drawn:
            whole = [Answer(t.text, t.value) for t in row.texts if t.whole and t.value is not None]
            right = sum(judge.correct(sample, one) for one in whole)
    except PartFailed as e:
        return replace(row, correct=None, credit=None, error=str(e))
    return replace(row, correct=correct, credit=credit, right=right, details=details, error=None)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
