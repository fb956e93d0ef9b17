#!/bin/sh
# simulator.sh - how fast the simulator is: runs a minute, a day of 1,000 nodes, 10,000 nodes.
exec python3 "$(dirname "$0")/simulator.py" "$@"
