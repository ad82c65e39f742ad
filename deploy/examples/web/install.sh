#!/usr/bin/env bash
# Sets three replicas of a small server up in a namespace of their own, behind a NodePort and an Ingress.
#
#   install.sh [NAMESPACE]        default: web; needs kubectl and KUBECONFIG
#
# WEB_IMAGE                 any image with python3 (rollcheck.test/python:3; python:3.11-slim where there is a registry)
# ON_TERM                   what SIGTERM does (exit): exit, ignore, wait, drain, linger or pinned, see
#                           rollcheck/sandbox/apps/web.py
# GRACE, REPLICAS           terminationGracePeriodSeconds (30), replicas (3)
# INGRESS_CLASS, WEB_HOST   of the Ingress (traefik, web.example.test)
set -euo pipefail
cd "$(dirname "$0")"
ns=${1:-web}

kubectl get namespace "$ns" >/dev/null 2>&1 || kubectl create namespace "$ns"
kubectl -n "$ns" create configmap web-source --from-file=app.py=../../../rollcheck/sandbox/apps/web.py \
  --dry-run=client -o yaml | kubectl -n "$ns" apply -f -
sed -e "s|rollcheck.test/python:3|${WEB_IMAGE:-rollcheck.test/python:3}|" \
  -e "s|name: ON_TERM, value: exit|name: ON_TERM, value: ${ON_TERM:-exit}|" \
  -e "s|terminationGracePeriodSeconds: 30|terminationGracePeriodSeconds: ${GRACE:-30}|" \
  -e "s|replicas: 3|replicas: ${REPLICAS:-3}|" \
  -e "s|ingressClassName: traefik|ingressClassName: ${INGRESS_CLASS:-traefik}|" \
  -e "s|web.example.test|${WEB_HOST:-web.example.test}|" web.yaml | kubectl -n "$ns" apply -f -
kubectl -n "$ns" rollout status deployment/web --timeout=180s
echo "web is in namespace $ns: rollcheck run --deploy web -n $ns"
