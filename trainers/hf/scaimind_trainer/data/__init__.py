"""A job's training data: read from files or a hub, checked record by record, streamed into Arrow."""

from .load import LoadedData, SourceReport, load_data

__all__ = ["LoadedData", "SourceReport", "load_data"]
