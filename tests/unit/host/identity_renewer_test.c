/*
 * identity_renewer_test.c - the renewer of a process against an authority that can misbehave.
 *
 * Goal: new keys and certificates are taken up in time; whatever the authority, the disk or an
 * operator does, the folder holds a whole identity and the one in use stays until a better one is
 * there. Method: a real gRPC server over mutual TLS whose answers the test spoils, identities whose
 * life is nearly over, real files, a real worker.
 */
#include "testing.h"

#include "authority.pb-c.h"
#include "base/check.h"
#include "host/clock.h"
#include "host/identity_renewer.h"
#include "identity/authority_identity.h"
#include "identity/tls_context.h"
#include "rpc/rpc_server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DOMAIN "renewal.test"
#define NODE   "spiffe://" DOMAIN "/fedra/node/a"

enum { TTL_S = 3600, FILE_MAX = 65536, PATIENCE_MS = 15000 };

/* What the authority does with a request. */
enum conduct {
    ISSUES,
    REFUSES,
    ANSWERS_NOTHING,
    ANSWERS_GARBAGE,
    GIVES_NO_CHAIN,
    GIVES_GARBAGE_CHAINS,
    GIVES_MANY_CERTIFICATES,
    GIVES_ANOTHERS_CERTIFICATES,
    GIVES_CERTIFICATES_OF_OTHER_KEYS,
    GIVES_ANOTHER_AUTHORITYS,
    GIVES_EXPIRED_ONES,
    SWAPS_THE_CHAINS,
    HANGS,
    CUTS,
};

static char base[] = "/tmp/fedra-renewer-XXXXXX";
static char dir[128];
static char log_path[128];
static struct authority *authority;
static struct authority *stranger;

static struct world {
    uv_loop_t loop;
    uv_timer_t guard;
    struct worker *worker;
    struct log *log;
    struct rpc_server *server;
    uint16_t port;
    enum conduct conduct;
    int asked;
    struct rpc_connection *connection;
    struct identity_renewer *renewer;
    struct identity *renewed; /* the last one handed over */
    int renewals;
    bool closed;
    bool server_closed;
    bool out_of_patience;
} *w;

/* --- the authority --- */

static void append(ProtobufCBinaryData *out, const struct authority *by, struct slice csr,
                   const char *id, uint32_t ttl_s, int64_t now)
{
    struct bytes der;
    struct error err = {0};
    bytes_init(&der, SVID_CERTIFICATE_MAX);
    if (authority_issue(by, csr, id, ttl_s, now, &der, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    *out = (ProtobufCBinaryData){.len = der.size, .data = der.data};
}

static void answer(struct rpc_call *call, const Fedra__V1__IssueRequest *request)
{
    static uint8_t junk[] = {0x30, 0x03, 0x02, 0x01};
    const struct authority *const by =
        w->conduct == GIVES_ANOTHER_AUTHORITYS ? stranger : authority;
    const bool expired = w->conduct == GIVES_EXPIRED_ONES;
    const int64_t now = clock_unix_s() - (expired ? 100 : 0);
    const char *const id =
        w->conduct == GIVES_ANOTHERS_CERTIFICATES ? "spiffe://" DOMAIN "/fedra/node/b" : NODE;
    struct slice tls_csr = {request->tls_csr.data, request->tls_csr.len};
    struct slice envelope_csr = {request->envelope_csr.data, request->envelope_csr.len};
    struct identity_request *others = nullptr;
    assert_string_equal(request->spiffe_id, NODE);
    assert_int_equal(request->ttl_s, TTL_S);
    if (w->conduct == GIVES_CERTIFICATES_OF_OTHER_KEYS) {
        assert_int_equal(identity_request_create(IDENTITY_KEY_P256, &others, nullptr), STATUS_OK);
        tls_csr = identity_request_tls_csr(others);
        envelope_csr = identity_request_envelope_csr(others);
    }
    ProtobufCBinaryData tls = {0};
    ProtobufCBinaryData envelope = {0};
    append(&tls, by, tls_csr, id, expired ? 50 : TTL_S, now);
    append(&envelope, by, envelope_csr, id, expired ? 50 : TTL_S, now);
    ProtobufCBinaryData many[SVID_CHAIN_MAX + 1];
    for (size_t i = 0; i <= SVID_CHAIN_MAX; i++)
        many[i] = tls;
    ProtobufCBinaryData garbage = {.len = sizeof(junk), .data = junk};
    Fedra__V1__IssueResponse response;
    fedra__v1__issue_response__init(&response);
    response.n_tls_chain = response.n_envelope_chain = w->conduct == GIVES_NO_CHAIN ? 0 : 1;
    response.tls_chain = w->conduct == GIVES_GARBAGE_CHAINS ? &garbage : &tls;
    response.envelope_chain = w->conduct == GIVES_GARBAGE_CHAINS ? &garbage : &envelope;
    if (w->conduct == GIVES_MANY_CERTIFICATES) {
        response.tls_chain = many;
        response.n_tls_chain = SVID_CHAIN_MAX + 1;
    }
    if (w->conduct == SWAPS_THE_CHAINS) {
        response.tls_chain = &envelope;
        response.envelope_chain = &tls;
    }
    /* Roots in an answer are not believed: they stay those of the folder. */
    const struct slice roots = authority_bundle(stranger);
    response.bundle_pem.data = malloc(roots.size);
    response.bundle_pem.len = roots.size;
    memcpy(response.bundle_pem.data, roots.data, roots.size);
    const size_t size = protobuf_c_message_get_packed_size(&response.base);
    uint8_t *const bytes = malloc(size);
    protobuf_c_message_pack(&response.base, bytes);
    assert_int_equal(rpc_call_send(call, (struct slice){bytes, size}), STATUS_OK);
    free(bytes);
    free(response.bundle_pem.data);
    free(tls.data);
    free(envelope.data);
    identity_request_destroy(others);
}

static void on_message(struct rpc_call *call, struct slice message)
{
    static const uint8_t garbage[] = {0x0a, 0xff, 0xff};
    w->asked++;
    if (w->conduct == HANGS)
        return;
    if (w->conduct == CUTS) {
        rpc_connection_cut(w->connection, "power is out");
        return;
    }
    if (w->conduct == REFUSES) {
        assert_int_equal(rpc_call_finish(call, GRPC_STATUS_PERMISSION_DENIED, "not you"), 0);
        return;
    }
    if (w->conduct == ANSWERS_GARBAGE) {
        assert_int_equal(rpc_call_send(call, (struct slice){garbage, sizeof(garbage)}), 0);
    } else if (w->conduct != ANSWERS_NOTHING) {
        Fedra__V1__IssueRequest *const request =
            fedra__v1__issue_request__unpack(nullptr, message.size, message.data);
        assert_non_null(request);
        answer(call, request);
        fedra__v1__issue_request__free_unpacked(request, nullptr);
    }
    assert_int_equal(rpc_call_finish(call, GRPC_STATUS_OK, ""), 0);
}

static enum status on_open(void *context, struct rpc_connection *connection, struct error *err)
{
    struct peer_identity peer;
    w->connection = connection;
    const enum status status = identity_peer(rpc_connection_ssl(connection), &peer, err);
    if (status == STATUS_OK)
        assert_string_equal(peer.id.text, NODE);
    return status;
}

static const struct rpc_call_handlers call_handlers = {.on_message = on_message};
static const struct rpc_server_handlers server_handlers = {.on_open = on_open};

/* The folder of the identity that the server shows. */
static const char *server_identity(enum spiffe_role role)
{
    static char path[160];
    struct spiffe_id id;
    snprintf(path, sizeof(path), "%s/server-%d", base, role);
    assert_int_equal(
        spiffe_id_make(DOMAIN, role, role == SPIFFE_ROLE_NODE ? "x" : "", &id, nullptr), STATUS_OK);
    if (access(path, F_OK) != 0)
        assert_int_equal(authority_make_identity(authority, id.text, IDENTITY_KEY_P256, 3600, path,
                                                 clock_unix_s(), nullptr),
                         STATUS_OK);
    return path;
}

static void serve_as(enum spiffe_role role, enum conduct conduct)
{
    static const struct rpc_method method = {.handlers = &call_handlers};
    struct identity *identity = nullptr;
    SSL_CTX *tls = nullptr;
    struct error err = {0};
    w->conduct = conduct;
    assert_int_equal(identity_open(server_identity(role), clock_unix_s(), &identity, &err), 0);
    assert_int_equal(tls_context_create(identity, true, SPIFFE_ROLES_FEDRA, &tls, &err), 0);
    assert_int_equal(
        rpc_server_create(&w->loop, tls, nullptr, &server_handlers, nullptr, &w->server), 0);
    assert_int_equal(rpc_server_add_method(w->server, "/fedra.v1.Authority/Issue", &method), 0);
    if (rpc_server_listen(w->server, "127.0.0.1", w->port, &w->port, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    SSL_CTX_free(tls);
    identity_close(identity);
}

static void on_server_closed(void *context)
{
    w->server_closed = true;
}

static void stop_serving(void)
{
    w->server_closed = false;
    rpc_server_close(w->server, on_server_closed);
    w->server = nullptr;
    while (!w->server_closed)
        uv_run(&w->loop, UV_RUN_ONCE);
}

/* --- the process --- */

static void on_guard(uv_timer_t *timer)
{
    w->out_of_patience = true;
}

static bool log_says(const char *text)
{
    static char content[1 << 18];
    FILE *const file = fopen(log_path, "r");
    const size_t size = file != nullptr ? fread(content, 1, sizeof(content) - 1, file) : 0;
    content[size] = 0;
    if (file != nullptr)
        fclose(file);
    return strstr(content, text) != nullptr;
}

static void run_for(unsigned time_ms)
{
    w->out_of_patience = false;
    uv_update_time(&w->loop);
    uv_timer_start(&w->guard, on_guard, time_ms, 0);
    while (!w->out_of_patience)
        uv_run(&w->loop, UV_RUN_ONCE);
}

/* Runs until the log says text. */
static void run_until_log(const char *text)
{
    w->out_of_patience = false;
    uv_update_time(&w->loop);
    uv_timer_start(&w->guard, on_guard, PATIENCE_MS, 0);
    while (!log_says(text)) {
        if (w->out_of_patience) {
            fail_msg("the log does not say \"%s\"", text);
        }
        uv_run(&w->loop, UV_RUN_ONCE);
    }
    uv_timer_stop(&w->guard);
}

static void on_renewed(void *context, struct identity *identity)
{
    assert_ptr_equal(context, w);
    identity_close(w->renewed);
    w->renewed = identity_ref(identity);
    w->renewals++;
}

static void issue_into(const char *folder, const char *id, int64_t age_s, uint32_t ttl_s)
{
    struct error err = {0};
    if (authority_make_identity(authority, id, IDENTITY_KEY_P256, ttl_s, folder,
                                clock_unix_s() - age_s, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

/* A process whose identity ends left_s from now, of a life of ttl_s. */
static void watch(uint32_t left_s, uint32_t ttl_s, bool asks)
{
    char address[32] = "";
    struct identity *identity = nullptr;
    struct error err = {0};
    issue_into(dir, NODE, (int64_t)ttl_s - left_s, ttl_s);
    assert_int_equal(identity_open(dir, clock_unix_s(), &identity, &err), STATUS_OK);
    if (asks)
        snprintf(address, sizeof(address), "127.0.0.1:%u", w->port);
    const struct identity_renewer_options options = {.who = "fedra node",
                                                     .dir = dir,
                                                     .authority = address,
                                                     .ttl_s = TTL_S,
                                                     .seed = 7,
                                                     .log = w->log,
                                                     .worker = w->worker};
    assert_int_equal(
        identity_renewer_open(&w->loop, &options, identity, on_renewed, w, &w->renewer), STATUS_OK);
    w->renewed = identity;
}

static void on_closed(void *context)
{
    w->closed = true;
}

static void close_renewer(void)
{
    identity_renewer_close(w->renewer, on_closed);
    w->renewer = nullptr;
    w->closed = false;
    while (!w->closed)
        uv_run(&w->loop, UV_RUN_ONCE);
}

static int set_up(void **state)
{
    static int number;
    struct error err = {0};
    w = calloc(1, sizeof(*w));
    snprintf(dir, sizeof(dir), "%s/%d/node", base, ++number);
    snprintf(log_path, sizeof(log_path), "%s/%d/log", base, number);
    dir[strlen(dir) - 5] = 0;
    CHECK(mkdir(dir, 0700) == 0);
    dir[strlen(dir)] = '/';
    CHECK(uv_loop_init(&w->loop) == 0 && uv_timer_init(&w->loop, &w->guard) == 0);
    CHECK(worker_create(&w->loop, 1, &w->worker) == STATUS_OK);
    CHECK(log_open(log_path, LOG_DEBUG, LOG_FORMAT_TEXT, &err, &w->log) == STATUS_OK);
    return 0;
}

static int tear_down(void **state)
{
    if (w->renewer != nullptr)
        close_renewer();
    if (w->server != nullptr)
        stop_serving();
    worker_close(w->worker);
    uv_close((uv_handle_t *)&w->guard, nullptr);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    identity_close(w->renewed);
    log_close(w->log);
    free(w);
    return 0;
}

/* The digest of all five files together, which must make a whole identity. */
static struct digest whole_folder(void)
{
    static const char *const names[] = {"svid.key", "svid.pem", "envelope.key", "envelope.pem",
                                        "bundle.pem"};
    struct bytes all;
    struct digest digest;
    bytes_init(&all, SIZE_MAX);
    for (size_t i = 0; i < 5; i++) {
        char path[192];
        char content[FILE_MAX];
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        FILE *const file = fopen(path, "r");
        assert_non_null(file);
        assert_int_equal(bytes_append(&all, content, fread(content, 1, sizeof(content), file)), 0);
        fclose(file);
    }
    digest_of(all.data, all.size, &digest);
    bytes_deinit(&all);
    return digest;
}

/* --- the cases --- */

static void new_keys_are_certified_installed_and_handed_over(void **state)
{
    serve_as(SPIFFE_ROLE_AUTHORITY, ISSUES);
    watch(2, 4, true);
    const struct digest tls_before = w->renewed->svid.key_id;
    const struct digest envelope_before = w->renewed->envelope.key_id;
    run_until_log("identity.renewed");
    assert_int_equal(w->renewals, 1);
    assert_int_equal(w->asked, 1);
    assert_string_equal(w->renewed->svid.id.text, NODE);
    assert_false(digest_equal(&w->renewed->svid.key_id, &tls_before));
    assert_false(digest_equal(&w->renewed->envelope.key_id, &envelope_before));
    assert_true(w->renewed->svid.not_after_unix_s >= clock_unix_s() + TTL_S - 5);
    struct identity *again = nullptr;
    struct error err = {0};
    assert_int_equal(identity_open(dir, clock_unix_s(), &again, &err), STATUS_OK);
    assert_true(digest_equal(&again->svid.fingerprint, &w->renewed->svid.fingerprint));
    identity_close(again);
    run_for(500); /* what it installed itself is no news */
    assert_int_equal(w->renewals, 1);
    assert_false(log_says("identity.reloaded"));
}

/* Goal: it goes on and on, every life has its own keys. */
static void it_is_renewed_life_after_life(void **state)
{
    serve_as(SPIFFE_ROLE_AUTHORITY, ISSUES);
    watch(2, 4, true);
    struct digest seen[3];
    for (int i = 0; i < 3; i++) {
        w->out_of_patience = false;
        while (w->renewals == i)
            uv_run(&w->loop, UV_RUN_ONCE);
        seen[i] = w->renewed->envelope.key_id;
        for (int j = 0; j < i; j++)
            assert_false(digest_equal(&seen[j], &seen[i]));
        close_renewer();
        identity_close(w->renewed);
        if (i < 2)
            watch(2, 4, true);
        else
            w->renewed = nullptr;
    }
}

struct bad_answer {
    enum conduct conduct;
    const char *text;
};

static void bad_answers_change_nothing_and_are_told(void **state)
{
    static const struct bad_answer answers[] = {
        {REFUSES, "does not renew it: not you"},
        {ANSWERS_NOTHING, "gave no answer"},
        {ANSWERS_GARBAGE, "no IssueResponse"},
        {GIVES_NO_CHAIN, "a chain of 0 certificates"},
        {GIVES_MANY_CERTIFICATES, "a chain of 7 certificates"},
        {GIVES_GARBAGE_CHAINS, "no X.509 in DER"},
        {GIVES_ANOTHERS_CERTIFICATES, "it is of spiffe://" DOMAIN "/fedra/node/b"},
        {GIVES_CERTIFICATES_OF_OTHER_KEYS, "svid.key is not the key of"},
        {GIVES_ANOTHER_AUTHORITYS, "does not lead to a root of trust domain"},
        {GIVES_EXPIRED_ONES, "expired at"},
        {SWAPS_THE_CHAINS, "svid.key is not the key of"},
        {CUTS, "does not answer"},
    };
    serve_as(SPIFFE_ROLE_AUTHORITY, REFUSES);
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        w->conduct = answers[i].conduct;
        watch(4, 12, true);
        const struct digest before = whole_folder();
        run_until_log(answers[i].text);
        const struct digest after = whole_folder();
        assert_true(digest_equal(&before, &after));
        assert_int_equal(w->renewals, 0);
        assert_int_equal(truncate(log_path, 0), 0);
        if (i + 1 == sizeof(answers) / sizeof(*answers))
            break;
        close_renewer();
        identity_close(w->renewed);
    }
    /* And then it comes to its senses. */
    w->conduct = ISSUES;
    run_until_log("identity.renewed");
    assert_int_equal(w->renewals, 1);
}

static void nobody_but_the_authority_is_asked(void **state)
{
    serve_as(SPIFFE_ROLE_NODE, ISSUES);
    watch(4, 12, true);
    run_until_log("identity.not_renewed");
    assert_true(log_says("node/x (role node) may not"));
    assert_int_equal(w->asked, 0);
    assert_int_equal(w->renewals, 0);
}

static void an_authority_that_is_away_is_asked_again(void **state)
{
    serve_as(SPIFFE_ROLE_AUTHORITY, ISSUES);
    stop_serving();
    watch(4, 12, true);
    run_until_log("attempt=2");
    assert_true(log_says("does not answer"));
    assert_true(log_says("again_in_ms="));
    assert_int_equal(w->renewals, 0);
    serve_as(SPIFFE_ROLE_AUTHORITY, ISSUES);
    run_until_log("identity.renewed");
    assert_int_equal(w->renewals, 1);
}

static void an_authority_that_hangs_is_given_up_in_time(void **state)
{
    serve_as(SPIFFE_ROLE_AUTHORITY, HANGS);
    watch(4, 12, true);
    run_until_log("identity.not_renewed");
    assert_true(log_says("does not answer"));
    w->conduct = ISSUES;
    run_until_log("identity.renewed");
    assert_int_equal(w->renewals, 1);
}

static void a_full_disk_leaves_the_identity_and_is_tried_again(void **state)
{
    struct rlimit whole;
    serve_as(SPIFFE_ROLE_AUTHORITY, ISSUES);
    watch(4, 12, true);
    const struct digest before = whole_folder();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
    signal(SIGXFSZ, SIG_IGN);
    /* More than the log has by now, less than an identity's certificates. */
    const struct rlimit small = {5000, whole.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    run_until_log("no_space");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &whole), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_true(log_says("File too large"));
    const struct digest after = whole_folder();
    assert_true(digest_equal(&before, &after));
    run_until_log("identity.renewed");
    assert_int_equal(w->renewals, 1);
}

static void what_an_operator_puts_into_the_folder_is_taken_up(void **state)
{
    watch(8, 12, false);
    run_for(1500); /* nothing happens by itself */
    assert_int_equal(w->renewals, 0);
    issue_into(dir, NODE, 0, 1200);
    run_until_log("identity.reloaded");
    assert_int_equal(w->renewals, 1);
    assert_true(w->renewed->svid.not_after_unix_s > clock_unix_s() + 1100);
}

/* Copies one file of an identity over another's, as `cp` does. */
static void copy_file(const char *from, const char *name)
{
    char path[224];
    char content[FILE_MAX];
    snprintf(path, sizeof(path), "%s/%s", from, name);
    FILE *const in = fopen(path, "r");
    assert_non_null(in);
    const size_t size = fread(content, 1, sizeof(content), in);
    fclose(in);
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *const out = fopen(path, "w");
    assert_int_equal(fwrite(content, 1, size, out), size);
    assert_int_equal(fclose(out), 0);
}

static void files_that_do_not_belong_together_are_not_taken_up(void **state)
{
    char other[192];
    watch(8, 12, false);
    snprintf(other, sizeof(other), "%s-new", dir);
    issue_into(other, NODE, 0, 1200);
    copy_file(other, "svid.key");
    run_until_log("identity.unusable");
    assert_true(log_says("svid.key is not the key of"));
    assert_int_equal(w->renewals, 0);
    copy_file(other, "svid.pem");
    copy_file(other, "envelope.key");
    copy_file(other, "envelope.pem");
    run_until_log("identity.reloaded");
    assert_int_equal(w->renewals, 1);
}

static void another_identity_in_the_folder_is_not_taken_up(void **state)
{
    watch(8, 12, false);
    issue_into(dir, "spiffe://" DOMAIN "/fedra/node/b", 0, 1200);
    run_until_log("identity.unusable");
    assert_true(log_says("fedra/node/b now"));
    assert_int_equal(w->renewals, 0);
}

static void an_operator_is_told_before_the_end_and_at_it(void **state)
{
    char path[160];
    char text[2048] = "";
    snprintf(path, sizeof(path), "%s.err", dir);
    serve_as(SPIFFE_ROLE_AUTHORITY, ISSUES);
    stop_serving();
    fflush(stderr);
    const int kept = dup(STDERR_FILENO);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, STDERR_FILENO);
    watch(2, 12, true);
    run_until_log("identity.ended");
    run_for(1000);
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(fd);
    FILE *const file = fopen(path, "r");
    text[fread(text, 1, sizeof(text) - 1, file)] = 0;
    fclose(file);
    assert_non_null(strstr(text, "fedra node: the certificate of " NODE " ends in "));
    assert_non_null(strstr(text, " s; it could not be renewed: "));
    assert_non_null(strstr(text, "fedra node: the certificate of " NODE " has ended; it could not "
                                 "be renewed: the authority at 127.0.0.1:"));
    assert_non_null(strstr(text, "does not answer"));
    int lines = 0;
    for (const char *at = text; *at != 0; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 2);
    /* It is not given up: an operator mends it. */
    issue_into(dir, NODE, 0, 1200);
    run_until_log("identity.reloaded");
    assert_int_equal(w->renewals, 1);
}

static void it_can_be_closed_at_every_step(void **state)
{
    static const unsigned waits_ms[] = {0, 50, 120, 200, 210, 220, 240, 260, 300, 400};
    serve_as(SPIFFE_ROLE_AUTHORITY, ISSUES);
    for (size_t i = 0; i < sizeof(waits_ms) / sizeof(*waits_ms); i++) {
        w->conduct = i % 2 == 0 ? ISSUES : HANGS;
        watch(2, 4, true);
        run_for(waits_ms[i] + 1);
        close_renewer();
        identity_close(w->renewed);
        w->renewed = nullptr;
    }
}

/* Goal: a kill at whatever instant of an installation leaves the old or the new identity whole, and
 * keys that are left over do not stay for ever. */
static void a_kill_at_any_instant_leaves_a_whole_identity(void **state)
{
    char stale[192];
    char key[224];
    issue_into(dir, NODE, 0, 3600);
    for (int i = 0; i < 40; i++) {
        struct identity *identity = nullptr;
        struct error err = {0};
        const pid_t pid = fork();
        if (pid == 0) {
            for (;;)
                (void)!authority_make_identity(authority, NODE, IDENTITY_KEY_P256, 3600, dir,
                                               clock_unix_s(), nullptr);
        }
        usleep(1000 + (unsigned)(i * 997) % 12000);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, nullptr, 0), pid);
        if (identity_open(dir, clock_unix_s(), &identity, &err) != STATUS_OK)
            fail_msg("after kill %d: %s", i, err.text);
        identity_close(identity);
    }
    snprintf(stale, sizeof(stale), "%s.new-0123abcd", dir);
    assert_int_equal(mkdir(stale, 0700), 0);
    snprintf(key, sizeof(key), "%s/svid.key", stale);
    fclose(fopen(key, "w"));
    issue_into(dir, NODE, 0, 3600);
    assert_int_equal(access(key, F_OK), 0); /* it may be somebody's who is at work just now */
    const struct timespec times[2] = {{clock_unix_s() - 120, 0}, {clock_unix_s() - 120, 0}};
    assert_int_equal(utimensat(AT_FDCWD, stale, times, 0), 0);
    issue_into(dir, NODE, 0, 3600);
    assert_int_equal(access(stale, F_OK), -1);
}

static int make_base(void **state)
{
    struct error err = {0};
    char path[64];
    signal(SIGPIPE, SIG_IGN);
    if (mkdtemp(base) == nullptr)
        return 1;
    snprintf(path, sizeof(path), "%s/authority", base);
    CHECK(authority_init(path, DOMAIN, clock_unix_s() - 86400, &err) == STATUS_OK);
    CHECK(authority_open(path, &authority, &err) == STATUS_OK);
    snprintf(path, sizeof(path), "%s/stranger", base);
    CHECK(authority_init(path, DOMAIN, clock_unix_s() - 86400, &err) == STATUS_OK);
    CHECK(authority_open(path, &stranger, &err) == STATUS_OK);
    return 0;
}

static int remove_base(void **state)
{
    char command[96];
    authority_close(authority);
    authority_close(stranger);
    snprintf(command, sizeof(command), "rm -rf '%s'", base);
    return system(command);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(new_keys_are_certified_installed_and_handed_over),
        CASE(it_is_renewed_life_after_life),
        CASE(bad_answers_change_nothing_and_are_told),
        CASE(nobody_but_the_authority_is_asked),
        CASE(an_authority_that_is_away_is_asked_again),
        CASE(an_authority_that_hangs_is_given_up_in_time),
        CASE(a_full_disk_leaves_the_identity_and_is_tried_again),
        CASE(what_an_operator_puts_into_the_folder_is_taken_up),
        CASE(files_that_do_not_belong_together_are_not_taken_up),
        CASE(another_identity_in_the_folder_is_not_taken_up),
        CASE(an_operator_is_told_before_the_end_and_at_it),
        CASE(it_can_be_closed_at_every_step),
        CASE(a_kill_at_any_instant_leaves_a_whole_identity),
    };
    return cmocka_run_group_tests(tests, make_base, remove_base);
}
