"""The model that is evaluated."""

from __future__ import annotations

import json
from pathlib import Path

from ..hub import hub_failure
from ..problems import TrainerFailure

FIELD = "model_uri"


def open_model(evaluation: dict, base_model: dict):
    """Loads the model and tokenizer of an evaluation: a folder of a model, of an adapter or of a checkpoint, or an id of a hub. Answers both.

    `base_model` is `training_config.base_model`: its dtype and trust_remote_code hold, and for an id its revision. Raises TrainerFailure.
    """
    model = evaluation.get("model") or ""
    if not model:
        raise TrainerFailure("DATA", "Name a model.", field=FIELD)
    try:
        return _open(model, evaluation.get("base") or "", base_model)
    except TrainerFailure:
        raise
    except Exception as error:
        if _is_out_of_memory(error):
            raise
        if not Path(model).is_absolute():
            raise hub_failure(f"The model {model}", error, FIELD) from error
        reason = " ".join(str(error).split())[:600].rstrip(".")
        raise TrainerFailure("DATA", f"The model cannot be read: {reason}.", field=FIELD) from error


def _open(model: str, base: str, base_model: dict):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    trust = bool(base_model.get("trust_remote_code"))
    folder = _folder_of(model)
    adapter = folder if folder and (folder / "adapter_config.json").is_file() else None
    source = str(folder or model)
    if adapter:
        # What the coordinator has checked holds, not what the adapter's file names.
        source = base or json.loads((adapter / "adapter_config.json").read_text()).get("base_model_name_or_path") or ""
        if not source:
            raise TrainerFailure("DATA", f"The adapter in {adapter.name} does not name its base model.", field=FIELD)
    options = {"trust_remote_code": trust}
    if not Path(source).is_absolute() and base_model.get("revision"):
        options["revision"] = base_model["revision"]
    placed = {"device_map": "auto"} if torch.cuda.is_available() else {}
    loaded = AutoModelForCausalLM.from_pretrained(source, dtype=base_model.get("dtype") or "auto", **options, **placed)
    has_tokenizer = folder is not None and any((folder / name).is_file() for name in ("tokenizer_config.json", "tokenizer.json"))
    # A revision is the base model's.
    tokenizer_options = {"trust_remote_code": trust} if has_tokenizer else options
    tokenizer = AutoTokenizer.from_pretrained(str(folder) if has_tokenizer else source, **tokenizer_options)
    if adapter:
        from peft import PeftModel

        loaded = PeftModel.from_pretrained(loaded, str(adapter))
    return loaded.eval(), tokenizer


def _folder_of(model: str) -> Path | None:
    """Where the weights lie: in the folder itself, or in one that a checkpoint keeps them in. None for an id of a hub."""
    path = Path(model)
    if not path.is_absolute():
        return None
    if not path.is_dir():
        raise TrainerFailure("DATA", f"There is no model in {path.name}: no such folder.", field=FIELD)
    for folder in (path, path / "model", path / "adapter"):
        if (folder / "adapter_config.json").is_file() or (folder / "config.json").is_file():
            return folder
    raise TrainerFailure("DATA", f"There is no model in {path.name}: it has neither config.json nor adapter_config.json.", field=FIELD)


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
