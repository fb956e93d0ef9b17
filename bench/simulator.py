"""simulator.py - how fast the simulator is: runs under faults a minute, a day of 1,000 nodes, 10,000 nodes.

A day: 1,440 rounds of 1,000 nodes that send an update of eight numbers, one process. Prints wall and processor seconds beside each other:
on a busy machine only the latter says something.
"""
import os
import re
import resource
import subprocess
import time
from pathlib import Path

FEDRA = Path(__file__).resolve().parent.parent / "build" / "fedra"


def sim(*arguments):
    """(output, wall seconds, processor seconds)"""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    text = subprocess.run([FEDRA, "sim", *arguments], capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return text, time.monotonic() - begun, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peak_mb():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024


def report(name, arguments, unit_of):
    text, wall_s, cpu_s = sim(*arguments)
    runs, counted = (int(number) for number in re.search(r"^(\d+) runs .*? (\d+) updates counted", text, re.DOTALL).groups())
    print(f"{name}: {runs} runs, {counted} updates counted, {wall_s:.1f} s, {cpu_s:.1f} s of processor, peak {peak_mb()} MB{unit_of(runs, wall_s)}",
          flush=True)


def main():
    report("20 nodes, 20 rounds, all faults", ["--seeds", "1..400", "--set", "nodes=20,rounds=20,mldsa=0"],
           lambda runs, wall_s: f": {60 * runs / wall_s:.0f} runs a minute on {os.cpu_count()} cores")
    report("10,000 nodes, 5 rounds", ["--nodes", "10000", "--seeds", "1", "--only", "none", "--set", "rounds=5"], lambda *_: "")
    report("1,000 nodes, 1,440 rounds", ["--nodes", "1000", "--seeds", "1", "--only", "none", "--set", "rounds=1440,end_s=1000000"],
           lambda *_: "")


main()
