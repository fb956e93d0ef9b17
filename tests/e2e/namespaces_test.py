"""namespaces_test.py - whoever follows docs/operating.md has a federation over three machines.

Goal: the commands in the text, in their order, give a job in which both nodes are counted; the backup is one.
Method: each marked block is run by bash in a network namespace of its machine, in a folder of its own, joined by a bridge.
All of it lives in a process, mount and network namespace of this test: when it ends, however it ends, the kernel removes
links, namespaces and processes. Only scp is another: it copies from folder to folder, and says so.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from federation import FEDRA, SCRATCH, TOP, Tap

TEXT = TOP / "docs" / "operating.md"
DATA = Path("/usr/share/datasets/fashion-mnist")
BLOCK = re.compile(r"<!-- on: ([\w-]+)(?:, ([\w ]+))? -->\n\n((?:    .*\n|\n)+)")
MACHINE = re.compile(r"^\| ([\w-]+) \| (\d+\.\d+\.\d+\.\d+) \|", re.MULTILINE)
INSIDE = "FEDRA_TEST_NAMESPACE"
JOB_S = 60
FOLDER = SCRATCH / "namespaces"
SCP = """#!/bin/bash
# In place of scp: the machines' folders lie side by side. Takes scp [-r] FROM fedra@ADDRESS:TO.
set -eu
[ "$1" != -r ] || shift
address=${2#fedra@}
[ -d "$FEDRA_MACHINES/${address%%:*}" ] || { echo "scp: there is no machine ${address%%:*}" >&2; exit 1; }
echo "scp is replaced: cp -r $1 $FEDRA_MACHINES/${address%%:*}/${address#*:}"
exec cp -r "$1" "$FEDRA_MACHINES/${address%%:*}/${address#*:}"
"""


class Block:
    def __init__(self, machine, when, text):
        self.machine = machine
        self.when = when
        self.commands = "".join(line[4:] for line in text.splitlines(True) if line.strip())


def blocks():
    return [Block(*match.groups()) for match in BLOCK.finditer(TEXT.read_text())]


def sh(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class Machines:
    """A namespace and a folder a machine, a bridge between them, and what was started there."""

    def __init__(self):
        self.addresses = dict(MACHINE.findall(TEXT.read_text()))
        self.running = []

    def __enter__(self):
        shutil.rmtree(FOLDER, ignore_errors=True)
        (FOLDER / "bin").mkdir(parents=True)
        (FOLDER / "bin" / "fedra").symlink_to(FEDRA)
        (FOLDER / "bin" / "scp").write_text(SCP)
        (FOLDER / "bin" / "scp").chmod(0o755)
        Path("/run/netns").mkdir(parents=True, exist_ok=True)
        sh("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
        sh("ip", "link", "add", "bridge", "type", "bridge")
        sh("ip", "link", "set", "bridge", "up")
        for name, address in self.addresses.items():
            (FOLDER / address).mkdir()
            sh("ip", "netns", "add", name)
            sh("ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
            sh("ip", "link", "set", f"to-{name}", "master", "bridge", "up")
            sh("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            sh("ip", "-n", name, "link", "set", "eth0", "up")
            sh("ip", "-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *unused):
        for _block, process in self.running:
            if process.poll() is None:
                process.kill()
                process.wait()
        for name in self.addresses:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)
        subprocess.run(["ip", "link", "delete", "bridge"], capture_output=True)
        subprocess.run(["umount", "/run/netns"], capture_output=True)

    def folder(self, machine):
        return FOLDER / self.addresses[machine]

    def start(self, block):
        out = open(FOLDER / f"{block.machine}.out", "a")
        process = subprocess.Popen(
            ["ip", "netns", "exec", block.machine, "bash", "-euc", block.commands], cwd=self.folder(block.machine),
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            env={"PATH": f"{FOLDER}/bin:{os.environ['PATH']}", "HOME": str(self.folder(block.machine)), "LANG": "C.UTF-8",
                 "FEDRA_MACHINES": str(FOLDER)})
        out.close()
        self.running.append((block, process))
        return process

    def run(self, block):
        assert self.start(block).wait(30) == 0, f"on {block.machine}: {block.commands}{self.said(block.machine)}"

    def wait_for_the_job(self):
        """Whoever stays ends with the job, but for the authority."""
        end = time.monotonic() + JOB_S
        for block, process in self.running:
            if block.when != "stays" or "ca serve" in block.commands:
                continue
            try:
                code = process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                code = f"still running after {JOB_S} s"
            assert code == 0, f"{block.commands.strip()}: {code}; {self.said(block.machine)}"

    def said(self, machine):
        return (FOLDER / f"{machine}.out").read_text()[-1500:]

    def received_bytes(self, machine):
        link = json.loads(sh("ip", "-n", machine, "-j", "-s", "link", "show", "eth0"))[0]
        return link["stats64"]["rx"]["bytes"]


def read_job(machines):
    state = machines.folder("center") / "state"
    metrics = [json.loads(line) for line in (state / "metrics.jsonl").read_text().splitlines()]
    return metrics, json.loads((state / "summary.json").read_text())


def both_nodes_are_counted(machines):
    job_was_waited_for = False
    for block in blocks():
        if block.when == "stays":
            machines.start(block)
        elif block.when != "from a backup":
            if block.when == "after the job" and not job_was_waited_for:
                machines.wait_for_the_job()
                job_was_waited_for = True
            machines.run(block)
    assert job_was_waited_for, "no block is marked 'after the job'"
    metrics, summary = read_job(machines)
    assert summary["outcome"] == "exhausted" and summary["nodes"] == 2 and summary["rounds"] == len(metrics) > 0, summary
    assert all(line["selected"] == line["accepted"] == 2 for line in metrics), metrics
    assert metrics[-1]["accuracy"] > 0.6, metrics[-1]
    for node in ("node-a", "node-b"):
        last = {}
        for line in (machines.folder(node) / "state" / "receipts.log").read_text().splitlines():
            _sequence, round_, _attempt, _digest, state, _detail = line.split(" ", 5)
            last[int(round_)] = state
        assert last == {line["round"]: "COUNTED" for line in metrics}, f"{node}: {last}"
        assert machines.received_bytes(node) > 3 * 200000, f"{node} did not get its models over the wire"


def the_backup_is_one(machines):
    metrics, summary = read_job(machines)
    center = machines.folder("center")
    for path in center.iterdir():
        if path.name == "backup.tar.gz":
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    restored = [block for block in blocks() if block.when == "from a backup"]
    assert restored, "no block is marked 'from a backup'"
    for block in restored:
        machines.run(block)
    coordinator = next(block for block in blocks() if block.when == "stays" and "fedra coordinator" in block.commands)
    assert machines.start(coordinator).wait(30) == 0, machines.said("center")
    again, summary_again = read_job(machines)
    assert again == metrics and summary_again["outcome"] == summary["outcome"], summary_again


def the_units_run_what_was_tried_by_hand():
    tried = {block.commands.strip() for block in blocks() if block.when == "stays"}
    units = re.findall(r"^ +ExecStart=/usr/local/bin/(.+)$", TEXT.read_text(), re.MULTILINE)
    assert len(units) == 3, units
    for unit in units:
        assert unit in tried, f"a unit runs {unit!r}, which no marked block does"


def skip(reason):
    print(f"TAP version 13\n1..0 # SKIP {reason}")
    sys.exit(0)


def enter():
    """This test again in namespaces of its own, which the kernel clears away with it."""
    if not DATA.exists():
        skip(f"there is no {DATA} (dataset-fashion-mnist)")
    for program in ("ip", "unshare", "bash"):
        if shutil.which(program) is None:
            skip(f"there is no {program} (iproute2, util-linux, bash)")
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        command += ["--map-root-user"]
    probe = subprocess.run([*command, "ip", "link", "add", "probe", "type", "bridge"], capture_output=True, text=True)
    if probe.returncode != 0:
        skip(f"no network namespaces are to be had here (CAP_NET_ADMIN): {probe.stderr.strip()}")
    os.environ[INSIDE] = "1"
    os.execvp(command[0], [*command, sys.executable, *sys.argv])


def main():
    if INSIDE not in os.environ:
        enter()
    tap = Tap()
    tap.case("the_units_run_what_was_tried_by_hand", the_units_run_what_was_tried_by_hand)
    with Machines() as machines:
        tap.case("the_commands_of_the_text_give_a_job_that_counts_both_nodes", both_nodes_are_counted, machines)
        tap.case("a_restored_backup_knows_the_job", the_backup_is_one, machines)
    tap.finish()


main()
