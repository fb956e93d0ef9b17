"""byzantine_test.py - three of ten nodes lie and answer first; examples/byzantine.yaml finds them, shuts them out, and learns.

Goal: every gross liar is in quarantine after at most five rounds it took part in, no honest node ever, the model is as good as
without liars, every honest update ends, and kills of the coordinator change nothing of it.
Method: real processes, whose trainer (examples/trainers/lying_softmax.py) lies; the same run without liars to compare with; what
the database, the metrics, an operator and an audit say. `soak` does it with a hundred nodes on more images.
"""
import json
import math
import subprocess
import sys

from federation import FEDRA, TOP, Run, Tap, few_images

SOAK = sys.argv[1:] == ["soak"]
NODES, ROUNDS, KILLS = (100, 20, (2, 6, 12)) if SOAK else (20, 20, (1, 4))
PREFIX = "spiffe://fedra.local/fedra/node/"
NAMES = [f"node-{number:03}" for number in range(NODES)]
LIARS = set(NAMES[NODES - math.floor(0.3 * NODES):])
TIME_S = 2400 if SOAK else 200
TRAINER = f"exec python3 {TOP}/examples/trainers/lying_softmax.py"


def sets(share, **more):
    few = {**few_images(20000 if SOAK else 4000), "validation.samples": 2000 if SOAK else 500}
    return {"convergence.max_rounds": ROUNDS, "convergence.min_rounds": ROUNDS, "aggregation.start_nodes": NODES,
            "train.command": f"{TRAINER} {share} 0.2", **few, **more}


def short(name):
    assert name.startswith(PREFIX), name
    return name[len(PREFIX):]


def members(run):
    with run.database() as database:
        return {short(name): (rounds, flagged, until) for name, rounds, flagged, until in
                database.execute("SELECT name, rounds, flagged, quarantined_until FROM members")}


def quarantined(run):
    return [{short(name) for name in line["robust"]["quarantined"]} for line in run.metrics()]


def check_found(run):
    for name, (rounds, flagged, until) in members(run).items():
        if name in LIARS:
            assert until > ROUNDS and 3 <= flagged <= rounds <= 5, (name, rounds, flagged, until)
        else:
            assert until == 0, (name, rounds, flagged, until)
    sets_of = quarantined(run)
    assert all(before <= after for before, after in zip(sets_of, sets_of[1:])), sets_of  # nobody is out again so soon
    assert sets_of[-1] == LIARS, sets_of[-1]
    last = run.metrics()[-1]
    assert last["selected"] == NODES - len(LIARS), last


def check_honest_updates_end(run):
    for node, lines in run.receipts().items():
        last = {}
        for _sequence, round_, digest, state, detail in lines:
            last[round_, digest] = (state, detail)
        for (round_, _digest), (state, detail) in last.items():
            assert node in LIARS or state in ("COUNTED", "DROPPED"), (node, round_, state, detail)
            assert state != "DROPPED" or detail, (node, round_)


def member(run, name):
    done = subprocess.run([FEDRA, "members", name, "--run-dir", str(run.folder), "--json"], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_what_an_operator_sees(run):
    liar, honest = member(run, max(LIARS)), member(run, NAMES[0])
    assert liar["state"] == "quarantined" and liar["connected"] and liar["quarantined_until"] > ROUNDS, liar
    assert liar["flag_reason"] and liar["flagged"] >= 3 and liar["reputation"] <= 0.9 ** 3 + 1e-9, liar
    assert honest["quarantined_until"] == 0 and honest["reputation"] > liar["reputation"], honest


def audit(run):
    done = subprocess.run([FEDRA, "audit", str(run.folder)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def liars_are_shut_out_and_the_model_is_as_good():
    with Run("byzantine_none", NODES, sets(0), example="byzantine") as run:
        assert run.wait(TIME_S) == 0, run.tail()
        expected = run.metrics()[-1]["accuracy"]
        assert not any(quarantined(run)), quarantined(run)
    with Run("byzantine", NODES, sets(0.3, **{"audit.keep_updates": "all"}), example="byzantine") as run:
        for rounds in KILLS:
            run.wait_for_rounds(rounds, TIME_S)
            assert run.kill("coordinator")
        run.wait_for_rounds(ROUNDS - 2, TIME_S)
        check_what_an_operator_sees(run)
        assert run.wait(TIME_S) == 0, run.tail()
        run.check_accounting()
        check_honest_updates_end(run)
        check_found(run)
        found = run.metrics()[-1]["accuracy"]
        assert found > expected - (0.01 if SOAK else 0.03), (found, expected)
        assert "quarantined: node-" in open(run.output.name).read()
        audit(run)
        print(f"# accuracy {found:.4f}, without liars {expected:.4f}")


def main():
    tap = Tap()
    tap.case(liars_are_shut_out_and_the_model_is_as_good.__name__, liars_are_shut_out_and_the_model_is_as_good)
    tap.finish()


main()
