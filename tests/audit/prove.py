#!/usr/bin/env python3
"""Checks a proof of one record, from docs/ledger-format.md alone and with nothing but the standard library.

    prove.py PROOF KEY

KEY is the ledger's `NAME+ID+KEY`. Exit code: 0 proven, 1 not, 2 usage.
"""

import base64
import hashlib
import json
import sys

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def require(holds, what):
    if not holds:
        raise ValueError(what)


def decompress(data):
    """A point of RFC 8032 section 5.1.3."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    require(y < P, "a point is not on the curve")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    require((x * x - square) % P == 0 and not (x == 0 and sign), "a point is not on the curve")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def add(one, other):
    """Points are (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z (RFC 8032 section 5.1.4)."""
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a, b = (y1 - x1) * (y2 - x2), (y1 + x1) * (y2 + x2)
    c, d = 2 * D * t1 * t2, 2 * z1 * z2
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def ed25519_verify(key, message, signature):
    require(len(signature) == 64, "the signature is not in its form")
    s = int.from_bytes(signature[32:], "little")
    require(s < ORDER, "the signature is not in its form")
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    base = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    right = add(decompress(signature[:32]), multiply(k, decompress(key)))
    left = multiply(s, base)
    same = all((left[axis] * right[2] - right[axis] * left[2]) % P == 0 for axis in (0, 1))
    require(same, "the signature is not of this key")


def read_checkpoint(note, key):
    """Gives (size, root) of a signed checkpoint."""
    name, identity, encoded = key.strip().split("+", 2)
    public = base64.b64decode(encoded)
    require(public[0] == 1 and len(public) == 33, "the key is not an Ed25519 key")
    digest = sha256(name.encode(), b"\n", public)[:4]
    require(digest.hex() == identity, "the key's id is not its own")
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, encoded = line.split(" ")
        raw = base64.b64decode(encoded)
        if dash == "\u2014" and signer == name and raw[:4] == digest:
            ed25519_verify(public[1:], text.encode(), raw[4:])
            break
    else:
        raise ValueError("no signature of this key")
    origin, size, root = text.splitlines()[:3]
    require(origin == name, "the checkpoint is of another log")
    return int(size), base64.b64decode(root)


def check_inclusion(leaf, index, size, path, root):
    """RFC 9162 section 2.1.3.2."""
    require(index < size, "the entry is not in the tree")
    at, last, found = index, size - 1, leaf
    for hash_beside in path:
        require(last > 0, "the path is too long")
        if at & 1 or at == last:
            found = sha256(b"\x01", hash_beside, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = sha256(b"\x01", found, hash_beside)
        at, last = at >> 1, last >> 1
    require(last == 0 and found == root, "the path does not lead to the root")


def check(proof, key):
    require(proof["format"] == "cofferdam-proof/1", "another format")
    front, payload_digest = bytes.fromhex(proof["front"]), bytes.fromhex(proof["payload_digest"])
    shown = payload_digest
    require((front[9] == 1) == (proof.get("reference") is not None), "a reference where none is, or none where one is")
    if front[9] == 1:
        reference = bytes.fromhex(proof["reference"])
        require(len(reference) == 48 and sha256(reference) == payload_digest, "another reference")
        shown = reference[16:]
    if proof.get("payload") is not None:
        require(sha256(bytes.fromhex(proof["payload"])) == shown, "another payload")
    chain = sha256(b"\x01", bytes.fromhex(proof["before"]), sha256(b"\x00", front, payload_digest))
    seq = last = int.from_bytes(front[16:24], "little")
    for step in proof["then"]:
        if "record" in step:
            chain = sha256(b"\x01", chain, bytes.fromhex(step["record"]))
            last += 1
        else:
            header = bytes.fromhex(step["header"])
            require(header[64:96] == chain, "a segment does not follow")
            chain = sha256(b"\x02", header[:-32])
    size, root = read_checkpoint(proof["checkpoint"], key)
    leaf = sha256(b"\x00", proof["entry"].encode())
    check_inclusion(leaf, proof["index"], size, [bytes.fromhex(one) for one in proof["path"]], root)
    entry = json.loads(proof["entry"])
    require((entry["seq"], entry["hash"]) == (last, chain.hex()), "the record does not lead to the entry")
    return {"session": entry["session"], "server": entry["server"], "seq": seq, "facts": front[40:].decode()}


def main(arguments):
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with open(arguments[0], encoding="utf-8") as file:
            print(json.dumps(check(json.load(file), arguments[1])))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        print(f"not proven: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
