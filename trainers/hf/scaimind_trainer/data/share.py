"""Data is prepared once on a machine, however many processes train there."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from ..problems import TrainerFailure

LOOK_SECONDS = 0.2


def once_a_machine(make: Callable[[], dict]) -> dict:
    """
    What `make` answers: asked in the machine's first process, told to the others through a file in the attempt's folder. What it raises
    is raised in all.
    """
    directory = os.environ.get("SCAIMIND_JOB_DIR")
    if int(os.environ.get("WORLD_SIZE") or 1) == 1 or not directory:
        return make()
    # Processes that are started again must not take what was there before.
    round_number = os.environ.get("TORCHELASTIC_RESTART_COUNT") or "0"
    told = Path(directory) / f"data.{socket.gethostname()}.{round_number}.json"
    if int(os.environ.get("LOCAL_RANK") or 0) == 0:
        return _make_and_tell(make, told)
    # A first process that is killed takes this one along: whoever started both ends both.
    while not told.exists():
        time.sleep(LOOK_SECONDS)
    answer = json.loads(told.read_text())
    if failure := answer.get("failure"):
        raise TrainerFailure(failure["class_name"], failure["message"], field=failure["field"], hint=failure["hint"])
    return answer["made"]


def _make_and_tell(make: Callable[[], dict], told: Path) -> dict:
    try:
        made = make()
    except Exception as error:
        failure = {"class_name": "UNKNOWN", "message": f"The data could not be read: {error}", "field": None, "hint": None}
        if isinstance(error, TrainerFailure):
            failure = {name: getattr(error, name) for name in failure}
        _write(told, {"failure": failure})
        raise
    _write(told, {"made": made})
    return made


def _write(path: Path, value: dict) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value))
    part.replace(path)
