/*
 * rpc_limits.c - the defaults and ranges of a connection's limits.
 */
#include "rpc/rpc_limits.h"

enum {
    WINDOW_BYTES_MIN = 65535,      /* RFC 9113, 6.9.2: what every connection begins with */
    WINDOW_BYTES_MAX = 0x7fffffff, /* RFC 9113, 6.9.1 */
    FRAME_BYTES_MIN = 16384,       /* RFC 9113, 6.5.2 */
    FRAME_BYTES_MAX = 16777215,
    MIB = 1024 * 1024,
};

static uint32_t resolve(uint32_t value, uint32_t standard, uint32_t min, uint32_t max)
{
    if (value == 0)
        return standard;
    return value < min ? min : value > max ? max : value;
}

struct rpc_limits rpc_limits_resolve(const struct rpc_limits *limits)
{
    const struct rpc_limits in = limits != nullptr ? *limits : (struct rpc_limits){};
    return (struct rpc_limits){
        .streams_max = resolve(in.streams_max, 100, 1, 1 << 20),
        .stream_window_bytes =
            resolve(in.stream_window_bytes, MIB, WINDOW_BYTES_MIN, WINDOW_BYTES_MAX),
        .connection_window_bytes =
            resolve(in.connection_window_bytes, 4 * MIB, WINDOW_BYTES_MIN, WINDOW_BYTES_MAX),
        .frame_bytes_max = resolve(in.frame_bytes_max, 64 * 1024, FRAME_BYTES_MIN, FRAME_BYTES_MAX),
        .header_list_bytes_max = resolve(in.header_list_bytes_max, 16 * 1024, 1024, 65536),
        .message_bytes_max = resolve(in.message_bytes_max, 4 * MIB, 1, 1u << 30),
        .assembly_bytes_max = resolve(in.assembly_bytes_max, 32 * MIB, 1, UINT32_MAX),
        .send_queue_bytes_max = resolve(in.send_queue_bytes_max, 2 * MIB, 1, 1u << 30),
        .resets_max = resolve(in.resets_max, 200, 1, UINT32_MAX),
        .resets_per_second = resolve(in.resets_per_second, 20, 1, UINT32_MAX),
        .keepalive_interval_ms = resolve(in.keepalive_interval_ms, 20000, 1, UINT32_MAX),
        .keepalive_timeout_ms = resolve(in.keepalive_timeout_ms, 10000, 1, UINT32_MAX),
        .idle_timeout_ms = in.idle_timeout_ms,
    };
}
