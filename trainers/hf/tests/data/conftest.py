"""Jobs whose data lies in a temporary folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

from workspace import Workspace  # noqa: E402


@pytest.fixture
def data(tmp_path: Path) -> Workspace:
    """An empty folder for data."""
    return Workspace(tmp_path)
