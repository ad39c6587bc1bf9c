from __future__ import annotations

import sys

import pytest

from weft.service.server import allow_files


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_the_service_may_open_as_many_files_as_the_machine_allows() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = before[1] if 0 < before[1] < 65_536 else 65_536
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most - 1, before[1]))
        allow_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, before[1])
        allow_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
