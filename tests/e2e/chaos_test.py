"""chaos_test.py - federations of real processes while their machines, disks, networks and system calls fail.

Goal: whatever happens and whenever, nothing that was acknowledged is lost or counted twice, no version has two contents, each
model is what its counted updates make of the one before, every death says why; and once all is well again the job goes on
with everybody and ends in time.
Method: docs/chaos.md. FEDRA_TEST_SEED repeats what was drawn; the argument `long` makes it long; FEDRA_TEST_ONLY chooses cases
by a part of their names.
"""
import os
import random
import re
import signal
import subprocess
import sys
import time

import chaos_world
from chaos_federation import Federation
from chaos_world import Disk, Network, left_processes
from federation import FEDRA, SCRATCH, Run, Tap
from records import check_chain, check_models

SEED = int(os.environ.get("FEDRA_TEST_SEED", time.time_ns() % 1000000))
LONG = "long" in sys.argv[1:]
NODES = [f"node-{i:03d}" for i in range(5)]
BACK_S = 45   # from the end of all faults until everybody was counted again
END_S = 30    # from the last order until every process has ended
CALM = 6      # rounds that the job still makes then
NEVER = 1000000
SETTINGS = {"model.kind": "flat", "train.trainer": "fixed", "data.format": "none", "validation.source": "none",
            "aggregation.start_nodes": len(NODES), "aggregation.start_timeout_s": 20, "aggregation.min_updates": 1,
            "convergence.max_rounds": NEVER, "convergence.gradient_threshold": 0, "convergence.patience": NEVER,
            "convergence.divergence_patience": NEVER, "limits.rounds_repeat_max": NEVER, "optimiser.momentum": 0.9}
KEEP = {500: "all", 100000: 3}  # parameters -> rounds whose updates are kept for the audit
ALONE = {
    "kills": ("kill",), "stops": ("stop", "freeze", "kill"), "full_disks": ("full", "full_center"), "failing_calls": ("calls",),
    "cuts": ("cut", "one_way"), "bad_networks": ("loss", "rate", "delay"), "full_disks_and_failing_calls": ("full", "calls", "kill"),
}
totals = {"federations": 0, "faults": 0, "rounds": 0, "counted": 0, "dropped": 0, "killed": 0, "faulted": 0, "aborted": 0, "renewed": 0, "issued_anew": 0,
          "audited": 0}
slowest = {"back": 0.0, "end": 0.0}


def draw_settings(chance, span_s):
    """The job; what it depends on is that of the simulator's runs."""
    parameters = chance.choice([500, 500, 100000])
    settings = {**SETTINGS, "job.seed": chance.randrange(1000), "model.parameters": parameters, "audit.keep_updates": KEEP[parameters],
                "train.fixed_wait_s": round(chance.uniform(0.02, 0.3), 3), "aggregation.k_threshold": chance.choice([0.6, 0.85, 1.0]),
                "aggregation.timeout_s": round(chance.uniform(0.7, 3), 1),
                "aggregation.late_updates": chance.choice(["discard", "next_round", "momentum"]),
                # Half of a short life is over while things go wrong, its end is not.
                "identity.ttl_s": chance.choice([3600, max(20, int(1.5 * span_s))]),
                "aggregation.share": chance.choice([1, 1, 0.6]), "limits.heartbeat_s": chance.choice([0.5, 1, 2]),
                "robust.rule": chance.choice(["mean", "mean", "mean", "median"]), "limits.models_keep": chance.choice([0, 0, 3]),
                "optimiser.kind": chance.choice(["sgd", "sgd", "momentum", "adam"])}
    return settings, parameters


class Chaos:
    """Draws faults and carries them out. Each lasts a while; the last one of a kind on a machine is the one that holds."""

    def __init__(self, run, kinds, chance, span_s):
        self.run, self.kinds, self.chance, self.span_s = run, kinds, chance, span_s
        self.due = []      # (when, function), in the order of time
        self.current = {}  # (group of kinds, machine) -> number of the fault
        self.faults = 0
        self.told = []
        self.begun = time.monotonic()
        for kind in kinds:
            for _ in range(chance.randint(2, 4) if len(kinds) < 4 else chance.randint(1, 2)):
                self.draw(kind)
        self.due.sort(key=lambda item: item[0])

    def draw(self, kind):
        name = "center" if kind == "full_center" or self.chance.random() < 0.4 else self.chance.choice(NODES)
        at = self.chance.uniform(0, 0.7 * self.span_s)
        lasts = min(self.chance.expovariate(1 / 2.5) + 0.2, self.span_s - at, self.span_s / 2)
        if kind == "freeze":
            lasts = self.chance.uniform(0.2, 0.5) * self.span_s
        detail = getattr(self, f"draw_{kind}")(name)
        self.faults += 1
        number = self.faults
        group = {"cut": "net", "one_way": "net", "loss": "net", "full_center": "full"}.get(kind, kind)
        self.told.append(f"{at:.1f}s {kind} {name} {lasts:.1f}s {detail[0]}".rstrip())

        def begin():
            self.current[group, name] = number
            detail[1]()

        def end():
            if self.current.get((group, name)) == number:
                detail[2]()

        self.due += [(at, begin), (at + lasts, end)]

    def draw_kill(self, name):
        return "", lambda: self.run.machines[name].send(signal.SIGKILL), lambda: None

    def draw_stop(self, name):
        machine = self.run.machines[name]
        return "", lambda: machine.send(signal.SIGSTOP), lambda: machine.send(signal.SIGCONT)

    draw_freeze = draw_stop

    def draw_full(self, name):
        disk = self.run.machines[name].disk
        left = self.chance.choice([0, 0, 4096, 16384, 65536])
        return f"left={left}", lambda: disk.fill(left), disk.free

    draw_full_center = draw_full

    def draw_calls(self, name):
        machine = self.run.machines[name]
        environment, names = chaos_world.failing_calls(self.chance)
        return ",".join(names), lambda: self.run.fail_calls(machine, environment, names), lambda: None

    def draw_filter(self, name, to, away):
        network = self.run.network
        return f"to={to!r} away={away!r}", lambda: network.drop(name, to, away), lambda: network.drop(name, "", "")

    def draw_cut(self, name):
        return self.draw_filter(name, "drop", "drop")

    def draw_one_way(self, name):
        return self.draw_filter(name, *self.chance.choice([("drop", ""), ("", "drop")]))

    def draw_loss(self, name):
        rule = f"numgen random mod 100 < {self.chance.choice([2, 10, 30])} drop"
        return self.draw_filter(name, rule, self.chance.choice([rule, ""]))

    def draw_rate(self, name):
        network, kbit = self.run.network, self.chance.choice([64, 256, 1000])
        return f"kbit={kbit}", lambda: network.rate(name, kbit), lambda: network.rate(name, None)

    def draw_delay(self, name):
        network, delay_ms, jitter_ms = self.run.network, self.chance.choice([20, 200, 1000]), self.chance.choice([0, 100, 500])
        return f"delay={delay_ms}+{jitter_ms}ms", lambda: network.delay(name, delay_ms, jitter_ms), lambda: network.delay(name, 0, 0)

    def carry_out(self):
        self.begun = time.monotonic()
        for when, function in self.due:
            self.run.run_until(lambda: time.monotonic() - self.begun >= when, self.span_s + 10, "a fault")
            function()
        self.run.run_until(lambda: time.monotonic() - self.begun >= self.span_s, self.span_s + 10, "the last fault")
        self.run.heal()


def everybody_is_back(run):
    """Within a stated time of the last fault each node is counted again."""
    begun = time.monotonic()
    sequence = run.last_sequence()
    looked = 0.0

    def is_back():
        nonlocal looked
        if time.monotonic() - looked < 0.3:
            return False
        looked = time.monotonic()
        return run.counted_since(sequence) == set(NODES)

    run.run_until(is_back, BACK_S, "everybody is counted again")
    slowest["back"] = max(slowest["back"], time.monotonic() - begun)


def end_job(run, chance):
    """By the round that is the last one, told to a coordinator that was killed; or by who runs it."""
    begun = time.monotonic()
    how = chance.choice(["exhausted", "cancelled"])
    if how == "exhausted":
        run.center.extra = ["--set", f"convergence.max_rounds={max(run.digests_seen) + CALM}"]
        run.center.send(signal.SIGKILL)
    else:
        assert run.center.send(signal.SIGTERM), "there is no coordinator to cancel the job"
    run.run_until(run.has_ended, END_S, f"the job ends ({how})")
    slowest["end"] = max(slowest["end"], time.monotonic() - begun)
    summary = run.summary()
    assert summary["outcome"] == how and summary["nodes"] == len(NODES), summary
    assert how == "cancelled" or summary["rounds"] == int(run.center.extra[1].split("=")[1]), summary


def check_versions(run):
    """What nodes were told of their updates is where the database has them; metrics are the database's, each round once."""
    with run.database() as database:
        counted = {(node.rsplit("/", 1)[1], round_, payload.hex()): number for node, round_, payload, number in database.execute(
            "SELECT node, counted.round, payload, number FROM counted JOIN commits USING (sequence)")}
        lines = [line for line, in database.execute("SELECT line FROM metrics ORDER BY sequence")]
        twice = database.execute("SELECT number FROM commits GROUP BY number HAVING COUNT(*) > 1").fetchall()
        named = {name for name, in database.execute("SELECT file FROM models")}
    assert not twice, f"versions {twice} were committed twice"
    told = 0
    for node, records in run.receipts().items():
        for _sequence, round_, digest, state, detail in records:
            if state == "COUNTED":
                told += 1
                number = counted[node, round_, digest]
                assert detail == f"version={number}", f"{node} was told {detail} for round {round_}; it is in version {number}"
    assert told == len(counted), f"{len(counted)} updates are counted, of {told} the nodes know"
    assert (run.folder / "metrics.jsonl").read_text() == "".join(line + "\n" for line in lines), "metrics.jsonl is not the database's"
    rounds = [line["round"] for line in run.metrics()]
    assert rounds == list(range(1, len(rounds) + 1)), "not one line a round"
    kept = {path.name for path in (run.job / "models").iterdir()}
    assert kept == named, f"model files and commits differ: {kept ^ named}"


def audit(run):
    """Somebody who was not there comes to the same, bit for bit where the updates were kept."""
    done = subprocess.run([FEDRA, "audit", str(run.folder), "--bundle", str(run.folder / "identity" / "bundle.pem")],
                          capture_output=True, text=True)
    assert done.returncode == 0, f"fedra audit: {done.returncode}: {(done.stdout + done.stderr)[-1200:]}"
    again = re.search(r"(\d+) of \d+ rounds computed again, bit for bit", done.stdout)
    assert again and int(again[1]) > 0, done.stdout
    totals["audited"] += int(again[1])


def check_records(run, settings, parameters):
    run.check_accounting()
    _commits, counted = check_chain(run)
    check_versions(run)
    if settings["robust.rule"] == "mean" and settings["optimiser.kind"] == "sgd" and settings["limits.models_keep"] == 0:
        check_models(run, 0.9 if settings["aggregation.late_updates"] == "momentum" else 0.0, parameters)
    audit(run)
    finals = [state for lines in run.receipts().values() for *_rest, state, _detail in lines]
    totals["rounds"] += len(run.metrics())
    totals["counted"] += counted
    totals["dropped"] += finals.count("DROPPED")


def check_full_disks(run):
    """Who died of a full disk said that it was that."""
    for machine in run.machines.values():
        said = len(re.findall(r"no space left|disk is full", machine.said(), re.IGNORECASE))
        assert said >= machine.exits.count(1), f"{machine.name} died {machine.exits.count(1)} times: {machine.said()[-600:]!r}"


def chaos_harms_nothing(network, name, kinds, seed, span_s):
    chance = random.Random(seed)
    settings, parameters = draw_settings(chance, span_s)
    with Federation(f"chaos-{name}-{seed}", network, settings, parameters) as run:
        run.run_until(lambda: len(run.digests_seen) > 1, 40, "the first rounds")
        chaos = Chaos(run, kinds, chance, span_s)
        print(f"# {name}, seed {seed}: " + "; ".join(chaos.told), flush=True)
        chaos.carry_out()
        everybody_is_back(run)
        end_job(run, chance)
        check_records(run, settings, parameters)
        if set(kinds) <= {"full", "full_center"}:
            check_full_disks(run)
        authority = run.machines["authority"].process
        authority.send_signal(signal.SIGTERM)
        assert authority.wait(10) == 0, f"the authority ended with {authority.returncode}: {run.tail()}"
        left = left_processes(FEDRA)
        assert not left, f"processes are left: {left}"
        renewed = run.renewals()
        exits = [code for machine in run.machines.values() for code in machine.exits]
    totals["federations"] += 1
    totals["faults"] += chaos.faults
    totals["renewed"] += renewed
    totals["issued_anew"] += sum(machine.issued_anew for machine in run.machines.values())
    for name, code in (("killed", -signal.SIGKILL), ("faulted", 1), ("aborted", -signal.SIGABRT)):
        totals[name] += exits.count(code)


def who_was_away_at_the_end_is_told_of_it(network):
    """A node that died, missed the last rounds and comes back just after the end does not wait for ever."""
    settings = {**SETTINGS, "model.parameters": 500, "aggregation.k_threshold": 0.5, "aggregation.timeout_s": 1, "identity.ttl_s": 3600}
    with Federation("chaos-away", network, settings, 500) as run:
        run.run_until(lambda: len(run.digests_seen) > 1, 40, "the first rounds")
        away = run.machines[NODES[0]]
        away.hold = True
        away.send(signal.SIGKILL)
        missed = len(run.digests_seen) + 4
        run.run_until(lambda: len(run.digests_seen) > missed, 20, "some rounds without one node")
        run.center.send(signal.SIGTERM)
        run.run_until(lambda: all(run.machines[name].ended for name in NODES[1:]), 10, "the end of the others")
        away.hold = False
        run.run_until(run.has_ended, 10, "the end of who was away")
        assert run.summary()["outcome"] == "cancelled", run.summary()
        run.check_accounting()


def up_on_a_full_disk_waits_or_says_so_and_goes_on():
    """`fedra up` bears a full disk for a while; then it gives up and says why; with room again --resume goes on."""
    name = "chaos-up"
    settings = {**SETTINGS, "model.hidden": "[]", "model.parameters": 500, "train.fixed_wait_s": 0.1,
                "data.evaluate_test_at_end": "false", "convergence.max_rounds": 100000, "aggregation.timeout_s": 5}
    del settings["aggregation.start_nodes"], settings["limits.rounds_repeat_max"]
    disk = Disk(SCRATCH / name, 64 << 20)
    try:
        with Run(name, 3, settings) as run:
            run.wait_for_rounds(3, 40)
            disk.fill(0)
            time.sleep(3)
            disk.free()
            run.wait_for_rounds(run.rounds() + 3, 20)
            disk.fill(0)
            assert run.wait(40) == 1, run.tail()
            said = run.tail()
            assert "dies again and again" in said and "no space left" in said.lower(), said
        seen = run.digests()
        disk.free()
        config = run.folder / "config" / "coordinator.yaml"
        config.write_text(config.read_text().replace("max_rounds: 100000", f"max_rounds: {len(seen) + 5}"))
        output = open(SCRATCH / f"{name}.out", "a")
        resumed = subprocess.run([FEDRA, "up", "--resume", "--run-dir", str(run.folder)], stdout=output, stderr=output, timeout=60)
        output.close()
        assert resumed.returncode == 0, (SCRATCH / f"{name}.out").read_text()[-600:]
        digests = run.digests()
        assert len(digests) == len(seen) + 5 and all(digests[round_] == digest for round_, digest in seen.items())
        run.check_accounting()
        check_chain(run)
    finally:
        disk.close()


def plan(network):
    """(name, kinds, seconds of faults) of every federation."""
    kinds = ["kill", "stop", "freeze", "full"]
    if chaos_world.FIU.exists():
        kinds.append("calls")
    else:
        print(f"# there is no {chaos_world.FIU} (fiu-utils): no system call fails")
    if network.has_filters:
        kinds += ["cut", "one_way", "loss"]
    else:
        print("# there is no nft, or the kernel has no nftables: nothing is cut or lost")
    if network.has_rates:
        kinds.append("rate")
    else:
        print("# the kernel has no tbf: no rate is limited")
    kinds.append("delay")
    print(f"# delays are made by {'netem' if network.has_netem else 'a relay'}; faults: {' '.join(kinds)}")
    mixed = random.Random(SEED)
    if not LONG:
        local = [kind for kind in kinds if kind in ("kill", "stop", "full", "calls")]
        return [("processes_and_disks", local, 4), ("everything", sorted(mixed.sample(kinds, 6)), 5)]
    cases = [(name, [kind for kind in wanted if kind in (*kinds, "full_center")], 10) for name, wanted in ALONE.items()]
    cases = [case for case in cases if case[1]]
    kinds.remove("freeze")
    cases += [(f"mixture_{i}", sorted(mixed.sample(kinds, max(3, len(kinds) // 2))), 12) for i in range(4)]
    return cases + [("long_mixture", ["freeze", *kinds], 40)]


def main():
    if chaos_world.INSIDE not in os.environ:
        chaos_world.enter()
    tap = Tap()
    print(f"# FEDRA_TEST_SEED={SEED}; again: ./run chaos {SEED}" if LONG else
          f"# FEDRA_TEST_SEED={SEED}; again: FEDRA_TEST_SEED={SEED} python3 tests/e2e/chaos_test.py")
    only = os.environ.get("FEDRA_TEST_ONLY", "")
    with Network(NODES) as network:
        for i, (name, kinds, span_s) in enumerate(plan(network)):
            if only in name:
                begun = time.monotonic()
                tap.case(f"chaos_of_{name}_harms_nothing", chaos_harms_nothing, network, name, kinds, SEED * 100 + i, span_s)
                print(f"# {time.monotonic() - begun:.0f} s", flush=True)
                network.heal()
        if only in "who_was_away":
            tap.case("who_was_away_at_the_end_is_told_of_it", who_was_away_at_the_end_is_told_of_it, network)
    if LONG and only in "up_on_a_full_disk":
        tap.case("up_on_a_full_disk_waits_or_says_so_and_goes_on", up_on_a_full_disk_waits_or_says_so_and_goes_on)
    print("# " + " ".join(f"{name}={value}" for name, value in totals.items()) +
          f" slowest_back={slowest['back']:.1f}s slowest_end={slowest['end']:.1f}s")
    tap.finish()


main()
