"""overhead.py - round overhead without training, on the checkout's disk (memory would hide the syncs).

examples/overhead.yaml: a trainer that answers at once with a fixed vector of 1,000 parameters; one process a node. A round
is measured from one opening to the next in the coordinator's log, so that the commit is in it. The first rounds, in which
caches warm up, do not count. Prints p50, p90 and p99; what the coordinator and all processes together used of the
processors; and what share of the machine others used meanwhile: on a shared machine that explains more than the figures.

The floor beside it is what no arrangement of the same work could go under on this machine: N signatures and 2 N
verifications by one worker a core, plus N durable writes by N processes at the same time (bench/round_floor.c), measured
before and after each batch. A batch whose two floors differ by over 10 % is thrown away and made again: the machine was
not the same.

usage: overhead.py [NODES[,NODES...] [ROUNDS [BATCHES]]]     (10,100,1000 nodes, 50 rounds, 1 batch of each)
"""
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
os.environ.setdefault("FEDRA_BINARY", str(TOP / "build" / "fedra"))
os.environ.setdefault("FEDRA_SCRATCH", str(TOP / "build" / "bench-runs"))
sys.path.insert(0, str(TOP / "tests" / "e2e"))
from federation import Run  # noqa: E402

SIZES = [int(n) for n in sys.argv[1].split(",")] if len(sys.argv) > 1 else [10, 100, 1000]
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 50
BATCHES = int(sys.argv[3]) if len(sys.argv) > 3 else 1
WARM_UP = 10
TRIES = 5  # of a batch, until the floors before and after agree
AIM_RATIO = 2.5  # of p50 to the floor, at 100 and 1,000 nodes
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def machine_seconds():
    """Seconds of processor time that anybody used since the machine started, without waiting for disks."""
    user, nice, system, _idle, _wait, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


class Sample:
    """How far the run is, and what it has cost so far."""

    def __init__(self, run, nodes):
        self.time = time.monotonic()
        self.rounds = run.rounds()
        self.machine = machine_seconds()
        used = {pid: (words[1], cpu_seconds(pid)) for pid, words in run.children()}
        self.coordinator = sum(seconds for role, seconds in used.values() if role == "coordinator")
        self.all = sum(seconds for _role, seconds in used.values())
        self.is_whole = len(used) > nodes and self.rounds < ROUNDS + WARM_UP  # nobody has left yet


def percentile(ordered, share):
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def watch(run, nodes):
    """Samples after the warm-up and as late as all processes were there to be asked."""
    first = last = None
    while run.process.poll() is None:
        if run.rounds() >= WARM_UP:
            try:
                sample = Sample(run, nodes)
                if sample.is_whole:
                    first, last = first or sample, sample
            except OSError:  # a process, or all, ended while they were asked
                break
        time.sleep(0.1)
    if run.wait(60) != 0:
        sys.exit(f"the run failed: {run.tail()}")
    return first, last


def opened_ms(run):
    return [datetime.fromisoformat(line.split(" ", 1)[0].replace("Z", "+00:00")).timestamp() * 1000
            for line in run.log().splitlines() if " round.opened " in line]


def floor(nodes):
    """What N nodes' signatures and durable writes take here, in ms: both parts."""
    folder = TOP / "build" / "bench-floor"
    output = subprocess.run([TOP / "build/bench/round_floor", str(nodes), folder], check=True, capture_output=True,
                            text=True).stdout
    shutil.rmtree(folder, ignore_errors=True)
    return [float(word.split("=")[1]) for word in output.split()]


def batch(nodes):
    sets = {"aggregation.start_nodes": nodes, "convergence.max_rounds": ROUNDS + WARM_UP}
    with Run("overhead", nodes, sets, example="overhead") as run:
        first, last = watch(run, nodes)
        opened = opened_ms(run)
        metrics = run.metrics()
        folder = run.folder
    lasted = sorted(after - before for before, after in zip(opened[WARM_UP:], opened[WARM_UP + 1:]))
    if len(metrics) != ROUNDS + WARM_UP or any(line["accepted"] != nodes for line in metrics) or not lasted:
        sys.exit(f"not the rounds that were asked for: see {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    return lasted, metrics, first, last


def tell(nodes, lasted, metrics, first, last, floors):
    p50 = percentile(lasted, .5)
    least = sum(sum(parts) for parts in floors) / 2
    print(f"{nodes} nodes, 1000 parameters, {len(lasted)} rounds: p50 {p50:.0f} ms, p90 {percentile(lasted, .9):.0f} ms, "
          f"p99 {percentile(lasted, .99):.0f} ms; floor {least:.0f} ms (signatures {floors[0][0]:.0f} and {floors[1][0]:.0f}, "
          f"durable writes {floors[0][1]:.0f} and {floors[1][1]:.0f}); p50 is {p50 / least:.2f} times the floor"
          + (f" (aim: at most {AIM_RATIO})" if nodes >= 100 else ""))
    parts = ["announce_ms", "collect_ms", "aggregate_ms", "validate_ms", "persist_ms"]
    medians = [percentile(sorted(line[part] for line in metrics[WARM_UP:]), .5) for part in parts]
    print("  " + ", ".join(f"{part[:-3]} {value:.1f} ms" for part, value in zip(parts, medians)))
    if first and last.rounds > first.rounds:
        rounds, cores = last.rounds - first.rounds, os.cpu_count()
        everybody = last.all - first.all
        others = (last.machine - first.machine - everybody) / ((last.time - first.time) * cores)
        print(f"  coordinator {(last.coordinator - first.coordinator) / rounds * 1000:.1f} ms of processor time a round, "
              f"{max(line['rss_bytes'] for line in metrics) / 1e6:.0f} MB resident; all processes "
              f"{everybody / rounds * 1000:.1f} ms, so at least {everybody / rounds * 1000 / cores:.0f} ms on {cores} cores; "
              f"others used {max(others, 0):.0%} of the machine")


def main():
    print(f"load: {os.getloadavg()[0]:.2f} before")
    for nodes in SIZES:
        for _ in range(BATCHES):
            for attempt in range(TRIES):
                before = floor(nodes)
                figures = batch(nodes)
                after = floor(nodes)
                if abs(sum(before) - sum(after)) <= 0.1 * min(sum(before), sum(after)):
                    tell(nodes, *figures, [before, after])
                    break
                print(f"{nodes} nodes: thrown away, the floor was {sum(before):.0f} ms before and {sum(after):.0f} ms after")
            else:
                print(f"{nodes} nodes: the machine was never the same before and after, {TRIES} times; the last batch:")
                tell(nodes, *figures, [before, after])
    print(f"load: {os.getloadavg()[0]:.2f} after")


main()
