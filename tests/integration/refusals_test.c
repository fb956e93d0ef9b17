/*
 * refusals_test.c - a real coordinator process refuses what it must, says why, and the round goes
 * on.
 *
 * Goal: every kind of stranger, forger and liar of docs/protocol.md. Method: `fedra coordinator` in
 * a process of its own, two honest nodes in theirs; the test plays two more, one of them hostile,
 * over real connections. What is refused must be said to the sender, in the log, and in the
 * figures.
 */
#include "hostile.h"

#include "host/run_setup.h"
#include "identity/authority.h"
#include "mesh/mesh_direct.h"
#include "store/store_sqlite.h"
#include "wire/control.h"

#include "testing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[512];
static char job[] = "refusals";
static uint16_t port;
static pid_t coordinator; /* 0: not running, as for the others */
static pid_t nodes[2];
static size_t log_mark; /* bytes of the coordinator's log that earlier cases wrote */
static uv_loop_t loop;
static struct peer honest;
static struct peer hostile;
static struct peer absent; /* never joins: nobody knows its key */

static pid_t spawn(const char *command, const char *config)
{
    char *const arguments[] = {getenv("FEDRA_BINARY"), strdup(command), strdup("-c"),
                               strdup(config), nullptr};
    const pid_t pid = fork();
    if (pid == 0) {
        char output[600];
        snprintf(output, sizeof(output), "%s/out", folder);
        const int fd = open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execv(arguments[0], arguments);
        _exit(127);
    }
    for (size_t i = 1; i < 4; i++)
        free(arguments[i]);
    return pid;
}

/* From here on log_says looks only at what is written later. */
static void mark_log(void)
{
    struct stat info;
    char path[600];
    snprintf(path, sizeof(path), "%s/logs/coordinator.log", folder);
    log_mark = stat(path, &info) == 0 ? (size_t)info.st_size : 0;
}

static bool log_says(const char *text)
{
    static char content[1 << 20];
    char path[600];
    snprintf(path, sizeof(path), "%s/logs/coordinator.log", folder);
    for (int i = 0; i < 300; i++) {
        FILE *const file = fopen(path, "r");
        const size_t size = file != nullptr ? fread(content, 1, sizeof(content) - 1, file) : 0;
        content[size] = 0;
        if (file != nullptr)
            fclose(file);
        if (size > log_mark && strstr(content + log_mark, text) != nullptr)
            return true;
        usleep(10000);
    }
    print_error("# the log does not say \"%s\"\n", text);
    return false;
}

static int start(void **state)
{
    struct error err = {0};
    struct config *const config = calloc(1, sizeof(*config));
    char path[600];
    signal(SIGPIPE, SIG_IGN);
    /* Not by process id: in a container they come again, and the folder must be new. */
    snprintf(folder, sizeof(folder), "%s-XXXXXX", getenv("FEDRA_SCRATCH"));
    assert_non_null(mkdtemp(folder));
    config_defaults(config);
    snprintf(config->job.name, sizeof(config->job.name), "%s", job);
    snprintf(config->server.listen, sizeof(config->server.listen), "127.0.0.1:0");
    config->model.kind = CONFIG_MODEL_FLAT;
    config->model.parameters = HOSTILE_PARAMETERS;
    config->train.trainer = CONFIG_TRAINER_FIXED;
    config->aggregation.k_threshold = 1.0;
    config->aggregation.start_nodes = 4;
    config->data.parts = 5;
    config->limits.update_norm_max = 50;
    config->convergence.max_rounds = 1000;
    if (run_setup(folder, config, &(struct run_shape){5, 1}, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    port = (uint16_t)strtoul(strrchr(config->server.listen, ':') + 1, nullptr, 10);
    snprintf(path, sizeof(path), "%s/config/coordinator.yaml", folder);
    coordinator = spawn("coordinator", path);
    /* The first version begins the figures of round 1. */
    assert_true(log_says("model.created"));
    uv_loop_init(&loop);
    snprintf(path, sizeof(path), "%s/identity/node-000", folder);
    peer_open(&honest, &loop, path, port);
    snprintf(path, sizeof(path), "%s/identity/node-001", folder);
    peer_open(&hostile, &loop, path, port);
    snprintf(path, sizeof(path), "%s/identity/node-004", folder);
    peer_open(&absent, &loop, path, port);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/config/node-%03d.yaml", folder, 2 + i);
        nodes[i] = spawn("node", path);
    }
    free(config);
    return 0;
}

/* Waits for a process to end, 6 s at most; then kills it. Gives its exit code, -1 for a signal. */
static int reap(pid_t *pid)
{
    int status = 0;
    const pid_t child = *pid;
    *pid = 0; /* once reaped, its number may be somebody else's */
    for (int i = 0; i < 300; i++) {
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        usleep(20000);
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    return -1;
}

/* Ends all; the cancelled job ends the nodes by itself, with exit code 0. */
static void stop(void)
{
    peer_close(&honest);
    peer_close(&hostile);
    peer_close(&absent);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(kill(coordinator, SIGTERM), 0);
    assert_int_equal(reap(&coordinator), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(reap(&nodes[i]), 0);
}

/* --- strangers --- */

/* A plain TLS client; gives what the handshake and a first read came to. */
static bool tls_gets_in(SSL_CTX *context)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = 3};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    SSL *const ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    char byte = 0;
    /* Who is let in gets the server's SETTINGS; in TLS 1.3 a refusal shows at the first read. */
    const bool in = SSL_connect(ssl) == 1 && SSL_read(ssl, &byte, 1) == 1;
    ERR_clear_error();
    SSL_free(ssl);
    close(fd);
    return in;
}

static SSL_CTX *client_of(const char *identity)
{
    struct error err = {0};
    struct identity *opened = nullptr;
    SSL_CTX *context = nullptr;
    char path[600];
    snprintf(path, sizeof(path), "%s/identity/%s", folder, identity);
    assert_int_equal(identity_open(path, (int64_t)time(nullptr), &opened, &err), STATUS_OK);
    assert_int_equal(tls_context_create(opened, false, SPIFFE_ROLE_COORDINATOR, &context, &err),
                     STATUS_OK);
    identity_close(opened);
    return context;
}

/* Makes an identity, from the run's authority or one of its own, and a context of it. */
static SSL_CTX *forged_client(const char *authority_folder, const char *name, uint32_t ttl_s)
{
    struct error err = {0};
    struct authority *authority = nullptr;
    struct identity_request *request = nullptr;
    struct spiffe_id id;
    struct bytes tls;
    struct bytes envelope;
    char path[600];
    bytes_init(&tls, 1 << 16);
    bytes_init(&envelope, 1 << 16);
    const int64_t now = (int64_t)time(nullptr);
    assert_int_equal(authority_open(authority_folder, &authority, &err), STATUS_OK);
    assert_int_equal(spiffe_id_make("fedra.local", SPIFFE_ROLE_NODE, name, &id, &err), STATUS_OK);
    assert_int_equal(identity_request_create(IDENTITY_KEY_P256, &request, &err), STATUS_OK);
    assert_int_equal(authority_issue(authority, identity_request_tls_csr(request), id.text, ttl_s,
                                     now, &tls, &err),
                     STATUS_OK);
    assert_int_equal(authority_issue(authority, identity_request_envelope_csr(request), id.text,
                                     ttl_s, now, &envelope, &err),
                     STATUS_OK);
    const struct svid_chain tls_chain = {{bytes_slice(&tls)}, 1};
    const struct svid_chain envelope_chain = {{bytes_slice(&envelope)}, 1};
    snprintf(path, sizeof(path), "%s/identity/%s", folder, name);
    if (identity_install(request, path, &tls_chain, &envelope_chain, authority_bundle(authority),
                         now, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    identity_request_destroy(request);
    authority_close(authority);
    bytes_deinit(&tls);
    bytes_deinit(&envelope);
    return client_of(name);
}

static void who_has_an_identity_gets_in(void **state)
{
    SSL_CTX *const context = client_of("node-000");
    assert_true(tls_gets_in(context));
    SSL_CTX_free(context);
}

static void no_certificate_is_refused(void **state)
{
    SSL_CTX *const context = SSL_CTX_new(TLS_client_method());
    char groups[] = "X25519MLKEM768";
    SSL_CTX_set1_groups_list(context, groups);
    mark_log();
    assert_false(tls_gets_in(context));
    assert_true(log_says("sent no certificate"));
    SSL_CTX_free(context);
}

static void another_authoritys_certificate_is_refused(void **state)
{
    struct error err = {0};
    char path[600];
    snprintf(path, sizeof(path), "%s/other-authority", folder);
    assert_int_equal(authority_init(path, "fedra.local", (int64_t)time(nullptr), &err), STATUS_OK);
    SSL_CTX *const context = forged_client(path, "stranger", 3600);
    SSL_CTX_set_cert_verify_callback(context, nullptr, nullptr);
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    mark_log();
    assert_false(tls_gets_in(context));
    assert_true(log_says("unable to get local issuer certificate"));
    SSL_CTX_free(context);
}

static void an_expired_certificate_is_refused(void **state)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/authority", folder);
    SSL_CTX *const context = forged_client(path, "short-lived", 2);
    sleep(3);
    mark_log();
    assert_false(tls_gets_in(context));
    assert_true(log_says("expired"));
    SSL_CTX_free(context);
}

static void tls_1_2_is_refused(void **state)
{
    SSL_CTX *const context = client_of("node-000");
    char groups[] = "X25519MLKEM768:X25519";
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set1_groups_list(context, groups);
    mark_log();
    assert_false(tls_gets_in(context));
    assert_true(log_says("TLS 1.3 is needed"));
    SSL_CTX_free(context);
}

static void a_group_without_ml_kem_is_refused(void **state)
{
    SSL_CTX *const context = client_of("node-000");
    char groups[] = "X25519:P-256";
    SSL_CTX_set1_groups_list(context, groups);
    mark_log();
    assert_false(tls_gets_in(context));
    assert_true(log_says("no shared group"));
    SSL_CTX_free(context);
}

static void a_nodes_identity_makes_no_coordinator(void **state)
{
    char path[600];
    char text[4096] = "";
    snprintf(path, sizeof(path), "%s/config/coordinator.yaml", folder);
    /* The coordinator's configuration with a node's identity. */
    FILE *const in = fopen(path, "r");
    snprintf(path, sizeof(path), "%s/config/pretender.yaml", folder);
    FILE *const out = fopen(path, "w");
    char line[1024];
    while (fgets(line, sizeof(line), in) != nullptr) {
        char *const at = strstr(line, "identity/coordinator");
        if (at != nullptr)
            strcpy(at, "identity/node-000\"\n");
        fputs(line, out);
    }
    fclose(in);
    fclose(out);
    pid_t pid = spawn("coordinator", path);
    assert_int_equal(reap(&pid), 1);
    snprintf(path, sizeof(path), "%s/out", folder);
    FILE *const file = fopen(path, "r");
    const size_t size = fread(text, 1, sizeof(text) - 1, file);
    text[size] = 0;
    fclose(file);
    if (strstr(text, "cannot start: spiffe://fedra.local/fedra/node/node-000") == nullptr)
        fail_msg("not refused for its role: %s", text);
}

/* --- a false coordinator --- */

static enum status let_in(void *context, SSL *ssl, struct mesh_peer *ret_peer, struct error *err)
{
    snprintf(ret_peer->name, MESH_NAME_MAX, "spiffe://fedra.local/fedra/node/node-001");
    ret_peer->is_member = true;
    return STATUS_OK;
}

static void false_join(void *context, uint64_t session, const char *peer,
                       const struct join_request *request)
{
    fail_msg("a node joined a coordinator with a node's identity");
}
static void ignore_session(void *context, uint64_t session)
{
}
static enum status ignore_offer(void *context, uint64_t ticket, const char *peer,
                                const struct envelope *envelope, uint8_t **ret_payload)
{
    return STATUS_EXISTS;
}
static void ignore_payload(void *context, uint64_t ticket, const struct digest *digest)
{
}
static void ignore_refused(void *context, const char *peer, const struct refusal *refusal)
{
}
static void ignore_connection(void *context, const char *address, const char *reason)
{
}
static enum status ignore_pull(void *context, const struct digest *digest, struct slice *ret_bytes)
{
    return STATUS_NOT_FOUND;
}
static void ignore_blob(void *context, const struct digest *digest)
{
}

static void drained(void *context)
{
    *(bool *)context = true;
}

static void a_node_does_not_join_a_coordinator_with_a_nodes_identity(void **state)
{
    static const struct hub_handlers hub_handlers = {.on_join = false_join,
                                                     .on_leave = ignore_session,
                                                     .on_offer = ignore_offer,
                                                     .on_payload = ignore_payload,
                                                     .on_gone = ignore_session,
                                                     .on_refused = ignore_refused,
                                                     .on_connection_refused = ignore_connection,
                                                     .on_pull = ignore_pull,
                                                     .on_blob_done = ignore_blob};
    struct error err = {0};
    struct identity *identity = nullptr;
    SSL_CTX *tls = nullptr;
    struct hub *hub = nullptr;
    struct peer victim;
    uint16_t false_port = 0;
    bool is_drained = false;
    char path[600];
    snprintf(path, sizeof(path), "%s/identity/node-000", folder);
    assert_int_equal(identity_open(path, (int64_t)time(nullptr), &identity, &err), STATUS_OK);
    assert_int_equal(tls_context_create(identity, true, SPIFFE_ROLES_FEDRA, &tls, &err), STATUS_OK);
    const struct hub_direct_options options = {.address = "127.0.0.1",
                                               .tls = tls,
                                               .identify = let_in,
                                               .limits = {1 << 20, 1},
                                               .connections_max = 4,
                                               .keepalive_ms = 10000};
    assert_int_equal(
        hub_direct_open(&loop, &options, &hub_handlers, &is_drained, &hub, &false_port, &err),
        STATUS_OK);
    snprintf(path, sizeof(path), "%s/identity/node-001", folder);
    peer_open(&victim, &loop, path, false_port);
    assert_false(peer_join(&victim, nullptr, job));
    assert_int_equal(victim.lost_status, STATUS_IDENTITY);
    peer_close(&victim);
    hub_drain(hub, 0, drained);
    while (!is_drained)
        uv_run(&loop, UV_RUN_ONCE);
    SSL_CTX_free(tls);
    identity_close(identity);
}

/* --- members --- */

static void joining_as_somebody_else_or_for_another_job_is_refused(void **state)
{
    mark_log();
    assert_false(peer_join(&hostile, "spiffe://fedra.local/fedra/node/node-000", job));
    assert_non_null(strstr(hostile.lost_reason, "may not join as somebody else"));
    assert_true(log_says("may not join as somebody else"));
    assert_false(peer_join(&hostile, nullptr, "other-job"));
    assert_non_null(strstr(hostile.lost_reason, "this coordinator runs the job"));
    assert_true(log_says("this coordinator runs the job"));
    assert_true(peer_join(&honest, nullptr, job));
    assert_true(peer_join(&hostile, nullptr, job));
    assert_true(peer_wait_for_round(&honest, 1));
    assert_true(peer_wait_for_round(&hostile, 1));
}

static void put_nan(float *values)
{
    values[500] = NAN;
}
static void put_infinity(float *values)
{
    values[999] = -INFINITY;
}
static void put_large(float *values)
{
    values[0] = 51;
}
static void other_job(struct envelope_header *header)
{
    snprintf(header->job, sizeof(header->job), "other-job");
}
static void round_before(struct envelope_header *header)
{
    header->round--;
}
static void round_after(struct envelope_header *header)
{
    header->round++;
}
static void epoch_after(struct envelope_header *header)
{
    header->epoch++;
}
static void other_base(struct envelope_header *header)
{
    header->base_id.bytes[0] ^= 1;
}
static void other_layout(struct envelope_header *header)
{
    header->layout_digest.bytes[0] ^= 1;
}
static void put_other(float *values)
{
    values[7] = -0.5f;
}
static void other_samples(struct envelope_header *header)
{
    header->samples++;
}

static void every_false_update_is_refused_for_its_reason(void **state)
{
    const struct {
        struct twist twist;
        enum reason reason;
    } table[] = {
        {{.flip_payload_byte = true}, REASON_DIGEST},
        {{.flip_header_byte = true}, REASON_SIGNATURE},
        {{.signer = &honest.signer, .keeps_signer_name = true}, REASON_IDENTITY},
        {{.signer = &absent.signer, .keeps_signer_name = true}, REASON_IDENTITY},
        /* In the honest one's name, which nothing shows to be true: it is not the honest one's. */
        {{.signer = &honest.signer, .flip_payload_byte = true}, REASON_DIGEST},
        {{.signer = &honest.signer, .flip_header_byte = true}, REASON_SIGNATURE},
        {{.no_samples = true}, REASON_SAMPLES},
        {{.payload = put_nan}, REASON_NON_FINITE},
        {{.payload = put_infinity}, REASON_NON_FINITE},
        {{.payload = put_large}, REASON_NORM},
        {{.parameters = HOSTILE_PARAMETERS + 1}, REASON_SHAPE},
        {{.parameters = HOSTILE_PARAMETERS - 1}, REASON_SHAPE},
        {{.header = other_layout}, REASON_SHAPE},
        {{.header = other_job}, REASON_WRONG_JOB},
        {{.header = round_before}, REASON_ROUND_CLOSED},
        {{.header = round_after}, REASON_FUTURE_ROUND},
        {{.header = epoch_after}, REASON_FUTURE_EPOCH},
        {{.header = other_base}, REASON_UNKNOWN_BASE},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        char text[64];
        mark_log();
        const enum reason reason = peer_push(&hostile, &table[i].twist);
        if (reason != table[i].reason)
            fail_msg("case %zu: %s, not %s", i, reason_name(reason), reason_name(table[i].reason));
        snprintf(text, sizeof(text), "reason=%s", reason_name(reason));
        assert_true(log_says(text));
    }
}

static void the_round_goes_on_and_counts_the_true_ones(void **state)
{
    assert_int_equal(peer_push(&hostile, nullptr), REASON_UNSPECIFIED);
    /* The same again is acknowledged; another is not, whatever differs. */
    assert_int_equal(peer_push_again(&hostile), REASON_UNSPECIFIED);
    const struct twist samples = {.header = other_samples};
    assert_int_equal(peer_push(&hostile, &samples), REASON_EQUIVOCATION);
    const struct twist other = {.payload = put_other};
    assert_int_equal(peer_push(&hostile, &other), REASON_EQUIVOCATION);
    const struct twist false_other = {.payload = put_nan};
    assert_int_equal(peer_push(&hostile, &false_other), REASON_NON_FINITE);
    assert_int_equal(peer_push(&honest, nullptr), REASON_UNSPECIFIED);
    assert_true(peer_wait_for_round(&honest, 2));
    assert_true(peer_wait_for_round(&hostile, 2));
    assert_int_equal(honest.counted, 1);
    assert_int_equal(hostile.counted, 1);
}

static void an_update_of_a_closed_round_is_refused(void **state)
{
    /* What the honest one sent in round 1, byte by byte, from somebody else's connection. */
    hostile.last_envelope.size = 0;
    assert_int_equal(
        bytes_append(&hostile.last_envelope, honest.last_envelope.data, honest.last_envelope.size),
        STATUS_OK);
    memcpy(hostile.last_payload, honest.last_payload, sizeof(hostile.last_payload));
    hostile.last_size = honest.last_size;
    assert_int_equal(peer_push_again(&hostile), REASON_ROUND_CLOSED);
    assert_int_equal(peer_push_again(&honest), REASON_ROUND_CLOSED);
    assert_int_equal(peer_push(&hostile, nullptr), REASON_UNSPECIFIED);
    assert_int_equal(peer_push(&honest, nullptr), REASON_UNSPECIFIED);
    assert_true(peer_wait_for_round(&honest, 3));
}

/* --- roles --- */

static void only_an_operator_may_call_control(void **state)
{
    static const char *const methods[] = {"GetStatus", "WatchStatus", "ListMembers", "GetMember",
                                          "Pause",     "Resume",      "Cancel"};
    char identity[600];
    char text[GRPC_MESSAGE_MAX];
    snprintf(identity, sizeof(identity), "%s/identity/node-000", folder);
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
        char path[64];
        char want[256];
        snprintf(path, sizeof(path), "/fedra.v1.Control/%s", methods[i]);
        snprintf(want, sizeof(want),
                 "spiffe://fedra.local/fedra/node/node-000 may not call fedra.v1.Control/%s; right "
                 "is an operator: spiffe://fedra.local/fedra/operator/NAME",
                 methods[i]);
        mark_log();
        assert_int_equal(call_as(&loop, identity, port, path, (struct slice){0}, text, nullptr),
                         GRPC_STATUS_PERMISSION_DENIED);
        assert_string_equal(text, want);
        assert_true(log_says("control.refused peer=spiffe://fedra.local/fedra/node/node-000"));
    }
}

static void an_operator_may_not_call_federation(void **state)
{
    static const char *const methods[] = {"Join", "PullBlob", "PushUpdate", "Heartbeat"};
    char identity[600];
    char text[GRPC_MESSAGE_MAX];
    snprintf(identity, sizeof(identity), "%s/identity/operator", folder);
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
        char path[64];
        char want[256];
        snprintf(path, sizeof(path), "/fedra.v1.Federation/%s", methods[i]);
        snprintf(want, sizeof(want),
                 "spiffe://fedra.local/fedra/operator/local may not call fedra.v1.Federation/%s; "
                 "right is the identity of one who trains: a node or an edge",
                 methods[i]);
        mark_log();
        assert_int_equal(call_as(&loop, identity, port, path, (struct slice){0}, text, nullptr),
                         GRPC_STATUS_PERMISSION_DENIED);
        assert_string_equal(text, want);
        assert_true(log_says("reason=permission"));
    }
}

/* What was refused so far is counted for who sent it, which is who TLS or a signature says. */
static void an_operator_sees_who_was_refused_what(void **state)
{
    char identity[600];
    char text[GRPC_MESSAGE_MAX];
    struct control_member member;
    struct control_request request = {.name = "node-001"};
    struct bytes message;
    struct bytes answer;
    bytes_init(&message, CONTROL_REQUEST_BYTES_MAX);
    bytes_init(&answer, CONTROL_MEMBER_BYTES_MAX);
    snprintf(identity, sizeof(identity), "%s/identity/operator", folder);
    assert_int_equal(control_request_encode(CONTROL_GET_MEMBER, &request, &message), STATUS_OK);
    assert_int_equal(call_as(&loop, identity, port, "/fedra.v1.Control/GetMember",
                             bytes_slice(&message), text, &answer),
                     GRPC_STATUS_OK);
    assert_int_equal(control_member_decode(bytes_slice(&answer), &member, nullptr), STATUS_OK);
    assert_true(member.connected);
    assert_int_equal(member.counted, 2);
    assert_int_equal(member.round_counted, 2);
    assert_int_equal(member.refused.by_reason[REASON_NORM], 1);
    assert_int_equal(member.refused.by_reason[REASON_NON_FINITE], 3);
    assert_int_equal(member.refused.by_reason[REASON_EQUIVOCATION], 2);
    assert_int_equal(member.refused.by_reason[REASON_SIGNATURE], 2);
    assert_int_equal(member.refused.by_reason[REASON_DIGEST], 2);
    /* Two of the round before: one is node-000's own update, sent by this node. */
    assert_int_equal(member.refused.by_reason[REASON_ROUND_CLOSED], 2);
    message.size = answer.size = 0;
    snprintf(request.name, sizeof(request.name), "node-000");
    assert_int_equal(control_request_encode(CONTROL_GET_MEMBER, &request, &message), STATUS_OK);
    assert_int_equal(call_as(&loop, identity, port, "/fedra.v1.Control/GetMember",
                             bytes_slice(&message), text, &answer),
                     GRPC_STATUS_OK);
    assert_int_equal(control_member_decode(bytes_slice(&answer), &member, nullptr), STATUS_OK);
    /* Nobody can accuse it: only what it sent itself, and the calls that it may not make. */
    for (unsigned reason = 0; reason < CONTROL_REASONS_MAX; reason++)
        assert_int_equal(member.refused.by_reason[reason], reason == REASON_ROUND_CLOSED ? 1
                                                           : reason == REASON_PERMISSION ? 7
                                                                                         : 0);
    bytes_deinit(&message);
    bytes_deinit(&answer);
}

/* Reads a file of the run's folder whole into text. */
static void read_file(const char *name, char *text, size_t room)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *const file = fopen(path, "r");
    assert_non_null(file);
    const size_t size = fread(text, 1, room - 1, file);
    fclose(file);
    text[size] = 0;
}

static void the_figures_of_the_round_say_what_was_refused(void **state)
{
    char text[16384];
    read_file("metrics.jsonl", text, sizeof(text));
    *strchrnul(text, '\n') = 0;
    assert_non_null(strstr(text, "\"round\":1,"));
    assert_non_null(strstr(text, "\"selected\":4,\"accepted\":4,"));
    /* identity: five connections, a Join, two keys. */
    if (strstr(text, "\"refused\":{\"identity\":8,\"signature\":2,\"wrong_job\":2,"
                     "\"future_epoch\":1,\"round_closed\":1,\"future_round\":1,\"unknown_base\":1,"
                     "\"equivocation\":2,\"digest\":2,\"shape\":3,\"non_finite\":3,\"norm\":1,"
                     "\"samples\":1}") == nullptr)
        fail_msg("other figures: %s", text);
}

static void the_honest_nodes_were_counted_in_every_round(void **state)
{
    char text[16384];
    stop();
    for (int i = 2; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof(name), "nodes/node-%03d/receipts.log", i);
        read_file(name, text, sizeof(text));
        for (int version = 1; version <= 2; version++) {
            char want[64];
            snprintf(want, sizeof(want), "version=%d", version);
            if (strstr(text, want) == nullptr)
                fail_msg("%s has no %s: %s", name, want, text);
        }
    }
}

/* Evidence is a message's header bytes, then its signature. */
static struct envelope_header header_of(const struct bytes *evidence)
{
    static const struct envelope_limits limits = {.payload_bytes_max = 1 << 20, .codecs = 1};
    struct envelope_header header = {0};
    assert_true(evidence->size > ENVELOPE_SIGNATURE_BYTES);
    const struct slice bytes = {evidence->data, evidence->size - ENVELOPE_SIGNATURE_BYTES};
    assert_int_equal(header_decode(bytes, &limits, &header, nullptr), STATUS_OK);
    assert_string_equal(header.spiffe_id, "spiffe://fedra.local/fedra/node/node-001");
    assert_int_equal(header.round, 1);
    return header;
}

static void each_contradiction_is_kept_beside_what_was_counted(void **state)
{
    struct error err = {0};
    struct store *store = nullptr;
    struct bytes first;
    struct bytes second;
    uint64_t sequence = 0;
    char node[STORE_NAME_MAX];
    bytes_init(&first, STORE_EVIDENCE_BYTES_MAX);
    bytes_init(&second, STORE_EVIDENCE_BYTES_MAX);
    assert_int_equal(coordinator, 0);
    const struct store_sqlite_options options = {.folder = folder, .job_id = job};
    assert_int_equal(store_sqlite_open(&options, &store, &err), STATUS_OK);
    for (int row = 0; row < 2; row++) {
        assert_int_equal(
            store_find_evidence_after(store, sequence, &sequence, node, &first, &second, &err),
            STATUS_OK);
        assert_string_equal(node, "spiffe://fedra.local/fedra/node/node-001");
        const struct envelope_header counted = header_of(&first);
        const struct envelope_header other = header_of(&second);
        assert_int_equal(counted.samples, 10);
        assert_int_equal(other.samples, row == 0 ? 11 : 10);
        assert_int_equal(digest_equal(&counted.payload_digest, &other.payload_digest), row == 0);
        struct store_receipt receipt;
        assert_int_equal(
            store_find_receipt(store, 0, 1, node, &counted.payload_digest, &receipt, &err),
            STATUS_OK);
        assert_int_equal(receipt.kind, STORE_RECEIPT_COUNTED);
        assert_int_equal(receipt.version.number, 1);
        if (row == 1)
            assert_int_equal(
                store_find_receipt(store, 0, 1, node, &other.payload_digest, &receipt, &err),
                STATUS_NOT_FOUND);
    }
    assert_int_equal(
        store_find_evidence_after(store, sequence, &sequence, node, &first, &second, &err),
        STATUS_NOT_FOUND);
    store_close(store);
    bytes_deinit(&first);
    bytes_deinit(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_an_identity_gets_in),
        cmocka_unit_test(no_certificate_is_refused),
        cmocka_unit_test(another_authoritys_certificate_is_refused),
        cmocka_unit_test(an_expired_certificate_is_refused),
        cmocka_unit_test(tls_1_2_is_refused),
        cmocka_unit_test(a_group_without_ml_kem_is_refused),
        cmocka_unit_test(a_nodes_identity_makes_no_coordinator),
        cmocka_unit_test(a_node_does_not_join_a_coordinator_with_a_nodes_identity),
        cmocka_unit_test(joining_as_somebody_else_or_for_another_job_is_refused),
        cmocka_unit_test(every_false_update_is_refused_for_its_reason),
        cmocka_unit_test(the_round_goes_on_and_counts_the_true_ones),
        cmocka_unit_test(an_update_of_a_closed_round_is_refused),
        cmocka_unit_test(only_an_operator_may_call_control),
        cmocka_unit_test(an_operator_may_not_call_federation),
        cmocka_unit_test(an_operator_sees_who_was_refused_what),
        cmocka_unit_test(the_figures_of_the_round_say_what_was_refused),
        cmocka_unit_test(the_honest_nodes_were_counted_in_every_round),
        cmocka_unit_test(each_contradiction_is_kept_beside_what_was_counted),
    };
    const int failed = cmocka_run_group_tests(tests, start, nullptr);
    /* Gone already, unless a case failed. */
    pid_t *const left[] = {&coordinator, &nodes[0], &nodes[1]};
    for (size_t i = 0; i < sizeof(left) / sizeof(*left); i++) {
        if (*left[i] > 0) {
            kill(*left[i], SIGKILL);
            (void)reap(left[i]);
        }
    }
    return failed;
}
