/*
 * outbox_test.c - one suite over both outboxes, and files that were torn or damaged.
 *
 * Goal: whatever happens to the slot that is being written, the update before it is still there.
 */
#include "store_fixture.h"

#include "store/outbox.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct world {
    bool memory;
    char folder[512];
    struct outbox *outbox;
};

static void open_outbox(struct world *world)
{
    struct error err = {0};
    const enum status status = world->memory
                                   ? outbox_memory_open(&world->outbox)
                                   : outbox_file_open(world->folder, &world->outbox, &err);
    if (status != STATUS_OK)
        fail_msg("%s", err.text);
}

static void restart(struct world *world)
{
    if (world->memory) {
        outbox_memory_crash(world->outbox);
        return;
    }
    outbox_close(world->outbox);
    open_outbox(world);
}

static struct outbox_key key_of(uint64_t round)
{
    return (struct outbox_key){round, round % 3, fixture_payload(round, 0)};
}

static uint64_t put_round(struct outbox *outbox, uint64_t round, size_t size)
{
    uint64_t sequence = 0;
    uint8_t *const data = malloc(size + 1);
    char envelope[64];
    const struct outbox_key key = key_of(round);
    assert_non_null(data);
    fixture_record(round, data, size);
    snprintf(envelope, sizeof(envelope), "envelope %llu", (unsigned long long)round);
    const struct slice pieces[] = {{data, size / 3}, {data + size / 3, size - size / 3}};
    assert_int_equal(outbox_put(outbox, &key,
                                (struct slice){(const uint8_t *)envelope, strlen(envelope)}, pieces,
                                2, &sequence, nullptr),
                     STATUS_OK);
    free(data);
    return sequence;
}

static void check_round(struct outbox *outbox, uint64_t round, size_t size)
{
    struct outbox_update update;
    char envelope[64];
    const struct outbox_key key = key_of(round);
    uint8_t *const data = malloc(size + 1);
    assert_non_null(data);
    fixture_record(round, data, size);
    snprintf(envelope, sizeof(envelope), "envelope %llu", (unsigned long long)round);
    assert_int_equal(outbox_get(outbox, &update, nullptr), STATUS_OK);
    assert_int_equal(update.key.round, round);
    assert_int_equal(update.key.attempt, round % 3);
    assert_true(digest_equal(&update.key.payload_digest, &key.payload_digest));
    assert_int_equal(update.envelope.size, strlen(envelope));
    assert_memory_equal(update.envelope.data, envelope, strlen(envelope));
    assert_int_equal(update.payload.size, size);
    if (size > 0)
        assert_memory_equal(update.payload.data, data, size);
    free(data);
}

static void the_last_update_is_kept_over_restarts(struct world *world)
{
    struct outbox_update update;
    uint64_t last = 0;
    assert_int_equal(outbox_get(world->outbox, &update, nullptr), STATUS_NOT_FOUND);
    const size_t sizes[] = {10, 0, 70000, 5};
    for (uint64_t round = 1; round <= 4; round++) {
        const uint64_t sequence = put_round(world->outbox, round, sizes[round - 1]);
        assert_true(sequence > last);
        last = sequence;
        check_round(world->outbox, round, sizes[round - 1]);
        restart(world);
        check_round(world->outbox, round, sizes[round - 1]);
    }
}

static void bad_arguments_leave_the_update_alone(struct world *world)
{
    static uint8_t big[OUTBOX_ENVELOPE_BYTES_MAX + 1];
    const struct outbox_key key = key_of(2);
    uint64_t sequence = 0;
    put_round(world->outbox, 1, 100);
    assert_int_equal(
        outbox_put(world->outbox, &key, (struct slice){big, 0}, nullptr, 0, &sequence, nullptr),
        STATUS_INVAL);
    assert_int_equal(outbox_put(world->outbox, &key, (struct slice){big, sizeof(big)}, nullptr, 0,
                                &sequence, nullptr),
                     STATUS_INVAL);
    const struct slice huge = {big, (size_t)OUTBOX_PAYLOAD_BYTES_MAX + 1};
    assert_int_equal(
        outbox_put(world->outbox, &key, (struct slice){big, 1}, &huge, 1, &sequence, nullptr),
        STATUS_LIMIT);
    check_round(world->outbox, 1, 100);
}

static void states_belong_to_one_update_and_end(struct world *world)
{
    struct outbox_update update;
    const uint64_t first = put_round(world->outbox, 1, 100);
    assert_int_equal(outbox_set_state(world->outbox, first, OUTBOX_ACCEPTED, nullptr, nullptr),
                     STATUS_OK);
    assert_int_equal(
        outbox_set_state(world->outbox, first, OUTBOX_DROPPED, "norm\nover the bound", nullptr),
        STATUS_OK);
    assert_int_equal(outbox_set_state(world->outbox, first, OUTBOX_DROPPED, "again", nullptr),
                     STATUS_OK);
    assert_int_equal(outbox_set_state(world->outbox, first, OUTBOX_COUNTED, "7", nullptr),
                     STATUS_INVAL);
    assert_int_equal(outbox_get(world->outbox, &update, nullptr), STATUS_OK);
    assert_int_equal(update.state, OUTBOX_DROPPED);
    assert_string_equal(update.detail, "norm\\x0aover the bound");
    const uint64_t second = put_round(world->outbox, 2, 100);
    assert_int_equal(outbox_get(world->outbox, &update, nullptr), STATUS_OK);
    assert_int_equal(update.state, OUTBOX_HELD);
    assert_int_equal(outbox_set_state(world->outbox, first, OUTBOX_COUNTED, "7", nullptr),
                     STATUS_NOT_FOUND);
    assert_int_equal(outbox_set_state(world->outbox, second, OUTBOX_COUNTED, "7", nullptr),
                     STATUS_OK);
}

static void what_is_counted_or_dropped_stays_so(struct world *world)
{
    static const enum outbox_state finals[] = {OUTBOX_COUNTED, OUTBOX_DROPPED};
    for (uint64_t i = 0; i < 2; i++) {
        struct outbox_update update;
        const struct outbox_key key = {.round = 1 + i};
        const struct slice envelope = {(const uint8_t *)"envelope", 8};
        uint64_t sequence = 0;
        assert_int_equal(outbox_put(world->outbox, &key, envelope, nullptr, 0, &sequence, nullptr),
                         STATUS_OK);
        assert_int_equal(outbox_set_state(world->outbox, sequence, finals[i], "first", nullptr),
                         STATUS_OK);
        assert_int_equal(outbox_set_state(world->outbox, sequence, finals[1 - i], "no", nullptr),
                         STATUS_INVAL);
        assert_int_equal(outbox_set_state(world->outbox, sequence, finals[i], "no", nullptr),
                         STATUS_OK);
        assert_int_equal(outbox_get(world->outbox, &update, nullptr), STATUS_OK);
        assert_int_equal(update.state, finals[i]);
        assert_string_equal(update.detail, "first");
    }
}

static void the_highest_epoch_is_remembered(struct world *world)
{
    assert_int_equal(outbox_epoch(world->outbox), 0);
    assert_int_equal(outbox_raise_epoch(world->outbox, 5, nullptr), STATUS_OK);
    assert_int_equal(outbox_raise_epoch(world->outbox, 3, nullptr), STATUS_OK);
    restart(world);
    assert_int_equal(outbox_epoch(world->outbox), 5);
}

/* A node whose outbox is a file. */
static void open_files(struct world *world)
{
    *world = (struct world){0};
    fixture_folder("outbox", world->folder);
    open_outbox(world);
}

static void close_files(struct world *world)
{
    outbox_close(world->outbox);
    fixture_remove(world->folder);
}

static void path_in(const struct world *world, const char *name, char ret_path[static 600])
{
    snprintf(ret_path, 600, "%s/%s", world->folder, name);
}

/* Every byte that counts is flipped, the file cut at every class of place: round 1 must remain. */
static void a_torn_slot_gives_the_update_before(void **state)
{
    struct world world;
    char path[600];
    const int flips[] = {0,   8,   12,  16,   24,   32,    40,    72,          80, 88,
                         100, 120, 151, 4096, 4105, 20480, 20481, 20480 + 299, 76};
    const int cuts[] = {0, 1, 16, 119, 152, 4095, 4096, 4100, 20479, 20480, 20481, 20779};
    enum { FLIPS = sizeof(flips) / sizeof(*flips), CUTS = sizeof(cuts) / sizeof(*cuts) };
    for (int i = 0; i < FLIPS + CUTS; i++) {
        open_files(&world);
        put_round(world.outbox, 1, 200);
        put_round(world.outbox, 2, 300);
        outbox_close(world.outbox);
        path_in(&world, "slot-1", path);
        if (i < FLIPS) {
            uint8_t byte;
            const int fd = open(path, O_RDWR);
            assert_int_equal(pread(fd, &byte, 1, flips[i]), 1);
            byte ^= 0x10;
            assert_int_equal(pwrite(fd, &byte, 1, flips[i]), 1);
            close(fd);
        } else {
            assert_int_equal(truncate(path, cuts[i - FLIPS]), 0);
        }
        open_outbox(&world);
        check_round(world.outbox, 1, 200);
        put_round(world.outbox, 3, 400);
        restart(&world);
        check_round(world.outbox, 3, 400);
        close_files(&world);
    }
}

static void receipts_are_read_back_and_a_torn_line_is_cut_off(void **state)
{
    struct world world;
    char path[600];
    struct outbox_update update;
    struct stat before, after;
    open_files(&world);
    const uint64_t sequence = put_round(world.outbox, 4, 10);
    assert_int_equal(outbox_set_state(world.outbox, sequence, OUTBOX_ACCEPTED, "", nullptr),
                     STATUS_OK);
    assert_int_equal(outbox_set_state(world.outbox, sequence, OUTBOX_COUNTED, "version 9", nullptr),
                     STATUS_OK);
    outbox_close(world.outbox);
    path_in(&world, "receipts.log", path);
    assert_int_equal(stat(path, &before), 0);
    FILE *const file = fopen(path, "a");
    fputs("1 4 1 00", file);
    fclose(file);
    open_outbox(&world);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    assert_int_equal(outbox_get(world.outbox, &update, nullptr), STATUS_OK);
    assert_int_equal(update.state, OUTBOX_COUNTED);
    assert_string_equal(update.detail, "version 9");
    char line[300], wanted[300], hex[DIGEST_HEX_MAX];
    const struct outbox_key key = key_of(4);
    digest_to_hex(&key.payload_digest, hex);
    snprintf(wanted, sizeof(wanted), "1 4 1 %s HELD -\n", hex);
    FILE *const log = fopen(path, "r");
    assert_non_null(fgets(line, sizeof(line), log));
    assert_string_equal(line, wanted);
    fclose(log);
    close_files(&world);
}

static void the_log_is_rotated_and_the_state_survives_it(void **state)
{
    struct world world;
    char path[600];
    struct stat info;
    struct outbox_update update;
    open_files(&world);
    const uint64_t sequence = put_round(world.outbox, 1, 10);
    char detail[200];
    memset(detail, 'x', sizeof(detail) - 1);
    detail[sizeof(detail) - 1] = '\0';
    for (int i = 0; i < 9000; i++)
        assert_int_equal(outbox_set_state(world.outbox, sequence, OUTBOX_ACCEPTED, detail, nullptr),
                         STATUS_OK);
    path_in(&world, "receipts.log", path);
    assert_int_equal(stat(path, &info), 0);
    assert_true(info.st_size > 0 && info.st_size <= OUTBOX_LOG_BYTES_MAX);
    assert_int_equal(unlink(path), 0); /* only the older one is left */
    restart(&world);
    assert_int_equal(outbox_get(world.outbox, &update, nullptr), STATUS_OK);
    assert_int_equal(update.state, OUTBOX_ACCEPTED);
    close_files(&world);
}

static void a_damaged_or_newer_epoch_file_is_refused(void **state)
{
    struct world world;
    char path[600];
    struct error err = {0};
    open_files(&world);
    outbox_close(world.outbox);
    path_in(&world, "epoch", path);
    const char *const texts[] = {"", "fedra-epoch 1 5", "fedra-epoch 2 5\n", "fedra-epoch 1 x\n"};
    for (int i = 0; i < 4; i++) {
        FILE *const file = fopen(path, "w");
        fputs(texts[i], file);
        fclose(file);
        assert_int_equal(outbox_file_open(world.folder, &world.outbox, &err),
                         i == 2 ? STATUS_VERSION : STATUS_CORRUPT);
        assert_non_null(strstr(err.text, path));
    }
    fixture_remove(world.folder);
}

static void a_second_process_is_told_who_holds_the_outbox(void **state)
{
    struct world world;
    open_files(&world);
    const pid_t pid = fork();
    if (pid == 0) {
        struct error err = {0};
        struct outbox *second = nullptr;
        char holder[32];
        snprintf(holder, sizeof(holder), "process %ld", (long)getppid());
        const bool right = outbox_file_open(world.folder, &second, &err) == STATUS_EXISTS &&
                           strstr(err.text, holder) != nullptr;
        _exit(right ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close_files(&world);
}

struct test_case {
    const char *name;
    void (*run)(struct world *world);
};

#define CASE(name) {#name, name}
static const struct test_case cases[] = {
    CASE(the_last_update_is_kept_over_restarts), CASE(bad_arguments_leave_the_update_alone),
    CASE(states_belong_to_one_update_and_end),   CASE(what_is_counted_or_dropped_stays_so),
    CASE(the_highest_epoch_is_remembered),
};
enum { CASE_COUNT = sizeof(cases) / sizeof(*cases) };

static void run_case(const struct test_case *test, bool memory)
{
    struct world world = {.memory = memory};
    fixture_folder("outbox", world.folder);
    open_outbox(&world);
    test->run(&world);
    close_files(&world);
}

static void run_on_memory(void **state)
{
    run_case(*state, true);
}

static void run_on_files(void **state)
{
    run_case(*state, false);
}

int main(void)
{
    const struct CMUnitTest more[] = {
        cmocka_unit_test(a_torn_slot_gives_the_update_before),
        cmocka_unit_test(receipts_are_read_back_and_a_torn_line_is_cut_off),
        cmocka_unit_test(the_log_is_rotated_and_the_state_survives_it),
        cmocka_unit_test(a_damaged_or_newer_epoch_file_is_refused),
        cmocka_unit_test(a_second_process_is_told_who_holds_the_outbox),
    };
    enum { MORE = sizeof(more) / sizeof(*more) };
    struct CMUnitTest tests[2 * CASE_COUNT + MORE];
    static char names[2 * CASE_COUNT][160];
    for (int i = 0; i < 2 * CASE_COUNT; i++) {
        const struct test_case *const test = &cases[i / 2];
        snprintf(names[i], sizeof(names[i]), "%s (%s)", test->name, i % 2 ? "files" : "memory");
        tests[i] = (struct CMUnitTest){names[i], i % 2 ? run_on_files : run_on_memory, nullptr,
                                       nullptr, (void *)(uintptr_t)test};
    }
    memcpy(tests + 2 * CASE_COUNT, more, sizeof(more));
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
