"""control_test.py - what an operator sees of a running job and has it do: status, members, pause, resume, cancel.

Goal: the commands tell the truth, act durably, and answer every mistake with its exit code.
Method: a real `fedra up` in the background; the commands as separate programs; the coordinator killed while paused.
"""
import json
import os
import pty
import re
import socket
import subprocess
import time

from federation import FEDRA, SCRATCH, Run, Tap

SMALL = {"model.kind": "flat", "model.hidden": "[]", "train.trainer": "fixed", "data.format": "none",
         "data.evaluate_test_at_end": "false", "validation.source": "none", "convergence.max_rounds": 1000000,
         "aggregation.k_threshold": "1.0"}
NODES = 3
UNREACHABLE, DENIED, NOT_FOUND, NOT_POSSIBLE = 4, 5, 6, 7


def fedra(*arguments, timeout_s=30):
    return subprocess.run([FEDRA, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=timeout_s)


def ask(run, *arguments):
    """A command with --json on a run's folder, which must succeed; what it prints."""
    done = fedra(*arguments, "--run-dir", run.folder, "--json")
    assert done.returncode == 0, (arguments, done.returncode, done.stderr)
    return json.loads(done.stdout)


def wait_for(what, holds, timeout_s=15):
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def address_of(run):
    port = re.findall(r"coordinator\.listening .*port=(\d+)", run.log())[-1]
    return f"127.0.0.1:{port}"


def the_status_says_what_the_files_say():
    with Run("seen", NODES, {**SMALL, "convergence.max_rounds": 1000000}) as run:
        run.wait_for_rounds(3, 30)
        status = ask(run, "status")
        metrics = {line["round"]: line for line in run.metrics()}
        assert status["job"] == "fashion-mnist" and status["coordinator"].endswith("/fedra/coordinator"), status
        assert status["connected"] == NODES and status["members"] == NODES and not status["paused"], status
        assert status["outcome"] is None and status["epoch"] == 1 and status["rounds_max"] == 1000000, status
        assert status["last"]["round"] == status["version_number"] >= 3, status
        line = metrics.get(status["last"]["round"]) or {l["round"]: l for l in run.metrics()}[status["last"]["round"]]
        assert status["model_digest"] == line["model_digest"], (status, line)
        assert status["last"]["accepted"] == line["accepted"] == NODES, (status, line)
        assert status["last"]["loss"] is None and status["best"] is None, "nothing is validated"
        assert status["bytes_in"] > 0 and status["bytes_out"] > 0 and status["uptime_ms"] > 0, status
        people = fedra("status", "--run-dir", run.folder)
        assert people.returncode == 0 and people.stderr == "", people
        lines = people.stdout.splitlines()
        assert len(lines) < 24 and all(len(line) < 120 for line in lines), people.stdout
        assert lines[0].split() == ["job", "fashion-mnist"] and address_of(run) in lines[1], people.stdout


def the_best_round_is_the_one_with_the_lowest_loss():
    with Run("best", NODES, {"convergence.max_rounds": 100000, "train.local_epochs": 1, "validation.samples": 500,
                             "aggregation.k_threshold": "1.0", "data.evaluate_test_at_end": "false"}) as run:
        run.wait_for_rounds(4, 60)
        ask(run, "pause")
        wait_for("the round does not end", lambda: ask(run, "status")["phase"] == "paused")
        status = ask(run, "status")
        lines = run.metrics()
        best = min(lines, key=lambda line: line["loss"])
        assert status["last"]["loss"] == lines[-1]["loss"] and status["last"]["accuracy"] == lines[-1]["accuracy"]
        assert (status["best"]["round"], status["best"]["loss"]) == (best["round"], best["loss"]), (status, lines)
        run.kill("coordinator")  # the figures of committed rounds outlive it
        wait_for("the coordinator does not come back", lambda: fedra("status", "--run-dir", run.folder).returncode == 0)
        again = ask(run, "status")
        for name in ("last", "best"):
            for figure in ("round", "selected", "accepted", "late", "loss", "accuracy"):
                assert again[name][figure] == status[name][figure], (name, figure, again, status)
        ask(run, "cancel")
        run.wait(15)


def members_are_listed_and_found():
    with Run("members", NODES, SMALL) as run:
        run.wait_for_rounds(3, 30)
        ask(run, "pause")
        wait_for("the round does not end", lambda: ask(run, "status")["phase"] == "paused")
        rounds = run.rounds()
        members = ask(run, "members")["members"]
        assert [m["spiffe_id"].rsplit("/", 1)[1] for m in members] == [f"node-{i:03d}" for i in range(NODES)], members
        for member in members:
            assert member["state"] == "idle" and member["connected"], member
            assert member["counted"] == member["round_counted"] == rounds, (member, rounds)
            assert member["dropped"] == {} and member["refused"] == {} and member["samples"] > 0, member
            assert time.time() < member["certificate_ends_unix_s"] < time.time() + 86401, member
            assert 0 <= time.time() * 1000 - member["since_unix_ms"] < 60000, member
        table = fedra("members", "--run-dir", run.folder).stdout.splitlines()
        assert len(table) == 1 + NODES and table[0].startswith("NAME") and table[1].startswith("node-000"), table
        one = ask(run, "members", "node-001")
        assert one["spiffe_id"] == members[1]["spiffe_id"], one
        assert ask(run, "members", members[2]["spiffe_id"])["spiffe_id"] == members[2]["spiffe_id"]
        assert "node-001" in fedra("members", "node-001", "--run-dir", run.folder).stdout
        wrong = fedra("members", "node-01", "--run-dir", run.folder)
        assert wrong.returncode == NOT_FOUND and "did you mean node-001?" in wrong.stderr, wrong
        # Who is gone is away, and comes back.
        os.kill(run.pid("node", "node-001"), 9)
        wait_for("the member does not go", lambda: ask(run, "members", "node-001")["state"] == "away")
        wait_for("the member does not come back", lambda: ask(run, "members", "node-001")["connected"])
        ask(run, "cancel")
        run.wait(15)


def a_paused_job_stays_paused_over_a_kill():
    with Run("paused", NODES, SMALL) as run:
        run.wait_for_rounds(3, 30)
        status = ask(run, "pause")
        assert status["paused"] and status["phase"] in ("paused", "collecting", "closing", "committing"), status
        wait_for("the round does not end", lambda: ask(run, "status")["phase"] == "paused")
        rounds = run.rounds()
        assert rounds >= status["last"]["round"] and rounds <= status["round"], "more than the open round was counted"
        time.sleep(1)
        assert run.rounds() == rounds and ask(run, "status")["round"] == rounds + 1, "a round was opened"
        assert ask(run, "pause")["phase"] == "paused"  # again: nothing changes
        before = ask(run, "status")["epoch"]
        for kill in range(2):
            assert run.kill("coordinator")
            wait_for("the coordinator does not come back",
                     lambda: fedra("status", "--run-dir", run.folder).returncode == 0)
            wait_for("the members do not come back", lambda: ask(run, "status")["connected"] == NODES)
            status = ask(run, "status")
            assert status["paused"] and status["phase"] == "paused" and status["epoch"] == before + kill + 1, status
        time.sleep(0.5)
        assert run.rounds() == rounds, "a restart let a paused job go on"
        assert not ask(run, "resume")["paused"]
        run.wait_for_rounds(rounds + 3, 20)
        assert run.kill("coordinator")
        run.wait_for_rounds(rounds + 6, 20)  # and it stays resumed
        status = ask(run, "cancel")
        assert status["phase"] == "ended" and status["outcome"] == "cancelled", status
        assert status["outcome_text"] == "the job was cancelled", status
        assert run.wait(15) == 1
        assert run.summary()["outcome"] == "cancelled" and run.summary()["rounds"] == run.rounds(), run.summary()
        run.check_accounting()


def a_job_is_cancelled_while_it_is_paused():
    with Run("cancelled-paused", NODES, SMALL) as run:
        run.wait_for_rounds(2, 30)
        ask(run, "pause")
        wait_for("the round does not end", lambda: ask(run, "status")["phase"] == "paused")
        done = fedra("cancel", "--run-dir", run.folder)
        assert done.returncode == 0 and done.stdout == f"fashion-mnist is cancelled after {run.rounds()} rounds\n", done
        assert run.wait(15) == 1 and run.summary()["outcome"] == "cancelled"
        gone = fedra("status", "--run-dir", run.folder)
        assert gone.returncode == UNREACHABLE and "summary.json says how" in gone.stderr, gone


def a_job_is_cancelled_as_soon_as_it_can_be_asked():
    """Also while its first model, 40 MB, is still being made: what an operator wants is not lost."""
    with Run("early-cancel", 1, {**SMALL, "model.parameters": 10000000, "limits.update_bytes_max": 100000000}) as run:
        end = time.monotonic() + 30
        while (done := fedra("cancel", "--run-dir", run.folder, "--json")).returncode != 0:
            assert done.returncode in (2, UNREACHABLE), done  # its folder, or its port, is not there yet
            assert time.monotonic() < end, done
        status = json.loads(done.stdout)
        assert status["outcome"] == "cancelled", status
        print(f"# cancelled at round {status['round']}, version {status['version_number']}")
        assert run.wait(20) == 1 and run.summary()["outcome"] == "cancelled", run.tail()
        assert len(re.findall("coordinator.listening", run.log())) == 1, "it was started again"


def a_watch_tells_each_round_and_ends_with_the_job():
    with Run("watched", NODES, {**SMALL, "convergence.max_rounds": 1000000}) as run:
        run.wait_for_rounds(2, 30)
        watch = subprocess.Popen([FEDRA, "status", "--watch", "--json", "--run-dir", str(run.folder)],
                                 stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        first = json.loads(watch.stdout.readline())
        run.wait_for_rounds(run.rounds() + 3, 20)
        assert run.kill("coordinator")  # a watch goes on with the next process
        run.wait_for_rounds(run.rounds() + 3, 20)
        ask(run, "cancel")
        said = watch.communicate(timeout=15)[0]
        assert watch.returncode == 0, watch.returncode
        told = [first] + [json.loads(line) for line in said.splitlines()]
        assert {status["epoch"] for status in told} == {1, 2}, "it did not outlive the restart"
        assert told[-1]["phase"] == "ended" and told[-1]["outcome"] == "cancelled", told[-1]
        for before, after in zip(told, told[1:]):
            same = {**after, **{key: before[key] for key in ("uptime_ms", "deadline_ms", "sequence")}}
            assert before["epoch"] != after["epoch"] or same != before, "a message without a change"
            assert before["epoch"] != after["epoch"] or after["sequence"] > before["sequence"], (before, after)
        times = [status["uptime_ms"] for status in told if status["epoch"] == 1]
        assert len(times) <= 3 + (times[-1] - times[0]) / 100, "more than ten a second"


def a_watch_on_a_terminal_redraws():
    with Run("terminal", NODES, SMALL) as run:
        run.wait_for_rounds(2, 30)
        leader, follower = pty.openpty()
        watch = subprocess.Popen([FEDRA, "status", "--watch", "--run-dir", str(run.folder)], stdin=subprocess.DEVNULL,
                                 stdout=follower)
        os.close(follower)
        said = b""
        end = time.monotonic() + 15
        while said.count(b"\x1b[H") < 3:
            assert time.monotonic() < end, said
            said += os.read(leader, 65536)
        watch.kill()
        watch.wait()
        os.close(leader)
        assert said.startswith(b"\x1b[2J\x1b[Hjob") and b"\x1b[K\r\n" in said and b"\x1b[J" in said, said[:300]
        plain = subprocess.Popen([FEDRA, "status", "--watch", "--run-dir", str(run.folder)], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE)
        line = plain.stdout.readline()
        plain.stdout.close()  # nobody reads on: it ends
        assert b"\x1b" not in line and b"round" in line, line
        assert plain.wait(15) == 1


def mistakes_are_answered_with_a_code_and_a_reason():
    operator = SCRATCH / "mistakes" / "identity" / "operator"
    stranger = SCRATCH / "stranger"
    with Run("mistakes", NODES, SMALL) as run:
        run.wait_for_rounds(2, 30)
        at = address_of(run)
        for folder, domain in ((SCRATCH / "other-ca", "other.test"), (SCRATCH / "same-ca", "fedra.local")):
            subprocess.run(["rm", "-rf", folder, f"{stranger}-{domain}"], check=True)
            assert fedra("ca", "init", "--dir", folder, "--trust-domain", domain).returncode == 0
            assert fedra("ca", "issue", "--dir", folder, "--role", "operator", "--name", "eve", "--out",
                         f"{stranger}-{domain}").returncode == 0
        node = run.folder / "config" / "node-001.yaml"
        authority = re.findall(r"listens on (\S+)", run.log("authority"))[-1]
        silent = socket.socket()
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for options in ((), ("--watch",)):
            begun = time.monotonic()
            done = fedra("status", "--connect", f"127.0.0.1:{silent.getsockname()[1]}", "--identity", operator,
                         "--timeout", 1, *options)
            assert done.returncode == UNREACHABLE and "does not answer within 1 s" in done.stderr, done
            assert time.monotonic() - begun < 3, "it took longer than it may"
        silent.close()
        for command in ("status", "members", "pause", "resume", "cancel"):
            for arguments, code, text in (
                    ((), 2, "which coordinator?"),
                    (("--run-dir", run.folder, "--connect", at), 2, "one of"),
                    (("--connect", at), 2, "--identity DIR of an operator"),
                    (("--connect", "nowhere", "--identity", operator), 2, "HOST:PORT"),
                    (("--connect", "127.0.0.1:0", "--identity", operator), 2, "from 1 to 65535"),
                    (("--run-dir", "/nowhere"), 2, "no folder of a `fedra up`"),
                    (("--run-dir", run.folder, "--timeout", "0"), 2, "--timeout"),
                    (("--run-dir", run.folder, "--jsno"), 2, "did you mean --json?"),
                    (("--connect", "127.0.0.1:1", "--identity", operator), UNREACHABLE, "127.0.0.1:1 cannot be reached"),
                    (("--connect", at, "--identity", "/nowhere"), DENIED, "/nowhere"),
                    (("--connect", at, "--identity", run.folder / "identity" / "node-001"), DENIED,
                     "spiffe://fedra.local/fedra/operator/NAME"),
                    (("-c", node), DENIED, "a node; right is an operator's"),
                    (("--connect", at, "--identity", f"{stranger}-other.test"), DENIED, "fedra.local"),
                    (("--connect", at, "--identity", f"{stranger}-fedra.local"), DENIED, "do not trust each other"),
                    (("--connect", authority, "--identity", operator), DENIED, "spiffe://fedra.local/fedra/authority"),
                    (("--connect", at, "--identity", operator, "--job", "mnist"), NOT_POSSIBLE,
                     "this coordinator runs the job fashion-mnist, not mnist"),
            ):
                done = fedra(command, *arguments)
                assert done.returncode == code, (command, arguments, done.returncode, done.stderr)
                assert text in done.stderr and done.stdout == "", (command, arguments, done.stderr)
                assert done.stderr.startswith(f"fedra {command}: ") or code == 2, done.stderr
        rounds = run.rounds()
        run.wait_for_rounds(rounds + 1, 20)  # none of that paused or ended it
        assert fedra("status", "-c", node, "--identity", operator).returncode == 0
        ask(run, "cancel")
        late = fedra("pause", "--run-dir", run.folder)
        assert late.returncode in (NOT_POSSIBLE, UNREACHABLE), late
        if late.returncode == NOT_POSSIBLE:
            assert "the job has ended: cancelled" in late.stderr, late
        run.wait(15)


def main():
    tap = Tap()
    tap.case("the_status_says_what_the_files_say", the_status_says_what_the_files_say)
    tap.case("the_best_round_is_the_one_with_the_lowest_loss", the_best_round_is_the_one_with_the_lowest_loss)
    tap.case("members_are_listed_and_found", members_are_listed_and_found)
    tap.case("a_paused_job_stays_paused_over_a_kill", a_paused_job_stays_paused_over_a_kill)
    tap.case("a_job_is_cancelled_while_it_is_paused", a_job_is_cancelled_while_it_is_paused)
    tap.case("a_job_is_cancelled_as_soon_as_it_can_be_asked", a_job_is_cancelled_as_soon_as_it_can_be_asked)
    tap.case("a_watch_tells_each_round_and_ends_with_the_job", a_watch_tells_each_round_and_ends_with_the_job)
    tap.case("a_watch_on_a_terminal_redraws", a_watch_on_a_terminal_redraws)
    tap.case("mistakes_are_answered_with_a_code_and_a_reason", mistakes_are_answered_with_a_code_and_a_reason)
    tap.finish()


main()
