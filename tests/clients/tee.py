"""Starts a command and keeps an exact copy of what goes in and out: `tee.py PREFIX COMMAND ARGUMENT…`.

Writes `PREFIX.in` (our stdin, as sent to the command) and `PREFIX.out` (its stdout, as sent on). Put one on each side of
a gate and compare the files: allowed traffic must be the same bytes. Ends with the command's exit code; a signal that
ends us ends the command too. `python` as the command is the Python that runs this: a gate puts the file behind a link
in its place, and a virtual environment is found by the link.
"""

import os
import signal
import subprocess
import sys
import threading

CHUNK_BYTES = 1 << 16


def copy(source, target, kept):
    """Passes on whatever is there, at once; closes `target` when `source` ends or nobody reads any more."""
    try:
        while piece := os.read(source, CHUNK_BYTES):
            kept.write(piece)
            kept.flush()
            while piece:
                piece = piece[os.write(target, piece) :]
    except BrokenPipeError:
        pass
    finally:
        os.close(target)
        kept.close()


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    prefix, command = sys.argv[1], sys.argv[2:]
    if command[0] == "python":
        command[0] = sys.executable
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(end, lambda number, frame: child.send_signal(number))
    # Descriptors of our own: a closed one must not be reused under a thread that still writes to it.
    into, out_of = os.dup(child.stdin.fileno()), os.dup(child.stdout.fileno())
    child.stdin.close()
    child.stdout.close()
    ours = os.dup(1)
    os.close(1)
    kept_in, kept_out = open(f"{prefix}.in", "wb"), open(f"{prefix}.out", "wb")
    threading.Thread(target=copy, args=(0, into, kept_in), daemon=True).start()
    outward = threading.Thread(target=copy, args=(out_of, ours, kept_out))
    outward.start()
    status = child.wait()
    outward.join()
    # `os._exit`: the other thread may still wait for a client that never closes our stdin.
    os._exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
