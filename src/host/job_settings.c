/*
 * job_settings.c - see job_settings.h.
 */
#include "host/job_settings.h"

enum {
    LINGER_S = 5
}; /* how long a coordinator whose job has ended waits for the last to hear it */

struct coordinator_settings job_machine_settings(const struct config *config)
{
    static const enum late_policy policies[] = {[CONFIG_LATE_DISCARD] = LATE_DISCARD,
                                                [CONFIG_LATE_NEXT_ROUND] = LATE_NEXT_ROUND,
                                                [CONFIG_LATE_MOMENTUM] = LATE_MOMENTUM};
    static const enum quarantine_policy quarantines[] = {
        [CONFIG_QUARANTINE_OFF] = QUARANTINE_OFF,
        [CONFIG_QUARANTINE_SUGGEST] = QUARANTINE_SUGGEST,
        [CONFIG_QUARANTINE_AUTO] = QUARANTINE_AUTO};
    struct coordinator_settings settings = {
        .k_threshold = config->aggregation.k_threshold,
        .share = config->aggregation.share,
        .over_selection = config->aggregation.over_selection,
        .cooldown_rounds = (uint32_t)config->aggregation.cooldown_rounds,
        .seed = config->job.seed,
        .late = policies[config->aggregation.late_updates],
        .max_staleness = (uint32_t)config->aggregation.max_staleness,
        .staleness = config->aggregation.staleness,
        .staleness_exponent = config->aggregation.staleness_exponent,
        .staleness_hinge = config->aggregation.staleness_hinge,
        .quarantine = quarantines[config->robust.quarantine],
        .quarantine_rounds = config->robust.quarantine_rounds,
        .schedule = {.kind = config->schedule.kind,
                     .rate = config->optimiser.learning_rate,
                     .factor = config->schedule.step_factor,
                     .every = config->schedule.step_rounds,
                     .tau = config->schedule.tau,
                     .rounds = config->schedule.cosine_rounds,
                     .floor = config->schedule.cosine_floor},
        .timeout_ns = (uint64_t)(config->aggregation.timeout_s * 1e9),
        .start_timeout_ns = (uint64_t)(config->aggregation.start_timeout_s * 1e9),
        .linger_ns = LINGER_S * UINT64_C(1000000000),
        .min_updates = (uint32_t)config->aggregation.min_updates,
        .start_nodes = (uint32_t)config->aggregation.start_nodes,
        .rounds_max = config->convergence.max_rounds,
        .samples_max = config->limits.samples_max,
        .repeats_max = (uint32_t)config->limits.rounds_repeat_max,
        .validate = config->validation.source != CONFIG_VALIDATION_NONE,
        .validates_received = config->validation.source == CONFIG_VALIDATION_NODES,
    };
    if (settings.schedule.rounds == 0)
        settings.schedule.rounds = config->convergence.max_rounds;
    settings.convergence = config_convergence(config);
    return settings;
}

struct server_optimiser job_optimiser(const struct config *config)
{
    return (struct server_optimiser){
        .kind = config->optimiser.kind,
        .momentum = config->optimiser.momentum,
        .beta2 = config->optimiser.beta2,
        .epsilon = config->optimiser.epsilon,
        .keeps_momentum = config->aggregation.late_updates == CONFIG_LATE_MOMENTUM,
    };
}
