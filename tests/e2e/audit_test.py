"""audit_test.py - `fedra audit` over the folders of real runs: clean ones, live ones, and ones in which something was changed.

Goal: a run's folder is clean, whatever it was trained with, also while it is written to, for another user and after the
certificates' end; and no value in the database and no byte of a file can be changed without being named.
Method: small runs; then every column of every table is changed once, and single bytes of the database, its log, models and kept
updates at random. A byte whose change is not named must be without meaning: what the database says, row by row, is the same.
FEDRA_TEST_SEED repeats the random choices; the argument `soak` makes 1,000 changes.
"""
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from federation import FEDRA, PLAIN, SCRATCH, Run, Tap, few_images

SEED = int(os.environ.get("FEDRA_TEST_SEED", time.time_ns() % 1000000))
CHANGES = 1000 if "soak" in sys.argv[1:] else 60
NOBODY = 65534
TTL_S = 10
JOB = "fashion-mnist"
ANSWERS = {**PLAIN, "model.kind": "flat", "model.parameters": 60, "model.hidden": "[]", "train.trainer": "fixed",
           "data.format": "none", "validation.source": "none", "data.evaluate_test_at_end": "false",
           "convergence.gradient_threshold": 0, "aggregation.k_threshold": "1.0", "faults.slow.share": 0,
           "faults.kill.share": 0, "audit.keep_updates": "all"}
SLOW = {"train.fixed_wait_s": 0.03, "faults.slow.share": 0.34, "faults.slow.factor": 6, "aggregation.k_threshold": "0.6",
        "aggregation.timeout_s": 10}
EDITED = ("state.db-wal", "state.db-shm")


def audit(folder, options=(), before=()):
    done = subprocess.run([*before, FEDRA, "audit", str(folder), "--json", *options], capture_output=True, timeout=120)
    assert done.returncode in (0, 1, 2), f"exit {done.returncode}: {done.stderr[-2000:]}"
    report = json.loads(done.stdout) if done.returncode < 2 else None
    assert report is None or (done.returncode == 1) == (report["finding_count"] > 0)
    return done.returncode, report, done.stderr.decode()


def clean(folder, options=(), before=()):
    code, report, text = audit(folder, options, before)
    assert code == 0, report["findings"][:5] if report else text
    return report["jobs"][0]


def finished(name, nodes, sets):
    with Run(name, nodes, {**ANSWERS, "aggregation.start_nodes": nodes, **sets}) as run:
        assert run.wait(60) == 0, run.tail()
        return run


def a_run_under_the_mean_is_clean_and_computed_again():
    job = clean(finished("mean", 3, {"convergence.max_rounds": 4}).folder)
    assert job["rounds"] == job["recomputed"] == 4 and job["updates"] == job["kept_updates"] == 12, job
    assert job["signatures"] == 12 + 5 and job["certificates"] == 4 and job["models"] == 5 and not job["not_checked"], job


def so_is_one_with_a_robust_rule_late_updates_and_momentum():
    run = finished("late", 6, {**SLOW, "convergence.max_rounds": 12, "robust.rule": "trimmed_mean", "robust.pre": "nnm",
                               "robust.tolerance": 0.15, "aggregation.late_updates": "next_round", "optimiser.kind": "momentum",
                               "optimiser.learning_rate": 0.3, "schedule.kind": "step", "schedule.step_rounds": 4})
    assert sum(line["accepted_late"] for line in run.metrics()) > 0, "nobody was late"
    job = clean(run.folder)
    assert job["rounds"] == job["recomputed"] == 12 and not job["not_checked"], job


def so_is_one_where_momentum_stands_in_and_the_last_rounds_are_kept():
    """Of adam the state before the first kept round is needed: it was kept with the updates. Buckets are drawn by the record's seed."""
    run = finished("stand_in", 6, {**SLOW, "convergence.max_rounds": 9, "aggregation.late_updates": "momentum",
                                   "optimiser.kind": "adam", "optimiser.learning_rate": 0.1, "audit.keep_updates": 3,
                                   "limits.models_keep": 5, "robust.rule": "geometric_median", "robust.pre": "bucketing",
                                   "robust.tolerance": 0.1})
    assert sum(line["stand_ins"] for line in run.metrics()) > 0, "nobody was late"
    job = clean(run.folder)
    assert job["rounds"] == 9 and job["recomputed"] == 3, job
    assert sorted(path.name for path in (run.job / "updates").iterdir()) == ["000007", "000008", "000009"]
    gap = job["not_checked"][0]
    assert gap["count"] == 6 and gap["last_version"] == 6 and "audit.keep_updates" in gap["what"], job


def so_is_one_whose_coordinator_died_and_that_was_resumed():
    sets = {**ANSWERS, "aggregation.start_nodes": 3, "convergence.max_rounds": 12, "train.fixed_wait_s": 0.05,
            "aggregation.late_updates": "next_round", "optimiser.kind": "momentum"}
    with Run("died", 3, sets) as run:
        for rounds in (2, 5):
            run.wait_for_rounds(rounds, 60)
            run.kill("coordinator")
        run.wait_for_rounds(8, 60)
        run.process.terminate()
        run.wait(60)
    cancelled = clean(run.folder)
    done = subprocess.run([FEDRA, "up", "--resume", "--run-dir", str(run.folder)], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]
    job = clean(run.folder)
    assert job["rounds"] == job["recomputed"] == 12 > cancelled["rounds"] and not job["not_checked"], (cancelled, job)


def diverged_run():
    """Its last round was undone: what it had accepted is in the table of dropped updates."""
    with Run("diverged", 2, {**PLAIN, **few_images(400), "model.kind": "softmax", "model.hidden": "[]", "validation.samples": 100,
                             "train.local_epochs": 1, "train.learning_rate": 0.01, "optimiser.kind": "momentum",
                             "optimiser.learning_rate": 20, "convergence.divergence_threshold": 0.05,
                             "convergence.divergence_patience": 2, "convergence.max_rounds": 30, "faults.slow.share": 0,
                             "faults.kill.share": 0, "aggregation.k_threshold": "1.0", "aggregation.start_nodes": 2,
                             "audit.keep_updates": "all"}) as run:
        assert run.wait(60) == 3, run.tail()
        return run


def fields(message):
    """(number, bytes) of the fields of a protobuf message that are bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        tag = varint()
        size = {1: 8, 5: 4}.get(tag & 7) or varint()
        if tag & 7 == 2 or tag & 7 == 1:
            yield tag >> 3, message[at:at + size]
            at += size


def add_evidence(run):
    """Two updates of one node for one round, both signed by it."""
    database = sqlite3.connect(run.job / "state.db")
    record, node, payload = database.execute("SELECT record, node, payload FROM commits JOIN counted USING(sequence) "
                                             "WHERE number = 1 ORDER BY node").fetchone()
    accepted = next(data for number, data in fields(dict(fields(record))[1]) if number == 2)
    header, signature = dict(fields(accepted))[1], dict(fields(accepted))[2]
    other = header.replace(payload, bytes(32 - 7) + b"another")
    assert other != header
    (SCRATCH / "header").write_bytes(other)
    subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", run.folder / "identity" / node.rsplit("/", 1)[1] / "envelope.key",
                    "-pkeyopt", "context-string:fedra/v1/update", "-in", SCRATCH / "header", "-out", SCRATCH / "signature"], check=True)
    database.execute("INSERT INTO evidence VALUES(NULL, ?, ?, ?)",
                     (node, header + signature, other + (SCRATCH / "signature").read_bytes()))
    database.commit()
    database.close()


def nothing_is_kept_unless_asked_for():
    run = finished("none", 2, {"convergence.max_rounds": 2, "audit.keep_updates": "none"})
    job = clean(run.folder)
    assert job["recomputed"] == 0 and job["kept_updates"] == 0 and job["signatures"] == 7, job
    assert not (run.job / "updates").exists()


def killed_run():
    """The folder of a run that was killed: its log is not in the database yet."""
    with Run("killed", 3, {**ANSWERS, "aggregation.start_nodes": 3, "convergence.max_rounds": 1000, "optimiser.kind": "adam",
                           "audit.keep_updates": 4}) as run:
        run.wait_for_rounds(6, 60)
    time.sleep(0.2)  # the kernel ends the children with it
    return run


def a_live_folder_is_clean():
    with Run("live", 3, {**ANSWERS, "aggregation.start_nodes": 3, "convergence.max_rounds": 100000, "optimiser.kind": "momentum",
                         "audit.keep_updates": 2, "limits.models_keep": 2}) as run:
        run.wait_for_rounds(3, 60)
        rounds = [clean(run.folder)["rounds"] for _ in range(10)]
        assert run.process.poll() is None and rounds == sorted(rounds) and rounds[-1] > rounds[0], rounds
        assert (run.job / "state.db-wal").stat().st_size > 0


def another_user_can_audit_without_keys():
    if os.geteuid() != 0:
        return
    run = killed_run()
    subprocess.run(["chmod", "-R", "a+rX", str(run.job), str(run.folder / "metrics.jsonl"), str(run.folder / "FORMAT")], check=True)
    for folder in (run.folder, run.folder / "jobs", run.folder / "identity", run.folder / "identity" / "coordinator"):
        folder.chmod(0o755)
    before = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    key = subprocess.run([*before, "cat", str(run.folder / "identity/coordinator/envelope.key")], capture_output=True)
    assert key.returncode != 0, "the key is readable"
    names = sorted(str(path) for path in run.folder.rglob("*"))
    job = clean(run.folder, before=before)
    assert job["recomputed"] == 4 and job["log_frames"] > 0, job
    assert names == sorted(str(path) for path in run.folder.rglob("*")), "the audit wrote to the folder"


def it_is_clean_after_the_certificates_ended(run, begun):
    time.sleep(max(0, begun + TTL_S + 1.5 - time.monotonic()))
    assert clean(run.folder)["rounds"] == 3


def only_given_roots_are_trusted(run, other):
    bundle = "identity/coordinator/bundle.pem"
    clean(run.folder, ["--bundle", str(run.folder / bundle)])
    code, report, _text = audit(run.folder, ["--bundle", str(other.folder / bundle)])
    assert code == 1 and "certificates" in report["findings"][0]["where"], report


def what_cannot_be_read_is_said(run):
    for folder, words in ((SCRATCH / "nowhere", "no such folder"), (run.folder / "logs", "holds no job")):
        code, _report, text = audit(folder)
        assert code == 2 and words in text, text
    done = subprocess.run([FEDRA, "audit"], capture_output=True)
    assert done.returncode == 2, done


def copy_of(job):
    """The database and its log elsewhere: who opens them writes to them."""
    copy = SCRATCH / "contents"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for name in ("state.db", "state.db-wal"):
        if (job / name).exists():
            shutil.copy(job / name, copy / name)
    return copy / "state.db"


def contents(job):
    """Everything that the database says; None where SQLite cannot read it."""
    try:
        database = sqlite3.connect(copy_of(job))
        database.text_factory = bytes
        said = [database.execute(f"PRAGMA {name}").fetchone() for name in ("user_version", "application_id", "integrity_check")]
        tables = [row[0].decode() for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
        said += [database.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name").fetchall()]
        for table in tables:
            said += database.execute(f"SELECT * FROM {table}").fetchall()
        database.close()
        return repr(said)
    except sqlite3.Error:
        return None


def edit(path, *statements):
    """Changes the database as an owner of the folder could, and leaves no log."""
    database = sqlite3.connect(path)
    try:
        database.execute("PRAGMA ignore_check_constraints = 1")
        for statement in statements:
            database.execute(statement)
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        database.close()


def restore(run, whole):
    (run.job / "state.db").write_bytes(whole)
    for name in EDITED:
        (run.job / name).unlink(missing_ok=True)


def rows_of(path, table):
    database = sqlite3.connect(path)
    database.text_factory = bytes
    try:
        return repr(database.execute(f"SELECT * FROM {table}").fetchall())
    finally:
        database.close()


def every_column_of_every_table_is_covered(run):
    path = run.job / "state.db"
    clean(run.folder)
    add_evidence(run)
    clean(run.folder)
    edit(path)
    whole = path.read_bytes()
    seen, missed = set(), []
    database = sqlite3.connect(path)
    tables = [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    columns = [(table, row[1], row[2]) for table in tables for row in database.execute(f"PRAGMA table_info({table})")]
    database.close()
    for table, column, kind in columns:
        value = {"INTEGER": f"{column} + 1", "TEXT": f"{column} || 'x'"}.get(kind, f"CAST(zeroblob(length({column})) AS BLOB)")
        for change in (value, f"CAST({column} AS BLOB)" if kind == "TEXT" else f"CAST({column} AS TEXT)" if kind == "BLOB" else value):
            before = rows_of(path, table)
            try:
                edit(path, f"UPDATE OR IGNORE {table} SET {column} = {change} WHERE {column} = (SELECT MAX({column}) FROM {table})")
                if rows_of(path, table) != before:
                    seen.add((table, column))
                    code, report, text = audit(run.folder)
                    if code != 1 or not any("state.db" in finding["where"] for finding in report["findings"]):
                        missed.append((table, column, change, code, text))
            finally:
                restore(run, whole)
    clean(run.folder)
    assert not missed, missed
    assert seen == {(table, column) for table, column, _kind in columns}, {column[:2] for column in columns} - seen


def files_of(run, kind):
    if kind == "database":
        return [run.job / "state.db"]
    if kind == "log":
        return [run.job / "state.db-wal"]
    database = sqlite3.connect(copy_of(run.job))
    last = database.execute("SELECT MAX(number) FROM commits").fetchone()[0]
    database.close()
    # What was on its way to the next version when the run was killed means nothing.
    return sorted(path for path in (run.job / kind).rglob("*")
                  if path.is_file() and int(path.relative_to(run.job / kind).parts[0][:6]) <= last)


def one_change(run, kind, chance, totals):
    path = chance.choice(files_of(run, kind))
    place = chance.randrange(path.stat().st_size)
    mask = 1 << chance.randrange(8) if chance.random() < 0.5 else chance.randrange(1, 256)
    named = "state.db" if kind in ("database", "log") else path.name
    expected = contents(run.job) if kind in ("database", "log") else None
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ mask]))
    try:
        code, report, text = audit(run.folder)
        what = f"{path.relative_to(SCRATCH)}: byte {place} was {byte}, {byte ^ mask} now"
        assert code < 2, f"{what}: exit {code}, {text}"
        if code == 1:
            totals["named"] += 1
            assert any(named in finding["where"] for finding in report["findings"]), f"{what}: {report['findings'][:3]}"
        else:
            totals["without meaning"] += 1
            assert expected is not None and contents(run.job) == expected, f"{what}: not found"
    finally:
        with open(path, "r+b") as file:
            file.seek(place)
            file.write(bytes([byte]))


def changed_bytes_are_named_or_mean_nothing(whole, killed):
    chance = random.Random(SEED)
    totals = {"named": 0, "without meaning": 0}
    kinds = [(whole, "database"), (killed, "log"), (killed, "database"), (whole, "models"), (killed, "models"),
             (whole, "updates"), (killed, "updates")]
    for run in (whole, killed):
        clean(run.folder)
    for i in range(CHANGES):
        run, kind = kinds[i % len(kinds)]
        one_change(run, kind, chance, totals)
    for run in (whole, killed):
        clean(run.folder)
    print(f"# {CHANGES} changes: {totals}")
    assert totals["named"] > CHANGES / 2 and totals["without meaning"] > 0, totals


def lost_rows_and_files_are_named(run):
    for file in (next((run.job / "models").iterdir()), next((run.job / "updates" / "000002").iterdir())):
        kept = file.read_bytes()
        file.unlink()
        code, report, _text = audit(run.folder)
        assert code == 1 and any(file.name in finding["where"] for finding in report["findings"]), report
        file.write_bytes(kept)
    stray = run.job / "updates" / "000002" / ("0" * 64)
    stray.write_bytes(b"x")
    code, report, _text = audit(run.folder)
    assert code == 1 and stray.name in report["findings"][0]["where"], report
    stray.unlink()
    path = run.job / "state.db"
    whole = path.read_bytes()
    for table in ("counted", "metrics", "certificates", "members", "models", "learn", "state"):
        edit(path, f"DELETE FROM {table}")
        code, report, text = audit(run.folder)
        assert code == 1, (table, text)
        restore(run, whole)
    clean(run.folder)


def main():
    tap = Tap()
    print(f"# FEDRA_TEST_SEED={SEED}")
    begun = time.monotonic()
    short = finished("short", 2, {"convergence.max_rounds": 3, "identity.ttl_s": TTL_S})
    begun = time.monotonic()
    tap.case("a_run_under_the_mean_is_clean_and_computed_again", a_run_under_the_mean_is_clean_and_computed_again)
    tap.case("so_is_one_with_a_robust_rule_late_updates_and_momentum", so_is_one_with_a_robust_rule_late_updates_and_momentum)
    tap.case("so_is_one_where_momentum_stands_in_and_the_last_rounds_are_kept",
             so_is_one_where_momentum_stands_in_and_the_last_rounds_are_kept)
    tap.case("nothing_is_kept_unless_asked_for", nothing_is_kept_unless_asked_for)
    tap.case("so_is_one_whose_coordinator_died_and_that_was_resumed", so_is_one_whose_coordinator_died_and_that_was_resumed)
    whole = finished("whole", 3, {"convergence.max_rounds": 4, "optimiser.kind": "adam"})
    tap.case("every_column_of_every_table_is_covered", every_column_of_every_table_is_covered, diverged_run())
    tap.case("lost_rows_and_files_are_named", lost_rows_and_files_are_named, whole)
    tap.case("changed_bytes_are_named_or_mean_nothing", changed_bytes_are_named_or_mean_nothing, whole, killed_run())
    tap.case("only_given_roots_are_trusted", only_given_roots_are_trusted, whole, short)
    tap.case("what_cannot_be_read_is_said", what_cannot_be_read_is_said, whole)
    tap.case("a_live_folder_is_clean", a_live_folder_is_clean)
    tap.case("another_user_can_audit_without_keys", another_user_can_audit_without_keys)
    tap.case("it_is_clean_after_the_certificates_ended", it_is_clean_after_the_certificates_ended, short, begun)
    tap.finish()


main()
