/*
 * tls_context_test.c - mutual TLS between SPIFFE identities, over BIOs in memory.
 *
 * Goal: only a peer with a valid SVID of a trusted root, TLS 1.3, X25519MLKEM768, h2 and a role
 * that is asked for gets in. Method: our context against our context, then against contexts that
 * OpenSSL makes without our rules; alerts are those of RFC 8446, section 6.
 */
#include "testing.h"

#include "identity/tls_context.h"
#include "identity_fixture.h"

#include <openssl/err.h>
#include <time.h>

enum { TTL_S = 3600, ROUNDS_MAX = 20 };

/* RFC 8446, section 6.2; NONE where there was no alert. */
enum alert {
    ALERT_NONE = -1,
    ALERT_HANDSHAKE_FAILURE = 40,
    ALERT_CERTIFICATE_EXPIRED = 45,
    ALERT_UNKNOWN_CA = 48,
    ALERT_PROTOCOL_VERSION = 70,
    ALERT_CERTIFICATE_REQUIRED = 116,
    ALERT_NO_APPLICATION_PROTOCOL = 120,
};

static char base[] = "/tmp/fedra-tls-XXXXXX";
static struct authority *authority;
static struct authority *stranger;   /* of the same trust domain's name */
static struct identity *node;        /* P-256 */
static struct identity *coordinator; /* P-256 */
static struct identity *quantum;     /* a node with an ML-DSA-65 TLS key */
static struct identity *expired;     /* a node, for a minute an hour ago */
static struct identity *foreign;     /* a node of the stranger */

static struct identity *make(const struct authority *by, const char *name,
                             enum identity_key_kind kind, const char *id, uint32_t ttl_s,
                             int64_t now_unix_s)
{
    return fixture_identity(by, fixture_path(base, name), kind, id, ttl_s, now_unix_s);
}

static int set_up(void **state)
{
    const int64_t now = (int64_t)time(nullptr);
    authority = fixture_authority(fixture_path(base, "one"), now - 2 * TTL_S);
    stranger = fixture_authority(fixture_path(base, "two"), now - 2 * TTL_S);
    node = make(authority, "node", IDENTITY_KEY_P256, FIXTURE_ID("node/a"), TTL_S, now);
    coordinator = make(authority, "hub", IDENTITY_KEY_P256, FIXTURE_ID("coordinator"), TTL_S, now);
    quantum = make(authority, "pq", IDENTITY_KEY_ML_DSA_65, FIXTURE_ID("node/q"), TTL_S, now);
    expired = make(authority, "old", IDENTITY_KEY_P256, FIXTURE_ID("node/e"), 60, now - TTL_S);
    foreign = make(stranger, "far", IDENTITY_KEY_P256, FIXTURE_ID("node/a"), TTL_S, now);
    return 0;
}

static int tear_down(void **state)
{
    identity_close(node);
    identity_close(coordinator);
    identity_close(quantum);
    identity_close(expired);
    identity_close(foreign);
    authority_close(authority);
    authority_close(stranger);
    fixture_remove(base);
    return 0;
}

static SSL_CTX *ours(const struct identity *identity, bool server, uint32_t roles)
{
    SSL_CTX *context = nullptr;
    struct error err = {0};
    if (tls_context_create(identity, server, roles, &context, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return context;
}

/* A context that keeps none of our rules: any version and group, no verification. */
static SSL_CTX *plain(const struct identity *identity, bool server, const char *groups)
{
    SSL_CTX *context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    char list[64]; /* OpenSSL's macro takes it as char * */
    (void)snprintf(list, sizeof list, "%s", groups);
    CHECK(context != nullptr && SSL_CTX_set1_groups_list(context, list) == 1);
    if (identity != nullptr)
        CHECK(SSL_CTX_use_certificate(context, sk_X509_value(identity->svid_chain, 0)) == 1 &&
              SSL_CTX_use_PrivateKey(context, identity->svid_key) == 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    return context;
}

static SSL_CTX *plain_client(const struct identity *identity, const char *groups,
                             const char *protocol)
{
    SSL_CTX *context = plain(identity, false, groups);
    uint8_t alpn[16];
    const size_t size = strlen(protocol);
    alpn[0] = (uint8_t)size;
    memcpy(alpn + 1, protocol, size);
    if (size > 0)
        CHECK(SSL_CTX_set_alpn_protos(context, alpn, (unsigned)size + 1) == 0);
    return context;
}

static int take_h2(SSL *ssl, const unsigned char **out, unsigned char *size,
                   const unsigned char *in, unsigned int in_size, void *argument)
{
    *out = (const unsigned char *)"h2";
    *size = 2;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *plain_server(const struct identity *identity, const char *groups, bool h2)
{
    SSL_CTX *context = plain(identity, true, groups);
    if (h2)
        SSL_CTX_set_alpn_select_cb(context, take_h2, nullptr);
    return context;
}

/* Both ends of a connection; the contexts are freed with it. */
struct link {
    SSL *client;
    SSL *server;
    enum alert to_client;
    enum alert to_server;
};

/* The alert that the other side sent, from OpenSSL's queue. */
static void note_alert(enum alert *alert)
{
    unsigned long code = 0;
    while ((code = ERR_get_error()) != 0) {
        const int reason = ERR_GET_REASON(code);
        if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET + 10 &&
            reason <= SSL_AD_REASON_OFFSET + 120)
            *alert = (enum alert)(reason - SSL_AD_REASON_OFFSET);
    }
}

/* A step of one side; after its handshake it reads, so that a late alert is seen. */
static void advance(SSL *ssl, enum alert *alert)
{
    char byte;
    ERR_clear_error();
    if (SSL_is_init_finished(ssl))
        (void)SSL_read(ssl, &byte, 1);
    else
        (void)SSL_do_handshake(ssl);
    note_alert(alert);
}

static void connect_both(struct link *link, SSL_CTX *client_context, SSL_CTX *server_context)
{
    BIO *to_server = BIO_new(BIO_s_mem());
    BIO *to_client = BIO_new(BIO_s_mem());
    *link = (struct link){SSL_new(client_context), SSL_new(server_context), ALERT_NONE, ALERT_NONE};
    CHECK(link->client != nullptr && link->server != nullptr);
    CHECK(BIO_up_ref(to_server) == 1 && BIO_up_ref(to_client) == 1);
    BIO_set_mem_eof_return(to_server, -1);
    BIO_set_mem_eof_return(to_client, -1);
    SSL_set_bio(link->client, to_client, to_server);
    SSL_set_bio(link->server, to_server, to_client);
    SSL_set_connect_state(link->client);
    SSL_set_accept_state(link->server);
    SSL_CTX_free(client_context);
    SSL_CTX_free(server_context);
    for (int i = 0; i < ROUNDS_MAX; i++) {
        advance(link->client, &link->to_client);
        advance(link->server, &link->to_server);
    }
}

static void disconnect(struct link *link)
{
    SSL_free(link->client);
    SSL_free(link->server);
}

static void expect_peer(const SSL *ssl, const struct identity *identity, enum spiffe_role role)
{
    struct peer_identity peer;
    struct error err = {0};
    unsigned int size = 0;
    uint8_t hash[EVP_MAX_MD_SIZE];
    if (identity_peer(ssl, &peer, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    assert_string_equal(peer.id.text, identity->svid.id.text);
    assert_int_equal(peer.id.role, role);
    assert_int_equal(peer.not_after_unix_s, identity->svid.not_after_unix_s);
    CHECK(X509_digest(sk_X509_value(identity->svid_chain, 0), EVP_sha256(), hash, &size) == 1);
    assert_memory_equal(peer.fingerprint.bytes, hash, DIGEST_BYTES);
    assert_string_equal(identity_refusal(ssl), "");
}

/* There must be no peer; a part of the reason is in the text. */
static void expect_no_peer(const SSL *ssl, const char *part)
{
    struct peer_identity peer;
    struct error err = {0};
    const enum status status = identity_peer(ssl, &peer, &err);
    if (status != STATUS_IDENTITY || strstr(err.text, part) == nullptr)
        fail_msg("%s: \"%s\", wanted \"%s\"", status_name(status), err.text, part);
}

static void two_identities_know_each_other(void **state)
{
    const struct identity *const clients[] = {node, quantum, node};
    const struct identity *const servers[] = {coordinator, coordinator, quantum};
    for (size_t i = 0; i < 3; i++) {
        struct link link;
        const enum spiffe_role role = i == 2 ? SPIFFE_ROLE_NODE : SPIFFE_ROLE_COORDINATOR;
        connect_both(&link, ours(clients[i], false, SPIFFE_ROLES_ANY),
                     ours(servers[i], true, SPIFFE_ROLES_ANY));
        assert_int_equal(SSL_version(link.client), TLS1_3_VERSION);
        assert_string_equal(SSL_get0_group_name(link.server), "X25519MLKEM768");
        expect_peer(link.client, servers[i], role);
        expect_peer(link.server, clients[i], SPIFFE_ROLE_NODE);
        assert_int_equal(link.to_client, ALERT_NONE);
        assert_int_equal(link.to_server, ALERT_NONE);
        disconnect(&link);
    }
}

static void two_ml_dsa_identities_sign_the_handshake_with_ml_dsa(void **state)
{
    struct link link;
    const char *name = nullptr;
    connect_both(&link, ours(quantum, false, SPIFFE_ROLES_ANY),
                 ours(quantum, true, SPIFFE_ROLES_ANY));
    expect_peer(link.client, quantum, SPIFFE_ROLE_NODE);
    expect_peer(link.server, quantum, SPIFFE_ROLE_NODE);
    assert_int_equal(SSL_get0_peer_signature_name(link.client, &name), 1);
    assert_string_equal(name, "mldsa65");
    disconnect(&link);
}

static void clients_that_are_not_right_are_refused_by_our_server(void **state)
{
    static const char strong[] = "X25519MLKEM768";
    struct link link;
    const struct {
        SSL_CTX *client;
        enum alert alert;
        const char *reason;
    } cases[] = {
        {plain_client(nullptr, strong, "h2"), ALERT_CERTIFICATE_REQUIRED, "no identity"},
        {plain_client(expired, strong, "h2"), ALERT_CERTIFICATE_EXPIRED, "expired"},
        {plain_client(foreign, strong, "h2"), ALERT_UNKNOWN_CA, "root of trust domain one.test"},
        {plain_client(node, "X25519", "h2"), ALERT_HANDSHAKE_FAILURE, "no identity"},
        {plain_client(node, "P-256:X448", "h2"), ALERT_HANDSHAKE_FAILURE, "no identity"},
        {plain_client(node, strong, "http/1.1"), ALERT_NO_APPLICATION_PROTOCOL, "no identity"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        connect_both(&link, cases[i].client, ours(coordinator, true, SPIFFE_ROLES_ANY));
        expect_no_peer(link.server, cases[i].reason);
        if (link.to_client != cases[i].alert)
            fail_msg("case %zu: alert %d", i, link.to_client);
        assert_false(SSL_is_init_finished(link.server));
        disconnect(&link);
    }
    /* The same plain client with all in order gets in: the refusals are due to what was changed. */
    connect_both(&link, plain_client(node, strong, "h2"),
                 ours(coordinator, true, SPIFFE_ROLES_ANY));
    expect_peer(link.server, node, SPIFFE_ROLE_NODE);
    disconnect(&link);
}

static void tls_1_2_is_refused_by_both_sides(void **state)
{
    struct link link;
    SSL_CTX *client = plain_client(node, "X25519MLKEM768:P-256", "h2");
    CHECK(SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION) == 1);
    connect_both(&link, client, ours(coordinator, true, SPIFFE_ROLES_ANY));
    assert_int_equal(link.to_client, ALERT_PROTOCOL_VERSION);
    expect_no_peer(link.server, "no identity");
    disconnect(&link);

    SSL_CTX *server = plain_server(coordinator, "X25519MLKEM768:P-256", true);
    CHECK(SSL_CTX_set_max_proto_version(server, TLS1_2_VERSION) == 1);
    connect_both(&link, ours(node, false, SPIFFE_ROLES_ANY), server);
    assert_false(SSL_is_init_finished(link.client));
    assert_int_equal(link.to_client, ALERT_PROTOCOL_VERSION);
    expect_no_peer(link.client, "no identity");
    disconnect(&link);
}

static void servers_that_are_not_right_are_refused_by_our_client(void **state)
{
    static const char strong[] = "X25519MLKEM768";
    struct link link;
    const struct {
        SSL_CTX *server;
        enum alert to_server;
        const char *reason;
    } cases[] = {
        {plain_server(expired, strong, true), ALERT_CERTIFICATE_EXPIRED, "expired"},
        {plain_server(foreign, strong, true), ALERT_UNKNOWN_CA, "root of trust domain one.test"},
        {plain_server(coordinator, "X25519:P-256", true), ALERT_NONE, "no identity"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        connect_both(&link, ours(node, false, SPIFFE_ROLES_ANY), cases[i].server);
        expect_no_peer(link.client, cases[i].reason);
        if (link.to_server != cases[i].to_server)
            fail_msg("case %zu: alert %d", i, link.to_server);
        assert_false(SSL_is_init_finished(link.client));
        disconnect(&link);
    }
    connect_both(&link, ours(node, false, SPIFFE_ROLES_ANY),
                 plain_server(coordinator, strong, true));
    expect_peer(link.client, coordinator, SPIFFE_ROLE_COORDINATOR);
    disconnect(&link);
}

static void a_peer_without_h2_is_no_peer(void **state)
{
    struct link link;
    connect_both(&link, ours(node, false, SPIFFE_ROLES_ANY),
                 plain_server(coordinator, "X25519MLKEM768", false));
    expect_no_peer(link.client, "h2");
    disconnect(&link);
    connect_both(&link, plain_client(node, "X25519MLKEM768", ""),
                 ours(coordinator, true, SPIFFE_ROLES_ANY));
    expect_no_peer(link.server, "h2");
    disconnect(&link);
}

static void a_role_that_is_not_asked_for_is_refused(void **state)
{
    struct link link;
    connect_both(&link, ours(node, false, SPIFFE_ROLE_COORDINATOR),
                 ours(coordinator, true, SPIFFE_ROLE_NODE | SPIFFE_ROLE_EDGE));
    expect_peer(link.client, coordinator, SPIFFE_ROLE_COORDINATOR);
    expect_peer(link.server, node, SPIFFE_ROLE_NODE);
    disconnect(&link);

    connect_both(&link, ours(node, false, SPIFFE_ROLES_ANY),
                 ours(coordinator, true, SPIFFE_ROLE_OPERATOR | SPIFFE_ROLE_EDGE));
    expect_no_peer(link.server, "operator");
    assert_non_null(strstr(identity_refusal(link.server), FIXTURE_ID("node/a")));
    assert_int_equal(link.to_client, ALERT_HANDSHAKE_FAILURE);
    disconnect(&link);

    /* A node in the coordinator's place. */
    connect_both(&link, ours(node, false, SPIFFE_ROLE_COORDINATOR),
                 ours(quantum, true, SPIFFE_ROLES_ANY));
    expect_no_peer(link.client, "coordinator");
    assert_int_equal(link.to_server, ALERT_HANDSHAKE_FAILURE);
    expect_no_peer(link.server, "");
    disconnect(&link);
}

static void no_session_can_be_resumed(void **state)
{
    struct link link;
    SSL_CTX *client = plain_client(node, "X25519MLKEM768", "h2");
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT);
    connect_both(&link, client, ours(coordinator, true, SPIFFE_ROLES_ANY));
    expect_peer(link.server, node, SPIFFE_ROLE_NODE);
    /* In TLS 1.3 a session is resumable only once its ticket has come (RFC 8446, 4.6.1). */
    assert_int_equal(SSL_SESSION_is_resumable(SSL_get0_session(link.client)), 0);
    assert_int_equal(SSL_CTX_sess_number(SSL_get_SSL_CTX(link.server)), 0);
    disconnect(&link);
}

static void there_is_no_peer_before_the_handshake(void **state)
{
    SSL_CTX *context = ours(node, false, SPIFFE_ROLES_ANY);
    SSL *ssl = SSL_new(context);
    expect_no_peer(ssl, "no identity");
    assert_string_equal(identity_refusal(ssl), "");
    SSL_free(ssl);
    SSL_CTX_free(context);
    /* An SSL that is none of ours. */
    context = plain(nullptr, false, "X25519");
    ssl = SSL_new(context);
    expect_no_peer(ssl, "no identity");
    SSL_free(ssl);
    SSL_CTX_free(context);
}

static void a_context_outlives_its_identity(void **state)
{
    struct link link;
    struct identity *brief =
        make(authority, "brief", IDENTITY_KEY_P256, FIXTURE_ID("node/b"), TTL_S, time(nullptr));
    SSL_CTX *client = ours(brief, false, SPIFFE_ROLES_ANY);
    identity_close(brief);
    connect_both(&link, client, ours(coordinator, true, SPIFFE_ROLES_ANY));
    expect_peer(link.client, coordinator, SPIFFE_ROLE_COORDINATOR);
    struct peer_identity peer;
    assert_int_equal(identity_peer(link.server, &peer, nullptr), STATUS_OK);
    assert_string_equal(peer.id.text, FIXTURE_ID("node/b"));
    disconnect(&link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_no_peer_before_the_handshake),
        cmocka_unit_test(two_identities_know_each_other),
        cmocka_unit_test(two_ml_dsa_identities_sign_the_handshake_with_ml_dsa),
        cmocka_unit_test(clients_that_are_not_right_are_refused_by_our_server),
        cmocka_unit_test(tls_1_2_is_refused_by_both_sides),
        cmocka_unit_test(servers_that_are_not_right_are_refused_by_our_client),
        cmocka_unit_test(a_peer_without_h2_is_no_peer),
        cmocka_unit_test(a_role_that_is_not_asked_for_is_refused),
        cmocka_unit_test(no_session_can_be_resumed),
        cmocka_unit_test(a_context_outlives_its_identity),
    };
    return mkdtemp(base) == nullptr ? 1 : cmocka_run_group_tests(tests, set_up, tear_down);
}
