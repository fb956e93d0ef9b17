#!/usr/bin/env python3
"""Prints line and branch coverage a layer at a time; fails where a layer that decides is under its floor.

usage: coverage_by_layer.py TOP BUILD

gcovr reads what the tests of BUILD left behind. Not counted: generated messages, branches that only an
assertion (CHECK) takes.
"""
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

FLOOR_PERCENT = {"core": 90.0, "tensor": 90.0, "wire": 90.0}


def percent(part, whole):
    return 100.0 * part / whole if whole else 100.0


def main():
    top, build = Path(sys.argv[1]), Path(sys.argv[1]) / sys.argv[2]
    summary = build / "coverage.json"
    subprocess.run(
        ["gcovr", "--root", str(top), "--object-directory", str(build), "--filter", "src/",
         "--exclude", r".*\.pb-c\.c", "--exclude-branches-by-pattern", r".*\bCHECK\(.*", "--exclude-throw-branches",
         "--exclude-unreachable-branches", "--gcov-ignore-parse-errors=negative_hits.warn_once_per_file",
         "--merge-mode-functions=merge-use-line-0", "--json-summary", str(summary), "-j", "2"],
        cwd=top, check=True)
    totals = defaultdict(lambda: [0, 0, 0, 0])
    files = json.loads(summary.read_text())["files"]
    for file in files:
        layer = Path(file["filename"]).parts[1]
        for i, key in enumerate(("line_covered", "line_total", "branch_covered", "branch_total")):
            totals[layer][i] += file[key]
    low = []
    print(f"{'layer':<10} {'lines':>8} {'branches':>9}")
    for layer, (lines, lines_all, branches, branches_all) in sorted(totals.items()):
        branch_percent = percent(branches, branches_all)
        floor = FLOOR_PERCENT.get(layer, 0.0)
        note = f"  (at least {floor:.0f} %)" if floor else ""
        if branch_percent < floor:
            low.append(layer)
            note += "  TOO LOW"
        print(f"{layer:<10} {percent(lines, lines_all):>6.1f} % {branch_percent:>7.1f} %{note}")
    for file in sorted(files, key=lambda f: f["filename"]):
        if Path(file["filename"]).parts[1] in low:
            print(f"  {file['filename']}: {percent(file['branch_covered'], file['branch_total']):.1f} % of branches")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
