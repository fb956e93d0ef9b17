"""stragglers.py - slow nodes do not slow the round: the rounds a second of the same federation at K = 0.85 and at K = 1.0.

100 nodes, a process each, whose trainer waits 0.5 s; one in ten is slow (faults.slow) and takes 5 s. At K = 1.0 every round
waits for the slow ones, at K = 0.85 none does. Everything else is as in bench/overhead.py: signed, verified, durable. A rate is
that of the rounds after the first, from one opening to the next, so that joining is not in it. The two runs come one after
the other: side by side they would share the processors. Exit code 1 where K = 0.85 is not three times as fast.

usage: stragglers.py [NODES [SECONDS]]     (100 nodes, about 30 seconds of each)
"""
import os
import shutil
import sys
from datetime import datetime
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
os.environ.setdefault("FEDRA_BINARY", str(TOP / "build" / "fedra"))
os.environ.setdefault("FEDRA_SCRATCH", str(TOP / "build" / "bench-runs"))
sys.path.insert(0, str(TOP / "tests" / "e2e"))
from federation import Run  # noqa: E402

NODES = int(sys.argv[1]) if len(sys.argv) > 1 else 100
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 30
WAIT_S, SLOW_SHARE, SLOW_FACTOR = 0.5, 0.1, 10
AIM = 3.0


def opened_s(run):
    return [datetime.fromisoformat(line.split(" ", 1)[0].replace("Z", "+00:00")).timestamp()
            for line in run.log().splitlines() if " round.opened " in line]


def rate(k):
    """Rounds a second at this K, and the fewest and the most updates that a round counted."""
    lasts_s = WAIT_S * SLOW_FACTOR if k == 1.0 else 2 * WAIT_S  # about; decides only how many are made
    rounds = max(4, round(SECONDS / lasts_s))
    sets = {"aggregation.k_threshold": k, "aggregation.start_nodes": NODES, "convergence.max_rounds": rounds,
            "train.fixed_wait_s": WAIT_S, "faults.slow.share": SLOW_SHARE, "faults.slow.factor": SLOW_FACTOR}
    with Run("stragglers", NODES, sets, example="overhead") as run:
        if run.wait(rounds * 20 + 120) != 0:
            sys.exit(f"the run failed: {run.tail()}")
        opened = opened_s(run)
        accepted = [line["accepted"] for line in run.metrics()]
        folder = run.folder
    if len(accepted) != rounds or len(opened) != rounds or min(accepted) < k * NODES:
        sys.exit(f"not the rounds that were asked for: see {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    return (len(opened) - 1) / (opened[-1] - opened[0]), min(accepted), max(accepted)


def main():
    rates = []
    for k in (0.85, 1.0):
        per_second, fewest, most = rate(k)
        rates.append(per_second)
        print(f"K = {k}: {per_second:.3f} rounds/s ({1 / per_second:.2f} s a round), {fewest} to {most} of {NODES} updates each",
              flush=True)
    print(f"{NODES} nodes, {SLOW_SHARE:.0%} of them {SLOW_FACTOR} times slower than {WAIT_S} s: K = 0.85 makes "
          f"{rates[0] / rates[1]:.1f} times the rounds of K = 1.0 (aim: at least {AIM:.0f}); load {os.getloadavg()[0]:.1f}")
    sys.exit(rates[0] < AIM * rates[1])


main()
