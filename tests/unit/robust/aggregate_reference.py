"""Python's side of aggregate_command_test.c: writes updates, and checks the result by exact fractions."""
import json
import os
import sys

try:
    from fractions import Fraction

    import numpy as np
    from safetensors.numpy import load_file, save_file
except ImportError:
    sys.exit(77)

verb, folder = sys.argv[1], sys.argv[2]
generator = np.random.default_rng(3)
updates = {"layer.weight": generator.normal(size=(9, 3, 5)).astype(np.float32),
           "bias": (generator.normal(size=(9, 4)) * 1e-3).astype(np.float16),
           "scale": generator.normal(size=9).astype(np.float32)}
samples = np.array([1, 600, 0, 77, 5, 123456, 999999, 2, 10], np.int64)
if verb == "write":
    save_file({**updates, "samples": samples}, os.path.join(folder, "in"))
elif verb == "check":
    result = load_file(os.path.join(folder, "out"))
    assert sorted(result) == sorted(updates), sorted(result)
    for name, rows in updates.items():
        assert result[name].dtype == np.float32 and result[name].shape == rows.shape[1:]
        for index in np.ndindex(rows.shape[1:]):
            exact = sum(Fraction(float(x)) * int(s) for x, s in zip(rows[(slice(None),) + index], samples)) \
                / int(samples.sum())
            # Half a unit in the last place, and the grid's share: 2^-62 of the largest norm.
            bound = Fraction(float(np.spacing(np.abs(result[name][index])))) / 2 + Fraction(16, 2 ** 62)
            assert abs(Fraction(float(result[name][index])) - exact) <= bound, (name, index)
    with open(os.path.join(folder, "stdout")) as file:
        report = json.load(file)
    assert list(report) == ["rule", "n", "d", "f", "selected", "weights", "suspects", "seconds"], report
    assert (report["rule"], report["n"], report["d"], report["f"]) == ("mean", 9, 20, 0), report
    assert report["selected"] == [0, 1, 3, 4, 5, 6, 7, 8] and report["suspects"] == [], report
    assert np.allclose(report["weights"], samples / samples.sum(), rtol=1e-15), report
    assert report["seconds"] >= 0
else:
    sys.exit("what is " + verb)
