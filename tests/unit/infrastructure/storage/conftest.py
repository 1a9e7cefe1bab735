from pathlib import Path
from uuid import uuid4

import pytest

from infrastructure.storage.local_disk import LocalDiskUploads


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data" / "uploads"


@pytest.fixture
def uploads(directory: Path) -> LocalDiskUploads:
    return LocalDiskUploads(directory, b"secret", "https://tollgate.example", uuid4)
