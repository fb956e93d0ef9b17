/*
 * authority_keeper.c - looks at the certificates in the folders from time to time, on a thread.
 */
#include "host/authority_keeper.h"

#include "base/check.h"
#include "host/clock.h"
#include "identity/authority_identity.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    PATH_BYTES_MAX = 1024,
    TICK_MIN_MS = 250,
    TICK_MAX_MS = 10000,
    TICKS_A_LIFE = 40,
};

static const double own_share = 0.5;
static const double other_share = 0.8; /* by two thirds a process that can has done it itself */

struct authority_keeper {
    struct job job;
    uv_timer_t timer;
    struct worker *worker;
    const struct authority *authority;
    char own[PATH_BYTES_MAX];
    char all[PATH_BYTES_MAX]; /* "": none */
    authority_keeper_on_own *on_own;
    void *context;
    bool is_working;
    bool is_closing;
    uint64_t own_state;      /* of the folder, as last told */
    uint64_t own_state_seen; /* the thread's */
    int64_t shortest_s;      /* the thread's: of the lives looked at */
    struct error told;       /* the thread's */
};

static void tell(struct authority_keeper *keeper, const char *dir, const struct error *err)
{
    if (strcmp(keeper->told.text, err->text) == 0)
        return;
    keeper->told = *err;
    fprintf(stderr, "fedra ca serve: the identity in %s cannot be renewed: %s\n", dir, err->text);
}

static void keep(struct authority_keeper *keeper, const char *dir, double share)
{
    struct error err = {0};
    struct identity_age age;
    bool made = false;
    enum status status =
        authority_remake_identity(keeper->authority, dir, share, clock_unix_s(), &made, &err);
    if (status == STATUS_OK)
        status = identity_age_read(dir, &age, &err);
    if (status != STATUS_OK) {
        tell(keeper, dir, &err);
        return;
    }
    const int64_t life_s = age.end_unix_s - age.begin_unix_s;
    keeper->shortest_s = life_s < keeper->shortest_s ? life_s : keeper->shortest_s;
    if (made) {
        printf("renewed %s in %s\n", age.id.text, dir);
        fflush(stdout);
    }
}

static void keep_all(struct authority_keeper *keeper)
{
    char path[PATH_BYTES_MAX + NAME_MAX + 16];
    DIR *const folder = opendir(keeper->all);
    if (folder == nullptr)
        return;
    for (const struct dirent *entry = readdir(folder); entry != nullptr; entry = readdir(folder)) {
        struct stat there;
        snprintf(path, sizeof(path), "%s/%s/svid.pem", keeper->all, entry->d_name);
        /* ".", "..", and what an installation that is under way has beside. */
        if (strchr(entry->d_name, '.') != nullptr || stat(path, &there) != 0)
            continue;
        path[strlen(path) - strlen("/svid.pem")] = 0;
        keep(keeper, path, other_share);
    }
    closedir(folder);
}

static void run_keep(struct job *job)
{
    struct authority_keeper *const keeper = (struct authority_keeper *)job;
    keeper->shortest_s = INT64_MAX;
    keep(keeper, keeper->own, own_share);
    if (keeper->all[0] != 0)
        keep_all(keeper);
    keeper->own_state_seen = identity_folder_state(keeper->own);
}

static void on_tick(uv_timer_t *timer);

static void set_timer(struct authority_keeper *keeper)
{
    int64_t tick_ms = TICK_MAX_MS;
    if (keeper->shortest_s < (int64_t)TICK_MAX_MS * TICKS_A_LIFE / 1000)
        tick_ms = keeper->shortest_s * 1000 / TICKS_A_LIFE;
    uv_timer_start(&keeper->timer, on_tick,
                   (uint64_t)(tick_ms > TICK_MIN_MS ? tick_ms : TICK_MIN_MS), 0);
}

static void on_kept(struct job *job)
{
    struct authority_keeper *const keeper = (struct authority_keeper *)job;
    keeper->is_working = false;
    if (keeper->is_closing)
        return;
    if (keeper->own_state_seen != keeper->own_state) {
        keeper->own_state = keeper->own_state_seen;
        keeper->on_own(keeper->context);
    }
    set_timer(keeper);
}

static void on_tick(uv_timer_t *timer)
{
    struct authority_keeper *const keeper = timer->data;
    CHECK(!keeper->is_working);
    keeper->is_working = true;
    keeper->job = (struct job){.run = run_keep, .done = on_kept};
    worker_submit(keeper->worker, &keeper->job);
}

enum status authority_keeper_open(uv_loop_t *loop, const struct authority *authority,
                                  const char *own, const char *all, authority_keeper_on_own *on_own,
                                  void *context, struct authority_keeper **ret_keeper)
{
    struct authority_keeper *const keeper = calloc(1, sizeof(*keeper));
    if (keeper == nullptr)
        return STATUS_NO_MEMORY;
    const enum status status = worker_create(loop, 1, &keeper->worker);
    if (status != STATUS_OK) {
        free(keeper);
        return status;
    }
    keeper->authority = authority;
    snprintf(keeper->own, sizeof(keeper->own), "%s", own);
    snprintf(keeper->all, sizeof(keeper->all), "%s", all != nullptr ? all : "");
    keeper->on_own = on_own;
    keeper->context = context;
    keeper->own_state = identity_folder_state(keeper->own);
    CHECK(uv_timer_init(loop, &keeper->timer) == 0);
    keeper->timer.data = keeper;
    uv_timer_start(&keeper->timer, on_tick, 0, 0);
    *ret_keeper = keeper;
    return STATUS_OK;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void authority_keeper_close(struct authority_keeper *keeper)
{
    if (keeper == nullptr)
        return;
    keeper->is_closing = true;
    worker_close(keeper->worker);
    uv_close((uv_handle_t *)&keeper->timer, on_timer_closed);
}
