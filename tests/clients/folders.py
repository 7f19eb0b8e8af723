"""Makes the folder that a script works on, the same bytes every time: `folders.py filesystem|git|kubernetes FOLDER`.

The folder must not exist. The git repository carries its own identity and fixed dates, so its first hashes are the
same in every run, and it does not look at the user's or the system's git configuration.
"""

import base64
import os
import pathlib
import subprocess
import sys

# A 1x1 PNG.
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
COMMIT_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_DATE": "2026-01-02T03:04:05+00:00",
    "GIT_COMMITTER_DATE": "2026-01-02T03:04:05+00:00",
}


def filesystem(folder):
    (folder / "notes" / "deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "poem.txt").write_text("".join(f"line {n}: the wall holds\n" for n in range(1, 21)))
    (folder / "ünïcödé näme.txt").write_text("ünïcödé content: 漢字 😀\n")
    (folder / "notes" / "todo.md").write_text("# To do\n\n- caulk the seams\n- pump it dry\n")
    (folder / "notes" / "deep" / "last.md").write_text("the last one\n")
    (folder / "pixel.png").write_bytes(PIXEL)


def git(folder):
    folder.mkdir()

    def run(*arguments):
        subprocess.run(["git", "-C", folder, *arguments], check=True, env=COMMIT_ENVIRONMENT, stdout=subprocess.DEVNULL)

    run("init", "--quiet", "--initial-branch=main")
    for key, value in [("user.name", "Ada"), ("user.email", "ada@example.com"), ("commit.gpgsign", "false")]:
        run("config", key, value)
    (folder / "readme.md").write_text("# A wall\n\nIt keeps the water out.\n")
    (folder / "pump.txt").write_text("".join(f"stroke {n}\n" for n in range(1, 11)))
    run("add", ".")
    run("commit", "--quiet", "--message=Build the wall")
    (folder / "readme.md").write_text("# A wall\n\nIt keeps the water out, all of it.\n")
    run("commit", "--quiet", "--all", "--message=Say how much")
    (folder / "pump.txt").write_text("".join(f"stroke {n}\n" for n in range(1, 12)))
    (folder / "new.txt").write_text("not tracked yet\n")


def kubernetes(folder):
    """A configuration of a client whose cluster nobody can reach."""
    folder.mkdir()
    (folder / "cluster.yaml").write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
        "clusters: [{name: dry, cluster: {server: 'http://api.test:18999'}}]\n"
        "contexts: [{name: here, context: {cluster: dry, user: ada}}]\n"
        "users: [{name: ada, user: {}}]\n"
    )


def open_to_all(folder):
    """A gate that we start as root runs the server as somebody else, who must be able to write here too."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o777 if path.is_dir() else 0o666))


KINDS = {"filesystem": filesystem, "git": git, "kubernetes": kubernetes}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in KINDS:
        sys.exit(__doc__)
    made = pathlib.Path(sys.argv[2])
    KINDS[sys.argv[1]](made)
    open_to_all(made)
