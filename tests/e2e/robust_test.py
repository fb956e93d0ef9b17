"""robust_test.py - a federation in which three of twelve nodes lie, under the mean and under robust rules.

Goal: liars are named and the model comes out right; a kill of the coordinator changes no bit of it.
Method: real runs of a small job; the honest nodes' model is known: 1 everywhere.
"""
import struct
import time

from federation import TOP, Run, Tap

NODES, ROUNDS = 12, 6
LIARS = {f"spiffe://fedra.local/fedra/node/node-{number:03}" for number in range(NODES - 3, NODES)}


def sets(lie, rule, **more):
    return {"model.parameters": 100, "train.command": f"exec python3 {TOP}/tests/e2e/lying_trainer.py {lie}",
            "aggregation.k_threshold": "1.0", "aggregation.start_nodes": NODES, "convergence.max_rounds": ROUNDS,
            "robust.rule": rule, **more}


def model_of(run):
    data = (run.folder / "model.safetensors").read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    return struct.unpack(f"<{(len(data) - start) // 4}f", data[start:])


def error_of(run):
    return max(abs(x - 1) for x in model_of(run))


def finished(name, *arguments, **more):
    with Run(name, NODES, sets(*arguments, **more), example="copy", options=["--per-process", "4"]) as run:
        assert run.wait(100) == 0, run.tail()
        run.check_accounting()
        return run


def the_mean_is_led_astray():
    assert error_of(finished("robust_mean", "far", "mean")) > 0.5


def the_filter_names_the_liars_and_nobody_else():
    for lie, reasons in (("far", {"norm", "distance", "direction", "collusion"}), ("together", {"collusion"})):
        run = finished(f"robust_{lie}", lie, "filter")
        assert error_of(run) < 0.1, error_of(run)
        for line in run.metrics():
            named = {suspect["node"] for suspect in line["robust"]["suspects"]}
            assert named >= LIARS, line["robust"]
            assert line["robust"]["f"] == 4, line["robust"]  # 0.3 of 12, rounded up
            assert {suspect["reason"] for suspect in line["robust"]["suspects"] if suspect["node"] in LIARS} <= reasons, line
        assert "update.suspected" in run.log()


def rules_with_what_goes_before_them_bear_the_liars():
    for number, (rule, more) in enumerate((("trimmed_mean", {"robust.pre": "nnm"}), ("krum", {}),
                                           ("median", {"robust.pre": "arc, nnm", "robust.f": 3}),
                                           ("multi_krum", {"robust.set": "m=5"}))):
        run = finished(f"robust_rule_{number}", "far", rule, **more)
        assert error_of(run) < 0.15, (rule, error_of(run))


def a_kill_of_the_coordinator_changes_no_bit():
    expected = finished("robust_undisturbed", "together", "filter").digests()
    with Run("robust_killed", NODES, sets("together", "filter"), example="copy", options=["--per-process", "4"]) as run:
        for rounds in (1, 3):
            run.wait_for_rounds(rounds, 60)
            run.kill("coordinator")
            time.sleep(0.3)
        assert run.wait(100) == 0, run.tail()
        assert run.digests() == expected, (run.digests(), expected)
        run.check_accounting()


def main():
    tap = Tap()
    for case in (the_mean_is_led_astray, the_filter_names_the_liars_and_nobody_else,
                 rules_with_what_goes_before_them_bear_the_liars, a_kill_of_the_coordinator_changes_no_bit):
        tap.case(case.__name__, case)
    tap.finish()


main()
