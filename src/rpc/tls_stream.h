/*
 * tls_stream.h - TLS 1.3 without I/O: encrypted bytes in and out, plain bytes out and in.
 *
 * Certificates, trust and groups are the SSL_CTX's. Only TLS 1.3 with ALPN "h2" and without
 * resumption gets through (a resumed session would skip the certificate checks).
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

struct tls_stream;

/* Makes the context answer ALPN with "h2" only. For servers, once a context. */
void tls_context_serve_h2(SSL_CTX *ssl_ctx);

/*
 * A stream before its handshake. server_name (client, may be null) is sent as SNI unless it is a
 * numeric address; checking it is the caller's. NO_MEMORY.
 */
[[nodiscard]] enum status tls_stream_create(SSL_CTX *ssl_ctx, bool is_server,
                                            const char *server_name,
                                            struct tls_stream **ret_stream);
void tls_stream_destroy(struct tls_stream *stream);

SSL *tls_stream_ssl(const struct tls_stream *stream);

/*
 * Lends the next encrypted bytes; they are taken by tls_stream_handshake and tls_stream_read, which
 * must be called until AGAIN before the bytes go away or others are lent.
 */
void tls_stream_lend(struct tls_stream *stream, struct slice input);

/*
 * Goes on with the handshake. OK: complete. AGAIN: wants more input. IDENTITY: a certificate was
 * not accepted, by either side. PEER: else. After every status the output may have bytes to send.
 */
[[nodiscard]] enum status tls_stream_handshake(struct tls_stream *stream, struct error *err);

/*
 * Reads plain bytes. OK: ret_size of them, 0 when the peer closed in order (close_notify). AGAIN:
 * all input was taken. IDENTITY, PEER as above.
 */
[[nodiscard]] enum status tls_stream_read(struct tls_stream *stream, void *buffer, size_t capacity,
                                          size_t *ret_size, struct error *err);

/* Encrypts all of data into the output. NO_MEMORY, PEER (the stream is broken). */
[[nodiscard]] enum status tls_stream_write(struct tls_stream *stream, struct slice data,
                                           struct error *err);

/* Adds close_notify to the output where the handshake was complete and nothing broke. */
void tls_stream_shutdown(struct tls_stream *stream);

/* Encrypted bytes that wait to be sent; the caller takes them (bytes_consume, or by moving). */
struct bytes *tls_stream_output(struct tls_stream *stream);
