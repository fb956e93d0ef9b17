/*
 * trainer_world.h - an external trainer under test: bad_trainer.py in a folder of its own, what it
 * said, and how many processes there were.
 */
#pragma once

#include "testing.h"

#include "train/trainer.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    WORLD_PARAMETERS = 10,
    NOTES_MAX = 400,
    NOTE_MAX = 1200,
    WORLD_PATIENCE_MS = 30000, /* far more than any case takes */
};

struct notes {
    pthread_mutex_t mutex; /* a test may look while another thread trains */
    uint32_t count;
    enum trainer_note kinds[NOTES_MAX];
    char texts[NOTES_MAX][NOTE_MAX];
};

struct world {
    char folder[64];
    char command[1024];
    struct trainer_options options;
    struct notes notes;
    void *trainer;
    uint64_t serial;
};

/* Of every model here: fc.bias [4] and fc.weight [2, 3]. */
extern struct layout *world_layout;
extern float world_base[WORLD_PARAMETERS];

uint64_t world_now_ms(void);

/* The place-th note of a kind that begins so; null where there is none. */
const char *world_find_note(struct world *world, enum trainer_note kind, const char *beginning,
                            uint32_t place);

/* A world of bad_trainer.py MODE, not open yet: change its options, then world_open it. */
struct world *world_create(const char *mode);
void world_open(struct world *world);

/* Closes, sees that nothing is left in the folder, and frees. */
void world_destroy(struct world *world);

/* One more task; round 7 is the first. ret_delta: f32[WORLD_PARAMETERS]. */
enum status world_train(struct world *world, struct trainer_result *ret_result, float *ret_delta,
                        struct error *err);

/* A task that must go well, and give what bad_trainer.py does. */
void world_train_well(struct world *world);

/* The one trouble that was noted is this. */
void world_expect_trouble(struct world *world, const char *text);

/* How many processes there have been. */
uint32_t world_count_lives(const struct world *world);

/*
 * For main: becomes a keeper where the arguments say so and ends, else makes the layout. Gives
 * whether the environment names bad_trainer.py.
 */
bool world_setup(int argc, char **argv);
int world_teardown(void **state);
