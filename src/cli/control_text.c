/*
 * control_text.c - statuses and members in words.
 *
 * JSON is in control_json.c. Every text in the structs was checked to be printable when it was
 * decoded.
 */
#include "cli/control_text.h"

#include <inttypes.h>
#include <string.h>

void duration_text(uint64_t seconds, char ret_text[static DURATION_TEXT_MAX])
{
    const uint64_t minutes = seconds / 60;
    const uint64_t hours = minutes / 60;
    if (hours >= 48)
        snprintf(ret_text, DURATION_TEXT_MAX, "%" PRIu64 " d %02" PRIu64 " h", hours / 24,
                 hours % 24);
    else if (hours > 0)
        snprintf(ret_text, DURATION_TEXT_MAX, "%" PRIu64 " h %02" PRIu64 " m", hours, minutes % 60);
    else if (minutes > 0)
        snprintf(ret_text, DURATION_TEXT_MAX, "%" PRIu64 " m %02" PRIu64 " s", minutes,
                 seconds % 60);
    else
        snprintf(ret_text, DURATION_TEXT_MAX, "%" PRIu64 " s", seconds);
}

void size_text(uint64_t bytes, char ret_text[static SIZE_TEXT_MAX])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 999.95 && unit + 1 < sizeof(units) / sizeof(*units)) {
        value /= 1000;
        unit++;
    }
    snprintf(ret_text, SIZE_TEXT_MAX, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

const char *member_name(const char *spiffe_id)
{
    static const char ours[] = "/fedra/";
    static const char node[] = "node/";
    const char *const domain = strstr(spiffe_id, "://");
    const char *const path = domain != nullptr ? strchr(domain + 3, '/') : nullptr;
    if (path == nullptr || strncmp(path, ours, sizeof(ours) - 1) != 0)
        return spiffe_id;
    const char *const name = path + sizeof(ours) - 1;
    return strncmp(name, node, sizeof(node) - 1) == 0 ? name + sizeof(node) - 1 : name;
}

static void label(const char *name, FILE *file)
{
    fprintf(file, "%-13s", name);
}

static void write_left(uint64_t deadline_ms, FILE *file)
{
    char text[DURATION_TEXT_MAX];
    if (deadline_ms == 0)
        return;
    duration_text((deadline_ms + 999) / 1000, text);
    fprintf(file, ", %s left", text);
}

static void write_round(const struct control_status *status, const char *what, FILE *file)
{
    fprintf(file, "round %" PRIu64 " of %" PRIu64 " %s", status->round, status->rounds_max, what);
    if (status->attempt > 0)
        fprintf(file, ", attempt %" PRIu32, status->attempt + 1);
}

/* What the job does, in a clause. */
static void write_phase(const struct control_status *status, FILE *file)
{
    switch (status->phase) {
    case CONTROL_PHASE_STARTING:
        fputs("starts", file);
        break;
    case CONTROL_PHASE_GATHERING:
        fprintf(file, "waits for members: %" PRIu32 " of %" PRIu32 " are connected",
                status->connected, status->members_wanted);
        write_left(status->deadline_ms, file);
        break;
    case CONTROL_PHASE_PAUSED:
        fprintf(file, "paused before round %" PRIu64 " of %" PRIu64, status->round,
                status->rounds_max);
        break;
    case CONTROL_PHASE_COLLECTING:
        write_round(status, "is open", file);
        write_left(status->deadline_ms, file);
        break;
    case CONTROL_PHASE_CLOSING:
        write_round(status, "is being aggregated", file);
        break;
    case CONTROL_PHASE_VALIDATING:
        write_round(status, "is being validated", file);
        break;
    case CONTROL_PHASE_COMMITTING:
        write_round(status, "is being made durable", file);
        break;
    case CONTROL_PHASE_RESTORING:
        write_round(status, "diverged, the best version is being restored", file);
        break;
    case CONTROL_PHASE_ENDING:
        fputs("ends", file);
        break;
    case CONTROL_PHASE_ENDED:
        fprintf(file, "%s: %s", control_outcome_name(status->outcome), status->outcome_text);
        break;
    case CONTROL_PHASE_FAILED:
        fputs("stops for a local fault, its log says which", file);
        break;
    }
    if (status->paused && status->phase != CONTROL_PHASE_PAUSED &&
        status->phase != CONTROL_PHASE_ENDED)
        fputs(", then pauses", file);
}

static bool round_is_open(const struct control_status *status)
{
    return status->phase >= CONTROL_PHASE_COLLECTING && status->phase <= CONTROL_PHASE_COMMITTING;
}

static void write_quality(const struct control_round *round, FILE *file)
{
    if (round->has_loss)
        fprintf(file, ", loss %.4f", round->loss);
    if (round->has_accuracy)
        fprintf(file, ", accuracy %.4f", round->accuracy);
}

static void write_figures(const char *name, const struct control_round *round, FILE *file)
{
    label(name, file);
    if (round->round == 0) {
        fputs("none\n", file);
        return;
    }
    fprintf(file, "%" PRIu64 ": %" PRIu32 " updates of %" PRIu32 " asked", round->round,
            round->accepted, round->selected);
    if (round->late > 0)
        fprintf(file, ", %" PRIu32 " late", round->late);
    write_quality(round, file);
    fprintf(file, ", %.2f s\n", (double)round->round_ms / 1000);
}

static void write_counts(const char *name, const struct control_counts *counts, FILE *file)
{
    const char *separator = "";
    label(name, file);
    for (unsigned number = 0; number < CONTROL_REASONS_MAX; number++) {
        if (counts->by_reason[number] == 0)
            continue;
        fprintf(file, "%s%s %" PRIu64, separator, reason_name(reason_of_number(number)),
                counts->by_reason[number]);
        separator = ", ";
    }
    fputs(separator[0] == 0 ? "nothing\n" : "\n", file);
}

void control_status_write(const struct control_status *status, const char *address, FILE *file)
{
    char uptime[DURATION_TEXT_MAX];
    char in[SIZE_TEXT_MAX];
    char out[SIZE_TEXT_MAX];
    duration_text(status->uptime_ms / 1000, uptime);
    size_text(status->bytes_in, in);
    size_text(status->bytes_out, out);
    label("job", file);
    fprintf(file, "%s\n", status->job);
    label("coordinator", file);
    fprintf(file, "%s at %s\n", status->coordinator, address);
    label("runs", file);
    fprintf(file, "for %s, epoch %" PRIu64 "\n", uptime, status->epoch);
    label("state", file);
    write_phase(status, file);
    fputc('\n', file);
    label("updates", file);
    if (round_is_open(status))
        fprintf(file,
                "%" PRIu32 " of %" PRIu32 " asked are in, %" PRIu32 " close the round, %" PRIu32
                " came late\n",
                status->accepted, status->selected, status->k, status->late);
    else
        fputs("no round is open\n", file);
    label("members", file);
    fprintf(file, "%" PRIu32 " connected, %" PRIu32 " known\n", status->connected, status->members);
    label("version", file);
    if (digest_is_zero(&status->version_id)) {
        fputs("none\n", file);
    } else {
        char hex[DIGEST_HEX_MAX];
        digest_to_hex(&status->model_digest, hex);
        fprintf(file, "%" PRIu64 ", model %.16s...\n", status->version_number, hex);
    }
    write_figures("last round", &status->last, file);
    write_figures("best round", &status->best, file);
    label("traffic", file);
    fprintf(file, "%s in, %s out\n", in, out);
    write_counts("refused", &status->refusals, file);
}

void control_status_write_line(const struct control_status *status, FILE *file)
{
    write_phase(status, file);
    if (round_is_open(status))
        fprintf(file, "; %" PRIu32 " of %" PRIu32 " updates, %" PRIu32 " close it",
                status->accepted, status->selected, status->k);
    fprintf(file, "; %" PRIu32 " connected", status->connected);
    if (!digest_is_zero(&status->version_id))
        fprintf(file, "; version %" PRIu64, status->version_number);
    write_quality(&status->last, file);
    fputc('\n', file);
}

/* --- members --- */

static uint64_t total(const struct control_counts *counts)
{
    uint64_t sum = 0;
    for (unsigned number = 0; number < CONTROL_REASONS_MAX; number++)
        sum += counts->by_reason[number];
    return sum;
}

/* How long a state lasts; "-" where it began before the coordinator's process did. */
static void since_text(const struct control_member *member, uint64_t now_unix_ms,
                       char ret_text[static DURATION_TEXT_MAX])
{
    if (member->since_unix_ms == 0)
        snprintf(ret_text, DURATION_TEXT_MAX, "-");
    else
        duration_text(
            now_unix_ms > member->since_unix_ms ? (now_unix_ms - member->since_unix_ms) / 1000 : 0,
            ret_text);
}

static void certificate_text(const struct control_member *member, uint64_t now_unix_ms,
                             char ret_text[static DURATION_TEXT_MAX])
{
    const uint64_t now_s = now_unix_ms / 1000;
    if (member->certificate_ends_unix_s == 0)
        snprintf(ret_text, DURATION_TEXT_MAX, "-");
    else if (member->certificate_ends_unix_s <= now_s)
        snprintf(ret_text, DURATION_TEXT_MAX, "expired");
    else
        duration_text(member->certificate_ends_unix_s - now_s, ret_text);
}

void control_members_write_head(int name_width, FILE *file)
{
    fprintf(file, "%-*s  %-8s  %-9s  %6s  %7s  %7s  %7s  %8s  %9s  %s\n", name_width, "NAME",
            "STATE", "SINCE", "ROUND", "COUNTED", "DROPPED", "REFUSED", "SAMPLES", "LOSS",
            "CERTIFICATE");
}

void control_member_write_row(const struct control_member *member, int name_width,
                              uint64_t now_unix_ms, FILE *file)
{
    char since[DURATION_TEXT_MAX];
    char certificate[DURATION_TEXT_MAX];
    char round[32] = "-";
    char loss[32] = "-";
    char samples[32] = "-";
    since_text(member, now_unix_ms, since);
    certificate_text(member, now_unix_ms, certificate);
    if (member->round_counted > 0)
        snprintf(round, sizeof(round), "%" PRIu64, member->round_counted);
    if (member->samples > 0) {
        snprintf(samples, sizeof(samples), "%" PRIu64, member->samples);
        snprintf(loss, sizeof(loss), "%.4f", member->loss);
    }
    fprintf(file, "%-*s  %-8s  %-9s  %6s  %7" PRIu64 "  %7" PRIu64 "  %7" PRIu64 "  %8s  %9s  %s\n",
            name_width, member_name(member->spiffe_id), control_member_state_name(member->state),
            since, round, member->counted, total(&member->dropped), total(&member->refused),
            samples, loss, certificate);
}

static void write_reputation(const struct control_member *member, FILE *file)
{
    label("reputation", file);
    fprintf(file, "%.3f, flagged in %" PRIu64 " of %" PRIu64 " rounds\n", member->reputation,
            member->flagged, member->rounds);
    if (member->flagged_round > 0) {
        label("last flag", file);
        fprintf(file, "%s, score %.3g, in round %" PRIu64 "\n",
                reason_suspected_name(member->flag_reason), member->flag_score,
                member->flagged_round);
    }
    if (member->quarantined_until > 0) {
        label("quarantine", file);
        fprintf(file, "%suntil round %" PRIu64 "\n",
                member->state == CONTROL_MEMBER_QUARANTINED ? "" : "suggested ",
                member->quarantined_until);
    }
}

void control_member_write(const struct control_member *member, uint64_t now_unix_ms, FILE *file)
{
    char since[DURATION_TEXT_MAX];
    char certificate[DURATION_TEXT_MAX];
    since_text(member, now_unix_ms, since);
    certificate_text(member, now_unix_ms, certificate);
    label("member", file);
    fprintf(file, "%s\n", member->spiffe_id);
    label("state", file);
    fputs(control_member_state_name(member->state), file);
    if (member->since_unix_ms > 0)
        fprintf(file, ", %s for %s", member->connected ? "connected" : "gone", since);
    fputc('\n', file);
    label("counted", file);
    fprintf(file, "%" PRIu64, member->counted);
    if (member->round_counted > 0)
        fprintf(file, ", the last update of round %" PRIu64, member->round_counted);
    fputc('\n', file);
    write_counts("dropped", &member->dropped, file);
    write_counts("refused", &member->refused, file);
    label("last update", file);
    if (member->samples > 0)
        fprintf(file, "%" PRIu64 " samples, loss %.4f\n", member->samples, member->loss);
    else
        fputs("none\n", file);
    label("certificate", file);
    if (member->certificate_ends_unix_s * 1000 > now_unix_ms)
        fprintf(file, "ends in %s\n", certificate);
    else
        fprintf(file, "%s\n", member->certificate_ends_unix_s > 0 ? "expired" : "not shown yet");
    write_reputation(member, file);
}
