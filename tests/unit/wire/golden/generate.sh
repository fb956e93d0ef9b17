#!/bin/sh
# generate.sh - the expected bytes of each text message, by protobuf's own encoder (C++), or a check
# that they are still these. generate.sh [--check]; exit 77 where there is no encoder.
set -eu
cd "$(dirname "$0")"
tool=$(command -v protoc || command -v protoc-c) || { echo "skipped: neither protoc nor protoc-c"; exit 77; }
while read -r name message file; do
    out=$name.bin
    [ "${1:-}" = --check ] && out=$(mktemp)
    "$tool" -I ../../../../proto --encode="fedra.v1.$message" "fedra/v1/$file.proto" <"$name.textproto" >"$out" 2>/dev/null
    if [ "${1:-}" = --check ]; then
        cmp "$out" "$name.bin"
        rm -f "$out"
    fi
done <<'LIST'
update_header Header envelope
beacon_header Header envelope
join_request JoinRequest federation
welcome Directive federation
counted Directive federation
dropped Directive federation
offer Directive federation
drain Directive federation
finished Directive federation
blob_request BlobRequest federation
chunk Chunk federation
update_part_chunk UpdatePart federation
receipt Receipt federation
pulse Pulse federation
record_head CommitRecord record
control_list ListMembersRequest control
control_get GetMemberRequest control
control_status Status control
control_member Member control
control_page ListMembersResponse control
LIST
