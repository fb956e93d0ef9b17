/*
 * tls_stream_test.c - TLS 1.3 between two streams in memory, byte by byte and cut at every byte.
 */
#include "testing.h"

#include "rpc/tls_stream.h"
#include "rpc_certs.h"

#include <openssl/ssl.h>
#include <string.h>

struct both {
    struct test_ca ca;
    SSL_CTX *client_ctx;
    SSL_CTX *server_ctx;
    struct tls_stream *client;
    struct tls_stream *server;
};

static void begin(struct both *both)
{
    test_ca_init(&both->ca);
    both->client_ctx = test_context(&both->ca, TEST_LEAF_GOOD, "X25519MLKEM768");
    both->server_ctx = test_context(&both->ca, TEST_LEAF_GOOD, "X25519MLKEM768");
    tls_context_serve_h2(both->server_ctx);
    assert_int_equal(tls_stream_create(both->client_ctx, false, "fedra.test", &both->client),
                     STATUS_OK);
    assert_int_equal(tls_stream_create(both->server_ctx, true, nullptr, &both->server), STATUS_OK);
}

static void end(struct both *both)
{
    tls_stream_destroy(both->client);
    tls_stream_destroy(both->server);
    SSL_CTX_free(both->client_ctx);
    SSL_CTX_free(both->server_ctx);
    test_ca_deinit(&both->ca);
}

/* Moves from's output to to, step bytes at a time; the status of to's handshake. */
static enum status step_handshake(struct tls_stream *from, struct tls_stream *to, size_t step)
{
    struct error err = {};
    struct bytes *const wire = tls_stream_output(from);
    enum status status = tls_stream_handshake(to, &err);
    while (wire->size > 0) {
        const size_t size = wire->size < step ? wire->size : step;
        assert_true(status == STATUS_AGAIN || status == STATUS_OK);
        tls_stream_lend(to, (struct slice){wire->data, size});
        status = tls_stream_handshake(to, &err);
        if (status == STATUS_OK) { /* what follows the handshake is read */
            uint8_t byte;
            size_t read = 0;
            assert_int_equal(tls_stream_read(to, &byte, 1, &read, &err), STATUS_AGAIN);
        }
        bytes_consume(wire, size);
    }
    return status;
}

static void shake_hands(struct both *both, size_t step)
{
    struct error err = {};
    assert_int_equal(tls_stream_handshake(both->client, &err), STATUS_AGAIN);
    assert_int_equal(step_handshake(both->client, both->server, step), STATUS_AGAIN);
    assert_int_equal(step_handshake(both->server, both->client, step), STATUS_OK);
    assert_int_equal(step_handshake(both->client, both->server, step), STATUS_OK);
    assert_int_equal(SSL_version(tls_stream_ssl(both->client)), TLS1_3_VERSION);
    assert_string_equal(SSL_get0_group_name(tls_stream_ssl(both->server)), "X25519MLKEM768");
    assert_string_equal(SSL_get_servername(tls_stream_ssl(both->server), TLSEXT_NAMETYPE_host_name),
                        "fedra.test");
}

static void bytes_arrive_as_they_were_sent_and_the_end_is_told(void **state)
{
    struct both both;
    struct error err = {};
    uint8_t buffer[100];
    size_t size = 0;
    begin(&both);
    shake_hands(&both, 1);
    assert_int_equal(
        tls_stream_write(both.client, (struct slice){(const uint8_t *)"secret", 6}, &err),
        STATUS_OK);
    tls_stream_shutdown(both.client);
    struct bytes *const wire = tls_stream_output(both.client);
    assert_null(memmem(wire->data, wire->size, "secret", 6));
    tls_stream_lend(both.server, bytes_slice(wire));
    assert_int_equal(tls_stream_read(both.server, buffer, sizeof(buffer), &size, &err), STATUS_OK);
    assert_int_equal(size, 6);
    assert_memory_equal(buffer, "secret", 6);
    assert_int_equal(tls_stream_read(both.server, buffer, sizeof(buffer), &size, &err), STATUS_OK);
    assert_int_equal(size, 0);
    end(&both);
}

static void a_flipped_bit_breaks_the_stream(void **state)
{
    struct both both;
    struct error err = {};
    uint8_t buffer[100];
    size_t size = 0;
    begin(&both);
    shake_hands(&both, SIZE_MAX);
    assert_int_equal(
        tls_stream_write(both.client, (struct slice){(const uint8_t *)"secret", 6}, &err),
        STATUS_OK);
    struct bytes *const wire = tls_stream_output(both.client);
    wire->data[wire->size - 1] ^= 1;
    tls_stream_lend(both.server, bytes_slice(wire));
    assert_int_equal(tls_stream_read(both.server, buffer, sizeof(buffer), &size, &err),
                     STATUS_PEER);
    assert_int_equal(tls_stream_write(both.server, (struct slice){buffer, 1}, &err), STATUS_PEER);
    end(&both);
}

static void a_hello_cut_anywhere_waits(void **state)
{
    struct both both;
    struct error err = {};
    begin(&both);
    assert_int_equal(tls_stream_handshake(both.client, &err), STATUS_AGAIN);
    const struct slice hello = bytes_slice(tls_stream_output(both.client));
    for (size_t size = 0; size < hello.size; size += 37) {
        struct tls_stream *server = nullptr;
        assert_int_equal(tls_stream_create(both.server_ctx, true, nullptr, &server), STATUS_OK);
        tls_stream_lend(server, (struct slice){hello.data, size});
        assert_int_equal(tls_stream_handshake(server, &err), STATUS_AGAIN);
        tls_stream_destroy(server);
    }
    end(&both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_as_they_were_sent_and_the_end_is_told),
        cmocka_unit_test(a_flipped_bit_breaks_the_stream),
        cmocka_unit_test(a_hello_cut_anywhere_waits),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
