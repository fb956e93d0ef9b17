/*
 * robust_round.c - see robust_round.h.
 */
#include "host/robust_round.h"

#include "base/check.h"
#include "host/config.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS_MAX = 8, WORD_MAX = 128 };

struct kept_update {
    char node[STORE_NAME_MAX];
    uint64_t offset; /* in the file */
};

struct robust_round {
    const struct config *config;
    struct recipe recipe;
    uint64_t parameter_count;
    int fd;
    struct kept_update *kept;
    uint32_t count;
    uint32_t capacity;
    uint64_t weight_sum;
    atomic_int read_errno; /* the first that failed while a rule ran */
};

bool robust_round_is_needed(const struct config *config)
{
    return config->robust.rule != RULE_MEAN || config->robust.pre[0] != 0;
}

/* Calls take for each word of a list like "nnm, arc". */
static enum status take_words(const char *list, struct recipe *recipe,
                              enum status (*take)(struct recipe *, const char *, struct error *),
                              struct error *err)
{
    enum status status = STATUS_OK;
    for (const char *p = list + strspn(list, ", "); *p != 0 && status == STATUS_OK;) {
        char word[WORD_MAX];
        const size_t size = strcspn(p, ", ");
        snprintf(word, sizeof(word), "%.*s", (int)(size < WORD_MAX ? size : WORD_MAX - 1), p);
        status = take(recipe, word, err);
        p += size;
        p += strspn(p, ", ");
    }
    return status;
}

enum status robust_round_recipe(const struct config *config, struct recipe *ret_recipe,
                                struct error *err)
{
    struct recipe recipe = {.rule = (enum rule_id)config->robust.rule};
    enum status status = take_words(config->robust.pre, &recipe, recipe_add_pre, err);
    if (status == STATUS_OK)
        status = take_words(config->robust.set, &recipe, recipe_set_param, err);
    if (status == STATUS_OK)
        status = recipe_check(&recipe, err);
    if (status == STATUS_OK)
        *ret_recipe = recipe;
    return status;
}

uint64_t robust_round_f(const struct config *config, uint64_t selected)
{
    /* A product like 0.3 * 10 may be a little over the whole number. */
    return config->robust.f > 0
               ? config->robust.f
               : (uint64_t)ceil(config->robust.tolerance * (double)selected - 1e-9);
}

/* A file in folder that has no name any more. */
static enum status open_file(const char *folder, int *ret_fd, struct error *err)
{
    char path[CONFIG_PATH_MAX + 16];
    snprintf(path, sizeof(path), "%s/updates-XXXXXX", folder);
    const int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, STATUS_IO, errno, "no file for updates in %s", folder);
    unlink(path);
    *ret_fd = fd;
    return STATUS_OK;
}

enum status robust_round_create(const struct config *config, const char *folder,
                                uint64_t parameter_count, struct robust_round **ret_round,
                                struct error *err)
{
    struct robust_round *const round = calloc(1, sizeof(*round));
    if (round == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a round's updates");
    round->config = config;
    round->parameter_count = parameter_count;
    enum status status = robust_round_recipe(config, &round->recipe, err);
    if (status == STATUS_OK)
        status = open_file(folder, &round->fd, err);
    if (status != STATUS_OK) {
        free(round);
        return status;
    }
    *ret_round = round;
    return STATUS_OK;
}

void robust_round_destroy(struct robust_round *round)
{
    if (round == nullptr)
        return;
    close(round->fd);
    free(round->kept);
    free(round);
}

static enum status make_room(struct robust_round *round)
{
    enum { CAPACITY_FIRST = 64 };
    if (round->count < round->capacity)
        return STATUS_OK;
    const uint32_t capacity = round->capacity == 0 ? CAPACITY_FIRST : 2 * round->capacity;
    struct kept_update *const kept = realloc(round->kept, capacity * sizeof(*kept));
    if (kept == nullptr)
        return STATUS_NO_MEMORY;
    round->kept = kept;
    round->capacity = capacity;
    return STATUS_OK;
}

enum status robust_round_keep(struct robust_round *round, const char *node, const float *update,
                              uint32_t weight, struct error *err)
{
    const uint64_t size = round->parameter_count * sizeof(float);
    const uint64_t offset = round->count * size;
    if (round->count == ROBUST_ROWS_MAX)
        return error_set(err, STATUS_LIMIT, "more than %d updates in a round of a robust rule",
                         ROBUST_ROWS_MAX);
    if (make_room(round) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a round's updates");
    for (uint64_t done = 0; done < size;) {
        const ssize_t put =
            pwrite(round->fd, (const uint8_t *)update + done, size - done, (off_t)(offset + done));
        if (put < 0 && errno != EINTR)
            return error_set_errno(err, errno == ENOSPC ? STATUS_NO_SPACE : STATUS_IO, errno,
                                   "an update could not be kept until the round closes");
        done += put > 0 ? (uint64_t)put : 0;
    }
    struct kept_update *const kept = &round->kept[round->count++];
    snprintf(kept->node, sizeof(kept->node), "%s", node);
    kept->offset = offset;
    round->weight_sum += weight;
    return STATUS_OK;
}

uint64_t robust_round_weight_sum(const struct robust_round *round)
{
    return round->weight_sum;
}

void robust_round_reset(struct robust_round *round)
{
    round->count = 0;
    round->weight_sum = 0;
    /* Gives the disk its space back; what cannot be cut is overwritten. */
    (void)!ftruncate(round->fd, 0);
}

static const float *read_row(const void *context, uint64_t row, uint64_t first, size_t count,
                             float *buffer)
{
    /* Shared by the rule's threads, which only tell of an error. */
    struct robust_round *const round = (struct robust_round *)(uintptr_t)context;
    const size_t size = count * sizeof(*buffer);
    const uint64_t offset = round->kept[row].offset + first * sizeof(*buffer);
    for (size_t done = 0; done < size;) {
        const ssize_t got =
            pread(round->fd, (uint8_t *)buffer + done, size - done, (off_t)(offset + done));
        if (got == 0 || (got < 0 && errno != EINTR)) {
            atomic_store(&round->read_errno, got == 0 ? EIO : errno);
            memset((uint8_t *)buffer + done, 0, size - done);
            break;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return buffer;
}

static int compare_nodes(const void *a, const void *b)
{
    return strcmp(((const struct kept_update *)a)->node, ((const struct kept_update *)b)->node);
}

/* The recipe with an f that so many updates allow. */
static struct recipe fit_recipe(const struct robust_round *round, uint64_t f, uint64_t seed)
{
    enum { SEED_BITS = 53 }; /* of a whole number in a double */
    struct recipe recipe = round->recipe;
    uint64_t found = 0;
    if (recipe_uses_seed(&recipe) && !recipe.is_set[PARAM_SEED]) {
        recipe.is_set[PARAM_SEED] = true;
        recipe.values[PARAM_SEED] = (double)(seed >> (64 - SEED_BITS));
    }
    recipe.has_f = !recipe.is_set[PARAM_BETA];
    for (recipe.f = f < round->count ? f : round->count - 1;; recipe.f--) {
        if (recipe_find_f(&recipe, round->count, &found, nullptr) == STATUS_OK)
            return recipe;
        if (recipe.f == 0 || !recipe.has_f)
            return (struct recipe){.rule = RULE_GEOMETRIC_MEDIAN, .has_f = true};
    }
}

static enum status make_outcome(const struct robust_round *round,
                                const struct robust_report *report, uint64_t wanted,
                                struct robust_outcome **ret_outcome)
{
    struct robust_outcome *const outcome =
        calloc(1, sizeof(*outcome) + sizeof(outcome->suspects[0]) * report->suspect_count);
    if (outcome == nullptr)
        return STATUS_NO_MEMORY;
    outcome->f = report->f;
    outcome->wanted = wanted;
    outcome->has_choice = round->recipe.rule == RULE_VALIDATED;
    for (size_t i = 0; i < report->suspect_count; i++) {
        const struct suspect *const suspect = &report->suspects[i];
        struct robust_suspect *const named = &outcome->suspects[outcome->count++];
        memcpy(named->node, round->kept[suspect->index].node, sizeof(named->node));
        named->score = suspect->score;
        named->reason = suspect->reason;
    }
    *ret_outcome = outcome;
    return STATUS_OK;
}

static void put_number(struct hasher *hasher, uint64_t number)
{
    uint8_t bytes[8];
    store_u64le(bytes, number);
    hasher_update(hasher, bytes, sizeof(bytes));
}

enum status robust_outcome_text(const struct robust_outcome *outcome,
                                char ret_text[static ROBUST_SUSPECTS_TEXT_MAX])
{
    static const char domain[] = "fedra/v1/suspects";
    struct hasher *hasher = nullptr;
    struct digest digest;
    char hex[DIGEST_HEX_MAX];
    const enum status status = hasher_create(&hasher);
    if (status != STATUS_OK)
        return status;
    hasher_update(hasher, domain, sizeof(domain));
    put_number(hasher, outcome->count);
    for (uint32_t i = 0; i < outcome->count; i++) {
        const struct robust_suspect *const suspect = &outcome->suspects[i];
        uint64_t score = 0;
        memcpy(&score, &suspect->score, sizeof(score));
        put_number(hasher, strlen(suspect->node));
        hasher_update(hasher, suspect->node, strlen(suspect->node));
        put_number(hasher, suspect->reason);
        put_number(hasher, score);
    }
    hasher_finish(hasher, &digest);
    hasher_destroy(hasher);
    digest_to_hex(&digest, hex);
    snprintf(ret_text, ROBUST_SUSPECTS_TEXT_MAX, "%u:%s", outcome->count, hex);
    return STATUS_OK;
}

static uint32_t thread_count(void)
{
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 1 ? 1 : processors > THREADS_MAX ? THREADS_MAX : (uint32_t)processors;
}

/* The filter, and the candidate that is best or was taken before. */
static enum status choose(struct robust_round *round, const struct recipe *recipe,
                          const struct robust_choice *choice, struct validated *validated,
                          enum validated_candidate *chosen, float *values,
                          struct robust_report *report, struct error *err)
{
    const struct update_matrix matrix = {
        .n = round->count, .d = round->parameter_count, .context = round, .read = read_row};
    const struct validated_call call = {.matrix = &matrix,
                                        .f = recipe->f,
                                        .threads = thread_count(),
                                        .loss = choice->loss,
                                        .context = choice->context};
    *validated = choice->before;
    *chosen = choice->chosen;
    return choice->loss != nullptr
               ? validated_aggregate(validated, &call, values, report, chosen, err)
               : validated_repeat(*chosen, &call, values, report, err);
}

/* Every other rule. */
static enum status aggregate(struct robust_round *round, const struct recipe *recipe, float *values,
                             struct robust_report *report, struct error *err)
{
    const struct update_matrix matrix = {
        .n = round->count, .d = round->parameter_count, .context = round, .read = read_row};
    size_t size = 0;
    enum status status =
        robust_workspace_size(recipe, matrix.n, matrix.d, thread_count(), &size, err);
    if (status != STATUS_OK)
        return status;
    void *const workspace = malloc(size);
    status = workspace != nullptr ? robust_aggregate(recipe, &matrix, thread_count(), workspace,
                                                     size, values, report, err)
                                  : error_set(err, STATUS_NO_MEMORY, "no memory to aggregate");
    free(workspace);
    return status;
}

enum status robust_round_close(struct robust_round *round, uint64_t selected, uint64_t seed,
                               const struct robust_choice *choice, double *ret_mean,
                               struct robust_outcome **ret_outcome, struct error *err)
{
    const uint64_t n = round->count;
    const uint64_t d = round->parameter_count;
    const uint64_t wanted = robust_round_f(round->config, selected);
    struct robust_report report = {0};
    struct validated validated = {0};
    enum validated_candidate chosen = VALIDATED_MEAN;
    if (n == 0)
        return error_set(err, STATUS_INVAL, "no update was kept");
    qsort(round->kept, n, sizeof(*round->kept), compare_nodes);
    const struct recipe recipe = fit_recipe(round, wanted, seed);
    enum status status = STATUS_OK;
    float *const values = calloc(d + 1, sizeof(*values));
    report.weights = calloc(n, sizeof(*report.weights));
    report.is_selected = calloc(n, sizeof(*report.is_selected));
    report.suspects = calloc(n, sizeof(*report.suspects));
    atomic_store(&round->read_errno, 0);
    if (!values || !report.weights || !report.is_selected || !report.suspects)
        status = error_set(err, STATUS_NO_MEMORY, "no memory to aggregate");
    if (status == STATUS_OK)
        status = recipe.rule == RULE_VALIDATED
                     ? choose(round, &recipe, choice, &validated, &chosen, values, &report, err)
                     : aggregate(round, &recipe, values, &report, err);
    if (status == STATUS_OK && atomic_load(&round->read_errno) != 0)
        status = error_set_errno(err, STATUS_IO, atomic_load(&round->read_errno),
                                 "an update that was kept could not be read");
    if (status == STATUS_OK)
        status = make_outcome(round, &report, wanted, ret_outcome);
    if (status == STATUS_OK) {
        (*ret_outcome)->choice = chosen;
        (*ret_outcome)->validated = validated;
    }
    for (uint64_t i = 0; i < d && status == STATUS_OK; i++)
        ret_mean[i] = (double)values[i];
    free(report.suspects);
    free(report.is_selected);
    free(report.weights);
    free(values);
    return status;
}
