/*
 * trainer_protocol_fuzz.c - feeds any bytes to the reader of a trainer's answers, in pieces.
 *
 * With clang's -fsanitize=fuzzer it is a fuzzer; without (FUZZ_MAIN) it runs over seeds made here,
 * each cut at every length and with every byte changed, and over the files named as arguments.
 */
#include "base/check.h"
#include "train/trainer_protocol.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_share(double value)
{
    return value >= 0 && value <= 1;
}

/* What is believed of an answer is within its bounds; what is not believed is said in words. */
static void check_line(struct slice line)
{
    struct trainer_message message = {0};
    struct error err = {0};
    const enum status status = trainer_parse(line, &message, &err);
    if (status != STATUS_OK) {
        CHECK(strncmp(err.text, "the trainer", strlen("the trainer")) == 0);
        return;
    }
    CHECK(memchr(message.text, 0, sizeof(message.text)) != nullptr);
    CHECK(is_share(message.progress) && is_share(message.accuracy));
    if (message.kind == TRAINER_TRAINED) {
        CHECK(message.samples >= 1 && message.samples <= TRAINER_SAMPLES_MAX);
        CHECK(isfinite(message.loss) && isfinite(message.holdout.loss));
        CHECK(is_share(message.holdout.accuracy));
        CHECK(message.has_holdout == (message.holdout.samples > 0));
    }
}

/* The first byte says in what pieces the rest comes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char room[256];
    struct trainer_lines lines;
    const size_t piece = size > 0 ? data[0] + 1U : 1;
    trainer_lines_init(&lines, room, sizeof(room));
    for (size_t at = size > 0; at < size;) {
        char *place = nullptr;
        struct slice line;
        size_t part = trainer_lines_room(&lines, &place);
        CHECK(part > 0);
        part = part < piece ? part : piece;
        part = part < size - at ? part : size - at;
        memcpy(place, data + at, part);
        at += part;
        trainer_lines_fed(&lines, part);
        while (trainer_lines_next(&lines, &line))
            check_line(line);
        if (trainer_lines_cut(&lines, &line))
            check_line(line);
    }
    return 0;
}

#ifdef FUZZ_MAIN
#include "fuzz_driver.h"

static const char *const seeds[] = {
    "\x04{\"type\":\"ready\",\"protocol\":1,\"name\":\"a\\u00e9\",\"heartbeats\":true}\n",
    "\x7f{\"type\":\"heartbeat\",\"id\":3,\"progress\":0.5}\n{\"type\":\"heartbeat\",\"id\":3}\n",
    "\x10{\"type\":\"trained\",\"id\":3,\"samples\":7,\"loss\":0.25,\"accuracy\":1}\n",
    ("\x02{\"type\":\"trained\",\"id\":3,\"samples\":7,\"loss\":NaN,\"holdout_samples\":2,"
     "\"holdout_loss\":1e3,\"holdout_accuracy\":0.5}\n"),
    "\x20{\"type\":\"failed\",\"id\":18446744073709551615,\"reason\":\"\\ud83d\\ude00\"}\n\n[]\n",
};

int main(int argc, char **argv)
{
    static uint8_t input[1024];
    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
        const size_t size = strlen(seeds[i]);
        CHECK(size <= sizeof(input));
        memcpy(input, seeds[i], size);
        fuzz_damaged(input, size);
    }
    for (int i = 1; i < argc; i++)
        fuzz_file(argv[i]);
    return 0;
}
#endif
