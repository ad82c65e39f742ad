#!/usr/bin/env bash
# Makes the images of the WordPress story and loads them into the cluster of ../shared/cluster: images.sh CLUSTER-TOOL
# Three minutes each the first time on a machine, then half a minute. On another cluster, build the Dockerfiles in
# deploy/examples/wordpress and load them there (`kind load docker-image …`).
set -euo pipefail
cluster=$1
"$cluster" image rollcheck.test/wordpress:6 --package apache2 --package libapache2-mod-php --package php-mysql \
  --package wordpress --package wordpress-theme-twentytwentythree \
  --cmd sh -c '. /etc/apache2/envvars; mkdir -p /run/apache2; exec apache2 -DFOREGROUND'
"$cluster" image rollcheck.test/mariadb:10 --package mariadb-server --cmd mariadbd --user=mysql --bind-address=0.0.0.0
