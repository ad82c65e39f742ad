# WordPress from Debian's packages, apache as PID 1.
FROM debian:12
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    apache2 libapache2-mod-php php-mysql wordpress wordpress-theme-twentytwentythree && rm -rf /var/lib/apt/lists/*
CMD ["sh", "-c", ". /etc/apache2/envvars; mkdir -p /run/apache2; exec apache2 -DFOREGROUND"]
