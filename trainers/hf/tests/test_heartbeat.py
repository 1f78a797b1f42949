"""What the heartbeats of an attempt's ranks say."""

from __future__ import annotations

import os
import time

import pytest
from scaimind_trainer.heartbeat import Heartbeat


@pytest.fixture
def ranks(tmp_path):
    """Three ranks of one attempt, unwatched."""
    hearts = [Heartbeat(tmp_path, rank, 3, lambda failure: None) for rank in range(3)]
    yield hearts
    for heart in hearts:
        heart.close()


def test_the_rank_that_is_behind_in_its_step_is_missing(ranks):
    for rank, (step, stage) in enumerate([(7, "compute"), (7, "data"), (7, "compute")]):
        ranks[rank].beat(step, stage)
    assert ranks[0].missing_ranks() == [1]


def test_a_rank_that_no_longer_touches_its_file_is_missing_wherever_it_was(ranks, tmp_path):
    for heart in ranks:
        heart.close()
        (tmp_path / f"heartbeat.{ranks.index(heart)}").write_text("7 1\n")
    long_ago = time.time() - 60
    os.utime(tmp_path / "heartbeat.2", (long_ago, long_ago))
    ranks[0]._place = (7, 1)
    assert ranks[0].missing_ranks() == [2]


def test_a_beat_that_comes_after_the_end_writes_nothing(ranks, tmp_path):
    ranks[0].beat(7, "data")
    ranks[0].close()
    written = (tmp_path / "heartbeat.0").read_text()
    ranks[0].beat(8, "data")
    assert (tmp_path / "heartbeat.0").read_text() == written


def test_no_rank_is_blamed_where_all_wait_in_the_same_place(ranks):
    for heart in ranks:
        heart.beat(7, "compute")
    assert ranks[1].missing_ranks() == []
