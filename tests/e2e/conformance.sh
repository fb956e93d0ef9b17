#!/bin/sh
# conformance.sh - a foreign gRPC client, grpcurl (Go), talks to a running coordinator over mutual TLS.
#
# Go's TLS wants the server's host name in its certificate; an SVID has a SPIFFE ID and no host name, so grpcurl is told
# not to look (-insecure). That the server is who it should be is what our own clients check, and other tests show.
#
# grpcurl's own module asks for the defaults of an older Go, which had no ML-KEM: tlsmlkem=1 gives those of today.
set -u
export GODEBUG=tlsmlkem=1
top=$(cd "$(dirname "$0")/../.." && pwd)
run=$top/build/conformance-run
passed=0 failed=0
rm -rf "$run"
mkdir -p "$top/build"

"$top/build/fedra" up "$top/examples/fashion-mnist.yaml" --nodes 2 --run-dir "$run" --set model.kind=flat --set 'model.hidden=[]' \
    --set train.trainer=fixed --set data.format=none --set data.evaluate_test_at_end=false --set validation.source=none \
    --set convergence.max_rounds=1000000 >"$top/build/conformance.out" 2>&1 &
up=$!
trap 'kill -9 $up 2>/dev/null' EXIT
tries=0
until grep -q coordinator.listening "$run/logs/coordinator.log" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || { echo "the coordinator does not listen"; cat "$top/build/conformance.out"; exit 1; }
    sleep 0.1
done
port=$(sed -n 's/.*coordinator.listening .*port=\([0-9]*\).*/\1/p' "$run/logs/coordinator.log" | head -n 1)
certificates="-insecure -cert $run/identity/operator/svid.pem -key $run/identity/operator/svid.key"
health="-import-path $top/proto -proto grpc/health/v1/health.proto"

# expect NAME PATTERN COMMAND...: the output must match.
expect() {
    name=$1 pattern=$2
    shift 2
    if "$@" 2>&1 | tr -d '\n' | grep -q "$pattern"; then
        passed=$((passed + 1))
        echo "ok - $name"
    else
        failed=$((failed + 1))
        echo "not ok - $name"
        "$@" 2>&1 | sed 's/^/# /'
    fi
}

# shellcheck disable=SC2086
{
    expect "the server as a whole is serving" '"status": *"SERVING"' \
        grpcurl $certificates $health "127.0.0.1:$port" grpc.health.v1.Health/Check
    expect "the federation is serving" '"status": *"SERVING"' \
        grpcurl $certificates $health -d '{"service":"fedra.v1.Federation"}' "127.0.0.1:$port" grpc.health.v1.Health/Check
    expect "an unknown service is not found" 'NotFound' \
        grpcurl $certificates $health -d '{"service":"nobody"}' "127.0.0.1:$port" grpc.health.v1.Health/Check
    expect "a watch streams" '"status": *"SERVING"' \
        timeout 2 grpcurl $certificates $health "127.0.0.1:$port" grpc.health.v1.Health/Watch
    expect "an operator may not join" 'PermissionDenied' \
        grpcurl $certificates -import-path "$top/proto" -proto fedra/v1/federation.proto -d '{"version":1}' \
        "127.0.0.1:$port" fedra.v1.Federation/Join
    expect "an unknown method is unimplemented" 'Unimplemented' \
        grpcurl $certificates -import-path "$top/proto" -proto fedra/v1/authority.proto -d '{}' \
        "127.0.0.1:$port" fedra.v1.Authority/GetBundle
    expect "no client certificate, no answer" 'certificate required\|Failed to dial\|connection' \
        grpcurl -insecure -connect-timeout 3 $health "127.0.0.1:$port" grpc.health.v1.Health/Check
    expect "no plaintext" 'Failed to dial\|connection\|EOF\|deadline' \
        grpcurl -plaintext -connect-timeout 3 $health "127.0.0.1:$port" grpc.health.v1.Health/Check
}
kill -INT $up
wait $up
trap - EXIT
echo "conformance: $passed passed, $failed failed"
[ "$failed" = 0 ]
