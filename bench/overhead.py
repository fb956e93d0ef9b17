"""overhead.py - round overhead without training, on the checkout's disk (memory would hide the syncs).

examples/overhead.yaml: a trainer that answers at once with a fixed vector of 1,000 parameters; one process a node. A round
is measured from one opening to the next in the coordinator's log, so that the commit is in it. The first rounds, in which
caches warm up, do not count. Prints p50, p90 and p99; what the coordinator and all processes together used of the
processors; and what share of the machine others used meanwhile: on a shared machine that explains more than the figures.

usage: overhead.py [NODES [ROUNDS]]
"""
import os
import shutil
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
AIM_MS = 40  # at 10 nodes, on two idle cores
TICKS = os.sysconf("SC_CLK_TCK")
SETS = {"aggregation.start_nodes": NODES, "convergence.max_rounds": ROUNDS + WARM_UP}


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def machine_seconds():
    """Seconds of processor time that anybody used since the machine started, without waiting for disks."""
    user, nice, system, _idle, _wait, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


class Sample:
    """How far the run is, and what it has cost so far."""

    def __init__(self, run):
        self.time = time.monotonic()
        self.rounds = run.rounds()
        self.machine = machine_seconds()
        used = {pid: (words[1], cpu_seconds(pid)) for pid, words in run.children()}
        self.coordinator = sum(seconds for role, seconds in used.values() if role == "coordinator")
        self.all = sum(seconds for _role, seconds in used.values())
        self.is_whole = len(used) > NODES and self.rounds < ROUNDS + WARM_UP  # nobody has left yet


def percentile(ordered, share):
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def watch(run):
    """Samples after the warm-up and as late as all processes were there to be asked."""
    first = last = None
    while run.process.poll() is None:
        if run.rounds() >= WARM_UP:
            try:
                sample = Sample(run)
                if sample.is_whole:
                    first, last = first or sample, sample
            except OSError:  # a process, or all, ended while they were asked
                break
        time.sleep(0.1)
    if run.wait(30) != 0:
        sys.exit(f"the run failed: {run.tail()}")
    return first, last


def opened_ms(run):
    return [datetime.fromisoformat(line.split(" ", 1)[0].replace("Z", "+00:00")).timestamp() * 1000
            for line in run.log().splitlines() if " round.opened " in line]


def main():
    load = os.getloadavg()[0]
    with Run("overhead", NODES, SETS, example="overhead") as run:
        first, last = watch(run)
        opened = opened_ms(run)
        metrics = run.metrics()
        folder = run.folder
    lasted = sorted(after - before for before, after in zip(opened[WARM_UP:], opened[WARM_UP + 1:]))
    if len(metrics) != ROUNDS + WARM_UP or any(line["accepted"] != NODES for line in metrics) or not lasted:
        sys.exit(f"not the rounds that were asked for: see {folder}")
    print(f"round overhead, {NODES} nodes, 1000 parameters, {len(lasted)} rounds: p50 {percentile(lasted, .5):.0f} ms, "
          f"p90 {percentile(lasted, .9):.0f} ms, p99 {percentile(lasted, .99):.0f} ms"
          + (f" (aim: p50 under {AIM_MS} ms)" if NODES == 10 else ""))
    if first and last.rounds > first.rounds:
        rounds, cores = last.rounds - first.rounds, os.cpu_count()
        everybody = last.all - first.all
        others = (last.machine - first.machine - everybody) / ((last.time - first.time) * cores)
        print(f"coordinator: {(last.coordinator - first.coordinator) / rounds * 1000:.1f} ms of processor time a round, "
              f"{max(line['rss_bytes'] for line in metrics) / 1e6:.0f} MB resident")
        print(f"all processes: {everybody / rounds * 1000:.1f} ms of processor time a round, so at least "
              f"{everybody / rounds * 1000 / cores:.0f} ms on {cores} cores; others used {max(others, 0):.0%} of the machine")
    print(f"load: {load:.2f} before, {os.getloadavg()[0]:.2f} after")
    shutil.rmtree(folder, ignore_errors=True)


main()
