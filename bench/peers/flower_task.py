"""flower_task.py - the demonstration's task as a Flower app: Fashion-MNIST, a network 784-128-10 in plain numpy, FedAvg.

A module of its own, so that Ray's workers import it once and keep what they have read. The images are one file of bytes that all
processes map, so that they share its memory. flower_sim.py writes the folder that FEDRA_PEER_DATA names, and runs this program.

usage: flower_task.py NODES ROUNDS CLIENTS_AT_ONCE     (prints one line of JSON)
"""
import json
import logging
import os
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

INPUTS, HIDDEN, CLASSES = 784, 128, 10
EPOCHS, BATCH, RATE = 2, 10, 0.05  # as in examples/fashion-mnist.yaml
VALIDATION = 2**32 - 1


@cache
def data(part):
    """The images (bytes, mapped) and labels of "train" or "test"."""
    folder = Path(os.environ["FEDRA_PEER_DATA"])
    return np.load(folder / f"{part}-images.npy", mmap_mode="r"), np.load(folder / f"{part}-labels.npy")


@cache
def shares():
    """For each owner of training samples (a node, or VALIDATION) their indices."""
    owner = np.fromfile(Path(os.environ["FEDRA_PEER_DATA"]) / "owners", "<u4")
    order = np.argsort(owner, kind="stable")
    names, starts = np.unique(owner[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:])))


def samples(part, indices):
    images, labels = data(part)
    return images[indices].astype(np.float32) * np.float32(1 / 255), labels[indices]


def initial():
    """Uniform with the variance of He et al. 2015 for the hidden layer."""
    draw = np.random.default_rng(1)
    scales = [(np.sqrt(6 / INPUTS), (INPUTS, HIDDEN)), (np.sqrt(6 / (HIDDEN + CLASSES)), (HIDDEN, CLASSES))]
    (w1, w2) = (draw.uniform(-s, s, shape).astype(np.float32) for s, shape in scales)
    return [w1, np.zeros(HIDDEN, np.float32), w2, np.zeros(CLASSES, np.float32)]


def step(model, x, y):
    """One step of SGD on a batch, in place: softmax and cross entropy over one hidden layer of ReLU."""
    w1, b1, w2, b2 = model
    hidden = x @ w1
    hidden += b1
    np.maximum(hidden, 0, out=hidden)
    wrong = hidden @ w2
    wrong += b2
    wrong -= wrong.max(axis=1, keepdims=True)
    np.exp(wrong, out=wrong)
    wrong /= wrong.sum(axis=1, keepdims=True)
    wrong[np.arange(len(y)), y] -= 1
    wrong *= np.float32(RATE / len(y))
    back = wrong @ w2.T
    back *= hidden > 0
    w2 -= hidden.T @ wrong
    b2 -= wrong.sum(axis=0)
    w1 -= x.T @ back
    b1 -= back.sum(axis=0)


def accuracy(model, x, y):
    w1, b1, w2, b2 = model
    return float((np.argmax(np.maximum(x @ w1 + b1, 0) @ w2 + b2, axis=1) == y).mean())


client = ClientApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    began = time.time()
    model = [np.array(a) for a in message.content["arrays"].to_numpy_ndarrays()]
    x, y = samples("train", shares()[context.node_config["partition-id"]])
    draw = np.random.default_rng([1, context.node_config["partition-id"], message.content["config"]["server-round"]])
    for _ in range(EPOCHS):
        order = draw.permutation(len(y))
        for first in range(0, len(y), BATCH):
            batch = order[first:first + BATCH]
            step(model, x[batch], y[batch])
    content = {"arrays": ArrayRecord(numpy_ndarrays=model), "metrics": MetricRecord({"num-examples": len(y), "began": began})}
    return Message(content=RecordDict(content), reply_to=message)


def server_of(nodes, rounds, report):
    """The server; what it saw is in report when it has ended."""
    server = ServerApp()

    def note_round(replies, _key):
        report["replies"].append(len(replies))
        report["began"] = min([report.get("began", float("inf"))] + [float(r["metrics"]["began"]) for r in replies])
        return MetricRecord({"replies": len(replies)})

    def validate(_round, arrays):
        value = accuracy(arrays.to_numpy_ndarrays(), *samples("train", shares()[VALIDATION]))
        report["accuracies"].append(value)
        return MetricRecord({"accuracy": value})

    @server.main()
    def main(grid: Grid, _context: Context):
        strategy = FedAvg(fraction_train=1.0, fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes,
                          train_metrics_aggr_fn=note_round)
        result = strategy.start(grid, ArrayRecord(numpy_ndarrays=initial()), num_rounds=rounds, evaluate_fn=validate)
        report["ended"] = time.time()
        report["accuracy"] = accuracy(result.arrays.to_numpy_ndarrays(), *samples("test", slice(None)))
    return server


def main():
    from flwr.simulation import run_simulation
    import flower_task  # this file under its name, by which the workers find the client
    nodes, rounds, at_once = map(int, sys.argv[1:4])
    logging.getLogger("flwr").setLevel(logging.ERROR)
    report = {"replies": [], "accuracies": []}
    run_simulation(server_of(nodes, rounds, report), flower_task.client, nodes,
                   backend_config={"init_args": {"num_cpus": at_once, "logging_level": logging.ERROR, "log_to_driver": False},
                                   "client_resources": {"num_cpus": 1, "num_gpus": 0.0}})
    print(json.dumps({"replies": report["replies"], "accuracies": report["accuracies"], "accuracy": report["accuracy"],
                      "rounds_s": report["ended"] - report["began"]}))


if __name__ == "__main__":
    main()
