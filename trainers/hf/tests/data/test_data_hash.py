"""Hashes of data by content, and that the coordinator tells the same."""

import hashlib
import json
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[4]

SAME = b'{"text": "a"}\n{"text": "\xc3\xbc"}\n'
BLANKS = b'\n \t\n{"text": "a"}\r\n\r\n{"text": "\xc3\xbc"}'
LONG = b"x" * 3_000_000 + b"\r\n" + b" y \r\r\n"

# As `hashFile` of src/coordinator/data/line-hash.ts tells them.
FILES = {
    "plain.jsonl": (SAME, "0160e3228cf618eec08478f8999d4337cca21c85d59128ff6d8e80abc485bd92"),
    "blanks.jsonl": (BLANKS, "0160e3228cf618eec08478f8999d4337cca21c85d59128ff6d8e80abc485bd92"),
    "marked.jsonl": (b"\xef\xbb\xbf" + SAME, "3003661556fe3b7e8432471808d681a6053abefd22b81a6ab0a9e3042ae73c9b"),
    "lines.txt": (b"one\n\ntwo\r\n  \nthree", "b6285c57e8797db5d4c51c80d6f11938afda9b11c6a003549709189e9b4b92a2"),
    "long.txt": (LONG, "b65436a9c0058b6ed74d9ba4ee703669a5a0745cc0ea26204bd5e79110e98036"),
    "table.csv": (b'text,n\r\n"a\n\nb",1\r\n', "96ae136928e71ca574c91810fe0869c56f44fa99d4b7e1f6814f043fdbae2443"),
    "list.json": (b'[{"text": "a"}]', "24fb2713bfb2a0403e34b54b0b05bc02e18458ed23b237a24d06023b8b15c6fd"),
}

HASHES = """
import { hashFile } from './src/coordinator/data/line-hash.ts'
const found = {}
for (const path of process.argv.slice(1)) found[path] = (await hashFile(path, '')).contentHash
console.log(JSON.stringify(found))
"""


@pytest.mark.parametrize("name", FILES)
def test_a_source_has_the_hash_of_its_records(tmp_path, name):
    from scaimind_trainer.data.files import format_of
    from scaimind_trainer.data.hash import hash_files

    content, expected = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    assert hash_files([(path, format_of(path))]) == expected


def test_the_coordinator_tells_the_same_hashes(tmp_path):
    if not shutil.which("node") or not (REPOSITORY / "node_modules/tsx").exists():
        warnings.warn("Not compared with the coordinator's own code: there is no node, or its packages are not installed.", stacklevel=1)
        pytest.skip("no node")
    for name, (content, _) in FILES.items():
        (tmp_path / name).write_bytes(content)
    paths = [str(tmp_path / name) for name in FILES]
    told = subprocess.run(
        ["node", "--import", "tsx", "--input-type=module", "-e", HASHES, "--", *paths], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    found = {Path(path).name: value for path, value in json.loads(told.stdout).items()}
    assert found == {name: f"sha256:{expected}" for name, (_, expected) in FILES.items()}


def test_a_source_is_reported_with_all_that_it_holds(data):
    path = data.write("train.jsonl", [{"text": str(number)} for number in range(10)])
    (report,) = data.load({"path": path, "filters": {"text": "<5"}, "sampling": {"max_records": "2"}}).sources
    content = Path(path).read_bytes()
    assert (report.path, report.records, report.bytes, report.sha256) == (path, 10, len(content), hashlib.sha256(content).hexdigest())


def test_a_folder_has_the_hash_of_its_files_in_their_order(data):
    a, b = data.write("all/a.jsonl", [{"text": "a"}]), data.write("all/b.jsonl", [{"text": "b"}])
    whole = data.write("whole.jsonl", Path(a).read_bytes() + Path(b).read_bytes())
    assert data.load(str(data.folder / "all")).sources[0].sha256 == data.load(whole).sources[0].sha256
