"""
trl's SFTTrainer with adapters as a plain script runs it, without any protocol: `python plain_sft.py job.json FROM`. Reads what the
trainer reads, and prints the seconds from the end of step FROM to the end of the last.
"""

import json
import sys
import time

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class Watch(TrainerCallback):
    """The moment at which each step ended."""

    def __init__(self):
        self.ended = {}

    def on_step_end(self, args, state, control, **kwargs):
        self.ended[state.global_step] = time.perf_counter()


def main() -> None:
    with open(sys.argv[1]) as file:
        job = json.load(file)
    training, data = job["training_config"], job["data_config"]
    values, model_id = training["hyperparameters"], training["base_model"]["model_id"]
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
        use_cpu=not torch.cuda.is_available(),
        bf16=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model_id, dtype=torch.float32),
        args=arguments,
        train_dataset=load_dataset("json", data_files=data["sources"][0]["path"], split="train"),
        processing_class=AutoTokenizer.from_pretrained(model_id),
        peft_config=LoraConfig(task_type="CAUSAL_LM", r=int(values["lora_r"]), lora_alpha=32, target_modules="all-linear"),
        callbacks=[watch],
    )
    trainer.train()
    print(json.dumps({"seconds": watch.ended[steps] - watch.ended[int(sys.argv[2])]}))


main()
