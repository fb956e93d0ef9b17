"""rotation_test.py - identities end and are renewed while a job runs, and nobody who looks at the job can tell.

Goal: with lives of seconds no update is refused, no round is repeated or lost, each process changes its keys again and
again; the authority may die; and where certificates did end, everything goes on once they are renewed, with no process
started again and no update lost.
Method: `fedra up` with a short identity.ttl_s; what is asserted is read from records, logs, certificates and the
database. With the argument "soak": lives of 30 s over 3 minutes, and a longer storm of kills.
"""
import os
import random
import re
import signal
import sqlite3
import sys
import time

from federation import Run, Tap

SOAK = "soak" in sys.argv[1:]
SEED = int(os.environ.get("FEDRA_TEST_SEED", time.time_ns() % 1000000))
NODES = 4
SETS = {"model.kind": "flat", "model.hidden": "[]", "model.parameters": 100000, "train.trainer": "fixed", "train.fixed_wait_s": 0.03,
        "data.format": "none",
        "data.evaluate_test_at_end": "false", "validation.source": "none", "aggregation.k_threshold": "1.0",
        "aggregation.timeout_s": 30, "convergence.min_rounds": 1000000, "convergence.max_rounds": 1000000}
NAMES = [f"node-{i:03d}" for i in range(NODES)]
TROUBLE = ("update.refused", "update.screened", "member.refused", "connection.refused", "connection.expired", "round.repeated",
           "identity.unusable", "identity.not_used", "identity.ended", "misbehaved", ".fault")


def finish(run):
    run.process.send_signal(signal.SIGINT)
    assert run.wait(20) == 130, run.tail()


def keys_of(run, name):
    """The signing keys that a process took up after its first, as its log tells."""
    return re.findall(r"identity\.(?:renewed|reloaded) .*envelope_key=([0-9a-f]{64})", run.log(name))


def check_keys(run, at_least):
    for name in ["coordinator", *NAMES]:
        keys = keys_of(run, name)
        assert len(keys) >= at_least, f"{name} was renewed {len(keys)} times, not {at_least}"
        assert len(set(keys)) == len(keys), f"{name} took a key up twice"


def check_undisturbed(run):
    lines = run.metrics()
    assert [line["round"] for line in lines] == list(range(1, len(lines) + 1)), "a round is missing"
    for line in lines:
        assert line["accepted"] == NODES and line["late"] == 0 and line["refused"] == {}, line
    slowest = max(line["round_ms"] for line in lines)
    assert slowest < 5000, f"a round took {slowest} ms"
    # What comes after the job was ended by hand is turned away, and rightly so.
    log = [line for line in run.log().splitlines() if "reason=job_ended" not in line]
    for trouble in TROUBLE:
        found = [line for line in log if trouble in line]
        assert not found, found[:3]
    for node, records in run.receipts().items():
        refused = [record for record in records if record[3] == "REFUSED" and record[4] != "job_ended"]
        assert not refused, f"{node}: {refused[:3]}"
        told = run.log(node)
        for trouble in ("identity.not_used", "identity.unusable", "misbehaved", "node.fault", "work.failed"):
            assert trouble not in told, [line for line in told.splitlines() if trouble in line][:3]
    return slowest


def check_certificates(run):
    """Every key that signed what was counted, and every commit, has its certificate beside the run."""
    with sqlite3.connect(f"file:{run.job}/state.db?mode=ro", uri=True) as database:
        kept = {row[0].hex() for row in database.execute("SELECT key_id FROM certificates")}
    for key in keys_of(run, "coordinator")[:-1]:
        assert key in kept, "a key that signed commits has no certificate"
    for name in NAMES:
        for key in keys_of(run, name)[:-1]:
            assert key in kept, f"a key of {name} has no certificate"


def names_of(run):
    return {words[-1].rsplit("/", 1)[1]: pid for pid, words in run.children() if words[1] in ("coordinator", "node")}


def lives_come_and_go(name, ttl_s, seconds, at_least, kills):
    with Run(name, NODES, {**SETS, "identity.ttl_s": ttl_s}) as run:
        run.wait_for_rounds(5, 30)
        before = names_of(run)
        for _ in range(kills):
            time.sleep(seconds / (kills + 1))
            assert run.kill("ca"), "there is no authority to kill"
        time.sleep(seconds / (kills + 1))
        assert names_of(run) == before, "somebody was started again"
        finish(run)
        slowest = check_undisturbed(run)
        check_keys(run, at_least)
        run.check_accounting()
        check_certificates(run)
        replaced = sum(run.log(node).count("connection.replaced") for node in NAMES)
        assert replaced >= NODES * at_least, f"{replaced} connections were replaced"
        starts = run.log("authority").count("listens")
        assert starts == kills + 1, f"the authority was started {starts} times"
        print(f"# {run.rounds()} rounds in {seconds} s, the slowest {slowest:.0f} ms; {replaced} connections replaced")


def everything_ends_and_goes_on():
    """The authority hangs until every certificate has ended; then it wakes up."""
    with Run("ended", NODES, {**SETS, "identity.ttl_s": 10}) as run:
        run.wait_for_rounds(5, 30)
        before = names_of(run)
        authority = run.pid("ca")
        os.kill(authority, signal.SIGSTOP)
        end = time.monotonic() + 30
        while any("identity.ended" not in run.log(name) for name in ["coordinator", *NAMES]):
            assert time.monotonic() < end, "the certificates do not end"
            time.sleep(0.1)
        time.sleep(1)
        standstill = run.rounds()
        time.sleep(1)
        assert run.rounds() == standstill, "a round was counted without a valid certificate"
        said = (run.folder / "logs" / "node-000.err").read_text()
        assert re.search(r"the certificate of \S+/node/node-000 ends in \d+ s; it could not be renewed: the authority at "
                         r"127\.0\.0\.1:\d+ does not answer", said), said
        assert "/node/node-000 has ended" in said, said
        os.kill(authority, signal.SIGCONT)
        run.wait_for_rounds(standstill + 5, 20)
        assert names_of(run) == before, "somebody was started again"
        finish(run)
        run.check_accounting()
        lines = run.metrics()
        assert [line["round"] for line in lines] == list(range(1, len(lines) + 1))
        assert all(line["accepted"] == NODES for line in lines)


def a_machine_that_slept_comes_back():
    """One node does not run while its certificate ends; the others go on without it."""
    with Run("slept", NODES, {**SETS, "identity.ttl_s": 10, "aggregation.k_threshold": 0.7}) as run:
        run.wait_for_rounds(5, 30)
        before = names_of(run)
        sleeper = run.pid("node", "node-002")
        os.kill(sleeper, signal.SIGSTOP)
        time.sleep(15)
        rounds = run.rounds()
        os.kill(sleeper, signal.SIGCONT)
        run.wait_for_rounds(rounds + 5, 20)
        end = time.monotonic() + 20
        while len(re.findall(r"member.joined node=\S+/node-002", run.log())) < 2:
            assert time.monotonic() < end, "it does not join again"
            time.sleep(0.1)
        counted = [record for record in run.receipts()["node-002"] if record[3] == "COUNTED" and record[1] > rounds]
        while not counted:
            assert time.monotonic() < end, "it is not counted again"
            time.sleep(0.1)
            counted = [record for record in run.receipts()["node-002"] if record[3] == "COUNTED" and record[1] > rounds]
        assert names_of(run) == before, "somebody was started again"
        finish(run)
        run.check_accounting()


def kills_between_renewals_lose_nothing(chance, seconds):
    """Coordinator, nodes and authority die at random instants while their identities come and go."""
    with Run("storm", NODES, {**SETS, "identity.ttl_s": 10}) as run:
        run.wait_for_rounds(5, 30)
        end = time.monotonic() + seconds
        killed = 0
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.3, 1.5))
            role = chance.choice(["coordinator", "coordinator", "node", "ca"])
            killed += run.kill(role, chance.choice(NAMES) if role == "node" else None)
        rounds = run.rounds()
        run.wait_for_rounds(rounds + 5, 40)
        finish(run)
        lines = run.metrics()
        assert [line["round"] for line in lines] == list(range(1, len(lines) + 1))
        assert all(line["accepted"] == NODES for line in lines), "a round did not count everybody"
        run.check_accounting()
        for node, records in run.receipts().items():
            wrong = [record for record in records if record[4] in ("identity", "signature", "equivocation", "replay")]
            assert not wrong, f"{node}: {wrong[:3]}"
        again = sum(run.log(node).count("update.signed_again") for node in NAMES)
        print(f"# {killed} kills, {run.rounds()} rounds, {again} updates signed again with a new key")


def main():
    chance = random.Random(SEED)
    tap = Tap()
    print(f"# FEDRA_TEST_SEED={SEED}")
    if SOAK:
        tap.case("three_minutes_of_lives_of_30_s_lose_nothing_and_refuse_nobody", lives_come_and_go, "soak-rotation", 30, 180, 6, 0)
        tap.case("the_same_while_the_authority_dies_again_and_again", lives_come_and_go, "soak-killed", 30, 180, 6, 5)
        tap.case("kills_between_renewals_lose_nothing", kills_between_renewals_lose_nothing, chance, 120)
    else:
        tap.case("lives_of_12_s_lose_nothing_and_refuse_nobody_though_the_authority_is_killed", lives_come_and_go, "rotation", 12,
                 30, 3, 1)
        tap.case("certificates_that_ended_stop_the_job_and_new_ones_start_it_again", everything_ends_and_goes_on)
        tap.case("a_machine_that_slept_past_its_certificate_comes_back", a_machine_that_slept_comes_back)
        tap.case("kills_between_renewals_lose_nothing", kills_between_renewals_lose_nothing, chance, 20)
    tap.finish()


main()
