/*
 * geometry.c - the passes over the data that give inner products and distances.
 *
 * The kernel scales each row of a panel; what is left to do here is that a difference of two values
 * near the end of f32's range stays in it.
 */
#include "robust/geometry.h"

#include "base/check.h"
#include "kern/kern.h"

#include <math.h>

/* The origin's elements. */
static const float zeros[TILE_COLUMNS_MAX];

enum {
    HUGE_EXPONENT = 126, /* norms from here on: differences of elements may leave f32 */
    HUGE_UNIT = 4,
    SMALL_PRODUCTS = 1 << 20, /* multiply-adds that may be done in f64 one by one */
};

size_t geometry_size(uint64_t n)
{
    const size_t side = n + 1;
    return 7 * arena_bytes(side * side, sizeof(double));
}

struct frame frame_choose(size_t row_count, const double *norms, uint32_t *order)
{
    order_by_key(order, row_count, norms);
    const bool is_huge = norms[order[row_count - 1]] >= ldexp(1, HUGE_EXPONENT);
    return (struct frame){order[(row_count - 1) / 2], is_huge ? HUGE_UNIT : 0};
}

bool frame_is_small(uint64_t row_count, uint64_t columns)
{
    return columns <= SMALL_PRODUCTS && row_count * row_count <= SMALL_PRODUCTS / (columns + 1);
}

/* sums += products in f64 of the differences to the centre. */
static void add_products_exactly(const struct frame *frame, size_t side, const float *const *rows,
                                 size_t count, double *sums)
{
    const float *const center = rows[frame->center];
    const double unit = ldexp(1, -2 * frame->exponent);
    for (size_t i = 0; i < side; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t k = 0; k < count; k++) {
                const double c = (double)center[k];
                sum += ((double)rows[i][k] - c) * ((double)rows[j][k] - c);
            }
            sums[i * side + j] += sum * unit;
        }
    }
}

/* The same in panels of rows copied in the frame's unit. */
static void add_products_of_copies(const struct frame *frame, size_t side, struct tile_lane *lane,
                                   size_t count, double *sums)
{
    const float unit = (float)ldexp(1, -frame->exponent);
    for (size_t done = 0; done < count; done += TILE_PANEL) {
        const size_t width = count - done < TILE_PANEL ? count - done : TILE_PANEL;
        for (size_t i = 0; i < side; i++) {
            float *const part = lane->panel + i * TILE_PANEL;
            for (size_t k = 0; k < width; k++)
                part[k] = lane->rows[i][done + k] * unit;
            lane->parts[i] = part;
        }
        kern_get()->gram(lane->parts, lane->parts[frame->center], side, width, sums, lane->scratch);
    }
}

void frame_add_products(const struct frame *frame, size_t row_count, struct tile_lane *lane,
                        size_t count, bool exact, double *sums)
{
    const size_t side = row_count + 1;
    CHECK(count <= TILE_COLUMNS_MAX);
    lane->rows[row_count] = zeros;
    if (exact)
        add_products_exactly(frame, side, lane->rows, count, sums);
    else if (frame->exponent != 0)
        add_products_of_copies(frame, side, lane, count, sums);
    else
        kern_get()->gram(lane->rows, lane->rows[frame->center], side, count, sums, lane->scratch);
}

void frame_finish_products(const struct frame *frame, size_t side, double *sums)
{
    for (size_t i = 0; i < side; i++) {
        for (size_t j = 0; j <= i; j++) {
            const double product = ldexp(sums[i * side + j], 2 * frame->exponent);
            sums[i * side + j] = product;
            sums[j * side + i] = product;
        }
    }
}

struct measuring {
    const struct frame *frame;
    bool is_exact;
    const uint32_t *pairs; /* u32[2 * pair_count] */
    size_t pair_count;
};

static void measure_tile(const struct tiles *tiles, struct tile_lane *lane, uint64_t first,
                         size_t count, void *context)
{
    const struct measuring *const measuring = context;
    tiles_read(tiles, lane, first, count);
    frame_add_products(measuring->frame, tiles->row_count, lane, count, measuring->is_exact,
                       lane->sums);
}

static void measure_pairs(const struct tiles *tiles, struct tile_lane *lane, uint64_t first,
                          size_t count, void *context)
{
    const struct measuring *const measuring = context;
    tiles_read(tiles, lane, first, count);
    for (size_t done = 0; done < count; done += TILE_PANEL) {
        const size_t width = count - done < TILE_PANEL ? count - done : TILE_PANEL;
        for (size_t p = 0; p < measuring->pair_count; p++)
            lane->sums[p] +=
                kern_get()->distance_squared(lane->rows[measuring->pairs[2 * p]] + done,
                                             lane->rows[measuring->pairs[2 * p + 1]] + done, width);
    }
}

static void find_distances(const double *gram, size_t side, double *ret_distances)
{
    for (size_t i = 0; i < side; i++) {
        for (size_t j = 0; j < side; j++) {
            const double distance =
                gram[i * side + i] + gram[j * side + j] - 2 * gram[i * side + j];
            ret_distances[i * side + j] = i == j || distance < 0 ? 0 : distance;
        }
    }
}

static void set_distance(struct points *points, size_t i, size_t j, double distance)
{
    const size_t side = points->side;
    const double product = (points->gram[i * side + i] + points->gram[j * side + j] - distance) / 2;
    points->distances[i * side + j] = distance;
    points->distances[j * side + i] = distance;
    points->gram[i * side + j] = product;
    points->gram[j * side + i] = product;
}

/* Close pairs, whose distance the inner products cannot tell, from the data. */
static void measure_close_pairs(struct points *points, const struct tiles *tiles,
                                const struct frame *frame, uint32_t *pairs, double *sums)
{
    const size_t side = points->side;
    struct measuring measuring = {.frame = frame, .pairs = pairs};
    for (size_t i = 0; i < points->count; i++) {
        for (size_t j = 0; j < i; j++) {
            const double size = points->gram[i * side + i] + points->gram[j * side + j];
            if (size > 0 && points->distances[i * side + j] < GEOMETRY_CLOSE * size) {
                pairs[2 * measuring.pair_count] = (uint32_t)i;
                pairs[2 * measuring.pair_count + 1] = (uint32_t)j;
                measuring.pair_count++;
            }
        }
    }
    if (measuring.pair_count > 0)
        tiles_run(tiles, measure_pairs, &measuring, measuring.pair_count, sums);
    for (size_t p = 0; p < measuring.pair_count; p++)
        set_distance(points, pairs[2 * p], pairs[2 * p + 1], sums[p]);
}

void points_measure(struct points *points, const struct tiles *tiles, const struct frame *frame,
                    struct arena *arena)
{
    const size_t count = tiles->row_count;
    const size_t side = count + 1;
    struct measuring measuring = {.frame = frame,
                                  .is_exact = frame_is_small(count, tiles->matrix->d)};
    *points = (struct points){.count = count, .side = side, .source_count = count};
    points->gram = arena_take(arena, side * side, sizeof(double));
    points->distances = arena_take(arena, side * side, sizeof(double));
    points->spare_gram = arena_take(arena, side * side, sizeof(double));
    points->spare_distances = arena_take(arena, side * side, sizeof(double));
    points->spare_coefficients[0] = arena_take(arena, side * side, sizeof(double));
    points->spare_coefficients[1] = arena_take(arena, side * side, sizeof(double));
    points->product = arena_take(arena, side * side, sizeof(double));
    tiles_run(tiles, measure_tile, &measuring, side * side, points->gram);
    frame_finish_products(frame, side, points->gram);
    find_distances(points->gram, side, points->distances);
    uint32_t *const pairs = (uint32_t *)points->spare_distances;
    measure_close_pairs(points, tiles, frame, pairs, points->spare_gram);
}

/* ret = a b, a f64[rows * inner], b f64[inner * columns]; zeros in a cost nothing. */
static void multiply(const double *a, const double *b, size_t rows, size_t inner, size_t columns,
                     double *ret)
{
    memset(ret, 0, rows * columns * sizeof(*ret));
    for (size_t i = 0; i < rows; i++) {
        for (size_t k = 0; k < inner; k++) {
            const double factor = a[i * inner + k];
            if (factor == 0)
                continue;
            for (size_t j = 0; j < columns; j++)
                ret[i * columns + j] += factor * b[k * columns + j];
        }
    }
}

/* ret = map symmetric map^T; map f64[rows * inner]. product and ret: rows and inner squared. */
static void project(const double *map, const double *symmetric, size_t rows, size_t inner,
                    double *product, double *ret)
{
    multiply(map, symmetric, rows, inner, inner, ret);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < inner; j++)
            product[j * rows + i] = ret[i * inner + j];
    }
    multiply(map, product, rows, inner, rows, ret);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < i; j++)
            ret[j * rows + i] = ret[i * rows + j];
    }
}

static void swap(double **a, double **b)
{
    double *const kept = *a;
    *a = *b;
    *b = kept;
}

void points_map(struct points *points, const double *map, size_t count)
{
    const size_t side = points->side;
    const size_t new_side = count + 1;
    CHECK(count <= points->count);
    double *const full = points->spare_distances; /* the map and the origin, which stays itself */
    memcpy(full, map, count * side * sizeof(*full));
    memset(full + count * side, 0, side * sizeof(*full));
    full[count * side + side - 1] = 1;
    project(full, points->gram, new_side, side, points->product, points->spare_gram);
    swap(&points->gram, &points->spare_gram);
    double *const target =
        points->spare_coefficients[points->coefficients == points->spare_coefficients[0]];
    if (points->coefficients == nullptr)
        memcpy(target, full, new_side * side * sizeof(*target));
    else
        multiply(full, points->coefficients, new_side, side, points->source_count + 1, target);
    points->coefficients = target;
    points->count = count;
    points->side = new_side;
    find_distances(points->gram, new_side, points->distances);
}

void points_project(const struct points *points, const double *sums, double *ret_gram)
{
    const size_t source_side = points->source_count + 1;
    if (points->coefficients == nullptr)
        memcpy(ret_gram, sums, source_side * source_side * sizeof(*ret_gram));
    else
        project(points->coefficients, sums, points->side, source_side, points->product, ret_gram);
}

void points_weigh_sources(const struct points *points, const double *weights, double *ret_weights)
{
    const size_t source_side = points->source_count + 1;
    for (size_t j = 0; j < points->source_count; j++) {
        double sum = 0;
        if (points->coefficients == nullptr) {
            sum = weights[j];
        } else {
            for (size_t i = 0; i < points->count; i++)
                sum += weights[i] * points->coefficients[i * source_side + j];
        }
        ret_weights[j] = sum;
    }
}

void points_distances_from(const struct points *points, const double *weights,
                           double *ret_distances)
{
    const size_t side = points->side;
    double norm = 0;
    memset(ret_distances, 0, side * sizeof(*ret_distances));
    for (size_t j = 0; j < side; j++) {
        if (weights[j] == 0)
            continue;
        for (size_t i = 0; i < side; i++)
            ret_distances[i] += weights[j] * points->gram[j * side + i];
    }
    for (size_t j = 0; j < side; j++)
        norm += weights[j] * ret_distances[j];
    for (size_t i = 0; i < side; i++) {
        const double distance = points->gram[i * side + i] - 2 * ret_distances[i] + norm;
        ret_distances[i] = distance > 0 ? distance : 0;
    }
}

static bool is_before(const double *keys, uint32_t a, uint32_t b)
{
    return keys[a] < keys[b] || (keys[a] == keys[b] && a < b);
}

static void sift_down(uint32_t *indices, size_t root, size_t count, const double *keys)
{
    for (size_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count && is_before(keys, indices[child], indices[child + 1]))
            child++;
        if (!is_before(keys, indices[root], indices[child]))
            return;
        const uint32_t kept = indices[root];
        indices[root] = indices[child];
        indices[child] = kept;
        root = child;
    }
}

/* Heapsort: qsort of the C library may allocate. */
void sort_by_key(uint32_t *indices, size_t count, const double *keys)
{
    for (size_t root = count / 2; root-- > 0;)
        sift_down(indices, root, count, keys);
    for (size_t end = count; end > 1; end--) {
        const uint32_t kept = indices[0];
        indices[0] = indices[end - 1];
        indices[end - 1] = kept;
        sift_down(indices, 0, end - 1, keys);
    }
}

void order_by_key(uint32_t *ret_order, size_t count, const double *keys)
{
    for (uint32_t i = 0; i < count; i++)
        ret_order[i] = i;
    sort_by_key(ret_order, count, keys);
}
