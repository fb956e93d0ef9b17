"""lab_test.py - `fedra lab`: rules against attacks on a real task.

Goal: every training is run once, whatever stops the laboratory in between; results do not depend on the number of processes;
a defence shows; bad input is named.
Method: the real program on few nodes and rounds; figures from its results.
"""
import json
import shutil
import signal
import subprocess
import time

from federation import FEDRA, SCRATCH, TOP, Tap, few_images, processes_of

LAB = str(TOP / "examples" / "lab-quick.yaml")
SMALL = {**few_images(2000), "lab.nodes": 12, "lab.node_samples": 60, "lab.rounds": 8, "lab.rules": "mean,median", "lab.attacks": "none,scale_10,label_flip"}


def words(folder, sets, *options):
    command = [FEDRA, "lab", LAB, "--run-dir", str(folder), *options]
    for key, value in sets.items():
        command += ["--set", f"{key}={value}"]
    return command


def lab(folder, sets, *options, code=0):
    done = subprocess.run(words(folder, sets, *options), capture_output=True, text=True, cwd=TOP, timeout=120, check=False)
    assert done.returncode == code, (done.returncode, done.stdout[-800:], done.stderr[-800:])
    return done.stdout + done.stderr


def fresh(name):
    folder = SCRATCH / name
    shutil.rmtree(folder, ignore_errors=True)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    return folder


def results(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def key(line):
    return tuple(line[name] for name in ("rule", "attack", "alpha", "share", "jitter", "seed"))


def figures(folder):
    return {key(line): (line["accuracy"], line["loss"], line["detected"], line["false_alarms"], tuple(line["curve"])) for line in results(folder)}


def results_do_not_depend_on_processes():
    one, many = fresh("one"), fresh("many")
    lab(one, SMALL, "--jobs", "1")
    said = lab(many, SMALL, "--jobs", "3")
    assert len(results(one)) == 6 and figures(one) == figures(many)
    assert "6 of 6 trainings" in said, said
    page = (many / "results.html").read_text()
    assert "scale_10" in page and "<svg" in page and "http" not in page and "<script" not in page


def a_defence_shows():
    folder = fresh("defence")
    sets = {**SMALL, "lab.nodes": 20, "lab.rounds": 10, "lab.rules": "mean,median,filter", "lab.attacks": "none,scale_10,mean_sign_flip"}
    said = lab(folder, sets)
    found = figures(folder)
    accuracy = {(k[0], k[1]): v[0] for k, v in found.items()}
    assert accuracy["filter", "scale_10"] > accuracy["mean", "scale_10"] + 0.05, said
    assert accuracy["filter", "mean_sign_flip"] > accuracy["mean", "mean_sign_flip"] + 0.05, said
    assert abs(accuracy["filter", "none"] - accuracy["mean", "none"]) < 0.03, said
    detected = {(k[0], k[1]): v[2] for k, v in found.items()}
    assert detected["filter", "mean_sign_flip"] > 0.9 and detected["mean", "mean_sign_flip"] == 0, detected
    assert detected["filter", "none"] is None


def stopped_it_goes_on():
    folder = fresh("stopped")
    sets = {**SMALL, "lab.rounds": 30, "lab.seeds": 4}
    with subprocess.Popen(words(folder, sets, "--jobs", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=TOP) as process:
        end = time.monotonic() + 60
        while not ((folder / "results.jsonl").exists() and len((folder / "results.jsonl").read_text().splitlines()) > 2):
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
        assert process.wait(60) == 130 and "goes on" in said, said
    before = len(results(folder))
    assert before < 24, "it was too quick to be stopped"
    with open(folder / "results.jsonl", "a") as file:
        file.write('{"settings":"')  # a line that a power failure cut off
    said = lab(folder, sets)
    assert f"{before} of them done" in said, said
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines() if line.endswith("}")]
    assert len(lines) == 24 and len({key(line) for line in lines}) == 24, len(lines)
    assert "24 of 24 trainings" in lab(folder, sets)


def a_killed_one_leaves_no_process():
    folder = fresh("killed")
    with subprocess.Popen(words(folder, {**SMALL, "lab.rounds": 300, "lab.seeds": 20}, "--jobs", "2"), stdout=subprocess.DEVNULL, cwd=TOP) as process:
        time.sleep(1)
        process.kill()
        process.wait(10)
    for _ in range(200):
        if not processes_of(str(folder)):
            return
        time.sleep(0.05)
    raise AssertionError("a process goes on")


def wrong_usage_is_named():
    folder = fresh("wrong")
    for sets, code, said in (
            ({"lab.rules": "mean,medain"}, 1, "lab.rules: medain: "), ({"lab.attacks": "all,x"}, 1, "lab.attacks: x: there is no such attack"),
            ({"lab.shares": "0.3,0.7"}, 1, "lab.shares: 0.7: a number from 0 to 0.5"), ({"lab.alphas": "0"}, 1, "lab.alphas: 0: a number"),
            ({"lab.rules": "validated=0"}, 1, "validated=N wants"), ({"lab.rules": "nnm"}, 1, "lab.rules: nnm: "),
            ({"lab.seeds": 0}, 2, "lab.seeds"), ({"train.trainer": "fixed"}, 1, "a laboratory wants train.trainer builtin"),
            ({"lab.seeds": 1000, "lab.attacks": "all", "lab.alphas": "1,2,3,4,5,6,7,8,9"}, 1, "at most 200000 are wanted")):
        assert said in lab(folder, {**SMALL, **sets}, code=code), (sets, said)
    done = subprocess.run([FEDRA, "lab"], capture_output=True, text=True, cwd=TOP, timeout=20, check=False)
    assert done.returncode == 2 and "examples/lab-quick.yaml" in done.stderr, done
    lab(folder, {**SMALL, "lab.rounds": 1})
    assert "results.jsonl:1: is of other settings" in lab(folder, {**SMALL, "lab.rounds": 2}, code=1)


def attacks_are_listed_and_in_no_other_program():
    said = subprocess.run([FEDRA, "lab", "--attacks"], capture_output=True, text=True, timeout=20, check=True).stdout
    assert len(said.splitlines()) == 22 and "a_little_max" in said, said
    symbols = subprocess.run(["nm", FEDRA], capture_output=True, text=True, check=True).stdout
    assert "attack_make" not in symbols and "lab_cell_run" not in symbols


def main():
    tap = Tap()
    for case in (results_do_not_depend_on_processes, a_defence_shows, stopped_it_goes_on, a_killed_one_leaves_no_process,
                 wrong_usage_is_named, attacks_are_listed_and_in_no_other_program):
        tap.case(case.__name__, case)
    tap.finish()


if __name__ == "__main__":
    main()
