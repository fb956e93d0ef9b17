/*
 * sweep_plan.h - what --sweep asks for: every combination of the values of some keys. Pure.
 *
 * Not here: whether a value suits its key (host/config.h), running them (sweep_jobs.h).
 */
#pragma once

#include "cli/options.h"

enum {
    SWEEP_KEYS_MAX = 4,
    SWEEP_SETTINGS_MAX = 64,
    SWEEP_REPEAT_MAX = 100, /* seeds of each setting */
    SWEEP_SET_MAX = 160,    /* bytes of a "key.path=value", with its zero */
    SWEEP_NAME_MAX = SWEEP_KEYS_MAX * SWEEP_SET_MAX,
    SWEEP_FOLDER_MAX = 200, /* bytes of a folder's name, with its zero */
};

/* One combination: a value of each key, as --set would have them. */
struct sweep_setting {
    uint32_t count;
    char sets[SWEEP_KEYS_MAX][SWEEP_SET_MAX];
    char name[SWEEP_NAME_MAX];     /* for people: the sets with spaces between them */
    char folder[SWEEP_FOLDER_MAX]; /* no two of a plan have the same */
};

struct sweep_plan {
    uint32_t count;
    struct sweep_setting settings[SWEEP_SETTINGS_MAX];
};

/*
 * Reads the texts "key.path=value,value,..." of --sweep; the last key varies fastest. A comma in
 * brackets is part of its value. Without any there is one setting, that of the configuration.
 *
 * sets  what --set is given: the same key in both is a mistake.
 *
 * INVAL: no such key, no value, one value twice, one key twice. LIMIT: more than SWEEP_KEYS_MAX
 * keys, SWEEP_SETTINGS_MAX settings, or texts that are too long. *ret_plan is undefined then.
 */
[[nodiscard]] enum status sweep_plan_parse(const struct option_list *sweeps,
                                           const struct option_list *sets,
                                           struct sweep_plan *ret_plan, struct error *err);
