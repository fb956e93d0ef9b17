"""overhead.py - round overhead without training, on the checkout's disk (memory would hide the syncs).

A trainer that answers at once with a fixed vector of 1,000 parameters; one process a node. A round is measured from one
opening to the next in the coordinator's log, so that the commit is in it. The first rounds, in which caches warm up, do
not count. Prints p50, p90 and p99, and the coordinator's processor time a round and memory.

usage: overhead.py [NODES [ROUNDS]]
"""
import os
import sys
import time
from datetime import datetime
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
os.environ.setdefault("FEDRA_BINARY", str(TOP / "build" / "fedra"))
os.environ.setdefault("FEDRA_SCRATCH", str(TOP / "build" / "bench-runs"))
sys.path.insert(0, str(TOP / "tests" / "e2e"))
from federation import Run  # noqa: E402

NODES = int(sys.argv[1]) if len(sys.argv) > 1 else 10
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 100
WARM_UP = 10
SETS = {"model.kind": "flat", "model.hidden": "[]", "train.trainer": "fixed", "data.format": "none",
        "data.evaluate_test_at_end": "false", "validation.source": "none", "aggregation.k_threshold": "1.0",
        "convergence.max_rounds": ROUNDS + WARM_UP + 1}


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentile(ordered, share):
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def main():
    cpu = begun = None
    with Run("overhead", NODES, SETS) as run:
        while run.process.poll() is None:
            pid = run.pid("coordinator")
            rounds = run.rounds()
            try:
                if pid and begun is None and rounds >= WARM_UP:
                    begun = (rounds, cpu_seconds(pid))
                elif pid and begun:
                    cpu = (rounds, cpu_seconds(pid))
            except OSError:
                break
            time.sleep(0.05)
        if run.wait(10) != 0:
            sys.exit(f"the run failed: {run.tail()}")
        opened = [datetime.fromisoformat(line.split(" ", 1)[0].replace("Z", "+00:00")).timestamp() * 1000
                  for line in run.log().splitlines() if " round.opened " in line]
        rss = max(line["rss_bytes"] for line in run.metrics())
    lasted = sorted(after - before for before, after in zip(opened[WARM_UP:], opened[WARM_UP + 1:]))
    print(f"round overhead, {NODES} nodes, 1000 parameters, {len(lasted)} rounds: p50 {percentile(lasted, .5):.0f} ms, "
          f"p90 {percentile(lasted, .9):.0f} ms, p99 {percentile(lasted, .99):.0f} ms")
    if begun and cpu and cpu[0] > begun[0]:
        print(f"coordinator: {(cpu[1] - begun[1]) / (cpu[0] - begun[0]) * 1000:.1f} ms of processor time a round, "
              f"{rss / 1e6:.0f} MB resident")
    print(f"load at the end: {os.getloadavg()[0]:.2f}")


main()
