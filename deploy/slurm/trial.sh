#!/bin/sh
# A Slurm of one node for trying things out, on this machine and in one directory.
# Runs until it is interrupted and takes everything down then.
#   trial.sh DIRECTORY [PORT]     as root; uses PORT and PORT + 1 on loopback
# Use it from another terminal:   export SLURM_CONF=DIRECTORY/slurm.conf; sinfo
set -eu
PATH=$PATH:/usr/sbin:/sbin

if [ $# -lt 1 ]; then
  echo "usage: $0 DIRECTORY [PORT]" >&2
  exit 2
fi
for program in munged slurmctld slurmd setpriv; do
  if ! command -v "$program" >/dev/null; then
    echo "error: $program is missing; install it with: apt-get install slurm-wlm munge" >&2
    exit 1
  fi
done
if [ "$(id -u)" -ne 0 ]; then
  echo "error: slurmd has to run as root" >&2
  exit 1
fi

port=${2:-16817}
mkdir -p "$1/state" "$1/spool" "$1/munge"
chmod 755 "$1"
directory=$(cd "$1" && pwd)
host=$(uname -n | cut -d. -f1)

# The key is this directory's own: nothing of an installed Slurm is touched.
rm -f "$directory/munge/key"
(umask 077 && dd if=/dev/urandom of="$directory/munge/key" bs=1024 count=1 2>/dev/null)
chmod 755 "$directory/munge"
chown -R munge:munge "$directory/munge"

cat >"$directory/slurm.conf" <<CONF
ClusterName=trial
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthType=auth/munge
AuthInfo=socket=$directory/munge/socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool
SlurmctldPidFile=$directory/slurmctld.pid
SlurmdPidFile=$directory/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
# Four cores, whatever the machine has.
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,sched_min_interval=0
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
SLURM_CONF=$directory/slurm.conf
export SLURM_CONF

daemons=
stop() {
  trap - EXIT INT TERM
  scancel --me --full --signal=KILL 2>/dev/null || true
  # The last one started first: slurmd tells slurmctld, and both need munged.
  for daemon in $daemons; do
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  done
}
trap stop EXIT
trap 'exit 0' INT TERM

start() {
  "$@" >>"$directory/log" 2>&1 &
  daemons="$! $daemons"
}

start setpriv --reuid munge --regid munge --clear-groups munged --foreground \
  --key-file="$directory/munge/key" --socket="$directory/munge/socket" \
  --pid-file="$directory/munge/pid" --seed-file="$directory/munge/seed"
until [ -e "$directory/munge/socket" ]; do
  kill -0 "${daemons%% *}" 2>/dev/null || { tail -n 5 "$directory/log" >&2; exit 1; }
  sleep 0.1
done
start slurmctld -D -c
start slurmd -D -N "$host"
wait
