"""A folder for data, and a job that reads it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest


class Workspace:
    """A folder for data, and a job that reads it."""

    def __init__(self, folder: Path):
        self.folder = folder

    def write(self, name: str, content) -> str:
        """Writes text, bytes, or records in the format that the name ends in; answers the path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content)
        elif path.suffix == ".parquet":
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(content), path)
        elif path.suffix in (".csv", ".tsv"):
            with open(path, "w", newline="") as file:
                rows = csv.DictWriter(file, content[0], delimiter="," if path.suffix == ".csv" else "\t")
                rows.writeheader()
                rows.writerows(content)
        elif path.suffix == ".json":
            path.write_text(json.dumps(content, indent=1))
        else:
            path.write_text("".join(json.dumps(record) + "\n" for record in content))
        return str(path)

    def load(self, *sources, training_type: str = "SFT", hyperparameters: dict | None = None, mapping: dict | None = None, **config):
        """What a job with these sources (paths, or the fields of a source) loads."""
        from scaimind_trainer.data import load_data

        given = [source if isinstance(source, dict) else {"path": source} for source in sources]
        return load_data(
            {
                "training_config": {"training_type": training_type, "hyperparameters": hyperparameters or {}},
                "data_config": {"sources": given, "preprocess": {"field_mapping": mapping or {}}, **config},
            }
        )

    def refusal(self, *sources, **options):
        """The failure that loading ends in."""
        from scaimind_trainer.problems import TrainerFailure

        with pytest.raises(TrainerFailure) as caught:
            self.load(*sources, **options)
        return caught.value
