#!/usr/bin/env bash
# Writes tests/corpus anew with the real Kafka: data directories by Corpus.java, texts by its DumpLogSegments.
# Usage: tests/interop/make-corpus.sh    (needs Java 17 and Maven; about a minute)
set -euo pipefail
cd "$(dirname "$0")/../.."
top=$PWD
jars=${KLAMM_KAFKA_JARS:-$top/target/kafka-jars}
[ -d "$jars" ] || mvn -q -f tests/interop/pom.xml dependency:copy-dependencies -DoutputDirectory="$jars"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
javac -d "$work/classes" -cp "$jars/*" tests/interop/java/*.java
java_run() { java -Dfile.encoding=UTF-8 -Dlog4j2.configurationFile="$top/tests/interop/log4j2.properties" -cp "$jars/*:$work/classes" "$@"; }
java_run Corpus "$work/out" 2> "$work/stderr" || { cat "$work/stderr"; exit 1; }

corpus=$top/tests/corpus
rm -rf "$corpus"/{formatted,stopped,legacy,damaged,dumps,killed.tar.gz}
cp -r "$work"/out/{formatted,stopped,legacy,damaged} "$corpus"/
chmod -R u+w "$corpus"
tar -C "$work/out" --sort=name --owner=0 --group=0 --numeric-owner -czf "$corpus/killed.tar.gz" killed

# One line per dump: file of dumps/, exit code, arguments. Paths are relative to tests/corpus (killed/ unpacked there).
rm -rf "$work"/plan && touch "$work"/plan
plan() { # arguments...
  local name
  name=$(printf '%s' "$*" | sed -e 's/--files //' -e 's/,.*\././' -e 's/00000000000000000/~/g' -e 's/ --/+/g' -e 's,[/ ],_,g')
  printf '%s\t%s\n' "$name.txt" "$*" >> "$work/plan"
}
cp -r "$corpus" "$work/corpus" && tar -C "$work/corpus" -xzf "$corpus/killed.tar.gz" && cd "$work/corpus"
for log in stopped/*/*.log legacy/*/*.log damaged/*/*.log killed/{epochs-0,transactions-0,__cluster_metadata-0}/*.log; do
  plan --files "$log"
  plan --files "$log" --deep-iteration
  case $log in
    stopped/__cluster_metadata-0/*) plan --cluster-metadata-decoder --files "$log"; plan --cluster-metadata-decoder --skip-record-metadata --files "$log";;
    killed/__cluster_metadata-0/*) plan --cluster-metadata-decoder --files "$log";;
    stopped/__consumer_offsets-0/*) plan --offsets-decoder --files "$log";;
    stopped/__transaction_state-0/*) plan --transaction-log-decoder --files "$log";;
    damaged/*) ;;
    *) plan --print-data-log --files "$log";;
  esac
done
for log in stopped/{shapes-0,transactions-0}/*.log; do
  plan --print-data-log --skip-record-metadata --files "$log"
done
shapes=stopped/shapes-0/00000000000000000000.log
for class in Default Integer Long String; do
  plan --files "$shapes" --value-decoder-class org.apache.kafka.tools.api."$class"Decoder
  plan --files "$shapes" --key-decoder-class org.apache.kafka.tools.api."$class"Decoder
done
plan --files "$shapes" --key-decoder-class org.apache.kafka.tools.api.IntegerDecoder --value-decoder-class org.apache.kafka.tools.api.LongDecoder --skip-record-metadata
for bytes in 0 60 61 1000 4000; do plan --files stopped/codec-none-0/00000000000000000000.log --max-bytes "$bytes"; done
plan --files stopped/codec-none-0/00000000000000000000.log --deep-iteration --max-bytes 3000
plan --files stopped/codec-none-0/00000000000000000000.log --max-message-size 500
for index in stopped/*/*index damaged/*/*index killed/{epochs-0,transactions-0}/*index; do
  plan --files "$index"
  case $index in
    *txnindex) ;;
    *) plan --index-sanity-check --files "$index"; plan --verify-index-only --files "$index"; plan --max-message-size 100 --files "$index";;
  esac
done
for snapshot in stopped/*/*.snapshot damaged/*/*.snapshot; do plan --files "$snapshot"; done
for checkpoint in formatted/bootstrap.checkpoint stopped/bootstrap.checkpoint {formatted,stopped}/*/*.checkpoint; do
  plan --files "$checkpoint"
  plan --cluster-metadata-decoder --files "$checkpoint"
  plan --cluster-metadata-decoder --skip-record-metadata --files "$checkpoint"
done
rolled=stopped/rolled-0/00000000000000000000
plan --files "$rolled.log,$rolled.index,$rolled.timeindex,stopped/epochs-0/00000000000000000000.log"
plan --files "stopped/nothing-here-0/00000000000000000000.log"
plan --files "stopped/meta.properties"
mkdir dumps
sed 's,^,dumps/,' "$work/plan" | java_run Dump > "$work/codes"
paste "$work/plan" "$work/codes" | awk -F'\t' '{print $1 "\t" $3 "\t" $2}' > dumps/MANIFEST.tsv
cp -r dumps "$corpus"/
du -sh --apparent-size "$corpus"
