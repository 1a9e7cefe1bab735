"""Several processes' measurements together."""

import os
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from api.operational import MULTIPROCESS, LiveProcesses


def test_what_a_process_was_doing_that_has_ended_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MULTIPROCESS, str(tmp_path))
    ended, living = tmp_path / "gauge_livesum_4194305.db", tmp_path / f"gauge_livesum_{os.getpid()}.db"
    counted = tmp_path / "counter_4194305.db"
    for file in (ended, living, counted):
        file.touch()
    collector = LiveProcesses(CollectorRegistry())
    for file in (living, counted):
        file.write_bytes(b"\x08\0\0\0\0\0\0\0" + b"\0" * 1024)
    list(collector.collect())
    assert not ended.exists()
    assert living.exists()
    assert counted.exists()
