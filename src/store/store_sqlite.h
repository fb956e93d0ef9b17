/*
 * store_sqlite.h - a store in a state folder: FORMAT, jobs/<job id>/{lock,state.db,models/}.
 */
#pragma once

#include "store/store.h"

struct store_sqlite_options {
    const char *folder;   /* the state folder; made where it is missing, its parent must exist */
    const char *job_id;   /* a valid model name (store_name_is_valid) */
    uint32_t models_keep; /* model files of the last versions to keep; 0: all */
    const char *vfs;      /* SQLite's file layer by name; null: the system's */
};

/*
 * Opens the store of a job, or makes it; recovers, checks and migrates it, and removes files that a
 * crash left. EXISTS: another process has it (its pid is named). VERSION: made by a newer Fedra.
 * CORRUPT: damaged (the path is named). NO_SPACE, IO, INVAL, NO_MEMORY.
 */
[[nodiscard]] enum status store_sqlite_open(const struct store_sqlite_options *options,
                                            struct store **ret_store, struct error *err);

/* The path of a model's file, for mapping it; the file itself may be gone (store_read_model).
 * LIMIT where it does not fit. store must be one of store_sqlite_open. */
[[nodiscard]] enum status store_sqlite_model_path(const struct store *store, const char *name,
                                                  char *ret_path, size_t capacity);
