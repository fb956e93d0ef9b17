"""sim_test.py - `fedra sim` as its users meet it: seeds, replays, wrong usage; its signer is in no other program."""
import os
import re
import subprocess
from pathlib import Path

from federation import Tap

FEDRA = Path(os.environ["FEDRA_BINARY"])


def sim(*arguments, code=0):
    done = subprocess.run([FEDRA, "sim", *arguments], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == code, f"exit {done.returncode}, not {code}: {done.stdout[-500:]}{done.stderr[-500:]}"
    return done.stdout + done.stderr


def seeds_are_run_and_counted():
    text = sim("--seeds", "1..60")
    assert re.search(r"^60 runs in ", text), text
    versions, again = map(int, re.search(r"(\d+) versions, (\d+) of them made again", text).groups())
    assert 0 < again < versions, text


def one_seed_gives_one_trace_whatever_the_processes():
    traces = {re.search(r"traces: (\w+)", sim("--seeds", "1..20", "--jobs", jobs))[1] for jobs in ("1", "2", "7")}
    assert len(traces) == 1, traces
    assert traces != {re.search(r"traces: (\w+)", sim("--seeds", "2..21"))[1]}


def a_run_is_told():
    text = sim("--seeds", "5", "--nodes", "3", "--only", "crash", "--trace")
    assert "world: the coordinator starts" in text and "n0002: trains for round 1" in text, text[:500]


def only_what_is_named_strikes():
    struck = re.search(r"struck:(.*)", sim("--seeds", "1..40", "--only", "crash,liar"))[1]
    counts = dict(re.findall(r"([\w-]+) (\d+)", struck))
    assert {name for name, count in counts.items() if int(count) > 0} == {"crash", "liar"}, counts
    assert not re.search(r" [1-9]", re.search(r"struck:(.*)", sim("--seeds", "1..20", "--only", "none"))[1])


def a_failing_seed_is_made_small_and_replayed():
    text = sim("--seeds", "3", "--set", "end_s=0.5,crashes=9", "--shrink", code=1)
    said, replay, runs = re.search(r"^seed 3 fails: (.*)\n  fedra sim (.*)\n  made smaller by (\d+) runs", text, re.MULTILINE).groups()
    assert "has not ended" in said and int(runs) > 5, text
    assert "--set" in replay and "nodes=1" in replay and not re.search(r"\bcrashes=[1-9]", replay), replay
    again = sim(*replay.split(), code=1)
    assert said in again, (said, again[-500:])


def wrong_usage_is_named():
    wrong = [(["--seeds", "x"], "one seed (17) or a range"), (["--seeds", "9..3"], "one seed (17) or a range"),
             (["--seeds", "1.."], "one seed (17) or a range"), (["--only", "crush"], "there is no fault crush"),
             (["--trace"], "give one seed"), (["--nodes", "0"], "--nodes"), (["--nodes", "10001"], "--nodes"),
             (["--minutes", "0"], "--minutes"), (["--sedes", "1"], "--seeds"),
             (["--set", "crush=1"], "none of the names"), (["--set", "nodes=0"], "from 1 to 10000")]
    for arguments, said in wrong:
        assert said in sim(*arguments, code=2), arguments


def the_faults_are_listed():
    names = re.findall(r"^  ([\w-]+) ", sim("--faults"), re.MULTILINE)
    assert "crash" in names and "partition" in names and len(names) == len(set(names)) > 10, names


def the_signer_that_proves_nothing_is_in_the_simulator_only():
    def symbols(program):
        return subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    assert "keyed_signer_init" in symbols(FEDRA.parent / "fedra-sim")
    assert "keyed" not in symbols(FEDRA)
    assert "sim_run" not in symbols(FEDRA)


def main():
    tap = Tap()
    for case in (seeds_are_run_and_counted, one_seed_gives_one_trace_whatever_the_processes, a_run_is_told,
                 only_what_is_named_strikes, a_failing_seed_is_made_small_and_replayed, wrong_usage_is_named, the_faults_are_listed,
                 the_signer_that_proves_nothing_is_in_the_simulator_only):
        tap.case(case.__name__, case)
    tap.finish()


main()
