/*
 * store_fixture.h - folders on a real disk and commits made by number, for the tests of store/.
 */
#pragma once

#include "testing.h"

#include "base/digest.h"
#include "store/store_memory.h"
#include "store/store_sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An empty path of its own in the build folder: /tmp may be memory. */
static inline void fixture_folder(const char *name, char ret_path[static 512])
{
    const char *const base = getenv("STORE_TEST_FOLDER");
    snprintf(ret_path, 512, "%.300s/run-%.60s-XXXXXX", base == nullptr ? "." : base, name);
    assert_non_null(mkdtemp(ret_path));
    assert_int_equal(rmdir(ret_path), 0); /* the name only: who uses it makes the folder */
}

static inline void fixture_remove(const char *path)
{
    char command[600];
    snprintf(command, sizeof(command), "rm -rf '%.500s'", path);
    assert_int_equal(system(command), 0);
}

/* The record of version number: size bytes that begin with the number and differ for each. */
static inline void fixture_record(uint64_t number, uint8_t *ret_data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ret_data[i] = (uint8_t)(i < 8 ? number >> (8 * i) : number * 31 + i * 7 + (i >> 8));
}

static inline struct digest fixture_id(uint64_t number, size_t size)
{
    struct digest digest = {0};
    if (number == 0)
        return digest;
    uint8_t *const data = malloc(size);
    assert_non_null(data);
    fixture_record(number, data, size);
    digest_of(data, size, &digest);
    free(data);
    return digest;
}

static inline struct digest fixture_payload(uint64_t round, int node)
{
    char text[64];
    struct digest digest;
    snprintf(text, sizeof(text), "payload %llu %d", (unsigned long long)round, node);
    digest_of(text, strlen(text), &digest);
    return digest;
}

/* Every field another, none a whole number that is not one. */
static inline struct reputation fixture_reputation(uint64_t number)
{
    return (struct reputation){
        .rounds = number + 5,
        .flagged = number + 1,
        .flagged_round = number + 2,
        .flag = {.reason = SUSPECTED_COLLUSION, .score = 1.25 + (double)number},
        .distrust = 0.1 + 1.0 / (double)(number + 2),
        .recent = number % 32,
        .until = number + 20,
        .probation = number % 6};
}

/* One commit with all its parts; the arrays belong to the struct. */
struct fixture_commit {
    struct store_commit commit;
    struct store_counted counted[2];
    struct store_dropped dropped[1];
    struct store_member members[1];
    char model[64];
    char metrics[64];
    char learn_state[64];
    char state_file[64];
    uint8_t *record;
};

static inline void fixture_make(struct fixture_commit *f, uint64_t number, uint64_t epoch,
                                size_t size)
{
    *f = (struct fixture_commit){0};
    f->record = malloc(size);
    assert_non_null(f->record);
    fixture_record(number, f->record, size);
    f->commit.version = (struct store_version){
        .epoch = epoch,
        .number = number,
        .round = number,
        .id = fixture_id(number, size),
        .parent = fixture_id(number - 1, size),
        .created_ms = 1795000000000 + (int64_t)number,
    };
    snprintf(f->model, sizeof(f->model), "model %llu", (unsigned long long)number);
    snprintf(f->metrics, sizeof(f->metrics), "round=%llu", (unsigned long long)number);
    snprintf(f->commit.version.model_file, STORE_NAME_MAX, "model-%llu.safetensors",
             (unsigned long long)number);
    f->counted[0] = (struct store_counted){"spiffe://t/fedra/node/a", number, 0, 100,
                                           fixture_payload(number, 0)};
    f->counted[1] = (struct store_counted){"spiffe://t/fedra/node/b", number, 1, 200,
                                           fixture_payload(number, 1)};
    f->dropped[0] = (struct store_dropped){"spiffe://t/fedra/node/c", number,
                                           fixture_payload(number, 2), "norm over the bound"};
    f->members[0] =
        (struct store_member){"spiffe://t/fedra/node/a", true, {{7}}, number, 100, number - 1,
                              fixture_reputation(number)};
    snprintf(f->learn_state, sizeof(f->learn_state), "learnt %llu", (unsigned long long)number);
    snprintf(f->state_file, sizeof(f->state_file), "state-%llu", (unsigned long long)number);
    f->commit.record = (struct slice){f->record, size};
    f->commit.counted = f->counted;
    f->commit.counted_count = 2;
    f->commit.dropped = f->dropped;
    f->commit.dropped_count = 1;
    f->commit.members = f->members;
    f->commit.member_count = 1;
    f->commit.open_round = number + 1;
    f->commit.metrics = f->metrics;
    f->commit.learn_state = (struct slice){(const uint8_t *)f->learn_state, strlen(f->learn_state)};
}

/* Puts the model and the state file of version number and commits it; the first failing status. */
static inline enum status fixture_commit(struct store *store, uint64_t number, uint64_t epoch,
                                         size_t size, struct error *err)
{
    struct fixture_commit f;
    fixture_make(&f, number, epoch, size);
    const struct slice model = {(const uint8_t *)f.model, strlen(f.model)};
    enum status status = store_put_model(store, f.commit.version.model_file, &model, 1, err);
    if (status == STATUS_OK)
        status = store_put_model(store, f.state_file, &f.commit.learn_state, 1, err);
    f.commit.state_file = f.state_file;
    if (status == STATUS_OK)
        status = store_commit(store, &f.commit, err);
    free(f.record);
    return status;
}

/* What is remembered is that of version number (0: nothing): learn state, state file, member. */
static inline void fixture_check_learnt(struct store *store, uint64_t number)
{
    struct store_summary summary;
    struct store_member member;
    struct bytes learnt;
    char wanted[64] = "", content[64] = {0};
    size_t size = 0;
    bytes_init(&learnt, STORE_LEARN_STATE_BYTES_MAX);
    if (number > 0)
        snprintf(wanted, sizeof(wanted), "learnt %llu", (unsigned long long)number);
    assert_int_equal(store_read_learn_state(store, &learnt, nullptr), STATUS_OK);
    assert_int_equal(learnt.size, strlen(wanted));
    if (number > 0)
        assert_memory_equal(learnt.data, wanted, learnt.size);
    bytes_deinit(&learnt);
    assert_int_equal(store_read_summary(store, &summary, nullptr), STATUS_OK);
    assert_int_equal(store_find_member_after(store, "", &member, nullptr),
                     number > 0 ? STATUS_OK : STATUS_NOT_FOUND);
    if (number == 0) {
        assert_string_equal(summary.state_file, "");
        return;
    }
    assert_int_equal(member.asked_round, number);
    assert_int_equal(member.samples, 100);
    assert_int_equal(member.counted_round, number - 1);
    const struct reputation reputation = fixture_reputation(number);
    assert_int_equal(member.reputation.rounds, reputation.rounds);
    assert_int_equal(member.reputation.flagged, reputation.flagged);
    assert_int_equal(member.reputation.flagged_round, reputation.flagged_round);
    assert_int_equal(member.reputation.flag.reason, reputation.flag.reason);
    assert_true(member.reputation.flag.score == reputation.flag.score);
    assert_true(member.reputation.distrust == reputation.distrust);
    assert_int_equal(member.reputation.recent, reputation.recent);
    assert_int_equal(member.reputation.until, reputation.until);
    assert_int_equal(member.reputation.probation, reputation.probation);
    assert_int_equal(store_read_model(store, summary.state_file, 0, content, sizeof(content) - 1,
                                      &size, nullptr),
                     STATUS_OK);
    assert_string_equal(content, wanted);
    snprintf(wanted, sizeof(wanted), "state-%llu", (unsigned long long)number);
    assert_string_equal(summary.state_file, wanted);
}

/* Everything of version number is there and whole, and nothing of the version after the last. */
static inline void fixture_check(struct store *store, uint64_t count, size_t size)
{
    struct store_summary summary;
    assert_int_equal(store_read_summary(store, &summary, nullptr), STATUS_OK);
    assert_int_equal(summary.commit_count, count);
    assert_int_equal(summary.open_round, count == 0 ? 0 : count + 1);
    fixture_check_learnt(store, count);
    struct bytes record;
    bytes_init(&record, 1 << 26);
    for (uint64_t number = 1; number <= count; number++) {
        struct store_version version;
        struct store_receipt receipt;
        struct digest digest;
        assert_int_equal(store_find_after(store, number - 1, &version, &record, nullptr),
                         STATUS_OK);
        assert_int_equal(version.number, number);
        assert_int_equal(record.size, size);
        digest_of(record.data, record.size, &digest);
        assert_true(digest_equal(&digest, &version.id));
        digest = fixture_id(number - 1, size);
        assert_true(digest_equal(&digest, &version.parent));
        for (int node = 0; node < 3; node++) {
            const char *const names[] = {"spiffe://t/fedra/node/a", "spiffe://t/fedra/node/b",
                                         "spiffe://t/fedra/node/c"};
            digest = fixture_payload(number, node);
            assert_int_equal(
                store_find_receipt(store, 0, number, names[node], &digest, &receipt, nullptr),
                STATUS_OK);
            assert_int_equal(receipt.kind,
                             node == 2 ? STORE_RECEIPT_DROPPED : STORE_RECEIPT_COUNTED);
            assert_int_equal(receipt.version.number, number);
        }
        char model[64] = {0}, wanted[64];
        size_t model_size = 0;
        assert_int_equal(store_read_model(store, version.model_file, 0, model, sizeof(model) - 1,
                                          &model_size, nullptr),
                         STATUS_OK);
        snprintf(wanted, sizeof(wanted), "model %llu", (unsigned long long)number);
        assert_string_equal(model, wanted);
    }
    struct store_receipt none;
    const struct digest next = fixture_payload(count + 1, 0);
    assert_int_equal(
        store_find_receipt(store, 0, count + 1, "spiffe://t/fedra/node/a", &next, &none, nullptr),
        STATUS_NOT_FOUND);
    bytes_deinit(&record);
}
