"""Tasks of Harbor: folders with an instruction, and tests of what was done."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from weft.errors import ConfigError
from weft.evals.tasks.borrowed.harbor_folder import HarborFolder
from weft.evals.tasks.borrowed.harbor_run import reward
from weft.evals.tasks.borrowed.open_question import open_question
from weft.evals.tasks.task import Sample, Task, task
from weft.parts.spec import written
from weft.programs import Prompt
from weft.sandbox import check_sandbox
from weft.search.readers import parse_reader
from weft.search.strategy import Answer, Question

_ASK = (
    "{}\n\nYou have no terminal. Answer with one Bash script, in one block of code, that does all "
    "of this when it is run in {}."
)


@task("harbor")
class HarborTask(Task):
    """Tasks of Harbor, as Terminal-Bench has them: a script does the task, its tests judge.

    An answer is one Bash script. It is run in the sandbox, and then, in another, the task's own
    tests. A folder with a `task.toml` is short for `harbor(path=FOLDER)`. What needs images,
    packages, a network or several containers is refused: `harbor run` runs such tasks, with a model
    of `weft serve`.

    Args:
        path: the folder of a task, or one with several of them.
        host: whether this machine's programs stand for those of the task's image.
        max_tokens: the most tokens of an answer.
    """

    slow = True

    def __init__(self, path: Path, host: bool = False, max_tokens: int = 2048) -> None:
        check_sandbox()
        self.path, self.host, self.max_tokens = Path(path).expanduser(), host, max_tokens
        places = sorted(one.parent for one in self.path.rglob("task.toml"))
        if not places:
            raise ConfigError(f"{path} has no task.toml; name the folder of a task of Harbor")
        self._folders = {
            str(place.relative_to(self.path)): HarborFolder.read(place.resolve(), host)
            for place in places
        }
        digests = "".join(one.digest for one in self._folders.values())
        self.fingerprint = hashlib.sha256(digests.encode()).hexdigest()[:16]
        self.reader = parse_reader("code(language=bash)")
        self._reward = lru_cache(maxsize=4096)(self._run)

    @property
    def spec(self) -> str:
        """With the folder."""
        return f"{self.name}(path={written(str(self.path))}{', host=true' if self.host else ''})"

    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        """The first `limit` tasks, by the names of their folders."""
        found = [
            Sample(one.name if name == "." else name, {"at": name, "question": one.instruction})
            for name, one in self._folders.items()
        ]
        return found[:limit]

    def question(self, sample: Sample, seed: int) -> Question:
        """The instruction, and that a script is wanted."""
        folder = self._folders[sample.data["at"]]
        asked = Prompt.user(_ASK.format(folder.instruction, folder.workdir))
        return open_question(
            asked, self.reader, seed, answer=self.reader, max_tokens=self.max_tokens
        )

    def correct(self, sample: Sample, answer: Answer) -> bool:
        """Whether the tests give all of the reward."""
        return self.credit(sample, answer) >= 1.0

    def credit(self, sample: Sample, answer: Answer) -> float:
        """The tests' reward, from 0 to 1."""
        if answer.value is None:
            return 0.0
        return min(1.0, max(0.0, self._reward(sample.data["at"], answer.value)))

    def _run(self, name: str, script: str) -> float:
        return reward(self._folders[name], script)
