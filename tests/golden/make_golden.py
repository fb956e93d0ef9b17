#!/usr/bin/env python3
"""make_golden - the sets of golden_byzfl_*.json: what ByzFL 0.0.11 gives on made-up updates.

usage: make_golden.py FOLDER        (pip install byzfl; it needs torch, of any kind)

golden_byzfl.json was made the same way. Where the definitions differ, the key says which it is:
Krum takes the n - f - 1 nearest others in ByzFL; the geometric median is iterated to its end (T = 1000, nu = 1e-6);
CAF in ByzFL takes one step of a power iteration from a random vector, here from the exact leading eigenvector.
"""
import inspect
import json
import sys
from pathlib import Path

import byzfl
import numpy as np


def exact_direction(_):
    """In place of numpy.random.randn in ByzFL's CAF: the leading eigenvector of what it looks at."""
    seen = inspect.currentframe().f_back.f_locals
    weighted = np.sqrt(seen["c"])[:, None] * seen["diffs"]
    return np.linalg.svd(weighted, full_matrices=False)[2][0]


def caf(x, f):
    kept, np.random.randn = np.random.randn, exact_direction
    try:
        return byzfl.CAF(f=f)(x.copy())
    finally:
        np.random.randn = kept


def results(x, f):
    """Every rule that ByzFL and Fedra both have. The copies: ByzFL's ARC writes into its input."""
    n = len(x)
    found = {
        "Average": byzfl.Average()(x.copy()),
        "Median": byzfl.Median()(x.copy()),
        "TrMean": byzfl.TrMean(f=f)(x.copy()),
        "GeometricMedian_nu1e-6_T1000": byzfl.GeometricMedian(nu=1e-6, T=1000)(x.copy()),
        "Krum_ByzFL_n-f-1": byzfl.Krum(f=f)(x.copy()),
        "MultiKrum_ByzFL_m=n-f": byzfl.MultiKrum(f=f)(x.copy()),
        "CenteredClipping_m0_L1_tau5": byzfl.CenteredClipping(L=1, tau=5.0)(x.copy()),
        "CenteredClipping_m0_L3_tau2": byzfl.CenteredClipping(L=3, tau=2.0)(x.copy()),
        "NNM": byzfl.NNM(f=f)(x.copy()),
        "ARC": byzfl.ARC(f=f)(x.copy()),
        "NNM+TrMean": byzfl.TrMean(f=f)(byzfl.NNM(f=f)(x.copy())),
        "NNM+Median": byzfl.Median()(byzfl.NNM(f=f)(x.copy())),
        "NNM+GeometricMedian": byzfl.GeometricMedian(nu=1e-6, T=1000)(byzfl.NNM(f=f)(x.copy())),
        "NNM+Krum": byzfl.Krum(f=f)(byzfl.NNM(f=f)(x.copy())),
        "ARC+NNM+TrMean": byzfl.TrMean(f=f)(byzfl.NNM(f=f)(byzfl.ARC(f=f)(x.copy()))),
        "ARC+CenteredClipping": byzfl.CenteredClipping(L=1, tau=5.0)(byzfl.ARC(f=f)(x.copy())),
        "CAF_exact_eigenvector": caf(x, f) if f > 0 else byzfl.Average()(x.copy()),
    }
    return {"n": n, "d": x.shape[1], "f": f, "X": x.tolist()} | {k: v.tolist() for k, v in found.items()}


def updates(seed, n, d, f, spread, offset):
    """Honest ones around an offset, in three groups; liars far off, turned round, or all alike."""
    random = np.random.default_rng(seed)
    centers = offset + spread * random.normal(size=(3, d))
    x = centers[np.arange(n) % 3] + random.normal(size=(n, d))
    for i in range(f):
        x[n - 1 - i] = [20 * random.normal(size=d), -2 * x[:n - f].mean(0), x[:n - f].mean(0) + 3][i % 3]
    return x.astype(np.float32).astype(np.float64)


def main():
    folder = Path(sys.argv[1])
    for name, shape in {"even": (1, 12, 40, 3, 0.5, 0.0), "many": (2, 31, 17, 9, 1.0, 2.0),
                        "wide": (3, 9, 120, 2, 0.2, -0.3), "few": (4, 5, 3, 1, 1.0, 0.0),
                        "honest": (5, 10, 8, 0, 0.7, 0.1)}.items():
        (folder / f"golden_byzfl_{name}.json").write_text(json.dumps(results(updates(*shape), shape[3])) + "\n")


if __name__ == "__main__":
    main()
