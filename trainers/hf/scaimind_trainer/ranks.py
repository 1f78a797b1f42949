"""The processes of one attempt, and what they agree on between steps."""

from __future__ import annotations

import datetime
import os
from typing import Any


class Ranks:
    """
    This process's place among those of the attempt. Agreements go over the CPU's own group (gloo), beside the one that moves
    gradients: they cost some 0.1 ms and never wait for a GPU.
    """

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK") or 0)
        self.world_size = int(os.environ.get("WORLD_SIZE") or 1)
        self._group: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which writes."""
        return self.rank == 0

    def open(self, timeout_seconds: float) -> None:
        """Makes the group; every rank must call it, after torch.distributed is initialised."""
        if self.world_size > 1:
            import torch.distributed as dist

            self._group = dist.new_group(backend="gloo", timeout=datetime.timedelta(seconds=timeout_seconds))

    def sum(self, values: list[int]) -> list[int]:
        """Each value summed over all ranks."""
        if self._group is None:
            return values
        import torch
        import torch.distributed as dist

        tensor = torch.tensor(values, dtype=torch.int64)
        dist.all_reduce(tensor, group=self._group)
        return tensor.tolist()

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, by rank."""
        if self._group is None:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value, group=self._group)
        return values

    def wait(self) -> None:
        """Returns when every rank is here."""
        self.sum([0])
