"""What every part of a run is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..data import LoadedData
    from ..failures import Facts
    from ..fence import Fence
    from ..heartbeat import Heartbeat
    from ..journal import Journal
    from ..ranks import Ranks
    from ..requests import Requests
    from ..settings import Settings


@dataclass
class Attempt:
    """An attempt that runs: its folder, where nothing else is written, and its doors to the outside."""

    directory: Path
    settings: Settings
    journal: Journal
    fence: Fence
    requests: Requests
    ranks: Ranks
    heartbeat: Heartbeat
    facts: Facts


@dataclass
class Parts:
    """What a family of training types builds a trainer from."""

    data: LoadedData
    model: Any
    tokenizer: Any
    lora: Any
    row_tokens: int
