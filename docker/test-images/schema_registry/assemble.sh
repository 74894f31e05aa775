#!/usr/bin/env bash
# Put Apicurio Registry into a folder, from its Maven artifact: a registry with Confluent's API to compare ours with.
# Needs Java 17 and Maven. Usage: assemble.sh FOLDER
set -euo pipefail
version=3.0.9
folder=${1:?usage: assemble.sh FOLDER}
artifact=io.apicurio:apicurio-registry-app:$version:tar.gz:all
[ -f "$folder/apicurio-registry-app-$version-runner.jar" ] && exit 0
mkdir -p "$folder"
mvn --quiet --batch-mode dependency:get -Dtransitive=false "-Dartifact=$artifact"
mvn --quiet --batch-mode dependency:copy "-Dartifact=$artifact" "-DoutputDirectory=$folder"
tar -xzf "$folder/apicurio-registry-app-$version-all.tar.gz" -C "$folder"
rm "$folder/apicurio-registry-app-$version-all.tar.gz"
