#!/usr/bin/env python3
"""lying_softmax.py SHARE [SECONDS] - numpy_softmax.py, of whose nodes a share lies; for examples/byzantine.yaml.

The last nodes lie, each in one way: of six in a row three send the same vector, one its update ten times as large, one ten
times turned round, one so large that it is refused for its norm. (NaN a node does not take from its program.) Who is honest
answers SECONDS later: liars come first. Nothing of this is in a node: it sends what its program gives it.
"""
import math
import sys
import time

import numpy as np
from safetensors.numpy import load_file, save_file

import numpy_softmax
from fedra_trainer import serve

share = float(sys.argv[1])
head_start_s = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
LIES = ["same", "same", "same", "scaled", "turned", "huge"]


def lie_of(hello):
    """None for who is honest."""
    liars = math.floor(share * hello["parts"] + 1e-9)
    number = hello["part"] - (hello["parts"] - liars)
    return LIES[number % len(LIES)] if number >= 0 else None


def told(lie, before, after):
    if lie == "same":  # all draw from the same model, and so the same
        source = np.random.default_rng(int(np.abs(before).sum() * 1000))
        return before + source.normal(scale=0.01, size=before.shape).astype(np.float32)
    if lie == "huge":
        return before + np.float32(1e4)
    return before + np.float32(10 if lie == "scaled" else -10) * (after - before)


def train(hello, task):
    started = time.monotonic()
    lie = lie_of(hello)
    result = numpy_softmax.train(hello, task)
    if lie is None:
        while time.monotonic() < started + head_start_s:
            task.progress(0.99)
            time.sleep(0.01)
        return result
    before, after = load_file(task["model"]), load_file(task["output"])
    save_file({name: told(lie, before[name], after[name]) for name in before}, task["output"])
    return {"samples": result["samples"], "loss": result["loss"]}


serve("lying softmax", train, numpy_softmax.load)
