/*
 * tiles.c - threads take tiles one by one; sums are added by whoever's turn it is.
 */
#include "robust/tiles.h"

#include "base/check.h"
#include "kern/kern.h"

#include <pthread.h>

/* What the threads of one pass share. */
struct pass {
    const struct tiles *tiles;
    tile_work *work;
    void *context;
    size_t sum_count;
    double *sums; /* null: nothing is added up */
    uint64_t tile_count;
    size_t columns;
    pthread_mutex_t mutex; /* guards what follows, and sums */
    pthread_cond_t turn_changed;
    uint64_t next; /* the tile that nobody has taken */
    uint64_t turn; /* the tile whose sums are to be added next */
    uint32_t lane_next;
};

size_t tiles_columns(uint64_t n)
{
    const uint64_t fitting = TILE_ELEMENTS / (n < 1 ? 1 : n) / TILE_PANEL * TILE_PANEL;
    return (size_t)(fitting < TILE_PANEL         ? TILE_PANEL
                    : fitting > TILE_COLUMNS_MAX ? TILE_COLUMNS_MAX
                                                 : fitting);
}

/* What any kernel needs for n rows and the origin. */
static size_t scratch_size(uint64_t n)
{
    const size_t select = kern_select_scratch(n + 1);
    const size_t gram = kern_gram_scratch(n + 1);
    static_assert(ARENA_ALIGNMENT % KERN_SCRATCH_ALIGNMENT == 0);
    return select > gram ? select : gram;
}

size_t tiles_size(uint64_t n, uint32_t threads, size_t sum_count)
{
    const size_t lane = 2 * arena_bytes(n + 1, sizeof(const float *)) +
                        arena_bytes(n * tiles_columns(n), sizeof(float)) +
                        arena_bytes((n + 1) * TILE_PANEL, sizeof(float)) +
                        arena_bytes(sum_count, sizeof(double)) + arena_bytes(scratch_size(n), 1);
    return arena_bytes(threads, sizeof(struct tile_lane)) + threads * lane +
           arena_bytes(n, sizeof(uint32_t));
}

void tiles_init(struct tiles *tiles, const struct update_matrix *matrix, uint32_t threads,
                size_t sum_count, struct arena *arena)
{
    const uint64_t n = matrix->n;
    CHECK(threads >= 1 && threads <= TILES_THREADS_MAX);
    uint32_t *const rows = arena_take(arena, n, sizeof(*rows));
    for (uint32_t i = 0; i < n; i++)
        rows[i] = i;
    *tiles = (struct tiles){
        .matrix = matrix, .row_count = (uint32_t)n, .rows = rows, .threads = threads};
    tiles->lanes = arena_take(arena, threads, sizeof(*tiles->lanes));
    for (uint32_t i = 0; i < threads; i++)
        tiles->lanes[i] = (struct tile_lane){
            .rows = arena_take(arena, n + 1, sizeof(const float *)),
            .parts = arena_take(arena, n + 1, sizeof(const float *)),
            .converted = arena_take(arena, n * tiles_columns(n), sizeof(float)),
            .panel = arena_take(arena, (n + 1) * TILE_PANEL, sizeof(float)),
            .sums = arena_take(arena, sum_count, sizeof(double)),
            .scratch = arena_take(arena, scratch_size(n), 1),
        };
}

/* Adds a tile's sums when all tiles before it have been added. */
static void add_in_turn(struct pass *pass, uint64_t tile, const double *sums)
{
    pthread_mutex_lock(&pass->mutex);
    while (pass->turn != tile)
        pthread_cond_wait(&pass->turn_changed, &pass->mutex);
    for (size_t i = 0; i < pass->sum_count; i++)
        pass->sums[i] += sums[i];
    pass->turn++;
    pthread_cond_broadcast(&pass->turn_changed);
    pthread_mutex_unlock(&pass->mutex);
}

static void work_on_tile(struct pass *pass, struct tile_lane *lane, uint64_t tile)
{
    const struct update_matrix *const matrix = pass->tiles->matrix;
    const uint64_t first = tile * pass->columns;
    const uint64_t left = matrix->d - first;
    const size_t count = left < pass->columns ? (size_t)left : pass->columns;
    if (pass->sums != nullptr)
        memset(lane->sums, 0, pass->sum_count * sizeof(*lane->sums));
    pass->work(pass->tiles, lane, first, count, pass->context);
    if (pass->sums != nullptr)
        add_in_turn(pass, tile, lane->sums);
}

static void *take_tiles(void *argument)
{
    struct pass *const pass = argument;
    pthread_mutex_lock(&pass->mutex);
    struct tile_lane *const lane = &pass->tiles->lanes[pass->lane_next++];
    while (pass->next < pass->tile_count) {
        const uint64_t tile = pass->next++;
        pthread_mutex_unlock(&pass->mutex);
        work_on_tile(pass, lane, tile);
        pthread_mutex_lock(&pass->mutex);
    }
    pthread_mutex_unlock(&pass->mutex);
    return nullptr;
}

void tiles_run(const struct tiles *tiles, tile_work *work, void *context, size_t sum_count,
               double *ret_sums)
{
    const size_t columns = tiles_columns(tiles->matrix->n);
    struct pass pass = {.tiles = tiles,
                        .work = work,
                        .context = context,
                        .sum_count = sum_count,
                        .sums = ret_sums,
                        .columns = columns,
                        .tile_count =
                            tiles->matrix->d / columns + (tiles->matrix->d % columns != 0),
                        .mutex = PTHREAD_MUTEX_INITIALIZER,
                        .turn_changed = PTHREAD_COND_INITIALIZER};
    pthread_t started[TILES_THREADS_MAX];
    uint32_t count = 0;
    if (ret_sums != nullptr)
        memset(ret_sums, 0, sum_count * sizeof(*ret_sums));
    /* Where the system gives no more threads, fewer do the same work. */
    while (count + 1 < tiles->threads && count + 1 < pass.tile_count &&
           pthread_create(&started[count], nullptr, take_tiles, &pass) == 0)
        count++;
    take_tiles(&pass);
    for (uint32_t i = 0; i < count; i++)
        pthread_join(started[i], nullptr);
    pthread_cond_destroy(&pass.turn_changed);
    pthread_mutex_destroy(&pass.mutex);
}

void tiles_read(const struct tiles *tiles, struct tile_lane *lane, uint64_t first, size_t count)
{
    const struct update_matrix *const matrix = tiles->matrix;
    const size_t columns = tiles_columns(matrix->n);
    for (uint32_t i = 0; i < tiles->row_count; i++)
        lane->rows[i] = matrix->read(matrix->context, tiles->rows[i], first, count,
                                     lane->converted + i * columns);
}
