FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY relay relay
COPY static/dist static/dist
RUN pip install --no-cache-dir --prefix /installed .

FROM python:3.12-slim
COPY --from=build /installed /usr/local
RUN useradd --create-home --home-dir /data relay
USER relay
WORKDIR /data
VOLUME /data
ENV RELAY_HOST=0.0.0.0 RELAY_PORT=8400 RELAY_DATABASE_URL=sqlite:////data/relay.db
EXPOSE 8400
# The relay drains for up to 20 seconds on SIGTERM: stop it with `docker stop --time 35`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"RELAY_PORT\"]}/readyz', timeout=4)"]
CMD ["relay", "serve"]
