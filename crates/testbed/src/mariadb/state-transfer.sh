#!/bin/sh
# How a node of the cluster gets what another one has, when all of them are on this machine: its files are copied.
# The server calls it at both ends. The address that a joiner answers is its own folder.
set -eu
bypass=
while [ $# -gt 0 ]; do
  case $1 in
    --role) role=$2; shift ;;
    --address) address=$2; shift ;;
    --datadir) data=${2%/}; shift ;;
    --parent) parent=$2; shift ;;
    --gtid) state=$2; shift ;;
    --bypass) bypass=yes ;;
    --mysqld-args) break ;;
  esac
  shift
done
if [ "$role" = joiner ]; then
  rm -f "$data/transfer.done"
  echo "ready $data"
  until [ -f "$data/transfer.done" ]; do kill -0 "$parent"; sleep 0.05; done
  cat "$data/transfer.done"
  rm -f "$data/transfer.done"
  exit
fi
if [ -z "$bypass" ]; then
  # While the tables are flushed nothing is written to them. What says that a transfer is done is never copied: the joiner
  # would go on before the rest is there.
  rm -f "$data/tables_flushed"
  echo "flush tables"
  until [ -s "$data/tables_flushed" ]; do sleep 0.05; done
  state=$(cut -d' ' -f1 "$data/tables_flushed")
  find "$address" -mindepth 1 -maxdepth 1 ! -name galera.cache ! -name gvwstate.dat -exec rm -rf {} +
  find "$data" -mindepth 1 -maxdepth 1 ! -name galera.cache ! -name gvwstate.dat ! -name grastate.dat \
    ! -name tables_flushed ! -name 'transfer.*' ! -name '*.pid' -exec cp -a {} "$address" \;
  echo continue
fi
echo "$state" > "$address/transfer.new"
mv "$address/transfer.new" "$address/transfer.done"
echo "done $state"
