/*
 * rpc_limits.h - the bounds of one HTTP/2 connection, the same for both sides.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Zero in a field means its default (in brackets), so {} is a good set of limits. */
struct rpc_limits {
    uint32_t streams_max;             /* calls under way a connection, by the peer [100] */
    uint32_t stream_window_bytes;     /* what a peer may send unread a call [1 MiB] */
    uint32_t connection_window_bytes; /* the same for all calls of a connection [4 MiB] */
    uint32_t frame_bytes_max;         /* largest frame taken; 16 KiB to 16 MiB - 1 [64 KiB] */
    uint32_t header_list_bytes_max;   /* headers or trailers of one message [16 KiB] */
    uint32_t message_bytes_max;       /* one message, both directions [4 MiB] */
    uint32_t assembly_bytes_max;      /* unfinished messages of a connection together [32 MiB] */
    uint32_t send_queue_bytes_max;    /* high-water mark of a call's queue; low is half [2 MiB] */
    uint32_t resets_max;              /* RST_STREAM by the peer at once [200] ... */
    uint32_t resets_per_second;       /* ... and how fast that allowance grows back [20] */
    uint32_t keepalive_interval_ms;   /* PING after this long without a byte [20,000] */
    uint32_t keepalive_timeout_ms;    /* no byte after a PING for this long: lost [10,000] */
    uint32_t idle_timeout_ms;         /* drained after this long without a call [never] */
};

/* The same with every zero replaced by its default and every field brought into its range. */
struct rpc_limits rpc_limits_resolve(const struct rpc_limits *limits);
