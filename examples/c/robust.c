/*
 * robust.c - ten updates of four parameters, two of them lies, aggregated by libfedra.
 *
 *     cc robust.c $(pkg-config --cflags --libs fedra) -o robust && ./robust
 *
 * Prints the mean, which the liars move, and what robust rules make of the same updates.
 */
#include <fedra/robust.h>

#include <stdio.h>
#include <stdlib.h>

enum { UPDATES = 10, PARAMETERS = 4, THREADS = 2 };

/* Honest updates are near (1, 2, 3, 4). */
static const float updates[UPDATES][PARAMETERS] = {
    {1.1f, 2.0f, 2.9f, 4.0f}, {0.9f, 2.1f, 3.0f, 3.9f}, {1.0f, 1.9f, 3.1f, 4.1f},
    {1.0f, 2.0f, 3.0f, 4.2f}, {1.2f, 1.8f, 3.0f, 4.0f}, {0.8f, 2.2f, 2.8f, 4.0f},
    {1.0f, 2.1f, 3.2f, 3.8f}, {1.1f, 1.9f, 3.0f, 4.1f}, {-90, 500, 7, -1e6f},
    {-90, 500, 7, -1e6f},
};

static int aggregate(const struct fedra_rule *rule)
{
    const struct fedra_matrix matrix = {updates[0], UPDATES, PARAMETERS, PARAMETERS, 1};
    struct fedra_suspect suspects[UPDATES];
    struct fedra_report report = {.suspects = suspects};
    float result[PARAMETERS];
    char error[512] = "";
    size_t size = 0;
    void *workspace = NULL;
    if (fedra_robust_workspace_size(rule, UPDATES, PARAMETERS, THREADS, &size, error,
                                    sizeof(error)) != FEDRA_OK ||
        (workspace = malloc(size)) == NULL ||
        fedra_robust_aggregate(rule, &matrix, THREADS, workspace, size, result, &report, error,
                               sizeof(error)) != FEDRA_OK) {
        fprintf(stderr, "%s: %s\n", rule->rule, error[0] != 0 ? error : "no memory");
        free(workspace);
        return 1;
    }
    free(workspace);
    printf("%-16s %10.3f %10.3f %10.3f %14.3f", rule->rule, (double)result[0], (double)result[1],
           (double)result[2], (double)result[3]);
    for (size_t i = 0; i < report.suspect_count; i++)
        printf("  suspect: %zu (%s)", suspects[i].index, suspects[i].reason);
    printf("\n");
    return 0;
}

int main(void)
{
    static const char *const mixing[] = {"nnm"};
    static const char *const tau[] = {"tau=2", "iterations=3"};
    const struct fedra_rule rules[] = {
        {.rule = "mean"},
        {.rule = "median"},
        {.rule = "trimmed_mean", .pre = mixing, .pre_count = 1, .f = 2},
        {.rule = "multi_krum", .f = 2},
        {.rule = "centered_clipping", .settings = tau, .setting_count = 2},
        {.rule = "filter", .f = 2},
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        failed |= aggregate(&rules[i]);
    return failed;
}
