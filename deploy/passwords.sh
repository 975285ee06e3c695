#!/bin/sh
# Writes a random password for each user of Kafka, and for Grafana's administrator, to a file that only its owner can read.
# Passwords that the file has already are kept; delete a line to change one: sh deploy/passwords.sh FILE
set -eu
file=$1
umask 077
mkdir -p "$(dirname "$file")"
touch "$file"
for user in ADMIN GATEWAY FEATURES SCORER JOINER TRAINER PUBLISHERS TOOLS SCHEMA_REGISTRY; do
    set -- "$@" "KAFKA_PASSWORD_$user"
done
shift
for name in "$@" GRAFANA_PASSWORD; do
    grep -q "^$name=..*" "$file" ||
        printf '%s=%s\n' "$name" "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" >>"$file"
done
