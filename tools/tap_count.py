#!/usr/bin/env python3
"""Counts the cases of the tests that meson ran, and shows those that failed with their output.

usage: tap_count.py TOP BUILD...

Each BUILD has the log of one run of the tests. A case is one line "ok" or "not ok" of TAP; a test that
does not speak TAP is one case. A case that runs in several builds (under sanitizers) counts once, and fails
when it fails in any. A crash, a timeout, a plan not kept or no case at all is a failure of its own.
The last line is "N passed, N failed" (", N skipped" where some were); the exit code is 1 unless none failed.
"""
import json
import re
import sys
from pathlib import Path

CASE = re.compile(r"^(not )?ok\b *(\d+)? *-? *(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)( *# *skip.*)?$", re.IGNORECASE)
DIRECTIVE = re.compile(r"(?:^|\s)#\s*(skip|todo)\S*", re.IGNORECASE)
OUTPUT_LINES_MAX = 80


def cases_of(test):
    """Yields (case, "passed" | "failed" | "skipped") of one test of the log."""
    output = test.get("stdout", "")
    result = test["result"]
    seen, planned, any_failed = 0, None, False
    whole_skipped = result == "SKIP" and not test["is_tap"]
    for line in output.splitlines():
        plan = PLAN.match(line)
        if plan:
            planned = int(plan[1])
            whole_skipped |= bool(plan[2])
            continue
        case = CASE.match(line)
        if not case:
            continue
        seen += 1
        directive = DIRECTIVE.search(case[3])
        name = DIRECTIVE.split(case[3])[0].strip() or f"case {seen}"
        if directive and directive[1].lower() == "skip":
            yield name, "skipped"
        elif case[1]:
            any_failed = True
            yield name, "failed"
        else:
            yield name, "passed"
    if planned is not None and seen > 0 and seen != planned:
        yield f"(ended after {seen} of {planned} cases: {result.lower()})", "failed"
    elif seen == 0 and whole_skipped:
        yield "(all of it)", "skipped"
    elif seen == 0 and result == "OK" and not test["is_tap"]:
        yield "(all of it)", "passed"
    elif seen == 0:
        yield f"(no case: {result.lower()}, exit code {test.get('returncode')})", "failed"
    elif result not in ("OK", "SKIP", "EXPECTEDFAIL") and not any_failed:
        yield f"(ended badly: {result.lower()}, exit code {test.get('returncode')})", "failed"


def protocols(build):
    """The protocol of each test of a build, by the name that the log gives it."""
    intro = json.loads((build / "meson-info" / "intro-tests.json").read_text())
    return {test["name"]: test["protocol"] for test in intro}


def read_log(build):
    log = build / "meson-logs" / "testlog.json"
    if not log.exists():
        return []
    protocol = protocols(build)
    tests = []
    for line in log.read_text(errors="replace").splitlines():
        test = json.loads(line)
        short = test["name"].split(" / ")[-1]
        test["is_tap"] = protocol.get(short, "tap") == "tap"
        tests.append(test)
    return tests


def show(build, test, failed):
    print(f"\n--- {build.name}: {test['name']}: {test['result']}, exit code {test.get('returncode')}")
    for case in failed:
        print(f"    failed: {case}")
    lines = (test.get("stdout", "") + test.get("stderr", "")).splitlines()
    if len(lines) > OUTPUT_LINES_MAX:
        print(f"    ... {len(lines) - OUTPUT_LINES_MAX} lines before; all of it is in {build}/meson-logs/testlog.txt")
    for line in lines[-OUTPUT_LINES_MAX:]:
        print(f"    {line}")


def main():
    top, builds = Path(sys.argv[1]), sys.argv[2:]
    outcome = {}
    rank = {"skipped": 0, "passed": 1, "failed": 2}
    for name in builds:
        build = top / name
        tally = dict.fromkeys(rank, 0)
        tests = read_log(build)
        if (build / "meson-logs" / "broken").exists():
            print(f"\n--- {name}: its tests could not be built")
            outcome[name, "(the build)"] = "failed"
            tally["failed"] += 1
        for test in tests:
            failed = []
            for case, result in cases_of(test):
                tally[result] += 1
                key = (test["name"], case)
                if key not in outcome or rank[result] > rank[outcome[key]]:
                    outcome[key] = result
                if result == "failed":
                    failed.append(case)
            if failed:
                show(build, test, failed)
        print(f"{name}: {len(tests)} tests, {tally['passed']} cases passed, {tally['failed']} failed,"
              f" {tally['skipped']} skipped")
    passed, failed, skipped = (sum(r == k for r in outcome.values()) for k in ("passed", "failed", "skipped"))
    if not outcome:
        print("no test ran")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
