"""resume_test.py - `fedra up --resume`: a run that was killed or interrupted goes on as if nothing had happened.

Goal: with k_threshold 1.0 and a fixed seed every round's model is that of a run that nobody disturbed; what was committed stays;
a job that has ended stays ended; folders that are no runs are refused with the reason.
Method: real runs, killed with all their processes, compared by the digests of their models.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from federation import FEDRA, SCRATCH, TOP, Run, Tap, few_images

ROUNDS = 12
NODES = 4
SETS = {**few_images(6000), "aggregation.k_threshold": "1.0", "convergence.max_rounds": ROUNDS, "train.local_epochs": 1,
        "validation.samples": 500, "data.evaluate_test_at_end": "false", "aggregation.timeout_s": 60,
        "train.batch_size": 2, "train.learning_rate": 0.02}
FLAT = {"model.kind": "flat", "model.hidden": "[]", "train.trainer": "fixed", "data.format": "none",
        "data.evaluate_test_at_end": "false", "validation.source": "none"}
undisturbed = {}


class Resumed(Run):
    """`fedra up --resume` of a run that has ended one way or another."""

    def __init__(self, run, folder=None, options=()):
        self.folder = folder or run.folder
        self.output = open(SCRATCH / f"{self.folder.name}.out", "w")
        self.process = subprocess.Popen([FEDRA, "up", "--resume", "--run-dir", str(self.folder), *options], stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=subprocess.STDOUT, cwd=TOP)
        self.job = self.folder / "jobs" / run.job.name


def kill_all(run):
    children = [pid for pid, _words in run.children()]
    run.process.kill()
    run.process.wait()
    return children


def check_whole(run):
    lines = run.metrics()
    assert [line["round"] for line in lines] == list(range(1, ROUNDS + 1)), [line["round"] for line in lines]
    assert run.digests() == undisturbed["digests"], "going on changed a model"
    summary = run.summary()
    assert summary["outcome"] == "exhausted" and summary["rounds"] == ROUNDS and summary["nodes"] == NODES, summary
    assert summary["bytes_in"] >= sum(line["bytes_in"] for line in lines), summary
    run.check_accounting()


def nobody_disturbs():
    with Run("resume-never", NODES, SETS) as run:
        assert run.wait(150) == 0, run.tail()
        undisturbed["digests"] = run.digests()
        assert len(undisturbed["digests"]) == ROUNDS


def a_killed_run_goes_on(per_process):
    with Run(f"resume-killed-{per_process}", NODES, SETS, options=["--per-process", str(per_process)]) as run:
        again = run
        certificate = None
        for rounds in (2, 5, 9):
            again.wait_for_rounds(rounds, 90)
            before = (run.folder / "metrics.jsonl").read_bytes()
            now = (run.folder / "identity" / "node-001" / "svid.pem").read_bytes()
            assert certificate in (None, now), "a good identity was replaced"
            certificate = now
            kill_all(again)
            again = Resumed(run)
        with again:
            assert again.wait(150) == 0, again.tail()
            assert re.match(rf"{NODES} nodes, after \d+ of up to {ROUNDS} rounds; the run's folder is ", again.tail()), again.tail()
            assert (run.folder / "metrics.jsonl").read_bytes().startswith(before), "a committed round's line changed"
            check_whole(again)


def an_interrupted_run_goes_on():
    with Run("resume-interrupted", NODES, SETS) as run:
        again = run
        for rounds in (3, 6):
            again.wait_for_rounds(rounds, 90)
            again.process.send_signal(signal.SIGINT)
            assert again.wait(20) == 130, again.tail()
            assert f"fedra up --resume --run-dir {run.folder}" in again.tail(), again.tail()
            assert run.summary()["outcome"] == "cancelled"
            again = Resumed(run)
        with again:
            assert again.wait(150) == 0, again.tail()
            assert not (run.folder / "interrupted").exists()
            check_whole(again)


def an_interrupted_run_that_was_killed_before_its_end_goes_on():
    """The first Ctrl-C cancels the job, the second kills what is left; then the outcome may stand in the store, without summary."""
    with Run("resume-cut", NODES, SETS) as run:
        run.wait_for_rounds(2, 90)
        run.process.send_signal(signal.SIGINT)
        assert run.wait(20) == 130, run.tail()
        (run.folder / "summary.json").unlink()
        with Resumed(run) as again:
            assert again.wait(150) == 0, again.tail()
            check_whole(again)


def a_job_that_has_ended_says_so():
    run = Run("resume-ended", 2, {**FLAT, "convergence.max_rounds": 3})
    with run:
        assert run.wait(30) == 0, run.tail()
    summary = (run.folder / "summary.json").read_bytes()
    with Resumed(run, options=["--label", "again"]) as again:
        assert again.wait(10) == 0, again.tail()
        assert "the job has ended already" in again.tail(), again.tail()
        assert re.search(r"^again: outcome=exhausted accuracy=none central=none rounds=3 nodes=2 seconds=\d+$", again.tail(), re.M), again.tail()
    assert (run.folder / "summary.json").read_bytes() == summary


def a_job_that_an_operator_cancelled_has_ended():
    with Run("resume-cancelled", 2, {**FLAT, "convergence.max_rounds": 1000000}) as run:
        run.wait_for_rounds(2, 20)
        os.kill(run.pid("coordinator"), signal.SIGTERM)
        assert run.wait(15) == 1, run.tail()
        rounds = run.rounds()
        with Resumed(run) as again:
            assert again.wait(10) == 0, again.tail()
            assert "has ended already" in again.tail() and "cancelled after" in again.tail(), again.tail()
            assert run.rounds() == rounds


def a_folder_can_be_moved():
    with Run("resume-there", NODES, SETS) as run:
        run.wait_for_rounds(2, 90)
        kill_all(run)
        moved = SCRATCH / "resume-moved"
        shutil.rmtree(moved, ignore_errors=True)
        run.folder.rename(moved)
        with Resumed(run, folder=moved) as again:
            assert again.wait(150) == 0, again.tail()
            check_whole(again)
        assert not run.folder.exists(), "somebody still used the old place"


def identities_that_have_ended_are_issued_anew():
    with Run("resume-expired", 2, {**FLAT, "convergence.max_rounds": 1000000, "identity.ttl_s": 10}) as run:
        run.wait_for_rounds(2, 15)
        kill_all(run)
        old = (run.folder / "identity" / "node-001" / "svid.pem").read_bytes()
        root = (run.folder / "identity" / "node-001" / "bundle.pem").read_bytes()
        joined = run.log().count("member.joined")
        time.sleep(10.5)
        with Resumed(run) as again:
            end = time.monotonic() + 15
            while again.log().count("member.joined") < joined + 2:
                assert time.monotonic() < end and again.process.poll() is None, again.tail()
                time.sleep(0.05)
            assert (run.folder / "identity" / "node-001" / "svid.pem").read_bytes() != old
            assert (run.folder / "identity" / "node-001" / "bundle.pem").read_bytes() == root


def a_missing_comparison_is_made():
    with Run("resume-compare", 2, {"convergence.max_rounds": 1, "train.local_epochs": 1, "central.epochs": 2,
                                   "validation.samples": 5000}) as run:
        end = time.monotonic() + 30
        while run.pid("central") is None:
            assert time.monotonic() < end and run.process.poll() is None, run.tail()
            time.sleep(0.005)
        kill_all(run)
        assert run.summary()["central_accuracy"] is None
        with Resumed(run) as again:
            assert again.wait(30) == 0, again.tail()
            assert 0.7 < run.summary()["central_accuracy"] < 1 and run.summary()["outcome"] == "exhausted"
        with Resumed(run) as again:
            assert again.wait(10) == 0 and "has ended already" in again.tail(), again.tail()


def two_at_once_are_refused():
    with Run("resume-twice", 2, {**FLAT, "convergence.max_rounds": 1000000}) as run:
        run.wait_for_rounds(1, 20)
        done = subprocess.run([FEDRA, "up", "--resume", "--run-dir", str(run.folder)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=20)
        assert done.returncode == 1 and f"process {run.process.pid}" in done.stderr, (done.returncode, done.stderr)
        rounds = run.rounds()
        run.wait_for_rounds(rounds + 3, 10)


def folders_that_are_no_runs_are_refused():
    empty = SCRATCH / "resume-empty"
    shutil.rmtree(empty, ignore_errors=True)
    empty.mkdir(parents=True)
    damaged = SCRATCH / "resume-damaged"
    shutil.rmtree(damaged, ignore_errors=True)
    shutil.copytree(SCRATCH / "resume-ended", damaged, symlinks=True)
    (damaged / "run.json").write_text('{"schema":1,"nodes":2,"per_proc')
    newer = SCRATCH / "resume-newer"
    shutil.rmtree(newer, ignore_errors=True)
    shutil.copytree(SCRATCH / "resume-ended", newer, symlinks=True)
    (newer / "run.json").write_text('{"schema":2}\n')
    bare = SCRATCH / "resume-bare"
    shutil.rmtree(bare, ignore_errors=True)
    shutil.copytree(SCRATCH / "resume-ended", bare, symlinks=True)
    (bare / "config" / "coordinator.yaml").unlink()
    example = str(TOP / "examples" / "fashion-mnist.yaml")
    for arguments, code, texts in (
            (["--run-dir", "/nowhere/at/all"], 1, ["/nowhere/at/all", "No such file"]),
            (["--run-dir", str(empty)], 1, [str(empty), "run.json"]),
            (["--run-dir", example], 1, [example]),
            (["--run-dir", str(damaged)], 1, [f"{damaged}/run.json", "damaged"]),
            (["--run-dir", str(newer)], 1, [f"{newer}/run.json", "version"]),
            (["--run-dir", str(bare)], 1, [f"{bare}/config/coordinator.yaml"]),
            ([], 2, ["--run-dir"]),
            ([example, "--run-dir", str(empty)], 2, ["takes no FILE"]),
            (["--nodes", "5", "--run-dir", str(empty)], 2, ["--nodes"]),
            (["--set", "a=b", "--run-dir", str(empty)], 2, ["--set"]),
    ):
        done = subprocess.run([FEDRA, "up", "--resume", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=20)
        assert done.returncode == code, (arguments, done.returncode, done.stderr)
        assert all(text in done.stderr for text in texts) and done.stderr.count("\n") == 1, (arguments, done.stderr)
    assert list(empty.iterdir()) == [], "something was left in a folder that is no run"


def main():
    tap = Tap()
    tap.case("nobody_disturbs", nobody_disturbs)
    for per_process in (1, 2):
        tap.case(f"a_killed_run_goes_on_{per_process}_a_process", a_killed_run_goes_on, per_process)
    tap.case("an_interrupted_run_goes_on", an_interrupted_run_goes_on)
    tap.case("an_interrupted_run_that_was_killed_before_its_end_goes_on", an_interrupted_run_that_was_killed_before_its_end_goes_on)
    tap.case("a_job_that_has_ended_says_so", a_job_that_has_ended_says_so)
    tap.case("a_job_that_an_operator_cancelled_has_ended", a_job_that_an_operator_cancelled_has_ended)
    tap.case("a_folder_can_be_moved", a_folder_can_be_moved)
    tap.case("identities_that_have_ended_are_issued_anew", identities_that_have_ended_are_issued_anew)
    tap.case("a_missing_comparison_is_made", a_missing_comparison_is_made)
    tap.case("two_at_once_are_refused", two_at_once_are_refused)
    tap.case("folders_that_are_no_runs_are_refused", folders_that_are_no_runs_are_refused)
    tap.finish()


main()
