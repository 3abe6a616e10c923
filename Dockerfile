# Pinhole's image: the static binary, CA certificates and a place for its state.
# "make image" builds the context; nothing is fetched from anywhere.
#	docker run --network host -v ./config.toml:/etc/pinhole/config.toml pinhole
FROM scratch
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY pinhole /pinhole
COPY --chown=65532:65532 state /var/lib/pinhole
USER 65532:65532
VOLUME /var/lib/pinhole
ENTRYPOINT ["/pinhole"]
CMD ["run", "-c", "/etc/pinhole/config.toml"]
