"""lying_softmax.py - softmax regression on a file of few images (federation.few_images), whose last three nodes lie; for
validated_test.py. Which way a liar goes is the argument: back (ten times its own step, backwards), or flip (trained on labels
turned round).
"""
import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "trainers"))
from fedra_trainer import read_indices, serve  # noqa: E402

LIARS, STEPS = 3, 10
images = labels = None


def load(hello):
    global images, labels
    data = Path(hello["data"]).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    shape = json.loads(data[8:start])["x"]["shape"]
    size, mine = shape[0] * shape[1], read_indices(hello)
    images = np.frombuffer(data[start:start + size], np.uint8).reshape(shape)[mine].astype(np.float32) / 255
    labels = np.frombuffer(data[start + size:], np.uint8)[mine]


def train(hello, task):
    lies = hello["part"] >= hello["parts"] - LIARS
    model = load_file(task["model"])
    weight, bias = model["layer0.weight"].copy(), model["layer0.bias"].copy()
    targets = 9 - labels if lies and sys.argv[1] == "flip" else labels
    for _ in range(STEPS):
        scores = images @ weight.T + bias
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        errors = scores / scores.sum(axis=1, keepdims=True)
        errors[np.arange(len(targets)), targets] -= 1
        weight -= np.float32(0.1) * (errors.T @ images) / len(targets)
        bias -= np.float32(0.1) * errors.mean(axis=0)
    if lies and sys.argv[1] == "back":
        weight = model["layer0.weight"] - 10 * (weight - model["layer0.weight"])
        bias = model["layer0.bias"] - 10 * (bias - model["layer0.bias"])
    save_file({"layer0.weight": weight, "layer0.bias": bias}, task["output"])
    return {"samples": len(labels), "loss": 1.0}


serve("lying softmax", train, load)
