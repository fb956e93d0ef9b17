/*
 * worker.c - a queue under a mutex, threads that drain it, an async handle that reports.
 */
#include "host/worker.h"

#include "base/check.h"

#include <stdlib.h>

struct queue {
    struct job *first;
    struct job **end;
};

struct worker {
    uv_async_t async;
    uv_mutex_t mutex;
    uv_cond_t wake;
    struct queue todo;
    struct queue finished;
    bool closing;
    uint32_t thread_count;
    uint32_t pending; /* loop's thread only */
    uv_thread_t threads[WORKER_THREADS_MAX];
};

static void queue_put(struct queue *queue, struct job *job)
{
    job->next = nullptr;
    *queue->end = job;
    queue->end = &job->next;
}

static struct job *queue_take(struct queue *queue)
{
    struct job *const job = queue->first;
    if (job == nullptr)
        return nullptr;
    queue->first = job->next;
    if (queue->first == nullptr)
        queue->end = &queue->first;
    return job;
}

static void work(void *argument)
{
    struct worker *const worker = argument;
    uv_mutex_lock(&worker->mutex);
    for (;;) {
        struct job *const job = queue_take(&worker->todo);
        if (job == nullptr && worker->closing)
            break;
        if (job == nullptr) {
            uv_cond_wait(&worker->wake, &worker->mutex);
            continue;
        }
        uv_mutex_unlock(&worker->mutex);
        job->run(job);
        uv_mutex_lock(&worker->mutex);
        queue_put(&worker->finished, job);
        /* Who is woken wants the lock: told with it in hand, it would wake only to wait. */
        uv_mutex_unlock(&worker->mutex);
        CHECK(uv_async_send(&worker->async) == 0);
        uv_mutex_lock(&worker->mutex);
    }
    uv_mutex_unlock(&worker->mutex);
}

static void report(struct worker *worker)
{
    for (;;) {
        uv_mutex_lock(&worker->mutex);
        struct job *const job = queue_take(&worker->finished);
        uv_mutex_unlock(&worker->mutex);
        if (job == nullptr)
            return;
        worker->pending--;
        job->done(job);
    }
}

static void on_async(uv_async_t *async)
{
    report(async->data);
}

enum status worker_create(uv_loop_t *loop, uint32_t threads, struct worker **ret_worker)
{
    CHECK(threads > 0 && threads <= WORKER_THREADS_MAX);
    struct worker *const worker = calloc(1, sizeof(*worker));
    if (worker == nullptr)
        return STATUS_NO_MEMORY;
    worker->todo.end = &worker->todo.first;
    worker->finished.end = &worker->finished.first;
    CHECK(uv_mutex_init(&worker->mutex) == 0 && uv_cond_init(&worker->wake) == 0);
    CHECK(uv_async_init(loop, &worker->async, on_async) == 0);
    worker->async.data = worker;
    for (; worker->thread_count < threads; worker->thread_count++) {
        if (uv_thread_create(&worker->threads[worker->thread_count], work, worker) != 0) {
            worker_close(worker);
            return STATUS_IO;
        }
    }
    *ret_worker = worker;
    return STATUS_OK;
}

void worker_submit(struct worker *worker, struct job *job)
{
    worker->pending++;
    uv_mutex_lock(&worker->mutex);
    CHECK(!worker->closing);
    queue_put(&worker->todo, job);
    uv_mutex_unlock(&worker->mutex);
    uv_cond_signal(&worker->wake);
}

uint32_t worker_pending(const struct worker *worker)
{
    return worker->pending;
}

static void on_closed(uv_handle_t *handle)
{
    struct worker *const worker = handle->data;
    uv_cond_destroy(&worker->wake);
    uv_mutex_destroy(&worker->mutex);
    free(worker);
}

void worker_close(struct worker *worker)
{
    if (worker == nullptr)
        return;
    uv_mutex_lock(&worker->mutex);
    worker->closing = true;
    uv_cond_broadcast(&worker->wake);
    uv_mutex_unlock(&worker->mutex);
    for (uint32_t i = 0; i < worker->thread_count; i++)
        uv_thread_join(&worker->threads[i]);
    report(worker);
    uv_close((uv_handle_t *)&worker->async, on_closed);
}
