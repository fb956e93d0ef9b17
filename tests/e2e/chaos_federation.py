"""chaos_federation.py - a coordinator and nodes as processes of machines of their own, started again when they die.

Does what systemd would (docs/operating.md), and takes down what every process ended with. Not here: what goes wrong
(chaos_test.py), what can be broken around the processes (chaos_world.py).
"""
import json
import os
import re
import shutil
import signal
import subprocess
import time

from chaos_world import ABORTS, PORT, Disk, scratch, sh, works
from federation import FEDRA, Run

RESTART_S = (0.1, 1.0)  # the first wait between a death and the next start, and the longest; they double
LOG_BYTES = 2 << 20     # that a disk must have room for beside models and updates
ERROR = re.compile(r"^fedra (coordinator|node): .*\S: .*\S", re.MULTILINE)


def yaml_of(settings):
    sections = {}
    for key, value in settings.items():
        section, name = key.split(".")
        sections.setdefault(section, {})[name] = value
    lines = ["schema: 1"]
    for section, values in sections.items():
        lines += [f"{section}:"] + [f"  {name}: {value}" for name, value in values.items()]
    return "\n".join(lines) + "\n"


class Machine:
    """One process with a name, a network and a disk of its own."""

    def __init__(self, name, role, words, logs, disk, network):
        self.name, self.role, self.words, self.logs, self.disk, self.network = name, role, words, logs, disk, network
        self.process = None
        self.environment = {}  # of the next starts, beside the test's own
        self.may_abort = False # of the next starts: a failing call may make the event loop give up
        self.fragile = False   # the same of the running process
        self.start_at = 0.0
        self.hold = False      # not started again for now
        self.started = 0.0
        self.wait_s = RESTART_S[0]
        self.killed = set()    # pids that were killed on purpose
        self.ended = False     # by itself, with the job
        self.exits = []
        self.issue = None      # makes a new identity in the place of one that has ended
        self.issued_anew = 0
        self.extra = []        # words after the others

    def start(self):
        with open(self.logs / f"{self.name}.err", "a") as errors, open(self.logs / f"{self.name}.out", "a") as output:
            self.process = subprocess.Popen(
                self.words + self.extra, stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
                env={**os.environ, **self.environment}, preexec_fn=lambda: self.network.enter(self.name))
        self.fragile = self.may_abort
        self.started = time.monotonic()

    def said(self):
        path = self.logs / f"{self.name}.err"
        return path.read_text(errors="replace") if path.exists() else ""

    def send(self, number):
        if self.process is None or self.process.poll() is not None:
            return False
        if number == signal.SIGKILL:
            self.killed.add(self.process.pid)
        self.process.send_signal(number)
        return True

    def take_exit(self):
        """Whether it is to be started again. An end that nobody may see is an error of its own."""
        code, pid = self.process.returncode, self.process.pid
        self.exits.append(code)
        if code == 1:
            assert ERROR.search(self.said()), f"{self.name} ended with 1 and did not say why: {self.said()[-300:]!r}"
        elif code == -signal.SIGABRT:
            assert self.fragile, f"{self.name} aborted: {self.said()[-600:]!r}"
        elif code != 0:
            assert code == -signal.SIGKILL and pid in self.killed, f"{self.name} ended with {code}: {self.said()[-600:]!r}"
        return code != 0

    def renew_by_hand(self):
        """Who was off for the rest of its identity's life needs an operator (docs/operating.md); on a full disk it waits."""
        last = self.said().rstrip().rsplit("\n", 1)[-1]
        if self.exits[-1] == 1 and "expired at" in last and self.issue is not None and self.issue():
            self.issued_anew += 1

    def tick(self, now):
        if self.process is not None and self.process.poll() is not None:
            stable = now - self.started > 5
            self.ended = not self.take_exit()
            self.renew_by_hand()
            self.process = None
            self.wait_s = RESTART_S[0] if stable else min(self.wait_s * 2, RESTART_S[1])
            self.start_at = now + self.wait_s
        if self.process is None and not self.ended and not self.hold and now >= self.start_at:
            self.start()


class Federation(Run):
    """Reads its records as those of a `fedra up`, whose folder it imitates."""

    def __init__(self, name, network, settings, parameters):
        self.network = network
        self.folder = scratch(name)
        self.logs = scratch(f"{name}-logs")  # and keys of the authority: on the test's own disk
        self.job = self.folder / "jobs" / "chaos"
        self.disks = []
        self.machines = {}
        self.digests_seen = {}
        update_bytes = 4 * parameters + 65536
        self.add_disk(self.folder, 24 * LOG_BYTES + 120 * update_bytes)
        sh(FEDRA, "ca", "init", "--dir", str(self.logs / "authority"), "--trust-domain", "fedra.local")
        self.add_authority()
        common = {**settings, "job.name": "chaos", "identity.trust_domain": "fedra.local",
                  "identity.authority": f"{network.addresses['authority']}:{PORT}"}
        self.add("center", "coordinator", self.folder, {**common, "server.listen": f"{network.addresses['center']}:{PORT}",
                                                        "server.state": self.folder})
        for node in network.nodes:
            state = self.folder / "nodes" / node
            self.add_disk(state, LOG_BYTES + 2 * update_bytes)
            self.add(node, "node", state, {**common, "node.name": node, "node.state": state,
                                           "node.connect": f"{network.way_of(node)}:{PORT}"})

    def add_disk(self, folder, size_bytes):
        self.disks.append(Disk(folder, size_bytes))

    def issue(self, role, name, ttl, identity):
        named = ["--name", name] if role == "node" else []
        return works(FEDRA, "ca", "issue", "--dir", str(self.logs / "authority"), "--role", role, *named, "--ttl", ttl,
                     "--out", str(identity))

    def add_authority(self):
        identity = self.logs / "identity-authority"
        assert self.issue("authority", "", "1d", identity), "the authority gets no identity"
        words = [FEDRA, "ca", "serve", "--dir", str(self.logs / "authority"), "--identity", str(identity),
                 "--listen", f"{self.network.addresses['authority']}:{PORT}"]
        self.machines["authority"] = Machine("authority", "authority", words, self.logs, None, self.network)

    def add(self, name, role, state, settings):
        """A machine whose identity lies on the disk of its state, and is renewed there."""
        def issue():
            return self.issue(role, name, f"{settings['identity.ttl_s']}s", state / "identity")

        assert issue(), f"{name} gets no identity"
        log = "coordinator" if role == "coordinator" else name
        file = self.logs / f"{name}.yaml"
        file.write_text(yaml_of({**settings, "identity.directory": state / "identity", "log.file": self.logs / f"{log}.log"}))
        self.machines[name] = Machine(name, role, [FEDRA, role, "-c", str(file)], self.logs, self.disks[-1], self.network)
        self.machines[name].issue = issue

    @property
    def center(self):
        return self.machines["center"]

    def has_ended(self):
        return all(machine.ended for machine in self.machines.values() if machine.role != "authority")

    def __exit__(self, problem, *unused):
        for machine in self.machines.values():
            if machine.process is not None and machine.process.poll() is None:
                machine.process.kill()
                machine.process.wait()
        if problem is not None:  # the disks go with the test; who looks for the reason needs them
            shutil.copytree(self.folder, self.logs / "run", symlinks=True, ignore=shutil.ignore_patterns("filler"))
        for disk in reversed(self.disks):
            disk.close()
        if problem is None:
            shutil.rmtree(self.logs)
            shutil.rmtree(self.folder)

    def log(self, name="coordinator"):
        path = self.logs / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def tail(self):
        return "; ".join(f"{machine.name} {machine.exits[-3:]} {machine.said()[-200:]!r}" for machine in self.machines.values())

    def metrics(self):
        """Only whole lines: on a full disk the last one may be torn until the next start."""
        path = self.folder / "metrics.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def tick(self):
        """One look at everything: who died is started again, what was committed stays."""
        now = time.monotonic()
        for machine in self.machines.values():
            machine.tick(now)
        for line in self.metrics():
            known = self.digests_seen.setdefault(line["round"], line["model_digest"])
            assert known == line["model_digest"], f"round {line['round']} has two models"

    def run_until(self, is_done, limit_s, what):
        end = time.monotonic() + limit_s
        while not is_done():
            assert time.monotonic() < end, f"{what} not within {limit_s} s; round {len(self.digests_seen)}; {self.tail()}"
            self.tick()
            time.sleep(0.02)

    def fail_calls(self, machine, environment, names):
        """From the next start on, which is now."""
        machine.environment = environment
        machine.may_abort = any(name in ABORTS for name in names)
        machine.send(signal.SIGKILL)

    def heal(self):
        """Nothing is broken any more; who lives under failing calls is started again without them."""
        self.network.heal()
        for disk in self.disks:
            disk.free()
        for machine in self.machines.values():
            machine.send(signal.SIGCONT)
            if machine.environment:
                machine.environment, machine.may_abort = {}, False
                machine.send(signal.SIGKILL)

    def renewals(self):
        return sum(self.log(log).count("identity.renewed") for log in ("coordinator", *self.network.nodes))

    def counted_since(self, sequence):
        """Names of the nodes that later commits count."""
        with self.database() as database:
            rows = database.execute("SELECT DISTINCT node FROM counted WHERE sequence > ?", (sequence,)).fetchall()
        return {row[0].rsplit("/", 1)[1] for row in rows}

    def last_sequence(self):
        with self.database() as database:
            return database.execute("SELECT COALESCE(MAX(sequence), 0) FROM commits").fetchone()[0]
