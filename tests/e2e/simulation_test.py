"""simulation_test.py - `fedra sim FILE`: the job of a configuration on virtual time, with real training.

Goal: a simulated federation learns what a real one learns, bit for bit; one seed gives one result; time is that of the
machines and links that simulation.* imagines; bad input is named.
Method: the real programs on the first images of Fashion-MNIST; figures from the files that they leave.
"""
import json
import shutil
import signal
import subprocess
import time

from federation import FEDRA, PLAIN, SCRATCH, TOP, Run, Tap, few_images, processes_of

CALM = {"faults.slow.share": 0, "faults.kill.share": 0, "convergence.max_rounds": 3}


def command(name, nodes, sets, *options, example="fashion-mnist", fresh=True):
    folder = SCRATCH / name
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    words = [FEDRA, "sim", str(TOP / "examples" / f"{example}.yaml"), "--nodes", str(nodes), "--run-dir", str(folder), *options]
    plain = {**PLAIN, **few_images(2000), "validation.samples": 500} if example == "fashion-mnist" else {}
    for key, value in {**plain, **sets}.items():
        words += ["--set", f"{key}={value}"]
    return folder, words


def simulate(name, nodes, sets, *options, code=0, **more):
    folder, words = command(name, nodes, sets, *options, **more)
    done = subprocess.run(words, capture_output=True, text=True, cwd=TOP, stdin=subprocess.DEVNULL, timeout=100, check=False)
    assert done.returncode == code, (done.returncode, done.stdout[-800:], done.stderr[-800:])
    return folder, done.stdout + done.stderr


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def digests(folder):
    return [line["model_digest"] for line in metrics(folder)]


def without_memory(folder):
    return [{key: value for key, value in line.items() if key != "rss_bytes"} for line in metrics(folder)]


def it_learns_what_processes_learn():
    for rule in ("mean", "trimmed_mean", "validated"):
        sets = {**CALM, "aggregation.k_threshold": 1.0, "robust.rule": rule, "robust.tolerance": 0.2}
        folder, said = simulate(f"like-{rule}", 5, sets)
        with Run(f"real-{rule}", 5, {**few_images(2000), "validation.samples": 500, **sets}) as run:
            assert run.wait(90) == 0, run.tail()
            assert digests(folder) == [line["model_digest"] for line in run.metrics()], (folder, said)
            assert [line.get("robust") for line in metrics(folder)] == [line.get("robust") for line in run.metrics()]
            assert ("choice" in metrics(folder)[0].get("robust", {})) == (rule == "validated"), metrics(folder)
            ours, theirs = json.loads((folder / "summary.json").read_text()), run.summary()
            for key in ("outcome", "reason", "rounds", "accuracy", "loss", "nodes"):
                assert ours[key] == theirs[key], (key, ours, theirs)
            assert set(theirs) < set(ours), (ours, theirs)
        model = (folder / "model.safetensors").read_bytes()
        last = sorted((folder / "models").iterdir())[-1]
        assert model == last.read_bytes() and len(list((folder / "models").iterdir())) == 3


def one_seed_gives_one_result():
    sets = {"convergence.max_rounds": 6, "simulation.latency": "lognormal", "simulation.speed_spread": 0.5, "simulation.loss": 0.02,
            "simulation.up_s": 5, "simulation.down_s": 1, "aggregation.k_threshold": 0.7, "aggregation.late_updates": "next_round",
            "aggregation.timeout_s": 5, "faults.slow.share": 0.2, "faults.kill.share": 0.1, "faults.kill.after_rounds": 2}
    folder, _ = simulate("one", 20, sets, "--threads", "1")
    again, _ = simulate("again", 20, sets, "--threads", "4", "--trace")
    assert without_memory(folder) == without_memory(again)
    other, _ = simulate("other", 20, sets, "--seed", "2")
    assert digests(folder) != digests(other)
    story = (again / "trace.txt").read_text()
    assert "is switched off" in story and "round 1 opened" in story.lower() or "round 1" in story, story[:400]


def time_is_virtual_and_follows_from_the_machines():
    sets = {**CALM, "faults.slow.share": 0.2, "faults.slow.factor": 10, "simulation.sample_us": 50000, "data.partition": "iid",
            "train.local_epochs": 1, "aggregation.timeout_s": 86400}
    begun = time.monotonic()
    patient, said = simulate("patient", 10, {**sets, "aggregation.k_threshold": 1.0})
    hasty, _ = simulate("hasty", 10, {**sets, "aggregation.k_threshold": 0.8})
    took_s = time.monotonic() - begun
    slow_s, quick_s = metrics(patient)[0]["round_ms"] / 1e3, metrics(hasty)[0]["round_ms"] / 1e3
    # 1,500 samples for ten nodes, 50 ms each: 7.5 s, and 75 s for a slow one; and the way there and back
    assert 75 < slow_s < 78 and 7.5 < quick_s < 10, (slow_s, quick_s)
    assert metrics(patient)[-1]["virtual_s"] > 225 > took_s, (said, took_s)
    # 79,510 parameters in 4 bytes over 1 Mbit/s, down and up: 5 s more
    narrow, _ = simulate("narrow", 10, {**sets, "aggregation.k_threshold": 0.8, "simulation.node_mbit": 1, "simulation.latency_ms": 1})
    more_s = metrics(narrow)[0]["round_ms"] / 1e3 - quick_s
    parameters = 784 * 128 + 128 + 128 * 10 + 10
    assert abs(more_s - 2 * parameters * 32 / 1e6) < 0.5, (more_s, quick_s)


def nodes_that_come_and_go_do_not_stop_it():
    sets = {"convergence.max_rounds": 12, "simulation.up_s": 3, "simulation.down_s": 3, "aggregation.timeout_s": 2,
            "aggregation.k_threshold": 0.9, "aggregation.min_updates": 2, "limits.rounds_repeat_max": 100,
            "simulation.sample_us": 2000}
    folder, _ = simulate("away", 12, sets, "--trace")
    lines = metrics(folder)
    assert len(lines) == 12 and min(line["accepted"] for line in lines) >= 2
    assert (folder / "trace.txt").read_text().count("is switched off") > 10


def faults_do_not_lose_rounds():
    sets = {"convergence.max_rounds": 10, "simulation.faults": "crash,node-crash,partition,disk,stop,duplicate,half-open,zombie",
            "simulation.faults_s": 30, "simulation.sample_us": 3000, "aggregation.timeout_s": 3, "limits.rounds_repeat_max": 1000,
            "aggregation.k_threshold": 0.8, "aggregation.min_updates": 2}
    for seed, rule in (("1", "mean"), ("2", "validated"), ("3", "mean")):
        folder, _ = simulate("faults", 12, {**sets, "robust.rule": rule}, "--trace", "--seed", seed)
        lines = metrics(folder)
        assert [line["round"] for line in lines] == list(range(1, 11)), lines
        assert json.loads((folder / "summary.json").read_text())["rounds"] == 10
    assert "the coordinator" in (folder / "trace.txt").read_text()
    assert "simulation.faults: crush: names of" in simulate("faults", 3, {"simulation.faults": "crush"}, code=1)[1]


def a_coordinator_that_dies_remembers_what_it_chose_by():
    sets = {"convergence.max_rounds": 10, "simulation.faults": "crash", "simulation.faults_s": 300, "simulation.sample_us": 3000,
            "aggregation.timeout_s": 3, "limits.rounds_repeat_max": 1000, "aggregation.k_threshold": 0.8, "robust.rule": "validated"}
    folder, _ = simulate("remembers", 12, sets, "--trace", "--seed", "3")  # the simulation compares with what became durable
    first_s = metrics(folder)[0]["virtual_s"]
    starts = [float(line.split()[0]) for line in (folder / "trace.txt").read_text().splitlines() if "the coordinator starts" in line]
    assert sum(start_s > first_s for start_s in starts) > 1, (starts, first_s)


def programs_train_too():
    folder, _ = simulate("copy", 24, {"convergence.max_rounds": 2}, example="copy")
    assert [line["accepted"] for line in metrics(folder)] == [24, 24], metrics(folder)
    assert "trainer.ready" in (folder / "logs" / "simulation.log").read_text()
    for _ in range(100):
        running = processes_of(str(folder))
        if not running:
            return
        time.sleep(0.1)
    raise AssertionError(f"a trainer outlives the simulation: {running}")


def a_program_that_died_is_started_again():
    told = SCRATCH / "again-told"
    shutil.rmtree(told, ignore_errors=True)
    told.mkdir(parents=True)
    program = f'echo "$FEDRA_JOB $FEDRA_NODE" >>{told}/$FEDRA_PART; [ $(wc -l <{told}/$FEDRA_PART) != 1 ] || exit 7; exec examples/trainers/copy.sh'
    folder, _ = simulate("again", 3, {"convergence.max_rounds": 2, "train.command": program}, example="copy")
    assert [line["accepted"] for line in metrics(folder)] == [3, 3], metrics(folder)
    for node in range(3):
        assert (told / str(node)).read_text() == f"copy node-00{node}\n" * 2, (told / str(node)).read_text()


def latencies_come_from_a_table():
    table = SCRATCH / "latencies.txt"
    SCRATCH.mkdir(parents=True, exist_ok=True)
    table.write_text("# of a link, ms\n3000\n\n3000 # twice\n")
    sets = {**CALM, "simulation.latency": "table", "simulation.latency_file": table}
    folder, _ = simulate("table", 3, sets)
    assert metrics(folder)[1]["round_ms"] > 6000, metrics(folder)  # there and back
    for text, said in (("1\nx\n", f"{table}:2: a latency in ms is wanted"), ("# none\n", "there is no latency in it"),
                       ("-1\n", f"{table}:1: a latency in ms is wanted")):
        table.write_text(text)
        assert said in simulate("table", 3, sets, code=1)[1]
    table.unlink()
    assert f"simulation.latency_file: {table}" in simulate("table", 3, sets, code=1)[1]


def wrong_usage_is_named():
    folder, _ = simulate("there", 2, CALM)
    for arguments, code, said in (
            (["nowhere.yaml"], 2, "nowhere.yaml"), ([str(TOP / "examples" / "fashion-mnist.yaml"), "--nodes", "0"], 2, "--nodes"),
            ([str(TOP / "examples" / "fashion-mnist.yaml"), "--seeds", "1..5"], 2, "--seeds"),
            ([str(TOP / "examples" / "fashion-mnist.yaml"), "--set", "simulation.latency=table"], 2, "simulation.latency_file"),
            ([str(TOP / "examples" / "fashion-mnist.yaml"), "--run-dir", str(folder)], 1, "is not empty")):
        done = subprocess.run([FEDRA, "sim", *arguments], capture_output=True, text=True, cwd=TOP, timeout=60, check=False)
        assert done.returncode == code and said in done.stderr, (arguments, done.returncode, done.stdout, done.stderr)


def an_interruption_ends_it():
    _, words = command("interrupted", 50, {**CALM, "convergence.max_rounds": 100000, "convergence.min_rounds": 100000})
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=TOP) as process:
        for line in process.stdout:
            if line.startswith("round   2"):
                break
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
        assert process.wait(30) == 130 and "interrupted" in said, said[-300:]


def main():
    tap = Tap()
    tap.case("it_learns_what_processes_learn", it_learns_what_processes_learn)
    tap.case("one_seed_gives_one_result", one_seed_gives_one_result)
    tap.case("time_is_virtual_and_follows_from_the_machines", time_is_virtual_and_follows_from_the_machines)
    tap.case("nodes_that_come_and_go_do_not_stop_it", nodes_that_come_and_go_do_not_stop_it)
    tap.case("faults_do_not_lose_rounds", faults_do_not_lose_rounds)
    tap.case("a_coordinator_that_dies_remembers_what_it_chose_by", a_coordinator_that_dies_remembers_what_it_chose_by)
    tap.case("programs_train_too", programs_train_too)
    tap.case("a_program_that_died_is_started_again", a_program_that_died_is_started_again)
    tap.case("latencies_come_from_a_table", latencies_come_from_a_table)
    tap.case("wrong_usage_is_named", wrong_usage_is_named)
    tap.case("an_interruption_ends_it", an_interruption_ends_it)
    tap.finish()


if __name__ == "__main__":
    main()
