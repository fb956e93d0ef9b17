#!/usr/bin/env python3
"""numpy_softmax.py - softmax regression by SGD in numpy, for examples/numpy-softmax.yaml.

Needs python3-numpy and python3-safetensors. What it learns is what Fedra's own trainer does for model.kind softmax, so
the coordinator can measure it.
"""
import numpy as np
from safetensors.numpy import load_file, save_file

from fedra_trainer import read_idx, read_indices, serve

images = labels = None


def load(hello):
    global images, labels
    if hello["data"].endswith(".safetensors"):
        samples, mine = load_file(hello["data"]), read_indices(hello)
        images, labels = samples["x"][mine].astype(np.float32) / 255, samples["y"][mine]
        return
    shape, pixels = read_idx(hello["data"], "train-images-idx3-ubyte")
    mine = read_indices(hello)
    images = np.frombuffer(pixels, np.uint8).reshape(shape[0], -1)[mine].astype(np.float32) / 255
    labels = np.frombuffer(read_idx(hello["data"], "train-labels-idx1-ubyte")[1], np.uint8)[mine]


def probabilities(x, weight, bias):
    scores = x @ weight.T + bias
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def train(hello, task):
    model = load_file(task["model"])
    weight, bias = model["layer0.weight"], model["layer0.bias"]
    order = np.random.default_rng(task["seed"])
    batch, rate, epochs = task["batch_size"], np.float32(task["learning_rate"]), task["local_epochs"]
    for epoch in range(epochs):
        loss, right = 0.0, 0
        shuffled = order.permutation(len(labels))
        for first in range(0, len(labels), batch):
            chosen = shuffled[first:first + batch]
            x, y = images[chosen], labels[chosen]
            p = probabilities(x, weight, bias)
            loss -= np.log(p[np.arange(len(y)), y] + 1e-12).sum()
            right += (p.argmax(axis=1) == y).sum()
            p[np.arange(len(y)), y] -= 1  # now the gradient of the scores
            weight -= rate * (p.T @ x) / len(y)
            bias -= rate * p.mean(axis=0)
            task.progress((epoch + first / len(labels)) / epochs)
    save_file({"layer0.weight": weight, "layer0.bias": bias}, task["output"])
    return {"samples": len(labels), "loss": float(loss / len(labels)), "accuracy": float(right / len(labels))}


if __name__ == "__main__":
    serve("numpy softmax", train, load)
