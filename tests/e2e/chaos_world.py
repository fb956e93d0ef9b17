"""chaos_world.py - what surrounds the processes of the chaos test and can be broken: machines' networks, disks, system calls.

All of it lives in namespaces of the test: when it ends, however it ends, the kernel removes links, mounts and processes.
Not here: the processes (chaos_federation.py), when what is broken (chaos_test.py).
"""
import os
import shutil
import subprocess
import sys
from pathlib import Path

from federation import SCRATCH

INSIDE = "FEDRA_TEST_NAMESPACE"
PORT = 7433
RELAY = Path(__file__).with_name("chaos_relay.py")
FIU = Path("/usr/lib/fiu")  # of fiu-utils

# Names of libfiu -> how often a call fails, at most. What cannot tell files from the pipes of the event loop (write, read) makes
# libuv give up by abort(): a death like any other.
CALLS = {
    "posix/io/rw/pwrite": 0.02, "posix/io/rw/pwrite/reduce": 0.3, "posix/io/rw/write/reduce": 0.0005, "posix/io/rw/write": 0.0005,
    "posix/io/rw/writev": 0.01, "posix/io/rw/pread": 0.01, "posix/io/rw/read": 0.0005, "posix/io/sync/fsync": 0.05,
    "posix/io/sync/fdatasync": 0.05, "posix/io/dir/rename": 0.05, "posix/io/oc/open": 0.01, "posix/io/rw/ftruncate": 0.1,
    "posix/mm/mmap": 0.01,
}
ABORTS = ("posix/io/rw/write", "posix/io/rw/write/reduce", "posix/io/rw/read")
ERRORS = {"EIO": 5, "ENOSPC": 28}


def skip(reason):
    print(f"TAP version 13\n1..0 # SKIP {reason}")
    sys.exit(0)


def enter():
    """This test again in namespaces of its own."""
    for program in ("ip", "unshare", "mount"):
        if shutil.which(program) is None:
            skip(f"there is no {program} (iproute2, util-linux, mount)")
    if not hasattr(os, "setns"):
        skip("this python has no os.setns (3.12)")
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        command += ["--map-root-user"]
    probe = subprocess.run([*command, "ip", "link", "add", "probe", "type", "bridge"], capture_output=True, text=True)
    if probe.returncode != 0:
        skip(f"no network namespaces are to be had here (CAP_NET_ADMIN): {probe.stderr.strip()}")
    os.environ[INSIDE] = "1"
    os.execvp(command[0], [*command, sys.executable, *sys.argv])


def sh(*words, text=None):
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def works(*words, text=None):
    try:
        sh(*words, text=text)
        return True
    except (AssertionError, OSError):
        return False


class Network:
    """A namespace a machine, a bridge between them, and a relay that every other node goes through."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.addresses = {"center": "10.78.0.1", "relay": "10.78.0.2", "authority": "10.78.0.3"}
        self.addresses.update({name: f"10.78.0.{11 + i}" for i, name in enumerate(nodes)})

    def __enter__(self):
        Path("/run/netns").mkdir(parents=True, exist_ok=True)
        sh("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
        sh("ip", "link", "add", "bridge", "type", "bridge")
        sh("ip", "link", "set", "bridge", "up")
        sh("ip", "link", "set", "lo", "up")  # for `fedra up`, all on one machine
        for name, address in self.addresses.items():
            sh("ip", "netns", "add", name)
            sh("ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
            sh("ip", "link", "set", f"to-{name}", "master", "bridge", "up")
            sh("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            sh("ip", "-n", name, "link", "set", "eth0", "up")
            sh("ip", "-n", name, "link", "set", "lo", "up")
        self.relay = subprocess.Popen(
            [sys.executable, str(RELAY), self.addresses["relay"], str(PORT), self.addresses["center"], str(PORT)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: self.enter("relay"))
        assert self.relay.stdout.readline() == "relaying\n", "the relay does not start"
        self.has_filters = works("nft", "-f", "-", text=self.filter("numgen random mod 100 < 10 drop", ""))
        self.has_rates = works("tc", "qdisc", "replace", "dev", "to-relay", "root", "tbf", *self.tbf(1000))
        self.has_netem = works("tc", "qdisc", "replace", "dev", "to-relay", "root", "netem", "delay", "1ms")
        works("nft", "flush", "ruleset")
        works("tc", "qdisc", "delete", "dev", "to-relay", "root")
        return self

    def __exit__(self, *unused):
        self.relay.stdin.close()
        self.relay.wait(10)
        for name in self.addresses:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)
        subprocess.run(["ip", "link", "delete", "bridge"], capture_output=True)
        subprocess.run(["umount", "/run/netns"], capture_output=True)

    @staticmethod
    def enter(name):
        """Before an exec, in the child."""
        fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
        os.setns(fd, os.CLONE_NEWNET)
        os.close(fd)

    def way_of(self, name):
        """Where a node connects to."""
        return self.addresses["relay" if self.nodes.index(name) % 2 else "center"]

    @staticmethod
    def filter(to, away):
        chain = "chain {} {{\ntype filter hook {} priority 0;\n{}\n}}\n"
        return "flush ruleset\ntable inet chaos {\n" + chain.format("to", "input", to) + chain.format("away", "output", away) + "}\n"

    @staticmethod
    def tbf(kbit):
        return ("rate", f"{kbit}kbit", "burst", "16kb", "latency", "500ms")

    def drop(self, name, to, away):
        """Rules for what comes to a machine and for what leaves it; "" lets all through."""
        sh("ip", "netns", "exec", name, "nft", "-f", "-", text=self.filter(to, away))

    def rate(self, name, kbit):
        """Both ways; None is no limit."""
        for words in (("-n", name, "qdisc", "replace", "dev", "eth0"), ("qdisc", "replace", "dev", f"to-{name}")):
            if kbit is None:
                works("tc", *["delete" if word == "replace" else word for word in words], "root")
            else:
                sh("tc", *words, "root", "tbf", *self.tbf(kbit))

    def delay(self, name, delay_ms, jitter_ms):
        """Of all who go through the relay, or where the kernel has netem of this machine alone; 0 is none."""
        if not self.has_netem:
            self.relay.stdin.write(f"{delay_ms} {jitter_ms}\n")
            self.relay.stdin.flush()
        elif delay_ms > 0:
            sh("tc", "-n", name, "qdisc", "replace", "dev", "eth0", "root", "netem", "delay", f"{delay_ms}ms", f"{jitter_ms}ms")
        else:
            works("tc", "-n", name, "qdisc", "delete", "dev", "eth0", "root")

    def heal(self):
        for name in self.addresses:
            works("ip", "netns", "exec", name, "nft", "flush", "ruleset")
            self.rate(name, None)
        self.delay("relay", 0, 0)


class Disk:
    """A folder on a small file system of its own, which can be filled."""

    def __init__(self, folder, size_bytes):
        self.folder = folder
        self.filler = folder / "filler"
        folder.mkdir(parents=True, exist_ok=True)
        sh("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder))

    def fill(self, left_bytes):
        """So full that no more than left_bytes can be written."""
        with open(self.filler, "ab", buffering=0) as file:
            for size in (1 << 20, 4096):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    pass
            file.truncate(max(0, file.tell() - left_bytes))

    def free(self):
        self.filler.unlink(missing_ok=True)

    def close(self):
        subprocess.run(["umount", "--lazy", str(self.folder)], capture_output=True)


def failing_calls(chance):
    """(environment under which some system calls fail at times, their names), drawn."""
    names = chance.sample(sorted(CALLS), 3)
    orders = [f"enable_random name={name},probability={CALLS[name] * chance.uniform(0.2, 1):.6f},"
              f"failinfo={ERRORS[chance.choice(sorted(ERRORS))]}" for name in names]
    return {"LD_PRELOAD": f"{FIU}/fiu_run_preload.so {FIU}/fiu_posix_preload.so", "FIU_ENABLE": "\n".join(orders)}, names


def left_processes(program):
    """Processes of the program that this namespace still has."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].decode(errors="replace") == program:
            found.append(int(path.parent.name))
    return found


def scratch(name):
    folder = SCRATCH / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
