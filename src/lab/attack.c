/*
 * attack.c - see attack.h.
 */
#include "lab/attack.h"

#include "base/check.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
#define X(name, word, text) word,
    ATTACK_LIST(X)
#undef X
};

static const char *const texts[] = {
#define X(name, word, text) text,
    ATTACK_LIST(X)
#undef X
};

const char *attack_name(enum attack attack)
{
    return names[attack];
}

const char *attack_text(enum attack attack)
{
    return texts[attack];
}

enum attack attack_find(const char *name, size_t size)
{
    for (int i = 0; i < ATTACK_COUNT; i++) {
        if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0)
            return (enum attack)i;
    }
    return ATTACK_COUNT;
}

bool attack_is_in_data(enum attack attack)
{
    return attack == ATTACK_LABEL_FLIP || attack == ATTACK_BACKDOOR;
}

bool attack_is_shared(enum attack attack)
{
    return (attack >= ATTACK_MEAN_SIGN_FLIP && attack <= ATTACK_MIMIC);
}

/* ---- what the liars know ---- */

struct knowledge {
    const struct attack_view *view;
    uint64_t honest;   /* rows */
    double *mean;      /* f64[d] */
    double *deviation; /* f64[d], with n - 1 */
    float *vector;     /* f32[d] */
};

static void know(struct knowledge *k, const struct attack_view *view)
{
    const uint64_t d = view->d;
    k->view = view;
    k->honest = view->n - view->f;
    k->mean = calloc(d, sizeof(*k->mean));
    k->deviation = calloc(d, sizeof(*k->deviation));
    k->vector = malloc(sizeof(*k->vector) * d);
    CHECK(k->mean && k->deviation && k->vector);
    for (uint64_t row = 0; row < k->honest; row++) {
        for (uint64_t i = 0; i < d; i++)
            k->mean[i] += (double)view->honest[row * d + i] / (double)k->honest;
    }
    for (uint64_t row = 0; row < k->honest; row++) {
        for (uint64_t i = 0; i < d; i++) {
            const double off = (double)view->honest[row * d + i] - k->mean[i];
            k->deviation[i] += off * off;
        }
    }
    const double degrees = k->honest > 1 ? (double)(k->honest - 1) : 1;
    for (uint64_t i = 0; i < d; i++)
        k->deviation[i] = sqrt(k->deviation[i] / degrees);
}

static void forget(struct knowledge *k)
{
    free(k->mean);
    free(k->deviation);
    free(k->vector);
}

/* vector = means * mean + deviations * deviation */
static void combine(struct knowledge *k, double means, double deviations)
{
    for (uint64_t i = 0; i < k->view->d; i++)
        k->vector[i] = (float)(means * k->mean[i] + deviations * k->deviation[i]);
}

/* ---- how far ---- */

/* Phi^-1 by bisection: once an attack. */
static double normal_quantile(double p)
{
    double low = -10;
    double high = 10;
    for (int i = 0; i < 100; i++) {
        const double middle = (low + high) / 2;
        if (0.5 * erfc(-middle / sqrt(2)) < p)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Baruch et al. 2019: with s honest ones won over, the liars are a majority on that side. */
static double a_little_most(const struct attack_view *view)
{
    const double n = (double)view->n;
    const double f = (double)view->f;
    const double s = floor(n / 2 + 1) - f;
    const double share = (n - f - s) / (n - f);
    return share > 0 && share < 1 ? normal_quantile(share) : 0;
}

/* The multiple of the grid by which the rule is led off most. */
static double find_worst(struct knowledge *k, const double *grid, size_t count, bool of_mean)
{
    double worst = grid[count - 1];
    double most = -1;
    for (size_t i = 0; i < count && k->view->judge != nullptr; i++) {
        combine(k, of_mean ? -grid[i] : 1, of_mean ? 0 : grid[i]);
        const double hurt = k->view->judge(k->view->judge_context, k->vector, k->mean);
        if (hurt > most) {
            most = hurt;
            worst = grid[i];
        }
    }
    return worst;
}

/* Squared distances of the honest updates from one another, f64[honest][honest]. */
static double *find_distances(const struct knowledge *k)
{
    const uint64_t h = k->honest;
    const uint64_t d = k->view->d;
    float *const centred = malloc(sizeof(*centred) * h * d);
    float *const gram = calloc(h * h, sizeof(*gram));
    double *const distances = calloc(h * h, sizeof(*distances));
    CHECK(centred && gram && distances);
    for (uint64_t row = 0; row < h; row++) {
        for (uint64_t i = 0; i < d; i++)
            centred[row * d + i] = (float)((double)k->view->honest[row * d + i] - k->mean[i]);
    }
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasNoTrans, (int)h, (int)d, 1, centred, (int)d, 0,
                gram, (int)h);
    for (uint64_t a = 0; a < h; a++) {
        for (uint64_t b = 0; b < h; b++) {
            const double ab = (double)(a < b ? gram[a * h + b] : gram[b * h + a]);
            distances[a * h + b] = (double)gram[a * h + a] + (double)gram[b * h + b] - 2 * ab;
        }
    }
    free(centred);
    free(gram);
    return distances;
}

/*
 * Shejwalkar and Houmansadr 2021, with the deviation as direction: the largest gamma for which
 * mean - gamma * deviation is, from each honest update (min_max) or from all together (min_sum), no
 * farther than they are.
 */
static double find_gamma(const struct knowledge *k, bool of_sum)
{
    const uint64_t h = k->honest;
    const uint64_t d = k->view->d;
    double *const distances = find_distances(k);
    double bound = 0;
    double length = 0; /* of the deviation, squared */
    double low = 0;
    double high = 100;
    double *const squares = calloc(2 * h, sizeof(*squares));
    CHECK(squares != nullptr);
    double *const along = squares + h;
    for (uint64_t a = 0; a < h; a++) {
        double sum = 0;
        for (uint64_t b = 0; b < h; b++) {
            sum += distances[a * h + b];
            if (!of_sum && distances[a * h + b] > bound)
                bound = distances[a * h + b];
        }
        if (of_sum && sum > bound)
            bound = sum;
        for (uint64_t i = 0; i < d; i++) {
            const double off = k->mean[i] - (double)k->view->honest[a * d + i];
            squares[a] += off * off;
            along[a] += off * k->deviation[i];
        }
    }
    for (uint64_t i = 0; i < d; i++)
        length += k->deviation[i] * k->deviation[i];
    for (int step = 0; step < 60; step++) {
        const double gamma = (low + high) / 2;
        double reached = 0;
        for (uint64_t a = 0; a < h; a++) {
            const double square = squares[a] - 2 * gamma * along[a] + gamma * gamma * length;
            reached = of_sum ? reached + square : square > reached ? square : reached;
        }
        *(reached <= bound ? &low : &high) = gamma;
    }
    free(distances);
    free(squares);
    return low;
}

/* ---- what they send ---- */

static void send_shared(struct knowledge *k, float *liars)
{
    const struct attack_view *const view = k->view;
    for (uint64_t row = 0; row < view->f; row++) {
        float *const to = liars + row * view->d;
        memcpy(to, k->vector, sizeof(*to) * view->d);
        for (uint64_t i = 0; i < view->d && view->jitter > 0; i++)
            to[i] += (float)(view->jitter * k->deviation[i] * random_normal(view->random));
    }
}

static void scale_own(const struct attack_view *view, float *liars, float factor)
{
    for (uint64_t i = 0; i < view->f * view->d; i++)
        liars[i] *= factor;
}

static void send_constant(const struct attack_view *view, float *liars, float value)
{
    for (uint64_t i = 0; i < view->f * view->d; i++)
        liars[i] = value;
}

/* From a row on. */
static void send_noise(const struct knowledge *k, uint64_t from, float *liars)
{
    const struct attack_view *const view = k->view;
    for (uint64_t row = from; row < view->f; row++) {
        for (uint64_t i = 0; i < view->d; i++)
            liars[row * view->d + i] =
                (float)(k->mean[i] + 3 * k->deviation[i] * random_normal(view->random));
    }
}

static double norm_of(const float *row, uint64_t d)
{
    double squared = 0;
    for (uint64_t i = 0; i < d; i++)
        squared += (double)row[i] * (double)row[i];
    return sqrt(squared);
}

static void send_noise_of_norm(const struct attack_view *view, float *liars)
{
    const double wanted = norm_of(view->honest, view->d);
    for (uint64_t row = 0; row < view->f; row++) {
        float *const to = liars + row * view->d;
        for (uint64_t i = 0; i < view->d; i++)
            to[i] = (float)random_normal(view->random);
        const double scale = wanted / norm_of(to, view->d);
        for (uint64_t i = 0; i < view->d; i++)
            to[i] = (float)(scale * (double)to[i]);
    }
}

/* The one vector of attacks that share it. */
static void find_vector(enum attack attack, struct knowledge *k)
{
    static const double taus[] = {0.1, 0.5, 1, 2, 4, 8};
    static const double zs[] = {0.3, 0.6, 1, 1.5, 2, 3, 5};
    switch (attack) {
    case ATTACK_MEAN_SIGN_FLIP:
        combine(k, -1, 0);
        break;
    case ATTACK_INNER_PRODUCT_LOW:
        combine(k, -0.1, 0);
        break;
    case ATTACK_INNER_PRODUCT_HALF:
        combine(k, -0.5, 0);
        break;
    case ATTACK_INNER_PRODUCT_TWICE:
        combine(k, -2, 0);
        break;
    case ATTACK_INNER_PRODUCT_WORST:
        combine(k, -find_worst(k, taus, sizeof(taus) / sizeof(*taus), true), 0);
        break;
    case ATTACK_A_LITTLE:
        combine(k, 1, 1.5);
        break;
    case ATTACK_A_LITTLE_MAX:
        combine(k, 1, a_little_most(k->view));
        break;
    case ATTACK_A_LITTLE_WORST:
        combine(k, 1, find_worst(k, zs, sizeof(zs) / sizeof(*zs), false));
        break;
    case ATTACK_MIN_MAX:
    case ATTACK_MIN_SUM:
        combine(k, 1, -find_gamma(k, attack == ATTACK_MIN_SUM));
        break;
    case ATTACK_MIMIC:
        memcpy(k->vector, k->view->honest, sizeof(*k->vector) * k->view->d);
        break;
    case ATTACK_NONE:
    case ATTACK_OWN_SIGN_FLIP:
    case ATTACK_NOISE:
    case ATTACK_NOISE_SAME_NORM:
    case ATTACK_SCALE_2:
    case ATTACK_SCALE_10:
    case ATTACK_DECOY:
    case ATTACK_NAN:
    case ATTACK_INF:
    case ATTACK_LABEL_FLIP:
    case ATTACK_BACKDOOR:
    case ATTACK_COUNT:
        CHECK(!"a vector that all share");
    }
}

static void send_known(enum attack attack, const struct attack_view *view, float *liars)
{
    struct knowledge k;
    know(&k, view);
    if (attack_is_shared(attack)) {
        find_vector(attack, &k);
        send_shared(&k, liars);
    } else if (attack == ATTACK_DECOY) {
        for (uint64_t i = 0; i < view->d; i++)
            liars[i] *= 1000;
        send_noise(&k, 1, liars);
    } else {
        send_noise(&k, 0, liars);
    }
    forget(&k);
}

void attack_make(enum attack attack, const struct attack_view *view, float *liars)
{
    if (view->f == 0 || view->f >= view->n)
        return;
    switch (attack) {
    case ATTACK_NONE:
    case ATTACK_LABEL_FLIP:
    case ATTACK_BACKDOOR:
        break; /* as they trained */
    case ATTACK_OWN_SIGN_FLIP:
        scale_own(view, liars, -1);
        break;
    case ATTACK_SCALE_2:
        scale_own(view, liars, 2);
        break;
    case ATTACK_SCALE_10:
        scale_own(view, liars, 10);
        break;
    case ATTACK_NAN:
        send_constant(view, liars, NAN);
        break;
    case ATTACK_INF:
        send_constant(view, liars, INFINITY);
        break;
    case ATTACK_NOISE_SAME_NORM:
        send_noise_of_norm(view, liars);
        break;
    case ATTACK_MEAN_SIGN_FLIP:
    case ATTACK_INNER_PRODUCT_LOW:
    case ATTACK_INNER_PRODUCT_HALF:
    case ATTACK_INNER_PRODUCT_TWICE:
    case ATTACK_INNER_PRODUCT_WORST:
    case ATTACK_A_LITTLE:
    case ATTACK_A_LITTLE_MAX:
    case ATTACK_A_LITTLE_WORST:
    case ATTACK_MIN_MAX:
    case ATTACK_MIN_SUM:
    case ATTACK_MIMIC:
    case ATTACK_NOISE:
    case ATTACK_DECOY:
        send_known(attack, view, liars);
        break;
    case ATTACK_COUNT:
        CHECK(!"an attack");
    }
}
