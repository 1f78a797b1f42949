"""ScaiMind's trainer for real models, over transformers, peft, trl, accelerate and datasets."""

__version__ = "0.1.0"
