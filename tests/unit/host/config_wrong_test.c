/*
 * config_wrong_test.c - each way a configuration can be wrong, and the exact words that say so.
 *
 * Goal: nobody has to guess. Method: a table of files and the message that a reader of the
 * documentation would expect, one or more for every key.
 */
#include "testing.h"

#include "host/config.h"

#include <stdlib.h>
#include <string.h>

#define WORDS "words of a-z, 0-9, _, ., =, + and -, separated by commas"
#define F     "f.yaml:"

struct wrong_case {
    const char *yaml; /* follows "schema: 1\n", so its first line is line 2 */
    const char *message;
};

/* A mistake in one key: tree, key, value, message after "f.yaml:3: tree.key: ". */
#define KEY(tree, key, value, message)                                                             \
    {#tree ":\n  " #key ": " value "\n", F "3: " #tree "." #key ": " message "\n"}
#define RANGE(tree, key, value, wanted)                                                            \
    KEY(tree, key, value, value " is out of range, " wanted " is wanted")
#define UNKNOWN(tree, key, value, wanted)                                                          \
    KEY(tree, key, value, value " is unknown, " wanted " is wanted")
/* The same for a key of a section in a section. */
#define INNER(tree, inner, key, value, wanted)                                                     \
    {#tree ":\n  " #inner ":\n    " #key ": " value "\n",                                          \
     F "4: " #tree "." #inner "." #key ": " value " is out of range, " wanted " is wanted\n"}
#define WHOLE(low, high) "a whole number from " #low " to " #high

static const struct wrong_case key_cases[] = {
    KEY(job, name, "Big Job",
        "Big Job is not usable, a name of 1 to 63 of a-z, 0-9 and - is wanted"),
    KEY(job, name, "\"\"", "is empty, a name of 1 to 63 of a-z, 0-9 and - is wanted"),
    RANGE(job, seed, "18446744073709551616", WHOLE(0, 18446744073709551615)),
    KEY(job, seed, "-1",
        "-1 is not a whole decimal number, " WHOLE(0, 18446744073709551615) " is wanted"),
    KEY(server, listen, "localhost",
        "localhost is not usable, host:port with a port from 0 to 65535 is wanted"),
    KEY(server, listen, "h:65536",
        "h:65536 is not usable, host:port with a port from 0 to 65535 is wanted"),
    KEY(server, state, "\"a\\nb\"",
        "a\\x0ab has a control character, a path of at most 1023 bytes is wanted"),
    /* YAML takes these for line breaks or a byte order mark: written out they are lost. */
    KEY(server, state, "\"a\\x85\"",
        "a\\xc2\\x85 has a control character, a path of at most 1023 bytes is wanted"),
    KEY(server, state, "\"a\\u2028\"",
        "a\\xe2\\x80\\xa8 has a control character, a path of at most 1023 bytes is wanted"),
    KEY(server, state, "\"a\\ufeff\"",
        "a\\xef\\xbb\\xbf has a control character, a path of at most 1023 bytes is wanted"),
    KEY(node, name, "n_1", "n_1 is not usable, a name of 1 to 63 of a-z, 0-9 and - is wanted"),
    KEY(node, connect, "h:0", "h:0 is not usable, host:port with a port from 1 to 65535 is wanted"),
    KEY(node, state, "~", "has no value, a path of at most 1023 bytes is wanted"),
    UNKNOWN(log, level, "loud", "one of error, warn, info, debug"),
    UNKNOWN(log, format, "xml", "one of text, json"),
    KEY(log, file, "[a]", "is a list, a path of at most 1023 bytes is wanted"),
    UNKNOWN(model, kind, "cnn", "one of softmax, mlp, flat, file"),
    KEY(model, path, "[]", "is a list, a path of at most 1023 bytes is wanted"),
    RANGE(model, inputs, "1048577", WHOLE(0, 1048576)),
    KEY(model, hidden, "128",
        "is not a list, a list of at most 8 whole numbers from 1 to 65536, as [128, 64] is wanted"),
    KEY(model, hidden, "[0]",
        "0 is out of range, a list of at most 8 whole numbers from 1 to 65536, as [128, 64] is "
        "wanted"),
    KEY(model, hidden, "[1, 2, 3, 4, 5, 6, 7, 8, 9]",
        "9 is one too many, a list of at most 8 whole numbers from 1 to 65536, as [128, 64] is "
        "wanted"),
    KEY(model, hidden, "[[1]]", "a list or section in a list, whole numbers are wanted"),
    RANGE(model, classes, "1", WHOLE(2, 65536)),
    RANGE(model, parameters, "0", WHOLE(1, 1000000000)),
    UNKNOWN(data, format, "parquet", "one of none, idx, csv, safetensors"),
    KEY(data, path, "", "has no value, a path of at most 1023 bytes is wanted"),
    KEY(data, test_path, "[t]", "is a list, a path of at most 1023 bytes is wanted"),
    KEY(data, csv_label, "\"\"",
        "is empty, a column's name or index of at most 63 bytes is wanted"),
    KEY(data, csv_label, "a234567890123456789012345678901234567890123456789012345678901234",
        "a23456789012345678901234567890123456789012345678901234567890... is too long, a column's "
        "name or index of at most 63 bytes is wanted"),
    UNKNOWN(data, csv_header, "true", "one of auto, yes, no"),
    KEY(data, csv_separator, "\",\"",
        ", is unknown, one of comma, semicolon, tab, pipe, space is wanted"),
    UNKNOWN(data, partition, "random", "one of iid, dirichlet, shards"),
    RANGE(data, shards_per_node, "0", WHOLE(1, 1000)),
    RANGE(data, alpha, "0", "a number from 0.001 to 1000000"),
    KEY(data, alpha, ".nan",
        ".nan is not a decimal number, a number from 0.001 to 1000000 is wanted"),
    RANGE(data, parts, "0", WHOLE(1, 1000000)),
    RANGE(data, part, "1000000", WHOLE(0, 999999)),
    KEY(data, evaluate_test_at_end, "yes", "yes is neither, true or false is wanted"),
    KEY(data, evaluate_test_at_end, "\"true\"",
        "true is a text in quotes, true or false is wanted"),
    UNKNOWN(train, trainer, "magic", "one of builtin, fixed, command"),
    RANGE(train, local_epochs, "1001", WHOLE(1, 1000)),
    KEY(train, local_epochs, "1.5",
        "1.5 is not a whole decimal number, " WHOLE(1, 1000) " is wanted"),
    KEY(train, local_epochs, "\"1\"", "1 is a text in quotes, " WHOLE(1, 1000) " is wanted"),
    KEY(train, batch_size, "0x20",
        "0x20 is not a whole decimal number, " WHOLE(1, 1000000) " is wanted"),
    KEY(train, batch_size, "032",
        "032 is not a whole decimal number, " WHOLE(1, 1000000) " is wanted"),
    RANGE(train, learning_rate, "0", "a number over 0 up to 1000"),
    RANGE(train, learning_rate, "1e999", "a number over 0 up to 1000"),
    RANGE(train, momentum, "1", "a number from 0 to 0.9999"),
    RANGE(train, weight_decay, "-0.1", "a number from 0 to 1"),
    KEY(train, proximal_mu, ".inf",
        ".inf is not a decimal number, a number from 0 to 1000 is wanted"),
    RANGE(train, fixed_wait_s, "-1", "a number from 0 to 3600"),
    KEY(train, command, "\"a\\tb\"",
        "a\\x09b has a control character, a command for /bin/sh of at most 1023 bytes is wanted"),
    RANGE(train, start_timeout_s, "0", "a number from 0.1 to 86400"),
    RANGE(train, task_timeout_s, "-1", "a number from 0 to 604800"),
    RANGE(train, heartbeat_s, "0", "a number from 0.1 to 86400"),
    RANGE(train, cancel_grace_s, "86401", "a number from 0 to 86400"),
    KEY(train, memory_max_bytes, "1e9",
        "1e9 is not a whole decimal number, " WHOLE(0, 18446744073709551615) " is wanted"),
    RANGE(train, cpus_max, "1025", WHOLE(0, 1024)),
    RANGE(train, nice, "20", WHOLE(0, 19)),
    RANGE(aggregation, k_threshold, "1.01", "a number over 0 up to 1"),
    RANGE(aggregation, k_threshold, "0", "a number over 0 up to 1"),
    RANGE(aggregation, timeout_s, "0.05", "a number from 0.1 to 86400"),
    KEY(aggregation, timeout_s, "60s",
        "60s is not a decimal number, a number from 0.1 to 86400 is wanted"),
    RANGE(aggregation, min_updates, "0", WHOLE(1, 1000000)),
    RANGE(aggregation, start_nodes, "1000001", WHOLE(1, 1000000)),
    RANGE(aggregation, start_timeout_s, "86401", "a number from 0.1 to 86400"),
    UNKNOWN(aggregation, late_updates, "keep", "one of discard, next_round, momentum"),
    UNKNOWN(robust, rule, "average",
            "one of mean, median, trimmed_mean, geometric_median, krum, multi_krum, bulyan, "
            "centered_clipping, caf, dnc, filter, validated"),
    KEY(robust, pre, "nnm;arc", "nnm;arc is not usable, " WORDS " is wanted"),
    KEY(robust, set, "[tau=1]", "is a list, " WORDS " is wanted"),
    RANGE(robust, tolerance, "0.5", "a number from 0 to 0.49"),
    RANGE(robust, f, "10001", WHOLE(0, 10000)),
    UNKNOWN(robust, quarantine, "on", "one of off, suggest, auto"),
    RANGE(robust, quarantine_rounds, "0", WHOLE(1, 1000000)),
    RANGE(convergence, max_rounds, "0", WHOLE(1, 1000000000)),
    RANGE(aggregation, share, "0", "a number over 0 up to 1"),
    RANGE(aggregation, over_selection, "11", "a number from 0 to 10"),
    RANGE(aggregation, cooldown_rounds, "1000001", WHOLE(0, 1000000)),
    RANGE(aggregation, max_staleness, "65", WHOLE(1, 64)),
    UNKNOWN(aggregation, staleness, "linear", "one of constant, polynomial, hinge"),
    RANGE(aggregation, staleness_exponent, "-1", "a number from 0 to 100"),
    RANGE(aggregation, staleness_hinge, "65", WHOLE(0, 64)),
    RANGE(convergence, min_rounds, "1000000001", WHOLE(0, 1000000000)),
    RANGE(convergence, window_size, "101", WHOLE(1, 100)),
    RANGE(convergence, threshold, "2", "a number from 0 to 1"),
    UNKNOWN(convergence, criteria, "both", "one of all, any"),
    RANGE(convergence, patience, "0", WHOLE(1, 1000000)),
    RANGE(convergence, gradient_threshold, "-1", "a number from 0 to 1000000"),
    RANGE(convergence, divergence_threshold, "0", "a number over 0 up to 1000000"),
    RANGE(convergence, divergence_patience, "0", WHOLE(1, 1000000)),
    UNKNOWN(schedule, kind, "linear", "one of constant, step, exponential, adaptive, cosine"),
    RANGE(schedule, step_factor, "1.5", "a number over 0 up to 1"),
    RANGE(schedule, step_rounds, "0", WHOLE(1, 1000000000)),
    RANGE(schedule, tau, "0", "a number over 0 up to 1000000000"),
    RANGE(schedule, cosine_rounds, "1000000001", WHOLE(0, 1000000000)),
    RANGE(schedule, cosine_floor, "1.1", "a number from 0 to 1"),
    UNKNOWN(optimiser, kind, "lamb", "one of sgd, momentum, adam, yogi, adagrad"),
    RANGE(optimiser, momentum, "1", "a number from 0 to 0.9999"),
    RANGE(optimiser, beta2, "1", "a number from 0 to 0.9999"),
    RANGE(optimiser, epsilon, "0", "a number over 0 up to 1"),
    RANGE(validation, holdout, "1", "a number from 0.001 to 0.9"),
    RANGE(validation, trim, "0.5", "a number from 0 to 0.49"),
    RANGE(optimiser, learning_rate, "1001", "a number over 0 up to 1000"),
    UNKNOWN(validation, source, "edges", "one of none, central, nodes, both"),
    RANGE(validation, samples, "0", WHOLE(1, 1000000000)),
    RANGE(central, epochs, "10001", WHOLE(0, 10000)),
    RANGE(central, batch_size, "0", WHOLE(1, 65536)),
    RANGE(central, learning_rate, "0", "a number over 0 up to 1000"),
    KEY(identity, trust_domain, ".local",
        ".local is not usable, a name of 1 to 255 of a-z, 0-9, . and - is wanted"),
    KEY(identity, directory, "{}", "is a section, a path of at most 1023 bytes is wanted"),
    KEY(identity, authority, "\":1\"",
        ":1 is not usable, host:port with a port from 1 to 65535 is wanted"),
    UNKNOWN(identity, tls_key, "rsa", "one of p256, ml-dsa-65"),
    RANGE(identity, ttl_s, "9", WHOLE(10, 31536000)),
    RANGE(limits, update_norm_max, "0", "a number over 0 up to 1000000"),
    RANGE(limits, samples_max, "8388608", WHOLE(1, 8388607)),
    RANGE(limits, nodes_max, "0", WHOLE(1, 1000000)),
    RANGE(limits, blob_pool_bytes, "1", WHOLE(4194304, 1099511627776)),
    RANGE(limits, message_bytes_max, "1048576", WHOLE(2097152, 67108864)),
    RANGE(limits, update_bytes_max, "0", WHOLE(1024, 1099511627776)),
    RANGE(limits, connections_max, "0", WHOLE(1, 1000000)),
    RANGE(limits, rounds_repeat_max, "1000001", WHOLE(0, 1000000)),
    RANGE(limits, heartbeat_s, "0", "a number from 0.1 to 3600"),
    RANGE(limits, models_keep, "1000000001", WHOLE(0, 1000000000)),
    RANGE(audit, keep_updates, "0", "none, all or " WHOLE(1, 1000000000)),
    KEY(audit, keep_updates, "some",
        "some is not a whole decimal number, none, all or " WHOLE(1, 1000000000) " is wanted"),
    KEY(audit, keep_updates, "\"all\"",
        "all is a text in quotes, none, all or " WHOLE(1, 1000000000) " is wanted"),
    INNER(faults, slow, share, "1.1", "a number from 0 to 1"),
    INNER(faults, slow, factor, "0.5", "a number from 1 to 1000"),
    INNER(faults, kill, share, "-1", "a number from 0 to 1"),
    INNER(faults, kill, after_rounds, "0", WHOLE(1, 1000000000)),
    INNER(faults, kill, down_s, "86401", "a number from 0 to 86400"),
    KEY(lab, rules, "mean;krum", "mean;krum is not usable, " WORDS " is wanted"),
    KEY(lab, attacks, "[]", "is a list, " WORDS " is wanted"),
    KEY(lab, alphas, "[0.1]", "is a list, " WORDS " is wanted"),
    KEY(lab, shares, "0.1!", "0.1! is not usable, " WORDS " is wanted"),
    KEY(lab, jitters, "A", "A is not usable, " WORDS " is wanted"),
    RANGE(lab, seeds, "0", WHOLE(1, 1000)),
    RANGE(lab, nodes, "1", WHOLE(2, 1000)),
    RANGE(lab, node_samples, "0", WHOLE(1, 1000000)),
    RANGE(lab, rounds, "301", WHOLE(1, 300)),
    RANGE(simulation, sample_us, "0", "a number over 0 up to 1000000000"),
    RANGE(simulation, speed_spread, "4", "a number from 0 to 3"),
    UNKNOWN(simulation, latency, "normal", "one of constant, lognormal, table"),
    RANGE(simulation, latency_ms, "-1", "a number from 0 to 1000000"),
    RANGE(simulation, latency_spread, "3.1", "a number from 0 to 3"),
    KEY(simulation, latency_file, "[]", "is a list, a path of at most 1023 bytes is wanted"),
    RANGE(simulation, node_mbit, "-1", "a number from 0 to 1000000"),
    RANGE(simulation, coordinator_mbit, "1000001", "a number from 0 to 1000000"),
    RANGE(simulation, loss, "0.6", "a number from 0 to 0.5"),
    RANGE(simulation, up_s, "-1", "a number from 0 to 1000000000"),
    RANGE(simulation, down_s, "1000000001", "a number from 0 to 1000000000"),
    KEY(simulation, faults, "crash;", "crash; is not usable, " WORDS " is wanted"),
    RANGE(simulation, faults_s, "0", "a number over 0 up to 1000000000"),
};

static const struct wrong_case shape_cases[] = {
    {"trian:\n  a: 1\n", F "2: trian: unknown key, did you mean train?\n"},
    {"learning_rate: 1\n", F "2: learning_rate: unknown key, did you mean train.learning_rate?\n"},
    {"zzzzzzzz: 1\n", F "2: zzzzzzzz: unknown key, `fedra config keys` lists those there are\n"},
    {"train:\n  epochs: 1\n", F "3: train.epochs: unknown key, did you mean train.local_epochs?\n"},
    {"train:\n  lerning_rate: 1\n",
     F "3: train.lerning_rate: unknown key, did you mean train.learning_rate?\n"},
    {"train:\n  k_threshold: 1\n",
     F "3: train.k_threshold: unknown key, did you mean aggregation.k_threshold?\n"},
    {"train:\n  qqq: {a: [1, {b: 2}]}\n",
     F "3: train.qqq: unknown key, `fedra config keys train` lists those there are\n"},
    {"job:\n  seed: 1\n  seed: 2\n", F "4: job.seed: given twice, first in line 3\n"},
    {"job:\n  seed: 1\njob:\n  seed: 2\n", F "4: job: given twice, first in line 2\n"},
    {"schema: 1\n", F "2: schema: given twice, first in line 1\n"},
    {"model: mlp\n", F "2: model: is a section, its keys are wanted below it, indented\n"},
    {"model:\n", F "2: model: is a section, its keys are wanted below it, indented\n"},
    {"model: [a]\n", F "2: model: is a section, its keys are wanted below it, indented\n"},
    {"job:\n  seed: {a: 1}\n", F "3: job.seed: is a section, a whole number from 0 to "
                                 "18446744073709551615 is wanted\n"},
    {"job:\n\tseed: 1\n", F "3: a tab, spaces are wanted\n"},
    {"job:\n  seed: &a 1\n", F "3: job.seed: an anchor (&), write the value without it\n"},
    {"job: &a\n  seed: 1\n", F "2: job: an anchor (&), write the value without it\n"},
    {"job:\n  seed: *a\n", F "3: job.seed: an alias (*), write the value out\n"},
    {"job:\n  seed: !!int 1\n", F "3: job.seed: a tag (!), write the value without it\n"},
    {"job:\n  [a]: 1\n", F "3: job: a key that is not a word\n"},
    {"---\nschema: 1\n", F "2: a second document, only one is allowed\n"},
    {"job:\n  seed: 1\n name: x\n",
     F "4: not YAML: while parsing a block mapping, did not find expected key\n"},
    {"job:\n  name: \"x\n", F "4: not YAML: while scanning a quoted scalar, found unexpected end "
                              "of stream\n"},
    {"job:\n  name: \xff\n", F "3: not UTF-8 text, a YAML file in UTF-8 is wanted\n"},
    {"zz: [[[[[[[[[[1]]]]]]]]]]\n",
     F "2: zz: unknown key, `fedra config keys` lists those there are\n" F
       "2: nested too deep, no key is so deep\n"},
    {"faults:\n  slow:\n    shrae: 1\n",
     F "4: faults.slow.shrae: unknown key, did you mean faults.slow.share?\n"},
    {"faults:\n  slwo:\n    share: 1\n",
     F "3: faults.slwo: unknown key, did you mean faults.slow?\n"},
    {"faults:\n  share: 1\n", F "3: faults.share: unknown key, did you mean aggregation.share?\n"},
    {"faults: {slow: {share: 0}, slow: {share: 0}}\n",
     F "2: faults.slow: given twice, first in line 2\n"},
    {"faults:\n  slow:\n    share: 0\n    share: 0\n",
     F "5: faults.slow.share: given twice, first in line 4\n"},
    {"faults:\n  slow: 0.1\n",
     F "3: faults.slow: is a section, its keys are wanted below it, indented\n"},
    {"faults:\n  slow.share: 0.1\n",
     F "3: faults.slow.share: a key with a dot, what stands after it is wanted below, indented\n"},
    {"faults.slow:\n  share: 0.1\n",
     F "2: faults.slow: a key with a dot, what stands after it is wanted below, indented\n"},
    {"data:\n  part: 3\n  parts: 3\n", F "3: data.part: 3 is not under data.parts, a whole number "
                                         "from 0 to 2 is wanted\n"},
    {"model:\n  hidden: [1]\n", F "3: model.hidden: is only for model.kind mlp, [] is wanted\n"},
    {"model:\n  kind: mlp\n",
     F " model.hidden: is empty, an mlp wants at least one width, as [128]\n"},
    {"model:\n  kind: flat\n",
     F " train.trainer: builtin cannot train model.kind flat, command or fixed is "
       "wanted\n"},
    {"model:\n  kind: file\ntrain:\n  trainer: command\n",
     F " model.path: is empty, the file of the initial model is wanted for model.kind file\n" F
       " train.command: is empty, the program is wanted for train.trainer command\n"},
    {"model:\n  path: m\ntrain:\n  command: c\n",
     F "3: model.path: is only for model.kind file, \"\" is wanted\n" F
       "5: train.command: is only for train.trainer command, \"\" is wanted\n"},
    {"model:\n  kind: file\n  path: m\n",
     F " train.trainer: builtin cannot train model.kind file, command or fixed is wanted\n"},
    {"model:\n  kind: file\n  path: m\ntrain:\n  trainer: command\n  command: c\ndata:\n"
     "  format: idx\n  path: d\n  evaluate_test_at_end: true\nvalidation:\n  source: both\n",
     F "13: validation.source: both cannot measure model.kind file, nodes or none is wanted\n" F
       "11: data.evaluate_test_at_end: cannot measure model.kind file, false is wanted\n"},
    {"data:\n  format: idx\n",
     F " data.path: is empty, the folder of the data is wanted for data.format idx\n"},
    {"data:\n  format: csv\n",
     F " data.path: is empty, the file of the samples is wanted for data.format csv\n"},
    {"data:\n  format: safetensors\n",
     F " data.path: is empty, the file of the samples is wanted for data.format safetensors\n"},
    {"data:\n  format: csv\n  path: a.csv\n  evaluate_test_at_end: true\n",
     F " data.test_path: is empty, the file of the test samples is wanted for "
       "data.evaluate_test_at_end\n"},
    {"data:\n  format: idx\n  path: a\n  test_path: b\n",
     F "5: data.test_path: is only for data.format csv and safetensors, \"\" is wanted\n"},
    {"data:\n  evaluate_test_at_end: true\n",
     F "3: data.evaluate_test_at_end: has no test samples to look at, data.format idx, csv or "
       "safetensors is wanted with it\n"},
    {"validation:\n  source: central\n", F
     "3: validation.source: central has no samples to use, data.format idx, csv or safetensors is "
     "wanted with it\n"},
    {"aggregation:\n  late_updates: momentum\noptimiser:\n  momentum: 0\n", F
     "5: optimiser.momentum: is 0, and aggregation.late_updates momentum contributes it; a number "
     "over 0 and at most 0.9999 is wanted\n"},
    {"convergence:\n  min_rounds: 11\n  max_rounds: 10\n",
     F "3: convergence.min_rounds: 11 is over convergence.max_rounds, at most 10 is wanted\n"},
    {"limits:\n  nodes_max: 5\naggregation:\n  min_updates: 6\n  start_nodes: 7\n",
     F "5: aggregation.min_updates: 6 is over limits.nodes_max, at most 5 is wanted\n" F
       "6: aggregation.start_nodes: 7 is over limits.nodes_max, at most 5 is wanted\n"},
    {"robust:\n  rule: median\n  pre: krum\n",
     F "4: robust.pre: there is no krum to go before a rule; there is: nnm, bucketing, arc\n"},
    {"robust:\n  rule: median\n  set: tau=1\n",
     F "4: robust.set: rule median has no parameter tau; it has: none\n"},
    {"robust:\n  rule: validated\n  pre: nnm\nvalidation:\n  source: both\ndata:\n  format: "
     "idx\n  path: p\n",
     F "4: robust.pre: nothing may go before validated, which begins with a filter\n"},
    {"robust:\n  rule: validated\n",
     F "3: robust.rule: validated chooses by samples that the coordinator trusts, and "
       "validation.source none gives it none, central or both is wanted there\n"},
    {"robust:\n  rule: bulyan\naggregation:\n  k_threshold: 0.9\n",
     F "5: aggregation.k_threshold: 0.9 closes a round of 1000 nodes with 900 updates, too few for "
       "robust.rule: f is 300, but bulyan needs n >= 4 f + 3 = 1203 updates and gets 900; f may be "
       "at most 224\n"},
    {"simulation:\n  latency: table\n",
     F " simulation.latency_file: is empty, the file of latencies is wanted for table\n"},
    {"simulation:\n  latency_file: f\n",
     F "3: simulation.latency_file: is only for simulation.latency table, \"\" is wanted\n"},
    {"robust:\n  rule: krum\nlimits:\n  nodes_max: 10001\n",
     F "5: limits.nodes_max: 10001 is more than a robust.rule takes, at most 10000 is wanted\n"},
    {"limits:\n  update_bytes_max: 268435457\n",
     F "3: limits.update_bytes_max: 268435457 is over limits.blob_pool_bytes, at most 268435456 is "
       "wanted\n"},
    {"job:\n  name: X\ntrain:\n  momentum: 1\nbogusbogus: 1\n",
     F "3: job.name: X is not usable, a name of 1 to 63 of a-z, 0-9 and - is wanted\n" F
       "5: train.momentum: 1 is out of range, a number from 0 to 0.9999 is wanted\n" F
       "6: bogusbogus: unknown key, `fedra config keys` lists those there are\n"},
};

/* Reads yaml, which must be wrong, and compares the whole report. */
static void expect_report(const char *yaml, size_t size, const char *const *sets, uint32_t count,
                          const char *message)
{
    static struct config config;
    struct config_report report;
    config_report_init(&report);
    memset(&config, 0x5a, sizeof config);
    assert_int_equal(config_parse("f.yaml", yaml, size, sets, count, &report, &config),
                     STATUS_INVAL);
    assert_int_equal(((const unsigned char *)&config)[0], 0x5a); /* untouched */
    assert_int_equal(bytes_append(&report.text, "", 1), STATUS_OK);
    assert_string_equal((const char *)report.text.data, message);
    config_report_deinit(&report);
}

static void expect_cases(const struct wrong_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char yaml[1024];
        const int size = snprintf(yaml, sizeof yaml, "schema: 1\n%s", cases[i].yaml);
        expect_report(yaml, (size_t)size, nullptr, 0, cases[i].message);
    }
}

static void wrong_value_of_each_key_is_named(void **state)
{
    expect_cases(key_cases, sizeof key_cases / sizeof key_cases[0]);
}

static void every_key_has_a_wrong_value_in_the_table(void **state)
{
    for (uint32_t k = 0; config_key_path(k); k++) {
        char needle[80];
        bool found = false;
        snprintf(needle, sizeof needle, " %s: ", config_key_path(k));
        for (size_t i = 0; i < sizeof key_cases / sizeof key_cases[0]; i++)
            found = found || strstr(key_cases[i].message, needle);
        if (!found)
            fail_msg("no wrong value of %s is tested", config_key_path(k));
    }
}

static void wrong_shape_is_named(void **state)
{
    expect_cases(shape_cases, sizeof shape_cases / sizeof shape_cases[0]);
}

static void schema_must_be_there_first_and_known(void **state)
{
    const struct wrong_case cases[] = {
        {"", F "1: is empty, \"schema: 1\" and sections are wanted\n"},
        {"# nothing\n", F "1: is empty, \"schema: 1\" and sections are wanted\n"},
        {"just text\n", F "1: holds no sections, \"schema: 1\" and sections are wanted\n"},
        {"- a\n", F "1: holds no sections, \"schema: 1\" and sections are wanted\n"},
        {"job:\n  seed: 1\n",
         F "1: schema: is missing, \"schema: 1\" is wanted as the first line\n"},
        {"job:\n  seed: 1\nschema: 1\n",
         F "3: schema: is not the first key, it is wanted before all others\n"},
        {"schema: 2\n", F "1: schema: is not one this fedra reads, \"schema: 1\" is wanted\n"},
        {"schema: \"1\"\n", F "1: schema: is not one this fedra reads, \"schema: 1\" is wanted\n"},
        {"schema: [1]\n", F "1: schema: is not one this fedra reads, \"schema: 1\" is wanted\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_report(cases[i].yaml, strlen(cases[i].yaml), nullptr, 0, cases[i].message);
}

static void wrong_set_is_named_by_its_number(void **state)
{
    const char *const sets[] = {
        "job.seed=7",    "aggregation.k_threshold=2", "trian.momentum=0",   "train",
        "train=1",       "train.lerning_rate=1",      "model.hidden=[1,x]", "log.file=\xff",
        "faults.slow=1", "faults.slow.shar=1",        "faults.slw.share=1", "faults.kill.share=7",
    };
    expect_report(
        "schema: 1\n", 10, sets, sizeof sets / sizeof sets[0],
        "--set 2: aggregation.k_threshold: 2 is out of range, a number over 0 up to 1 is wanted\n"
        "--set 3: trian: unknown key, did you mean train?\n"
        "--set 4: train: has no =, key.path=value is wanted\n"
        "--set 5: train: is a section, one of its keys is wanted\n"
        "--set 6: train.lerning_rate: unknown key, did you mean train.learning_rate?\n"
        "--set 7: model.hidden: x is not a whole decimal number, a list of at most 8 whole numbers "
        "from 1 to 65536, as [128, 64] is wanted\n"
        "--set 8: log.file: \\xff is not UTF-8, a path of at most 1023 bytes is wanted\n"
        "--set 9: faults.slow: is a section, one of its keys is wanted\n"
        "--set 10: faults.slow.shar: unknown key, did you mean faults.slow.share?\n"
        "--set 11: faults.slw: unknown key, did you mean faults.slow?\n"
        "--set 12: faults.kill.share: 7 is out of range, a number from 0 to 1 is wanted\n");
}

static void set_takes_part_in_checks_of_several_keys(void **state)
{
    const char *const sets[] = {"data.part=4"};
    expect_report("schema: 1\n", 10, sets, 1,
                  "--set 1: data.part: 4 is not under data.parts, a whole number from 0 to 0 is "
                  "wanted\n");
}

static void file_over_a_mebibyte_is_refused(void **state)
{
    const size_t size = CONFIG_FILE_BYTES_MAX + 1;
    char *const yaml = malloc(size);
    memset(yaml, '#', size);
    expect_report(yaml, size, nullptr, 0, F " is over 1048576 bytes, that is no configuration\n");
    free(yaml);
}

static void reading_stops_after_a_hundred_mistakes(void **state)
{
    static struct config config;
    struct config_report report;
    char yaml[4096] = "schema: 1\n";
    size_t used = strlen(yaml);
    for (int i = 0; i < 300; i++)
        used += (size_t)snprintf(yaml + used, sizeof yaml - used, "q%d: 1\n", i);
    config_report_init(&report);
    assert_int_equal(config_parse("f", yaml, used, nullptr, 0, &report, &config), STATUS_INVAL);
    assert_int_equal(report.count, 100);
    size_t lines = 0;
    for (size_t i = 0; i < report.text.size; i++)
        lines += report.text.data[i] == '\n';
    assert_int_equal(lines, 101);
    config_report_deinit(&report);
}

static void missing_file_is_an_io_error_with_its_name(void **state)
{
    static struct config config;
    struct config_report report;
    config_report_init(&report);
    assert_int_equal(config_load("/nonexistent/f.yaml", nullptr, 0, &report, &config), STATUS_IO);
    assert_int_equal(bytes_append(&report.text, "", 1), STATUS_OK);
    assert_string_equal((const char *)report.text.data,
                        "/nonexistent/f.yaml: cannot be opened: No such file or directory\n");
    config_report_deinit(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_value_of_each_key_is_named),
        cmocka_unit_test(every_key_has_a_wrong_value_in_the_table),
        cmocka_unit_test(wrong_shape_is_named),
        cmocka_unit_test(schema_must_be_there_first_and_known),
        cmocka_unit_test(wrong_set_is_named_by_its_number),
        cmocka_unit_test(set_takes_part_in_checks_of_several_keys),
        cmocka_unit_test(file_over_a_mebibyte_is_refused),
        cmocka_unit_test(reading_stops_after_a_hundred_mistakes),
        cmocka_unit_test(missing_file_is_an_io_error_with_its_name),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
