/*
 * trainer_protocol.h - the lines that a node and its external trainer exchange: encoded, cut out of
 * a stream, parsed and checked.
 *
 * Pure: bytes in, structs out. docs/trainer.md is this for people. Not here: processes
 * (trainer_process.h), when what is said (trainer_external.c).
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "tensor/layout.h"
#include "train/evaluate.h"
#include "train/sgd.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    TRAINER_PROTOCOL = 1,
    TRAINER_LINE_MAX = 64 * 1024, /* bytes of one answer, without its newline */
    TRAINER_TEXT_MAX = 200,       /* of a name or a reason, escaped, with its zero */
};

/* Samples an answer may claim; what they weigh is bounded by limits.samples_max as for all. */
#define TRAINER_SAMPLES_MAX UINT64_C(1000000000000)

/* The first line a trainer gets. Texts are UTF-8; data and indices may be "", which is: none. */
struct trainer_hello {
    const char *job;
    const char *node;
    uint64_t part;
    uint64_t parts;
    uint64_t seed;       /* of the job */
    double holdout;      /* share of its samples that is not to be trained on, but to measure */
    double heartbeat_s;  /* how long it may be silent in a task where it sends heartbeats */
    const char *scratch; /* folder, emptied after each task */
    const char *data;    /* data.path */
    const char *indices; /* file with the indices of its samples */
    const struct layout *layout;
};

struct trainer_work {
    uint64_t id;
    uint64_t round;
    uint32_t seed;
    const char *model;  /* path of the model received */
    const char *output; /* path where the trained one is wanted */
    const struct sgd_settings *sgd;
};

enum trainer_message_kind {
    TRAINER_READY,
    TRAINER_HEARTBEAT,
    TRAINER_TRAINED,
    TRAINER_FAILED,
};

/* One answer. What a kind does not have is 0. */
struct trainer_message {
    enum trainer_message_kind kind;
    uint64_t id;                 /* of the task; all but READY */
    char text[TRAINER_TEXT_MAX]; /* READY: its name; FAILED: the reason. Escaped, may be "" */
    bool heartbeats;             /* READY: whether it sends them */
    double progress;             /* HEARTBEAT: in [0, 1] */
    uint64_t samples;            /* TRAINED: in [1, TRAINER_SAMPLES_MAX] */
    double loss;                 /* TRAINED: finite */
    bool has_accuracy;           /* TRAINED: in [0, 1] */
    double accuracy;
    bool has_holdout; /* TRAINED: the model received, on samples that are not trained on */
    struct evaluation holdout;
};

/*
 * Each appends one line with its newline. LIMIT and NO_MEMORY of ret_line, INVAL where a text is
 * not UTF-8; ret_line is unchanged then.
 */
[[nodiscard]] enum status trainer_encode_hello(const struct trainer_hello *hello,
                                               struct bytes *ret_line, struct error *err);
[[nodiscard]] enum status trainer_encode_work(const struct trainer_work *work,
                                              struct bytes *ret_line, struct error *err);
[[nodiscard]] enum status trainer_encode_cancel(uint64_t id, struct bytes *ret_line,
                                                struct error *err);

/*
 * Reads one answer, without its newline. Members that are not known are not looked at.
 *
 * PEER: it breaks the protocol. INVAL: a figure in it is not what it should be; kind and id are
 * written all the same. NO_MEMORY. err is a sentence about "the trainer".
 */
[[nodiscard]] enum status trainer_parse(struct slice line, struct trainer_message *ret_message,
                                        struct error *err);

/* Cuts a stream of bytes into lines. */
struct trainer_lines {
    char *data; /* char[capacity], the owner's */
    size_t capacity;
    size_t begin; /* what lies in [begin, end) was not given out yet */
    size_t end;
    bool skipping; /* in the rest of a line of which the beginning was given out */
};

static inline void trainer_lines_init(struct trainer_lines *lines, char *data, size_t capacity)
{
    *lines = (struct trainer_lines){.data = data, .capacity = capacity};
}

/*
 * Where the next bytes may be put, and how many; lines given out before are no longer valid. None
 * where a line fills all the room: trainer_lines_cut.
 */
size_t trainer_lines_room(struct trainer_lines *lines, char **ret_room);

/* size bytes were put there. */
void trainer_lines_fed(struct trainer_lines *lines, size_t size);

/* The next whole line, without its newline. */
bool trainer_lines_next(struct trainer_lines *lines, struct slice *ret_line);

/*
 * Gives out the beginning of a line that is longer than there is room for; its rest is dropped as
 * it comes. False while there is room. After trainer_lines_next gave none.
 */
bool trainer_lines_cut(struct trainer_lines *lines, struct slice *ret_line);
