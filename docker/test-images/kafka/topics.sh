#!/bin/sh
# What the official image has at this place; the health check of the compose file asks with it.
# shellcheck disable=SC2086 - the options are several words
exec java ${KAFKA_HEAP_OPTS:-} -cp '/opt/kafka/libs/*' org.apache.kafka.tools.TopicCommand "$@"
