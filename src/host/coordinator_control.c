/*
 * coordinator_control.c - the coordinator's state and counts as outsiders see them, and what they
 * may have it do.
 */
#include "host/coordinator_control.h"

#include "base/check.h"
#include "host/coordinator_host_internal.h"

#include <stdio.h>
#include <string.h>

static enum control_phase phase_of(const struct coordinator *machine)
{
    switch (machine->phase) {
    case COORDINATOR_BOOT:
    case COORDINATOR_RAISING:
    case COORDINATOR_CREATING:
        return CONTROL_PHASE_STARTING;
    case COORDINATOR_GATHERING:
        return CONTROL_PHASE_GATHERING;
    case COORDINATOR_PAUSED:
        return CONTROL_PHASE_PAUSED;
    case COORDINATOR_COLLECTING:
        return CONTROL_PHASE_COLLECTING;
    case COORDINATOR_CLOSING:
        return CONTROL_PHASE_CLOSING;
    case COORDINATOR_VALIDATING:
        return CONTROL_PHASE_VALIDATING;
    case COORDINATOR_COMMITTING:
        return CONTROL_PHASE_COMMITTING;
    case COORDINATOR_RESTORING:
        return CONTROL_PHASE_RESTORING;
    case COORDINATOR_ENDING:
        return CONTROL_PHASE_ENDING;
    case COORDINATOR_ENDED:
        return CONTROL_PHASE_ENDED;
    case COORDINATOR_FAILED:
        break;
    }
    return CONTROL_PHASE_FAILED;
}

/* From the round's beacon until its version is committed, or undone. */
static bool round_is_open(const struct coordinator *machine)
{
    return machine->phase >= COORDINATOR_COLLECTING && machine->phase <= COORDINATOR_RESTORING;
}

static uint32_t count_connected(const struct roster *roster)
{
    uint32_t connected = 0;
    for (uint32_t i = 0; i < roster->count; i++)
        connected += roster->members[roster->order[i]].session != 0;
    return connected;
}

static void fill_round(const struct coordinator_host *host, struct control_status *status)
{
    const struct coordinator *const machine = &host->machine;
    const uint64_t now = clock_boot_ns();
    const bool waits = machine->deadline_ns != NO_DEADLINE && machine->deadline_ns > now;
    status->round = machine->round;
    status->rounds_max = machine->settings.rounds_max;
    if (round_is_open(machine)) {
        status->attempt = machine->attempt;
        status->selected = machine->selected;
        status->k = machine->k;
        status->accepted = machine->accepted;
        status->late = (uint32_t)host_refused_late(host);
    }
    if (machine->phase == COORDINATOR_GATHERING)
        status->members_wanted = machine->settings.start_nodes;
    if (waits && (machine->phase == COORDINATOR_GATHERING || round_is_open(machine)))
        status->deadline_ms = (machine->deadline_ns - now) / 1000000 + 1;
}

void coordinator_control_status(const struct coordinator_host *host,
                                struct control_status *ret_status)
{
    const struct coordinator *const machine = &host->machine;
    *ret_status = (struct control_status){
        .phase = phase_of(machine),
        /* Where the machine has decided on an outcome that is not durable, the job has none yet. */
        .outcome = machine->phase == COORDINATOR_ENDED ? (enum wire_outcome)machine->outcome
                                                       : WIRE_OUTCOME_NONE,
        .paused = machine->paused,
        .epoch = machine->epoch,
        .members = machine->roster.count,
        .connected = count_connected(&machine->roster),
        .version_number = machine->version.number,
        .version_id = machine->version.id,
        .model_digest = machine->version.model_digest,
        .last = host->figures.last,
        .best = host->figures.best,
        .uptime_ms = (clock_boot_ns() - host->run_begun_ns) / 1000000,
        .bytes_in = host->bytes_in_all + host->bytes_in,
        .bytes_out = host->bytes_out_all + host->bytes_out,
        .refusals = host->figures.refused,
    };
    static_assert(sizeof(ret_status->job) >= sizeof(host->config->job.name));
    memcpy(ret_status->job, host->config->job.name, sizeof(host->config->job.name));
    memcpy(ret_status->coordinator, host->id.text, sizeof(ret_status->coordinator));
    fill_round(host, ret_status);
    if (ret_status->outcome != WIRE_OUTCOME_NONE)
        snprintf(ret_status->outcome_text, sizeof(ret_status->outcome_text), "%s",
                 run_report_reason(&host->machine));
}

const char *coordinator_control_trust_domain(const struct coordinator_host *host)
{
    return host->id.trust_domain;
}

uint32_t coordinator_control_member_count(const struct coordinator_host *host)
{
    return host->machine.roster.count;
}

const char *coordinator_control_member_name(const struct coordinator_host *host, uint32_t at)
{
    const struct roster *const roster = &host->machine.roster;
    CHECK(at < roster->count);
    return roster->members[roster->order[at]].name;
}

void coordinator_control_member(const struct coordinator_host *host, uint32_t at,
                                struct control_member *ret_member)
{
    const struct roster *const roster = &host->machine.roster;
    CHECK(at < roster->count);
    job_figures_describe(&host->figures, &host->machine, roster->order[at],
                         round_is_open(&host->machine), ret_member);
}

/* Before the first model is durable a machine that is cancelled just exits, to be started again by
 * whoever keeps it running: what an operator wants waits until a job is there. */
static bool is_starting(const struct coordinator_host *host)
{
    const enum coordinator_phase phase = host->machine.phase;
    return phase == COORDINATOR_BOOT || phase == COORDINATOR_RAISING ||
           phase == COORDINATOR_CREATING;
}

void coordinator_control_step_if_due(struct coordinator_host *host)
{
    static const enum coordinator_event_kind kinds[] = {EV_PAUSE, EV_RESUME, EV_CANCEL};
    for (unsigned action = CONTROL_PAUSE; action <= CONTROL_CANCEL; action++) {
        if (!host->action_is_due[action] || is_starting(host))
            continue;
        host->action_is_due[action] = false;
        if (host->machine.phase == COORDINATOR_ENDED || host->machine.phase == COORDINATOR_FAILED)
            continue;
        struct coordinator_event event = {.kind = kinds[action]};
        host_step(host, &event);
    }
}

enum status coordinator_control_act(struct coordinator_host *host, enum control_action action,
                                    const char *operator_id, struct error *err)
{
    if (host->machine.phase == COORDINATOR_ENDED || host->machine.phase == COORDINATOR_FAILED)
        return coordinator_control_done(host, action, err);
    log_event(host->log, LOG_INFO, "control.action", LOG_STR("action", control_action_name(action)),
              LOG_STR("operator", operator_id));
    host->action_is_due[action] = true;
    /* Of a pause and a resume that wait, the later one counts. */
    if (action == CONTROL_PAUSE)
        host->action_is_due[CONTROL_RESUME] = false;
    else if (action == CONTROL_RESUME)
        host->action_is_due[CONTROL_PAUSE] = false;
    coordinator_control_step_if_due(host);
    return STATUS_OK;
}

/* Whether the job is durably paused, or not, as wanted. */
static enum status check_paused(const struct coordinator_host *host, bool wanted, struct error *err)
{
    const struct coordinator *const machine = &host->machine;
    const bool waits = host->action_is_due[CONTROL_PAUSE] || host->action_is_due[CONTROL_RESUME];
    if (machine->phase == COORDINATOR_ENDING || machine->paused_id != 0 || waits)
        return STATUS_AGAIN;
    if (machine->paused == wanted)
        return STATUS_OK;
    return machine->pause_wanted == wanted
               ? STATUS_AGAIN
               : error_set(err, STATUS_INVAL, "another operator has it %s",
                           wanted ? "resumed" : "paused");
}

enum status coordinator_control_done(const struct coordinator_host *host,
                                     enum control_action action, struct error *err)
{
    const struct coordinator *const machine = &host->machine;
    if (machine->phase == COORDINATOR_FAILED)
        return error_set(err, STATUS_INVAL, "the coordinator stops for a local fault");
    if (machine->phase == COORDINATOR_ENDED) {
        if (action == CONTROL_CANCEL && machine->outcome == OUTCOME_CANCELLED)
            return STATUS_OK;
        return error_set(err, STATUS_INVAL, "the job has ended: %s",
                         control_outcome_name((enum wire_outcome)machine->outcome));
    }
    return action == CONTROL_CANCEL ? STATUS_AGAIN
                                    : check_paused(host, action == CONTROL_PAUSE, err);
}

void coordinator_control_refused(struct coordinator_host *host, const char *peer, const char *text)
{
    log_event(host->log, LOG_WARN, "control.refused", LOG_STR("peer", peer), LOG_STR("text", text));
    job_figures_refused(&host->figures, &host->machine.roster, peer, REASON_PERMISSION);
    host_changed(host);
}
