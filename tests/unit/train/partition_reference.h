/*
 * partition_reference.h - made by partition_reference.py: digests of owners.
 */
#pragma once

/* clang-format off */
static const char reference_iid[] = "101f157a6ab7034fcf47c216a0983b349019c81ad482a5c2a56eca5cf5ee83d4";
static const char reference_even[] = "c4451e05859f75d60d1ec1f49fa372c7717a0ffb09821122c3dd8f47f88c8850";
static const char reference_half[] = "1aaab03182ee2366a6d1e07ad078b6569ff911dd11357dcbb8526692e9ca3d06";
static const char reference_tiny[] = "0f18368e352e0915ffdfb84f69688e9ce18a518be6340c9d23ed60ff87b3727d";
static const char reference_shards[] = "db2784747c92bfd20fb1c4a473113c89ad8609e5803a2a288fc38a94e21390d7";
/* clang-format on */
