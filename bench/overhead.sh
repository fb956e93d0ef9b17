#!/bin/sh
# overhead.sh - what a round costs without training: a process a node, everything signed, verified and durable.
exec python3 "$(dirname "$0")/overhead.py" "$@"
