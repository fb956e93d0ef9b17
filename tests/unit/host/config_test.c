/*
 * config_test.c - right configurations: values, origins, round trips, the example, the docs; and
 * that no damaged file crashes the reader.
 */
#include "testing.h"

#include "base/random.h"
#include "host/config.h"

#include <stdlib.h>
#include <string.h>

static struct config config;
static struct config again;

static void read_text(const char *yaml, const char *const *sets, uint32_t count,
                      struct config *ret_config)
{
    struct config_report report;
    config_report_init(&report);
    const enum status status =
        config_parse("f.yaml", yaml, strlen(yaml), sets, count, &report, ret_config);
    if (status != STATUS_OK)
        fail_msg("%.*s", (int)report.text.size, (const char *)report.text.data);
    config_report_deinit(&report);
}

/* The whole of a file under the source folder; the caller frees it. */
static char *read_source(const char *name)
{
    char path[1024];
    const char *const root = getenv("FEDRA_SOURCE");
    snprintf(path, sizeof path, "%s/%s", root ? root : ".", name);
    FILE *const file = fopen(path, "rb");
    if (!file)
        fail_msg("cannot open %s", path);
    char *const text = calloc(1, 1 << 20);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    return text;
}

static void assert_same_values(const struct config *a, const struct config *b)
{
    assert_memory_equal(a, b, offsetof(struct config, origin));
}

static void defaults_are_those_of_the_specification(void **state)
{
    config_defaults(&config);
    assert_string_equal(config.job.name, "job");
    assert_int_equal(config.job.seed, 1);
    assert_string_equal(config.server.listen, "127.0.0.1:7433");
    assert_string_equal(config.server.state, "");
    assert_int_equal(config.log.level, LOG_INFO);
    assert_int_equal(config.model.kind, CONFIG_MODEL_SOFTMAX);
    assert_int_equal(config.model.hidden.count, 0);
    assert_int_equal(config.model.classes, 10);
    assert_int_equal(config.model.parameters, 1000);
    assert_true(config.data.alpha == 0.5);
    assert_false(config.data.evaluate_test_at_end);
    assert_true(config.aggregation.k_threshold == 0.85);
    assert_true(config.aggregation.timeout_s == 60);
    assert_int_equal(config.convergence.max_rounds, 100);
    assert_true(config.optimiser.learning_rate == 1);
    assert_int_equal(config.validation.samples, 5000);
    assert_string_equal(config.identity.trust_domain, "fedra.local");
    assert_int_equal(config.identity.ttl_s, 3600);
    assert_true(config.limits.update_norm_max == 100);
    assert_int_equal(config.limits.samples_max, 1000000);
    assert_int_equal(config.limits.nodes_max, 10000);
    assert_int_equal(config.limits.blob_pool_bytes, 268435456);
    read_text("schema: 1\n", nullptr, 0, &again);
    assert_same_values(&config, &again);
}

static void values_of_each_type_are_read(void **state)
{
    read_text("schema: 1\n"
              "job: {name: a-1, seed: 18446744073709551615}\n"
              "server:\n  listen: \"[::1]:0\"\n  state: '/tmp/\xc3\xa9 x'\n"
              "log:\n  level: debug\n"
              "model:\n  kind: mlp\n  hidden:\n    - 128\n    - 64\n"
              "data:\n  format: idx\n  path: d\n  evaluate_test_at_end: true\n"
              "train:\n  learning_rate: 5e-2\n  momentum: .5\n"
              "faults:\n  slow: {share: 0.05, factor: 10}\n  kill:\n    after_rounds: 7\n",
              nullptr, 0, &config);
    assert_string_equal(config.job.name, "a-1");
    assert_true(config.job.seed == UINT64_MAX);
    assert_string_equal(config.server.listen, "[::1]:0");
    assert_string_equal(config.server.state, "/tmp/\xc3\xa9 x");
    assert_int_equal(config.log.level, LOG_DEBUG);
    assert_int_equal(config.model.hidden.count, 2);
    assert_int_equal(config.model.hidden.items[0], 128);
    assert_int_equal(config.model.hidden.items[1], 64);
    assert_true(config.data.evaluate_test_at_end);
    assert_true(config.train.learning_rate == 0.05);
    assert_true(config.train.momentum == 0.5);
    assert_true(config.faults.slow.share == 0.05);
    assert_int_equal(config.faults.kill.after_rounds, 7);
}

static void set_overrides_the_file_and_the_last_one_wins(void **state)
{
    const char *const sets[] = {"job.seed=8", "model.kind=mlp",   "model.hidden=[3, 4]",
                                "job.seed=9", "log.file=a=b # c", "server.state="};
    read_text("schema: 1\njob:\n  seed: 7\nserver:\n  state: x\n", sets, 6, &config);
    assert_int_equal(config.job.seed, 9);
    assert_int_equal(config.model.hidden.count, 2);
    assert_int_equal(config.model.hidden.items[1], 4);
    assert_string_equal(config.log.file, "a=b # c");
    assert_string_equal(config.server.state, "");
}

/* What config_write or config_show make of a configuration; the caller frees it. */
static char *rendered(enum status (*write)(const struct config *, FILE *),
                      const struct config *from)
{
    char *text = nullptr;
    size_t size = 0;
    FILE *const file = open_memstream(&text, &size);
    assert_int_equal(write(from, file), STATUS_OK);
    fclose(file);
    return text;
}

static void written_configuration_reads_back_to_the_same_values(void **state)
{
    struct random random;
    random_init(&random, 1, 2, 3);
    config_defaults(&config);
    for (int i = 0; i < 200; i++) {
        config.job.seed = random_u64(&random);
        config.data.alpha = 0.001 + random_unit(&random);
        config.train.learning_rate = random_unit(&random) + 1e-300;
        config.train.weight_decay = 1e-9 * random_unit(&random);
        config.limits.update_norm_max = 1e6 * (random_unit(&random) + 1e-18);
        config.faults.slow.share = random_unit(&random);
        config.faults.kill.down_s = random_unit(&random);
        config.model.kind = CONFIG_MODEL_MLP;
        config.model.hidden.count = 1 + (uint32_t)random_below(&random, CONFIG_LIST_MAX);
        for (uint32_t j = 0; j < CONFIG_LIST_MAX; j++)
            config.model.hidden.items[j] =
                j < config.model.hidden.count ? 1 + (uint32_t)random_below(&random, 65536) : 0;
        snprintf(config.log.file, sizeof config.log.file, "\\ \"#: '%d'\xe2\x82\xac ", i);
        memset(config.log.file + strlen(config.log.file), 0, 64);
        char *const text = rendered(config_write, &config);
        read_text(text, nullptr, 0, &again);
        assert_same_values(&config, &again);
        free(text);
    }
}

static void show_says_where_each_value_came_from(void **state)
{
    const char *const sets[] = {"train.momentum=0.25", "log.level=warn"};
    read_text("schema: 1\n\njob:\n  seed: 7\n", sets, 2, &config);
    char *const text = rendered(config_show, &config);
    assert_non_null(strstr(text, "\n  seed: 7                                     # f.yaml:4\n"));
    assert_non_null(strstr(text, "\n  level: warn                                 # --set 2\n"));
    assert_non_null(strstr(text, "\n  momentum: 0.25                              # --set 1\n"));
    assert_non_null(strstr(text, "\n  batch_size: 32                              # default\n"));
    read_text(text, nullptr, 0, &again); /* it is YAML itself */
    assert_same_values(&config, &again);
    for (uint32_t i = 0; config_key_path(i); i++) {
        char line[80];
        const char *const path = config_key_path(i);
        const char *const name = strrchr(path, '.') + 1;
        const bool inner = strchr(path, '.') + 1 != name; /* of a section in a section */
        snprintf(line, sizeof line, "\n%s  %s: ", inner ? "  " : "", name);
        assert_non_null(strstr(text, line));
    }
    free(text);
}

static void example_is_valid_and_names_every_key_that_up_does_not_set(void **state)
{
    static const char *const set_by_up[] = {
        "server.state", "node.name", "node.connect",       "node.state",
        "data.parts",   "data.part", "identity.directory", "identity.authority"};
    char *const text = read_source("examples/fashion-mnist.yaml");
    read_text(text, nullptr, 0, &config);
    assert_int_equal(config.model.inputs, 28 * 28);
    assert_int_equal(config.model.hidden.items[0], 128);
    for (uint32_t i = 0; config_key_path(i); i++) {
        bool by_up = false;
        for (size_t j = 0; j < sizeof set_by_up / sizeof set_by_up[0]; j++)
            by_up = by_up || !strcmp(set_by_up[j], config_key_path(i));
        /* What only a laboratory reads stands in its own examples. */
        if (strncmp(config_key_path(i), "lab.", 4) == 0)
            continue;
        if (by_up == (config.origin[i] > 0))
            fail_msg("%s is %s in the example", config_key_path(i), by_up ? "set" : "missing");
    }
    free(text);
}

static enum status write_docs(const struct config *unused, FILE *file)
{
    return config_write_docs(file);
}

static void documentation_is_what_the_schema_says_now(void **state)
{
    char *const stored = read_source("docs/configuration.md");
    char *const now = rendered(write_docs, nullptr);
    assert_string_equal(stored, now);
    free(stored);
    free(now);
}

static void counts_are_checked_against_the_number_of_nodes(void **state)
{
    struct config_report report;
    config_defaults(&config);
    config.aggregation.min_updates = 3;
    config.aggregation.start_nodes = 3;
    config_report_init(&report);
    assert_int_equal(config_check(&config, 3, &report), STATUS_OK);
    assert_int_equal(config_check(&config, 2, &report), STATUS_INVAL);
    assert_int_equal(report.count, 2);
    config_report_deinit(&report);
}

static void needed_texts_are_asked_for_by_name(void **state)
{
    static const char *const needed[] = {"node.name", "node.connect", "server.listen"};
    struct config_report report;
    read_text("schema: 1\nnode:\n  name: n\n", nullptr, 0, &config);
    config_report_init(&report);
    assert_int_equal(config_require(&config, "fedra node", needed, 3, &report), STATUS_INVAL);
    assert_int_equal(bytes_append(&report.text, "", 1), STATUS_OK);
    assert_string_equal((const char *)report.text.data,
                        "f.yaml: node.connect: is not given and fedra node needs it, host:port "
                        "with a port from 1 to 65535 is wanted\n");
    config_report_deinit(&report);
}

/* Goal: no file crashes the reader. Method: the example with bytes flipped and its end cut off. */
static void damaged_files_are_answered_not_crashed_on(void **state)
{
    static const char special[] = "\t\n :-[]{}&*!|>'\"%@`#?,\\\x80\xff\x01";
    char *const text = read_source("examples/fashion-mnist.yaml");
    const size_t size = strlen(text);
    char *const damaged = malloc(size);
    struct random random;
    random_init(&random, 20261124, 0, 0);
    for (int i = 0; i < 3000; i++) {
        struct config_report report;
        memcpy(damaged, text, size);
        for (uint64_t j = random_below(&random, 4); j < 4; j++) {
            const size_t at = (size_t)random_below(&random, size);
            damaged[at] = random_below(&random, 2)
                              ? special[random_below(&random, sizeof special - 1)]
                              : (char)(damaged[at] ^ (1 << random_below(&random, 8)));
        }
        const size_t kept = random_below(&random, 2) ? size : (size_t)random_below(&random, size);
        config_report_init(&report);
        const enum status status = config_parse("f", damaged, kept, nullptr, 0, &report, &config);
        assert_true(status == STATUS_OK || status == STATUS_INVAL);
        assert_int_equal(status == STATUS_OK, report.count == 0);
        config_report_deinit(&report);
    }
    free(damaged);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_specification),
        cmocka_unit_test(values_of_each_type_are_read),
        cmocka_unit_test(set_overrides_the_file_and_the_last_one_wins),
        cmocka_unit_test(written_configuration_reads_back_to_the_same_values),
        cmocka_unit_test(show_says_where_each_value_came_from),
        cmocka_unit_test(example_is_valid_and_names_every_key_that_up_does_not_set),
        cmocka_unit_test(documentation_is_what_the_schema_says_now),
        cmocka_unit_test(counts_are_checked_against_the_number_of_nodes),
        cmocka_unit_test(needed_texts_are_asked_for_by_name),
        cmocka_unit_test(damaged_files_are_answered_not_crashed_on),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
