"""What is asked of a run from outside, and how it goes on later."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time

import pytest


def at_step(attempt, step: int, act) -> threading.Thread:
    """Does something once the attempt has told `step`."""

    def watch() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if any(line["step"] >= step for line in attempt.metrics()):
                return act()
            time.sleep(0.002)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def signalled(number: signal.Signals):
    return lambda: os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def own_handlers():
    """Signal handlers are the process's: pytest gets its own back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("kind", ["LORA", "SFT"])
def test_a_run_that_was_stopped_goes_on_with_the_same_losses(job, kind):
    job.training["training_type"] = kind
    job.set(max_steps=80, lora_r=8 if kind == "LORA" else None, lora_dropout=0.1 if kind == "LORA" else None, warmup_steps=5)
    job.spec["data_config"].update(validation_split=0.2, gradient_accumulation_steps=2, batch_size=2)
    unbroken = job.new_attempt()
    assert unbroken.run() == 0

    stopped = job.new_attempt()
    at_step(stopped, 7, signalled(signal.SIGTERM))
    assert stopped.run() == 85
    (checkpoint,) = stopped.events("checkpoint")
    step = checkpoint["step"]
    assert 7 <= step < 80
    assert max(stopped.losses()) == step
    folder = stopped.directory / checkpoint["path"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["step"] == step
    assert set(manifest["files"]) == {path.name for path in folder.iterdir()} - {"manifest.json"}

    before = sorted((path, path.stat().st_mtime_ns) for path in stopped.directory.rglob("*"))
    job.spec["resume_from"] = str(folder)
    resumed = job.new_attempt()
    assert resumed.run() == 0
    assert min(resumed.losses()) == step + 1
    for later, loss in resumed.losses().items():
        assert loss == pytest.approx(unbroken.losses()[later], abs=1e-6)
    assert resumed.events("progress")[-1]["tokens_seen"] == unbroken.events("progress")[-1]["tokens_seen"]
    (told,), (expected,) = resumed.events("evaluation"), unbroken.events("evaluation")
    assert told["base"] == expected["base"]
    assert told["tuned"]["loss"] == pytest.approx(expected["tuned"]["loss"], abs=1e-6)
    assert sorted((path, path.stat().st_mtime_ns) for path in stopped.directory.rglob("*")) == before


@pytest.mark.parametrize("hidden", [False, True])
def test_a_run_that_is_stopped_while_it_reads_its_data_leaves_at_once(job, monkeypatch, hidden):
    from scaimind_trainer.training import train

    def reads_long(given):
        try:
            signalled(signal.SIGTERM)()
            time.sleep(60)
        except Exception as error:
            if hidden:
                raise RuntimeError("a package's own words for it") from error
            raise

    monkeypatch.setattr(train, "load_data", reads_long)
    attempt = job.new_attempt()
    assert attempt.run() == 85
    assert attempt.phases() == ["PREPARING"]
    assert attempt.events("failure") == []


def test_a_run_that_is_stopped_while_it_is_evaluated_goes_on_with_its_end(job, monkeypatch):
    from scaimind_trainer.final_evaluation import FinalEvaluation

    finish = FinalEvaluation.finish
    job.set(max_steps=6)
    job.spec["data_config"].update(validation_split=0.2)
    stopped = job.new_attempt()
    with monkeypatch.context() as patched:
        patched.setattr(FinalEvaluation, "finish", lambda self: (signalled(signal.SIGTERM)(), finish(self))[1])
        assert stopped.run() == 85
    (checkpoint,) = stopped.events("checkpoint")
    assert checkpoint["step"] == 6

    job.spec["resume_from"] = str(stopped.directory / checkpoint["path"])
    resumed = job.new_attempt()
    assert resumed.run() == 0
    assert resumed.losses() == {}
    assert resumed.events("evaluation")[0]["tuned"]["loss"] < resumed.events("evaluation")[0]["base"]["loss"]
    assert "6 steps" in (resumed.output / "README.md").read_text()


def test_an_evaluation_between_steps_is_left_on_request(job, monkeypatch):
    from trl import SFTTrainer

    measure = SFTTrainer.prediction_step
    measured = []

    def signalling(self, *args, **kwargs):
        measured.append(self.state.global_step)
        signalled(signal.SIGTERM)()
        return measure(self, *args, **kwargs)

    monkeypatch.setattr(SFTTrainer, "prediction_step", signalling)
    job.set(max_steps=6, eval_steps=2)
    job.spec["data_config"].update(validation_split=0.5, batch_size=2)
    attempt = job.new_attempt()

    assert attempt.run() == 85

    assert measured == [2]
    assert [event["step"] for event in attempt.events("checkpoint")] == [2]
    assert max(attempt.losses()) == 2


def test_sigusr1_saves_a_checkpoint_and_goes_on(job):
    job.set(max_steps=60)
    attempt = job.new_attempt()
    at_step(attempt, 5, signalled(signal.SIGUSR1))

    assert attempt.run() == 0

    (checkpoint,) = attempt.events("checkpoint")
    assert 5 <= checkpoint["step"] < 60
    assert attempt.phases() == ["PREPARING", "TRAINING", "CHECKPOINTING", "TRAINING", "EXPORTING"]
    assert max(attempt.losses()) == 60


def test_a_stop_without_a_checkpoint_saves_none(job):
    job.set(max_steps=80)
    attempt = job.new_attempt()
    (attempt.directory / "stop.json").write_text('{"save_checkpoint": false}')
    at_step(attempt, 3, signalled(signal.SIGTERM))

    assert attempt.run() == 85

    assert attempt.events("checkpoint") == []
    assert not (attempt.directory / "checkpoints").exists() or not any(attempt.directory.glob("checkpoints/step-*"))


def test_only_the_newest_checkpoints_are_kept(job):
    job.set(max_steps=20)
    job.spec["output_config"].update(save_strategy="STEPS", save_steps=5, save_total_limit=2)
    attempt = job.new_attempt()

    assert attempt.run() == 0

    assert [event["step"] for event in attempt.events("checkpoint")] == [5, 10, 15, 20]
    assert [event["step"] for event in attempt.events("checkpoint_deleted")] == [5, 10]
    assert sorted(path.name for path in (attempt.directory / "checkpoints").iterdir()) == ["step-15", "step-20"]


def test_a_checkpoint_is_saved_after_each_epoch(job):
    job.set(max_steps=None, num_train_epochs=2)
    job.spec["output_config"].update(save_strategy="EPOCH")
    attempt = job.new_attempt()

    assert attempt.run() == 0

    assert [event["step"] for event in attempt.events("checkpoint")] == [4, 8]


def test_a_checkpoint_that_was_changed_or_made_for_another_run_is_refused(job):
    job.set(max_steps=4)
    job.spec["output_config"].update(save_strategy="EPOCH")
    first = job.new_attempt()
    assert first.run() == 0
    copy = job.folder / "copy"
    shutil.copytree(first.checkpoint(4), copy)
    (copy / "optimizer.pt").write_bytes(b"other")
    job.spec["resume_from"] = str(copy)
    changed = job.new_attempt()
    assert changed.run() == 1
    assert "optimizer.pt has 5 bytes" in changed.failure["message"]
    assert changed.failure["field"] == "training_config.resume_from_checkpoint"

    job.spec["resume_from"] = str(first.checkpoint(4))
    job.set(max_steps=3)
    job.spec["data_config"]["preprocess"] = {"add_eos": False, "chat_template": "{{ messages }}" * 10}
    job.write_data([{"text": "other"}] * 4)
    other = job.new_attempt()
    assert other.run() == 1
    assert other.failure["message"] == (
        "Checkpoint step-4 cannot be used: it was made with training_config.hyperparameters.max_steps 4, not 3; "
        "other data_config.sources, or they have changed; data_config.preprocess.add_eos null, not false; "
        "another data_config.preprocess.chat_template."
    )


def test_of_a_checkpoint_that_holds_no_values_the_part_that_differs_is_named(tmp_path):
    from scaimind_trainer.checkpoints import open_checkpoint
    from scaimind_trainer.durable import describe_files
    from scaimind_trainer.problems import TrainerFailure

    same = {"base_model": "a", "training": "b", "data": "c"}
    (tmp_path / "scaimind.json").write_text(json.dumps({"step": 4, "metrics": {}, "base": None, "fingerprint": same}))
    (tmp_path / "manifest.json").write_text(json.dumps({"version": 1, "step": 4, "files": describe_files(tmp_path)}))
    assert open_checkpoint(tmp_path, {**same, "fields": {}})["step"] == 4
    with pytest.raises(TrainerFailure, match="made with another training_config"):
        open_checkpoint(tmp_path, {**same, "training": "d", "fields": {}})


def test_an_attempt_that_a_newer_one_has_overtaken_ends_with_86_and_writes_nothing(job, monkeypatch):
    class Left(BaseException):
        pass

    def leave(code: int) -> None:
        raise Left(code)

    attempt = job.new_attempt()
    (job.folder / "fence" / "2").write_text("token")
    monkeypatch.setattr(os, "_exit", leave)

    with pytest.raises(Left) as left:
        attempt.run()

    assert left.value.args == (86,)
    assert sorted(path.name for path in attempt.directory.iterdir()) == ["job.json"]


def test_an_attempt_that_is_overtaken_while_it_trains_writes_no_more(job, monkeypatch):
    class Left(BaseException):
        pass

    def leave(code: int) -> None:
        raise Left(code)

    job.set(max_steps=100_000)
    attempt = job.new_attempt()
    monkeypatch.setattr(os, "_exit", leave)
    at_step(attempt, 5, lambda: (job.folder / "fence" / "2").write_text("token"))

    with pytest.raises(Left) as left:
        attempt.run()

    assert left.value.args == (86,)
    assert attempt.events("checkpoint") == []
    assert not attempt.output.exists()
