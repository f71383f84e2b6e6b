# shellcheck shell=bash
# Real servers on private ports, for scripts/quickstart, scripts/test and scripts/bench. To be sourced.
#
#   servers_start DIR    starts what the conventional variables do not name, with its data in DIR
#   servers_stop         stops what servers_start started, by pid
#
# With KAFKA_WITH_GATE=1, a broker started here has a second listener that names another address than its own, and
# KAFKA_GATE is `address,address of the second listener,what that one calls itself`.
#
# Sets and exports KAFKA_BROKERS, DATABASE_URL and REDIS_URL. KAFKA_PID, POSTGRES_DATA and REDIS_PID tell what
# was started here. Installs Debian packages, and Kafka from Maven Central into .cache, where they are missing.

KAFKA_VERSION=4.3.0
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
KAFKA_LIBS=$ROOT/.cache/kafka-$KAFKA_VERSION
SERVERS=()

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# install_missing COMMAND=PACKAGE…
install_missing() {
  local packages=() pair
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null 2>&1 || [ -x "${pair%%=*}" ] || packages+=("${pair#*=}")
  done
  [ ${#packages[@]} = 0 ] && return 0
  command -v apt-get >/dev/null 2>&1 || die "install these packages first: ${packages[*]}"
  say "installing ${packages[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 20000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

# wait_for SECONDS WHAT COMMAND…
wait_for() {
  local seconds=$1 what=$2 deadline=$((SECONDS + $1)); shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || die "$what is not up after $seconds s; see the logs in $SERVERS_DIR"
    sleep 0.2
  done
}

kafka_libs() {
  [ -f "$KAFKA_LIBS/.complete" ] && return
  install_missing mvn=maven
  say "fetching Apache Kafka $KAFKA_VERSION"
  local work; work=$(mktemp -d)
  cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>viewfold</groupId><artifactId>kafka</artifactId><version>1</version><dependencies><dependency>
<groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA_VERSION</version>
</dependency></dependencies></project>
POM
  mkdir -p "$KAFKA_LIBS"
  (cd "$work" && mvn -q -B dependency:copy-dependencies -DoutputDirectory="$KAFKA_LIBS")
  rm -rf "$work"
  touch "$KAFKA_LIBS/.complete"
}

kafka_start() {
  install_missing java=default-jre-headless
  kafka_libs
  local dir=$1/kafka port controller listeners advertised
  port=$(free_port); controller=$(free_port)
  listeners=PLAINTEXT://127.0.0.1:$port advertised=PLAINTEXT://127.0.0.1:$port
  if [ -n "${KAFKA_WITH_GATE:-}" ]; then
    # Clients that come to this listener are sent to the gate, where a test puts its proxy.
    local behind gate
    behind=$(free_port); gate=$(free_port)
    listeners+=,GATED://127.0.0.1:$behind advertised+=,GATED://127.0.0.1:$gate
    export KAFKA_GATE=127.0.0.1:$port,127.0.0.1:$behind,127.0.0.1:$gate
  fi
  mkdir -p "$dir"
  cat >"$dir/server.properties" <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=$listeners,CONTROLLER://127.0.0.1:$controller
advertised.listeners=$advertised
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,GATED:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
group.initial.rebalance.delay.ms=0
group.consumer.session.timeout.ms=6000
group.consumer.min.session.timeout.ms=6000
group.consumer.heartbeat.interval.ms=1000
group.consumer.min.heartbeat.interval.ms=1000
auto.create.topics.enable=false
CONF
  local java=(java -Xmx512m -cp "$KAFKA_LIBS/*" -Dorg.slf4j.simpleLogger.logFile=System.err)
  local id; id=$("${java[@]}" kafka.tools.StorageTool random-uuid 2>/dev/null | tail -1)
  "${java[@]}" kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties" >"$dir/format.log" 2>&1 \
    || die "Kafka's storage could not be formatted: $(tail -3 "$dir/format.log")"
  "${java[@]}" kafka.Kafka "$dir/server.properties" >"$dir/server.log" 2>&1 &
  KAFKA_PID=$!
  SERVERS+=("$KAFKA_PID")
  export KAFKA_BROKERS=127.0.0.1:$port
  wait_for 60 Kafka bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
}

postgres_bin() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1; }

# Postgres refuses to run as root.
as_postgres() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }

postgres_start() {
  [ -n "$(postgres_bin)" ] || install_missing initdb=postgresql
  install_missing psql=postgresql-client
  local bin port dir=$1/postgres
  bin=$(postgres_bin); port=$(free_port)
  mkdir -p "$dir"
  [ "$(id -u)" = 0 ] && chown postgres "$dir"
  as_postgres "$bin/initdb" -D "$dir/data" -A trust -U postgres -E UTF8 --locale=C.UTF-8 >/dev/null
  as_postgres "$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -s start \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir -c max_connections=300 \
        -c max_prepared_transactions=0 -c synchronous_commit=${POSTGRES_SYNCHRONOUS_COMMIT:-on} -c fsync=${POSTGRES_FSYNC:-on}"
  POSTGRES_DATA=$dir/data
  export POSTGRES_DATA DATABASE_URL=postgres://postgres@127.0.0.1:$port/postgres
}

redis_start() {
  install_missing redis-server=redis-server redis-cli=redis-tools
  local port dir=$1/redis
  port=$(free_port); mkdir -p "$dir"
  redis-server --port "$port" --bind 127.0.0.1 --dir "$dir" --save '' --appendonly "${REDIS_AOF:-no}" \
    --enable-debug-command yes --logfile "$dir/server.log" >/dev/null &
  REDIS_PID=$!
  SERVERS+=("$REDIS_PID")
  export REDIS_URL=redis://127.0.0.1:$port
  wait_for 20 Redis redis-cli -p "$port" ping
}

servers_start() {
  SERVERS_DIR=$1
  # Postgres runs as another user and has to reach its folder.
  chmod 711 "$1"
  [ -n "${KAFKA_BROKERS:-}" ] || kafka_start "$1"
  [ -n "${DATABASE_URL:-}" ] || postgres_start "$1"
  [ -n "${REDIS_URL:-}" ] || redis_start "$1"
}

servers_stop() {
  local pid
  if [ -n "${POSTGRES_DATA:-}" ]; then
    as_postgres "$(postgres_bin)/pg_ctl" -D "$POSTGRES_DATA" -m immediate -s stop 2>/dev/null || true
    POSTGRES_DATA=
  fi
  for pid in "${SERVERS[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  for pid in "${SERVERS[@]}"; do wait "$pid" 2>/dev/null || true; done
  SERVERS=()
}
