#!/usr/bin/env bash
# Apache Kafka itself on 127.0.0.1, one KRaft node, from Maven Central's jars (pom.xml pins them). Needs Java 17+ and Maven.
#   kafka.sh jars             fetch the jars once, into .kafka/libs (54 MB)
#   kafka.sh start DIR [PORT] start a broker that keeps its data in DIR; wait until it answers; print host:port
#   kafka.sh stop DIR         end it cleanly, wait until it is gone
#   kafka.sh kill DIR         SIGKILL it; `start` brings it back on the same port with its data
# Without PORT two free ports are taken at the first start and kept in DIR/ports.
# KAFKA_PROPERTIES names a file to use as server.properties, with @PORT@, @CONTROLLER@ and @DIR@ in it (default: no security).
# KAFKA_HEAP (512m), KAFKA_LOG (warn), KAFKA_LIBS (.kafka/libs); the broker's log is DIR/kafka.log.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
libs=${KAFKA_LIBS:-$here/../../.kafka/libs}

usage() { sed -n '2,9p' "$0" >&2; exit 2; }
fail() { echo "kafka.sh: $*" >&2; exit 1; }
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
running() { [ -f "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null; }
kafka_java() { java -Dorg.slf4j.simpleLogger.defaultLogLevel="${KAFKA_LOG:-warn}" -cp "$libs/*" "$@"; }

fetch_jars() {
  [ -f "$libs/.complete" ] && return
  command -v java >/dev/null || fail "no java: install a Java 17 runtime"
  command -v mvn >/dev/null || fail "no mvn: install Maven"
  mkdir -p "$libs"
  (
    flock 9 # two test sessions may start at once; without it one runs on half a class path
    [ -f "$libs/.complete" ] && exit
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$libs" >&2
    touch "$libs/.complete"
  ) 9>"$libs/.lock"
}

# Below the kernel's ephemeral range: otherwise a client's outgoing connection may take the port while the broker is down.
free_port() {
  local port
  for _ in $(seq 200); do
    port=$((20000 + RANDOM % 12000))
    answers "$port" || { echo "$port"; return; }
  done
  fail "no free port"
}

write_properties() {
  if [ -n "${KAFKA_PROPERTIES:-}" ]; then # a file of the caller's, with @PORT@, @CONTROLLER@ and @DIR@ to fill in
    sed -e "s|@PORT@|$port|g; s|@CONTROLLER@|$controller|g; s|@DIR@|$dir|g" "$KAFKA_PROPERTIES" >"$dir/server.properties"
    return
  fi
  cat >"$dir/server.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.partitions=4
P
}

start() {
  running && fail "$dir runs already, pid $(cat "$dir/pid")"
  fetch_jars
  mkdir -p "$dir/data"
  [ -f "$dir/ports" ] || echo "${1:-$(free_port)} $(free_port)" >"$dir/ports"
  read -r port controller <"$dir/ports"
  write_properties
  [ -f "$dir/data/meta.properties" ] || kafka_java kafka.tools.StorageTool format \
    -t "$(kafka_java kafka.tools.StorageTool random-uuid 2>/dev/null | tail -1)" -c "$dir/server.properties" >"$dir/format.log" 2>&1
  setsid java -Xmx"${KAFKA_HEAP:-512m}" -Dorg.slf4j.simpleLogger.defaultLogLevel="${KAFKA_LOG:-warn}" \
    -cp "$libs/*" kafka.Kafka "$dir/server.properties" >>"$dir/kafka.log" 2>&1 </dev/null &
  echo $! >"$dir/pid"
  for _ in $(seq 600); do
    answers "$port" && { echo "127.0.0.1:$port"; return; }
    running || { tail -5 "$dir/kafka.log" >&2; fail "the broker ended at its start"; }
    sleep 0.1
  done
  tail -5 "$dir/kafka.log" >&2
  fail "no answer within 60 s"
}

end() {
  running || { rm -f "$dir/pid"; return 0; }
  kill "$1" "$(cat "$dir/pid")"
  for _ in $(seq 300); do
    running || { rm -f "$dir/pid"; return 0; }
    sleep 0.1
  done
  fail "pid $(cat "$dir/pid") did not end within 30 s"
}

command=${1:-}
if [ "$command" = jars ]; then fetch_jars; exit; fi
[ $# -ge 2 ] || usage
mkdir -p "$2"
dir=$(cd "$2" && pwd)
case $command in
  start) start "${3:-}" ;;
  stop) end -TERM ;;
  kill) end -KILL ;;
  *) usage ;;
esac
