"""records.py - what a run's database, models and outboxes must say together, computed here once more.

For runs whose nodes always answer with the same vector (train.trainer fixed) and whose server learns by plain SGD.
"""
import hashlib
import json
import re

import numpy

HEADER_BYTES = 152  # of a slot of an outbox: src/store/outbox_file.c
ENVELOPE_AT = 4096
PAYLOAD_AT = 20480


def check_chain(run):
    """Commits form one chain, nothing is counted twice, metrics and table agree; (commits, updates counted)."""
    with run.database() as database:
        commits = database.execute("SELECT sequence, number, round, id, parent FROM commits ORDER BY sequence").fetchall()
        per_commit = dict(database.execute("SELECT sequence, COUNT(*) FROM counted GROUP BY sequence").fetchall())
        counted, updates = database.execute("SELECT COUNT(*), COUNT(DISTINCT node || ' ' || round) FROM counted").fetchone()
    assert counted == updates, "an update was counted twice"
    for before, after in zip(commits, commits[1:]):
        assert after[4] == before[3] and after[1] == before[1] + 1, f"version {after[1]} is not made from {before[1]}"
    accepted = {line["round"]: line["accepted"] for line in run.metrics()}
    seen = set()
    for sequence, _number, round_, _id, _parent in commits:
        # A second commit of a round says how the job ended, and counts nobody.
        expected = 0 if round_ in seen else accepted.get(round_, 0)
        assert per_commit.get(sequence, 0) == expected or round_ == 0, f"round {round_}: metrics and table differ"
        seen.add(round_)
    return len(commits), counted


def read_tensors(path):
    """All values of a safetensors file, in the order of the file."""
    content = path.read_bytes()
    header = int.from_bytes(content[:8], "little")
    tensors = json.loads(content[8:8 + header])
    size = max(tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__")
    return numpy.frombuffer(content, dtype="<f4", count=size // 4, offset=8 + header).astype(numpy.float64)


def slot_payload(content):
    """The update in a slot's file, None where the slot is not whole."""
    header = content[:HEADER_BYTES]
    if header[:8] != b"FEDRAOBX" or hashlib.sha256(header[:120]).digest() != header[120:]:
        return None
    envelope_size, payload_size = int.from_bytes(header[72:80], "little"), int.from_bytes(header[80:88], "little")
    payload = content[PAYLOAD_AT:PAYLOAD_AT + payload_size]
    whole = hashlib.sha256(content[ENVELOPE_AT:ENVELOPE_AT + envelope_size] + payload).digest() == header[88:120]
    return payload if whole else None


def answers_of(run, parameters):
    """node -> the vector that it always answers, as it lies in one of its slots."""
    found = {}
    for folder in sorted((run.folder / "nodes").iterdir()):
        payloads = [slot_payload(path.read_bytes()) for path in sorted(folder.glob("slot-*"))]
        payload = next(payload for payload in payloads if payload is not None)
        found[folder.name] = numpy.frombuffer(payload, dtype="<f4", count=parameters).astype(numpy.float64)
    return found


def direction_weight(record):
    """What the momentum weighs that stood in for those who were late: a parameter of the signed record."""
    found = re.search(rb"stand_in_weight.{2}(\d+)", record, re.DOTALL)
    return int(found[1]) if found else 0


def check_models(run, momentum, parameters):
    """Computes every model again from the one before and the updates that the database counts for it; how many were late."""
    answers = answers_of(run, parameters)
    rates = {line["round"]: line["learning_rate"] for line in run.metrics()}
    with run.database() as database:
        commits = database.execute("SELECT sequence, round, model_file, record FROM commits ORDER BY sequence").fetchall()
        rows = database.execute("SELECT sequence, node, round, samples FROM counted").fetchall()
    stale = 0
    model = read_tensors(run.job / "models" / commits[0][2])
    moved = numpy.zeros(parameters)
    last = 0
    for sequence, round_, file, record in commits[1:]:
        if round_ == last:  # how the job ended: the same model again
            assert numpy.array_equal(read_tensors(run.job / "models" / file), model), f"round {round_} has two models"
            continue
        last = round_
        mean = numpy.zeros(parameters)
        weight = 0.0
        for _sequence, node, made_for, samples in (row for row in rows if row[0] == sequence):
            units = max(1, round(samples * 256 * (1 + round_ - made_for) ** -0.5))
            mean += units * answers[node.rsplit("/", 1)[1]]
            weight += units
            stale += made_for < round_
        mean /= weight
        late = direction_weight(record) if momentum else 0
        if late:
            warmth = 1 - momentum ** (round_ - 1)
            mean = (weight * mean + late * (1 - momentum) * moved / warmth) / (weight + late)
        moved = momentum * moved + mean
        model = model - rates[round_] * mean
        stored = read_tensors(run.job / "models" / file)
        worst = numpy.max(numpy.abs(stored - model))
        assert worst < 1e-4 * max(1.0, numpy.max(numpy.abs(model))), f"round {round_}: the model is {worst} off"
        model = stored
    return stale
