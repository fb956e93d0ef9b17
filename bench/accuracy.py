"""accuracy.py - what a federation of a hundred nodes loses against central training, over several seeds.

The example as `./run demo` runs it, faults included, once a seed: the accuracy of its final model on the test images beside
that of the same model trained in one place on the same samples. The seed draws the initial model, the split of the data, the
order of the samples and the nodes that fail. Exit code 1 where a run does not converge, or the mean loss is over the aim.

usage: accuracy.py [SEEDS [FIRST]]     (5 seeds from 1)
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
FEDRA = os.environ.get("FEDRA_BINARY", str(TOP / "build" / "fedra"))
FOLDER = TOP / "build" / "bench-runs" / "accuracy"
SEEDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
FIRST = int(sys.argv[2]) if len(sys.argv) > 2 else 1
NODES = 100
AIM = 0.01  # of accuracy, in the mean


def run(seed):
    shutil.rmtree(FOLDER, ignore_errors=True)
    done = subprocess.run([FEDRA, "up", "examples/fashion-mnist.yaml", "--nodes", str(NODES), "--seed", str(seed), "--run-dir",
                           str(FOLDER)], cwd=TOP, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"the run of seed {seed} failed: {done.stderr[-600:]}{done.stdout[-600:]}")
    return json.loads((FOLDER / "summary.json").read_text())


def main():
    lost, converged = [], 0
    print("seed  outcome    rounds  accuracy  central   lost")
    for seed in range(FIRST, FIRST + SEEDS):
        summary = run(seed)
        lost.append(summary["central_accuracy"] - summary["accuracy"])
        converged += summary["outcome"] == "converged"
        print(f"{seed:4}  {summary['outcome']:9}  {summary['rounds']:6}  {summary['accuracy']:.4f}    "
              f"{summary['central_accuracy']:.4f}  {lost[-1]:+.4f}", flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    spread = f", standard deviation {statistics.stdev(lost):.4f}" if len(lost) > 1 else ""
    print(f"mean lost {statistics.mean(lost):+.4f}{spread}, {converged} of {len(lost)} converged (aim: {AIM}, all)")
    sys.exit(0 if statistics.mean(lost) <= AIM and converged == len(lost) else 1)


main()
