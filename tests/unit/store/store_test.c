/*
 * store_test.c - one suite over both stores: what store.h promises holds for each of them.
 *
 * Method: every case runs on memory and on SQLite; a "restart" is a crash of the first, and a close
 * and an open of the second. Not here: kills and failing disks (store_crash_test.c,
 * store_fault_test.c).
 */
#include "store_fixture.h"

enum { RECORD_BYTES = 3000 };

struct world {
    bool memory;
    uint32_t models_keep;
    char folder[512];
    struct store *store;
};

static const uint8_t instance[STORE_INSTANCE_BYTES] = {1, 2, 3};

static void open_store(struct world *world)
{
    struct error err = {0};
    const struct store_sqlite_options options = {world->folder, "job-1", world->models_keep,
                                                 nullptr};
    const enum status status = world->memory ? store_memory_open(world->models_keep, &world->store)
                                             : store_sqlite_open(&options, &world->store, &err);
    if (status != STATUS_OK)
        fail_msg("%s", err.text);
}

static void restart(struct world *world)
{
    if (world->memory) {
        store_memory_crash(world->store);
        return;
    }
    store_close(world->store);
    open_store(world);
}

static uint64_t raise_to(struct world *world, uint64_t at_least)
{
    uint64_t epoch = 0;
    assert_int_equal(store_raise_epoch(world->store, 0, at_least, instance, &epoch, nullptr),
                     STATUS_OK);
    return epoch;
}

static void commit_ok(struct world *world, uint64_t number)
{
    struct error err = {0};
    if (fixture_commit(world->store, number, 1, RECORD_BYTES, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

static void epoch_rises_at_every_start_and_jumps_over_what_nodes_saw(struct world *world)
{
    assert_int_equal(raise_to(world, 0), 1);
    assert_int_equal(raise_to(world, 1), 2);
    restart(world);
    assert_int_equal(raise_to(world, 0), 3);
    assert_int_equal(raise_to(world, 10), 10);
    assert_int_equal(raise_to(world, 11), 11);
    assert_int_equal(raise_to(world, 5), 12);
    restart(world);
    struct store_summary summary;
    assert_int_equal(store_read_summary(world->store, &summary, nullptr), STATUS_OK);
    assert_int_equal(summary.epoch, 12);
    assert_memory_equal(summary.instance_id, instance, sizeof(instance));
    uint64_t epoch = 0;
    assert_int_equal(store_raise_epoch(world->store, 0, UINT64_MAX, instance, &epoch, nullptr),
                     STATUS_INVAL);
    assert_int_equal(raise_to(world, INT64_MAX), INT64_MAX);
    assert_int_equal(store_raise_epoch(world->store, 0, 0, instance, &epoch, nullptr),
                     STATUS_LIMIT);
}

static void commits_survive_a_restart_whole(struct world *world)
{
    struct store_version version;
    assert_int_equal(store_find_latest(world->store, &version, nullptr, nullptr), STATUS_NOT_FOUND);
    raise_to(world, 0);
    for (uint64_t number = 1; number <= 3; number++)
        commit_ok(world, number);
    fixture_check(world->store, 3, RECORD_BYTES);
    restart(world);
    fixture_check(world->store, 3, RECORD_BYTES);
    assert_int_equal(store_find_latest(world->store, &version, nullptr, nullptr), STATUS_OK);
    assert_int_equal(version.number, 3);
    assert_int_equal(version.created_ms, 1795000000003);
    assert_int_equal(store_find_number(world->store, 0, 2, &version, nullptr, nullptr), STATUS_OK);
    assert_int_equal(version.sequence, 2);
    assert_int_equal(store_find_number(world->store, 1, 2, &version, nullptr, nullptr),
                     STATUS_NOT_FOUND);
    struct bytes text;
    uint64_t sequence = 0;
    bytes_init(&text, 100);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(
            store_find_metrics_after(world->store, sequence, &sequence, &text, nullptr), STATUS_OK);
        assert_int_equal(sequence, i);
        assert_int_equal(text.size, 7);
        assert_int_equal(text.data[6], '0' + i);
    }
    assert_int_equal(store_find_metrics_after(world->store, sequence, &sequence, &text, nullptr),
                     STATUS_NOT_FOUND);
    bytes_deinit(&text);
    struct bytes small;
    bytes_init(&small, 10);
    assert_int_equal(store_find_latest(world->store, &version, &small, nullptr), STATUS_LIMIT);
    bytes_deinit(&small);
}

/* A commit that changes one field of version 3 must be refused as expected and leave no trace. */
static void refused(struct world *world, struct fixture_commit *f, enum status expected)
{
    struct error err = {0};
    const struct slice model = {(const uint8_t *)"m", 1};
    const enum status put = store_put_model(world->store, "model-x", &model, 1, &err);
    assert_int_equal(put, STATUS_OK);
    snprintf(f->commit.version.model_file, STORE_NAME_MAX, "model-x");
    assert_int_equal(store_commit(world->store, &f->commit, &err), expected);
    assert_true(err.text[0] != '\0');
    free(f->record);
    fixture_check(world->store, 2, RECORD_BYTES);
}

static void contradictions_are_refused_and_leave_no_trace(struct world *world)
{
    struct fixture_commit f;
    raise_to(world, 0);
    commit_ok(world, 1);
    commit_ok(world, 2);
    fixture_make(&f, 2, 1, RECORD_BYTES); /* the same version again */
    refused(world, &f, STATUS_EXISTS);
    fixture_make(&f, 3, 1, RECORD_BYTES); /* another record of number 2 in the epoch */
    f.commit.version.number = 2;
    refused(world, &f, STATUS_EXISTS);
    raise_to(world, 0);                   /* epoch 2 */
    fixture_make(&f, 3, 2, RECORD_BYTES); /* a sibling of version 2, in a later epoch */
    f.commit.version.number = 2;
    f.commit.version.parent = fixture_id(1, RECORD_BYTES);
    refused(world, &f, STATUS_EXISTS);
    fixture_make(&f, 3, 2, RECORD_BYTES); /* counts the second row's update a second time */
    f.counted[1].round = 1;
    f.counted[1].payload_digest = fixture_payload(9, 9);
    refused(world, &f, STATUS_EXISTS);
    fixture_make(&f, 3, 2, RECORD_BYTES); /* drops an update a second time */
    f.dropped[0].round = 1;
    f.dropped[0].payload_digest = fixture_payload(1, 2);
    refused(world, &f, STATUS_EXISTS);
    fixture_make(&f, 3, 3, RECORD_BYTES); /* an epoch nobody raised */
    refused(world, &f, STATUS_INVAL);
    fixture_make(&f, 3, 2, RECORD_BYTES);
    f.commit.version.model_file[0] = '\0';
    assert_int_equal(store_commit(world->store, &f.commit, nullptr), STATUS_INVAL);
    snprintf(f.commit.version.model_file, STORE_NAME_MAX, "never-put");
    assert_int_equal(store_commit(world->store, &f.commit, nullptr), STATUS_INVAL);
    free(f.record);
}

static void an_older_epoch_is_fenced_off(struct world *world)
{
    struct error err = {0};
    raise_to(world, 0);
    raise_to(world, 0);
    assert_int_equal(fixture_commit(world->store, 1, 2, RECORD_BYTES, &err), STATUS_OK);
    assert_int_equal(fixture_commit(world->store, 2, 1, RECORD_BYTES, &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "is over"));
    fixture_check(world->store, 1, RECORD_BYTES);
}

/* The later process has read what it goes on from: nothing may come between. */
static void an_epoch_ends_when_the_next_is_raised_not_at_its_first_commit(struct world *world)
{
    struct error err = {0};
    raise_to(world, 0);
    commit_ok(world, 1);
    raise_to(world, 0);
    assert_int_equal(fixture_commit(world->store, 2, 1, RECORD_BYTES, &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "the epoch 1 is over: the store is at 2"));
    fixture_check(world->store, 1, RECORD_BYTES);
    assert_int_equal(fixture_commit(world->store, 2, 2, RECORD_BYTES, nullptr), STATUS_OK);
}

static void who_was_fenced_off_raises_no_epoch(struct world *world)
{
    struct error err = {0};
    struct store_summary summary;
    uint64_t epoch = 0;
    raise_to(world, 0);
    assert_int_equal(store_raise_epoch(world->store, 1, 0, instance, &epoch, nullptr), STATUS_OK);
    assert_int_equal(epoch, 2);
    assert_int_equal(store_raise_epoch(world->store, 1, 9, instance, &epoch, &err), STATUS_EXISTS);
    assert_non_null(strstr(err.text, "the epoch 1 is over: the store is at 2"));
    assert_int_equal(epoch, 2);
    assert_int_equal(store_read_summary(world->store, &summary, nullptr), STATUS_OK);
    assert_int_equal(summary.epoch, 2);
    assert_int_equal(store_raise_epoch(world->store, 2, 9, instance, &epoch, nullptr), STATUS_OK);
    assert_int_equal(epoch, 9);
}

static void an_ended_job_takes_no_more_commits(struct world *world)
{
    struct fixture_commit f;
    const struct slice model = {(const uint8_t *)"model 1", 7};
    raise_to(world, 0);
    fixture_make(&f, 1, 1, RECORD_BYTES);
    f.commit.outcome = "converged(loss)";
    assert_int_equal(store_put_model(world->store, f.commit.version.model_file, &model, 1, nullptr),
                     STATUS_OK);
    assert_int_equal(store_commit(world->store, &f.commit, nullptr), STATUS_OK);
    free(f.record);
    restart(world);
    struct store_summary summary;
    assert_int_equal(store_read_summary(world->store, &summary, nullptr), STATUS_OK);
    assert_string_equal(summary.outcome, "converged(loss)");
    assert_int_equal(fixture_commit(world->store, 2, 1, RECORD_BYTES, nullptr), STATUS_INVAL);
}

static void an_outcome_can_be_taken_back_for_good(struct world *world)
{
    struct store_summary summary;
    an_ended_job_takes_no_more_commits(world);
    assert_int_equal(store_clear_outcome(world->store, nullptr), STATUS_OK);
    restart(world);
    assert_int_equal(store_read_summary(world->store, &summary, nullptr), STATUS_OK);
    assert_string_equal(summary.outcome, "");
    commit_ok(world, 2);
    assert_int_equal(store_clear_outcome(world->store, nullptr), STATUS_OK); /* there is none */
    commit_ok(world, 3);
}

static void members_are_listed_by_name_and_replaced(struct world *world)
{
    raise_to(world, 0);
    const char *const names[] = {"zeta", "alpha", "mid"};
    for (uint64_t i = 0; i < 4; i++) {
        struct fixture_commit f;
        const struct slice model = {(const uint8_t *)"m", 1};
        fixture_make(&f, i + 1, 1, RECORD_BYTES);
        f.members[0] = (struct store_member){.active = i != 3, .key_id = {{(uint8_t)i}}};
        snprintf(f.members[0].name, STORE_NAME_MAX, "%s", names[i % 3]);
        assert_int_equal(
            store_put_model(world->store, f.commit.version.model_file, &model, 1, nullptr),
            STATUS_OK);
        assert_int_equal(store_commit(world->store, &f.commit, nullptr), STATUS_OK);
        free(f.record);
    }
    restart(world);
    struct store_member member = {0};
    const char *const sorted[] = {"alpha", "mid", "zeta"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(store_find_member_after(world->store, member.name, &member, nullptr),
                         STATUS_OK);
        assert_string_equal(member.name, sorted[i]);
        assert_int_equal(member.active, i != 2);
    }
    assert_int_equal(member.key_id.bytes[0], 3);
    assert_int_equal(store_find_member_after(world->store, member.name, &member, nullptr),
                     STATUS_NOT_FOUND);
}

static void certificates_become_durable_with_the_next_commit(struct world *world)
{
    const struct digest a = {{1}}, b = {{2}};
    const struct slice der = {(const uint8_t *)"der a", 5}, other = {(const uint8_t *)"der b", 5};
    struct bytes found;
    bytes_init(&found, 100);
    raise_to(world, 0);
    assert_int_equal(store_put_certificate(world->store, &a, der, nullptr), STATUS_OK);
    assert_int_equal(store_put_certificate(world->store, &a, der, nullptr), STATUS_OK);
    assert_int_equal(store_put_certificate(world->store, &a, other, nullptr), STATUS_EXISTS);
    assert_int_equal(store_find_certificate(world->store, &a, &found, nullptr), STATUS_OK);
    commit_ok(world, 1);
    assert_int_equal(store_put_certificate(world->store, &b, other, nullptr), STATUS_OK);
    restart(world);
    assert_int_equal(store_find_certificate(world->store, &a, &found, nullptr), STATUS_OK);
    assert_int_equal(found.size, 5);
    assert_memory_equal(found.data, "der a", 5);
    assert_int_equal(store_find_certificate(world->store, &b, &found, nullptr), STATUS_NOT_FOUND);
    assert_int_equal(store_put_certificate(world->store, &a, other, nullptr), STATUS_EXISTS);
    bytes_deinit(&found);
}

static void evidence_is_kept_in_order(struct world *world)
{
    const struct slice first = {(const uint8_t *)"one", 3}, second = {(const uint8_t *)"two!", 4};
    struct bytes a, b;
    char node[STORE_NAME_MAX];
    uint64_t sequence = 0;
    bytes_init(&a, 100);
    bytes_init(&b, 100);
    assert_int_equal(store_put_evidence(world->store, "liar", first, second, nullptr), STATUS_OK);
    assert_int_equal(store_put_evidence(world->store, "rogue", second, first, nullptr), STATUS_OK);
    assert_int_equal(store_put_evidence(world->store, "", first, second, nullptr), STATUS_INVAL);
    restart(world);
    assert_int_equal(store_find_evidence_after(world->store, 0, &sequence, node, &a, &b, nullptr),
                     STATUS_OK);
    assert_string_equal(node, "liar");
    assert_int_equal(b.size, 4);
    assert_memory_equal(b.data, "two!", 4);
    assert_int_equal(
        store_find_evidence_after(world->store, sequence, &sequence, node, &a, &b, nullptr),
        STATUS_OK);
    assert_string_equal(node, "rogue");
    assert_int_equal(
        store_find_evidence_after(world->store, sequence, &sequence, node, &a, &b, nullptr),
        STATUS_NOT_FOUND);
    bytes_deinit(&a);
    bytes_deinit(&b);
}

static bool has_model(struct world *world, const char *name)
{
    uint8_t byte;
    size_t size;
    return store_read_model(world->store, name, 0, &byte, 1, &size, nullptr) == STATUS_OK;
}

static void models_without_a_commit_go_at_a_restart(struct world *world)
{
    const struct slice pieces[] = {
        {(const uint8_t *)"abc", 3}, {nullptr, 0}, {(const uint8_t *)"def", 3}};
    char text[16] = {0};
    size_t size = 0;
    raise_to(world, 0);
    commit_ok(world, 1);
    assert_int_equal(store_put_model(world->store, "loose", pieces, 3, nullptr), STATUS_OK);
    assert_int_equal(store_read_model(world->store, "loose", 2, text, 3, &size, nullptr),
                     STATUS_OK);
    assert_int_equal(size, 3);
    assert_string_equal(text, "cde");
    assert_int_equal(store_read_model(world->store, "loose", 9, text, 3, &size, nullptr),
                     STATUS_OK);
    assert_int_equal(size, 0);
    assert_int_equal(store_put_model(world->store, "model-1.safetensors", pieces, 3, nullptr),
                     STATUS_EXISTS);
    assert_int_equal(store_put_model(world->store, "../loose", pieces, 3, nullptr), STATUS_INVAL);
    assert_int_equal(store_put_model(world->store, ".loose", pieces, 3, nullptr), STATUS_INVAL);
    restart(world);
    assert_false(has_model(world, "loose"));
    fixture_check(world->store, 1, RECORD_BYTES);
}

/* Six versions, of which two models are kept besides the best; the best are those of mark. */
static void commit_six(struct world *world, void (*mark)(struct store_commit *, uint64_t))
{
    raise_to(world, 0);
    for (uint64_t number = 1; number <= 6; number++) {
        struct fixture_commit f;
        fixture_make(&f, number, 1, RECORD_BYTES);
        mark(&f.commit, number);
        const struct slice model = {(const uint8_t *)f.model, strlen(f.model)};
        assert_int_equal(
            store_put_model(world->store, f.commit.version.model_file, &model, 1, nullptr),
            STATUS_OK);
        assert_int_equal(store_commit(world->store, &f.commit, nullptr), STATUS_OK);
        free(f.record);
    }
}

/* After each start. */
static void check_second_and_last_two_kept(struct world *world)
{
    for (int pass = 0; pass < 2; pass++) {
        const bool kept[] = {false, true, false, false, true, true};
        for (int i = 0; i < 6; i++) {
            char name[64];
            snprintf(name, sizeof(name), "model-%d.safetensors", i + 1);
            assert_int_equal(has_model(world, name), kept[i]);
        }
        restart(world);
    }
}

static void mark_first_two(struct store_commit *commit, uint64_t number)
{
    commit->version.best = number == 1 || number == 2;
}

static void retention_spares_the_latest_and_the_best(struct world *world)
{
    commit_six(world, mark_first_two);
    check_second_and_last_two_kept(world);
}

/* What the nodes measured of version 2 is known when version 3 is committed. */
static void mark_parents(struct store_commit *commit, uint64_t number)
{
    commit->parent_is_best = number == 2 || number == 3;
}

static void a_version_found_to_be_the_best_by_the_next_one_is_spared(struct world *world)
{
    struct store_version version;
    commit_six(world, mark_parents);
    for (uint64_t number = 1; number <= 6; number++) {
        assert_int_equal(store_find_number(world->store, 0, number, &version, nullptr, nullptr),
                         STATUS_OK);
        assert_int_equal(version.best, number <= 2);
    }
    check_second_and_last_two_kept(world);
}

/* Commits version number with a model of its own and the state file as given. */
static enum status commit_state(struct world *world, uint64_t number, const char *state_file)
{
    struct fixture_commit f;
    fixture_make(&f, number, 1, RECORD_BYTES);
    const struct slice model = {(const uint8_t *)f.model, strlen(f.model)};
    f.commit.state_file = state_file;
    assert_int_equal(store_put_model(world->store, f.commit.version.model_file, &model, 1, nullptr),
                     STATUS_OK);
    const enum status status = store_commit(world->store, &f.commit, nullptr);
    free(f.record);
    return status;
}

static void put(struct world *world, const char *name)
{
    assert_int_equal(
        store_put_model(world->store, name, &(struct slice){(const uint8_t *)"s", 1}, 1, nullptr),
        STATUS_OK);
}

static void only_the_latest_state_file_is_kept(struct world *world)
{
    const struct slice bytes = {(const uint8_t *)"s", 1};
    struct store_summary summary;
    raise_to(world, 0);
    assert_int_equal(commit_state(world, 1, "never-put"), STATUS_INVAL);
    assert_int_equal(commit_state(world, 1, "../s1"), STATUS_INVAL);
    put(world, "s1");
    assert_int_equal(commit_state(world, 1, "s1"), STATUS_OK);
    assert_int_equal(store_put_model(world->store, "s1", &bytes, 1, nullptr), STATUS_EXISTS);
    put(world, "s2");
    assert_true(has_model(world, "s1"));
    assert_int_equal(commit_state(world, 2, "s2"), STATUS_OK);
    assert_false(has_model(world, "s1"));
    assert_int_equal(commit_state(world, 3, "s2"), STATUS_OK); /* again the same */
    restart(world);
    assert_true(has_model(world, "s2"));
    assert_int_equal(store_read_summary(world->store, &summary, nullptr), STATUS_OK);
    assert_string_equal(summary.state_file, "s2");
    put(world, "s3"); /* no commit names it: gone at the restart, and s2 is still there */
    restart(world);
    assert_false(has_model(world, "s3"));
    assert_true(has_model(world, "s2"));
    assert_int_equal(commit_state(world, 4, nullptr), STATUS_OK);
    assert_false(has_model(world, "s2"));
    assert_int_equal(store_read_summary(world->store, &summary, nullptr), STATUS_OK);
    assert_string_equal(summary.state_file, "");
    put(world, "s1"); /* a name may come again */
    assert_int_equal(commit_state(world, 5, "s1"), STATUS_OK);
    for (int number = 1; number <= 5; number++) {
        char name[64];
        snprintf(name, sizeof(name), "model-%d.safetensors", number);
        assert_int_equal(has_model(world, name), world->models_keep == 0 || number > 3);
    }
}

/* A file that is both is kept as long as either needs it. */
static void a_state_file_that_is_a_model_is_kept_as_either(struct world *world)
{
    raise_to(world, 0);
    assert_int_equal(commit_state(world, 1, "model-1.safetensors"), STATUS_OK);
    for (uint64_t number = 2; number <= 4; number++)
        assert_int_equal(commit_state(world, number, "model-1.safetensors"), STATUS_OK);
    assert_true(has_model(world, "model-1.safetensors"));
    assert_int_equal(commit_state(world, 5, nullptr), STATUS_OK);
    assert_int_equal(has_model(world, "model-1.safetensors"), world->models_keep == 0);
    put(world, "both");
    assert_int_equal(commit_state(world, 6, "both"), STATUS_OK);
    struct fixture_commit f;
    fixture_make(&f, 7, 1, RECORD_BYTES);
    snprintf(f.commit.version.model_file, STORE_NAME_MAX, "both");
    assert_int_equal(store_commit(world->store, &f.commit, nullptr), STATUS_OK);
    free(f.record);
    restart(world);
    assert_true(has_model(world, "both"));
}

static void the_learn_state_is_replaced_as_a_whole(struct world *world)
{
    static uint8_t large[STORE_LEARN_STATE_BYTES_MAX + 1] = {1};
    struct bytes learnt, small;
    bytes_init(&learnt, sizeof(large));
    bytes_init(&small, 4);
    raise_to(world, 0);
    fixture_check_learnt(world->store, 0);
    commit_ok(world, 1);
    fixture_check_learnt(world->store, 1);
    assert_int_equal(store_read_learn_state(world->store, &small, nullptr), STATUS_LIMIT);
    const size_t sizes[] = {sizeof(large) - 1, sizeof(large), 0};
    for (uint64_t i = 0; i < 3; i++) {
        struct fixture_commit f;
        fixture_make(&f, i == 2 ? 3 : 2 + i, 1, RECORD_BYTES);
        put(world, f.commit.version.model_file);
        f.commit.learn_state = (struct slice){large, sizes[i]};
        assert_int_equal(store_commit(world->store, &f.commit, nullptr),
                         i == 1 ? STATUS_LIMIT : STATUS_OK);
        restart(world);
        assert_int_equal(store_read_learn_state(world->store, &learnt, nullptr), STATUS_OK);
        assert_int_equal(learnt.size, i == 2 ? 0 : sizeof(large) - 1);
        free(f.record);
    }
    bytes_deinit(&learnt);
    bytes_deinit(&small);
}

static bool is_paused(struct world *world)
{
    struct store_summary summary;
    assert_int_equal(store_read_summary(world->store, &summary, nullptr), STATUS_OK);
    return summary.paused;
}

static void a_pause_is_durable_and_commits_leave_it(struct world *world)
{
    assert_false(is_paused(world));
    assert_int_equal(store_set_paused(world->store, true, nullptr), STATUS_OK);
    assert_true(is_paused(world));
    restart(world);
    assert_true(is_paused(world));
    raise_to(world, 0);
    commit_ok(world, 1);
    assert_true(is_paused(world));
    assert_int_equal(store_set_paused(world->store, true, nullptr), STATUS_OK);
    assert_int_equal(store_set_paused(world->store, false, nullptr), STATUS_OK);
    restart(world);
    assert_false(is_paused(world));
    fixture_check(world->store, 1, RECORD_BYTES);
}

static void the_newest_version_of_a_round_is_found(struct world *world)
{
    struct store_version version = {.number = 77};
    raise_to(world, 0);
    assert_int_equal(store_find_round(world->store, 0, 1, &version, nullptr), STATUS_NOT_FOUND);
    /* fork and round of versions 1 to 6 */
    static const uint32_t forks[] = {0, 0, 0, 1, 1, 0};
    static const uint64_t rounds[] = {1, 2, 2, 2, 3, 5};
    for (uint64_t i = 0; i < 6; i++) {
        struct fixture_commit f;
        fixture_make(&f, i + 1, 1, RECORD_BYTES);
        put(world, f.commit.version.model_file);
        f.commit.version.fork = forks[i];
        f.commit.version.round = rounds[i];
        assert_int_equal(store_commit(world->store, &f.commit, nullptr), STATUS_OK);
        free(f.record);
    }
    restart(world);
    /* fork, round, the number that is found */
    static const uint64_t wanted[][3] = {{0, 1, 1}, {0, 2, 3}, {0, 3, 0},
                                         {0, 5, 6}, {1, 2, 4}, {1, 3, 5},
                                         {1, 1, 0}, {2, 1, 0}, {0, UINT64_MAX, 0}};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
        version.number = 77;
        assert_int_equal(
            store_find_round(world->store, (uint32_t)wanted[i][0], wanted[i][1], &version, nullptr),
            wanted[i][2] == 0 ? STATUS_NOT_FOUND : STATUS_OK);
        assert_int_equal(version.number, wanted[i][2] == 0 ? 77 : wanted[i][2]);
    }
}

static void numbers_of_members_are_bounded(struct world *world)
{
    raise_to(world, 0);
    for (int i = 0; i < 3; i++) {
        struct fixture_commit f;
        fixture_make(&f, 1, 1, RECORD_BYTES);
        put(world, f.commit.version.model_file);
        uint64_t *const numbers[] = {&f.members[0].asked_round, &f.members[0].samples,
                                     &f.members[0].counted_round};
        *numbers[i] = UINT64_C(1) << 63;
        assert_int_equal(store_commit(world->store, &f.commit, nullptr), STATUS_INVAL);
        free(f.record);
    }
    fixture_check(world->store, 0, RECORD_BYTES);
}

struct test_case {
    const char *name;
    void (*run)(struct world *world);
    uint32_t models_keep;
};

#define CASE(name, keep) {#name, name, keep}
static const struct test_case cases[] = {
    CASE(epoch_rises_at_every_start_and_jumps_over_what_nodes_saw, 0),
    CASE(commits_survive_a_restart_whole, 0),
    CASE(contradictions_are_refused_and_leave_no_trace, 0),
    CASE(an_older_epoch_is_fenced_off, 0),
    CASE(an_epoch_ends_when_the_next_is_raised_not_at_its_first_commit, 0),
    CASE(who_was_fenced_off_raises_no_epoch, 0),
    CASE(an_ended_job_takes_no_more_commits, 0),
    CASE(members_are_listed_by_name_and_replaced, 0),
    CASE(certificates_become_durable_with_the_next_commit, 0),
    CASE(evidence_is_kept_in_order, 0),
    CASE(models_without_a_commit_go_at_a_restart, 0),
    CASE(retention_spares_the_latest_and_the_best, 2),
    CASE(a_version_found_to_be_the_best_by_the_next_one_is_spared, 2),
    CASE(only_the_latest_state_file_is_kept, 0),
    CASE(only_the_latest_state_file_is_kept, 2),
    CASE(a_state_file_that_is_a_model_is_kept_as_either, 0),
    CASE(a_state_file_that_is_a_model_is_kept_as_either, 1),
    CASE(the_learn_state_is_replaced_as_a_whole, 0),
    CASE(an_outcome_can_be_taken_back_for_good, 0),
    CASE(a_pause_is_durable_and_commits_leave_it, 0),
    CASE(the_newest_version_of_a_round_is_found, 0),
    CASE(numbers_of_members_are_bounded, 0),
};
enum { CASE_COUNT = sizeof(cases) / sizeof(*cases) };

static void run_case(const struct test_case *test, bool memory)
{
    struct world world = {.memory = memory, .models_keep = test->models_keep};
    fixture_folder("store", world.folder);
    open_store(&world);
    test->run(&world);
    store_close(world.store);
    fixture_remove(world.folder);
}

static void run_on_memory(void **state)
{
    run_case(*state, true);
}

static void run_on_sqlite(void **state)
{
    run_case(*state, false);
}

static void memory_evidence_and_failures_are_bounded(void **state)
{
    struct store *store = nullptr;
    struct bytes a, b;
    char node[STORE_NAME_MAX];
    uint64_t sequence = 0;
    assert_int_equal(store_memory_open(0, &store), STATUS_OK);
    bytes_init(&a, 100);
    bytes_init(&b, 100);
    for (int i = 0; i < STORE_EVIDENCE_MAX + 3; i++)
        assert_int_equal(store_put_evidence(store, "n", (struct slice){(const uint8_t *)"a", 1},
                                            (struct slice){(const uint8_t *)"b", 1}, nullptr),
                         STATUS_OK);
    assert_int_equal(store_find_evidence_after(store, 0, &sequence, node, &a, &b, nullptr),
                     STATUS_OK);
    assert_int_equal(sequence, 4);
    uint64_t epoch = 0;
    store_memory_fail(store, 2, STATUS_NO_SPACE);
    assert_int_equal(store_raise_epoch(store, 0, 0, instance, &epoch, nullptr), STATUS_OK);
    assert_int_equal(fixture_commit(store, 1, 1, 100, nullptr), STATUS_NO_SPACE);
    assert_int_equal(fixture_commit(store, 1, 1, 100, nullptr), STATUS_OK);
    for (uint32_t call = 1; call <= 3; call++) { /* model, state file, commit */
        store_memory_fail(store, call, STATUS_IO);
        assert_int_equal(fixture_commit(store, 2, 1, 100, nullptr), STATUS_IO);
        fixture_check(store, 1, 100);
    }
    store_memory_fail(store, 1, STATUS_IO);
    assert_int_equal(store_set_paused(store, true, nullptr), STATUS_IO);
    assert_int_equal(store_set_paused(store, true, nullptr), STATUS_OK);
    store_memory_crash(store);
    fixture_check(store, 1, 100);
    bytes_deinit(&a);
    bytes_deinit(&b);
    store_close(store);
}

int main(void)
{
    struct CMUnitTest tests[2 * CASE_COUNT + 1];
    static char names[2 * CASE_COUNT][160];
    for (int i = 0; i < 2 * CASE_COUNT; i++) {
        const struct test_case *const test = &cases[i / 2];
        snprintf(names[i], sizeof(names[i]), "%s (%s)", test->name, i % 2 ? "sqlite" : "memory");
        tests[i] = (struct CMUnitTest){names[i], i % 2 ? run_on_sqlite : run_on_memory, nullptr,
                                       nullptr, (void *)(uintptr_t)test};
    }
    tests[2 * CASE_COUNT] =
        (struct CMUnitTest)cmocka_unit_test(memory_evidence_and_failures_are_bounded);
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
