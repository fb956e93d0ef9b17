#!/bin/sh
# overhead.sh - what a round costs without training: ten node processes, everything signed, verified and durable.
exec python3 "$(dirname "$0")/overhead.py" "$@"
