"""aggregate_peers.py - the kernels over rows beside numpy, torch and ByzFL on the same machine, in one run.

For each number of nodes and parameters: build/bench/aggregate_bench before and after the peers, the peers in between, each
in every form that it has (np.median, np.sort, np.partition; torch.median gives the lower of two middle values and is timed
all the same), with the threads that they come with. Normal values, f32, one row a node, as updates arrive. Printed: the
least time of each, which a shared machine disturbs least; the best peer's beside the better of our two runs; in parentheses
the processor time of all threads, which says more where others use the machine meanwhile.

usage: aggregate_peers.py BENCH [NODES PARAMETERS [RUNS]]     (10 1000000, 100 1000000 and 1000 100000; 3 runs)
"""
import re
import subprocess
import sys
import time

import byzfl
import numpy as np
import torch

SIZES = [(10, 1_000_000), (100, 1_000_000), (1000, 100_000)]
SLOW_SECONDS = 2  # what takes longer is run once
LINE = re.compile(r"^(\w+)\s+(\w+)\s+n=(\d+)\s+d=(\d+)\s+threads=(\d+)\s+([\d.]+) ms \(least\s+([\d.]+), cpu\s+([\d.]+)\)")


def ours(bench, n, d, runs):
    """Kernel -> (least milliseconds, processor milliseconds of all threads, threads, instruction set)."""
    text = subprocess.run([bench, str(n), str(d), "2", str(runs)], check=True, capture_output=True, text=True).stdout
    found = {}
    for line in text.splitlines():
        match = LINE.match(line)
        if match:
            found[match[1]] = (float(match[7]), float(match[8]), int(match[5]), match[2])
    return found


def least_ms(work, runs):
    """Least milliseconds, and the processor milliseconds of all threads in that run."""
    best = (float("inf"), float("inf"))
    for _ in range(runs):
        start, used = time.perf_counter(), time.process_time()
        work()
        best = min(best, ((time.perf_counter() - start) * 1e3, (time.process_time() - used) * 1e3))
        if best[0] > SLOW_SECONDS * 1e3:
            break
    return best


def forms(x, t, n):
    """Kernel -> {form: what runs it}."""
    f = n * 3 // 10
    low, high = (n - 1) // 2, n // 2
    weights = np.full(n, 1 / n, np.float32)
    weights_t = torch.from_numpy(weights)
    return {
        "weighted_sum": {"numpy w @ X": lambda: weights @ x, "torch w @ X": lambda: weights_t @ t},
        "median": {
            "np.median": lambda: np.median(x, axis=0),
            "np.sort": lambda: np.sort(x, axis=0)[low:high + 1].mean(axis=0),
            "np.partition": lambda: np.partition(x, (low, high), axis=0)[low:high + 1].mean(axis=0),
            "torch.median": lambda: torch.median(t, dim=0),
            "torch.sort": lambda: torch.sort(t, dim=0)[0][low:high + 1].mean(dim=0),
            "ByzFL Median": lambda: byzfl.Median()(t),
        },
        "trimmed_mean": {
            "np.sort": lambda: np.sort(x, axis=0)[f:n - f].mean(axis=0),
            "np.partition": lambda: np.partition(x, (f, n - 1 - f), axis=0)[f:n - f].mean(axis=0),
            "torch.sort": lambda: torch.sort(t, dim=0)[0][f:n - f].mean(dim=0),
            "ByzFL TrMean": lambda: byzfl.TrMean(f=f)(t),
        },
        "nearest_mean": {"ByzFL Meamed": lambda: byzfl.Meamed(f=f)(t)},
        "gram": {
            "numpy X @ X.T": lambda: x @ x.T,
            "torch X @ X.T": lambda: t @ t.T,
            "torch.cdist": lambda: torch.cdist(t, t),
        },
    }


def time_peers(n, d, runs):
    """Kernel -> {form: (least milliseconds, processor milliseconds)}."""
    x = np.random.default_rng(1).standard_normal((n, d), dtype=np.float32)
    found = {}
    for kernel, named in forms(x, torch.from_numpy(x), n).items():
        print(f"timing the peers' {kernel} of {n} x {d}", file=sys.stderr, flush=True)
        found[kernel] = {name: least_ms(work, runs) for name, work in named.items()}
    return found


def main():
    bench = sys.argv[1]
    sizes = [(int(sys.argv[2]), int(sys.argv[3]))] if len(sys.argv) > 3 else SIZES
    runs = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    print(f"numpy {np.__version__}, torch {torch.__version__} ({torch.get_num_threads()} threads), ByzFL")
    for n, d in sizes:
        before = ours(bench, n, d, runs)
        peers = time_peers(n, d, runs)
        after = ours(bench, n, d, runs)
        reading = min(before["reading"][0], after["reading"][0])
        gigabytes = n * d * 4e-6
        print(f"\n{n} nodes, {d} parameters; reading all takes {reading:.1f} ms, {gigabytes / reading:.1f} GB/s")
        for kernel, named in peers.items():
            if kernel not in before:
                continue
            least, used, threads, isa = min(before[kernel], after[kernel])
            best = min(named, key=named.get)
            print(f"{kernel:13} {isa} {threads} threads {least:9.1f} ms {gigabytes / least:6.2f} GB/s "
                  f"{100 * reading / least:5.1f} % of reading; {named[best][0] / least:6.1f} times faster than {best}, "
                  f"with {named[best][1] / used:.1f} times less processor time ({used:.1f} ms)")
            print("              " + ", ".join(f"{name} {ms:.1f} ({cpu:.0f})" for name, (ms, cpu) in named.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
