/*
 * tls_context.c - SSL contexts whose peers are verified by the SPIFFE rules of svid.c.
 *
 * Who the peer is, or why it was refused, is kept with the SSL. Not here: sockets (rpc/).
 */
#include "identity/tls_context.h"

#include "identity/openssl_error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What verification needs; belongs to the SSL_CTX. */
struct policy {
    struct trust *trust;
    uint32_t roles;
};

/* What verification found; belongs to the SSL. */
struct finding {
    bool verified;
    struct svid_info info;
    struct error error;
};

static const uint8_t alpn_h2[] = {2, 'h', '2'};

/* Of the process; made once, tried again where there was no memory. */
static atomic_int policy_index = -1;
static atomic_int finding_index = -1;
static pthread_mutex_t indices_lock = PTHREAD_MUTEX_INITIALIZER;

static void policy_free(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long argl,
                        void *argp)
{
    struct policy *const policy = pointer;
    if (policy == nullptr)
        return;
    trust_unref(policy->trust);
    free(policy);
}

static void finding_free(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long argl,
                         void *argp)
{
    free(pointer);
}

static bool make_indices(void)
{
    pthread_mutex_lock(&indices_lock);
    if (policy_index < 0)
        policy_index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, policy_free);
    if (finding_index < 0)
        finding_index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, finding_free);
    const bool made = policy_index >= 0 && finding_index >= 0;
    pthread_mutex_unlock(&indices_lock);
    return made;
}

static struct finding *finding_of(SSL *ssl)
{
    struct finding *finding = SSL_get_ex_data(ssl, finding_index);
    if (finding != nullptr)
        return finding;
    finding = calloc(1, sizeof(*finding));
    if (finding != nullptr && SSL_set_ex_data(ssl, finding_index, finding) != 1) {
        free(finding);
        finding = nullptr;
    }
    return finding;
}

/* Instead of OpenSSL's own verification; 1 accepts the peer. */
static int verify_peer(X509_STORE_CTX *store, void *argument)
{
    const struct policy *const policy = argument;
    SSL *const ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct finding *const finding = finding_of(ssl);
    X509 *const leaf = X509_STORE_CTX_get0_cert(store);
    int x509_error = X509_V_ERR_UNSPECIFIED;
    if (finding == nullptr || leaf == nullptr) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_OUT_OF_MEM);
        return 0;
    }
    finding->verified = false;
    enum status status =
        svid_verify(policy->trust, leaf, X509_STORE_CTX_get0_untrusted(store),
                    (int64_t)time(nullptr), 0, &x509_error, &finding->info, &finding->error);
    if (status == STATUS_OK) {
        x509_error = X509_V_ERR_APPLICATION_VERIFICATION;
        status =
            spiffe_role_check(&finding->info.id, policy->roles, "this connection", &finding->error);
    }
    finding->verified = status == STATUS_OK;
    X509_STORE_CTX_set_error(store, finding->verified ? X509_V_OK : x509_error);
    return finding->verified ? 1 : 0;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                       const unsigned char *in, unsigned int in_size, void *argument)
{
    unsigned char *chosen = nullptr;
    if (SSL_select_next_proto(&chosen, out_size, alpn_h2, sizeof(alpn_h2), in, in_size) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool use_identity(SSL_CTX *context, const struct identity *identity)
{
    if (SSL_CTX_use_certificate(context, sk_X509_value(identity->svid_chain, 0)) != 1 ||
        SSL_CTX_use_PrivateKey(context, identity->svid_key) != 1 ||
        SSL_CTX_check_private_key(context) != 1)
        return false;
    for (int i = 1; i < sk_X509_num(identity->svid_chain); i++) {
        if (SSL_CTX_add1_chain_cert(context, sk_X509_value(identity->svid_chain, i)) != 1)
            return false;
    }
    return true;
}

static bool use_rules(SSL_CTX *context, bool server)
{
    /* Not literals: OpenSSL's macros take them as char *. */
    char groups[] = "X25519MLKEM768";
    char signatures[] = "ecdsa_secp256r1_sha256:mldsa65";
    if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set1_groups_list(context, groups) != 1 ||
        SSL_CTX_set1_sigalgs_list(context, signatures) != 1 ||
        SSL_CTX_set_num_tickets(context, 0) != 1)
        return false;
    /* A resumed session would not look at certificates again. */
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    if (server) {
        SSL_CTX_set_alpn_select_cb(context, select_alpn, nullptr);
        return true;
    }
    return SSL_CTX_set_alpn_protos(context, alpn_h2, sizeof(alpn_h2)) == 0;
}

enum status tls_context_create(const struct identity *identity, bool server, uint32_t roles,
                               SSL_CTX **ret_context, struct error *err)
{
    if (!make_indices())
        return error_set_openssl(err, STATUS_NO_MEMORY, "no memory for TLS");
    struct policy *const policy = calloc(1, sizeof(*policy));
    SSL_CTX *const context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (policy == nullptr || context == nullptr ||
        SSL_CTX_set_ex_data(context, policy_index, policy) != 1) {
        free(policy);
        SSL_CTX_free(context);
        return error_set(err, STATUS_NO_MEMORY, "no memory for TLS");
    }
    policy->trust = trust_ref(identity->trust); /* freed with the context from here on */
    policy->roles = roles;
    SSL_CTX_set_cert_verify_callback(context, verify_peer, policy);
    if (!use_rules(context, server) || !use_identity(context, identity)) {
        const enum status status =
            error_set_openssl(err, STATUS_INVAL, "TLS cannot be set up with this identity");
        SSL_CTX_free(context);
        return status;
    }
    *ret_context = context;
    return STATUS_OK;
}

enum status identity_peer(const SSL *ssl, struct peer_identity *ret_peer, struct error *err)
{
    const struct finding *const finding =
        finding_index >= 0 ? SSL_get_ex_data(ssl, finding_index) : nullptr;
    if (!SSL_is_init_finished(ssl) || finding == nullptr || !finding->verified)
        return error_set(err, STATUS_IDENTITY, "%s",
                         finding != nullptr && finding->error.text[0] != 0
                             ? finding->error.text
                             : "the peer has shown no identity");
    const unsigned char *protocol = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(ssl, &protocol, &size);
    if (size != 2 || memcmp(protocol, "h2", 2) != 0)
        return error_set(err, STATUS_IDENTITY, "the peer did not agree on h2 (ALPN)");
    *ret_peer = (struct peer_identity){.id = finding->info.id,
                                       .not_before_unix_s = finding->info.not_before_unix_s,
                                       .not_after_unix_s = finding->info.not_after_unix_s,
                                       .fingerprint = finding->info.fingerprint};
    return STATUS_OK;
}

const char *identity_refusal(const SSL *ssl)
{
    const struct finding *const finding =
        finding_index >= 0 ? SSL_get_ex_data(ssl, finding_index) : nullptr;
    return finding != nullptr && !finding->verified ? finding->error.text : "";
}
