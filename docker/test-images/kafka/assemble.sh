#!/usr/bin/env bash
# Assemble Apache Kafka from its Maven artifacts into a folder that can be a KAFKA_HOME. Needs mvn, with the
# repositories that it is configured for. Usage: assemble.sh FOLDER [VERSION]
set -euo pipefail
folder=${1:?usage: assemble.sh FOLDER [VERSION]}
version=${2:-4.1.1}
if compgen -G "$folder/libs/kafka-tools-$version.jar" >/dev/null; then exit 0; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>assembled</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
rm -rf "$folder/libs"
mvn --quiet --batch-mode --file "$work/pom.xml" dependency:copy-dependencies \
  -DincludeScope=runtime -DoutputDirectory="$work/libs"
mkdir -p "$folder"
chmod 755 "$work/libs"
mv "$work/libs" "$folder/libs"
chmod 644 "$folder"/libs/*.jar
