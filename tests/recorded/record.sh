#!/usr/bin/env bash
# Records the runs of this folder anew, on the cluster that KUBECONFIG names: record.sh [NAME…]
#
# Needs rollcheck, kubectl and an Ingress controller of class INGRESS_CLASS (traefik). A run lasts some twenty seconds at
# 60 requests a second, so that its document stays small. Numbers in test_recorded_runs.py change with each recording.
set -euo pipefail
cd "$(dirname "$0")"
names=("$@")
[ $# -gt 0 ] || names=(exit-at-once drained killed ingress-502)

for name in "${names[@]}"; do
  ns=recorded-$name
  case $name in
    exit-at-once) on_term=exit grace=30 replicas=3 ;;
    drained) on_term=drain grace=30 replicas=3 ;;
    killed) on_term=ignore grace=5 replicas=2 ;;
    ingress-502) on_term=exit grace=30 replicas=3 ;;
    *) echo "record.sh: no recording is called $name" >&2; exit 2 ;;
  esac
  ON_TERM=$on_term GRACE=$grace REPLICAS=$replicas WEB_HOST=$name.example.test ../../deploy/examples/web/install.sh "$ns"
  node=$(kubectl get nodes -o 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
  port=$(kubectl -n "$ns" get service web -o 'jsonpath={.spec.ports[0].nodePort}')
  way=(--url "http://$node:$port/")
  [ "$name" != ingress-502 ] || way=()
  rm -rf "$name"
  rollcheck run --deploy web -n "$ns" "${way[@]}" --qps 60 --baseline 4s --tail 4s --out "$name" || [ $? -eq 1 ]
  python3 - "$name" <<'CHECK'
import json, sys
faults = json.load(open(f"{sys.argv[1]}/result.json"))["generator"]["faults"]
sys.exit(f"record.sh: not kept, as the machine was too busy: {faults[0]}" if faults else 0)
CHECK
  kubectl delete namespace "$ns" --wait=false
  find "$name" -type f ! -name facts.jsonl -delete
  gzip -9 -n "$name/facts.jsonl"
done
