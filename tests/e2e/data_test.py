"""data_test.py - the same samples as IDX, CSV and safetensors files give the same models, bit for bit.

The first samples of Fashion-MNIST are written anew in each format, here, without a library: bytes for safetensors, and for
CSV the f32 nearest to byte / 255 in nine digits, which is what a batch of bytes becomes. Then other splits and the nodes'
held-out shares over a CSV file; and a malformed line, which must be named before any process starts.
"""
import array
import gzip
import json
import struct
import subprocess
from pathlib import Path

from federation import FEDRA, SCRATCH, TOP, Run, Tap

SOURCE = Path("/usr/share/datasets/fashion-mnist")
FOLDER = SCRATCH / "data"
FEATURES = 784
COUNTS = {"train": 900, "t10k": 200}
SETS = {"model.kind": "softmax", "model.hidden": "[]", "model.inputs": 0, "aggregation.k_threshold": 1.0,
        "aggregation.min_updates": 3, "convergence.max_rounds": 3, "train.local_epochs": 1, "validation.samples": 100}


def cut(name, count):
    """(images, labels) of the first samples, as bytes."""
    with gzip.open(SOURCE / f"{name}-images-idx3-ubyte.gz") as file:
        images = file.read(16 + count * FEATURES)[16:]
    with gzip.open(SOURCE / f"{name}-labels-idx1-ubyte.gz") as file:
        labels = file.read(8 + count)[8:]
    return images, labels


def write_idx(name, images, labels):
    count = len(labels)
    (FOLDER / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, 28, 28) + images)
    (FOLDER / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels)


def write_safetensors(name, images, labels):
    count = len(labels)
    data = images + struct.pack(f"<{count}q", *labels)
    header = json.dumps({"x": {"dtype": "U8", "shape": [count, 28, 28], "data_offsets": [0, len(images)]},
                         "y": {"dtype": "I64", "shape": [count], "data_offsets": [len(images), len(data)]}}).encode()
    header += b" " * (-len(header) % 8)
    (FOLDER / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)


def write_csv(name, images, labels):
    texts = [f"{array.array('f', [value / 255])[0]:.9g}" for value in range(256)]
    lines = [",".join(f"p{i}" for i in range(FEATURES)) + ",label"]
    for i, label in enumerate(labels):
        row = images[i * FEATURES:(i + 1) * FEATURES]
        lines.append(",".join(texts[value] for value in row) + f",{label}")
    (FOLDER / f"{name}.csv").write_text("\r\n".join(lines) + "\r\n")


def write_all():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, count in COUNTS.items():
        images, labels = cut(name, count)
        write_idx(name, images, labels)
        write_safetensors(name, images, labels)
        write_csv(name, images, labels)


def keys(kind):
    if kind == "idx":
        return {"data.format": "idx", "data.path": FOLDER}
    return {"data.format": kind, "data.path": FOLDER / f"train.{kind}", "data.test_path": FOLDER / f"t10k.{kind}"}


def outcome(kind, sets, options=()):
    """Digests of all versions, and the test accuracy, of a run over one format."""
    with Run(f"data-{kind}", 3, {**SETS, **keys(kind), **sets}, options=options) as run:
        assert run.wait(120) == 0, run.tail()
        assert not (run.folder / "data").exists(), "what was unpacked is left"
        return run.digests(), run.summary()["accuracy"]


def formats_give_the_same_models():
    expected = outcome("idx", {})
    assert len(expected[0]) == 3 and expected[1] > 0.3, expected
    for kind in ("safetensors", "csv"):
        assert outcome(kind, {}) == expected, f"{kind} gives another model than idx"
    # Here the nodes read the text; in processes of their own they have it read.
    assert outcome("csv", {}, ("--per-process", "3")) == expected, "csv in one process gives another model than idx"


def shards_and_held_out_shares_work_over_csv():
    sets = {"data.partition": "shards", "data.shards_per_node": 2, "validation.source": "nodes"}
    shards, _accuracy = outcome("csv", sets)
    assert len(shards) == 3
    iid, _accuracy = outcome("csv", {**sets, "data.partition": "iid"})
    assert iid != shards


def up(sets):
    command = [FEDRA, "up", str(TOP / "examples" / "fashion-mnist.yaml"), "--nodes", "3", "--run-dir", str(FOLDER / "never")]
    for key, value in {**SETS, **sets}.items():
        command += ["--set", f"{key}={value}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def a_malformed_line_is_named_and_nothing_starts():
    lines = (FOLDER / "train.csv").read_text().split("\n")
    fields = lines[416].split(",")
    fields[7] = "n/a"
    lines[416] = ",".join(fields)
    (FOLDER / "bad.csv").write_text("\n".join(lines))
    for sets in ({"data.path": FOLDER / "bad.csv"}, {"data.test_path": FOLDER / "bad.csv"}):
        done = up({**keys("csv"), **sets})
        assert done.returncode == 1, done
        assert f'{FOLDER}/bad.csv:417: column "p7" (index 7): "n/a" is not a finite decimal number' in done.stderr, done.stderr
        assert not (FOLDER / "never").exists()


def too_many_nodes_for_the_samples_are_named():
    done = up({**keys("csv"), "validation.samples": 890})
    assert done.returncode == 1 and "3 parts of at least 10 samples need 30; there are 10" in done.stderr, done.stderr


def main():
    tap = Tap()
    tap.case("the data is written in three formats", write_all)
    tap.case("formats give the same models", formats_give_the_same_models)
    tap.case("shards and held-out shares work over CSV", shards_and_held_out_shares_work_over_csv)
    tap.case("a malformed line is named and nothing starts", a_malformed_line_is_named_and_nothing_starts)
    tap.case("too many nodes for the samples are named", too_many_nodes_for_the_samples_are_named)
    tap.finish()


main()
