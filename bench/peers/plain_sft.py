"""
trl's SFTTrainer as a plain script runs it, without any protocol: `python plain_sft.py job.json FROM`, for LORA, QLORA and SFT. Reads
what the trainer reads, and prints the seconds from the end of step FROM to the end of the last.
"""

import json
import sys
import time

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TrainerCallback
from trl import SFTConfig, SFTTrainer


class Watch(TrainerCallback):
    """The moment at which each step ended."""

    def __init__(self):
        self.ended = {}

    def on_step_end(self, args, state, control, **kwargs):
        self.ended[state.global_step] = time.perf_counter()


def in_4_bits(dtype: torch.dtype) -> dict:
    """QLoRA's format: 4-bit NormalFloat, its constants quantised too."""
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_quant_storage=dtype,
    )
    return {"quantization_config": quantization, "device_map": {"": 0}}


def main() -> None:
    with open(sys.argv[1]) as file:
        job = json.load(file)
    training, data = job["training_config"], job["data_config"]
    kind, values, model_id = training["training_type"], training["hyperparameters"], training["base_model"]["model_id"]
    dtype = getattr(torch, training["base_model"].get("dtype") or "float32")
    on_cpu = job["resource_config"]["gpu_count"] == 0
    steps = int(values["max_steps"])
    watch = Watch()
    arguments = SFTConfig(
        output_dir="plain",
        max_steps=steps,
        learning_rate=float(values["learning_rate"]),
        logging_steps=int(values["logging_steps"]),
        per_device_train_batch_size=data["batch_size"],
        max_length=data["max_seq_length"],
        seed=int(data["seed"]),
        activation_checkpointing=False,
        dataloader_pin_memory=False,
        use_cpu=on_cpu,
        bf16=dtype == torch.bfloat16,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    lora = LoraConfig(task_type="CAUSAL_LM", r=int(values["lora_r"]), lora_alpha=32, target_modules="all-linear") if kind != "SFT" else None
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model_id, dtype=dtype, **(in_4_bits(dtype) if kind == "QLORA" else {})),
        args=arguments,
        train_dataset=load_dataset("json", data_files=data["sources"][0]["path"], split="train"),
        processing_class=AutoTokenizer.from_pretrained(model_id),
        peft_config=lora,
        callbacks=[watch],
    )
    trainer.train()
    print(json.dumps({"seconds": watch.ended[steps] - watch.ended[int(sys.argv[2])]}))


main()
