"""up_test.py - what `fedra up` promises to whoever starts it: exit codes, processes, files.

Goal: a run ends cleanly in every way it can end, and leaves what the documentation says.
Method: real runs of a small job, looked at from outside.
"""
import json
import os
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

from federation import FEDRA, SCRATCH, TOP, Run, Tap

SMALL = {"model.kind": "flat", "model.hidden": "[]", "train.trainer": "fixed", "data.format": "none",
         "data.evaluate_test_at_end": "false", "validation.source": "none"}
PARTS = ("announce_ms", "collect_ms", "aggregate_ms", "validate_ms", "persist_ms")
METRICS = {"round", "version", "selected", "accepted", "late", "refused", "loss", "accuracy", "round_ms", "bytes_in",
           "bytes_out", "rss_bytes", "model_digest", "accepted_late", "stand_ins", "learning_rate", "aggregate_norm", *PARTS}
SUMMARY = {"outcome", "reason", "rounds", "best_round", "accuracy", "loss", "central_accuracy", "nodes", "bytes_in", "bytes_out", "seconds"}


def gone(pids, timeout_s=3):
    end = time.monotonic() + timeout_s
    left = pids
    while left and time.monotonic() < end:
        left = [pid for pid in left if Path(f"/proc/{pid}/exe").exists()]
        time.sleep(0.02)
    assert not left, f"still there: {left}"


def a_whole_run_leaves_what_is_documented():
    with Run("whole", 4, {"convergence.max_rounds": 2, "train.local_epochs": 1, "aggregation.k_threshold": "1.0",
                          "central.epochs": 1}, options=["--label", "word"]) as run:
        run.wait_for_rounds(1, 30)
        unpacked = run.folder / "data" / "train-images-idx3-ubyte"
        assert unpacked.stat().st_size == 16 + 60000 * 784, "the nodes share what is unpacked once"
        assert run.wait(60) == 0, run.tail()
        assert not (run.folder / "data").exists(), "47 MB are left"
        assert set(run.summary()) == SUMMARY, run.summary()
        summary = run.summary()
        assert summary["outcome"] == "exhausted" and summary["rounds"] == 2 and summary["nodes"] == 4, summary
        assert 0.5 < summary["accuracy"] < 1, summary
        central = json.loads((run.folder / "central.json").read_text())
        assert central["accuracy"] == summary["central_accuracy"] and 0.7 < central["accuracy"] < 1, (central, summary)
        assert central["samples"] == 55000 and central["epochs"] == 1, central  # what the nodes hold
        assert run.tail().splitlines()[-1] == (
            f"word: outcome=exhausted accuracy={summary['accuracy']:.4f} central={central['accuracy']:.4f} rounds=2 nodes=4 "
            f"seconds={summary['seconds']:.0f}"), run.tail()
        lines = run.metrics()
        assert [line["round"] for line in lines] == [1, 2] and [line["version"] for line in lines] == [1, 2]
        assert all(set(line) == METRICS for line in lines), lines[0]
        for line in lines:
            assert all(line[part] > 0 for part in PARTS), line
            assert abs(sum(line[part] for part in PARTS) - line["round_ms"]) < 0.01, line
            assert line["bytes_in"] > 4 * 400000 < line["bytes_out"], line
        assert summary["bytes_in"] >= sum(line["bytes_in"] for line in lines), summary
        assert summary["bytes_out"] >= sum(line["bytes_out"] for line in lines), summary
        assert (run.folder / "model.safetensors").stat().st_size > 400000
        files = [path.name for path in (run.folder / "models").glob("*.safetensors")]
        states = [name for name in files if name.endswith(".state.safetensors")]
        assert len(files) - len(states) == 3, f"a model a version, and the first: {files}"
        assert not states, f"FedAvg has no state: {files}"
        for key in list(run.folder.glob("identity/*/*.key")) + list(run.folder.glob("authority/*.key")):
            assert stat.S_IMODE(key.stat().st_mode) == 0o600, key
        logs = "".join(path.read_text() for path in run.folder.glob("logs/*"))
        assert "PRIVATE" not in logs
        with run.database() as database:
            assert database.execute("SELECT COUNT(*) FROM counted").fetchone()[0] == 8


def python_reads_the_model():
    try:
        from safetensors.numpy import load_file
    except ImportError:
        print("# skipped: python3-safetensors is not installed")
        return
    tensors = load_file(str(SCRATCH / "whole" / "model.safetensors"))
    assert tensors["layer0.weight"].shape == (128, 784) and tensors["layer1.bias"].shape == (10,)


def children_show_their_role_and_all_die_with_up():
    with Run("orphans", 3, {**SMALL, "convergence.max_rounds": 1000000}) as run:
        run.wait_for_rounds(2, 20)
        children = run.children()
        roles = sorted(words[1] for _pid, words in children)
        assert roles == ["ca", "coordinator", "node", "node", "node"], roles
        assert all(words[0].endswith(Path(FEDRA).name) for _pid, words in children)
        run.process.kill()
        gone([pid for pid, _words in children])


def ctrl_c_ends_the_job_cleanly():
    with Run("interrupted", 3, {**SMALL, "convergence.max_rounds": 1000000}) as run:
        run.wait_for_rounds(3, 20)
        children = [pid for pid, _words in run.children()]
        run.process.send_signal(signal.SIGINT)
        assert run.wait(15) == 130, run.tail()
        gone(children)
        assert run.summary()["outcome"] == "cancelled"
        assert run.summary()["rounds"] == run.rounds()
        run.check_accounting()


def a_node_that_is_told_to_stop_comes_back():
    with Run("stopped", 3, {**SMALL, "convergence.max_rounds": 1000000}) as run:
        run.wait_for_rounds(2, 20)
        before = run.pid("node", "node-001")
        os.kill(before, signal.SIGTERM)
        end = time.monotonic() + 5
        while run.pid("node", "node-001") in (None, before):
            assert time.monotonic() < end, "it was not started again"
            time.sleep(0.02)


def an_authority_that_is_told_to_stop_comes_back():
    with Run("authority", 3, {**SMALL, "convergence.max_rounds": 1000000}) as run:
        run.wait_for_rounds(2, 20)
        before = run.pid("ca")
        while "listens" not in run.log("authority"):
            time.sleep(0.02)
        os.kill(before, signal.SIGTERM)
        end = time.monotonic() + 5
        while run.pid("ca") in (None, before):
            assert time.monotonic() < end, "it was not started again"
            time.sleep(0.02)
        while run.log("authority").count("listens") < 2:
            assert time.monotonic() < end, "it does not listen again"
            time.sleep(0.02)
        addresses = {line.rsplit(" ", 1)[1] for line in run.log("authority").splitlines() if "listens" in line}
        assert len(addresses) == 1, f"the others know one address of it: {addresses}"


def a_job_that_somebody_else_cancels_is_no_success():
    with Run("cancelled", 3, {**SMALL, "convergence.max_rounds": 1000000}) as run:
        run.wait_for_rounds(2, 20)
        children = [pid for pid, _words in run.children()]
        os.kill(run.pid("coordinator"), signal.SIGTERM)
        assert run.wait(15) == 1, run.tail()
        gone(children)
        assert run.summary()["outcome"] == "cancelled"


def ctrl_c_at_the_very_start_leaves_nothing():
    with Run("early", 3, {**SMALL, "convergence.max_rounds": 1000000}) as run:
        end = time.monotonic() + 20
        while len(run.children()) < 5:
            assert time.monotonic() < end, run.tail()
            time.sleep(0.002)
        children = [pid for pid, _words in run.children()]
        run.process.send_signal(signal.SIGINT)
        run.process.send_signal(signal.SIGINT)  # as timeout(1) does: to the process and to its group
        assert run.wait(15) == 130, run.tail()
        gone(children)


def comparing(run, timeout_s=30):
    end = time.monotonic() + timeout_s
    while run.pid("central") is None:
        assert time.monotonic() < end and run.process.poll() is None, run.tail()
        time.sleep(0.01)
    return run.pid("central")


def ctrl_c_ends_the_comparison_and_keeps_the_summary():
    with Run("compared", 2, {"convergence.max_rounds": 1, "train.local_epochs": 1, "central.epochs": 10000}) as run:
        child = comparing(run)
        assert [words[1] for _pid, words in run.children()] == ["central"], "it begins when all others have ended"
        run.process.send_signal(signal.SIGINT)
        assert run.wait(5) == 130, run.tail()
        gone([child])
        assert run.summary()["outcome"] == "exhausted" and run.summary()["central_accuracy"] is None, run.summary()


def a_comparison_that_fails_is_said_and_keeps_the_summary():
    with Run("uncompared", 2, {"convergence.max_rounds": 1, "train.local_epochs": 1, "central.epochs": 10000}) as run:
        os.kill(comparing(run), signal.SIGKILL)
        assert run.wait(5) == 1, run.tail()
        assert "could not be trained centrally" in run.tail() and "exhausted after 1 rounds" in run.tail(), run.tail()
        assert run.summary()["central_accuracy"] is None, run.summary()


def central_training_is_a_command_of_its_own():
    example = str(TOP / "examples" / "fashion-mnist.yaml")
    for arguments, code, text in (([], 2, "-c FILE"), (["-c", example, "--set", "central.epochs=0"], 2, "central.epochs"),
                                  (["-c", example, "--set", "central.epochs=1", "--set", "data.path=/nowhere"], 1, "/nowhere")):
        done = subprocess.run([FEDRA, "central", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)
        assert done.returncode == code and text in done.stderr, (arguments, done.returncode, done.stderr)


def a_coordinator_that_cannot_start_ends_the_run_with_its_last_words():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Run("taken", 2, {**SMALL, "server.listen": f"127.0.0.1:{port}"}) as run:
            assert run.wait(40) == 1, run.tail()
            lines = [line for line in run.tail().splitlines() if line.startswith("fedra up: ")]
            assert "coordinator" in lines[0] and f"{run.folder}/logs/coordinator.log" in lines[0], lines
            assert len(lines) == 2 and str(port) in lines[1] and "cannot listen" in lines[1], lines


def a_changed_bit_of_the_optimisers_state_is_never_learnt_on_from():
    with Run("flipped", 2, {**SMALL, "convergence.max_rounds": 1000000, "optimiser.kind": "momentum"}) as run:
        run.wait_for_rounds(2, 20)
        coordinator = run.pid("coordinator")
        os.kill(coordinator, signal.SIGSTOP)
        with run.database() as database:
            name = database.execute("SELECT state_file FROM state").fetchone()[0]
        path = next(run.folder.rglob(name))
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        rounds = run.rounds()
        os.kill(coordinator, signal.SIGKILL)
        assert run.wait(40) == 1, run.tail()
        assert "stored optimiser's state of version" in run.tail() and "is not the one that was committed" in run.tail(), run.tail()
        assert run.rounds() == rounds, "it went on"


def mistakes_are_answered_with_a_code_and_a_reason():
    example = str(TOP / "examples" / "fashion-mnist.yaml")
    full = SCRATCH / "full"
    full.mkdir(parents=True, exist_ok=True)
    (full / "something").write_text("here")
    for arguments, code, text in (
            (["up"], 2, "up FILE"),
            (["up", "/nowhere.yaml"], 2, "/nowhere.yaml"),
            (["up", example, "--set", "aggregation.k_treshold=1"], 2, "k_threshold"),
            (["up", example, "--nodes", "0"], 2, "--nodes"),
            (["up", example, "--run-dir", str(full)], 1, "not empty"),
            (["coordinator"], 2, "-c FILE"),
            (["node", "-c", example], 2, "node.name"),
    ):
        done = subprocess.run([FEDRA, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)
        assert done.returncode == code, (arguments, done.returncode, done.stderr)
        assert text in done.stderr, (arguments, done.stderr)
    assert (full / "something").read_text() == "here"


def main():
    tap = Tap()
    tap.case("a_whole_run_leaves_what_is_documented", a_whole_run_leaves_what_is_documented)
    tap.case("python_reads_the_model", python_reads_the_model)
    tap.case("children_show_their_role_and_all_die_with_up", children_show_their_role_and_all_die_with_up)
    tap.case("ctrl_c_ends_the_job_cleanly", ctrl_c_ends_the_job_cleanly)
    tap.case("a_node_that_is_told_to_stop_comes_back", a_node_that_is_told_to_stop_comes_back)
    tap.case("an_authority_that_is_told_to_stop_comes_back", an_authority_that_is_told_to_stop_comes_back)
    tap.case("a_job_that_somebody_else_cancels_is_no_success", a_job_that_somebody_else_cancels_is_no_success)
    tap.case("ctrl_c_at_the_very_start_leaves_nothing", ctrl_c_at_the_very_start_leaves_nothing)
    tap.case("ctrl_c_ends_the_comparison_and_keeps_the_summary", ctrl_c_ends_the_comparison_and_keeps_the_summary)
    tap.case("a_comparison_that_fails_is_said_and_keeps_the_summary", a_comparison_that_fails_is_said_and_keeps_the_summary)
    tap.case("central_training_is_a_command_of_its_own", central_training_is_a_command_of_its_own)
    tap.case("a_coordinator_that_cannot_start_ends_the_run_with_its_last_words",
             a_coordinator_that_cannot_start_ends_the_run_with_its_last_words)
    tap.case("a_changed_bit_of_the_optimisers_state_is_never_learnt_on_from",
             a_changed_bit_of_the_optimisers_state_is_never_learnt_on_from)
    tap.case("mistakes_are_answered_with_a_code_and_a_reason", mistakes_are_answered_with_a_code_and_a_reason)
    tap.finish()


main()
