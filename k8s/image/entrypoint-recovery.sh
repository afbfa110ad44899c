#!/bin/sh
# What Bytewax's chart runs in each pod before the flow: one of them makes the recovery folder, where there is none.
set -eu
exec flock "$BYTEWAX_RECOVERY_DIRECTORY" sh -euc '
  [ -e "$BYTEWAX_RECOVERY_DIRECTORY/part-0.sqlite3" ] ||
    python -m bytewax.recovery "$BYTEWAX_RECOVERY_DIRECTORY" "$BYTEWAX_RECOVERY_PARTS"'
