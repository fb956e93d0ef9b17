/*
 * tls_stream.c - an OpenSSL connection over a BIO that reads lent bytes and fills a buffer.
 *
 * OpenSSL's own memory BIO keeps the largest buffer it ever had; thousands of idle connections
 * cannot afford that, so the BIO here holds nothing.
 */
#include "rpc/tls_stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUT_BYTES_MAX = 8 * 1024 * 1024 };

struct tls_stream {
    SSL *ssl;
    BIO_METHOD *method;
    struct slice input;
    struct bytes output;
    bool is_complete;
    bool is_broken;
};

static const unsigned char alpn_h2[] = {2, 'h', '2'};

static int bio_write(BIO *bio, const char *data, int size)
{
    struct tls_stream *const stream = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (size <= 0 || bytes_append(&stream->output, data, (size_t)size) != STATUS_OK)
        return -1;
    return size;
}

static int bio_read(BIO *bio, char *buffer, int capacity)
{
    struct tls_stream *const stream = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (capacity <= 0)
        return 0;
    size_t size = stream->input.size;
    if (size == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if (size > (size_t)capacity)
        size = (size_t)capacity;
    memcpy(buffer, stream->input.data, size);
    stream->input.data += size;
    stream->input.size -= size;
    return (int)size;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static enum status attach_bio(struct tls_stream *stream)
{
    stream->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "lent bytes");
    if (stream->method == nullptr || BIO_meth_set_write(stream->method, bio_write) != 1 ||
        BIO_meth_set_read(stream->method, bio_read) != 1 ||
        BIO_meth_set_ctrl(stream->method, bio_ctrl) != 1)
        return STATUS_NO_MEMORY;
    BIO *const bio = BIO_new(stream->method);
    if (bio == nullptr)
        return STATUS_NO_MEMORY;
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(stream->ssl, bio, bio);
    return STATUS_OK;
}

static int select_h2(SSL *ssl, const unsigned char **ret_protocol, unsigned char *ret_size,
                     const unsigned char *offered, unsigned int offered_size, void *context)
{
    for (unsigned int at = 0; at < offered_size; at += 1u + offered[at]) {
        if (offered[at] == 2 && at + 2 < offered_size && memcmp(offered + at, alpn_h2, 3) == 0) {
            *ret_protocol = alpn_h2 + 1;
            *ret_size = 2;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

void tls_context_serve_h2(SSL_CTX *ssl_ctx)
{
    SSL_CTX_set_alpn_select_cb(ssl_ctx, select_h2, nullptr);
}

static bool is_numeric_address(const char *name)
{
    unsigned char address[16];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

static enum status configure(struct tls_stream *stream, bool is_server, const char *server_name)
{
    SSL *const ssl = stream->ssl;
    if (SSL_set_min_proto_version(ssl, TLS1_3_VERSION) != 1 ||
        SSL_set_max_proto_version(ssl, TLS1_3_VERSION) != 1)
        return STATUS_NO_MEMORY;
    SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (is_server) {
        SSL_set_accept_state(ssl);
        return SSL_set_num_tickets(ssl, 0) == 1 ? STATUS_OK : STATUS_NO_MEMORY;
    }
    SSL_set_connect_state(ssl);
    if (SSL_set_alpn_protos(ssl, alpn_h2, sizeof(alpn_h2)) != 0)
        return STATUS_NO_MEMORY;
    if (server_name != nullptr && server_name[0] != '\0' && !is_numeric_address(server_name) &&
        SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 (void *)(uintptr_t)server_name) != 1) /* the macro would cast const away */
        return STATUS_NO_MEMORY;
    return STATUS_OK;
}

enum status tls_stream_create(SSL_CTX *ssl_ctx, bool is_server, const char *server_name,
                              struct tls_stream **ret_stream)
{
    struct tls_stream *const stream = calloc(1, sizeof(*stream));
    if (stream == nullptr)
        return STATUS_NO_MEMORY;
    bytes_init(&stream->output, OUTPUT_BYTES_MAX);
    enum status status = STATUS_NO_MEMORY;
    stream->ssl = SSL_new(ssl_ctx);
    if (stream->ssl == nullptr)
        goto out;
    status = attach_bio(stream);
    if (status != STATUS_OK)
        goto out;
    status = configure(stream, is_server, server_name);
out:
    ERR_clear_error();
    if (status == STATUS_OK)
        *ret_stream = stream;
    else
        tls_stream_destroy(stream);
    return status;
}

void tls_stream_destroy(struct tls_stream *stream)
{
    if (stream == nullptr)
        return;
    SSL_free(stream->ssl);
    BIO_meth_free(stream->method);
    bytes_wipe(&stream->output);
    free(stream);
}

SSL *tls_stream_ssl(const struct tls_stream *stream)
{
    return stream->ssl;
}

void tls_stream_lend(struct tls_stream *stream, struct slice input)
{
    stream->input = input;
}

struct bytes *tls_stream_output(struct tls_stream *stream)
{
    return &stream->output;
}

/* The reasons that speak of certificates, ours or the peer's. */
static bool is_identity_reason(int reason)
{
    switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_NO_CERTIFICATES_RETURNED:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return true;
    default:
        return false;
    }
}

/* Words for what people meet often; OpenSSL's own are kept for the rest. */
static const char *reason_text(unsigned long error)
{
    switch (ERR_GET_REASON(error)) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_WRONG_VERSION_NUMBER:
        return "unsupported protocol: TLS 1.3 is needed";
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SHARED_GROUPS:
        return "no shared group for the key exchange";
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_NO_CERTIFICATES_RETURNED:
        return "the peer sent no certificate";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return "the peer asks for a certificate";
    case SSL_R_HTTP_REQUEST:
        return "unsupported protocol: HTTP without TLS";
    default: {
        const char *const text = ERR_reason_error_string(error);
        return text != nullptr ? text : "the connection broke";
    }
    }
}

static enum status explain(struct tls_stream *stream, struct error *err)
{
    const unsigned long error = ERR_peek_last_error(); /* TLS's own lies on top of what led to it */
    stream->is_broken = true;
    ERR_clear_error();
    if (error == 0)
        return error_set(err, STATUS_PEER, "TLS: the connection broke");
    const int reason = ERR_GET_REASON(error);
    const bool is_tls = ERR_GET_LIB(error) == ERR_LIB_SSL;
    if (is_tls && reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return error_set(err, STATUS_IDENTITY, "TLS: the peer's certificate: %s",
                         X509_verify_cert_error_string(SSL_get_verify_result(stream->ssl)));
    const char *const text = is_tls ? reason_text(error) : ERR_reason_error_string(error);
    return error_set(err, is_tls && is_identity_reason(reason) ? STATUS_IDENTITY : STATUS_PEER,
                     "TLS: %s", text != nullptr ? text : "the connection broke");
}

enum status tls_stream_handshake(struct tls_stream *stream, struct error *err)
{
    if (stream->is_complete)
        return STATUS_OK;
    ERR_clear_error();
    const int result = SSL_do_handshake(stream->ssl);
    if (result != 1) {
        if (SSL_get_error(stream->ssl, result) == SSL_ERROR_WANT_READ)
            return STATUS_AGAIN;
        return explain(stream, err);
    }
    const unsigned char *protocol = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(stream->ssl, &protocol, &size);
    if (size != 2 || memcmp(protocol, alpn_h2 + 1, 2) != 0) {
        stream->is_broken = true;
        return error_set(err, STATUS_PEER, "TLS: the peer does not offer HTTP/2 (ALPN h2)");
    }
    stream->is_complete = true;
    return STATUS_OK;
}

enum status tls_stream_read(struct tls_stream *stream, void *buffer, size_t capacity,
                            size_t *ret_size, struct error *err)
{
    size_t size = 0;
    ERR_clear_error();
    const int result = SSL_read_ex(stream->ssl, buffer, capacity, &size);
    if (result == 1) {
        *ret_size = size;
        return STATUS_OK;
    }
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return STATUS_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        *ret_size = 0;
        return STATUS_OK;
    default:
        return explain(stream, err);
    }
}

enum status tls_stream_write(struct tls_stream *stream, struct slice data, struct error *err)
{
    size_t written = 0;
    if (stream->is_broken)
        return error_set(err, STATUS_PEER, "TLS: the connection broke");
    while (written < data.size) {
        size_t size = 0;
        ERR_clear_error();
        if (SSL_write_ex(stream->ssl, data.data + written, data.size - written, &size) != 1)
            return explain(stream, err);
        written += size;
    }
    return STATUS_OK;
}

void tls_stream_shutdown(struct tls_stream *stream)
{
    if (!stream->is_complete || stream->is_broken)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(stream->ssl);
    ERR_clear_error();
}
