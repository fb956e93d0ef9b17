/*
 * round_floor.c - what a round of N nodes costs at the least on this machine: N signatures and 2 N
 * verifications by one worker a core, and N durable writes by N processes at the same time.
 *
 * usage: round_floor [NODES FOLDER [REPEATS]]   (10 nodes, build/bench-floor, 5 repeats)
 *
 * Prints two medians in milliseconds: "sign_ms=... durable_ms=...". The header that is signed has
 * the size of an update's; the write is the node's own (store/outbox). FOLDER must lie on the disk
 * that the nodes would use; it is filled and emptied. Real workers and processes; nothing is
 * modelled.
 */
#include "base/digest.h"
#include "store/outbox.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    NODES_MAX = 10000,
    HEADER_BYTES = 420, /* of an update's header */
    SIGNATURE_MAX = 4096,
    PAYLOAD_BYTES = 4000, /* 1,000 parameters */
    REPEATS_DEFAULT = 5,
    REPEATS_MAX = 101,
    CORES_MAX = 256,
};

static double now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void stop(const char *what)
{
    fprintf(stderr, "round_floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- signatures ---- */

struct worker {
    pthread_t thread;
    EVP_PKEY *key;
    int count; /* updates that this worker signs and verifies twice */
};

static char context_string[] = "fedra/v1/update";

static EVP_PKEY_CTX *context_of(EVP_PKEY *key, EVP_SIGNATURE *algorithm, int signs)
{
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_SIGNATURE_PARAM_CONTEXT_STRING, context_string,
                                          sizeof(context_string) - 1),
        OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *const context = EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr);
    const int good = signs ? EVP_PKEY_sign_message_init(context, algorithm, parameters)
                           : EVP_PKEY_verify_message_init(context, algorithm, parameters);
    if (good != 1)
        stop("ML-DSA-65");
    return context;
}

static void *sign_and_verify(void *argument)
{
    struct worker *const worker = argument;
    EVP_SIGNATURE *const algorithm = EVP_SIGNATURE_fetch(nullptr, "ML-DSA-65", nullptr);
    uint8_t header[HEADER_BYTES] = {0};
    uint8_t signature[SIGNATURE_MAX];
    for (int i = 0; i < worker->count; i++) {
        size_t size = sizeof(signature);
        memcpy(header, &i, sizeof(i));
        EVP_PKEY_CTX *context = context_of(worker->key, algorithm, 1);
        if (EVP_PKEY_sign(context, signature, &size, header, sizeof(header)) != 1)
            stop("signing");
        EVP_PKEY_CTX_free(context);
        for (int j = 0; j < 2; j++) {
            context = context_of(worker->key, algorithm, 0);
            if (EVP_PKEY_verify(context, signature, size, header, sizeof(header)) != 1)
                stop("verifying");
            EVP_PKEY_CTX_free(context);
        }
    }
    EVP_SIGNATURE_free(algorithm);
    return nullptr;
}

static double sign_ms(EVP_PKEY *key, int nodes, int cores)
{
    static struct worker workers[CORES_MAX];
    const double begun = now_ms();
    for (int i = 0; i < cores; i++) {
        workers[i].key = key;
        workers[i].count = nodes / cores + (i < nodes % cores);
        if (pthread_create(&workers[i].thread, nullptr, sign_and_verify, &workers[i]) != 0)
            stop("a thread");
    }
    for (int i = 0; i < cores; i++)
        pthread_join(workers[i].thread, nullptr);
    return now_ms() - begun;
}

/* ---- durable writes ---- */

/* One node: opens its outbox, says so, and writes one update whenever it is told to. */
static void write_when_told(const char *folder, int index, int told, int done)
{
    char path[4096];
    uint8_t envelope[HEADER_BYTES + 3309] = {0};
    uint8_t payload[PAYLOAD_BYTES] = {0};
    struct outbox *outbox = nullptr;
    struct error err = {0};
    char byte = 0;
    snprintf(path, sizeof(path), "%s/%d", folder, index);
    if (outbox_file_open(path, &outbox, &err) != STATUS_OK) {
        fprintf(stderr, "round_floor: %s\n", err.text);
        _exit(1);
    }
    for (uint64_t round = 1;; round++) {
        if (write(done, &byte, 1) != 1 || read(told, &byte, 1) != 1)
            break;
        const struct outbox_key key = {.round = round};
        const struct slice slice = {payload, sizeof(payload)};
        uint64_t sequence = 0;
        if (outbox_put(outbox, &key, (struct slice){envelope, sizeof(envelope)}, &slice, 1,
                       &sequence, &err) != STATUS_OK) {
            fprintf(stderr, "round_floor: %s\n", err.text);
            _exit(1);
        }
    }
    outbox_close(outbox);
    _exit(0);
}

static void wait_for(int done, int nodes)
{
    char bytes[512];
    for (int left = nodes; left > 0;) {
        const size_t most = (size_t)left < sizeof(bytes) ? (size_t)left : sizeof(bytes);
        const ssize_t got = read(done, bytes, most);
        if (got <= 0)
            stop("a node is gone");
        left -= (int)got;
    }
}

static void durable_ms(const char *folder, int nodes, int repeats, double *ret_ms)
{
    int told[2];
    int done[2];
    static char go[NODES_MAX];
    if (pipe(told) != 0 || pipe(done) != 0)
        stop("a pipe");
    for (int i = 0; i < nodes; i++) {
        const pid_t pid = fork();
        if (pid < 0)
            stop("a process");
        if (pid == 0) {
            close(told[1]);
            close(done[0]);
            write_when_told(folder, i, told[0], done[1]);
        }
    }
    close(told[0]);
    close(done[1]);
    wait_for(done[0], nodes);
    for (int i = 0; i < repeats; i++) {
        const double begun = now_ms();
        if (write(told[1], go, (size_t)nodes) != nodes)
            stop("the go");
        wait_for(done[0], nodes);
        ret_ms[i] = now_ms() - begun;
    }
    close(told[1]);
    while (wait(nullptr) > 0)
        ;
    close(done[0]);
}

/* ---- all of it ---- */

static int compare(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), compare);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

int main(int argc, char **argv)
{
    double values[REPEATS_MAX];
    const int nodes = argc > 1 ? (int)strtol(argv[1], nullptr, 10) : 10;
    const char *const folder = argc > 2 ? argv[2] : "build/bench-floor";
    const int repeats = argc > 3 ? (int)strtol(argv[3], nullptr, 10) : REPEATS_DEFAULT;
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (nodes < 1 || nodes > NODES_MAX || repeats < 1 || repeats > REPEATS_MAX || cores < 1 ||
        cores > CORES_MAX) {
        fprintf(stderr, "usage: round_floor NODES FOLDER [REPEATS]: 1 to %d nodes\n", NODES_MAX);
        return 2;
    }
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        stop(folder);
    durable_ms(folder, nodes, repeats, values);
    const double durable = median(values, repeats);
    EVP_PKEY *const key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ML-DSA-65");
    if (key == nullptr)
        stop("a key");
    for (int i = 0; i < repeats; i++)
        values[i] = sign_ms(key, nodes, (int)cores);
    printf("sign_ms=%.2f durable_ms=%.2f\n", median(values, repeats), durable);
    EVP_PKEY_free(key);
    return 0;
}
