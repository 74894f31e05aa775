#!/bin/sh
# Turn KAFKA_* into settings as the official image does, format the storage, and become the server.
# KAFKA_ABC_DEF is abc.def, KAFKA_ABC__DEF is abc_def, KAFKA_ABC___DEF is abc-def.
set -eu
umask 077
settings=$(mktemp)
awk 'BEGIN {
  for (name in ENVIRON) {
    if (name !~ /^KAFKA_/ || name ~ /^KAFKA_(HEAP_OPTS|OPTS|JMX_OPTS|VERSION)$/) continue
    key = tolower(substr(name, 7))
    gsub(/_/, ".", key)
    gsub(/\.\.\./, "-", key)
    gsub(/\.\./, "_", key)
    print key "=" ENVIRON[name]
  }
}' > "$settings"
run() { # shellcheck disable=SC2086 - the options are several words
  exec java ${KAFKA_HEAP_OPTS:-} ${KAFKA_OPTS:-} -cp '/opt/kafka/libs/*' "$@"
}
(run kafka.tools.StorageTool format --ignore-formatted --cluster-id "${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}" --config "$settings")
run kafka.Kafka "$settings"
