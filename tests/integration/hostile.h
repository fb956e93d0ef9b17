/*
 * hostile.h - a peer that speaks the real protocol and says what a test wants it to say.
 *
 * Runs on the test's own event loop against a coordinator in a process of its own.
 */
#pragma once

#include "identity/envelope_key.h"
#include "identity/tls_context.h"
#include "mesh/mesh.h"
#include "rpc/rpc_client.h"
#include "wire/messages.h"

#include <uv.h>

enum { HOSTILE_PARAMETERS = 1000 };

/* What a test changes in an update before (header, payload) or after (envelope) it is signed. */
struct twist {
    void (*header)(struct envelope_header *header);
    void (*payload)(float *values); /* before it is hashed */
    bool flip_payload_byte;         /* after it was hashed */
    bool flip_header_byte;          /* after it was signed */
    bool no_samples;                /* which no encoder writes; signed all the same */
    const struct signer *signer;    /* another's; null: its own */
    size_t parameters;              /* 0: HOSTILE_PARAMETERS */
    bool keeps_signer_name;         /* with signer: the header still names the peer */
};

struct peer {
    uv_loop_t *loop;
    uv_timer_t timer;
    struct identity *identity;
    SSL_CTX *tls;
    struct signer signer;
    struct leaf *leaf;
    struct digest layout;
    char connect_host[64];
    uint16_t port;
    struct envelope_header beacon; /* the last one heard */
    uint32_t beacons;
    uint32_t counted;
    bool welcomed;
    bool lost;
    bool closed;
    bool answered;
    bool timed_out;
    enum status lost_status;
    char lost_reason[MESH_REASON_MAX];
    enum status receipt_status;
    struct receipt receipt;
    uint64_t pushes;
    struct bytes last_envelope; /* as it was sent, to be sent again */
    float last_payload[2 * HOSTILE_PARAMETERS];
    size_t last_size;
};

/* Opens the identity in a folder and makes a leaf to a port of 127.0.0.1. Asserts on failure. */
void peer_open(struct peer *peer, uv_loop_t *loop, const char *identity, uint16_t port);
void peer_close(struct peer *peer);

/* Joins as name (null: itself) for job, and waits for a beacon or the end. Whether it was let in.
 */
bool peer_join(struct peer *peer, const char *name, const char *job);

/* Waits until the peer has heard a beacon of that round. */
bool peer_wait_for_round(struct peer *peer, uint64_t round);

/*
 * Sends an update for the beacon heard last. Gives REASON_UNSPECIFIED where it was accepted, else
 * the reason of the refusal. twist may be null.
 */
enum reason peer_push(struct peer *peer, const struct twist *twist);

/* Sends what was sent last once more, byte by byte. */
enum reason peer_push_again(struct peer *peer);

/*
 * Makes any call with the identity in a folder, over a connection of its own, with one message, and
 * waits for its end. Gives its status; the text is put into ret_text, the first answer into
 * ret_answer (may be null).
 */
enum grpc_status call_as(uv_loop_t *loop, const char *identity, uint16_t port, const char *path,
                         struct slice message, char ret_text[static GRPC_MESSAGE_MAX],
                         struct bytes *ret_answer);
