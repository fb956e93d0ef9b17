/*
 * trainer_world.c - opens, trains and looks at an external trainer under test.
 */
#include "trainer_world.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct layout *world_layout;
float world_base[WORLD_PARAMETERS];

static const char *const keeper[] = {"/proc/self/exe", "keep", nullptr};
static const char *script;

uint64_t world_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void on_note(void *context, enum trainer_note kind, struct slice text)
{
    struct notes *const notes = context;
    pthread_mutex_lock(&notes->mutex);
    if (notes->count < NOTES_MAX) {
        notes->kinds[notes->count] = kind;
        snprintf(notes->texts[notes->count], NOTE_MAX, "%.*s", (int)text.size,
                 (const char *)text.data);
        notes->count++;
    }
    pthread_mutex_unlock(&notes->mutex);
}

/* The place-th note of a kind that begins so; null where there is none. */
const char *world_find_note(struct world *world, enum trainer_note kind, const char *beginning,
                            uint32_t place)
{
    const char *found = nullptr;
    pthread_mutex_lock(&world->notes.mutex);
    for (uint32_t i = 0; i < world->notes.count && found == nullptr; i++) {
        if (world->notes.kinds[i] == kind &&
            strncmp(world->notes.texts[i], beginning, strlen(beginning)) == 0 && place-- == 0)
            found = world->notes.texts[i];
    }
    pthread_mutex_unlock(&world->notes.mutex);
    return found;
}

static void world_init(struct world *world, const char *mode)
{
    *world = (struct world){.notes.mutex = PTHREAD_MUTEX_INITIALIZER};
    strcpy(world->folder, "/tmp/fedra-trainer-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->command, sizeof(world->command), "exec python3 '%s' %s %s/marker", script, mode,
             world->folder);
    char *const own = malloc(128);
    snprintf(own, 128, "%s/trainer", world->folder);
    world->options = (struct trainer_options){
        .spec = {.kind = MODEL_FLAT, .parameters = WORLD_PARAMETERS},
        .sgd = {.local_epochs = 2, .batch_size = 10, .learning_rate = 0.1f},
        .node = trainer_node_key("a"),
        .external = {.command = world->command,
                     .keeper = keeper,
                     .folder = own,
                     .layout = world_layout,
                     .job = "job",
                     .node = "node-001",
                     .part = 1,
                     .parts = 3,
                     .seed = 42,
                     .data = "",
                     .start_timeout_s = 60,
                     .task_timeout_s = 60,
                     .heartbeat_s = 30,
                     .cancel_grace_s = 30,
                     .end_grace_s = 30,
                     .note = on_note,
                     .note_context = &world->notes},
    };
}

void world_open(struct world *world)
{
    struct error err = {0};
    if (trainer_external.open(&world->options, &world->trainer, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

enum status world_train(struct world *world, struct trainer_result *ret_result, float *ret_delta,
                        struct error *err)
{
    const struct trainer_task task = {.serial = ++world->serial,
                                      .seed = 42,
                                      .round = 6 + world->serial,
                                      .base = world_base,
                                      .parameters = WORLD_PARAMETERS};
    return trainer_external.train(world->trainer, &task, ret_delta, ret_result, err);
}

/* A task that must go well, and give what bad_trainer.py does. */
void world_train_well(struct world *world)
{
    struct trainer_result result = {0};
    struct error err = {0};
    float delta[WORLD_PARAMETERS];
    if (world_train(world, &result, delta, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    for (uint32_t i = 0; i < WORLD_PARAMETERS; i++)
        assert_true(delta[i] == -0.5f);
    assert_int_equal(result.samples, 7);
    assert_true(result.loss == 0.25 && result.has_accuracy && result.accuracy == 0.5);
}

void world_expect_trouble(struct world *world, const char *text)
{
    const char *const found = world_find_note(world, TRAINER_NOTE_TROUBLE, "", 0);
    assert_non_null(found);
    assert_string_equal(found, text);
    assert_null(world_find_note(world, TRAINER_NOTE_TROUBLE, "", 1));
}

/* How many processes there have been. */
uint32_t world_count_lives(const struct world *world)
{
    char path[128];
    struct stat stat_of = {0};
    snprintf(path, sizeof(path), "%s/marker.lives", world->folder);
    assert_int_equal(stat(path, &stat_of), 0);
    return (uint32_t)stat_of.st_size;
}

/* Closes, and sees that nothing is left in the folder; it is removed. */
static void world_close(struct world *world)
{
    trainer_external.close(world->trainer);
    assert_int_equal(rmdir(world->options.external.folder), 0);
    free((char *)(uintptr_t)world->options.external.folder);
    char path[128];
    snprintf(path, sizeof(path), "%s/marker", world->folder);
    (void)unlink(path);
    snprintf(path, sizeof(path), "%s/marker.lives", world->folder);
    (void)unlink(path);
    assert_int_equal(rmdir(world->folder), 0);
}

struct world *world_create(const char *mode)
{
    struct world *const world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world_init(world, mode);
    return world;
}

void world_destroy(struct world *world)
{
    world_close(world);
    free(world);
}

static void make_layout(void)
{
    struct layout_builder *builder = nullptr;
    const uint64_t weight[] = {2, 3};
    const uint64_t bias[] = {4};
    assert_int_equal(layout_builder_create(&builder), STATUS_OK);
    assert_int_equal(layout_builder_add(builder, "fc.weight", 9, DTYPE_F32, 2, weight, nullptr),
                     STATUS_OK);
    assert_int_equal(layout_builder_add(builder, "fc.bias", 7, DTYPE_F32, 1, bias, nullptr),
                     STATUS_OK);
    assert_int_equal(layout_builder_finish(builder, &world_layout, nullptr), STATUS_OK);
    layout_builder_destroy(builder);
    for (uint32_t i = 0; i < WORLD_PARAMETERS; i++)
        world_base[i] = (float)i * 0.25f;
}

bool world_setup(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc > 2 && strcmp(argv[1], "keep") == 0)
        exit(trainer_keeper_main(argc - 2, argv + 2));
    script = getenv("FEDRA_BAD_TRAINER");
    if (script == nullptr) {
        fprintf(stderr, "FEDRA_BAD_TRAINER is to name bad_trainer.py\n");
        return false;
    }
    make_layout();
    return true;
}

int world_teardown(void **state)
{
    layout_destroy(world_layout);
    return 0;
}
