"""trainers_test.py - nodes whose trainers are programs: the examples learn, and no program harms its node.

Goal: each example does what it says where its packages are installed; a program that is killed, crashes or hangs costs
its node one task at most, never the node; nothing of it outlives the node; `fedra trainer check` tells good from bad.
Method: real runs; kills by process id. The seed of the random instants is printed; FEDRA_TEST_SEED repeats it.
"""
import gzip
import importlib.util
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

from federation import FEDRA, SCRATCH, TOP, Run, Tap

SEED = int(os.environ.get("FEDRA_TEST_SEED", time.time_ns() % 1000000))
DATA = Path("/usr/share/datasets/fashion-mnist")
BAD = TOP / "tests" / "unit" / "train" / "bad_trainer.py"
SMALL_SAMPLES = 3000
KILLS = 16


def missing(*modules):
    """Says what a case lacks; it is then skipped."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            print(f"# skipped: Python's {module} is not installed")
            return True
    return False


def children_of(pid):
    """Of all threads: the kernel lists them by the thread that made them."""
    found = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in listing.read_text().split()]
        except OSError:
            pass  # it has ended meanwhile
    return found


def trainer_pids(run, name):
    """The processes of a node's trainer: the children of its keeper."""
    node = run.pid("node", name)
    return [pid for keeper in children_of(node) for pid in children_of(keeper)] if node else []


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, what, timeout_s=30):
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found


def small_data():
    """The first training samples of Fashion-MNIST only, and all test samples, in a folder of their own."""
    folder = SCRATCH / "small-data"
    folder.mkdir(parents=True, exist_ok=True)
    for name, head in (("images-idx3-ubyte", 16), ("labels-idx1-ubyte", 8)):
        with gzip.open(DATA / f"train-{name}.gz") as file:
            begin = file.read(head)
            size = 784 if head == 16 else 1
            body = file.read(SMALL_SAMPLES * size)
        (folder / f"train-{name}").write_bytes(begin[:4] + struct.pack(">I", SMALL_SAMPLES) + begin[8:] + body)
        with gzip.open(DATA / f"t10k-{name}.gz") as file:
            (folder / f"t10k-{name}").write_bytes(file.read())
    return folder


# ---- the examples ----

def the_script_copies():
    with Run("copy", 3, {}, example="copy") as run:
        assert run.wait(60) == 0, run.tail()
        assert run.rounds() == 3
        run.check_accounting()
        assert 'trainer.ready name=copy' in run.log("node-001"), run.log("node-001")


def numpy_learns():
    if missing("numpy", "safetensors"):
        return
    with Run("numpy", 4, {"convergence.max_rounds": 5, "aggregation.min_updates": 2}, example="numpy-softmax") as run:
        assert run.wait(120) == 0, run.tail()
        assert run.summary()["accuracy"] > 0.75, run.summary()


def pytorch_learns():
    if missing("torch", "safetensors"):
        return
    sets = {"convergence.max_rounds": 4, "aggregation.min_updates": 2, "data.path": small_data()}
    with Run("pytorch", 3, sets, example="pytorch-cnn") as run:
        assert run.wait(400) == 0, run.tail()
        told = [line["accuracy"] for line in run.metrics()]
        assert told[0] < 0.2 and told[-1] > 0.6, told  # of the model received, by the nodes
        program = [str(TOP / "examples" / "trainers" / "pytorch_cnn.py"), "evaluate",
                   str(run.folder / "model.safetensors"), str(small_data())]
        said = subprocess.run(["python3", *program], capture_output=True, text=True, timeout=200, check=True).stderr
        assert float(re.search(r"accuracy ([0-9.]+)", said)[1]) > 0.6, said


def the_page_shows_a_trainer_that_works():
    if missing("numpy", "safetensors"):
        return
    folder = SCRATCH / "page"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    page = (TOP / "docs" / "trainer.md").read_text()
    (folder / "my_trainer.py").write_text(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1])
    initial = re.search(r"`(save_file\(.*?\))`", page)[1]
    subprocess.run(["python3", "-c", f"import numpy as np\nfrom safetensors.numpy import save_file\n{initial}"],
                   cwd=folder, timeout=60, check=True)
    command = re.search(r"    fedra trainer check (.*)", page)[1]
    done = subprocess.run(f"'{FEDRA}' trainer check {command}", shell=True, capture_output=True, text=True, cwd=folder, timeout=120)
    assert done.returncode == 0 and "1000 samples" in done.stdout, (done.stdout, done.stderr)
    yaml = re.search(r"    (schema: 1\n    model: .*?\n    train: .*?\n)", page)[1].replace("\n    ", "\n")
    (folder / "job.yaml").write_text(yaml)
    done = subprocess.run([FEDRA, "up", "job.yaml", "--nodes", "3", "--run-dir", "run", "--set", "convergence.max_rounds=20",
                           "--set", "server.listen=127.0.0.1:0", "--set", "train.learning_rate=0.5"],
                          capture_output=True, text=True, cwd=folder, timeout=120)
    assert done.returncode == 0, (done.stdout, done.stderr)
    tensors = (folder / "run" / "model.safetensors").read_bytes()
    weight = struct.unpack("<2f", tensors[-8:])
    assert abs(weight[0] - 2) < 0.01 and abs(weight[1] + 3) < 0.01, weight


# ---- what programs do to nodes ----

def bad_sets(mode, name, **more):
    marker = SCRATCH / f"{name}.marker"
    for path in SCRATCH.glob(f"{name}.marker*"):
        path.unlink()
    return {"train.command": f"exec python3 {BAD} {mode} {marker}", "aggregation.timeout_s": 20, **more}


def killed_trainers_cost_no_node(chance):
    sets = {"convergence.max_rounds": 1000000, "convergence.gradient_threshold": 0}
    with Run("killed-trainers", 4, sets, example="copy") as run:
        run.wait_for_rounds(1, 60)
        for _ in range(KILLS):
            name = f"node-{chance.randrange(4):03d}"
            for pid in wait_until(lambda: trainer_pids(run, name), f"{name} has no trainer"):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(chance.uniform(0, 0.3))
        run.wait_for_rounds(run.rounds() + 2, 90)
        run.process.send_signal(signal.SIGINT)
        assert run.wait(30) == 130, run.tail()
        run.check_accounting()
        logs = [run.log(f"node-{i:03d}") for i in range(4)]
        starts = sum(log.count("trainer.ready") for log in logs)
        seen = sum(log.count("was killed by signal 9") for log in logs)
        print(f"# {KILLS} kills in {run.rounds()} rounds: {starts} starts of trainers, {seen} deaths told")
        assert starts > 8 and seen > 4, "hardly any kill hit"
        assert run.log("up").count("child.started name=node") == 4, "a node was started again"


def pytorch_survives_killed_trainers(chance):
    """The example whole, with twenty nodes: 0.90 on the test images although trainers are killed all the time."""
    if missing("torch", "safetensors"):
        return
    with Run("pytorch-killed", 20, {}, example="pytorch-cnn") as run:
        run.wait_for_rounds(1, 900)
        kills = 0
        while run.process.poll() is None:
            for pid in trainer_pids(run, f"node-{chance.randrange(20):03d}"):
                try:
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
                except ProcessLookupError:
                    pass
            time.sleep(chance.uniform(5, 25))
        assert run.wait(60) == 0, run.tail()
        run.check_accounting()
        program = [str(TOP / "examples" / "trainers" / "pytorch_cnn.py"), "evaluate",
                   str(run.folder / "model.safetensors"), str(DATA)]
        said = subprocess.run(["python3", *program], capture_output=True, text=True, timeout=600, check=True).stderr
        accuracy = float(re.search(r"accuracy ([0-9.]+)", said)[1])
        print(f"# {kills} kills in {run.rounds()} rounds; accuracy {accuracy}")
        assert kills > 20, "hardly anybody was killed"
        assert accuracy >= 0.90, accuracy


def a_trainer_that_always_crashes_costs_its_own_node_only():
    sets = {"train.command": "case $FEDRA_PART in 0) exit 3 ;; *) exec examples/trainers/copy.sh ;; esac",
            "aggregation.k_threshold": 0.6, "convergence.max_rounds": 5, "convergence.gradient_threshold": 0}
    with Run("crashing", 3, sets, example="copy") as run:
        run.wait_for_rounds(1, 30)
        assert run.wait(60) == 0, run.tail()
        assert run.rounds() == 5
        log = run.log("node-000")
        assert log.count("node.fault") == 0 and "job.finished" in log, log[-600:]
        assert 'text="the trainer ended with exit code 3 before it was ready"' in log, log[-600:]
        assert run.log("up").count("child.started name=node-000") == 1


def a_hung_trainer_does_not_hold_up_the_end():
    sets = bad_sets("hang", "hung", **{"aggregation.k_threshold": 0.6, "convergence.max_rounds": 3,
                                       "convergence.gradient_threshold": 0})
    sets["train.command"] = f"case $FEDRA_PART in 0) {sets['train.command']} ;; *) exec examples/trainers/copy.sh ;; esac"
    with Run("hung", 3, sets, example="copy") as run:
        begun = time.monotonic()
        assert run.wait(60) == 0, run.tail()
        assert time.monotonic() - begun < 30
        assert "job.finished" in run.log("node-000"), run.log("node-000")[-600:]


def a_killed_node_leaves_no_trainer_and_comes_back():
    sets = {"convergence.max_rounds": 1000000, "convergence.gradient_threshold": 0}
    with Run("killed-node", 3, sets, example="copy") as run:
        run.wait_for_rounds(2, 30)
        before = wait_until(lambda: trainer_pids(run, "node-001"), "it has no trainer")
        assert run.kill("node", "node-001")
        wait_until(lambda: not any(alive(pid) for pid in before), "its trainer lives on")
        rounds = run.rounds()
        run.wait_for_rounds(rounds + 2, 30)
        others = wait_until(lambda: trainer_pids(run, "node-001"), "it did not come back")
        run.process.kill()
        wait_until(lambda: not any(alive(pid) for pid in others), "a trainer outlives the run")


# ---- fedra trainer check ----

def check_tells_good_from_bad():
    marker = SCRATCH / "check.marker"
    bad = f"exec python3 {BAD}"
    for arguments, code, text in (
            (["examples/trainers/copy.sh"], 0, "the trainer is good"),
            (["-c", "examples/copy.yaml"], 0, "the trainer is good"),
            (["echo hello"], 1, "WRONG  start    the trainer answered a line that is not JSON: 'hello'"),
            (["exit 3"], 1, "WRONG  start    the trainer ended with exit code 3 before it was ready"),
            ([f"{bad} samples_0 {marker}"], 1, "WRONG  task 1   the trainer's samples is 0, a whole number from 1 to"),
            ([f"{bad} hang {marker}", "-t", "1"], 1, "WRONG  task 1   the trainer took more than 1 s"),
            ([f"{bad} dies_between {marker}"], 1, "WRONG  task 2   the trainer ended with exit code 6 between two tasks"),
            ([f"{bad} good {marker}", "--set", "limits.update_norm_max=1e-3"], 1, "(limits.update_norm_max) is accepted"),
            (["examples/trainers/copy.sh", "--set", "validation.source=nodes"], 1, "holdout_accuracy are wanted in trained"),
            (["cat", "--model", "/nowhere.safetensors"], 1, "model.path: /nowhere.safetensors"),
            ([], 2, "train.command"),
            (["a", "b"], 2, "an argument too many"),
    ):
        for path in SCRATCH.glob("check.marker*"):
            path.unlink()
        done = subprocess.run([FEDRA, "trainer", "check", *arguments], capture_output=True, text=True, cwd=TOP,
                              stdin=subprocess.DEVNULL, timeout=60)
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        assert text in done.stdout + done.stderr, (arguments, done.stdout, done.stderr)


def nobody_keeps_by_hand():
    done = subprocess.run([FEDRA, "trainer", "keep"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and "not by hand" in done.stderr, done.stderr


def main():
    chance = random.Random(SEED)
    tap = Tap()
    SCRATCH.mkdir(parents=True, exist_ok=True)
    print(f"# FEDRA_TEST_SEED={SEED}")
    if "soak" in sys.argv[1:]:
        tap.case("pytorch_survives_killed_trainers", pytorch_survives_killed_trainers, chance)
        tap.finish()
        return
    tap.case("the_script_copies", the_script_copies)
    tap.case("numpy_learns", numpy_learns)
    tap.case("pytorch_learns", pytorch_learns)
    tap.case("the_page_shows_a_trainer_that_works", the_page_shows_a_trainer_that_works)
    tap.case("killed_trainers_cost_no_node", killed_trainers_cost_no_node, chance)
    tap.case("a_trainer_that_always_crashes_costs_its_own_node_only", a_trainer_that_always_crashes_costs_its_own_node_only)
    tap.case("a_hung_trainer_does_not_hold_up_the_end", a_hung_trainer_does_not_hold_up_the_end)
    tap.case("a_killed_node_leaves_no_trainer_and_comes_back", a_killed_node_leaves_no_trainer_and_comes_back)
    tap.case("check_tells_good_from_bad", check_tells_good_from_bad)
    tap.case("nobody_keeps_by_hand", nobody_keeps_by_hand)
    tap.finish()


main()
