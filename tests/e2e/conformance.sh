#!/bin/sh
# conformance.sh - a foreign gRPC client, grpcurl (Go), talks to a running coordinator over mutual TLS.
#
# Go checks a server's certificate against a host name or address, and an SVID has neither, only its SPIFFE ID: with
# -cacert grpcurl says "doesn't contain any IP SANs", whatever -authority or -servername says. So it is told not to look
# (-insecure). That the server is who it should be is what our own clients check, and other tests show.
# The server does check the client: its refusals are read from its log, as grpcurl only sees a connection that ends.
#
# grpcurl's own module asks for the defaults of an older Go, which had no ML-KEM: tlsmlkem=1 gives those of today.
set -u
export GODEBUG=tlsmlkem=1
top=$(cd "$(dirname "$0")/../.." && pwd)
fedra=${FEDRA_BINARY:-$top/build/fedra}
run=$top/build/conformance-run
log=$run/logs/coordinator.log
passed=0 failed=0
rm -rf "$run"
mkdir -p "$top/build"

"$fedra" up "$top/examples/overhead.yaml" --nodes 2 --run-dir "$run" --set aggregation.start_nodes=2 \
    --set convergence.max_rounds=1000000 >"$top/build/conformance.out" 2>&1 &
up=$!
trap 'kill -9 $up 2>/dev/null' EXIT # the kernel ends its children with it
tries=0
until grep -qs 'version.committed a=1 ' "$log"; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || { echo "no round was committed"; cat "$top/build/conformance.out"; exit 1; }
    sleep 0.1
done
address=127.0.0.1:$(sed -n 's/.*coordinator.listening .*port=\([0-9]*\).*/\1/p' "$log" | head -n 1)
operator="-cert $run/identity/operator/svid.pem -key $run/identity/operator/svid.key"
health="-connect-timeout 3 -import-path $top/proto -proto grpc/health/v1/health.proto"
federation="-import-path $top/proto -proto fedra/v1/federation.proto"
control="-import-path $top/proto -proto fedra/v1/control.proto"
authority="-import-path $top/proto -proto fedra/v1/authority.proto"
check=grpc.health.v1.Health/Check

# result NAME OUTPUT: counts by the status of the command before.
result() {
    if [ $? = 0 ]; then
        passed=$((passed + 1))
        echo "ok - $1"
    else
        failed=$((failed + 1))
        echo "not ok - $1"
        printf '%s\n' "$2" | sed 's/^/# /'
    fi
}

# expect NAME PATTERN COMMAND...: what it says, on one line, must match.
expect() {
    name=$1 pattern=$2
    shift 2
    said=$("$@" 2>&1 | tr '\n' ' ')
    printf '%s' "$said" | grep -q "$pattern"
    result "$name" "$said"
}

# refused NAME REASON COMMAND...: it must fail, and the server must say that it refused a connection, and why.
refused() {
    name=$1 reason=$2
    shift 2
    before=$(grep -c "connection.refused .*$reason" "$log")
    said=$("$@" 2>&1) && said="it was answered: $said"
    after=$(grep -c "connection.refused .*$reason" "$log")
    case $said in "it was answered"*) false ;; *) [ "$after" -gt "$before" ] ;; esac
    result "$name" "$said"
}

# shellcheck disable=SC2086
{
    expect "the server as a whole is serving" '"status": *"SERVING"' \
        grpcurl -insecure $operator $health $address $check
    expect "the federation is serving" '"status": *"SERVING"' \
        grpcurl -insecure $operator $health -d '{"service":"fedra.v1.Federation"}' $address $check
    expect "an unknown service is not found" 'Code: NotFound' \
        grpcurl -insecure $operator $health -d '{"service":"nobody"}' $address $check
    expect "a watch streams" '"status": *"SERVING"' \
        timeout 2 grpcurl -insecure $operator $health $address grpc.health.v1.Health/Watch
    expect "an operator may not join" 'Code: PermissionDenied' \
        grpcurl -insecure $operator $federation -d '{"version":1}' $address fedra.v1.Federation/Join
    expect "an operator sees the status" '"phase": *"PHASE_.*"connected": *2' \
        grpcurl -insecure $operator $control -d '{"job":"overhead"}' $address fedra.v1.Control/GetStatus
    expect "an operator sees the members, page by page" 'node-000".*"nextPageToken": *"spiffe://fedra.local/fedra/node/node-000"' \
        grpcurl -insecure $operator $control -d '{"pageSize":1}' $address fedra.v1.Control/ListMembers
    expect "a watch of the status streams" '"sequence": *"[0-9]*".*"sequence": *"[0-9]*"' \
        timeout 2 grpcurl -insecure $operator $control -d '{}' $address fedra.v1.Control/WatchStatus
    expect "a node may not see the status" 'Code: PermissionDenied.*right is an operator' \
        grpcurl -insecure -cert $run/identity/node-000/svid.pem -key $run/identity/node-000/svid.key $control \
        -d '{}' $address fedra.v1.Control/GetStatus
    expect "an unknown method is unimplemented" 'Code: Unimplemented' \
        grpcurl -insecure $operator $authority -d '{}' $address fedra.v1.Authority/GetBundle
    refused "no client certificate, no answer" 'the peer sent no certificate' \
        grpcurl -insecure $health $address $check
    refused "no post-quantum key exchange, no answer" 'no shared group for the key exchange' \
        env GODEBUG=tlsmlkem=0 grpcurl -insecure $operator $health $address $check
    refused "plaintext, no answer" 'TLS 1.3 is needed' \
        grpcurl -plaintext $health $address $check
    expect "after all that it is still serving" '"status": *"SERVING"' \
        grpcurl -insecure $operator $health $address $check
}
kill -INT $up
wait $up
trap - EXIT
echo "conformance: $passed passed, $failed failed"
[ "$failed" = 0 ]
