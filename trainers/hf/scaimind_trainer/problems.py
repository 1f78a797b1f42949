"""What can be expected to go wrong, in words for the person whose job it is."""

from __future__ import annotations

FAILURE_CLASSES = (
    "OUT_OF_MEMORY",
    "NAN_LOSS",
    "COLLECTIVE_HANG",
    "DATA",
    "NODE",
    "CODE",
    "AUTH",
    "TIME_LIMIT",
    "UNKNOWN",
)


class TrainerFailure(Exception):
    """Ends the attempt: `class_name` is one of FAILURE_CLASSES, `field` the path of the submission's field that is to blame, `hint` what would help."""

    def __init__(
        self,
        class_name: str,
        message: str,
        *,
        field: str | None = None,
        hint: str | None = None,
        first_bad_step: int | None = None,
        rank: int | None = None,
    ):
        super().__init__(message)
        assert class_name in FAILURE_CLASSES, class_name
        self.class_name = class_name
        self.message = message
        self.field = field
        self.hint = hint
        self.first_bad_step = first_bad_step
        self.rank = rank
