"""federation.py - what the end-to-end tests share: a run of `fedra up`, its processes, its records.

Every process is found as a child of the one that was started here and ended by its id.
"""
import gzip
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
FEDRA = os.environ.get("FEDRA_BINARY", str(TOP / "build" / "fedra"))
SCRATCH = Path(os.environ.get("FEDRA_SCRATCH", TOP / "build" / "e2e"))


class Tap:
    """Prints TAP and remembers whether anything failed."""

    def __init__(self):
        self.count = 0
        self.failed = 0
        print("TAP version 13")

    def case(self, name, function, *arguments):
        self.count += 1
        try:
            function(*arguments)
            print(f"ok {self.count} - {name}", flush=True)
        except Exception as problem:  # a failing case must not hide the others
            self.failed += 1
            print(f"not ok {self.count} - {name}", flush=True)
            for line in f"{type(problem).__name__}: {problem}".splitlines():
                print(f"# {line}", flush=True)

    def finish(self):
        print(f"1..{self.count}")
        sys.exit(1 if self.failed else 0)


# What the tests reckon with, whatever the example teaches: FedAvg, late updates dropped, nothing trained centrally.
PLAIN = {"central.epochs": 0, "optimiser.kind": "sgd", "optimiser.learning_rate": 1, "optimiser.momentum": 0.9,
         "schedule.kind": "constant", "schedule.cosine_rounds": 0, "aggregation.late_updates": "discard",
         "train.local_epochs": 3, "train.batch_size": 20, "train.learning_rate": 0.05}


IMAGES = Path("/usr/share/datasets/fashion-mnist")


def first_images(name, count):
    """The first images of a part of Fashion-MNIST as one safetensors file: a process is up with them at once."""
    path = SCRATCH / f"{name}-{count}.safetensors"
    if not path.exists():
        SCRATCH.mkdir(parents=True, exist_ok=True)
        with gzip.open(IMAGES / f"{name}-images-idx3-ubyte.gz") as images, gzip.open(IMAGES / f"{name}-labels-idx1-ubyte.gz") as labels:
            pixels, classes = images.read(16 + count * 784)[16:], labels.read(8 + count)[8:]
        header = json.dumps({"x": {"dtype": "U8", "shape": [count, 784], "data_offsets": [0, len(pixels)]},
                             "y": {"dtype": "U8", "shape": [count], "data_offsets": [len(pixels), len(pixels) + count]}})
        header += " " * (-len(header) % 8)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(len(header).to_bytes(8, "little") + header.encode() + pixels + classes)
        temporary.rename(path)
    return str(path)


def few_images(count):
    """Settings under which a job learns from `count` images, and starts its processes in no time."""
    return {"data.format": "safetensors", "data.path": first_images("train", count), "data.test_path": first_images("t10k", 500)}


def processes_of(text):
    """Processes whose command line holds that text."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int(entry.name) != os.getpid() and text.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


class Run:
    """One `fedra up` in a folder of its own on the checkout's disk."""

    def __init__(self, name, nodes, sets, environment=None, seed=1, example="fashion-mnist", options=()):
        self.folder = SCRATCH / name
        shutil.rmtree(self.folder, ignore_errors=True)
        SCRATCH.mkdir(parents=True, exist_ok=True)
        command = [FEDRA, "up", str(TOP / "examples" / f"{example}.yaml"), "--nodes", str(nodes), "--seed", str(seed),
                   "--run-dir", str(self.folder), *options]
        for key, value in {**(PLAIN if example == "fashion-mnist" else {}), **sets}.items():
            command += ["--set", f"{key}={value}"]
        self.output = open(SCRATCH / f"{name}.out", "w")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT,
                                        cwd=TOP, env={**os.environ, **(environment or {})})
        self.job = self.folder / "jobs" / example

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()  # the kernel ends the children with it
            self.process.wait()
        self.output.close()

    def children(self):
        """(pid, words of the command line) of each process that `up` started."""
        found = []
        listing = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in listing.read_text().split():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
            except OSError:
                continue
            if len(words) > 1:
                found.append((int(pid), [word.decode() for word in words]))
        return found

    def pid(self, role, name=None):
        """The process of a role, or None while it is down."""
        for pid, words in self.children():
            if words[1] == role and (name is None or words[-1].endswith(f"/{name}.yaml")):
                return pid
        return None

    def kill(self, role, name=None):
        pid = self.pid(role, name)
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def wait(self, timeout_s):
        return self.process.wait(timeout_s)

    def metrics(self):
        path = self.folder / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def rounds(self):
        return len(self.metrics())

    def wait_for_rounds(self, count, timeout_s):
        end = time.monotonic() + timeout_s
        while self.rounds() < count:
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError(f"{self.rounds()} of {count} rounds after {timeout_s} s; {self.tail()}")
            time.sleep(0.02)

    def digests(self):
        return {line["round"]: line["model_digest"] for line in self.metrics()}

    def summary(self):
        return json.loads((self.folder / "summary.json").read_text())

    def log(self, name="coordinator"):
        path = self.folder / "logs" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def tail(self):
        self.output.flush()
        return (SCRATCH / f"{self.folder.name}.out").read_text()[-600:]

    def database(self):
        return sqlite3.connect(f"file:{self.job}/state.db?mode=ro", uri=True)

    def receipts(self):
        """node -> its record, a list of (sequence, round, digest, state, detail)."""
        found = {}
        for path in sorted((self.folder / "nodes").glob("*/receipts.log")):
            lines = []
            for line in path.read_text().splitlines():
                sequence, round_, _attempt, digest, state, detail = (line.split(" ", 5) + [""])[:6]
                lines.append((int(sequence), int(round_), digest, state, detail))
            found[path.parent.name] = lines
        return found

    def check_accounting(self):
        """Each ACCEPTED update ended once, in COUNTED or DROPPED, and the database says the same."""
        with self.database() as database:
            assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            counted = {(node.rsplit("/", 1)[1], round_, payload.hex())
                       for node, round_, payload in database.execute("SELECT node, round, payload FROM counted")}
            rounds = database.execute("SELECT round, COUNT(*) FROM counted GROUP BY round").fetchall()
        seen = 0
        for node, lines in self.receipts().items():
            states = {}
            for _sequence, round_, digest, state, detail in lines:
                states.setdefault((round_, digest), []).append((state, detail))
            for (round_, digest), history in states.items():
                names = [state for state, _detail in history]
                # What a job that was interrupted turned away unseen, it may be offered again once it goes on.
                while "DROPPED" in names and "HELD" in names[names.index("DROPPED"):]:
                    end = names.index("DROPPED")
                    assert "ACCEPTED" not in names[:end] and "COUNTED" not in names[:end], f"{node} round {round_} ended {names}"
                    names = names[end + 1:]
                in_database = (node, round_, digest) in counted
                if "ACCEPTED" in names:
                    seen += 1
                    assert names[-1] in ("COUNTED", "DROPPED"), f"{node} round {round_} ended {names}"
                assert names.count("COUNTED") + names.count("DROPPED") <= 1, f"{node} round {round_} ended twice: {names}"
                if "COUNTED" in names:
                    assert in_database, f"{node} was told COUNTED for round {round_}, the database has none"
                if "DROPPED" in names:
                    assert not in_database, f"{node} was told DROPPED for round {round_}, the database counts it"
        assert seen > 0, "no update was accepted"
        return rounds
