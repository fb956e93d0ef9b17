#!/usr/bin/env python3
"""Writes partition_reference.h: SHA-256 of the owners (u32 little-endian) that partitions give.

The rules of partition.h written anew, on reference.py's random numbers.
Run: partition_reference.py > partition_reference.h
"""
import contextlib
import hashlib
import io
import math
import struct

with contextlib.redirect_stdout(io.StringIO()):
    from reference import Random

VALIDATION = 0xFFFFFFFF


def normal(random):
    while True:
        u, v = 2 * random.unit() - 1, 2 * random.unit() - 1
        s = u * u + v * v
        if 0 < s < 1:
            return u * math.sqrt(-2 * math.log(s) / s)


def log_gamma(random, alpha):
    boost = math.log(1 - random.unit()) / alpha if alpha < 1 else 0
    d = (alpha + 1 if alpha < 1 else alpha) - 1 / 3
    c = 1 / math.sqrt(9 * d)
    while True:
        x = normal(random)
        root = 1 + c * x
        if root <= 0:
            continue
        v = root * root * root
        if math.log(1 - random.unit()) < 0.5 * x * x + d - d * v + d * math.log(v):
            return math.log(d) + math.log(v) + boost


def dirichlet(random, alpha, count):
    logs = [log_gamma(random, alpha) for _ in range(count)]
    weights = [math.exp(x - max(logs)) for x in logs]
    total = 0.0
    for w in weights:
        total += w
    return [w / total for w in weights]


def assign(labels, seed, validation, parts, alpha, minimum, shards=0):
    owner = [0] * len(labels)
    order = list(range(len(labels)))
    Random(seed, 0x76616C69, 0).shuffle(order)
    for i in order[:validation]:
        owner[i] = VALIDATION
    rest = sorted(order[validation:])
    if shards:
        items = sorted(rest, key=lambda i: (labels[i], i))
        runs = list(range(parts * shards))
        Random(seed, 0x73686472, 0).shuffle(runs)
        for place, run in enumerate(runs):
            for i in items[run * len(items) // len(runs):(run + 1) * len(items) // len(runs)]:
                owner[i] = place // shards
        return owner
    if alpha is None:
        Random(seed, 0x69696400, 0).shuffle(rest)
        for i, sample in enumerate(rest):
            owner[sample] = i % parts
        return owner
    for label in sorted(set(labels)):
        items = [i for i in rest if labels[i] == label]
        if not items:
            continue
        Random(seed, 0x6F726465, label).shuffle(items)
        shares = dirichlet(Random(seed, 0x73686172, label), alpha, parts)
        cumulated, start = 0.0, 0
        for part, share in enumerate(shares):
            cumulated += share
            end = len(items) if part == parts - 1 else min(len(items), math.floor(cumulated * len(items)))
            for i in items[start:end]:
                owner[i] = part
            start = max(start, end)
    for part in range(parts):
        while owner.count(part) < minimum:
            giver = max(range(parts), key=lambda p: (owner.count(p), -p))
            owner[max(i for i in rest if owner[i] == giver)] = part
    return owner


print("/*\n * partition_reference.h - made by partition_reference.py: digests of owners.\n */")
print("#pragma once\n\n/* clang-format off */")
labels = [(i * i + i // 7) % 10 for i in range(2000)]
for name, args in {"iid": (1, 100, 7, None, 10), "even": (2, 0, 5, 100.0, 10), "half": (3, 200, 20, 0.5, 10),
                   "tiny": (4, 50, 40, 0.01, 12), "shards": (5, 70, 30, None, 10, 3)}.items():
    owner = assign(labels, *args)
    digest = hashlib.sha256(struct.pack(f"<{len(owner)}I", *owner)).hexdigest()
    print(f'static const char reference_{name}[] = "{digest}";')
print("/* clang-format on */")
