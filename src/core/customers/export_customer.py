"""Write out everything that is kept of a customer."""

import base64
import json
from collections.abc import AsyncIterator, Callable

from core.customers.deletion import CustomerFiles, CustomerRows


class ExportCustomer:
    """All rows, then all uploaded files in pieces, then a last line, without which it is not whole. A bounded part of it is in memory."""

    def __init__(self, rows: CustomerRows, files: Callable[[], CustomerFiles]) -> None:
        self._rows = rows
        self._files = files

    async def lines(self, customer_id: str, *, with_files: bool) -> AsyncIterator[bytes]:
        """One object on each line. Raises CustomerNotFound before the first one, and StorageUnavailable."""
        count = 0
        async for line in self._rows.lines(customer_id):
            count += 1
            yield line
        if with_files:
            async for piece in self._files().pieces(customer_id):
                count += 1
                content = base64.b64encode(piece.content).decode()
                row = {"session_id": str(piece.session_id), "file_id": str(piece.file_id), "offset": piece.offset, "content": content}
                yield _line("uploaded_file", row)
        yield _line("end", {"lines": count})


def _line(table: str, row: dict[str, object]) -> bytes:
    return json.dumps({"table": table, "row": row}).encode() + b"\n"
