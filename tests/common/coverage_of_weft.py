"""`--coverage FLOOR`: the lines and branches of weft that tests run, as a plugin of pytest.

SlipCover measures, for it takes what was seen out of the code again: where Python before 3.14
would call coverage.py back on each line, which doubles the time of the tests, measuring costs a
few percent. SlipCover's own plugin is not used. It also rewrites the tests, and libraries whose
asserts pytest rewrites, which not all of them stand.
"""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from slipcover import FileMatcher, ImportManager, Slipcover, merge_coverage, print_coverage

SOURCE = ["weft"]
NOT_COUNTED = [r"\.\.\.$", "if TYPE_CHECKING:", "@overload", "raise NotImplementedError"]
"""Lines, and what they introduce, that are there to be read or never run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the option."""
    parser.addoption(
        "--coverage",
        type=float,
        metavar="FLOOR",
        help="measure weft's lines and branches; fewer than FLOOR percent is a failure",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Measure what is imported from now on, which is all of weft."""
    floor: float | None = config.getoption("--coverage")
    if floor is not None:
        config.pluginmanager.register(Coverage(floor), "coverage_of_weft_measured")


class Coverage:
    """What this process, and those that run tests for it, have seen of weft."""

    def __init__(self, floor: float) -> None:
        self._floor = floor
        self._measuring = Slipcover(branch=True, source=SOURCE, exclude_lines=NOT_COUNTED)
        self._imports = ImportManager(self._measuring, FileMatcher(sources=SOURCE))
        self._imports.__enter__()
        self._seen: dict[str, Any] | None = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add what a process that ran tests has seen."""
        told = getattr(node, "workeroutput", {}).get("coverage")
        if told is not None:
            seen = json.loads(told)
            self._seen = seen if self._seen is None else merge_coverage(self._seen, seen)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tell what was seen, and fail below the floor."""
        self._imports.__exit__()
        output: dict[str, str] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["coverage"] = json.dumps(self._measuring.get_coverage())
            return
        if self._seen is None:
            self._seen = self._measuring.get_coverage()
        if session.exitstatus == pytest.ExitCode.OK and self._share() < self._floor:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the files that are not covered whole, and the share that is."""
        table = io.StringIO()
        print_coverage(self._seen, outfile=table, skip_covered=True, missing_width=60)
        terminalreporter.section("coverage")
        terminalreporter.write_line(table.getvalue())
        below = self._share() < self._floor
        terminalreporter.write_line(
            f"Coverage of lines and branches: {self._share():.1f} %"
            + (f", which is below the floor of {self._floor:g} %" if below else ""),
            red=below,
        )

    def _share(self) -> float:
        """The percentage of lines and branches that were run."""
        return self._seen["summary"]["percent_covered"] if self._seen else 0.0
