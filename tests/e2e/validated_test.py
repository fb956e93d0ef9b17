"""validated_test.py - robust.rule validated: the coordinator's own samples choose among the candidates of a round.

Goal: with liars the model learns what it does not under the mean; a kill of the coordinator changes neither choice nor model nor
what the rule remembers; an audit, which has no samples, makes every version again from the choice in its record.
Method: real runs of a small softmax regression with three liars of twelve; their records, and the database.
"""
import json
import re
import subprocess
import time

from federation import FEDRA, TOP, Run, Tap, few_images

NODES, ROUNDS = 12, 5
EXCESS_BYTES = 4 * 8  # what the rule remembers, last in the bytes that are stored
CANDIDATES = {"mean", "caf", "nnm+trimmed_mean", "geometric_median"}
JOB = "numpy-softmax"


def sets(lie, rule, **more):
    return {**few_images(1500), "train.command": f"exec python3 {TOP}/tests/e2e/lying_softmax.py {lie}", "validation.samples": 200,
            "aggregation.k_threshold": "1.0", "aggregation.start_nodes": NODES, "convergence.max_rounds": ROUNDS,
            "data.partition": "iid", "robust.rule": rule, "audit.keep_updates": "all", **more}


def run_of(name, *arguments, **more):
    return Run(name, NODES, sets(*arguments, **more), example=JOB, options=["--per-process", "4"])


def finished(name, *arguments, **more):
    with run_of(name, *arguments, **more) as run:
        assert run.wait(120) == 0, run.tail()
        run.check_accounting()
        return run


def choices(run):
    return [line["robust"]["choice"] for line in run.metrics()]


def audited(run):
    done = subprocess.run([FEDRA, "audit", str(run.folder), "--json"], capture_output=True, timeout=120, check=False)
    return done.returncode, json.loads(done.stdout)


def clean(run):
    code, report = audited(run)
    job = report["jobs"][0]
    assert code == 0 and job["recomputed"] == ROUNDS and not job["not_checked"], report
    return job


def memory(run):
    """What the rule remembers of the rounds: the last of the bytes that are stored with the version."""
    with run.database() as database:
        state, = database.execute("SELECT state FROM learn").fetchone()
    assert state[:4] == (2).to_bytes(4, "little"), state[:8]
    return state


def liars_are_borne_that_lead_the_mean_astray():
    under = {rule: finished(f"validated_back_{rule}", "back", rule).summary()["accuracy"] for rule in ("mean", "validated")}
    assert under["validated"] > 0.5 and under["validated"] > under["mean"] + 0.2, under


def every_round_names_its_choice_and_is_computed_again():
    run = finished("validated_flip", "flip", "validated")
    assert set(choices(run)) <= CANDIDATES and len(choices(run)) == ROUNDS, choices(run)
    clean(run)
    with run.database() as database:
        records = [record for record, in database.execute("SELECT record FROM commits ORDER BY number")]
    for record, choice in zip(records[1:], choices(run)):
        assert choice.encode() in record, choice


def a_kill_of_the_coordinator_changes_nothing():
    expected = finished("validated_undisturbed", "flip", "validated")
    with run_of("validated_killed", "flip", "validated") as run:
        for rounds in (2, 4):
            run.wait_for_rounds(rounds, 60)
            run.kill("coordinator")
            time.sleep(0.3)
        assert run.wait(120) == 0, run.tail()
        assert run.digests() == expected.digests(), (run.digests(), expected.digests())
        assert choices(run) == choices(expected), (choices(run), choices(expected))
        assert memory(run) == memory(expected) and any(memory(run)[-EXCESS_BYTES:])
        run.check_accounting()
        clean(run)


def a_version_that_is_restored_begins_without_memory():
    sets_ = {**few_images(400), "validation.samples": 100, "train.trainer": "builtin", "train.command": "",
             "train.learning_rate": 0.01, "optimiser.kind": "momentum", "optimiser.learning_rate": 20,
             "convergence.divergence_threshold": 0.05, "convergence.divergence_patience": 2, "convergence.max_rounds": 30}
    with run_of("validated_diverged", "back", "validated", **sets_) as run:
        assert run.wait(90) == 3, run.tail()
        run.check_accounting()
        assert not any(memory(run)[-EXCESS_BYTES:]), memory(run)
        assert audited(run)[0] == 0, audited(run)


def without_samples_it_is_refused():
    with run_of("validated_refused", "flip", "validated", **{"validation.source": "nodes"}) as run:
        assert run.wait(30) == 2, run.tail()
        assert re.search(r"robust\.rule: validated chooses by samples .* central or both is wanted", run.tail()), run.tail()
    done = subprocess.run([FEDRA, "aggregate", "--rule", "validated", "--in", "x", "--out", "y"], capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 2 and "validated needs trusted samples" in done.stderr, done.stderr


def main():
    tap = Tap()
    for case in (liars_are_borne_that_lead_the_mean_astray, every_round_names_its_choice_and_is_computed_again,
                 a_kill_of_the_coordinator_changes_nothing, a_version_that_is_restored_begins_without_memory,
                 without_samples_it_is_refused):
        tap.case(case.__name__, case)
    tap.finish()


main()
