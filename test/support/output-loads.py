"""Loads a job's output as its users would, and prints how far its logits are from the base model's: `KIND OUTPUT BASE`."""

import sys

import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer

kind, output, base = sys.argv[1:]
tuned = (AutoPeftModelForCausalLM if kind == "adapter" else AutoModelForCausalLM).from_pretrained(output)
ids = torch.tensor([AutoTokenizer.from_pretrained(output)("The number 3").input_ids])
print(float((tuned(ids).logits - AutoModelForCausalLM.from_pretrained(base)(ids).logits).abs().max()))
