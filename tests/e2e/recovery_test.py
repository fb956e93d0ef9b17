"""recovery_test.py - real processes are killed with SIGKILL at random instants; nothing that was acknowledged is lost.

Goal: with k_threshold 1.0 the model of every round is that of a run in which nobody died, the coordinator serves again
within 5 s, killed nodes are counted again within 10 s, and nodes' records agree with the database.
Method: `fedra up` with a real model; kills by process id; some of them at named steps of a build that has crash points.
The seed of the random instants is printed; FEDRA_TEST_SEED repeats it.
"""
import os
import random
import re
import time

from federation import Run, Tap, few_images

SEED = int(os.environ.get("FEDRA_TEST_SEED", time.time_ns() % 1000000))
KILLS = 20
ROUNDS = 60
SHORT = 25  # of the runs that die of themselves
SETS = {**few_images(6000), "aggregation.k_threshold": "1.0", "convergence.max_rounds": ROUNDS, "train.local_epochs": 1,
        "train.batch_size": 5, "train.learning_rate": 0.02, "validation.samples": 500, "data.evaluate_test_at_end": "false", "aggregation.timeout_s": 20}
NODES = 5
undisturbed = {}


def check_whole(run, rounds=ROUNDS):
    lines = run.metrics()
    assert [line["round"] for line in lines] == list(range(1, rounds + 1)), "not one whole line a round"
    assert all(line["accepted"] == NODES for line in lines), "a round did not count everybody"


def check_undisturbed(run, rounds, what):
    check_whole(run, rounds)
    run.check_accounting()
    digests = run.digests()
    changed = [round_ for round_ in digests if digests[round_] != undisturbed["first"][round_]]
    assert not changed, f"{what} changed the models of rounds {changed}"


def two_runs_give_the_same_digests():
    for name in ("first", "second"):
        with Run(name, NODES, SETS) as run:
            assert run.wait(120) == 0, run.tail()
            check_whole(run)
            run.check_accounting()
            undisturbed[name] = run.digests()
    assert undisturbed["first"] == undisturbed["second"], "two runs with one seed differ"


def seconds_to_serve(run, killed_at, before):
    while run.log().count("coordinator.listening") <= before:
        if time.monotonic() - killed_at > 10:
            raise AssertionError("the coordinator does not serve again after 10 s")
        time.sleep(0.01)
    return time.monotonic() - killed_at


def killed_coordinator_gives_the_same_digests(chance):
    slowest = 0
    with Run("killed", NODES, SETS) as run:
        run.wait_for_rounds(1, 30)
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.02, 0.3))
            before = run.log().count("coordinator.listening")
            if run.process.poll() is not None or run.rounds() >= ROUNDS - 1:
                break
            if run.kill("coordinator"):
                slowest = max(slowest, seconds_to_serve(run, time.monotonic(), before))
        assert run.wait(180) == 0, run.tail()
        check_undisturbed(run, ROUNDS, "a kill")
        starts = run.log().count("coordinator.listening")
    print(f"# the coordinator served {starts} times, after a kill within {slowest:.2f} s")
    assert starts > KILLS // 2, "hardly any kill hit"
    assert slowest < 5, f"it took {slowest:.1f} s to serve again"


def dying_at_a_step_gives_the_same_digests(step):
    """A coordinator that kills itself each time it passes a step a few times."""
    with Run("step", NODES, {**SETS, "convergence.max_rounds": SHORT}, {"FEDRA_CRASH_AT": step, "FEDRA_CRASH_COMMAND": "coordinator"}) as run:
        assert run.wait(240) == 0, run.tail()
        check_undisturbed(run, SHORT, f"dying at {step}")
        died = len(re.findall(r"child.ended name=coordinator.* signal=9", run.log("up")))
    print(f"# {step}: the coordinator died {died} times")
    assert died > 3, "the step was hardly reached"


def killed_nodes_are_counted_again(chance):
    with Run("nodes", NODES, SETS) as run:
        run.wait_for_rounds(2, 30)
        for _ in range(4):
            name = f"node-{chance.randrange(NODES):03d}"
            if run.rounds() >= ROUNDS - 2:
                break
            if not run.kill("node", name):
                continue
            killed_at = time.monotonic()
            rounds = run.rounds()
            run.wait_for_rounds(min(rounds + 2, ROUNDS), 12)
            assert time.monotonic() - killed_at < 11, "a killed node was not counted again within 10 s of its restart"
            time.sleep(chance.uniform(0, 0.3))
        assert run.wait(180) == 0, run.tail()
        check_undisturbed(run, ROUNDS, "a node's death")


def main():
    chance = random.Random(SEED)
    tap = Tap()
    print(f"# FEDRA_TEST_SEED={SEED}")
    tap.case("two_runs_with_one_seed_give_the_same_model_in_every_round", two_runs_give_the_same_digests)
    tap.case("a_coordinator_killed_at_random_instants_changes_no_model", killed_coordinator_gives_the_same_digests, chance)
    if "crash" in os.environ.get("FEDRA_BINARY", ""):
        for step in ("durable_file.before_rename:7", "store.before_commit:5", "store.after_commit:6"):
            tap.case(f"a_coordinator_that_dies_at_{step.split(':')[0]}_changes_no_model", dying_at_a_step_gives_the_same_digests, step)
    tap.case("killed_nodes_are_counted_again", killed_nodes_are_counted_again, chance)
    tap.finish()


main()
