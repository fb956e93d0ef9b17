"""lying_trainer.py - a trainer of model.kind flat whose last three nodes lie; for robust_test.py. Standard library only.

Honest nodes step half the way to 1 in every parameter, with a little of their own; which way a liar goes is the argument:
far (a long way off, each its own) or together (all the same vector).
"""
import random
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "trainers"))
from fedra_trainer import serve  # noqa: E402

LIARS = 3


def train(hello, task):
    source = random.Random(task["seed"])
    data = Path(task["model"]).read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    model = struct.unpack(f"<{(len(data) - start) // 4}f", data[start:])
    lies = hello["part"] >= hello["parts"] - LIARS
    if not lies:
        moved = [x + 0.5 * (1 - x) + source.gauss(0, 0.02) for x in model]
    elif sys.argv[1] == "far":
        moved = [x - 3 + source.gauss(0, 0.3) for x in model]
    else:
        moved = [x - 0.4 for x in model]
    Path(task["output"]).write_bytes(data[:start] + struct.pack(f"<{len(moved)}f", *moved))
    return {"samples": 100, "loss": 1.0}


serve("lying trainer", train)
