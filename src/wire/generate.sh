#!/bin/sh
# generate.sh - compiles one of the published protos to C, with every string as bytes.
# generate.sh PROTOC_C OUTPUT_FOLDER NAME PROTO...
set -eu
protoc_c=$1 folder=$2 name=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/in" "$work/out"
for proto; do
    sed -E -e 's/^( *)(repeated )?string /\1\2bytes /' -e 's,import "fedra/v1/,import ",' \
        "$proto" >"$work/in/${proto##*/}"
done
"$protoc_c" -I "$work/in" --c_out="$work/out" "$name.proto" 2>"$work/log" || {
    cat "$work/log" >&2
    exit 1
}
mv "$work/out/$name.pb-c.c" "$work/out/$name.pb-c.h" "$folder/"
