# A vsftpd for deploy/compose.yaml, with one client, `client`. Its certificate is made at the build: have one of the
# host's name mounted over it where real clients come.

FROM debian:bookworm-slim
# A version that is pinned would be gone after the next security update.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes ssl-cert vsftpd \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 2121 userdrop-ftp \
    && useradd --gid userdrop-ftp --no-create-home --home-dir /srv/userdrop/upload --shell /bin/sh client \
    && install -d --mode=0755 /srv/userdrop /var/log/ftp /run/vsftpd/empty \
    && install -d --owner=2120 --group=userdrop-ftp --mode=3770 /srv/userdrop/upload
COPY deploy/vsftpd.conf /etc/vsftpd.conf
COPY deploy/vsftpd-openssl.cnf /etc/vsftpd-openssl.cnf
COPY deploy/vsftpd-start /usr/local/bin/vsftpd-start
# See that file: TLS 1.3 cuts off healthy uploads.
ENV OPENSSL_CONF=/etc/vsftpd-openssl.cnf
VOLUME ["/srv/userdrop/upload", "/var/log/ftp"]
EXPOSE 21 40000-40100
HEALTHCHECK --interval=1m --timeout=5s CMD ["bash", "-c", "</dev/tcp/127.0.0.1/21"]
CMD ["vsftpd-start"]
