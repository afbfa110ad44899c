#!/bin/sh
# What Bytewax's chart, by which waxctl deploys, starts in a pod: it gives the names, and one folder that can be written.
set -eu
cd "$BYTEWAX_WORKDIR"
export HOME="$PWD" TMPDIR="$PWD"
if [ -n "${BYTEWAX_RECOVERY_DIRECTORY:-}" ]; then # Bytewax wants both then
  export BYTEWAX_SNAPSHOT_INTERVAL="${BYTEWAX_SNAPSHOT_INTERVAL:-10}"
  export BYTEWAX_RECOVERY_BACKUP_INTERVAL="${BYTEWAX_RECOVERY_BACKUP_INTERVAL:-0}"
fi
exec python -m bytewax.run "$BYTEWAX_PYTHON_FILE_PATH"
