#!/usr/bin/env bash
# Sets WordPress up in a namespace of its own and writes its first blog, so that / answers 200.
#
#   install.sh [NAMESPACE]        default: wordpress; needs kubectl and KUBECONFIG
#
# WORDPRESS_IMAGE, MARIADB_IMAGE  images (rollcheck.test/wordpress:6, rollcheck.test/mariadb:10); both are Debian's packages,
#                                 see wordpress.Dockerfile and mariadb.Dockerfile
# INGRESS_CLASS, WORDPRESS_HOST   of the Ingress (traefik, wordpress.example.test)
set -euo pipefail
cd "$(dirname "$0")"
ns=${1:-wordpress}
host=${WORDPRESS_HOST:-wordpress.example.test}

kubectl get namespace "$ns" >/dev/null 2>&1 || kubectl create namespace "$ns"
sed -e "s|rollcheck.test/wordpress:6|${WORDPRESS_IMAGE:-rollcheck.test/wordpress:6}|" \
  -e "s|rollcheck.test/mariadb:10|${MARIADB_IMAGE:-rollcheck.test/mariadb:10}|" \
  -e "s|ingressClassName: traefik|ingressClassName: ${INGRESS_CLASS:-traefik}|" \
  -e "s|wordpress.example.test|$host|" mariadb.yaml wordpress.yaml | kubectl -n "$ns" apply -f -
kubectl -n "$ns" rollout status deployment/mariadb --timeout=180s
kubectl -n "$ns" rollout status deployment/wordpress --timeout=180s

# The installer is a form; asked from inside a pod, it needs no way in from here. Once installed, it says so and does nothing.
# Ready by tcp does not mean that the database can be reached yet, so it is asked again.
kubectl -n "$ns" exec -i deployment/wordpress -- php <<PHP
<?php
\$form = ['weblog_title' => 'A blog', 'user_name' => 'admin', 'admin_password' => 'admin', 'admin_password2' => 'admin',
         'pw_weak' => '1', 'admin_email' => 'admin@example.test'];
\$request = ['method' => 'POST', 'content' => http_build_query(\$form), 'timeout' => 120, 'ignore_errors' => true,
            'header' => "Host: $host\r\nContent-Type: application/x-www-form-urlencoded"];
for (\$tries = 30; \$tries > 0; \$tries--) {
    \$page = (string) file_get_contents('http://127.0.0.1/wp-admin/install.php?step=2', false,
                                       stream_context_create(['http' => \$request]));
    if (preg_match('/Success!|Already Installed/', \$page)) {
        exit(0);
    }
    sleep(1);
}
echo 'WordPress did not install itself: ', trim(strip_tags(\$page)), "\n";
exit(1);
PHP
echo "WordPress is in namespace $ns, host $host: rollcheck run --deploy wordpress -n $ns --qps 8 --timeout 10s"
