#!/usr/bin/env python3
"""Checks audit segments, from docs/audit-format.md alone and with nothing but the standard library.

    verify.py FILE…

Prints one JSON object a file and line. Exit code: 0 all verified, 1 one is broken, 2 usage,
4 one cannot be read or uses something version 1 does not know.
"""

import hashlib
import json
import os
import struct
import sys

MAGIC = bytes.fromhex("894346410d0a1a0a")
LENGTH_MIN = 76
FACTS_MAX = 1_048_576
LENGTH_MAX = 68_157_516
ENDS = {2: "closed", 3: "continued"}


class Broken(Exception):
    """The segment is not what was written."""

    def __init__(self, offset, seq, what):
        super().__init__(what)
        self.found = {"verdict": "broken", "offset": offset, "seq": seq, "what": what}


class Unsupported(Exception):
    """The segment uses something version 1 does not know."""


def sha256(*parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def is_text(value):
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def read_header(file, size):
    """Gives (header length, header hash, segment index, first number, boot clock)."""
    if size < 16:
        raise Broken(0, 0, "header-cut")
    start = file.read(16)
    if start[:8] != MAGIC:
        raise Broken(0, 0, "magic")
    (length,) = struct.unpack_from("<I", start, 12)
    if not 128 <= length <= 65_536:
        raise Broken(0, 0, "header-length")
    if size < length:
        raise Broken(0, 0, "header-cut")
    header = start + file.read(length - 16)
    header_hash = sha256(b"\x02", header[:-32])
    if header[-32:] != header_hash:
        raise Broken(0, 0, "header-hash")
    version, flags = struct.unpack_from("<HH", header, 8)
    fixed = [
        ("format version", version, 1),
        ("header flags", flags, 0),
        ("hash algorithm", header[16], 1),
        ("payload compression", header[17], 0),
        ("encryption", header[18], 0),
        ("payload store", header[19], 0),
    ]
    for what, found, known in fixed:
        if found != known:
            raise Unsupported(f"{what} {found}")
    (index,) = struct.unpack_from("<I", header, 20)
    _wall, boot, first = struct.unpack_from("<QQQ", header, 40)
    if first >= 1 << 63:
        raise Broken(0, 0, "header-field")
    read_fields(header[96:-32])
    return length, header_hash, index, first, boot


def read_fields(fields):
    last, seen, at = 0, set(), 0
    while at < len(fields):
        if len(fields) - at < 6:
            raise Broken(0, 0, "header-field")
        tag, length = struct.unpack_from("<HI", fields, at)
        at += 6
        if length > len(fields) - at or tag <= last:
            raise Broken(0, 0, "header-field")
        value = fields[at : at + length]
        at += length
        last = tag
        if tag in (1, 2):
            if not is_text(value):
                raise Broken(0, 0, "header-field")
            seen.add(tag)
        elif tag > 32_767:
            raise Unsupported(f"header field {tag}")
    if seen != {1, 2}:
        raise Broken(0, 0, "header-field")


def only_zeros(file, left):
    while left:
        chunk = file.read(min(left, 1 << 20))
        if not chunk:
            raise OSError("the file became shorter")
        if chunk.count(0) != len(chunk):
            return False
        left -= len(chunk)
    return True


def verify(path):
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        offset, chain, index, seq, boot = read_header(file, size)
        first, kind, head = seq, None, None
        while True:
            left = size - offset
            if kind in ENDS:
                if left:
                    raise Broken(offset, seq, "after-end")
                ended = ENDS[kind]
                break
            if left == 0:
                ended = "unclosed"
                break
            if left < 8:
                ended = "torn"
                break
            file.seek(offset)
            length, inverted = struct.unpack("<II", file.read(8))
            if length ^ inverted != 0xFFFF_FFFF or not LENGTH_MIN <= length <= LENGTH_MAX:
                file.seek(offset)
                if only_zeros(file, left):
                    ended = "torn"
                    break
                raise Broken(offset, seq, "length")
            if length > left:
                ended = "torn"
                break
            file.seek(offset)
            record = file.read(length)
            kind, encoding, flags, facts_length, number, _wall, clock = struct.unpack_from("<BBHIQQQ", record, 8)
            if facts_length > length - LENGTH_MIN or facts_length > FACTS_MAX:
                raise Broken(offset, seq, "facts-length")
            if number != seq:
                raise Broken(offset, seq, "sequence")
            if clock < boot:
                raise Broken(offset, seq, "boot-clock")
            front = record[: 40 + facts_length]
            payload = record[40 + facts_length : -36]
            record_hash = sha256(b"\x00", front, sha256(payload))
            chain = sha256(b"\x01", chain, record_hash)
            if record[-36:-4] != chain:
                raise Broken(offset, seq, "chain")
            if record[-4:] != record[:4]:
                raise Broken(offset, seq, "length-behind")
            if flags:
                raise Unsupported(f"record flags {flags} in record {seq}")
            if encoding:
                raise Unsupported(f"payload encoding {encoding} in record {seq}")
            if index == 0 and seq == first and kind != 1:
                raise Broken(offset, seq, "first-record")
            if not is_text(front[40:]):
                raise Broken(offset, seq, "facts-text")
            head = {"seq": seq, "hash": chain.hex()}
            boot = clock
            seq += 1
            offset += length
        return {"verdict": "verified", "records": seq - first, "head": head, "ended": ended}


def main(paths):
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    code = 0
    for path in paths:
        try:
            found = verify(path)
        except Broken as broken:
            found = broken.found
            code = max(code, 1)
        except Unsupported as unsupported:
            found = {"verdict": "unsupported", "what": str(unsupported)}
            code = 4
        except OSError as error:
            found = {"verdict": "unreadable", "what": str(error)}
            code = 4
        print(json.dumps({"path": path, **found}))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
