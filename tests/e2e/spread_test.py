"""spread_test.py - nodes that share a process, and nodes that are broken on purpose.

Goal: how nodes are spread over processes changes no model; a fault of one node is its own; slow nodes are slow, killed ones
come back and are counted again; outside `fedra up` no node can be told to be faulty.
Method: real runs with a fixed seed, compared by the digests of their models; logs and records of single nodes.
"""
import os
import re
import shutil
import signal
import subprocess
import time
from datetime import datetime
from pathlib import Path

from federation import FEDRA, SCRATCH, Run, Tap, few_images

ROUNDS = 6
NODES = 6
SETS = {**few_images(12000), "aggregation.k_threshold": "1.0", "convergence.max_rounds": ROUNDS, "train.local_epochs": 1,
        "validation.samples": 500, "data.evaluate_test_at_end": "false", "aggregation.timeout_s": 60,
        "train.batch_size": 20, "train.learning_rate": 0.05, "aggregation.start_nodes": NODES}
FLAT = {"model.kind": "flat", "model.hidden": "[]", "train.trainer": "fixed", "data.format": "none",
        "data.evaluate_test_at_end": "false", "validation.source": "none"}
digests = {}


def nodes_in_one_process_learn_the_same():
    for per_process, processes in ((1, 6), (4, 2), (6, 1)):
        with Run(f"spread-{per_process}", NODES, SETS, options=["--per-process", str(per_process)]) as run:
            run.wait_for_rounds(1, 30)
            nodes = [words for _pid, words in run.children() if words[1] == "node"]
            assert len(nodes) == processes, nodes
            assert sum(words.count("-c") for words in nodes) == NODES, nodes
            assert run.wait(200) == 0, run.tail()
            run.check_accounting()
            assert all(line["accepted"] == NODES for line in run.metrics())
            digests[per_process] = run.digests()
    assert len(digests[1]) == ROUNDS
    assert digests[1] == digests[4] == digests[6], "the spread over processes changed a model"


def a_killed_process_of_several_nodes_changes_no_model():
    with Run("spread-killed", NODES, SETS, options=["--per-process", "3"]) as run:
        run.wait_for_rounds(2, 30)
        assert run.kill("node", "node-005")
        assert run.wait(200) == 0, run.tail()
        run.check_accounting()
        assert run.digests() == digests[1]


def a_fault_of_one_node_is_its_own():
    """One of three nodes cannot use its folder: it ends with its reason, the other two finish the job."""
    with Run("spread-fault", 3, {**FLAT, "convergence.max_rounds": 1000000, "aggregation.min_updates": 2,
                                 "aggregation.start_timeout_s": 2, "aggregation.timeout_s": 2}, options=["--per-process", "3"]) as run:
        run.wait_for_rounds(2, 20)
        pid = run.pid("node", "node-002")
        folder = run.folder / "nodes" / "node-001"
        shutil.rmtree(folder)
        folder.write_text("no folder")
        rounds = run.rounds()
        os.kill(pid, signal.SIGKILL)  # at its next start the folder is not there
        run.wait_for_rounds(rounds + 5, 30)
        last = run.metrics()[-1]
        assert last["accepted"] == 2, last
        said = (run.folder / "logs" / "nodes-000-002.err").read_text()
        assert re.search(r"^fedra node: node-001: cannot start: .*nodes/node-001", said, re.M), said
        assert "node.fault" in run.log("node-001") and "node.fault" not in run.log("node-000"), said
        run.process.send_signal(signal.SIGINT)
        assert run.wait(15) == 130, run.tail()


def seconds_between(log, first, second):
    """Times from each event `first` to the next event `second`."""
    times, begun = [], None
    for line in log.splitlines():
        stamp, _level, event = line.split(" ", 3)[:3]
        at = datetime.fromisoformat(stamp).timestamp()
        if event == first:
            begun = at
        elif event == second and begun is not None:
            times.append(at - begun)
            begun = None
    return times


def slow_nodes_are_slow(per_process):
    name = f"slow-{per_process}"
    sets = {**SETS, "faults.slow.share": 0.34, "faults.slow.factor": 20, "convergence.max_rounds": 3, "data.partition": "iid"}
    with Run(name, NODES, sets, options=["--per-process", str(per_process)]) as run:
        assert run.wait(200) == 0, run.tail()
        pace = {}
        for node in range(NODES):
            log = run.log(f"node-{node:03d}")
            pace[node] = min(seconds_between(log, "round.training", "update.held"))
        shares = [re.search(r"slow:\n +share: (\S+)", (run.folder / "config" / f"node-{node:03d}.yaml").read_text())[1]
                  for node in range(NODES)]
        slow = [node for node in range(NODES) if shares[node] == "1"]
        assert len(slow) == 2, shares  # 0.34 of 6 is 2.04
        others = [pace[node] for node in range(NODES) if node not in slow]
        digests[name] = run.digests()
    assert digests.get("slow-1") == digests[name], "the spread over processes changed a model"
    print(f"# slow nodes took {[round(pace[node], 2) for node in slow]} s, the others at most {max(others):.2f} s")
    assert min(pace[node] for node in slow) > 2 * max(others), pace


def killed_nodes_come_back(per_process):
    name = f"killed-{per_process}"
    sets = {**FLAT, "faults.kill.share": 0.5, "faults.kill.after_rounds": 4, "faults.kill.down_s": 1.5,
            "convergence.max_rounds": 1000000, "aggregation.k_threshold": 0.5, "aggregation.min_updates": 1}
    with Run(name, 4, sets, options=["--per-process", str(per_process)]) as run:
        run.wait_for_rounds(4, 20)
        time.sleep(0.8)  # they are down now
        down = run.metrics()[-1]
        nodes = len([1 for _pid, words in run.children() if words[1] == "node"])
        assert nodes == (2 if per_process == 1 else 1), nodes
        time.sleep(1.5)  # and back
        rounds = run.rounds()
        run.wait_for_rounds(rounds + 20, 20)
        counted = run.receipts()
        run.process.send_signal(signal.SIGINT)
        assert run.wait(15) == 130, run.tail()
        killed = re.findall(r"child.killed name=(node-\d+) down_ms=1500", run.log("up"))
        if per_process > 1:
            killed = [f"node-{node:03d}" for node in range(4) if "fault.killed round=5" in run.log(f"node-{node:03d}")]
        assert len(set(killed)) == len(killed) == 2, killed
        for node in killed:
            seen = [line[1] for line in counted[node] if line[3] == "COUNTED"]
            assert seen and max(seen) > down["round"], (node, seen[-3:], down)
        run.check_accounting()


def which_nodes_are_faulty_depends_on_the_seed():
    found = []
    for seed in (1, 1, 2):
        with Run("drawn", 20, {**FLAT, "faults.slow.share": 0.25, "convergence.max_rounds": 1}, seed=seed) as run:
            assert run.wait(60) == 0, run.tail()
            found.append([path.name for path in sorted((run.folder / "config").glob("node-*.yaml"))
                          if re.search(r"slow:\n +share: 1\n", path.read_text())])
    assert len(found[0]) == 5 and found[0] == found[1] != found[2], found


def nobody_else_takes_faults():
    with Run("refused", 10, {**FLAT, "faults.slow.share": 0.1, "faults.kill.share": 0.05, "convergence.max_rounds": 1},
             options=["--per-process", "2"]) as run:
        assert run.wait(60) == 0, run.tail()
        slow = [path for path in (run.folder / "config").glob("node-*.yaml") if re.search(r"slow:\n +share: 1\n", path.read_text())]
        assert len(slow) == 1, slow  # and 0.05 of 10 is nobody
    config = slow[0].read_text()
    line = config[:config.index("slow:\n")].count("\n") + 2
    for environment in ({}, {"FEDRA_UP_PID": str(os.getpid() + 1)}):
        done = subprocess.run([FEDRA, "node", "-c", str(slow[0])], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=20, env={**os.environ, **environment})
        assert done.returncode == 2, (done.returncode, done.stderr)
        assert f"{slow[0]}:{line}: faults.slow.share: " in done.stderr and "fedra up" in done.stderr, done.stderr


def mistakes_in_the_second_configuration_are_named():
    good = SCRATCH / "refused" / "config" / "node-000.yaml"
    bad = SCRATCH / "bad.yaml"
    bad.write_text(re.sub(r"^train:\n((?:  .*\n)*?)  batch_size: \d+$", r"train:\n\1  batch_size: 0", good.read_text(), flags=re.M))
    done = subprocess.run([FEDRA, "node", "-c", str(good), "-c", str(bad)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=20)
    assert done.returncode == 2 and f"{bad}:" in done.stderr and "train.batch_size" in done.stderr, done.stderr
    done = subprocess.run([FEDRA, "up", str(good), "--per-process", "0"], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=20)
    assert done.returncode == 2 and "--per-process" in done.stderr, done.stderr
    done = subprocess.run([FEDRA, "coordinator", "-c", str(good), "-c", str(good)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=20)
    assert done.returncode == 2, done.stderr


def main():
    tap = Tap()
    tap.case("nodes_in_one_process_learn_the_same", nodes_in_one_process_learn_the_same)
    tap.case("a_killed_process_of_several_nodes_changes_no_model", a_killed_process_of_several_nodes_changes_no_model)
    tap.case("a_fault_of_one_node_is_its_own", a_fault_of_one_node_is_its_own)
    for per_process in (1, 3):
        tap.case(f"slow_nodes_are_slow_{per_process}_a_process", slow_nodes_are_slow, per_process)
    for per_process in (1, 4):
        tap.case(f"killed_nodes_come_back_{per_process}_a_process", killed_nodes_come_back, per_process)
    tap.case("which_nodes_are_faulty_depends_on_the_seed", which_nodes_are_faulty_depends_on_the_seed)
    tap.case("nobody_else_takes_faults", nobody_else_takes_faults)
    tap.case("mistakes_in_the_second_configuration_are_named", mistakes_in_the_second_configuration_are_named)
    tap.finish()


main()
