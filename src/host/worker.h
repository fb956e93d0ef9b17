/*
 * worker.h - threads that run blocking jobs in order and report back on the event loop.
 *
 * Not here: what the jobs do. A worker with one thread keeps the order of its jobs, which is how
 * the store and the accumulator, not thread-safe themselves, are shared out.
 */
#pragma once

#include "base/status.h"

#include <stdint.h>
#include <uv.h>

enum { WORKER_THREADS_MAX = 16 };

/* One job, embedded in the caller's struct, which must live until done was called. */
struct job {
    void (*run)(struct job *job);  /* on a worker's thread */
    void (*done)(struct job *job); /* then, on the loop's thread; may free the job */
    struct job *next;
};

struct worker;

/* Starts threads (1 to WORKER_THREADS_MAX). NO_MEMORY, IO. */
[[nodiscard]] enum status worker_create(uv_loop_t *loop, uint32_t threads,
                                        struct worker **ret_worker);

/* Queues a job; every job queued gets run and done called, in this order with one thread. The
 * queue's length is bounded by its users. */
void worker_submit(struct worker *worker, struct job *job);

/* Jobs that were submitted and whose done was not called yet. */
uint32_t worker_pending(const struct worker *worker);

/*
 * Ends the threads after their queue is empty and calls what is still to be done; blocks. The
 * loop has to run once more to let go of its handle; then the worker frees itself. Null is allowed.
 */
void worker_close(struct worker *worker);
