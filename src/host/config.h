/*
 * config.h - the configuration of a job and its processes, as read from YAML and checked.
 *
 * config_schema.c holds the one table of keys that gives the parser, defaults, ranges, help and
 * documentation: a new key is one member here and one row there. Not here: what the values do.
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "host/log.h"
#include "learn/convergence.h"
#include "learn/schedule.h"
#include "learn/server_optimiser.h"
#include "learn/staleness.h"
#include "robust/rule_table.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    CONFIG_SCHEMA = 1,
    CONFIG_FILE_BYTES_MAX = 1024 * 1024,
    CONFIG_MISTAKES_MAX = 100, /* reading stops there */
    CONFIG_KEYS_MAX = 256,
    CONFIG_NAME_MAX = 64, /* bytes with the zero, as all of these */
    CONFIG_DOMAIN_MAX = 256,
    CONFIG_ADDRESS_MAX = 272, /* host:port */
    CONFIG_PATH_MAX = 1024,
    CONFIG_LIST_MAX = 8,
    CONFIG_RULES_MAX = 128, /* a list of words */
};

enum config_model_kind : uint32_t {
    CONFIG_MODEL_SOFTMAX,
    CONFIG_MODEL_MLP,
    CONFIG_MODEL_FLAT,
    CONFIG_MODEL_FILE,
};
enum config_data_format : uint32_t {
    CONFIG_DATA_NONE,
    CONFIG_DATA_IDX,
    CONFIG_DATA_CSV,
    CONFIG_DATA_SAFETENSORS,
};
enum config_csv_header : uint32_t {
    CONFIG_CSV_HEADER_AUTO,
    CONFIG_CSV_HEADER_YES,
    CONFIG_CSV_HEADER_NO
};
enum config_csv_separator : uint32_t {
    CONFIG_CSV_COMMA,
    CONFIG_CSV_SEMICOLON,
    CONFIG_CSV_TAB,
    CONFIG_CSV_PIPE,
    CONFIG_CSV_SPACE,
};
enum config_partition : uint32_t {
    CONFIG_PARTITION_IID,
    CONFIG_PARTITION_DIRICHLET,
    CONFIG_PARTITION_SHARDS,
};
enum config_trainer : uint32_t {
    CONFIG_TRAINER_BUILTIN,
    CONFIG_TRAINER_FIXED,
    CONFIG_TRAINER_COMMAND,
};
enum config_quarantine : uint32_t {
    CONFIG_QUARANTINE_OFF,
    CONFIG_QUARANTINE_SUGGEST,
    CONFIG_QUARANTINE_AUTO,
};

enum config_late_updates : uint32_t {
    CONFIG_LATE_DISCARD,
    CONFIG_LATE_NEXT_ROUND,
    CONFIG_LATE_MOMENTUM,
};
enum config_validation_source : uint32_t {
    CONFIG_VALIDATION_NONE,
    CONFIG_VALIDATION_CENTRAL,
    CONFIG_VALIDATION_NODES,
    CONFIG_VALIDATION_BOTH,
};
enum config_latency : uint32_t {
    CONFIG_LATENCY_CONSTANT,
    CONFIG_LATENCY_LOGNORMAL,
    CONFIG_LATENCY_TABLE,
};
enum config_tls_key : uint32_t { CONFIG_TLS_P256, CONFIG_TLS_ML_DSA_65 };

struct config_list {
    uint32_t count;
    uint32_t items[CONFIG_LIST_MAX];
};

/* Every value; what each means, its unit and range stand in config_schema.c. "" is: not given. */
struct config {
    struct {
        char name[CONFIG_NAME_MAX];
        uint64_t seed;
    } job;
    struct {
        char listen[CONFIG_ADDRESS_MAX];
        char state[CONFIG_PATH_MAX];
    } server;
    struct {
        char name[CONFIG_NAME_MAX];
        char connect[CONFIG_ADDRESS_MAX];
        char state[CONFIG_PATH_MAX];
    } node;
    struct {
        enum log_level level;
        enum log_format format;
        char file[CONFIG_PATH_MAX];
    } log;
    struct {
        enum config_model_kind kind;
        char path[CONFIG_PATH_MAX];
        uint64_t inputs;
        struct config_list hidden;
        uint64_t classes;
        uint64_t parameters;
    } model;
    struct {
        enum config_data_format format;
        char path[CONFIG_PATH_MAX];
        char test_path[CONFIG_PATH_MAX];
        char csv_label[CONFIG_NAME_MAX];
        enum config_csv_header csv_header;
        enum config_csv_separator csv_separator;
        enum config_partition partition;
        double alpha;
        uint64_t shards_per_node;
        uint64_t parts;
        uint64_t part;
        bool evaluate_test_at_end;
    } data;
    struct {
        enum config_trainer trainer;
        uint64_t local_epochs;
        uint64_t batch_size;
        double learning_rate;
        double momentum;
        double weight_decay;
        double proximal_mu;
        double fixed_wait_s;
        char command[CONFIG_PATH_MAX];
        double start_timeout_s;
        double task_timeout_s;
        double heartbeat_s;
        double cancel_grace_s;
        uint64_t memory_max_bytes;
        uint64_t cpus_max;
        uint64_t nice;
    } train;
    struct {
        double k_threshold;
        double timeout_s;
        uint64_t min_updates;
        uint64_t start_nodes;
        double start_timeout_s;
        double share;
        double over_selection;
        uint64_t cooldown_rounds;
        enum config_late_updates late_updates;
        uint64_t max_staleness;
        enum staleness_kind staleness;
        double staleness_exponent;
        uint64_t staleness_hinge;
    } aggregation;
    struct {
        enum rule_id rule; /* before RULE_NNM */
        char pre[CONFIG_RULES_MAX];
        char set[CONFIG_RULES_MAX];
        double tolerance;
        uint64_t f; /* 0: by the tolerance */
        enum config_quarantine quarantine;
        uint64_t quarantine_rounds;
    } robust;
    struct {
        uint64_t max_rounds;
        uint64_t min_rounds;
        uint64_t window_size;
        double threshold;
        enum convergence_criteria criteria;
        uint64_t patience;
        double gradient_threshold;
        double divergence_threshold;
        uint64_t divergence_patience;
    } convergence;
    struct {
        enum schedule_kind kind;
        double step_factor;
        uint64_t step_rounds;
        double tau;
        uint64_t cosine_rounds;
        double cosine_floor;
    } schedule;
    struct {
        enum server_optimiser_kind kind;
        double learning_rate;
        double momentum;
        double beta2;
        double epsilon;
    } optimiser;
    struct {
        enum config_validation_source source;
        uint64_t samples;
        double holdout;
        double trim;
    } validation;
    struct {
        uint64_t epochs;
        uint64_t batch_size;
        double learning_rate;
    } central;
    struct {
        char trust_domain[CONFIG_DOMAIN_MAX];
        char directory[CONFIG_PATH_MAX];
        char authority[CONFIG_ADDRESS_MAX];
        enum config_tls_key tls_key;
        uint64_t ttl_s;
    } identity;
    struct {
        double update_norm_max;
        uint64_t samples_max;
        uint64_t nodes_max;
        uint64_t blob_pool_bytes;
        uint64_t message_bytes_max;
        uint64_t update_bytes_max;
        uint64_t connections_max;
        uint64_t rounds_repeat_max;
        double heartbeat_s;
        uint64_t models_keep;
    } limits;
    struct {
        uint64_t keep_updates; /* 0: none; UINT64_MAX: all */
    } audit;
    struct {
        struct {
            double share;
            double factor;
        } slow;
        struct {
            double share;
            uint64_t after_rounds;
            double down_s;
        } kill;
    } faults;
    struct {
        double sample_us;
        double speed_spread;
        enum config_latency latency;
        double latency_ms;
        double latency_spread;
        char latency_file[CONFIG_PATH_MAX];
        double node_mbit;
        double coordinator_mbit;
        double loss;
        double up_s;
        double down_s;
        char faults[CONFIG_RULES_MAX];
        double faults_s;
    } simulation;
    struct {
        char rules[CONFIG_PATH_MAX];
        char attacks[CONFIG_PATH_MAX];
        char alphas[CONFIG_RULES_MAX];
        char shares[CONFIG_RULES_MAX];
        char jitters[CONFIG_RULES_MAX];
        uint64_t seeds;
        uint64_t nodes;
        uint64_t node_samples;
        uint64_t rounds;
    } lab;
    /* Where key i of the schema came from: its line (> 0), the -n-th --set (< 0), 0 the default. */
    int32_t origin[CONFIG_KEYS_MAX];
    /* The file's name, for messages and origins; "" where there was none. */
    char file[CONFIG_PATH_MAX];
};

/* Whether the coordinator measures versions on samples of its own. */
static inline bool config_validates_centrally(const struct config *config)
{
    return config->validation.source == CONFIG_VALIDATION_CENTRAL ||
           config->validation.source == CONFIG_VALIDATION_BOTH;
}

/* Whether nodes measure what they receive on shares they hold out. */
static inline bool config_validates_by_nodes(const struct config *config)
{
    return config->validation.source == CONFIG_VALIDATION_NODES ||
           config->validation.source == CONFIG_VALIDATION_BOTH;
}

/* The settings of convergence, as learn/ wants them. */
static inline struct convergence_settings config_convergence(const struct config *config)
{
    return (struct convergence_settings){
        .window_size = (uint32_t)config->convergence.window_size,
        .patience = (uint32_t)config->convergence.patience,
        .divergence_patience = (uint32_t)config->convergence.divergence_patience,
        .min_rounds = config->convergence.min_rounds,
        .max_rounds = config->convergence.max_rounds,
        .threshold = config->convergence.threshold,
        .divergence_threshold = config->convergence.divergence_threshold,
        .gradient_threshold = config->convergence.gradient_threshold,
        .criteria = config->convergence.criteria,
    };
}

/* "sgd", "momentum", ...: as in a configuration; static. */
const char *config_optimiser_name(enum server_optimiser_kind kind);

/* "constant", "polynomial", ...: as in a configuration; static. */
const char *config_staleness_name(enum staleness_kind kind);

/* "none", "central", ...: as in a configuration; static. */
const char *config_validation_source_name(enum config_validation_source source);

/* The mistakes found, one line each, "FILE:LINE: key.path: what is wrong, what would be right". */
struct config_report {
    struct bytes text; /* lines; not zero-terminated */
    uint32_t count;
    bool full; /* CONFIG_MISTAKES_MAX reached, the last line says so */
};

void config_report_init(struct config_report *report);
void config_report_deinit(struct config_report *report);

/* Fills config with the schema's defaults. Cannot fail. */
void config_defaults(struct config *ret_config);

/*
 * Reads, overrides and checks a configuration, and reports all mistakes at once.
 *
 * file       the YAML file; null: the defaults only.
 * sets       count texts "key.path=value", as given by --set, applied in order after the file.
 * report     initialised; mistakes are added to it.
 *
 * INVAL where there was a mistake, IO where the file cannot be read (also in the report),
 * NO_MEMORY. *ret_config is written only on success.
 */
[[nodiscard]] enum status config_load(const char *file, const char *const *sets, uint32_t count,
                                      struct config_report *report, struct config *ret_config);

/* As config_load, from size bytes of YAML in memory; name stands for the file in messages. */
[[nodiscard]] enum status config_parse(const char *name, const void *text, size_t size,
                                       const char *const *sets, uint32_t count,
                                       struct config_report *report, struct config *ret_config);

/*
 * The checks that look at several keys, for values a program changed. nodes is how many nodes there
 * will be, 0 where that is not known. INVAL with the mistakes in the report.
 */
[[nodiscard]] enum status config_check(const struct config *config, uint64_t nodes,
                                       struct config_report *report);

/*
 * Reports each of count keys ("node.connect") whose text is empty, as needed by who
 * ("fedra node"). INVAL where there was one. Unknown key paths abort.
 */
[[nodiscard]] enum status config_require(const struct config *config, const char *who,
                                         const char *const *paths, uint32_t count,
                                         struct config_report *report);

/*
 * Reports every fault of faults.* that is on, as something that who ("fedra node") does not do.
 * INVAL where there was one.
 */
[[nodiscard]] enum status config_refuse_faults(const struct config *config, const char *who,
                                               struct config_report *report);

/* Writes all values as YAML that reads back to the same values, bit for bit. IO. */
[[nodiscard]] enum status config_write(const struct config *config, FILE *file);

/* As config_write, each line ending in a comment that says where its value came from. */
[[nodiscard]] enum status config_show(const struct config *config, FILE *file);

/* Writes the reference of all keys as Markdown. IO. */
[[nodiscard]] enum status config_write_docs(FILE *file);

/* Writes the keys that begin with prefix ("" all) with default, range, meaning. NOT_FOUND, IO. */
[[nodiscard]] enum status config_write_help(const char *prefix, FILE *file);

/* The key paths, in the schema's order: index from 0; null after the last one. */
const char *config_key_path(uint32_t index);
