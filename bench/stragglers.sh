#!/bin/sh
# stragglers.sh - what slow nodes cost: rounds a second at K = 0.85 beside those at K = 1.0.
exec python3 "$(dirname "$0")/stragglers.py" "$@"
