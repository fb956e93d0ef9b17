/*
 * store_memory.h - a store in memory, for tests and the simulator, that can crash and fail.
 */
#pragma once

#include "store/store.h"

/* An empty store; models_keep as in store_sqlite.h. NO_MEMORY. */
[[nodiscard]] enum status store_memory_open(uint32_t models_keep, struct store **ret_store);

/* Loses what a crash and a new start would lose: models and certificates that no commit names. The
 * store is then as newly opened. */
void store_memory_crash(struct store *store);

/* The countdown-th durable call from now (1: the next one: raise_epoch, put_model, commit,
 * put_evidence, set_paused) fails once with status and changes nothing. 0 takes it back. */
void store_memory_fail(struct store *store, uint32_t countdown, enum status status);

/* As store_memory_fail, of a failure whose change is there all the same: a sync failed, and what it
 * was for had reached the disk. */
void store_memory_fail_late(struct store *store, uint32_t countdown, enum status status);
