"""Customers from the command line: delete one, export one."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from api.commands import CommandFailed
from api.container import Container
from core.metering.account import CustomerNotFound

DELETED_BY = "command line"


async def delete(container: Container, customer_id: str) -> None:
    """Begins the deletion; a service on this database goes on with it, since it knows where the files are. Raises CommandFailed."""
    keeps_sums = container.settings().keep_deleted_sums
    try:
        await container.customer_deletions().begin(customer_id, container.clock()(), DELETED_BY, keeps_sums=keeps_sums)
    except CustomerNotFound as error:
        raise CommandFailed(error.message) from error


async def export(container: Container, customer_id: str, file: Path | None, *, with_files: bool) -> None:
    """Into the file, or to the standard output. Raises CommandFailed, also where the file is there already."""
    lines = container.export_customer().lines(customer_id, with_files=with_files)
    try:
        first = await anext(lines)
    except CustomerNotFound as error:
        raise CommandFailed(error.message) from error
    with ExitStack() as stack:
        out = sys.stdout.buffer if file is None else stack.enter_context(_new(file))
        out.write(first)
        async for line in lines:
            out.write(line)
        out.flush()


def _new(file: Path) -> BinaryIO:
    """For nobody else to read."""
    try:
        return open(file, "xb", opener=lambda path, flags: os.open(path, flags, 0o600))
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}.") from error
