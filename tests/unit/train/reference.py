#!/usr/bin/env python3
"""Writes sgd_reference.h: what local SGD gives by numpy in float64, with PyTorch's definitions.

Everything is written anew here, the random numbers too (xoshiro256** after Blackman and Vigna), so
that sgd_test.c compares the C with something else. Run: reference.py > sgd_reference.h
"""
import math

import numpy as np

MASK = (1 << 64) - 1


def splitmix(state):
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return state, z ^ (z >> 31)


def rotate(x, k):
    return ((x << k) | (x >> (64 - k))) & MASK


class Random:
    def __init__(self, seed, stream, substream):
        _, z = splitmix(seed)
        _, z = splitmix(z ^ stream)
        state = z ^ substream
        self.s = []
        for _ in range(4):
            state, z = splitmix(state)
            self.s.append(z)

    def u64(self):
        s = self.s
        result = (rotate((s[1] * 5) & MASK, 7) * 9) & MASK
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotate(s[3], 45)
        return result

    def below(self, bound):
        threshold = (2**64 - bound) % bound
        while True:
            product = self.u64() * bound
            if product & MASK >= threshold:
                return product >> 64

    def unit(self):
        return (self.u64() >> 11) * 2.0**-53

    def shuffle(self, items):
        for i in range(len(items), 1, -1):
            j = self.below(i)
            items[i - 1], items[j] = items[j], items[i - 1]


def initial(widths, seed):
    parameters = []
    for layer in range(len(widths) - 1):
        n_in, n_out = widths[layer], widths[layer + 1]
        last = layer == len(widths) - 2
        bound = math.sqrt(6 / (n_in + n_out if last else n_in))
        random = Random(seed, 0x696E6974, layer)
        weight = [np.float32((2 * random.unit() - 1) * bound) for _ in range(n_in * n_out)]
        parameters += [np.array(weight, np.float32).astype(np.float64).reshape(n_out, n_in), np.zeros(n_out)]
    return parameters


def gradient(parameters, x, y):
    values = [x]
    layers = len(parameters) // 2
    for layer in range(layers):
        z = values[-1] @ parameters[2 * layer].T + parameters[2 * layer + 1]
        values.append(np.maximum(z, 0) if layer < layers - 1 else z)
    z = values[-1] - values[-1].max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    loss = -log_p[np.arange(len(y)), y].sum()
    d = np.exp(log_p)
    d[np.arange(len(y)), y] -= 1
    d /= len(y)
    grads = [None] * len(parameters)
    for layer in reversed(range(layers)):
        grads[2 * layer] = d.T @ values[layer]
        grads[2 * layer + 1] = d.sum(axis=0)
        d = (d @ parameters[2 * layer]) * (values[layer] > 0)
    return loss, grads


def train(widths, samples, seed, node, round_number, epochs, batch, rate, momentum, decay, mu):
    n_in, classes = widths[0], widths[-1]
    x = np.array([[(i * 37 + j * 101 + i * j * 13) % 256 for j in range(n_in)] for i in range(samples)]) / 255.0
    y = np.array([(i * i + 1) % classes for i in range(samples)])
    base = initial(widths, seed)
    p = [t.copy() for t in base]
    velocity = [np.zeros_like(t) for t in p]
    random = Random(Random(seed, 0x6F726472, node).u64(), 0x6F726472, round_number)
    for _ in range(epochs):
        order = list(range(samples))
        random.shuffle(order)
        total = 0.0
        for first in range(0, samples, batch):
            chosen = order[first:first + batch]
            loss, grads = gradient(p, x[chosen], y[chosen])
            total += loss
            for i, g in enumerate(grads):
                g = g + decay * p[i] + mu * (p[i] - base[i])
                velocity[i] = momentum * velocity[i] + g
                p[i] = p[i] - rate * velocity[i]
    return base, [b - t for b, t in zip(base, p)], total / samples


def array(name, tensors):
    # The flat order is by name: layer0.bias, layer0.weight, layer1.bias, ...
    tensors = [tensors[i ^ 1] for i in range(len(tensors))]
    values = np.concatenate([t.ravel() for t in tensors])
    lines = [f"static const double {name}[{len(values)}] = {{"]
    for i in range(0, len(values), 4):
        lines.append("    " + " ".join(f"{v:.15g}," for v in values[i:i + 4]))
    return "\n".join(lines + ["};"])


print("/*\n * sgd_reference.h - made by reference.py: deltas and losses of local SGD by numpy in float64.\n */")
print("#pragma once\n\n/* clang-format off */")
cases = {
    "plain": ([6, 3], 11, 7, 21, 3, 3, 4, 0.5, 0.0, 0.0, 0.0),
    "deep": ([6, 5, 4, 3], 11, 8, 22, 4, 3, 4, 0.25, 0.0, 0.0, 0.0),
    "full": ([6, 5, 3], 11, 9, 23, 5, 4, 3, 0.125, 0.875, 0.0625, 0.25),
}
for name, case in cases.items():
    base, delta, loss = train(*case)
    print(array(f"reference_{name}_base", base))
    print(array(f"reference_{name}_delta", delta))
    print(f"static const double reference_{name}_loss = {loss:.15g};")
print("/* clang-format on */")
