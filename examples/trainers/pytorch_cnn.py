#!/usr/bin/env python3
"""pytorch_cnn.py - a small convolutional network in PyTorch, for examples/pytorch-cnn.yaml.

    pytorch_cnn.py                            the trainer, which fedra starts
    pytorch_cnn.py initial FILE               writes the model that a job starts from (model.path)
    pytorch_cnn.py evaluate FILE [FOLDER]     says how good a model is on the test images
    pytorch_cnn.py central EPOCHS [FOLDER]    trains it in one place, to compare with

Needs python3-torch and python3-safetensors.
"""
import sys

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy

from fedra_trainer import read_idx, read_indices, serve

FOLDER = "/usr/share/datasets/fashion-mnist"  # Debian's dataset-fashion-mnist
BATCH_MEASURED = 500
images = labels = held_images = held_labels = None


def make_network():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, 10))


def read_images(folder, kind, chosen=None):
    shape, pixels = read_idx(folder, f"{kind}-images-idx3-ubyte")
    x = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(shape[0], 1, shape[1], shape[2])
    y = torch.frombuffer(bytearray(read_idx(folder, f"{kind}-labels-idx1-ubyte")[1]), dtype=torch.uint8)
    if chosen is not None:
        x, y = x[chosen], y[chosen]
    return x.float() / 255, y.long()


def load(hello):
    """Reads this node's samples, and holds a share of them out where the node asks for it."""
    global images, labels, held_images, held_labels
    torch.set_num_threads(1)
    x, y = read_images(hello["data"], "train", read_indices(hello))
    mixed = torch.randperm(len(y), generator=torch.Generator().manual_seed(hello["seed"] % 2**63))
    held = round(len(y) * hello["holdout"])
    images, labels = x[mixed[held:]], y[mixed[held:]]
    held_images, held_labels = x[mixed[:held]], y[mixed[:held]]


@torch.no_grad()
def measure(network, x, y):
    """Mean loss and accuracy."""
    loss = right = 0
    for first in range(0, len(y), BATCH_MEASURED):
        scores = network(x[first:first + BATCH_MEASURED])
        loss += cross_entropy(scores, y[first:first + BATCH_MEASURED], reduction="sum").item()
        right += (scores.argmax(1) == y[first:first + BATCH_MEASURED]).sum().item()
    return loss / len(y), right / len(y)


def run_sgd(network, x, y, settings, seed, progress):
    """Mean loss of the last epoch."""
    order = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.SGD(network.parameters(), lr=settings["learning_rate"], momentum=settings["momentum"],
                                weight_decay=settings["weight_decay"])
    epochs, batch = settings["local_epochs"], settings["batch_size"]
    for epoch in range(epochs):
        total = 0.0
        mixed = torch.randperm(len(y), generator=order)
        for first in range(0, len(y), batch):
            chosen = mixed[first:first + batch]
            optimiser.zero_grad()
            loss = cross_entropy(network(x[chosen]), y[chosen])
            loss.backward()
            optimiser.step()
            total += loss.item() * len(chosen)
            progress((epoch + first / len(y)) / epochs)
    return total / len(y)


def train(hello, task):
    network = make_network()
    network.load_state_dict(load_file(task["model"]))
    answer = {}
    if len(held_labels) > 0:
        loss, accuracy = measure(network, held_images, held_labels)
        answer.update(holdout_samples=len(held_labels), holdout_loss=loss, holdout_accuracy=accuracy)
    loss = run_sgd(network, images, labels, task, task["seed"], task.progress)
    save_file(network.state_dict(), task["output"])
    return {"samples": len(labels), "loss": loss, **answer}


def initial(path):
    torch.manual_seed(1)
    save_file(make_network().state_dict(), path)


def evaluate(path, folder=FOLDER):
    network = make_network()
    network.load_state_dict(load_file(path))
    loss, accuracy = measure(network, *read_images(folder, "t10k"))
    print(f"accuracy {accuracy:.4f}  loss {loss:.4f}  on the test images", file=sys.stderr)


def central(epochs, folder=FOLDER):
    torch.manual_seed(1)
    torch.set_num_threads(1)
    network = make_network()
    x, y = read_images(folder, "train")
    test = read_images(folder, "t10k")
    settings = {"local_epochs": 1, "batch_size": 32, "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0}
    for epoch in range(int(epochs)):
        loss = run_sgd(network, x, y, settings, epoch, lambda share: None)
        print(f"epoch {epoch + 1}: loss {loss:.4f}  test accuracy {measure(network, *test)[1]:.4f}", file=sys.stderr)


commands = {"initial": initial, "evaluate": evaluate, "central": central}
if len(sys.argv) > 1:
    commands[sys.argv[1]](*sys.argv[2:])
else:
    serve("PyTorch CNN", train, load)
