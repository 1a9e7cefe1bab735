"""Lines that a thread writes."""

import os
import select

import pytest
from prometheus_client import REGISTRY

from infrastructure.logs import lines
from infrastructure.logs.lines import OutputLines


def dropped() -> float:
    return REGISTRY.get_sample_value("tollgate_access_lines_dropped_total") or 0


def test_what_waits_is_written_when_it_is_closed() -> None:
    reader, writer = os.pipe()
    output = OutputLines(writer)
    output.write([b"a\n", b"b\n"])
    output.close()
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert file.read() == b"a\nb\n"


def test_where_nobody_reads_lines_are_dropped_and_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "WAITING_BYTES_MAX", 200_000)
    monkeypatch.setattr(lines, "LEAVE_SECONDS_MAX", 0.1)
    reader, writer = os.pipe()
    before = dropped()
    output = OutputLines(writer)
    for _ in range(300):
        output.write([b"x" * 999 + b"\n"])
    assert dropped() >= before + 50
    writing = output._thread
    assert writing is not None
    output.close()
    os.close(reader)
    writing.join(10)  # or what it drops now would be counted in the next test
    assert not writing.is_alive()


def test_a_reader_that_has_gone_is_counted_and_raises_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    before = dropped()
    output = OutputLines(writer)
    output.write([b"a\n"])
    output.close()
    os.close(writer)
    assert dropped() == before + 1


def test_a_piece_is_whole_lines_and_fits_into_a_pipe_at_once() -> None:
    given = [b"x" * 1_000 + b"\n"] * 10
    pieces = list(lines._pieces(given))
    assert b"".join(pieces) == b"".join(given)
    assert all(len(piece) <= select.PIPE_BUF and piece.endswith(b"\n") for piece in pieces)
    assert len(pieces) == 3
