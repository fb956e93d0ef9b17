"""bad_trainer.py MODE MARKER - a trainer that behaves as MODE says once, and well after that.

The file MARKER is made when it has behaved badly; MARKER.lives has a byte a process. Standard library only. A good answer adds 0.5 to every parameter.
"""
import json
import os
import signal
import struct
import subprocess
import sys
import time

mode, marker = sys.argv[1], sys.argv[2]
bad = not os.path.exists(marker)
with open(f"{marker}.lives", "a") as lives:
    lives.write("x")


def is_bad(*modes):
    """Whether it is one of these modes and its time has not passed; then it has from now on."""
    global bad
    if not bad or mode not in modes:
        return False
    open(marker, "w").close()
    bad = False
    return True


def say(**message):
    print(json.dumps(message), flush=True)


def say_raw(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def read_model(path):
    """name -> (dtype, shape, bytes)"""
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    body = data[8 + size:]
    return {name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
            for name, entry in header.items() if name != "__metadata__"}


def write_model(path, tensors):
    header, body = {}, b""
    for name, (dtype, shape, data) in sorted(tensors.items()):
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


def floats(data):
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def packed(values):
    return struct.pack(f"<{len(values)}f", *values)


def sleep_on():
    while True:
        time.sleep(1)


def start():
    if is_bad("crash_before_ready"):
        sys.exit(3)
    if is_bad("crash_with_words"):
        raise ValueError("no such \"thing\"\n\n")
    if is_bad("never_ready"):
        sleep_on()
    hello = json.loads(sys.stdin.readline())
    if is_bad("wrong_protocol"):
        say(type="ready", protocol=2)
    if is_bad("no_protocol"):
        say(type="ready")
    if is_bad("trained_before_ready"):
        say(type="trained", id=1, samples=1, loss=0)
    heartbeats = mode in ("silent", "heartbeats_for_ever", "bad_progress", "slow_with_heartbeats")
    say(type="ready", protocol=1, name=f"bad {mode}", heartbeats=heartbeats, unknown={"is": ["ignored"]})
    return hello


def write_output(task):
    """The trained model, or what is wrong with it."""
    path = task["output"]
    tensors = read_model(task["model"])
    trained = {name: (dtype, shape, packed([value + 0.5 for value in floats(data)]))
               for name, (dtype, shape, data) in tensors.items()}
    if is_bad("no_output"):
        return
    if is_bad("fifo_output"):
        os.mkfifo(path)
        return
    if is_bad("folder_output"):
        os.mkdir(path)
        return
    if is_bad("link_output"):
        os.symlink(task["model"], path)
        return
    if is_bad("empty_output"):
        open(path, "w").close()
        return
    if is_bad("large_output"):
        with open(path, "w") as file:
            file.truncate(100000000)
        return
    if is_bad("extra_tensor"):
        trained["zeta"] = ("F32", [1], packed([1]))
    if is_bad("missing_tensor"):
        del trained["fc.weight"]
    if is_bad("wrong_shape"):
        trained["fc.weight"] = ("F32", [3, 2], trained["fc.weight"][2])
    if is_bad("wrong_dtype"):
        trained["fc.weight"] = ("F64", [2, 3], struct.pack("<6d", *[0] * 6))
    if is_bad("nan"):
        trained["fc.bias"] = ("F32", [4], packed([0, 0, float("nan"), 0]))
    if is_bad("infinity"):
        trained["fc.bias"] = ("F32", [4], packed([0, float("inf"), 0, 0]))
    write_model(path, trained)
    if is_bad("truncated_output"):
        os.truncate(path, os.path.getsize(path) - 1)


FIGURES = {
    "samples_0": {"samples": 0}, "samples_negative": {"samples": -5}, "samples_huge": {"samples": 10**15},
    "samples_float": {"samples": 3.0}, "samples_missing": {"samples": None}, "loss_nan": {"loss": float("nan")},
    "loss_text": {"loss": "low"}, "accuracy_2": {"accuracy": 2}, "holdout_half": {"holdout_loss": 1},
    "holdout_samples_0": {"holdout_samples": 0, "holdout_loss": 1, "holdout_accuracy": 1},
}


def answer(task):
    figures = {"samples": 7, "loss": 0.25, "accuracy": 0.5}
    if mode == "holdout":
        figures.update(holdout_samples=3, holdout_loss=1.5, holdout_accuracy=0.75)
    if mode in FIGURES and is_bad(mode):
        figures.update(FIGURES[mode])
        figures = {key: value for key, value in figures.items() if value is not None}
    say(type="trained", id=task["id"] + (1 if is_bad("wrong_id") else 0), **figures)


def misbehave(task):
    """What is done instead of training; gives whether the task is to be answered all the same."""
    if is_bad("not_json"):
        say_raw("hello, I'm training\n")
    elif is_bad("not_object"):
        say_raw("[1]\n")
    elif is_bad("not_utf8"):
        sys.stdout.buffer.write(b'{"type":"tr\xff"}\n')
        sys.stdout.flush()
    elif is_bad("deep_json"):
        say_raw("[" * 60000 + "\n")
    elif is_bad("no_type"):
        say(id=1)
    elif is_bad("unknown_type"):
        say(type="pause", id=task["id"])
    elif is_bad("no_id"):
        say(type="heartbeat")
    elif is_bad("id_text"):
        say(type="heartbeat", id="1")
    elif is_bad("ready_twice"):
        say(type="ready", protocol=1)
    elif is_bad("huge_line"):
        for _ in range(10000):
            say_raw("x" * 1000)
    elif is_bad("failed"):
        say(type="failed", id=task["id"], reason="no samples\nof this node")
        return False
    elif is_bad("failed_without_reason"):
        say(type="failed", id=task["id"])
        return False
    elif is_bad("hang", "silent"):
        sleep_on()
    elif is_bad("heartbeats_for_ever"):
        while True:
            say(type="heartbeat", id=task["id"], progress=0.5)
    elif is_bad("bad_progress"):
        say(type="heartbeat", id=task["id"], progress=1.5)
    elif is_bad("closes_output"):
        os.close(1)
        sleep_on()
    elif is_bad("closes_all"):
        os.close(0)
        os.close(1)
        os.close(2)
        sleep_on()
    elif is_bad("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    elif is_bad("aborted"):
        os.kill(os.getpid(), signal.SIGABRT)
    elif is_bad("exit_0"):
        sys.exit(0)
    elif is_bad("exit_3"):
        sys.exit(3)
    elif is_bad("memory"):
        bytearray(4 << 30)
    elif is_bad("child_holds_pipe"):
        child = subprocess.Popen(["sleep", "1000"])
        print("child", child.pid, file=sys.stderr, flush=True)
        sys.exit(4)
    elif is_bad("daemon"):
        # In a session of its own, its parent gone, and our standard error in its hands.
        print("child", subprocess.run(["sh", "-c", "setsid sleep 1000 >&2 & echo $!"], stdout=subprocess.PIPE, text=True,
                                      check=True).stdout.strip(), file=sys.stderr, flush=True)
        sys.exit(5)
    else:
        return True
    sleep_on()


def flood_standard_error():
    block = b"all work and no play\n" * 50000
    for _ in range(1 << 30, 0, -len(block)):
        sys.stderr.buffer.write(block)
    sys.stderr.flush()


def train(task):
    if mode == "knows_seed":
        print("seed", task["seed"], "rate", task["learning_rate"], file=sys.stderr, flush=True)
    if mode == "old_answer" and task["id"] == 2:
        say(type="trained", id=1, samples=0, loss=0)
    if is_bad("flood"):
        flood_standard_error()
    if mode == "slow_with_heartbeats":
        for step in range(8):
            time.sleep(0.1)
            say(type="heartbeat", id=task["id"], progress=step / 8)
    if not misbehave(task):
        return
    write_output(task)
    answer(task)
    if is_bad("answers_twice"):
        answer(task)
    if is_bad("dies_between"):
        sys.exit(6)
    if is_bad("garbage_between"):
        say_raw("bye\n")


def await_cancel(task):
    """Trains until it is told to stop, which it takes as the mode says."""
    if mode == "ignores_term":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("begun", file=sys.stderr, flush=True)
    if mode in ("ignores_cancel", "ignores_term"):
        sleep_on()
    line = json.loads(sys.stdin.readline())
    assert line == {"type": "cancel", "id": task["id"]}, line
    if mode == "dies_of_cancel":
        sys.exit(7)
    if mode == "garbage_at_cancel":
        say_raw("stopped\n")
        sleep_on()
    say(type="failed", id=task["id"], reason="cancelled")
    if mode == "late_answer":
        answer(task)


def main():
    hello = start()
    if mode == "says_hello":
        print(json.dumps(hello), file=sys.stderr, flush=True)
        print("pid", os.getpid(), file=sys.stderr, flush=True)
        for name in sorted(os.environ):
            if name.startswith("FEDRA_") or name in ("PYTHONUNBUFFERED", "OMP_NUM_THREADS"):
                print(f"{name}={os.environ[name]}", file=sys.stderr, flush=True)
        print("cpus", len(os.sched_getaffinity(0)), "nice", os.nice(0), file=sys.stderr, flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        if task["type"] != "train":
            continue
        if is_bad("obeys_cancel", "ignores_cancel", "ignores_term", "dies_of_cancel", "garbage_at_cancel", "late_answer"):
            await_cancel(task)
        else:
            train(task)
    if mode == "never_ends":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sleep_on()


main()
