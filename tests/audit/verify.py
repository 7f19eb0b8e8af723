#!/usr/bin/env python3
"""Checks audit segments, from docs/audit-format.md alone and with nothing but the standard library.

    verify.py FILE…              each segment by itself
    verify.py --session FILE…    the segments of one session, in order

Prints one JSON object a file and line, or one for the session. Exit code: 0 all verified, 1 one
is broken, 2 usage, 4 one cannot be read or uses something version 1 does not know.
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
REACH_MAX = 134_217_728
REPEATED_MIN = 4_096
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
    """Gives what the header says, its length and its hash."""
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
        ("encryption", header[18], min(header[18], 1)),
        ("payload store", header[19], min(header[19], 1)),
    ]
    for what, found, known in fixed:
        if found != known:
            raise Unsupported(f"{what} {found}")
    (index,) = struct.unpack_from("<I", header, 20)
    _wall, boot, first = struct.unpack_from("<QQQ", header, 40)
    if first >= 1 << 63:
        raise Broken(0, 0, "header-field")
    server = read_fields(header[96:-32], header[18] == 1)
    return {
        "length": length,
        "hash": header_hash,
        "index": index,
        "session": header[24:40],
        "first": first,
        "boot": boot,
        "previous": header[64:96],
        "server": server,
        "sealed": header[18] == 1,
        "stores_once": header[19] == 1,
    }


def read_fields(fields, sealed):
    last, seen, at, server = 0, set(), 0, None
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
            server = value if tag == 1 else server
        elif sealed and tag in (32_769, 32_770):
            if tag == 32_769 and not is_text(value):
                raise Broken(0, 0, "header-field")
            seen.add(tag)
        elif tag > 32_767:
            raise Unsupported(f"header field {tag}")
    if seen != ({1, 2, 32_769, 32_770} if sealed else {1, 2}):
        raise Broken(0, 0, "header-field")
    return server


def only_zeros(file, left):
    while left:
        chunk = file.read(min(left, 1 << 20))
        if not chunk:
            raise OSError("the file became shorter")
        if chunk.count(0) != len(chunk):
            return False
        left -= len(chunk)
    return True


def verify(path, before=None):
    """Checks one segment; `before` judges its header and the kind of its first record, where that is proven."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        header = read_header(file, size)
        judge = Once(before, header)
        try:
            return verify_records(file, size, header, judge)
        finally:
            judge(None)


def repeats(reference, offset, large):
    """Section 11: whether a reference leads to a payload that stands before it, within reach."""
    if len(reference) != 48:
        return False
    place, number = struct.unpack_from("<QQ", reference)
    return offset - place <= REACH_MAX and large.get(place) == (number, reference[16:])


class Once:
    """Calls a judge of a segment's beginning, the first time it is called."""

    def __init__(self, judge, header):
        self.judge, self.header = judge, header

    def __call__(self, kind):
        judge, self.judge = self.judge, None
        if judge is not None:
            judge(self.header, kind)


def verify_records(file, size, header, judge):
    offset, chain, index, seq, boot = (header[name] for name in ("length", "hash", "index", "first", "boot"))
    first, kind, head, large = seq, None, None, {}
    known = {0} | ({4} if header["sealed"] else set()) | ({1} if header["stores_once"] else set())
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
        if flags & ~1:
            raise Unsupported(f"record flags {flags} in record {seq}")
        if encoding not in known:
            raise Unsupported(f"payload encoding {encoding} in record {seq}")
        if index == 0 and seq == first and kind != 1:
            raise Broken(offset, seq, "first-record")
        if not is_text(front[40:]):
            raise Broken(offset, seq, "facts-text")
        if encoding == 1:
            if not repeats(payload, offset, large):
                raise Broken(offset, seq, "repeat")
        elif len(payload) >= REPEATED_MIN and header["stores_once"]:
            large[offset] = (seq, sha256(payload))
        judge(kind)
        head = {"seq": seq, "hash": chain.hex()}
        boot = clock
        seq += 1
        offset += length
    return {"verdict": "verified", "records": seq - first, "head": head, "ended": ended}


def verify_session(paths):
    """Section 7: each segment follows from the ones before."""
    state = {"index": 0, "next": 0, "chain": bytes(32), "ended": None, "session": None}
    found = {"verdict": "verified", "records": 0, "head": None, "ended": None, "lost": []}

    def follows(header, kind):
        if state["ended"] is None:
            place = True
        else:
            exact = header["first"] == state["next"] and header["previous"] == state["chain"]
            lost = kind == 6 and header["first"] > state["next"]
            place = {
                "closed": False,
                "continued": exact,
                "unclosed": kind is None or lost or (kind == 6 and exact),
                "torn": kind is None or lost or (kind == 6 and exact),
            }[state["ended"]]
            place = place and (header["session"], header["server"]) == state["session"]
            if place and state["ended"] != "continued" and header["first"] > state["next"]:
                found["lost"].append([state["next"], header["first"] - 1])
        if not place or header["index"] != state["index"]:
            raise Broken(0, header["first"], "succession")
        state["session"] = (header["session"], header["server"])
        state["next"] = header["first"]

    for path in paths:
        segment = verify(path, follows)
        if segment["head"] is not None:
            found["head"] = segment["head"]
            state["next"] = segment["head"]["seq"] + 1
            state["chain"] = bytes.fromhex(segment["head"]["hash"])
        found["records"] += segment["records"]
        found["ended"] = state["ended"] = segment["ended"]
        state["index"] += 1
    if state["ended"] == "continued":
        raise Broken(0, state["next"], "segment-missing")
    return found


def judged(check, *arguments):
    """What a check finds, and its exit code."""
    try:
        return check(*arguments), 0
    except Broken as broken:
        return broken.found, 1
    except Unsupported as unsupported:
        return {"verdict": "unsupported", "what": str(unsupported)}, 4
    except OSError as error:
        return {"verdict": "unreadable", "what": str(error)}, 4


def main(paths):
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    if paths[0] == "--session":
        found, code = judged(verify_session, paths[1:])
        print(json.dumps(found))
        return code
    code = 0
    for path in paths:
        found, one = judged(verify, path)
        code = max(code, one)
        print(json.dumps({"path": path, **found}))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
