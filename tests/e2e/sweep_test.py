"""sweep_test.py - `fedra sim FILE --sweep`: combinations and seeds as runs of their own, the table and the page of them.

Goal: what the table says is what the runs' own files say, reckoned here once more; a sweep that was interrupted goes on, and
comes to the same end; what it is asked in a wrong way is named before the first run.
"""
import html.parser
import json
import re
import shutil
import signal
import statistics
import subprocess
import time

from federation import FEDRA, PLAIN, SCRATCH, TOP, Tap, few_images

KEY = "aggregation.k_threshold"
EXAMPLE = TOP / "examples" / "fashion-mnist.yaml"
NODES, ROUNDS, SEEDS = 10, 4, (1, 2, 3)


def command(*arguments, sets=None):
    words = [FEDRA, "sim", str(EXAMPLE), "--nodes", str(NODES)]
    settings = {**PLAIN, **few_images(1500), "validation.samples": 300, "train.local_epochs": 1, "aggregation.min_updates": 2,
                "faults.slow.share": 0.2, "simulation.sample_us": 10000, "faults.kill.share": 0, "convergence.max_rounds": ROUNDS, **(sets or {})}
    for key, value in settings.items():
        words += ["--set", f"{key}={value}"]
    return words + [str(argument) for argument in arguments]


def run(*arguments, code=0, sets=None):
    done = subprocess.run(command(*arguments, sets=sets), stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=TOP,
                          timeout=200, check=False)
    assert done.returncode == code, f"exit {done.returncode}, not {code}: {done.stdout[-800:]}{done.stderr[-800:]}"
    return done


def folder_of(name):
    folder = SCRATCH / name
    shutil.rmtree(folder, ignore_errors=True)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    return folder


def run_of(folder, setting, seed):
    return folder / setting / f"seed-{seed}"


def metrics(run_folder):
    return [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]


def summary(run_folder):
    return json.loads((run_folder / "summary.json").read_text())


def rows(text):
    """The table: setting -> cells by their heads."""
    lines = text.splitlines()
    heads = re.split(r"\s{2,}", lines[0].strip())
    end = lines.index("")
    return {cells[0]: dict(zip(heads, cells)) for cells in (re.split(r"\s{2,}", line.strip()) for line in lines[1:end])}


class Page(html.parser.HTMLParser):
    """What a page consists of; its parser is strict about nothing, so the tags are counted."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.cells = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> ends {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, text):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(text)


def the_table_says_what_the_runs_say():
    folder = folder_of("table")
    page = SCRATCH / "table.html"
    done = run("--sweep", f"{KEY}=0.5,1.0", "--repeat", 3, "--run-dir", folder, "--html", page)
    table = rows(done.stdout)
    assert list(table) == [f"{KEY}=0.5", f"{KEY}=1.0"], done.stdout
    runs = {setting: [run_of(folder, setting, seed) for seed in SEEDS] for setting in table}
    last = {setting: [metrics(r)[-1]["accuracy"] for r in of] for setting, of in runs.items()}
    target = 0.95 * max(statistics.median(values) for values in last.values())
    for setting, cells in table.items():
        finals = [summary(r)["accuracy"] for r in runs[setting]]
        times = [next((m["virtual_s"] for m in metrics(r) if m["accuracy"] >= target), float("inf")) for r in runs[setting]]
        wanted = f"{statistics.mean(finals):.4f} ({min(finals):.4f} to {max(finals):.4f})"
        assert cells["final accuracy"] == wanted, (cells, wanted)
        assert cells["reached"] == f"{sum(t < float('inf') for t in times)} of 3", (cells, times)
        middle = statistics.median(times)
        reached = cells[f"virtual s to {target:.4f}"]
        assert reached.startswith(f"{middle:.1f} (") if middle < float("inf") else reached == "not reached", (cells, times)
        assert cells["rounds"] == str(ROUNDS), cells
    # Of ten nodes two are ten times as slow: who waits for all of them takes longer.
    ends = {setting: statistics.median(summary(r)["virtual_seconds"] for r in of) for setting, of in runs.items()}
    assert ends[f"{KEY}=1.0"] > 3 * ends[f"{KEY}=0.5"], ends
    text = page.read_text()
    parsed = Page(text)
    assert parsed.open == [], parsed.open
    assert not {tag for tag, _attributes in parsed.tags} & {"script", "link", "img", "iframe"}, "needs something from elsewhere"
    assert "http" not in text and "url(" not in text
    assert sum(tag == "polyline" for tag, _attributes in parsed.tags) == 2
    for cells in table.values():
        assert set(cells.values()) <= set(parsed.cells), (cells, parsed.cells)


def a_run_is_that_of_fedra_sim():
    folder = folder_of("alone")
    alone = folder_of("alone-single")
    run("--sweep", f"{KEY}=0.5,0.8", "--repeat", 2, "--run-dir", folder, "--seed", 5)
    run("--seed", 6, "--run-dir", alone, sets={KEY: 0.8})
    digests = [[line["model_digest"] for line in metrics(path)] for path in (run_of(folder, f"{KEY}=0.8", 6), alone)]
    assert digests[0] == digests[1] and len(set(digests[0])) == ROUNDS
    assert digests[0] != [line["model_digest"] for line in metrics(run_of(folder, f"{KEY}=0.5", 6))]


def the_figures(text):
    """The table without what the machine's speed decides."""
    return {setting: {head: cell for head, cell in cells.items() if head not in ("wall s", "peak MB")}
            for setting, cells in rows(text).items()}


def what_has_ended_is_not_run_again():
    folder = folder_of("again")
    arguments = ("--sweep", f"{KEY}=0.5,1.0", "--repeat", 2, "--run-dir", folder)
    first = run(*arguments)
    assert "before" not in first.stderr
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("*/seed-*/summary.json")}
    assert len(stamps) == 4
    gone = run_of(folder, f"{KEY}=1.0", 1)
    (gone / "summary.json").unlink()  # as if it had been killed before its end
    second = run(*arguments)
    assert second.stderr.count(", before") == 3, second.stderr
    changed = [path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp]
    assert changed == [gone / "summary.json"], changed
    assert the_figures(first.stdout) == the_figures(second.stdout)
    third = run("--sweep", f"{KEY}=0.5,0.8,1.0", "--repeat", 2, "--run-dir", folder)  # one more value
    assert third.stderr.count(", before") == 4 and len(rows(third.stdout)) == 3, third.stderr


def children(pid):
    try:
        return (TOP / f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def an_interrupted_sweep_goes_on():
    folder = folder_of("interrupted")
    arguments = ("--sweep", f"{KEY}=0.5,1.0", "--repeat", 3, "--run-dir", folder, "--jobs", 2)
    with subprocess.Popen(command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, cwd=TOP) as process:
        end = time.monotonic() + 100
        while not list(folder.glob("*/seed-*/summary.json")) and time.monotonic() < end:
            time.sleep(0.01)
        running = children(process.pid)
        process.send_signal(signal.SIGINT)
        _out, said = process.communicate(timeout=60)
    assert process.returncode == 130, (process.returncode, said)
    assert "interrupted" in said, said
    assert running and not [pid for pid in running if (TOP / f"/proc/{pid}").exists()], "a run outlives the sweep"
    before = len(list(folder.glob("*/seed-*/summary.json")))
    assert 0 < before < 6, before
    done = run(*arguments)
    assert done.stderr.count(", before") == before, done.stderr
    whole = run(*arguments[:4], "--run-dir", folder_of("whole"))
    assert the_figures(done.stdout) == the_figures(whole.stdout)


def a_folder_is_of_one_configuration():
    folder = folder_of("other")
    run("--sweep", f"{KEY}=0.5", "--run-dir", folder)
    said = run("--sweep", f"{KEY}=0.5", "--run-dir", folder, sets={"train.batch_size": 7}, code=1).stderr
    assert "of another configuration" in said and "settings.yaml" in said, said
    foreign = folder_of("foreign")
    foreign.mkdir()
    (foreign / "mine.txt").write_text("not to be lost\n")
    said = run("--sweep", f"{KEY}=0.5", "--run-dir", foreign, code=1).stderr
    assert "something else than a sweep" in said and (foreign / "mine.txt").exists(), said


def a_run_that_fails_is_named():
    folder = folder_of("fails")
    said = run("--sweep", "train.nice=0", "--run-dir", folder, code=1,
               sets={"data.path": "/no/such.safetensors"}).stderr
    assert "train.nice=0 seed 1 failed" in said and "seed-1.log" in said and "/no/such.safetensors" in said, said


def wrong_usage_is_named_before_the_first_run():
    wrong = [(["--sweep", "aggregation.k_treshold=1"], "did you mean aggregation.k_threshold?"), (["--sweep", f"{KEY}="], "has no values"),
             (["--sweep", f"{KEY}=0.5,7"], "7"), (["--sweep", f"{KEY}=0.5,x"], "--sweep aggregation.k_threshold=x"),
             (["--sweep", KEY], "has no ="), (["--sweep", "train.batch_size=" + ",".join(map(str, range(1, 66)))], "64"),
             (["--repeat", "0"], "--repeat"), (["--repeat", "101"], "--repeat"), (["--target", "1.5"], "--target"),
             (["--target", "x", "--sweep", f"{KEY}=1"], "--target"), (["--sweep", "convergence.max_rounds=2,3"], "--set gives that key too"),
             (["--sweep", "validation.source=none,central"], "validation.source"), (["--sweep", f"{KEY}=1", "--trace"], "--trace")]
    for arguments, said in wrong:
        folder = folder_of("wrong")
        text = run(*arguments, "--run-dir", folder, code=2).stderr
        assert said in text, (arguments, text)
        assert not folder.exists(), arguments
    said = run("--sweep", f"{KEY}=1", "--html", SCRATCH / "no-such-folder" / "x.html", "--run-dir", folder_of("wrong"), code=1).stderr
    assert "--html" in said, said


def main():
    tap = Tap()
    for case in (the_table_says_what_the_runs_say, a_run_is_that_of_fedra_sim, what_has_ended_is_not_run_again,
                 an_interrupted_sweep_goes_on, a_folder_is_of_one_configuration, a_run_that_fails_is_named,
                 wrong_usage_is_named_before_the_first_run):
        tap.case(case.__name__, case)
    tap.finish()


main()
