"""The records of a file, one after the other, in bounded memory."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

# Where a record is, and what it holds.
Placed = tuple[str, "dict | BadRecord"]

NOT_AN_OBJECT = "expected a JSON object"
CHUNK_CHARACTERS = 1 << 20
PARQUET_ROWS = 256
BETWEEN_OBJECTS = re.compile(r"[\s,\[\]]*")
DOCUMENT_CHARACTERS_MIN = 2000


class BadRecord(Exception):
    """A record that cannot be used, and why. `unmapped`: the field of the trainer whose column, by the job's mapping, it lacks."""

    def __init__(self, reason: str, unmapped: str | None = None):
        super().__init__(reason)
        self.unmapped = unmapped


class BrokenFile(Exception):
    """A file that cannot be read further, by its place."""

    def __init__(self, place: str, reason: str):
        super().__init__(f"{place}: {reason}")


def read_file(path: Path, file_format: str, document_characters: int = DOCUMENT_CHARACTERS_MIN) -> Iterator[Placed]:
    """Reads a file's records. A bad one comes as BadRecord; raises BrokenFile where the rest cannot be read, and OSError.

    Plain text is divided into documents by blank lines; one longer than `document_characters` is cut at white space.
    """
    if file_format == "jsonl":
        return _read_json_lines(path)
    if file_format == "json":
        return _read_json(path)
    if file_format in ("csv", "tsv"):
        return _read_table(path, "," if file_format == "csv" else "\t")
    if file_format == "parquet":
        return _read_parquet(path)
    return _read_text(path, document_characters)


def _read_json_lines(path: Path) -> Iterator[Placed]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                value = _parse(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
            except BadRecord as bad:
                value = bad
            yield f"{path.name}:{number}", value


def _parse(line: bytes) -> dict:
    try:
        value = json.loads(line.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise BadRecord("not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRecord(NOT_AN_OBJECT)
    return value


def _refuse_constant(name: str):
    raise ValueError(f"{name} is no JSON value")


def _read_json(path: Path) -> Iterator[Placed]:
    """A list of objects, or objects one after the other, as many `.json` files are; read piece by piece."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    line, text, at = 1, "", 0
    with open(path, encoding="utf-8-sig") as file:
        try:
            while True:
                gap = BETWEEN_OBJECTS.match(text, at).end()
                line += text.count("\n", at, gap)
                at = gap
                if at == len(text):
                    text, at = file.read(CHUNK_CHARACTERS), 0
                    if not text:
                        return
                    continue
                place = f"{path.name}:{line}"
                if text[at] != "{":
                    raise BrokenFile(place, "expected a list of JSON objects")
                try:
                    value, end = decoder.raw_decode(text, at)
                except (ValueError, RecursionError) as error:
                    # The object may be longer than what was read; so much is read again each time.
                    more = file.read(max(CHUNK_CHARACTERS, len(text) - at))
                    if not more:
                        raise BrokenFile(place, f"not JSON: {error}") from None
                    text, at = text[at:] + more, 0
                    continue
                yield place, value
                line += text.count("\n", at, end)
                at = end
        except UnicodeDecodeError:
            raise BrokenFile(f"{path.name}:{line}", "not UTF-8 text") from None


def _read_table(path: Path, delimiter: str) -> Iterator[Placed]:
    # Some fields are whole documents.
    csv.field_size_limit(1 << 30)
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.reader(file, delimiter=delimiter)
        try:
            names = next(rows, None)
            if not names:
                return
            if len(set(names)) < len(names):
                raise BrokenFile(f"{path.name}:1", "two columns have the same name")
            start = rows.line_num + 1
            for row in rows:
                if row:
                    yield f"{path.name}:{start}", _read_row(names, row)
                start = rows.line_num + 1
        except csv.Error as error:
            raise BrokenFile(f"{path.name}:{rows.line_num}", str(error)) from None


def _read_row(names: list[str], row: list[str]) -> dict | BadRecord:
    if len(row) != len(names):
        return BadRecord(f"{len(row)} fields where the header has {len(names)}")
    if any("\udc80" <= character <= "\udcff" for cell in row for character in _escaped(cell)):
        return BadRecord("not UTF-8 text")
    return dict(zip(names, row, strict=True))


def _escaped(cell: str) -> str:
    """Only text that cannot be written as UTF-8 is looked at letter by letter."""
    try:
        cell.encode()
        return ""
    except UnicodeEncodeError:
        return cell


def _read_parquet(path: Path) -> Iterator[Placed]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=PARQUET_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path.name}, row {number}", row
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise BrokenFile(f"{path.name}, row {number + 1}", f"not readable as parquet: {error}") from None


def _read_text(path: Path, longest: int) -> Iterator[Placed]:
    start, held = 0, ""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode().removeprefix("\ufeff" if number == 1 else "")
            except UnicodeDecodeError:
                raise BrokenFile(f"{path.name}:{number}", "not UTF-8 text") from None
            if "\0" in text:
                raise BrokenFile(f"{path.name}:{number}", "not a text file: it has a NUL byte")
            text = text.replace("\r\n", "\n")
            if text.strip(" \t\n") == "":
                if held.strip():
                    yield f"{path.name}:{start}", {"text": held.strip()}
                held = ""
                continue
            start = start if held else number
            held += text
            begin = 0
            while len(held) - begin > longest:
                end = _piece_end(held, begin, begin + longest)
                yield f"{path.name}:{start}", {"text": held[begin:end].strip()}
                start += held.count("\n", begin, end)
                begin = end
            held = held[begin:]
    if held.strip():
        yield f"{path.name}:{start}", {"text": held.strip()}


def _piece_end(text: str, begin: int, end: int) -> int:
    """After the last white space of a piece, unless that is in its first half."""
    space = max(text.rfind(white, begin, end) for white in " \n\t")
    return space + 1 if space - begin > (end - begin) / 2 else end
