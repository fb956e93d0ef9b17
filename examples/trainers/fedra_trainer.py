"""fedra_trainer.py - docs/trainer.md for trainers in Python; copy it beside your own. Standard library only.

    def train(hello, task):
        ...                                  # read task["model"], train, write task["output"]
        task.progress(0.5)                   # now and then: "I live"; raises Cancelled where the task is not wanted
        return {"samples": 3000, "loss": 0.3}

    serve("my trainer", train)
"""
import gzip
import json
import os
import select
import sys
import time

HEARTBEAT_S = 1  # between two heartbeats, at least

# Standard output is for answers only: whatever prints there from now on, prints to standard error.
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)


class Cancelled(Exception):
    """The task is not wanted any more."""


class Lines:
    """Lines of standard input, with or without waiting for them."""

    def __init__(self):
        self.rest = b""
        self.ended = False

    def next(self, wait):
        """The next line as an object; None where there is none (yet, or any more)."""
        while b"\n" not in self.rest:
            if self.ended or (not wait and not select.select([0], [], [], 0)[0]):
                return None
            data = os.read(0, 65536)
            self.ended = not data
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)


lines = Lines()


class Task(dict):
    """The members of a train line."""

    said = 0.0

    def progress(self, share):
        line = lines.next(wait=False)
        if (line and line["type"] == "cancel" and line["id"] == self["id"]) or lines.ended:
            raise Cancelled
        if time.monotonic() - self.said >= HEARTBEAT_S:
            self.said = time.monotonic()
            say(type="heartbeat", id=self["id"], progress=share)


def say(**message):
    print(json.dumps(message), file=answers)


def serve(name, train, start=lambda hello: None):
    """Answers lines until standard input is closed: the node wants no more."""
    hello = lines.next(wait=True)
    if hello is None:
        sys.exit("started by hand? fedra starts this program: see docs/trainer.md")
    start(hello)
    say(type="ready", protocol=1, name=name, heartbeats=True)
    while (line := lines.next(wait=True)) is not None:
        if line["type"] != "train":
            continue  # the cancel of a task that is done
        try:
            say(type="trained", id=line["id"], **train(hello, Task(line)))
        except Cancelled:
            say(type="failed", id=line["id"], reason="cancelled")


def read_idx(folder, name):
    """An idx file as (shape, bytes), plain or compressed."""
    path = os.path.join(folder, name)
    opened = open(path, "rb") if os.path.exists(path) else gzip.open(path + ".gz", "rb")
    with opened as file:
        data = file.read()
    rank = data[3]
    shape = [int.from_bytes(data[4 + 4 * i:8 + 4 * i], "big") for i in range(rank)]
    return shape, data[4 + 4 * rank:]


def read_indices(hello):
    """Which samples of the training data are this node's, if that is known."""
    if "indices" not in hello:
        return None
    with open(hello["indices"]) as file:
        return [int(line) for line in file]
