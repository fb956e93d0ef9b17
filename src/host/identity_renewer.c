/*
 * identity_renewer.c - carries out what identity/renewal.h decides, and watches the folder.
 *
 * One thing at a time: keys are made, the authority is asked, the answer is installed; or changed
 * files are read. Keys and files are the worker's, everything else the loop's.
 */
#include "host/identity_renewer.h"

#include "base/check.h"
#include "host/authority_client.h"
#include "host/clock.h"
#include "identity/renewal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES_MAX = 1024, ADDRESS_BYTES_MAX = 272 };

enum renewer_step {
    STEP_IDLE,
    STEP_KEYS,    /* on the worker */
    STEP_ASKS,    /* the authority */
    STEP_INSTALL, /* on the worker */
    STEP_READ,    /* on the worker: the files were changed by somebody else */
};

struct identity_renewer {
    struct job job;
    uv_timer_t timer;
    struct identity_renewer_options options; /* dir and authority are below */
    char dir[PATH_BYTES_MAX];
    char authority[ADDRESS_BYTES_MAX];
    identity_renewer_on_renewed *on_renewed;
    void *context;
    void (*on_closed)(void *context);
    bool is_closing;
    bool is_timer_closed;
    struct renewal renewal;
    struct identity *identity; /* the newest that is good */
    uint64_t state;            /* of the folder when identity was read */
    uint64_t changed_state;    /* another one seen at the last tick; taken up once it stays */
    uint64_t bad_state;        /* the last one that could not be read */
    enum renewer_step step;
    struct authority_client *client;
    /* The step's. */
    struct identity_request *request;
    Fedra__V1__IssueResponse *answer;
    struct identity *found;
    uint64_t found_state;
    enum status status;
    struct error error;
    struct error last_error; /* of the last attempt, for people */
};

static void on_tick(uv_timer_t *timer);
static void on_job_done(struct job *job);

static int64_t now_ms(void)
{
    return (int64_t)clock_unix_ms();
}

static void maybe_free(struct identity_renewer *renewer)
{
    if (!renewer->is_closing || !renewer->is_timer_closed || renewer->step != STEP_IDLE ||
        renewer->client != nullptr)
        return;
    void (*const on_closed)(void *) = renewer->on_closed;
    void *const context = renewer->context;
    identity_close(renewer->identity);
    free(renewer);
    if (on_closed != nullptr)
        on_closed(context);
}

/* --- what is known of the identity --- */

static int64_t end_s(const struct identity *identity)
{
    const int64_t svid = identity->svid.not_after_unix_s;
    const int64_t envelope = identity->envelope.not_after_unix_s;
    return svid < envelope ? svid : envelope;
}

static void begin_life(struct identity_renewer *renewer)
{
    const struct svid_info *const svid = &renewer->identity->svid;
    const int64_t begin = renewal_life_begin_s(svid->not_before_unix_s, svid->not_after_unix_s);
    const int64_t end = end_s(renewer->identity);
    renewal_begin(&renewer->renewal, (begin < end ? begin : end - 1) * 1000, end * 1000, now_ms());
    const uint32_t tick = renewal_tick_ms(&renewer->renewal);
    renewer->last_error.text[0] = 0;
    uv_timer_start(&renewer->timer, on_tick, tick, tick);
}

static bool is_the_same(const struct identity *a, const struct identity *b)
{
    return digest_equal(&a->svid.fingerprint, &b->svid.fingerprint) &&
           digest_equal(&a->envelope.fingerprint, &b->envelope.fingerprint);
}

static void take(struct identity_renewer *renewer, const char *event)
{
    identity_close(renewer->identity);
    renewer->identity = renewer->found;
    renewer->found = nullptr;
    renewer->state = renewer->found_state;
    renewer->changed_state = renewer->found_state;
    log_event(renewer->options.log, LOG_INFO, event, LOG_STR("id", renewer->identity->svid.id.text),
              LOG_DIGEST("svid", &renewer->identity->svid.fingerprint),
              LOG_DIGEST("envelope_key", &renewer->identity->envelope.key_id),
              LOG_I64("ends_in_s", end_s(renewer->identity) - clock_unix_s()));
    begin_life(renewer);
    renewer->on_renewed(renewer->context, renewer->identity);
}

/* --- the steps --- */

static void submit(struct identity_renewer *renewer, enum renewer_step step,
                   void (*run)(struct job *job))
{
    renewer->step = step;
    renewer->status = STATUS_OK;
    renewer->error.text[0] = 0;
    renewer->job = (struct job){.run = run, .done = on_job_done};
    worker_submit(renewer->options.worker, &renewer->job);
}

static void end_step(struct identity_renewer *renewer)
{
    renewer->step = STEP_IDLE;
    identity_request_destroy(renewer->request);
    renewer->request = nullptr;
    if (renewer->answer != nullptr)
        fedra__v1__issue_response__free_unpacked(renewer->answer, nullptr);
    renewer->answer = nullptr;
    identity_close(renewer->found);
    renewer->found = nullptr;
    maybe_free(renewer);
}

static void attempt_failed(struct identity_renewer *renewer, enum status status)
{
    const int64_t now = now_ms();
    renewal_failed(&renewer->renewal, now);
    renewer->last_error = renewer->error;
    log_event(renewer->options.log, LOG_WARN, "identity.not_renewed",
              LOG_STR("id", renewer->identity->svid.id.text), LOG_STATUS(status),
              LOG_STR("text", renewer->error.text), LOG_U64("attempt", renewer->renewal.failures),
              LOG_I64("ends_in_s", end_s(renewer->identity) - clock_unix_s()),
              LOG_I64("again_in_ms", renewer->renewal.due_ms - now));
    end_step(renewer);
}

static void run_keys(struct job *job)
{
    struct identity_renewer *const renewer = (struct identity_renewer *)job;
    renewer->status = identity_request_create(identity_tls_kind(renewer->identity),
                                              &renewer->request, &renewer->error);
}

/* Reads the folder; its state is taken before, so that a change meanwhile shows at a later tick. */
static void read_folder(struct identity_renewer *renewer)
{
    renewer->found_state = identity_folder_state(renewer->dir);
    renewer->status = identity_open(renewer->dir, clock_unix_s(), &renewer->found, &renewer->error);
    if (renewer->status == STATUS_OK &&
        strcmp(renewer->found->svid.id.text, renewer->identity->svid.id.text) != 0)
        renewer->status =
            error_set(&renewer->error, STATUS_IDENTITY,
                      "%s is the identity of %s now; this process is %s until it is started again",
                      renewer->dir, renewer->found->svid.id.text, renewer->identity->svid.id.text);
}

static void run_read(struct job *job)
{
    read_folder((struct identity_renewer *)job);
}

static enum status chain_of(const ProtobufCBinaryData *certificates, size_t count,
                            struct svid_chain *ret_chain, struct error *err)
{
    if (count == 0 || count > SVID_CHAIN_MAX)
        return error_set(err, STATUS_PEER,
                         "the authority gave a chain of %zu certificates; 1 to %d are right", count,
                         SVID_CHAIN_MAX);
    ret_chain->count = count;
    for (size_t i = 0; i < count; i++)
        ret_chain->certificates[i] = (struct slice){certificates[i].data, certificates[i].len};
    return STATUS_OK;
}

static void run_install(struct job *job)
{
    struct identity_renewer *const renewer = (struct identity_renewer *)job;
    const Fedra__V1__IssueResponse *const answer = renewer->answer;
    struct svid_chain tls;
    struct svid_chain envelope;
    struct error *const err = &renewer->error;
    enum status status = chain_of(answer->tls_chain, answer->n_tls_chain, &tls, err);
    if (status == STATUS_OK)
        status = chain_of(answer->envelope_chain, answer->n_envelope_chain, &envelope, err);
    if (status == STATUS_OK)
        status = identity_install_renewed(renewer->request, renewer->dir, renewer->identity, &tls,
                                          &envelope, clock_unix_s(), err);
    renewer->status = status;
    if (status == STATUS_OK)
        read_folder(renewer);
}

static void on_client_closed(void *context)
{
    struct identity_renewer *const renewer = context;
    renewer->client = nullptr;
    maybe_free(renewer);
}

static void on_answer(void *context, enum status status, const char *reason,
                      Fedra__V1__IssueResponse *response)
{
    struct identity_renewer *const renewer = context;
    authority_client_close(renewer->client, on_client_closed);
    if (status != STATUS_OK) {
        error_set(&renewer->error, status, "the authority at %s %s: %s", renewer->authority,
                  status == STATUS_UNREACHABLE || status == STATUS_TIMEOUT ? "does not answer"
                                                                           : "does not renew it",
                  reason[0] != 0 ? reason : status_text(status));
        attempt_failed(renewer, status);
        return;
    }
    renewer->answer = response;
    submit(renewer, STEP_INSTALL, run_install);
}

static void ask(struct identity_renewer *renewer)
{
    renewer->step = STEP_ASKS;
    const enum status status = authority_client_ask(
        renewer->timer.loop, renewer->authority, renewer->identity, renewer->request,
        renewer->options.ttl_s, renewal_attempt_ms(&renewer->renewal, now_ms()), on_answer, renewer,
        &renewer->client, &renewer->error);
    if (status != STATUS_OK)
        attempt_failed(renewer, status);
}

/* A state that cannot be read is told once; the identity before goes on as long as it is valid. */
static void on_read(struct identity_renewer *renewer)
{
    if (renewer->status == STATUS_OK && is_the_same(renewer->found, renewer->identity)) {
        renewer->state = renewer->found_state;
    } else if (renewer->status == STATUS_OK) {
        take(renewer, "identity.reloaded");
    } else if (renewer->found_state != renewer->bad_state) {
        renewer->bad_state = renewer->found_state;
        log_event(renewer->options.log, LOG_WARN, "identity.unusable", LOG_STATUS(renewer->status),
                  LOG_STR("text", renewer->error.text));
    }
    end_step(renewer);
}

static void on_job_done(struct job *job)
{
    struct identity_renewer *const renewer = (struct identity_renewer *)job;
    if (renewer->is_closing) {
        end_step(renewer);
    } else if (renewer->step == STEP_READ) {
        on_read(renewer);
    } else if (renewer->status != STATUS_OK) {
        attempt_failed(renewer, renewer->status);
    } else if (renewer->step == STEP_KEYS) {
        ask(renewer);
    } else {
        take(renewer, "identity.renewed");
        end_step(renewer);
    }
}

/* --- time --- */

static void say(const struct identity_renewer *renewer, enum renewal_notice notice)
{
    char why[PATH_BYTES_MAX + ERROR_TEXT_MAX];
    const int64_t left = end_s(renewer->identity) - clock_unix_s();
    if (renewer->authority[0] == 0)
        snprintf(why, sizeof(why),
                 "nobody has renewed the files in %s, and identity.authority names no authority "
                 "that would",
                 renewer->dir);
    else
        snprintf(why, sizeof(why), "it could not be renewed: %s",
                 renewer->last_error.text[0] != 0 ? renewer->last_error.text
                                                  : "there was no time for it");
    log_event(renewer->options.log, LOG_ERROR,
              notice == RENEWAL_ENDED ? "identity.ended" : "identity.ends_soon",
              LOG_STR("id", renewer->identity->svid.id.text), LOG_I64("ends_in_s", left),
              LOG_STR("text", why));
    if (notice == RENEWAL_ENDED)
        fprintf(stderr, "%s: the certificate of %s has ended; %s\n", renewer->options.who,
                renewer->identity->svid.id.text, why);
    else
        fprintf(stderr, "%s: the certificate of %s ends in %lld s; %s\n", renewer->options.who,
                renewer->identity->svid.id.text, (long long)left, why);
}

/* Files that somebody is still writing change from tick to tick: they are read once they do not. */
static bool folder_has_changed(struct identity_renewer *renewer)
{
    const uint64_t state = identity_folder_state(renewer->dir);
    const bool is_settled = state == renewer->changed_state;
    renewer->changed_state = state;
    return state != renewer->state && state != renewer->bad_state && is_settled;
}

static void on_tick(uv_timer_t *timer)
{
    struct identity_renewer *const renewer = timer->data;
    const int64_t now = now_ms();
    const enum renewal_notice notice = renewal_take_notice(&renewer->renewal, now);
    if (notice != RENEWAL_NOTHING)
        say(renewer, notice);
    if (renewer->step != STEP_IDLE || renewer->client != nullptr)
        return;
    if (folder_has_changed(renewer))
        submit(renewer, STEP_READ, run_read);
    else if (renewal_is_due(&renewer->renewal, now))
        submit(renewer, STEP_KEYS, run_keys);
}

/* --- beginning and end --- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct identity_renewer *const renewer = handle->data;
    renewer->is_timer_closed = true;
    maybe_free(renewer);
}

enum status identity_renewer_open(uv_loop_t *loop, const struct identity_renewer_options *options,
                                  struct identity *identity,
                                  identity_renewer_on_renewed *on_renewed, void *context,
                                  struct identity_renewer **ret_renewer)
{
    struct identity_renewer *const renewer = calloc(1, sizeof(*renewer));
    if (renewer == nullptr)
        return STATUS_NO_MEMORY;
    renewer->options = *options;
    renewer->options.dir = nullptr;
    renewer->options.authority = nullptr;
    snprintf(renewer->dir, sizeof(renewer->dir), "%s", options->dir);
    snprintf(renewer->authority, sizeof(renewer->authority), "%s", options->authority);
    renewer->on_renewed = on_renewed;
    renewer->context = context;
    renewer->identity = identity_ref(identity);
    /* The folder may have changed since identity was read: state 0 has it read once more. */
    CHECK(uv_timer_init(loop, &renewer->timer) == 0);
    renewer->timer.data = renewer;
    renewal_init(&renewer->renewal, options->seed, renewer->authority[0] != 0);
    begin_life(renewer);
    *ret_renewer = renewer;
    return STATUS_OK;
}

void identity_renewer_close(struct identity_renewer *renewer, void (*on_closed)(void *context))
{
    CHECK(!renewer->is_closing);
    renewer->is_closing = true;
    renewer->on_closed = on_closed;
    uv_close((uv_handle_t *)&renewer->timer, on_timer_closed);
    if (renewer->step == STEP_ASKS) {
        authority_client_close(renewer->client, on_client_closed);
        end_step(renewer);
    }
}
