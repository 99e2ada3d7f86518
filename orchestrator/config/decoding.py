"""From the bytes of a file to its text: encodings, sizes, characters that YAML doesn't allow."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import NamedTuple

MAX_BYTES = 16 * 2**20
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Fault(NamedTuple):
    """A mistake in a file's text, by line and column from 1; an `end` of 0 reaches to the end of the line."""

    code: str
    message: str
    line: int = 1
    column: int = 1
    end: int = 0
    hint: str | None = None
    warning: bool = False


def read_text(file: Path) -> tuple[str, Fault | None]:
    """The file's text; or what can be shown of it, and why it can't be used."""
    try:
        if file.is_dir():
            return "", Fault("unreadable-file", f"{file.name} is a folder, not a file", hint=_inside(file))
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return "", Fault("missing-file", f"there is no file {file}", hint=_nearby(file))
    except PermissionError:
        return "", Fault("unreadable-file", f"no permission to read {file}", hint=f"try: chmod u+r {file.name}")
    except (OSError, ValueError) as error:
        return "", Fault("unreadable-file", f"{file} can't be read: {getattr(error, 'strerror', None) or error}")
    if len(data) > MAX_BYTES:
        message = f"{file.name} is larger than {MAX_BYTES // 2**20} MiB"
        return "", Fault("file-too-large", message, hint="is it a jobs file? Large ones can be split with `include`")
    return decode(data)


def decode(data: bytes) -> tuple[str, Fault | None]:
    """Text from UTF-8, or from what a byte order mark says."""
    bom, encoding = next(((b, e) for b, e in _BOMS if data.startswith(b)), (b"", "utf-8"))
    body = data[len(bom) :]
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        return _undecodable(body, encoding, error)
    found = _FORBIDDEN.search(text)
    if found is None:
        return text, None
    line, column = position(text, found.start())
    message = f"the character U+{ord(found[0]):04X} is not allowed in YAML"
    hint = f'write it "\\x{ord(found[0]):02x}" inside double quotes' if ord(found[0]) < 0x100 else None
    return text, Fault("bad-character", message, line, column, column + 1, hint)


def position(text: str, index: int) -> tuple[int, int]:
    """Line and column, from 1, of a character."""
    before = text[:index]
    breaks = [match.end() for match in re.finditer("\r\n|[\n\r\x85\u2028\u2029]", before)]
    return len(breaks) + 1, index - (breaks[-1] if breaks else 0) + 1


def _undecodable(body: bytes, encoding: str, error: UnicodeDecodeError) -> tuple[str, Fault]:
    good = body[: error.start].decode(encoding, "replace")
    line, column = position(good, len(good))
    shown = body.decode(encoding, "replace")
    name = encoding.upper().removesuffix("-LE").removesuffix("-BE")
    message = f"the file is not {name}: byte 0x{body[error.start]:02x} can't be read"
    hint = "save the file as UTF-8" + ("; it may be Latin-1 now" if encoding == "utf-8" else "")
    return shown, Fault("bad-encoding", message, line, column, column + 1, hint)


def _nearby(file: Path) -> str:
    other = file.with_suffix(".yml" if file.suffix == ".yaml" else ".yaml")
    try:
        if other.is_file():
            return f"did you mean {other.name}?"
    except (OSError, ValueError):
        pass
    return "check the path, or make a new project with `orchestrator init`"


def _inside(folder: Path) -> str | None:
    inner = folder / "jobs.yaml"
    try:
        return f"did you mean {inner}?" if inner.is_file() else None
    except OSError:
        return None
