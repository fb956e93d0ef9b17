"""flower_sim.py - a simulation of many nodes by Fedra beside one by Flower's simulation engine (on Ray), in one run.

Both train the demonstration's task: Fashion-MNIST, dealt out by Dirichlet(0.5) to the very same shares (bench/peers/deal_out),
a network 784-128-10, two local epochs in batches of 10 at rate 0.05, FedAvg, all nodes in every round, each for real; the
model of each round is measured on the 5,000 validation samples, the last one on the test images. Flower has as many clients at
once as there are processors (client resources: one processor each), a thread each for numpy, logs and telemetry off, and all images
in one mapped file. Fedra has what `fedra sim` has by itself.

Wall time: from the start of the program to its end; "rounds" is without what comes before the first client trains. Memory: the
greatest sum of the proportional set sizes (PSS in /proc/PID/smaps_rollup: a page that n processes share is a nth in each) of
all processes of that program, looked at every SAMPLE_S seconds; orphans are adopted here, so none is missed.
The processor's time, of all processes that were waited for, says more than seconds where others use the machine meanwhile.
Aims: five times as fast, a tenth of the memory. Exit code 1 where one of them is missed.

usage: flower_sim.py FEDRA DEAL_OUT [NODES [ROUNDS]]     (1000 nodes, 10 rounds)
"""
import ctypes
import gzip
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np

TOP = Path(__file__).resolve().parents[2]
EXAMPLE = TOP / "examples" / "fashion-mnist.yaml"
IMAGES = Path("/usr/share/datasets/fashion-mnist")
SCRATCH = TOP / ".cache" / "flower-sim"
SAMPLE_S = 0.5
FASTER, SMALLER = 5.0, 10.0
PR_SET_CHILD_SUBREAPER = 36


Cost = namedtuple("Cost", "seconds processor_seconds peak_bytes processes")


def read_idx(name, head):
    with gzip.open(IMAGES / f"{name}.gz") as file:
        return np.frombuffer(file.read()[head:], np.uint8)


def prepare(deal_out, nodes):
    """Writes what flower_task.py reads."""
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    for part, name in (("train", "train"), ("test", "t10k")):
        np.save(SCRATCH / f"{part}-images.npy", read_idx(f"{name}-images-idx3-ubyte", 16).reshape(-1, 784))
        np.save(SCRATCH / f"{part}-labels.npy", read_idx(f"{name}-labels-idx1-ubyte", 8))
    with open(SCRATCH / "owners", "wb") as file:
        subprocess.run([deal_out, EXAMPLE, str(nodes), "1"], check=True, stdout=file)


def tree_of(root):
    """The process and all that came of it; what lost its parent is a child of this process now."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root] + [pid for pid in children.get(os.getpid(), []) if pid != root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def pss_bytes(pid):
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # it has ended
    return 0


def processor_seconds():
    """Of all processes that came of this one and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(command, environment):
    """Runs a program: its output and what it cost."""
    peak, processes = 0, 0
    began, used = time.monotonic(), processor_seconds()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=TOP, text=True,
                          env=environment) as child:
        said = []
        readers = [threading.Thread(target=lambda stream: said.append((stream, stream.read())), args=[stream])
                   for stream in (child.stdout, child.stderr)]
        for reader in readers:
            reader.start()
        while child.poll() is None:
            tree = tree_of(child.pid)
            peak, processes = max(peak, sum(map(pss_bytes, tree))), max(processes, len(tree))
            try:
                child.wait(SAMPLE_S)
            except subprocess.TimeoutExpired:
                pass
        seconds = time.monotonic() - began
        for pid in set(tree_of(child.pid)) - {child.pid}:  # adopted: it began them, and did not end them
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)  # whose time is counted then
        for reader in readers:
            reader.join()
        output = dict(said)
        if child.returncode != 0:
            sys.exit(f"{command} failed:\n{output[child.stdout][-2000:]}\n{output[child.stderr][-4000:]}")
        return output[child.stdout], Cost(seconds, processor_seconds() - used, peak, processes)


def run_flower(nodes, rounds):
    # Set here and there for old versions of OpenBLAS, they would slow numpy down.
    environment = {key: value for key, value in os.environ.items() if key not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    environment |= {"FEDRA_PEER_DATA": str(SCRATCH), "FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0",
                    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    task = str(Path(__file__).with_name("flower_task.py"))
    text, cost = measure([sys.executable, task, str(nodes), str(rounds), str(os.cpu_count())], environment)
    report = json.loads(text.splitlines()[-1])
    if report["replies"] != [nodes] * rounds:
        sys.exit(f"Flower had {report['replies']} replies in the rounds, {nodes} in each are wanted")
    return cost, report["rounds_s"], report["accuracy"]


def run_fedra(fedra, nodes, rounds):
    folder = SCRATCH / "fedra"
    sets = {"optimiser.kind": "sgd", "optimiser.learning_rate": 1, "schedule.kind": "constant", "aggregation.k_threshold": 1,
            "aggregation.late_updates": "discard", "convergence.max_rounds": rounds, "convergence.min_rounds": rounds,
            "faults.slow.share": 0, "faults.kill.share": 0, "central.epochs": 0}
    command = [fedra, "sim", str(EXAMPLE), "--nodes", str(nodes), "--seed", "1", "--run-dir", str(folder)]
    for key, value in sets.items():
        command += ["--set", f"{key}={value}"]
    _text, cost = measure(command, dict(os.environ))
    summary = json.loads((folder / "summary.json").read_text())
    accepted = [json.loads(line)["accepted"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    if accepted != [nodes] * rounds:
        sys.exit(f"Fedra counted {accepted} updates in the rounds, {nodes} in each are wanted")
    return cost, summary["wall_seconds"], summary["accuracy"]


def show(name, cost, rounds_s, accuracy):
    print(f"{name:7} {cost.seconds:7.1f} s in all  {rounds_s:7.1f} s rounds  {cost.processor_seconds:7.1f} s of processor  "
          f"{cost.peak_bytes / 1e6:6.0f} MB at most in {cost.processes} processes  accuracy {accuracy:.4f}", flush=True)
    return cost, rounds_s


def main():
    fedra, deal_out = sys.argv[1:3]
    nodes = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 10
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prepare(deal_out, nodes)
    print(f"{nodes} nodes, {rounds} rounds, all of them in each; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; "
          f"Flower {version('flwr')}, Ray {version('ray')}, numpy {np.__version__}", flush=True)
    ours, our_rounds = show("Fedra", *run_fedra(fedra, nodes, rounds))
    theirs, their_rounds = show("Flower", *run_flower(nodes, rounds))
    faster, smaller = min(theirs.seconds / ours.seconds, their_rounds / our_rounds), theirs.peak_bytes / ours.peak_bytes
    print(f"Fedra is {theirs.seconds / ours.seconds:.1f} times as fast in all, {their_rounds / our_rounds:.1f} times in the rounds "
          f"(aim: {FASTER:.0f}), with 1/{theirs.processor_seconds / ours.processor_seconds:.1f} of the processor's time and "
          f"1/{smaller:.1f} of the memory (aim: 1/{SMALLER:.0f}); load {os.getloadavg()[0]:.1f}")
    shutil.rmtree(SCRATCH, ignore_errors=True)
    sys.exit(faster < FASTER or smaller < SMALLER)


if __name__ == "__main__":
    main()
